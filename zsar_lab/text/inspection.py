"""What the encoder makes of one class text and of all of them: words, lengths, nearest classes, the order of clusters; and texts kept as csv.

Shapes: C classes, F width of a class text's embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from zsar_lab.files import writing
from zsar_lab.text.classtext import ClassText
from zsar_lab.text.flags import COLUMNS, OTHER_LABEL, find_flags
from zsar_lab.text.own_texts import TextsFromFile
from zsar_lab.text.relatedness import CENTRED, PLAIN, Relatedness

if TYPE_CHECKING:  # an encoder is handed in; this module loads none
    from zsar_lab.text.embeddings import ClassEmbeddings
    from zsar_lab.text.encoder import TextEncoder, Word

NO_FLAGS = pd.DataFrame({column: [] for column in COLUMNS})


@dataclass(frozen=True)
class LineRead:
    """One line of a class text as the encoder reads it.

    Attributes:
        text: the exact line.
        words: with their pieces; punctuation counts as a word.
        n_tokens: with the tokens that the encoder adds.
    """

    text: str
    words: tuple[Word, ...]
    n_tokens: int

    @property
    def unknown(self) -> tuple[str, ...]:
        """Words that hold a piece the encoder does not know."""
        return tuple(word.text for word in self.words if word.unknown)

    @property
    def heavily_split(self) -> tuple[str, ...]:
        """Known words read in three pieces or more."""
        return tuple(word.text for word in self.words if word.heavily_split and not word.unknown)


@dataclass(frozen=True, eq=False)
class ClassInspection:
    """What there is to see of one class text.

    Attributes:
        name, label: of the class.
        prompt: of the class texts.
        lines: the exact text, line by line.
        most_tokens: that the encoder reads of a line.
        averaged: the lines' embeddings are averaged, else set side by side.
        nearest: as `nearest`.
        flags: rows of `flags_of` on this class.
    """

    name: str
    label: str
    prompt: str
    lines: tuple[LineRead, ...]
    most_tokens: int
    averaged: bool
    nearest: pd.DataFrame
    flags: pd.DataFrame


def read_lines(texts: Sequence[str], encoder: TextEncoder) -> dict[str, LineRead]:
    """Each different line of these texts as the encoder reads it.

    Raises:
        ValueError: a line is empty, or longer than the encoder reads.
    """
    lines = list(dict.fromkeys(line for text in texts for line in text.split("\n")))
    return {
        line: LineRead(line, tuple(encoder.words(line)), len(ids))
        for line, ids in zip(lines, encoder.tokens(lines), strict=True)
    }


def inspect_class(
    embeddings: ClassEmbeddings,
    labels: Mapping[str, str],
    name: str,
    encoder: TextEncoder,
    flags: pd.DataFrame = NO_FLAGS,
    n: int = 8,
    seen: Sequence[str] | None = None,
) -> ClassInspection:
    """Look at one class text.

    Args:
        embeddings: of all class texts.
        labels: the readable label of each class name.
        name: the class.
        encoder: the one that embedded, see `open_encoder`.
        flags: of `flags_of`, for all classes.
        n, seen: see `nearest`.

    Raises:
        ValueError: there is no such class, or as `read_lines`.
    """
    near = nearest(embeddings, name, n, seen)
    text = embeddings.class_text.texts[int(embeddings.rows((name,))[0])]
    read = read_lines([text], encoder)
    own = flags[flags["name"] == name].reset_index(drop=True)
    lines = tuple(read[line] for line in text.split("\n"))
    prompt, averaged = embeddings.class_text.prompt, embeddings.class_text.averaged
    return ClassInspection(name, labels[name], prompt, lines, encoder.model.most_tokens, averaged, near, own)


def nearest(
    embeddings: ClassEmbeddings, name: str, n: int = 8, seen: Sequence[str] | None = None
) -> pd.DataFrame:
    """The classes whose texts are most related to that of one class.

    Args:
        embeddings: of all class texts.
        name: the class.
        n: rows at most.
        seen: the classes whose mean is the centre, as in transfer; all of them when None.

    Returns:
        Columns class, centred, cosine (relatedness "centred" and "plain", -1..1), the largest centred one
        first.

    Raises:
        ValueError: there is no such class, n is below 1, or as `Relatedness.fit`.
    """
    if n < 1:
        raise ValueError(f"n must be 1 or more (rows of nearest classes), got {n}")
    row = int(embeddings.rows((name,))[0])
    if len(embeddings.names) == 1:
        return pd.DataFrame({"class": [], "centred": [], "cosine": []})
    columns = {
        kind: _relatedness(embeddings, kind, seen, rows=slice(row, row + 1))[0] for kind in (CENTRED, PLAIN)
    }
    table = pd.DataFrame(
        {"class": embeddings.names, "centred": columns[CENTRED], "cosine": columns[PLAIN]}
    ).drop(index=row)
    return table.sort_values("centred", ascending=False, kind="stable", ignore_index=True).head(n)


def text_overview(
    embeddings: ClassEmbeddings,
    labels: Mapping[str, str],
    encoder: TextEncoder,
    flags: pd.DataFrame = NO_FLAGS,
    seen: Sequence[str] | None = None,
) -> pd.DataFrame:
    """One row a class, to sort by: what is odd in a whole dataset's class texts.

    Args:
        embeddings, labels, encoder, flags, seen: as in `inspect_class`.

    Returns:
        Columns class, label, n_tokens (of the longest line), n_unknown and unknown_words, n_heavily_split and
        heavily_split_words (joined by ", "), nearest (class), similarity (centred, -1..1; none for a single
        class), n_flags and flags (kinds joined by ", ").

    Raises:
        ValueError: as `read_lines` or `Relatedness.fit`.
    """
    texts, names = embeddings.class_text.texts, embeddings.names
    read = read_lines(texts, encoder)
    lines_of = [[read[line] for line in text.split("\n")] for text in texts]
    unknown = [list(dict.fromkeys(word for line in lines for word in line.unknown)) for lines in lines_of]
    split = [list(dict.fromkeys(word for line in lines for word in line.heavily_split)) for lines in lines_of]
    others, similarities = _most_related(embeddings, seen) if len(names) > 1 else ([""], [np.nan])
    kinds = flags.groupby("name")["flag"].agg(list).to_dict()
    content = {
        "class": names,
        "label": [labels[name] for name in names],
        "n_tokens": [max(line.n_tokens for line in lines) for lines in lines_of],
        "n_unknown": list(map(len, unknown)),
        "unknown_words": [", ".join(words) for words in unknown],
        "n_heavily_split": list(map(len, split)),
        "heavily_split_words": [", ".join(words) for words in split],
        "nearest": others,
        "similarity": similarities,
        "n_flags": [len(kinds.get(name, ())) for name in names],
        "flags": [", ".join(dict.fromkeys(kinds.get(name, ()))) for name in names],
    }
    return pd.DataFrame(content)


def flags_of(
    class_text: ClassText, labels: Mapping[str, str], embed: Callable[[ClassText], ClassEmbeddings]
) -> pd.DataFrame:
    """`find_flags` on class texts of any prompt.

    What stands in front of a text as `<label>: `, of its own class or another, is left out, for it would hide
    that the rest is of another class. Lines set side by side count by their mean, as flags compare a text
    with a label, which is one line. Where most texts are the label, or one template filled with it, only
    those that are not can be "nearer another label".

    Args:
        class_text: of all classes.
        labels: the readable label of each class name.
        embed: reads class texts, `workspace.embed`.

    Raises:
        ValueError: a class has no label, or as `find_flags` or `embed`.
    """
    names, texts = class_text.names, class_text.texts
    missing = [name for name in names if name not in labels]
    if missing:
        raise ValueError(
            f"every class needs a label, {missing[0]!r} has none; take labels_of(catalog), or label(classes) of its table"
        )
    own = tuple(labels[name] for name in names)
    rests = tuple(_behind_label(text, set(own)) for text in texts)
    label_CF, text_CF = (
        embed(ClassText("label", names, own)).pooled_CF,
        embed(replace(class_text, texts=rests)).pooled_CF,
    )
    n_lines = text_CF.shape[1] // label_CF.shape[1]
    if n_lines > 1 and text_CF.shape[1] == n_lines * label_CF.shape[1]:
        text_CF = text_CF.reshape(len(text_CF), n_lines, -1).mean(1)
    flags = find_flags(names, own, label_CF, text_CF, rests)
    named = {name for name, is_label in zip(names, made_of_labels(own, texts), strict=True) if is_label}
    return flags[(flags["flag"] != OTHER_LABEL) | ~flags["name"].isin(named)].reset_index(drop=True)


def made_of_labels(labels: Sequence[str], texts: Sequence[str]) -> list[bool]:
    """Of each text whether it is the label, or the template that most texts are, filled with it; False for all where most texts are not."""
    rests = pd.Series(
        [text.replace(label, "{}") for label, text in zip(labels, texts, strict=True)], dtype=str
    )
    counts = rests.value_counts()
    return [bool(counts.iloc[0] > len(rests) / 2 and rest == counts.index[0]) for rest in rests]


def _behind_label(text: str, labels: set[str]) -> str:
    """What stands behind `<label>: ` of any class; the text itself where nothing does."""
    front, _, rest = text.partition(": ")
    return rest.strip() if front in labels and rest.strip() else text


def relatedness_of(
    embeddings: ClassEmbeddings, names: Sequence[str], kind: str = CENTRED, seen: Sequence[str] | None = None
) -> np.ndarray:
    """Relatedness of each of these classes to each other, float64 [C, C]; fitted on the seen classes, on all embedded ones when None.

    Raises:
        ValueError: a class has no text, or no such kind.
    """
    rows = embeddings.rows(tuple(names))
    return _relatedness(embeddings, kind, seen)[np.ix_(rows, rows)]


def cluster_order(related_CC: np.ndarray) -> np.ndarray:
    """The order in which related classes stand side by side: hierarchical clustering on 1 - r, average linkage, optimal order of leaves.

    Args:
        related_CC: symmetric relatedness, -1..1.

    Returns:
        A permutation of 0..C-1, int64.

    Source: Bar-Joseph, Gifford, Jaakkola: Fast optimal leaf ordering for hierarchical clustering, 2001
    (scipy's).
    """
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    if len(related_CC) < 3:
        return np.arange(len(related_CC))
    distance_CC = np.maximum(1 - (related_CC + related_CC.T) / 2, 0)
    np.fill_diagonal(distance_CC, 0)
    tree = linkage(squareform(distance_CC, checks=False), "average", optimal_ordering=True)
    return leaves_list(tree).astype(np.int64)


def edited_names(before: ClassText, after: ClassText) -> list[str]:
    """The classes whose texts differ, in the order of `before`; both must be of the same classes."""
    return [
        name for name, old, new in zip(before.names, before.texts, after.texts, strict=True) if old != new
    ]


def put_back(before: ClassText, after: ClassText, name: str) -> ClassText:
    """`after` with the text that `before` has for one class; `before` itself, with its prompt's name, when no other text differs.

    Raises:
        ValueError: there is no such class.
    """
    text_of = dict(zip(before.names, before.texts, strict=True))
    restored = after.edited(name, text_of.get(name, ""))
    return restored if edited_names(before, restored) else before


def save_texts(class_text: ClassText, path: str | Path, overwrite: bool = False) -> Path:
    """Write class texts as a csv file with the columns name and text, which `prompt_named(path)` and a study's `class_text` read back.

    Args:
        class_text: all texts, with those edited.
        path: of the file, ending in .csv.
        overwrite: replace a file that is there.

    Raises:
        FileExistsError: the file is there, and is not to be overwritten.
        ValueError: the path does not end in .csv, or the texts would read otherwise from a csv file.
    """
    path = Path(path)
    if path.suffix.lower() != ".csv":
        raise ValueError(f"the file of class texts must end in .csv, got '{path}'; add the ending")
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"class texts are written to a new file, '{path}' is already there; choose another name, or delete it"
        )
    if class_text.averaged:
        raise ValueError(
            f"a csv file sets lines side by side, but those of the prompt {class_text.prompt!r} are averaged; edit the texts of another prompt, or"
            " keep the templates themselves"
        )
    counts = [text.count("\n") for text in class_text.texts]
    odd = [
        name
        for name, text, count in zip(class_text.names, class_text.texts, counts)
        if count != counts[0] or not text.strip()
    ]
    if odd:
        raise ValueError(
            f"class texts must be filled and of as many lines as the first ({counts[0] + 1}), that of {odd[0]!r} is not; mend it"
        )
    with writing(path) as temporary:
        pd.DataFrame({"name": class_text.names, "text": class_text.texts}).to_csv(
            temporary, index=False, encoding="utf-8", lineterminator="\n"
        )
        read = TextsFromFile(str(temporary))(pd.DataFrame({"name": class_text.names}))
        for name, text, again in zip(class_text.names, class_text.texts, read, strict=True):
            if text != again:
                raise ValueError(
                    f"class texts must read the same from a csv file, that of {name!r} does not: {text!r} would be {again!r}; mend it"
                )
    return path


def _most_related(embeddings: ClassEmbeddings, seen: Sequence[str] | None) -> tuple[list[str], np.ndarray]:
    """Of each class the one most related by centred relatedness, and how much."""
    related_CC = _relatedness(embeddings, CENTRED, seen)
    np.fill_diagonal(related_CC, -np.inf)
    return [embeddings.names[other] for other in related_CC.argmax(1)], related_CC.max(1)


def _relatedness(
    embeddings: ClassEmbeddings, kind: str, seen: Sequence[str] | None, rows: slice = slice(None)
) -> np.ndarray:
    """Relatedness of these rows to all classes, float64, fitted on the seen classes (all when None)."""
    text_CF = embeddings.pooled_CF.astype(float)
    fitted_on = text_CF if seen is None else text_CF[embeddings.rows(tuple(seen))]
    return Relatedness.fit(fitted_on, kind).between(text_CF[rows], text_CF)
