"""Lint of class texts: flags that ask for a look, and what the encoder makes of each text.

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
from zsar_lab.text.prompts import ClassText, TextsFromFile
from zsar_lab.text.relatedness import CENTRED, PLAIN, Relatedness

if TYPE_CHECKING:  # an encoder is handed in; this module loads none
    from zsar_lab.text.embeddings import ClassEmbeddings
    from zsar_lab.text.encoder import TextEncoder, Word
import re
from collections.abc import Iterator

from zsar_lab.text.relatedness import unit

COLUMNS = ("name", "flag", "other", "value", "limit", "sentence")
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


DUPLICATE, OTHER_LABEL, OUTLIER = "near-duplicate", "nearer another label", "outlier"
FLAGS = (DUPLICATE, OTHER_LABEL, OUTLIER)
# chosen on our descriptions of ucf101 and kinetics400, checked on those of hmdb51, activitynet, kinetics600,
# kinetics700 and the demo
MOST_ALIKE = 0.93
MOST_GAIN = 2.5
LEAST_FIT = 0.8
MOST_BELOW = 3.5
LEAST_COMPANY = -3.0
PROFILE_WEIGHT, PROFILE_CLASSES = 3.0, 10
FIT_SPREAD = 1.0
COMPANY_NEIGHBOURS, COMPANY_SPREAD = 3, 0.05


def find_flags(
    names: Sequence[str],
    labels: Sequence[str],
    label_CF: np.ndarray,
    text_CF: np.ndarray,
    texts: Sequence[str],
    described: bool = True,
) -> pd.DataFrame:
    """Find class texts that are probably wrong, from the texts and labels alone.

    With t_i and l_i the unit embeddings of text and label, each less the mean over the classes and made unit
    again,

        S_ij = t_i . l_j,   T_ij = t_i . t_j,   L_ij = l_i . l_j,   s = standard deviation of S_ij over i !=
        j,

    the text of i is

    - "near-duplicate" of that of j when T_ij > MOST_ALIKE, or when the two are equal but for case,
    punctuation and spaces (value 1);
    - "nearer another label" when it is better swapped with that of some j, by the gain (S_ij + S_ji - S_ii -
      S_jj) / s > MOST_GAIN (j, too, is flagged), or when another label is nearer than its own and its fit
      S_ii / s + w corr_j(T_ij, L_ij) is below LEAST_FIT or MOST_BELOW robust deviations below the median fit.
      The correlation is over the other classes j and says whether the text is like the texts of those classes
      whose labels are like its label; w = PROFILE_WEIGHT C / (C + PROFILE_CLASSES), as few classes say little
      of it;
    - "outlier" when the mean T_ij of its COMPANY_NEIGHBOURS nearest others is more than -LEAST_COMPANY robust
    deviations below its median.

    A robust deviation is 1.4826 times the median absolute deviation over the classes, at least FIT_SPREAD or
    COMPANY_SPREAD.

    A flag asks for a look, it proves nothing: a right text in words far from its label is flagged, too.

    Args:
        names: the classes.
        labels: their readable labels.
        label_CF: embeddings of the labels, [C, F].
        text_CF: embeddings of the texts by the same encoder, [C, F].
        texts: the texts.
        described: False when the class text is the label, or is made of it by a template: then no text is
            "nearer another label".

    Returns:
        One row a class and flag, in the order of the classes, at most one a flag: name, flag, other (the name
        of the other class, "" when there is none), value, limit, sentence. Without rows, but with these
        columns, when nothing is found.

    Raises:
        ValueError: names, labels, texts and embeddings are not of the same classes, or embeddings are not
            finite or not of one width.

    Source: ours.
    """
    names, labels, texts = list(names), list(labels), list(texts)
    _check(names, labels, texts, label_CF, text_CF)
    found: list[tuple[int, str, int | None, float, float, str]] = []
    if len(names) > 1:
        text_CF, label_CF = _centred(text_CF), _centred(label_CF)
        alike_CC = text_CF @ text_CF.T
        found += _duplicates(labels, texts, alike_CC)
        found += (
            _other_labels(labels, text_CF @ label_CF.T, alike_CC, label_CF @ label_CF.T) if described else ()
        )
        found += _outliers(labels, alike_CC)
    found.sort(key=lambda row: (row[0], FLAGS.index(row[1])))
    rows = [
        (names[i], flag, "" if j is None else names[j], value, limit, sentence)
        for i, flag, j, value, limit, sentence in found
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"value": float, "limit": float})


def _duplicates(labels: list[str], texts: list[str], alike_CC: np.ndarray) -> Iterator[tuple]:
    plain = np.array([" ".join(re.findall(r"\w+", text.lower())) for text in texts])
    alike_CC = np.where(plain[:, None] == plain, 1.0, alike_CC)
    np.fill_diagonal(alike_CC, -np.inf)
    for i, j in enumerate(alike_CC.argmax(1)):
        value = float(alike_CC[i, j])
        if plain[i] == plain[j]:
            yield (
                i,
                DUPLICATE,
                j,
                value,
                MOST_ALIKE,
                f"the texts of '{labels[i]}' and '{labels[j]}' are the same",
            )
        elif value > MOST_ALIKE:
            sentence = f"the texts of '{labels[i]}' and '{labels[j]}' are nearly the same (similarity {_short(value)}, limit {_short(MOST_ALIKE)})"
            yield i, DUPLICATE, j, value, MOST_ALIKE, sentence


def _other_labels(
    labels: list[str], near_CC: np.ndarray, alike_CC: np.ndarray, label_CC: np.ndarray
) -> Iterator[tuple]:
    own_C, n = near_CC.diagonal(), len(labels)
    others_CC = np.where(np.eye(n, dtype=bool), -np.inf, near_CC)
    spread = max(float(near_CC[~np.eye(n, dtype=bool)].std()), 1e-12)
    gain_CC = (others_CC + others_CC.T - own_C[:, None] - own_C) / spread
    fit_C = own_C / spread + PROFILE_WEIGHT * n / (n + PROFILE_CLASSES) * _profile_match(alike_CC, label_CC)
    least = max(LEAST_FIT, float(np.median(fit_C)) - MOST_BELOW * _robust_deviation(fit_C, FIT_SPREAD))
    for i in range(n):
        swap, nearest = int(gain_CC[i].argmax()), int(others_CC[i].argmax())
        if gain_CC[i, swap] > MOST_GAIN:
            value = float(gain_CC[i, swap])
            sentence = (
                f"the text of '{labels[i]}' and that of '{labels[swap]}' fit each other's label better than their own"
                f" (gain of a swap {_short(value)}, limit {_short(MOST_GAIN)})"
            )
            yield i, OTHER_LABEL, swap, value, MOST_GAIN, sentence
        elif fit_C[i] < least and others_CC[i, nearest] > own_C[i]:
            sentence = (
                f"the text of '{labels[i]}' is nearer the label '{labels[nearest]}' ({_short(others_CC[i, nearest])}) than its own"
                f" ({_short(own_C[i])}), and fits its own too little (fit {_short(fit_C[i])}, limit {_short(least)})"
            )
            yield i, OTHER_LABEL, nearest, float(fit_C[i]), least, sentence


def _profile_match(alike_CC: np.ndarray, label_CC: np.ndarray) -> np.ndarray:
    """Of each class the correlation, over the other classes, of how like its text is to theirs and its label to theirs; 0 where undefined, [C]."""
    rows = []
    for similarity in (alike_CC, label_CC):
        others = similarity[~np.eye(len(similarity), dtype=bool)].reshape(len(similarity), -1)
        rows.append(unit(others - others.mean(1, keepdims=True)))
    return (rows[0] * rows[1]).sum(1)


def _outliers(labels: list[str], alike_CC: np.ndarray) -> Iterator[tuple]:
    others_CC = np.where(np.eye(len(labels), dtype=bool), -np.inf, alike_CC)
    k = min(COMPANY_NEIGHBOURS, len(labels) - 1)
    company_C = np.sort(others_CC, axis=1)[:, -k:].mean(1)
    usual = float(np.median(company_C))
    value_C = (company_C - usual) / _robust_deviation(company_C, COMPANY_SPREAD)
    for i in np.flatnonzero(value_C < LEAST_COMPANY):
        sentence = (
            f"the text of '{labels[i]}' is unlike all others (similarity to its nearest {_short(company_C[i])}, usually"
            f" {_short(usual)}; {_short(value_C[i])} deviations, limit {_short(LEAST_COMPANY)})"
        )
        yield int(i), OUTLIER, None, float(value_C[i]), LEAST_COMPANY, sentence


def _robust_deviation(values: np.ndarray, least: float) -> float:
    return max(1.4826 * float(np.median(np.abs(values - np.median(values)))), least)


def _centred(rows_CF: np.ndarray) -> np.ndarray:
    rows_CF = unit(np.asarray(rows_CF, dtype=float))
    return unit(rows_CF - rows_CF.mean(0))


def _short(value: float) -> str:
    return f"{value:.2f}"


def _check(
    names: list[str], labels: list[str], texts: list[str], label_CF: np.ndarray, text_CF: np.ndarray
) -> None:
    n = len(names)
    sizes = {
        "labels": len(labels),
        "texts": len(texts),
        "label embeddings": len(label_CF),
        "text embeddings": len(text_CF),
    }
    for what, size in sizes.items():
        if size != n:
            raise ValueError(
                f"flags need one of each for every class, got {n} names and {size} {what}; take all from one table of classes"
            )
    if np.ndim(label_CF) != 2 or np.shape(label_CF) != np.shape(text_CF):
        raise ValueError(
            f"labels and texts must be embedded by one encoder, one row a class, got shapes {np.shape(label_CF)} and {np.shape(text_CF)};"
            " embed both again with the same encoder, a text as one line"
        )
    for what, rows in (("label", label_CF), ("text", text_CF)):
        bad = np.flatnonzero(~np.isfinite(rows).all(1))
        if len(bad):
            raise ValueError(
                f"embeddings must be finite, that of the {what} of {names[bad[0]]!r} is not; embed it again"
            )
