"""Class texts for a training: as embedded, or read through the text encoder's last layers, trained with it.

What lies below the trained layers is run once. The language model stays in evaluation mode also in training:
no dropout, so that at a learning rate of 0 nothing differs from a frozen one. Every line of the seen classes
is read in every step: some hundred on a CPU, thousands want a GPU.
Shapes: C classes, L tokens, K spans of tokens, N lines read at once, E width of the language model's last
layer, D of a line's embedding, F of a class text's (lines side by side; D where lines are averaged).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils.rnn import pad_sequence

from zsar_lab.models.rest import word_spans
from zsar_lab.text.embeddings import ClassEmbeddings, check_lines
from zsar_lab.text.encoder import Read, TextEncoder, Tokens
from zsar_lab.text.encoder_files import EncoderFiles
from zsar_lab.text.prompts import ClassText
from zsar_lab.train.checkpoint import Checkpoint, copy_tensors
from zsar_lab.train.device import choose_device, mixed_precision

LINES_A_BATCH = 32  # of similar length; more of them at once are padded more


class TextInputs(NamedTuple):
    """Class texts as the model reads them: pooled_CF and spans of tokens words_CKE, float32 on its device."""

    pooled_CF: Tensor
    words_CKE: Tensor


def text_inputs(
    classes: ClassEmbeddings, names: tuple[str, ...], n_label_tokens: int, device: torch.device | str
) -> TextInputs:
    """The class texts of these classes, in their order, ready for `ResT.encode_labels`."""
    rows = classes.rows(names)
    tokens = [torch.from_numpy(classes.words_CLE[row][classes.mask_CL[row]]) for row in rows]
    pooled_CF = torch.from_numpy(classes.pooled_CF[rows]).to(device)
    return TextInputs(pooled_CF, word_spans(tokens, n_label_tokens).to(device))


ReadTexts = Callable[[], TextInputs]  # class texts as they are read now


class FrozenBatch(NamedTuple):
    """Lines of similar length, and what the last frozen layer returned (None: all layers are trained)."""

    ids_NL: Tensor
    mask_NL: Tensor
    words: list[Tensor]  # the places of each line's words
    below: Any


class FrozenTexts(NamedTuple):
    """Class texts as far as the frozen layers bring them."""

    batches: list[FrozenBatch]  # every line once, the shorter first
    lines_of: list[list[int]]  # the lines of each class's text, as rows over all batches
    averaged: bool  # whether lines are averaged, else they are side by side


class TextTail:
    """The last layers of a text encoder with all that comes after them, ready to be trained.

    What is trained: every tensor that the encoder's output depends on above the last frozen layer, and that
    nothing below reads (an embedding of positions which all layers share stays frozen), as `trained`, by name
    in the language model. ValueError where the encoder has fewer layers, or they are not found.
    """

    def __init__(self, files: EncoderFiles, n_layers: int, device: torch.device | str = "cpu") -> None:
        # an encoder of its own: that of open_encoder stays as it was published
        self.encoder = TextEncoder(files, str(device))
        self.layers = self.encoder.model.layers
        if not 1 <= n_layers <= len(self.layers):
            raise ValueError(f"text_layers must be in 0..{len(self.layers)} ({files.name}), got {n_layers}")
        self.n_frozen = len(self.layers) - n_layers
        self.trained = self._find_trained()

    @torch.enable_grad()
    def _find_trained(self) -> dict[str, nn.Parameter]:
        """Run a text with the way below the first trained layer cut, and see what each side reaches."""
        entering: list[Tensor] = []

        def cut(layer: nn.Module, inputs: tuple[Any, ...], settings: dict[str, Any]) -> tuple[Any, Any]:
            entering.append(inputs[0] if inputs else settings["hidden_states"])
            now = entering[0].detach()
            return ((now, *inputs[1:]), settings) if inputs else ((), settings | {"hidden_states": now})

        model = self.encoder.model.requires_grad_(True)
        named: dict[str, Any] = dict(model.named_parameters())
        handle = self.layers[self.n_frozen].register_forward_pre_hook(cut, with_kwargs=True)
        try:
            read = model(*self.encoder.padded(self.encoder.tokens(["a"]))[:2])
        finally:
            handle.remove()
        output, tensors = read.pooled_ND.sum() + read.words_NLE.sum(), list(named.values())
        above = torch.autograd.grad(output, tensors, retain_graph=True, allow_unused=True)
        below = torch.autograd.grad(entering[0].sum(), tensors, allow_unused=True)
        model.requires_grad_(False)
        reached = zip(named, above, below, strict=True)
        names = [name for name, up, down in reached if up is not None and down is None]
        return {name: named[name].requires_grad_(True) for name in names}

    def load(self, tensors: Mapping[str, Tensor]) -> TextTail:
        """Take up trained tensors, as a checkpoint holds them; returns itself."""
        copy_tensors(tensors, self.trained)
        return self

    @torch.no_grad()
    def freeze(self, class_text: ClassText, names: tuple[str, ...]) -> FrozenTexts:
        """Run the texts of these classes through the frozen layers; ValueError as `TextEncoder.tokens`."""
        text_of = dict(zip(class_text.names, class_text.texts, strict=True))
        own = replace(class_text, names=names, texts=tuple(text_of[name] for name in names))
        check_lines(own)
        lines = list(dict.fromkeys(line for text in own.texts for line in text.split("\n")))
        tokens = dict(zip(lines, self.encoder.tokens(lines), strict=True))
        lines.sort(key=lambda line: len(tokens[line].ids))
        row_of, starts = {line: row for row, line in enumerate(lines)}, range(0, len(lines), LINES_A_BATCH)
        batches = [self._freeze([tokens[line] for line in lines[s : s + LINES_A_BATCH]]) for s in starts]
        rows = [[row_of[line] for line in text.split("\n")] for text in own.texts]
        return FrozenTexts(batches, rows, class_text.averaged)

    def _freeze(self, tokens: list[Tokens]) -> FrozenBatch:
        ids_NL, mask_NL, words = self.encoder.padded(tokens)
        returned: list[Any] = [None]
        if self.n_frozen:
            last = self.layers[self.n_frozen - 1]
            handle = last.register_forward_hook(lambda layer, inputs, output: returned.append(output))
            try:
                self._run(ids_NL, mask_NL)
            finally:
                handle.remove()
        return FrozenBatch(ids_NL, mask_NL, words, returned[-1])

    def _run(self, ids_NL: Tensor, mask_NL: Tensor) -> Read:
        with mixed_precision(ids_NL.device):
            return self.encoder.model(ids_NL, mask_NL)

    @contextmanager
    def _passing_over(self, below: Any) -> Iterator[None]:
        """Inside the block each frozen layer returns what the last of them returned."""
        frozen = list(self.layers[: self.n_frozen])
        for number in range(self.n_frozen):
            self.layers[number] = _PassedOver(below)
        try:
            yield
        finally:
            for number, layer in enumerate(frozen):
                self.layers[number] = layer

    def read(self, texts: FrozenTexts) -> tuple[Tensor, list[Tensor]]:
        """Read on through the trained layers: pooled_CF, unit rows, and the words [L, E] of each class."""
        pooled: list[Tensor] = []
        words: list[Tensor] = []
        for batch in texts.batches:
            with self._passing_over(batch.below):
                made = self._run(batch.ids_NL, batch.mask_NL)
            pooled += made.pooled_ND
            words += [rows[own] for rows, own in zip(made.words_NLE, batch.words, strict=True)]
        own = [torch.stack([pooled[row] for row in rows]) for rows in texts.lines_of]
        pooled_CF = torch.stack([lines.sum(0) if texts.averaged else lines.flatten() for lines in own])
        return normalize(pooled_CF, dim=-1), [
            torch.cat([words[row] for row in rows]) for rows in texts.lines_of
        ]

    def inputs(self, texts: FrozenTexts, n_label_tokens: int) -> TextInputs:
        """Texts as `ResT.encode_labels` takes them; gradients flow into the trained layers."""
        pooled_CF, tokens = self.read(texts)
        return TextInputs(pooled_CF, word_spans(tokens, n_label_tokens))


class _PassedOver(nn.Module):
    """In the place of a frozen layer: returns what the last of them returned, whatever comes in."""

    def __init__(self, below: Any) -> None:
        super().__init__()
        self.below = below

    def forward(self, *inputs: Any, **settings: Any) -> Any:
        """Return it."""
        return self.below


@torch.no_grad()
def class_embeddings_of(
    checkpoint: Checkpoint, class_text: ClassText, files: EncoderFiles, device: str | None = None
) -> ClassEmbeddings:
    """Embed any class texts by the text encoder of a training, whose last layers were trained.

    The embeddings' `encoder` is `<revision>+<the checkpoint's fingerprint>`. ValueError where the text
    encoder was frozen, or as `TextTail.freeze`.
    """
    n_layers = checkpoint.config.text_layers
    if not n_layers:
        raise ValueError(f"text_layers must be above 0, got 0 in '{checkpoint.path}'; use embed_class_text")
    tail = TextTail(files, n_layers, choose_device(device)).load(checkpoint.weights("text"))
    pooled_CF, tokens = tail.read(tail.freeze(class_text, class_text.names))
    words_CLE = pad_sequence(tokens, batch_first=True).cpu().numpy()
    mask_CL = pad_sequence(
        [torch.ones(len(own), dtype=torch.bool) for own in tokens], batch_first=True
    ).numpy()
    encoder = f"{files.revision}+{checkpoint.fingerprint}"
    return ClassEmbeddings(class_text, encoder, pooled_CF.cpu().numpy(), words_CLE, mask_CL)
