"""Embedded class texts, and the cache that reads a text only once with an encoder.

Shapes: C classes, L tokens, M lines of a class text, E width of the encoder's last layer, D of a line's
embedding, F of a class text's (M D; D where lines are averaged).
"""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zsar_lab.files import fingerprint, writing
from zsar_lab.shown import Shown
from zsar_lab.text.class_lists import has_word
from zsar_lab.text.encoder_files import EncoderFiles
from zsar_lab.text.prompts import ClassText, TextTooLong

SAME_TEXT = 1e-5  # 1 - cosine of texts that are the same tokens, read in batches of another shape
DOUBTS_SHOWN = 3

Line = tuple[np.ndarray, np.ndarray, str]  # embedding [D], last layer [L, E], why it is hardly known or ""


@dataclass(frozen=True, eq=False, repr=False)
class ClassEmbeddings(Shown):
    """What the language model makes of each class text, in the order of `class_text`.

    A row of `pooled_CF` is the embeddings of a text's lines side by side, so that a cosine of two rows is the
    mean of the cosines line by line; or their mean, where the class text is averaged.
    """

    class_text: ClassText
    encoder: str  # its revision
    pooled_CF: np.ndarray  # float32, unit rows
    words_CLE: np.ndarray  # float32, the last layer for each word's tokens, of all lines; 0 beyond
    mask_CL: np.ndarray  # bool, True at a token of a word: CLS, SEP, BOS and EOS are none

    def _facts(self) -> dict[str, Any]:
        return {
            "prompt": self.class_text.prompt,
            "classes": len(self.names),
            "width": self.pooled_CF.shape[1],
            "encoder": self.encoder,
        }

    @property
    def names(self) -> tuple[str, ...]:
        """The classes, in the order of the rows."""
        return self.class_text.names

    @property
    def fingerprint(self) -> str:
        """Hash of class text and encoder."""
        return fingerprint("class embeddings, words alone", self.class_text.fingerprint, self.encoder)

    def rows(self, names: tuple[str, ...]) -> np.ndarray:
        """Row numbers of these classes, int64; ValueError when a class has no text here."""
        row_of = {name: row for row, name in enumerate(self.names)}
        missing = [name for name in names if name not in row_of]
        if missing:
            raise ValueError(f"{missing[0]!r} must have a class text, as {len(row_of)} classes have")
        return np.array([row_of[name] for name in names], dtype=np.int64)


def embed_class_text(
    class_text: ClassText, files: EncoderFiles, folder: Path | None = None
) -> ClassEmbeddings:
    """Embed class texts, line by line; a line read before is taken from `<folder>/<encoder revision>`.

    It warns of texts that the encoder hardly knows, see `TextEncoder.doubts`.

    With e_m the unit embedding of line m: pooled = (e_1, ..., e_M) / sqrt(M) side by side, or normalise(sum_m
    e_m) where the class text is averaged.

    Raises:
        ValueError: no class, texts of different numbers of lines or an empty one, or no such encoder.
        TextTooLong: one is longer than the encoder reads.

    Source: averaging over templates is what CLIP does (Radford et al., 2021); lines side by side are ours.
    """
    if not class_text.texts:
        raise ValueError("there must be at least one class with a text, got none")
    check_lines(class_text)
    read = _read(class_text, files, folder)
    pooled, words, hardly_known = [], [], []
    for name, text in zip(class_text.names, class_text.texts):
        vectors, tokens, doubts = zip(*(read[line] for line in text.split("\n")), strict=True)
        hardly_known += [f"{name!r} ({doubt})" for doubt in doubts if doubt][:1]
        joined = np.stack(vectors).sum(0) if class_text.averaged else np.stack(vectors).ravel()
        pooled.append(joined / max(float(np.linalg.norm(joined)), 1e-12))
        words.append(np.concatenate(tokens))
    if hardly_known:
        first = ", ".join(hardly_known[:DOUBTS_SHOWN]) + ", ..." * (len(hardly_known) > DOUBTS_SHOWN)
        warnings.warn(
            f"{files.name} hardly knows the texts of {len(hardly_known)} classes: {first}", stacklevel=2
        )
    n_tokens = np.array(list(map(len, words)))
    mask_CL = np.arange(n_tokens.max()) < n_tokens[:, None]
    words_CLE = np.zeros((*mask_CL.shape, words[0].shape[1]), dtype=np.float32)
    words_CLE[mask_CL] = np.concatenate(words)
    pooled_CF = np.stack(pooled).astype(np.float32)
    return ClassEmbeddings(class_text, files.revision, pooled_CF, words_CLE, mask_CL)


def check_differ(embedded: ClassEmbeddings, names: tuple[str, ...] | None = None) -> None:
    """ValueError when two class texts are the same to the encoder, as words that it does not know are.

    Of these classes; None for all.
    """
    names = embedded.names if names is None else names
    rows = embedded.rows(names)
    pooled_CF, texts = embedded.pooled_CF[rows], [embedded.class_text.texts[row] for row in rows]
    pairs = np.argwhere(np.triu(pooled_CF @ pooled_CF.T > 1 - SAME_TEXT, 1))
    if len(pairs):
        (one, other), number = pairs[0], f" and {len(pairs) - 1} more pairs" * (len(pairs) > 1)
        got = f"{names[one]!r} and {names[other]!r}{number}"
        raise ValueError(
            f"class texts must differ to the encoder, it reads one text in those of {got}:"
            f" {texts[one][:60]!r}, {texts[other][:60]!r}; describe them in other words"
        )


def check_lines(class_text: ClassText) -> None:
    """ValueError when a line has no word, or texts whose lines are set side by side have not equally many."""
    n_lines = class_text.texts[0].count("\n") + 1
    for name, text in zip(class_text.names, class_text.texts, strict=True):
        lines = text.split("\n")
        if not all(map(has_word, lines)):
            raise ValueError(f"the text of {name!r} ({class_text.prompt}) must hold a word in each line")
        if not class_text.averaged and len(lines) != n_lines:
            raise ValueError(f"the text of {name!r} must have {n_lines} lines as the first, got {len(lines)}")


def _read(class_text: ClassText, files: EncoderFiles, folder: Path | None) -> dict[str, Line]:
    """Each line, from the cache, or by the encoder and then cached."""
    texts = zip(class_text.names, class_text.texts, strict=True)
    class_of = {line: name for name, text in texts for line in text.split("\n")}
    found = {} if folder is None else _cached(set(class_of), Path(folder) / files.revision)
    missing = [line for line in class_of if line not in found]
    if missing:
        from zsar_lab.text.encoder import open_encoder  # which loads torch

        try:
            pooled_ND, words = open_encoder(files).encode(missing)
            doubts = open_encoder(files).doubts(missing)
        except TextTooLong as error:
            which = f"{class_of[error.text][:60]!r} ({class_text.prompt})"
            raise TextTooLong(f"the class text of {which} cannot be read: {error}", error.text) from error
        made = {line: (pooled_ND[row], words[row], doubts.get(line, "")) for row, line in enumerate(missing)}
        if folder is not None:
            _cache(made, Path(folder) / files.revision, files)
        found |= made
    return found


def _cache(made: dict[str, Line], folder: Path, files: EncoderFiles) -> None:
    from safetensors.numpy import save_file

    vectors, words, doubts = zip(*made.values(), strict=True)
    n_tokens_N, lines = np.array(list(map(len, words))), list(made)
    tensors = {"pooled_ND": np.stack(vectors), "words_TE": np.concatenate(words), "n_tokens_N": n_tokens_N}
    about = {"encoder": files.name, "revision": files.revision, "lines": json.dumps(lines)}
    about |= {"doubts": json.dumps(dict(zip(lines, doubts, strict=True)))}
    with writing(folder / f"{fingerprint(lines)}.safetensors") as temporary:
        save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, temporary, about)


def _cached(lines: set[str], folder: Path) -> dict[str, Line]:
    """What the cache has of these lines; only files that hold one of them are read."""
    from safetensors import safe_open

    found: dict[str, Line] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "numpy") as opened:
            texts, doubts = (json.loads(opened.metadata().get(key, "{}")) for key in ("lines", "doubts"))
            wanted = {row: line for row, line in enumerate(texts) if line in lines and line not in found}
            if wanted:
                pooled_ND, words_TE = opened.get_tensor("pooled_ND"), opened.get_tensor("words_TE")
                words = np.split(words_TE, np.cumsum(opened.get_tensor("n_tokens_N"))[:-1])
                found |= {
                    line: (pooled_ND[row], words[row], doubts.get(line, "")) for row, line in wanted.items()
                }
    return found
