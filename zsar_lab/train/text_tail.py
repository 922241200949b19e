"""Class texts for a training: as embedded, or read through the text encoder's last layers, trained with it.

What lies below the trained layers is run once. The language model stays in evaluation mode also in training:
no dropout, so that at a learning rate of 0 nothing differs from a frozen one. Every line of the seen classes
is read in every step: some hundred on a CPU, thousands want a GPU.
Shapes: C classes, L tokens, K spans of words, N lines read at once, E width of the language model's last
layer, D of a line's embedding, F of a class text's (lines side by side; D where lines are averaged).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from zsar_lab.models.rest import word_spans
from zsar_lab.text.embeddings import ClassEmbeddings, check_lines
from zsar_lab.text.encoder import Read, TextEncoder
from zsar_lab.text.encoder_files import EncoderFiles
from zsar_lab.text.prompts import ClassText
from zsar_lab.train.checkpoint import Checkpoint
from zsar_lab.train.config import TrainConfig
from zsar_lab.train.device import choose_device, mixed_precision
from zsar_lab.train.optimisers import copy_tensors

LINES_A_BATCH = 32  # of similar length; more of them at once are padded more


class TextInputs(NamedTuple):
    """Class texts as the model reads them: pooled_CF and word spans words_CKE, float32 on its device."""

    pooled_CF: Tensor
    words_CKE: Tensor


def text_inputs(
    classes: ClassEmbeddings, names: tuple[str, ...], n_label_tokens: int, device: torch.device | str
) -> TextInputs:
    """The class texts of these classes, in their order, ready for `ResT.encode_labels`."""
    rows = classes.rows(names)
    words, mask = (torch.from_numpy(array[rows]) for array in (classes.words_CLE, classes.mask_CL))
    pooled_CF = torch.from_numpy(classes.pooled_CF[rows]).to(device)
    return TextInputs(pooled_CF, word_spans(words, mask, n_label_tokens).to(device))


ReadTexts = Callable[[], TextInputs]  # class texts as they are read now


class FrozenBatch(NamedTuple):
    """Lines of similar length, and what the last frozen layer returned (None: all layers are trained)."""

    ids_NL: Tensor
    mask_NL: Tensor
    below: Any


class FrozenTexts(NamedTuple):
    """Class texts as far as the frozen layers bring them."""

    batches: tuple[FrozenBatch, ...]  # every line once, the shorter first
    lines_of: tuple[Tensor, ...]  # the lines of each class's text, as rows over all batches
    words_CL: Tensor  # its words, as rows over all tokens of all batches; 0 outside of the mask
    mask_CL: Tensor  # bool, True at a word
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
            read = model(*self.encoder.padded(self.encoder.tokens(["a"])))
        finally:
            handle.remove()
        output, tensors = read.pooled_ND.sum() + read.words_NLE.sum(), list(named.values())
        above = torch.autograd.grad(output, tensors, retain_graph=True, allow_unused=True)
        below = torch.autograd.grad(entering[0].sum(), tensors, allow_unused=True)
        model.requires_grad_(False)
        reached = zip(named.items(), above, below, strict=True)
        return {
            name: tensor.requires_grad_(True)
            for (name, tensor), up, down in reached
            if up is not None and down is None
        }

    def load(self, tensors: Mapping[str, Tensor]) -> TextTail:
        """Take up trained tensors, as a checkpoint holds them; returns itself."""
        copy_tensors(tensors, self.trained)
        return self

    @torch.no_grad()
    def freeze(self, class_text: ClassText, names: tuple[str, ...]) -> FrozenTexts:
        """Run the texts of these classes through the frozen layers; ValueError as `TextEncoder.tokens`."""
        text_of = dict(zip(class_text.names, class_text.texts, strict=True))
        check_lines(replace(class_text, names=names, texts=tuple(text_of[name] for name in names)))
        lines_of = [text_of[name].split("\n") for name in names]
        lines = list(dict.fromkeys(line for lines in lines_of for line in lines))
        ids = dict(zip(lines, self.encoder.tokens(lines), strict=True))
        lines.sort(key=lambda line: len(ids[line]))
        row_of = {line: row for row, line in enumerate(lines)}
        ends = np.cumsum([len(ids[line]) for line in lines])
        tokens_of = {
            line: np.arange(end - len(ids[line]), end) for line, end in zip(lines, ends, strict=True)
        }
        words_of = [np.concatenate([tokens_of[line] for line in own]) for own in lines_of]
        n_words = np.array([len(words) for words in words_of])
        mask_CL = np.arange(n_words.max()) < n_words[:, None]
        words_CL = np.zeros(mask_CL.shape, dtype=np.int64)
        words_CL[mask_CL] = np.concatenate(words_of)
        starts, device = range(0, len(lines), LINES_A_BATCH), self.encoder.device
        return FrozenTexts(
            tuple(self._freeze([ids[line] for line in lines[s : s + LINES_A_BATCH]]) for s in starts),
            tuple(torch.tensor([row_of[line] for line in own], device=device) for own in lines_of),
            torch.from_numpy(words_CL).to(device),
            torch.from_numpy(mask_CL).to(device),
            class_text.averaged,
        )

    def _freeze(self, ids: list[list[int]]) -> FrozenBatch:
        ids_NL, mask_NL = self.encoder.padded(ids)
        returned: list[Any] = [None]
        if self.n_frozen:
            last = self.layers[self.n_frozen - 1]
            handle = last.register_forward_hook(lambda layer, inputs, output: returned.append(output))
            try:
                self._run(ids_NL, mask_NL)
            finally:
                handle.remove()
        return FrozenBatch(ids_NL, mask_NL, returned[-1])

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

    def read(self, texts: FrozenTexts) -> tuple[Tensor, Tensor]:
        """Read on through the trained layers: pooled_CF, unit rows, and words_CLE, as `embed_class_text`."""
        pooled, words = [], []
        for batch in texts.batches:
            with self._passing_over(batch.below):
                made = self._run(batch.ids_NL, batch.mask_NL)
            pooled.append(made.pooled_ND)
            words.append(made.words_NLE.flatten(0, 1)[batch.mask_NL.flatten().nonzero()[:, 0]])
        lines_ND, tokens_TE = torch.cat(pooled), torch.cat(words)
        own = [lines_ND[rows] for rows in texts.lines_of]
        pooled_CF = torch.stack([lines.sum(0) if texts.averaged else lines.flatten() for lines in own])
        words_CLE = tokens_TE.index_select(0, texts.words_CL.flatten()).view(*texts.words_CL.shape, -1)
        return normalize(pooled_CF, dim=-1), words_CLE * texts.mask_CL[:, :, None]

    def inputs(self, texts: FrozenTexts, n_label_tokens: int) -> TextInputs:
        """Texts as `ResT.encode_labels` takes them; gradients flow into the trained layers."""
        pooled_CF, words_CLE = self.read(texts)
        return TextInputs(pooled_CF, word_spans(words_CLE, texts.mask_CL, n_label_tokens))


class _PassedOver(nn.Module):
    """In the place of a frozen layer: returns what the last of them returned, whatever comes in."""

    def __init__(self, below: Any) -> None:
        super().__init__()
        self.below = below

    def forward(self, *inputs: Any, **settings: Any) -> Any:
        """Return it."""
        return self.below


def check_text_layers(n_layers: int, files: EncoderFiles) -> None:
    """ValueError unless so many last layers of an encoder can be trained; 0 always can."""
    if n_layers:
        TextTail(files, n_layers)


def check_text(config: TrainConfig, classes: ClassEmbeddings, files: EncoderFiles | None) -> None:
    """ValueError unless the files of the encoder that made the class embeddings are there to be trained."""
    if config.text_layers and (files is None or files.revision != classes.encoder):
        got = "none" if files is None else f"{files.name} (revision {files.revision})"
        raise ValueError(
            f"text_layers needs the encoder of the texts (revision {classes.encoder}), got {got}"
        )


@torch.no_grad()
def class_embeddings_of(
    checkpoint: Checkpoint, class_text: ClassText, files: EncoderFiles, device: str | None = None
) -> ClassEmbeddings:
    """Embed any class texts by the text encoder of a training, whose last layers were trained.

    The embeddings' `encoder` is `<revision>+<the checkpoint's fingerprint>`.

    Raises:
        ValueError: the checkpoint's text encoder was frozen, or as `TextTail.freeze`.
    """
    n_layers = checkpoint.config.text_layers
    if not n_layers:
        raise ValueError(f"text_layers must be above 0, got 0 in '{checkpoint.path}'; use embed_class_text")
    tail = TextTail(files, n_layers, choose_device(device)).load(checkpoint.weights("text"))
    texts = tail.freeze(class_text, class_text.names)
    arrays = (tensor.cpu().numpy() for tensor in (*tail.read(texts), texts.mask_CL))
    return ClassEmbeddings(class_text, f"{files.revision}+{checkpoint.fingerprint}", *arrays)
