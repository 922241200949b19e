"""Embeddings from elsewhere: clips and class texts of any model, in memory or as parquet, npz or safetensors.

Shapes: R rows given, N clips, C classes, D width of the space.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any, cast
from zipfile import BadZipFile

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
ARRAYS = ("embedding", "text_embedding", "language_embedding")  # names in a file
FORMS = (".parquet", ".npz", ".safetensors")
BROKEN = (OSError, KeyError, TypeError, ValueError, EOFError, AttributeError, BadZipFile, SafetensorError)
UNIT = 2e-7  # off 1, the length of rows that are of unit length already


class EmbeddingsError(ValueError):
    """Embeddings that cannot be used, or that are of other clips or classes."""


class Embeddings(Shown):
    """Clips and class texts in one space, made elsewhere or by `zl.embed_dataset`.

    >>> import zsar_lab as zl
    >>> found = zl.Embeddings(["a/1", "b/1"], [[3, 4], [0, 2]], ["a", "b"], [[1, 0], [0, 1]])
    >>> found.vectors.shape, found.names
    ((2, 2), ('a', 'b'))

    Args:
        clips: an id or a path of each row of `vectors`.
        vectors: [R, D], any float; rows become unit length.
        names: a class of each row of `text_vectors`.
        text_vectors: [.., D], in the clips' space; None without such.
        provenance: where they come from, such as model, revision, training_sets, trained_classes (no unseen
            class may be one of them), prompt, licence.
        average: whether a clip or class of several rows (views, windows, prompts) is the mean of its unit
            rows; such rows are refused otherwise.
        language_vectors: [.., F], of the names by a language model of any width; ridge and transfer read them
            in the place of `text_vectors`, so that models without a text side can be scored.

    Attributes: clips, names (each once, in their order), vectors float32 [N, D], text_vectors float32 [C, D]
    and language_vectors float32 [C, F] (unit rows), provenance (of texts).

    Raises:
        EmbeddingsError: numbers that do not fit, no row, an id that is no text, a row that is zero or not
            finite, or one twice.
    """

    def __init__(
        self,
        clips: Sequence[str],
        vectors: Any,
        names: Sequence[str] | None = None,
        text_vectors: Any = None,
        provenance: Mapping[str, Any] | None = None,
        average: bool = False,
        language_vectors: Any = None,
    ) -> None:
        self.clips, self.vectors = _one_a_name("clip", clips, vectors, average)
        self.names: tuple[str, ...] = ()
        self.text_vectors: np.ndarray | None = None
        self.language_vectors: np.ndarray | None = None
        if not isinstance(given := {} if provenance is None else provenance, Mapping):
            raise EmbeddingsError(f"provenance must be names with values, got {str(given)[:60]!r}")
        told = {str(name): value for name, value in given.items() if value is not None}
        self.provenance = {name: of if isinstance(of, str) else _as_json(of) for name, of in told.items()}
        if (names is None) != (text_vectors is None and language_vectors is None):
            raise EmbeddingsError("names and text_vectors come together, got one of them alone")
        if names is not None and language_vectors is not None:
            self.names, self.language_vectors = _one_a_name("class", names, language_vectors, average)
        if names is not None and text_vectors is not None:
            self.names, self.text_vectors = _one_a_name("class", names, text_vectors, average)
            widths = self.vectors.shape[1], self.text_vectors.shape[1]
            if len(set(widths)) > 1:
                raise EmbeddingsError(
                    f"clips and class texts must be equally wide, got {widths[0]} and {widths[1]}"
                )

    def _facts(self) -> dict[str, Any]:
        counts = {"clips": len(self.clips), "classes": len(self.names), "width": self.vectors.shape[1]}
        return counts | self.provenance

    def _arrays(self) -> dict[str, np.ndarray]:
        """What there is, by the names of a file."""
        rows = self.vectors, self.text_vectors, self.language_vectors
        return {name: np.ascontiguousarray(of) for name, of in zip(ARRAYS, rows) if of is not None}

    @property
    def training_sets(self) -> tuple[str, ...]:
        """As the provenance names them, a list, or a text with ";" between them; () where it does not."""
        return self._listed("training_sets")

    @property
    def trained_classes(self) -> tuple[str, ...]:
        """Names of the classes that the model was trained on, likewise."""
        return self._listed("trained_classes")

    def _listed(self, name: str) -> tuple[str, ...]:
        given: Any = self.provenance.get(name) or ()
        if isinstance(given, str):
            given = json.loads(given) if given.startswith("[") else given.split(";")
        return tuple(filter(None, (str(one).strip() for one in given)))

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all of it, as it was when first asked for."""
        vectors, *texts = self._arrays().values()
        of_texts = [list(self.names), *texts] if texts else []
        return fingerprint("embeddings", list(self.clips), vectors, *of_texts, self.provenance)

    @staticmethod
    def read(
        path: str | Path | pd.DataFrame, texts: str | Path | pd.DataFrame | None = None, average: bool = False
    ) -> Embeddings:
        """Read a file by its ending, or a table, and class texts from another one where they are not in it.

        Parquet or a table: a row a vector, columns clip and embedding (a list), or name and embedding for a
        class text, its attrs are the provenance; npz: arrays clip, embedding, and name, text_embedding;
        safetensors: tensors embedding and text_embedding, with clip and name as json lists in the metadata.
        Language vectors are language_embedding, provenance is provenance (json); of safetensors it is also
        what else the metadata hold.

        Raises:
            FileNotFoundError: there is no such file.
            EmbeddingsError: another ending, something is missing, or as the class.
        """
        found = _read(path)
        if texts is not None:
            beside = _read(texts)
            _check_holds(beside, texts, "name")
            about = found["provenance"] | beside["provenance"]
            found |= {name: beside.get(name) for name in ("name", *ARRAYS[1:])} | {"provenance": about}
        _check_holds(found, path, "clip", "embedding")
        given = found["clip"], found["embedding"], found.get("name"), found.get("text_embedding")
        return Embeddings(*given, found["provenance"], average, found.get("language_embedding"))

    def save(self, path: str | Path) -> Path:
        """Write a file that `read` takes, by its ending; EmbeddingsError for another one."""
        path, arrays, about = check_form(Path(path)), self._arrays(), json.dumps(self.provenance)
        ids = {"clip": list(self.clips)} | ({"name": list(self.names)} if self.names else {})
        with writing(path) as temporary:
            if path.suffix == ".safetensors":
                names = {name: json.dumps(of) for name, of in ids.items()}
                save_file(arrays, temporary, names | {"provenance": about})
            elif path.suffix == ".npz":
                texts = {name: np.array(of) for name, of in ids.items()} | {"provenance": np.array(about)}
                np.savez(temporary, **cast(dict[str, Any], arrays | texts))
            else:
                table = pd.DataFrame({"clip": ids["clip"], "embedding": list(arrays.pop("embedding"))})
                if self.names:
                    rows = {name.replace("text_", ""): list(of) for name, of in arrays.items()}
                    table = pd.concat([table, pd.DataFrame({"name": ids["name"]} | rows)], ignore_index=True)
                table.attrs = self.provenance
                table.to_parquet(temporary, index=False)
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
        ids = pd.Series(found)
        if ids.duplicated().any():
            twice = ids[ids.duplicated()].iloc[0]
            raise EmbeddingsError(f"a clip has one embedding, {twice!r} has more; average them")
        labels = table.set_index("id")["class"][ids]
        none_NPD = np.zeros((len(ids), 0, self.vectors.shape[1]), np.float16)
        return ClipEmbeddings(
            *(tuple(ids), tuple(labels), self.vectors, none_NPD, self.fingerprint, self.provenance)
        )

    def of_classes(self, classes: Sequence[str]) -> ClassEmbeddings:
        """What ridge and transfer read of these classes: language vectors, or texts in the clips' space.

        Classes are found by `match_names`; EmbeddingsError where one has no text.
        """
        rows_CF = self.text_vectors if self.language_vectors is None else self.language_vectors
        if rows_CF is None:
            raise EmbeddingsError("zero-shot scores need embeddings of class texts, there are none")
        text = ClassText(GIVEN, tuple(classes), tuple(classes))
        none = np.zeros((len(classes), 1, 1), np.float32), np.zeros((len(classes), 1), bool)
        return ClassEmbeddings(text, self.fingerprint, rows_CF[self._rows(classes)], *none)

    def points(self, classes: Sequence[str]) -> np.ndarray | None:
        """The texts of these classes in the clips' space, [C, D]; None without such."""
        return None if self.text_vectors is None else self.text_vectors[self._rows(classes)]

    def _rows(self, classes: Sequence[str]) -> list[int]:
        meant = match_names(self.names, classes).class_of
        row_of = {meant.get(name, name): row for row, name in enumerate(self.names)}
        if lacking := [name for name in classes if name not in row_of]:
            such = match_names(lacking, self.names).lacking or lacking[0]
            got = f"{len(lacking)} of {len(classes)} have none, such as {such}"
            raise EmbeddingsError(f"every class needs an embedded text, {got}")
        return [row_of[name] for name in classes]


def nearest_clips(clips: Sequence[str], unit_ND: np.ndarray, vector_D: Any, k: int = 20) -> pd.DataFrame:
    """The k clips of the largest cosine to a vector: rank (from 1), clip, score (-1..1), by (-score, clip).

    Args:
        clips: ids of the rows.
        unit_ND: float32 unit rows.
        vector_D: of any length above 0.
        k: how many; all where there are fewer.

    Raises:
        EmbeddingsError: the vector is of another width, zero or not finite.
        ValueError: k is below 1.
    """
    if k < 1:
        raise ValueError(f"k must be 1 or more, got {k}")
    _, (point_D,) = _one_a_name("query", ["the query"], [vector_D], False)
    if len(point_D) != unit_ND.shape[1]:
        got = f"{unit_ND.shape[1]} and {len(point_D)}"
        raise EmbeddingsError(f"clips and the query must be equally wide, got {got}")
    rough_N, k = unit_ND @ point_D, min(k, len(unit_ND))
    least = np.partition(rough_N, -k)[-k] - 4 * len(point_D) * np.finfo(np.float32).eps
    rows = np.flatnonzero(rough_N >= least)
    # a product of matrices rounds equal rows differently by their place; summed one by one they are ties
    exact = (unit_ND[rows].astype(np.float64) * point_D).sum(1).astype(np.float32)
    ids = np.array([clips[row] for row in rows.tolist()])
    order = np.lexsort((ids, -exact))[:k]
    return pd.DataFrame({"rank": np.arange(1, k + 1), "clip": ids[order].tolist(), "score": exact[order]})


def _one_a_name(
    what: str, names: Sequence[str], vectors: Any, average: bool
) -> tuple[tuple[str, ...], np.ndarray]:
    """Names, each once, with unit rows."""
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise EmbeddingsError(f"ids of {what} rows must be a list, got {names!r}")
    names = list(names)
    if wrong := [name for name in names if not isinstance(name, (str, Path))]:
        got = f"{wrong[0]!r}, {type(wrong[0]).__name__}"
        raise EmbeddingsError(f"ids of {what} rows must be text, got {got} ({len(wrong)} such)")
    names = [str(name) for name in names]
    try:
        if np.iscomplexobj(vectors):
            raise TypeError("they are complex")
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
        twice = names[int(pd.Series(names).duplicated().argmax())]
        raise EmbeddingsError(f"each {what} comes once, got {twice!r} again; average=True takes means")
    sums_ND = rows_RD
    if len(once) < len(names):
        sums_ND = pd.DataFrame(rows_RD / lengths_R[:, None]).groupby(codes_R).sum().to_numpy()
    lengths_N = np.linalg.norm(sums_ND, axis=1, keepdims=True)
    if not lengths_N.all():
        raise EmbeddingsError(f"the rows of a {what} cancel out: {once[int(lengths_N.argmin())]!r}")
    lengths_N[abs(lengths_N - 1) < UNIT] = 1  # so that what was saved is read as it was
    return tuple(once), (sums_ND / lengths_N).astype(np.float32)


def _as_json(value: Any) -> str:
    """Numbers of numpy are numbers, what json does not know is as it prints."""
    return json.dumps(value, default=lambda of: getattr(of, "tolist", of.__str__)())


def check_form(path: Path) -> Path:
    """The path; EmbeddingsError for an ending that is none of FORMS."""
    if path.suffix not in FORMS:
        raise EmbeddingsError(f"embeddings are in files {', '.join(FORMS)}, got '{path.name}'")
    return path


def _check_holds(found: Mapping[str, Any], given: Any, *names: str) -> None:
    """EmbeddingsError where a file or a table lacks one of these."""
    if any(found.get(name) is None for name in names):
        where = "the table" if isinstance(given, pd.DataFrame) else f"'{given}'"
        got = ", ".join(name for name in found if name != "provenance") or "nothing"
        raise EmbeddingsError(f"{where} must hold {' and '.join(names)}, got {got}")


def _read(given: str | Path | pd.DataFrame) -> dict[str, Any]:
    """What a file or a table holds, by the names of the npz form, and provenance, a dict."""
    if isinstance(given, pd.DataFrame):
        return _of_table(given, "the table")
    path = check_form(Path(given))
    if not path.is_file():
        raise FileNotFoundError(f"there is no file '{path}'")
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                found = {name: arrays[name] for name in arrays.files}
            about = json.loads(str(found.pop("provenance", "{}")))
            ids = {name: found[name].tolist() for name in ("clip", "name") if name in found}
            return found | ids | {"provenance": about}
        if path.suffix == ".safetensors":
            with safe_open(path, "numpy") as opened:
                about = dict(opened.metadata() or {})
                found = {name: opened.get_tensor(name) for name in opened.keys()}
            found |= {name: json.loads(about.pop(name)) for name in ("clip", "name") if name in about}
            return found | {"provenance": about | json.loads(about.pop("provenance", "{}"))}
        return _of_table(pd.read_parquet(path), f"'{path}'")
    except EmbeddingsError:
        raise
    except BROKEN as error:
        raise EmbeddingsError(f"'{path}' cannot be read as embeddings: {error}") from error


def _of_table(table: pd.DataFrame, called: str) -> dict[str, Any]:
    """Rows with a clip are clips, those with a name alone are class texts."""
    if not {"clip", "name"} & set(table) or "embedding" not in table:
        columns = ", ".join(map(str, table))
        raise EmbeddingsError(f"{called} must have the columns clip or name, and embedding, got {columns}")
    is_clip = table["clip"].notna() if "clip" in table else pd.Series(False, table.index)
    is_clip |= "name" not in table  # a clip without an id is refused, not left out
    found: dict[str, Any] = {"provenance": dict(table.attrs)}
    clips, texts = table[is_clip], table[~is_clip]
    if "clip" in table:
        found |= {"clip": clips["clip"].tolist(), "embedding": clips["embedding"].tolist()}
    if "name" in table and len(texts):
        given = texts.rename(columns={"embedding": "text_embedding"}).dropna(axis=1, how="all")
        found |= {name: given[name].tolist() for name in ("name", *ARRAYS[1:]) if name in given}
    return found


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
