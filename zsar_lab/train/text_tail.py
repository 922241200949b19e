"""The last layers of the text encoder, trained with the rest: what lies below them is run once and kept.

The language model stays in evaluation mode also in training: no dropout, so that at a learning rate of 0
nothing differs from a frozen one.
Every line of the seen classes is read in every step: some hundred on a CPU, thousands want a GPU.
Shapes: C classes, L tokens, M lines of a class text, K spans of words, N lines read at once, E width of the
language model's last layer, D of a line's embedding, F of a class text's (M D; D where lines are averaged).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
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
from zsar_lab.train.compiling import mixed_precision

LINES_A_BATCH = 32  # of similar length; more of them at once are padded more


class TextInputs(NamedTuple):
    """Class texts as the model reads them: pooled_CF and word spans words_CKE, float32 on the model's device."""

    pooled_CF: Tensor
    words_CKE: Tensor


class KeptBatch(NamedTuple):
    """Lines of similar length, and what the last frozen layer returned for them (None where all layers are trained)."""

    ids_NL: Tensor
    mask_NL: Tensor
    below: Any


@dataclass(frozen=True, eq=False)
class KeptTexts:
    """Class texts as far as the frozen layers bring them.

    Attributes:
        batches: every line once, the shorter first.
        lines_of: the lines of each class's text, as rows over all batches.
        words_CL: the words of each class's text, as rows over all tokens of all batches; 0 where `mask_CL` is
            False.
        mask_CL: bool, True at a word.
        averaged: whether lines are averaged, else they stand side by side.
    """

    batches: tuple[KeptBatch, ...]
    lines_of: tuple[Tensor, ...]
    words_CL: Tensor
    mask_CL: Tensor
    averaged: bool


class TextTail:
    """The last layers of a text encoder with all that comes after them, ready to be trained.

    What is trained: every tensor that the encoder's output depends on above the last frozen layer, and that
    nothing below reads (an embedding of positions which all layers share stays frozen). So a final norm and a
    projection are trained too, where there are some.

    Args:
        files: from `find_encoder`.
        n_layers: how many layers, counted from the last.
        device: where it reads.

    Attributes:
        trained: the trained tensors by their name in the language model.

    Raises:
        ValueError: the encoder has fewer layers, or its layers are not found (see `LanguageModel.layers`).
    """

    def __init__(self, files: EncoderFiles, n_layers: int, device: torch.device | str = "cpu") -> None:
        self.encoder = TextEncoder(
            files, str(device)
        )  # one of its own: the one of open_encoder stays as it was published
        self.layers = self.encoder.model.layers
        if not 1 <= n_layers <= len(self.layers):
            raise ValueError(
                f"text_layers must be in 1..{len(self.layers)} (the layers of {files.name}) or 0 (frozen), got {n_layers}"
            )
        self.n_frozen = len(self.layers) - n_layers
        self.trained = self._find_trained()

    @torch.enable_grad()
    def _find_trained(self) -> dict[str, nn.Parameter]:
        """Run one text with the way below the first trained layer cut off, and see what is reached from either side."""
        entering: list[Tensor] = []

        def cut(
            layer: nn.Module, inputs: tuple[Any, ...], settings: dict[str, Any]
        ) -> tuple[tuple[Any, ...], dict[str, Any]]:
            entering.append(inputs[0] if inputs else settings["hidden_states"])
            now = entering[0].detach()
            return ((now, *inputs[1:]), settings) if inputs else ((), settings | {"hidden_states": now})

        model = self.encoder.model.requires_grad_(True)
        names, tensors = zip(*model.named_parameters())
        handle = self.layers[self.n_frozen].register_forward_pre_hook(cut, with_kwargs=True)
        try:
            read = model(*self.encoder.padded(self.encoder.tokens(["a"])))
        finally:
            handle.remove()
        above = torch.autograd.grad(
            read.pooled_ND.sum() + read.words_NLE.sum(), tensors, retain_graph=True, allow_unused=True
        )
        below = torch.autograd.grad(entering[0].sum(), tensors, allow_unused=True)
        model.requires_grad_(False)
        trained = {
            name: tensor
            for name, tensor, up, down in zip(names, tensors, above, below)
            if up is not None and down is None
        }
        return {name: tensor.requires_grad_(True) for name, tensor in trained.items()}

    def load(self, tensors: Mapping[str, Tensor]) -> TextTail:
        """Take up trained tensors, as a checkpoint keeps them; returns itself."""
        with torch.no_grad():
            for name, tensor in self.trained.items():
                tensor.copy_(tensors[name])
        return self

    @torch.no_grad()
    def keep(self, class_text: ClassText, names: tuple[str, ...]) -> KeptTexts:
        """Run the texts of these classes through the frozen layers.

        Raises:
            ValueError: as `check_lines` or `TextEncoder.tokens`.
        """
        text_of = dict(zip(class_text.names, class_text.texts, strict=True))
        check_lines(replace(class_text, names=names, texts=tuple(text_of[name] for name in names)))
        lines_of = [text_of[name].split("\n") for name in names]
        lines = list(dict.fromkeys(line for lines in lines_of for line in lines))
        ids = dict(zip(lines, self.encoder.tokens(lines), strict=True))
        lines.sort(key=lambda line: len(ids[line]))
        row_of = {line: row for row, line in enumerate(lines)}
        ends = np.cumsum([len(ids[line]) for line in lines])
        words_of = [
            np.concatenate(
                [np.arange(ends[row_of[line]] - len(ids[line]), ends[row_of[line]]) for line in own]
            )
            for own in lines_of
        ]
        n_words = np.array([len(words) for words in words_of])
        mask_CL = np.arange(n_words.max()) < n_words[:, None]
        words_CL = np.zeros(mask_CL.shape, dtype=np.int64)
        words_CL[mask_CL] = np.concatenate(words_of)
        device = self.encoder.device
        batches = [
            self._keep([ids[line] for line in lines[start : start + LINES_A_BATCH]])
            for start in range(0, len(lines), LINES_A_BATCH)
        ]
        rows = tuple(torch.tensor([row_of[line] for line in own], device=device) for own in lines_of)
        return KeptTexts(
            tuple(batches),
            rows,
            torch.from_numpy(words_CL).to(device),
            torch.from_numpy(mask_CL).to(device),
            class_text.averaged,
        )

    def _keep(self, ids: list[list[int]]) -> KeptBatch:
        ids_NL, mask_NL = self.encoder.padded(ids)
        if not self.n_frozen:
            return KeptBatch(ids_NL, mask_NL, None)
        returned: list[Any] = []
        handle = self.layers[self.n_frozen - 1].register_forward_hook(
            lambda layer, inputs, output: returned.append(output)
        )
        try:
            self._run(ids_NL, mask_NL)
        finally:
            handle.remove()
        return KeptBatch(ids_NL, mask_NL, returned[0])

    def _run(self, ids_NL: Tensor, mask_NL: Tensor) -> Read:
        with mixed_precision(ids_NL.device):
            return self.encoder.model(ids_NL, mask_NL)

    @contextmanager
    def _passing_over(self, below: Any) -> Iterator[None]:
        """Inside the block each frozen layer returns what the last of them returned, so that the model's own forward goes on from there."""
        frozen = list(self.layers[: self.n_frozen])
        for number in range(self.n_frozen):
            self.layers[number] = _PassedOver(below)
        try:
            yield
        finally:
            for number, layer in enumerate(frozen):
                self.layers[number] = layer

    def read(self, kept: KeptTexts) -> tuple[Tensor, Tensor]:
        """Read kept texts through the trained layers; gradients flow into these.

        Returns:
            pooled_CF, unit rows, and words_CLE, both float32, as `embed_class_text` puts them together.
        """
        pooled, words = [], []
        for batch in kept.batches:
            with self._passing_over(batch.below):
                made = self._run(batch.ids_NL, batch.mask_NL)
            pooled.append(made.pooled_ND)
            words.append(made.words_NLE.flatten(0, 1)[batch.mask_NL.flatten().nonzero()[:, 0]])
        lines_ND, tokens_TE = torch.cat(pooled), torch.cat(words)
        joined = [
            lines_ND[rows].sum(0) if kept.averaged else lines_ND[rows].flatten() for rows in kept.lines_of
        ]
        words_CLE = (
            tokens_TE.index_select(0, kept.words_CL.flatten()).view(*kept.words_CL.shape, -1)
            * kept.mask_CL[:, :, None]
        )
        return normalize(torch.stack(joined), dim=-1), words_CLE

    def inputs(self, kept: KeptTexts, n_label_tokens: int) -> TextInputs:
        """Kept texts as `ResT.encode_labels` takes them; gradients flow into the trained layers."""
        pooled_CF, words_CLE = self.read(kept)
        return TextInputs(pooled_CF, word_spans(words_CLE, kept.mask_CL, n_label_tokens))


class _PassedOver(nn.Module):
    """Stands where a frozen layer stood: returns what was kept, whatever comes in."""

    def __init__(self, kept: Any) -> None:
        super().__init__()
        self.kept = kept

    def forward(self, *inputs: Any, **settings: Any) -> Any:
        return self.kept


def check_text_layers(n_layers: int, files: EncoderFiles) -> None:
    """Check that so many last layers of an encoder can be trained; 0 always can.

    Raises:
        ValueError: as `TextTail`.
    """
    if n_layers:
        TextTail(files, n_layers)


@torch.no_grad()
def class_embeddings_of(
    checkpoint: Checkpoint, class_text: ClassText, files: EncoderFiles, device: str | None = None
) -> ClassEmbeddings:
    """Embed class texts as a training left the text encoder: its last layers from the checkpoint, the others as published.

    Args:
        checkpoint: a training with `text_layers` above 0.
        class_text: any texts, those of the training or others.
        files: of the encoder it was trained with.
        device: "cpu", "cuda", or None to choose.

    Returns:
        Embeddings whose `encoder` is `<revision>+<the checkpoint's fingerprint>`.

    Raises:
        ValueError: the checkpoint's text encoder was frozen, or as `TextTail.keep`.
    """
    n_layers = checkpoint.config.text_layers
    if not n_layers:
        raise ValueError(
            f"only a training with text_layers above 0 has a text encoder of its own, '{checkpoint.path}' has 0; use embed_class_text"
        )
    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    tail = TextTail(files, n_layers, place).load(checkpoint.weights("text"))
    kept = tail.keep(class_text, class_text.names)
    pooled_CF, words_CLE = tail.read(kept)
    made_by = f"{files.revision}+{checkpoint.fingerprint}"
    return ClassEmbeddings(
        class_text, made_by, pooled_CF.cpu().numpy(), words_CLE.cpu().numpy(), kept.mask_CL.cpu().numpy()
    )
