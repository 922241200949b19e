"""Embedded class texts, and the cache that reads a text only once with an encoder.

Shapes: C classes, L tokens, M lines of a class text, E width of the encoder's last layer, D of a line's
embedding, F of a class text's (M D; D where lines are averaged).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zsar_lab.files import fingerprint, writing
from zsar_lab.text.encoder import TextTooLong, has_word, open_encoder
from zsar_lab.text.encoder_files import EncoderFiles
from zsar_lab.text.prompts import ClassText


@dataclass(frozen=True, eq=False)
class ClassEmbeddings:
    """What the language model makes of each class text.

    Attributes:
        class_text: the texts embedded, in the order of the rows.
        encoder: the encoder's revision.
        pooled_CF: float32, unit rows: the embeddings of a text's lines side by side, so that a cosine of two
            rows is the mean of the cosines line by line; or their mean, where the class text is averaged.
        words_CLE: float32, the encoder's last layer for each token of all lines, zero where `mask_CL` is
            False.
        mask_CL: bool, True at a token.
    """

    class_text: ClassText
    encoder: str
    pooled_CF: np.ndarray
    words_CLE: np.ndarray
    mask_CL: np.ndarray

    @property
    def names(self) -> tuple[str, ...]:
        return self.class_text.names

    @property
    def fingerprint(self) -> str:
        return fingerprint("class embeddings", self.class_text.fingerprint, self.encoder)

    def rows(self, names: tuple[str, ...]) -> np.ndarray:
        """Row numbers of these classes, int64.

        Raises:
            ValueError: a class has no text here.
        """
        position = {name: row for row, name in enumerate(self.names)}
        missing = [name for name in names if name not in position]
        if missing:
            raise ValueError(
                f"every class needs a class text, {missing[0]!r} is none of the {len(self.names)} that have one; mend the"
                " name, or add it to classes.csv"
            )
        return np.array([position[name] for name in names], dtype=np.int64)


def embed_class_text(
    class_text: ClassText, files: EncoderFiles, folder: Path | None = None
) -> ClassEmbeddings:
    """Embed class texts, line by line; a line that the encoder read before is taken from the cache.

    With e_m the unit embedding of line m: pooled = (e_1, ..., e_M) / sqrt(M) side by side, or normalise(sum_m
    e_m) where the class text is averaged.

    Args:
        class_text: one text a class, of equally many lines (of any number where it is averaged).
        files: from `find_encoder`.
        folder: of the cache, `<folder>/<encoder revision>/*.safetensors`; None keeps nothing.

    Returns:
        Embeddings in the order of `class_text.names`.

    Raises:
        ValueError: no class, texts of different numbers of lines, an empty one (the class is named), or as
            `load_language_model`.
        TextTooLong: one is longer than the encoder reads (the class is named).

    Source: averaging over templates is what CLIP does (Radford et al., 2021); lines side by side are ours.
    """
    lines_of = [text.split("\n") for text in class_text.texts]
    if not lines_of:
        raise ValueError(
            "there must be at least one class with a text, got none; give the classes of a catalog"
        )
    check_lines(class_text)
    read = _read(class_text, files, folder)
    pooled, words = [], []
    for lines in lines_of:
        vectors = np.stack([read[line][0] for line in lines])
        joined = vectors.sum(0) if class_text.averaged else vectors.ravel()
        pooled.append(joined / max(float(np.linalg.norm(joined)), 1e-12))
        words.append(np.concatenate([read[line][1] for line in lines]))
    n_tokens = np.array([len(tokens) for tokens in words])
    words_CLE = np.zeros((len(words), n_tokens.max(), words[0].shape[1]), dtype=np.float32)
    for row, tokens in enumerate(words):
        words_CLE[row, : len(tokens)] = tokens
    mask_CL = np.arange(n_tokens.max()) < n_tokens[:, None]
    return ClassEmbeddings(
        class_text, files.revision, np.stack(pooled).astype(np.float32), words_CLE, mask_CL
    )


def check_differ(embedded: ClassEmbeddings) -> None:
    """Check that class texts tell classes apart.

    Raises:
        ValueError: all of them are the same to the encoder.
    """
    pooled_CF, text = embedded.pooled_CF, embedded.class_text
    if len(pooled_CF) > 1 and np.allclose(pooled_CF, pooled_CF[0], atol=1e-5):
        raise ValueError(
            f"class texts must differ from class to class, those of {text.prompt!r} are all the same to the encoder (such as {text.texts[0]!r});"
            " write others, or choose another encoder"
        )


def check_lines(class_text: ClassText) -> None:
    """Check that every line can be read, and that lines which are set side by side are equally many.

    Raises:
        ValueError: a line without a letter or digit, or another number of lines than the first text has; the
            class is named.
    """
    lines_of = [text.split("\n") for text in class_text.texts]
    for name, lines in zip(class_text.names, lines_of, strict=True):
        if not all(has_word(line) for line in lines):
            raise ValueError(
                f"a class text must hold a letter or digit in each line, that of {name!r} does not ({class_text.prompt}); write it"
            )
        if not class_text.averaged and len(lines) != len(lines_of[0]):
            raise ValueError(
                f"every class text must have as many lines as the first ({len(lines_of[0])}), that of {name!r} has {len(lines)}; mend it"
            )


def _read(
    class_text: ClassText, files: EncoderFiles, folder: Path | None
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Embedding [D] and last layer [L, E] of each line: from the cache, the missing ones by the encoder, which are then kept."""
    class_of = {
        line: name
        for name, text in zip(class_text.names, class_text.texts, strict=True)
        for line in text.split("\n")
    }
    kept = {} if folder is None else _kept(set(class_of), Path(folder) / files.revision)
    missing = [line for line in class_of if line not in kept]
    if missing:
        try:
            pooled_ND, words = open_encoder(files).encode(missing)
        except TextTooLong as error:
            raise TextTooLong(
                f"the class text of {class_of[error.text]!r} ({class_text.prompt}) cannot be read: {error}",
                error.text,
            ) from error
        if folder is not None:
            _keep(missing, pooled_ND, words, Path(folder) / files.revision, files)
        kept |= {line: (pooled_ND[row], words[row]) for row, line in enumerate(missing)}
    return kept


def _keep(
    lines: Sequence[str],
    pooled_ND: np.ndarray,
    words: Sequence[np.ndarray],
    folder: Path,
    files: EncoderFiles,
) -> None:
    from safetensors.numpy import save_file

    tensors = {
        "pooled_ND": pooled_ND,
        "words_TE": np.concatenate(words),
        "n_tokens_N": np.array([len(tokens) for tokens in words]),
    }
    about = {"encoder": files.name, "revision": files.revision, "texts": json.dumps(list(lines))}
    with writing(folder / f"{fingerprint(list(lines))}.safetensors") as temporary:
        save_file(tensors, temporary, metadata=about)


def _kept(lines: set[str], folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What the cache has of these lines; only files that hold one of them are read."""
    from safetensors import safe_open

    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "numpy") as opened:
            wanted = {
                row: line
                for row, line in enumerate(json.loads(opened.metadata()["texts"]))
                if line in lines and line not in found
            }
            if wanted:
                pooled_ND, words_TE = opened.get_tensor("pooled_ND"), opened.get_tensor("words_TE")
                ends = np.cumsum(opened.get_tensor("n_tokens_N"))
                starts = np.concatenate([[0], ends[:-1]])
                found |= {
                    line: (pooled_ND[row], words_TE[starts[row] : ends[row]]) for row, line in wanted.items()
                }
    return found
