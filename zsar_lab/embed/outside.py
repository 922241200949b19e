"""Embeddings from elsewhere: clips and class texts of any model, in memory or as parquet, npz or safetensors.

Shapes: R rows given, N clips, C classes, D width of the space.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from zsar_lab.data.catalog import VIDEO_SUFFIXES
from zsar_lab.embed.embeddings import ClipEmbeddings
from zsar_lab.files import fingerprint, writing
from zsar_lab.names import match_names
from zsar_lab.shown import Shown
from zsar_lab.text.embeddings import ClassEmbeddings
from zsar_lab.text.prompts import ClassText

GIVEN = "given"  # the prompt of class texts that were embedded elsewhere
FORMS = (".parquet", ".npz", ".safetensors")


class EmbeddingsError(ValueError):
    """Embeddings that cannot be used, or that are of other clips or classes."""


class Embeddings(Shown):
    """Clips and class texts in one space, made elsewhere.

    >>> import zsar_lab as zl
    >>> found = zl.Embeddings(["a/1", "b/1"], [[3, 4], [0, 2]], ["a", "b"], [[1, 0], [0, 1]])
    >>> found.vectors.shape, found.names
    ((2, 2), ('a', 'b'))

    Args:
        clips: an id or a path of each row of `vectors`.
        vectors: [R, D], any float; rows become unit length.
        names: a class of each row of `text_vectors`.
        text_vectors: [.., D]; None without class texts.
        provenance: where they come from, such as model, revision, training_sets, prompt, licence.
        average: whether a clip or class of several rows (views, windows, prompts) is the mean of its unit
            rows; such rows are refused otherwise.

    Attributes: clips, names (each once, in their order), vectors float32 [N, D] and text_vectors float32
    [C, D] (unit rows), provenance.

    Raises:
        EmbeddingsError: numbers that do not fit, no row, a row that is zero or not finite, or one twice.
    """

    def __init__(
        self,
        clips: Sequence[str],
        vectors: Any,
        names: Sequence[str] | None = None,
        text_vectors: Any = None,
        provenance: Mapping[str, str] | None = None,
        average: bool = False,
    ) -> None:
        self.clips, self.vectors = _one_a_name("clip", clips, vectors, average)
        self.names: tuple[str, ...] = ()
        self.text_vectors: np.ndarray | None = None
        self.provenance = dict(provenance or {})
        if (names is None) != (text_vectors is None):
            raise EmbeddingsError("names and text_vectors come together, got one of them alone")
        if names is not None:
            self.names, self.text_vectors = _one_a_name("class", names, text_vectors, average)
            widths = self.vectors.shape[1], self.text_vectors.shape[1]
            if len(set(widths)) > 1:
                raise EmbeddingsError(
                    f"clips and class texts must be equally wide, got {widths[0]} and {widths[1]}"
                )

    def _facts(self) -> dict[str, Any]:
        counts = {"clips": len(self.clips), "classes": len(self.names), "width": self.vectors.shape[1]}
        return counts | self.provenance

    @property
    def fingerprint(self) -> str:
        """Hash of all of it."""
        texts = [] if self.text_vectors is None else [list(self.names), self.text_vectors]
        return fingerprint("embeddings", list(self.clips), self.vectors, *texts, self.provenance)

    @staticmethod
    def read(path: str | Path, texts: str | Path | None = None, average: bool = False) -> Embeddings:
        """Read a file by its ending, and class texts from another one where they are not in it.

        Parquet: a row a vector, columns clip and embedding (a list), or name and embedding in a file of
        texts; npz: arrays clip, embedding, and name, text_embedding; safetensors: tensors embedding and
        text_embedding, with clip and name as json lists in the metadata, what else is there as provenance.

        Raises:
            FileNotFoundError: there is no such file.
            EmbeddingsError: another ending, something is missing, or as the class.
        """
        found = _read(Path(path))
        if texts is not None:
            beside = _read(Path(texts))
            found |= {name: beside.get(name) for name in ("name", "text_embedding")}
            if beside.get("name") is None:
                raise EmbeddingsError(f"'{texts}' must hold name and its embedding")
        if found.get("clip") is None or found.get("embedding") is None:
            raise EmbeddingsError(f"'{path}' must hold clip and embedding")
        given = found["clip"], found["embedding"], found.get("name"), found.get("text_embedding")
        return Embeddings(*given, found.get("provenance"), average)

    def save(self, path: str | Path) -> Path:
        """Write a safetensors file that `read` takes; EmbeddingsError for another ending."""
        path = Path(path)
        if path.suffix != ".safetensors":
            raise EmbeddingsError(f"embeddings are saved as .safetensors, got '{path.name}'")
        tensors, about = {"embedding": self.vectors}, self.provenance | {"clip": json.dumps(list(self.clips))}
        if self.text_vectors is not None:
            tensors["text_embedding"], about["name"] = self.text_vectors, json.dumps(list(self.names))
        with writing(path) as temporary:
            save_file({name: np.ascontiguousarray(rows) for name, rows in tensors.items()}, temporary, about)
        return path

    def of_clips(self, table: pd.DataFrame) -> ClipEmbeddings:
        """The embeddings of a table's clips (columns id, class), matched by id or by the end of a path.

        EmbeddingsError where an embedding belongs to no clip, or two to one.
        """
        known = _endings(table["id"].tolist())
        found = [known.get(_bare(clip)) or known.get(_bare(clip).rpartition("/")[2]) for clip in self.clips]
        strange = [clip for clip, one in zip(self.clips, found, strict=True) if one is None]
        if strange:
            near = get_close_matches(_bare(strange[0]), list(known), 1, 0.5)
            hint = f"; the nearest clip is {near[0]!r}" if near else ""
            raise EmbeddingsError(f"{len(strange)} embeddings are of no clip, such as {strange[0]!r}{hint}")
        if twice := pd.Series(found)[pd.Series(found).duplicated()].tolist():
            raise EmbeddingsError(f"a clip has one embedding, {twice[0]!r} has more; average them")
        class_of = dict(zip(table["id"], table["class"], strict=True))
        ids = tuple(one for one in found if one)
        labels = tuple(class_of[one] for one in ids)
        none_NPD = np.zeros((len(found), 0, self.vectors.shape[1]), np.float16)
        about = {name: str(value) for name, value in self.provenance.items()}
        return ClipEmbeddings(ids, labels, self.vectors, none_NPD, self.fingerprint, about)

    def of_classes(self, classes: Sequence[str]) -> ClassEmbeddings:
        """The embedded texts of these classes, found by `match_names`; EmbeddingsError where one has none."""
        if self.text_vectors is None:
            raise EmbeddingsError("zero-shot scores need embeddings of class texts, there are none")
        meant = match_names(self.names, classes).class_of
        row_of = {meant.get(name, name): row for row, name in enumerate(self.names)}
        lacking = [name for name in classes if name not in row_of]
        if lacking:
            got = f"{len(lacking)} have none, such as {lacking[0]!r}"
            raise EmbeddingsError(f"every class needs an embedded text, {got}")
        rows_CD = self.text_vectors[[row_of[name] for name in classes]]
        text = ClassText(GIVEN, tuple(classes), tuple(classes))
        none = np.zeros((len(classes), 1, 1), np.float32), np.zeros((len(classes), 1), bool)
        return ClassEmbeddings(text, self.fingerprint, rows_CD, *none)


def _one_a_name(
    what: str, names: Sequence[str], vectors: Any, average: bool
) -> tuple[tuple[str, ...], np.ndarray]:
    """Names, each once, with unit rows."""
    names = [str(name) for name in names]
    try:
        rows_RD = np.asarray(vectors, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise EmbeddingsError(f"vectors must be a table of numbers, equally wide: {error}") from error
    if rows_RD.ndim != 2 or len(rows_RD) != len(names) or not rows_RD.size:
        raise EmbeddingsError(f"every {what} needs a vector, got {len(names)} and {list(rows_RD.shape)}")
    lengths_R = np.linalg.norm(rows_RD, axis=1)
    bad = np.flatnonzero(~np.isfinite(lengths_R) | (lengths_R == 0))
    if len(bad):
        such = f"{len(bad)} are not, such as that of {names[bad[0]]!r}"
        raise EmbeddingsError(f"vectors must be finite and not zero (float16 ends at 65504), {such}")
    codes_R, once = pd.factorize(pd.Series(names, dtype=object))
    if len(once) < len(names) and not average:
        twice = pd.Series(names)[pd.Series(names).duplicated()].iloc[0]
        raise EmbeddingsError(f"each {what} comes once, got {twice!r} again; average=True takes means")
    rows_RD = rows_RD / lengths_R[:, None]
    sums_ND = rows_RD if len(once) == len(names) else np.zeros((len(once), rows_RD.shape[1]))
    if len(once) < len(names):
        np.add.at(sums_ND, codes_R, rows_RD)
    lengths_N = np.linalg.norm(sums_ND, axis=1, keepdims=True)
    if not lengths_N.all():
        raise EmbeddingsError(f"the rows of a {what} cancel out: {once[int(lengths_N.argmin())]!r}")
    return tuple(once), (sums_ND / lengths_N).astype(np.float32)


def _read(path: Path) -> dict[str, Any]:
    """What a file holds, by the names of its npz form."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no file '{path}'")
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
        if path.suffix == ".safetensors":
            with safe_open(path, "numpy") as opened:
                about = dict(opened.metadata() or {})
                found = {name: opened.get_tensor(name) for name in opened.keys()}
            found |= {name: json.loads(about.pop(name)) for name in ("clip", "name") if name in about}
            return found | {"provenance": about}
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
            column, vector = ("clip", "embedding") if "clip" in table else ("name", "text_embedding")
            if column not in table or "embedding" not in table:
                raise EmbeddingsError(f"'{path}' must have the columns clip or name, and embedding")
            rows = [np.asarray(row, dtype=float) for row in table["embedding"]]
            return {column: table[column].tolist(), vector: np.stack(rows) if rows else np.zeros((0, 0))}
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        if isinstance(error, EmbeddingsError):
            raise
        raise EmbeddingsError(f"'{path}' cannot be read as embeddings: {error}") from error
    raise EmbeddingsError(f"embeddings come as {', '.join(FORMS)}, got '{path.name}'")


def _bare(clip: str) -> str:
    """The last two parts of a path, without the suffix of a video."""
    parts = str(clip).replace("\\", "/").strip("/").split("/")[-2:]
    stem, dot, suffix = parts[-1].rpartition(".")
    if dot and f".{suffix.lower()}" in VIDEO_SUFFIXES:
        parts[-1] = stem
    return "/".join(parts)


def _endings(ids: Sequence[str]) -> dict[str, str]:
    """Clips by their id as a path ends, and by the file's name alone where it is of one clip."""
    known = {_bare(clip): clip for clip in ids}
    files = pd.Series({clip: _bare(clip).rpartition("/")[2] for clip in ids})
    once = files[~files.duplicated(keep=False)]
    return {name: clip for clip, name in once.items()} | known
