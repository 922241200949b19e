"""Lint of class texts: flags that ask for a look, what the encoder makes of each text, and texts as csv.

Every limit of a flag is in units of the set itself: the scale of an encoder's cosines does not matter.
Shapes: C classes, F width of a class text's embedding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from zsar_lab.files import writing
from zsar_lab.names import same
from zsar_lab.text.embeddings import ClassEmbeddings
from zsar_lab.text.prompts import ClassText, TextsFromFile, line_names
from zsar_lab.text.relatedness import CENTRED, PLAIN, Relatedness, unit

if TYPE_CHECKING:  # an encoder is handed in
    from zsar_lab.text.encoder import TextEncoder, Word

FLAGS = DUPLICATE, OTHER_LABEL, OUTLIER = "near-duplicate", "nearer another label", "outlier"
COLUMNS = ("name", "flag", "other", "value", "limit", "sentence")
NO_FLAGS = pd.DataFrame({column: [] for column in COLUMNS})
# chosen on our descriptions of ucf101 and kinetics400, checked on those of hmdb51, activitynet, kinetics600,
# kinetics700 and the demo
MOST_ALIKE, MOST_GAIN, LEAST_FIT, MOST_BELOW, LEAST_COMPANY = 0.93, 2.5, 0.8, 3.5, -3.0
PROFILE_WEIGHT, PROFILE_CLASSES, FIT_SPREAD = 3.0, 10, 1.0
COMPANY_NEIGHBOURS, COMPANY_SPREAD = 3, 0.05

Flag = tuple[int, str, int | None, float, float, str]  # class, flag, other class, value, limit, sentence


def find_flags(
    names: Sequence[str],
    labels: Sequence[str],
    label_CF: np.ndarray,
    text_CF: np.ndarray,
    texts: Sequence[str],
) -> pd.DataFrame:
    """Find class texts that are probably wrong, from the texts and labels alone.

    With t_i and l_i the unit embeddings of text and label, each less the mean over the classes and made unit
    again, S_ij = t_i . l_j, T_ij = t_i . t_j, L_ij = l_i . l_j, s = standard deviation of S_ij over i != j,
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
    COMPANY_SPREAD. A flag proves nothing: a right text in words far from its label is flagged, too.

    The embeddings are of labels and texts by one encoder, [C, F].

    Returns:
        One row a class and flag, in the order of the classes: name, flag, other (name of the other class, ""
        when there is none), value, limit, sentence.

    Source: ours.
    """
    names, labels, texts = list(names), list(labels), list(texts)
    if np.shape(label_CF) != np.shape(text_CF) or {len(names), len(labels), len(texts)} != {len(label_CF)}:
        shapes = f"{np.shape(label_CF)} and {np.shape(text_CF)}"
        got = f"{len(names)} names, {len(labels)} labels, {len(texts)} texts, embeddings {shapes}"
        raise ValueError(f"flags need one of each for every class, in one width, got {got}")
    for what, rows in (("label", label_CF), ("text", text_CF)):
        bad = np.flatnonzero(~np.isfinite(rows).all(1))
        if len(bad):
            raise ValueError(f"embeddings must be finite, that of the {what} of {names[bad[0]]!r} is not")
    found: list[Flag] = []
    if len(names) > 1:
        text_CF, label_CF = (unit(np.asarray(rows, dtype=float)) for rows in (text_CF, label_CF))
        text_CF, label_CF = unit(text_CF - text_CF.mean(0)), unit(label_CF - label_CF.mean(0))
        alike_CC = text_CF @ text_CF.T
        nearer = _other_labels(labels, text_CF @ label_CF.T, alike_CC, label_CF @ label_CF.T)
        found = [*_duplicates(labels, texts, alike_CC), *nearer, *_outliers(labels, alike_CC)]
    found.sort(key=lambda row: (row[0], FLAGS.index(row[1])))
    table = [(names[i], flag, "" if j is None else names[j], *more) for i, flag, j, *more in found]
    return pd.DataFrame(table, columns=list(COLUMNS)).astype({"value": float, "limit": float})


def _duplicates(labels: list[str], texts: list[str], alike_CC: np.ndarray) -> Iterator[Flag]:
    plain = np.array(list(map(same, texts)))
    alike_CC = np.where(plain[:, None] == plain, 1.0, alike_CC)
    np.fill_diagonal(alike_CC, -np.inf)
    for i, j in enumerate(alike_CC.argmax(1)):
        value = float(alike_CC[i, j])
        both = f"the texts of '{labels[i]}' and '{labels[j]}' are"
        if plain[i] == plain[j]:
            yield i, DUPLICATE, j, value, MOST_ALIKE, f"{both} the same"
        elif value > MOST_ALIKE:
            why = f"(similarity {value:.2f}, limit {MOST_ALIKE:.2f})"
            yield i, DUPLICATE, j, value, MOST_ALIKE, f"{both} nearly the same {why}"


def _other_labels(
    labels: list[str], near_CC: np.ndarray, alike_CC: np.ndarray, label_CC: np.ndarray
) -> Iterator[Flag]:
    own_C, n, others = near_CC.diagonal(), len(labels), ~np.eye(len(labels), dtype=bool)
    others_CC = np.where(others, near_CC, -np.inf)
    spread = max(float(near_CC[others].std()), 1e-12)
    gain_CC = (others_CC + others_CC.T - own_C[:, None] - own_C) / spread
    profiles = [matrix[others].reshape(n, n - 1) for matrix in (alike_CC, label_CC)]
    alike, like = (unit(rows - rows.mean(1, keepdims=True)) for rows in profiles)
    fit_C = own_C / spread + PROFILE_WEIGHT * n / (n + PROFILE_CLASSES) * (alike * like).sum(1)
    least = max(LEAST_FIT, float(np.median(fit_C)) - MOST_BELOW * _robust_deviation(fit_C, FIT_SPREAD))
    for i in range(n):
        swap, nearest = int(gain_CC[i].argmax()), int(others_CC[i].argmax())
        value = float(gain_CC[i, swap])
        if value > MOST_GAIN:
            both = f"the text of '{labels[i]}' and that of '{labels[swap]}' fit each other's label better"
            why = f"than their own (gain of a swap {value:.2f}, limit {MOST_GAIN:.2f})"
            yield i, OTHER_LABEL, swap, value, MOST_GAIN, f"{both} {why}"
        elif fit_C[i] < least and others_CC[i, nearest] > own_C[i]:
            near = f"nearer the label '{labels[nearest]}' ({others_CC[i, nearest]:.2f}) than its own"
            fit = f"fits its own too little (fit {fit_C[i]:.2f}, limit {least:.2f})"
            sentence = f"the text of '{labels[i]}' is {near} ({own_C[i]:.2f}), and {fit}"
            yield i, OTHER_LABEL, nearest, float(fit_C[i]), least, sentence


def _outliers(labels: list[str], alike_CC: np.ndarray) -> Iterator[Flag]:
    others_CC = np.where(np.eye(len(labels), dtype=bool), -np.inf, alike_CC)
    company_C = np.sort(others_CC, axis=1)[:, -min(COMPANY_NEIGHBOURS, len(labels) - 1) :].mean(1)
    usual = float(np.median(company_C))
    value_C = (company_C - usual) / _robust_deviation(company_C, COMPANY_SPREAD)
    for i in np.flatnonzero(value_C < LEAST_COMPANY):
        near = f"similarity to its nearest {company_C[i]:.2f}, usually {usual:.2f}"
        why = f"{near}; {value_C[i]:.2f} deviations"
        sentence = f"the text of '{labels[i]}' is unlike all others ({why}, limit {LEAST_COMPANY:.2f})"
        yield int(i), OUTLIER, None, float(value_C[i]), LEAST_COMPANY, sentence


def _robust_deviation(values: np.ndarray, least: float) -> float:
    return max(1.4826 * float(np.median(np.abs(values - np.median(values)))), least)


def flags_of(
    class_text: ClassText, labels: Mapping[str, str], embed: Callable[[ClassText], ClassEmbeddings]
) -> pd.DataFrame:
    """`find_flags` on class texts of any prompt, read by `embed` (such as `workspace.embed`).

    A `<label>: ` before a text, of its own class or another, is left out, for it would hide that the rest is
    of another class. Lines set side by side count by their mean, as flags compare a text
    with a label, which is one line. Where most texts are the label, or one template filled with it, only
    those that are not can be "nearer another label".
    """
    names, texts = class_text.names, class_text.texts
    missing = [name for name in names if name not in labels]
    if missing:
        raise ValueError(f"every class needs a label, {missing[0]!r} has none")
    own = tuple(labels[name] for name in names)
    parted = [(text, *text.partition(": ")[::2]) for text in texts]
    rests = tuple(rest.strip() if front in own and rest.strip() else text for text, front, rest in parted)
    label_CF = embed(ClassText("label", names, own)).pooled_CF
    text_CF = embed(replace(class_text, texts=rests)).pooled_CF
    if text_CF.shape[1] > label_CF.shape[1] and text_CF.shape[1] % label_CF.shape[1] == 0:
        text_CF = text_CF.reshape(len(text_CF), -1, label_CF.shape[1]).mean(1)
    flags = find_flags(names, own, label_CF, text_CF, rests)
    named = {name for name, is_label in zip(names, made_of_labels(own, texts), strict=True) if is_label}
    return flags[(flags["flag"] != OTHER_LABEL) | ~flags["name"].isin(named)].reset_index(drop=True)


def made_of_labels(labels: Sequence[str], texts: Sequence[str]) -> list[bool]:
    """Of each text whether it is the label, or the template that most texts are, filled with it."""
    rests = [text.replace(label, "{}") for label, text in zip(labels, texts, strict=True)]
    most, count = Counter(rests).most_common(1)[0]
    return [rest == most and count > len(rests) / 2 for rest in rests]


@dataclass(frozen=True)
class LineRead:
    """One line of a class text as the encoder reads it: its words, and tokens with those the encoder adds."""

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
    """What there is to see of one class text: its lines (of at most `most_tokens`), neighbours and flags."""

    name: str
    label: str
    prompt: str
    lines: tuple[LineRead, ...]
    most_tokens: int
    averaged: bool  # the lines' embeddings are averaged, else set side by side
    nearest: pd.DataFrame  # see `nearest`
    flags: pd.DataFrame  # rows of `flags_of` on this class


def read_lines(texts: Sequence[str], encoder: TextEncoder) -> dict[str, LineRead]:
    """Each different line of these texts as the encoder reads it; Raises as `TextEncoder.tokens`."""
    lines = list(dict.fromkeys(line for text in texts for line in text.split("\n")))
    tokens = zip(lines, encoder.tokens(lines), strict=True)
    return {line: LineRead(line, tuple(encoder.words(line)), len(own.ids)) for line, own in tokens}


def inspect_class(
    embeddings: ClassEmbeddings,
    labels: Mapping[str, str],
    name: str,
    encoder: TextEncoder,
    flags: pd.DataFrame = NO_FLAGS,
    seen: Sequence[str] | None = None,
) -> ClassInspection:
    """Look at one class text with the encoder that embedded; flags of `flags_of`, seen as of `nearest`."""
    near, made = nearest(embeddings, name, seen=seen), embeddings.class_text
    text = made.texts[int(embeddings.rows((name,))[0])]
    read = read_lines([text], encoder)
    lines, own = tuple(read[line] for line in text.split("\n")), flags[flags["name"] == name]
    about = made.prompt, lines, encoder.model.most_tokens, made.averaged
    return ClassInspection(name, labels[name], *about, near, own.reset_index(drop=True))


def nearest(
    embeddings: ClassEmbeddings, name: str, n: int = 8, seen: Sequence[str] | None = None
) -> pd.DataFrame:
    """The n classes whose texts are most related to that of one class, the most first.

    `seen` are the classes whose mean is the centre, as in transfer; all of them when None. Columns class,
    centred, cosine (relatedness "centred" and "plain", -1..1), and of texts in several lines alike_in: the
    line that brings the two together most, by its part of the centred cosine (common phrases count little).
    """
    if n < 1:
        raise ValueError(f"n must be 1 or more (rows of nearest classes), got {n}")
    row = embeddings.rows((name,))
    table = pd.DataFrame({"class": embeddings.names, "centred": np.nan, "cosine": np.nan})
    for column, kind in (("centred", CENTRED), ("cosine", PLAIN)) if len(table) > 1 else ():
        table[column] = _relatedness(embeddings, kind, seen, row)[0]
    lines, averaged = line_names(embeddings.class_text), embeddings.class_text.averaged
    if len(lines) > 1 and not averaged:
        line_CMD = embeddings.pooled_CF.reshape(len(table), len(lines), -1).astype(float)
        line_CMD -= line_CMD.mean(0)
        alike_CM = (line_CMD * line_CMD[row]).sum(2)
        table["alike_in"] = np.array(lines)[alike_CM.argmax(1)]
    table = table.drop(index=int(row[0]))
    return table.sort_values("centred", ascending=False, kind="stable", ignore_index=True).head(n)


def text_overview(
    embeddings: ClassEmbeddings,
    labels: Mapping[str, str],
    encoder: TextEncoder,
    flags: pd.DataFrame = NO_FLAGS,
) -> pd.DataFrame:
    """One row a class, to sort by: what is odd in all class texts; arguments as `inspect_class`.

    Columns class, label, n_tokens (of the longest line), n_unknown and unknown_words, n_heavily_split and
    heavily_split_words (joined by ", "), nearest (class), similarity (centred, -1..1; none for a single
    class), n_flags and flags (kinds joined by ", ").
    """
    names, texts = embeddings.names, embeddings.class_text.texts
    read = read_lines(texts, encoder)
    lines_of = [[read[line] for line in text.split("\n")] for text in texts]
    unknown = [list(dict.fromkeys(word for line in lines for word in line.unknown)) for lines in lines_of]
    split = [list(dict.fromkeys(word for line in lines for word in line.heavily_split)) for lines in lines_of]
    near, similarities = [""], np.array([np.nan])
    if len(names) > 1:
        related_CC = relatedness_of(embeddings, names)
        np.fill_diagonal(related_CC, -np.inf)
        near, similarities = [names[other] for other in related_CC.argmax(1)], related_CC.max(1)
    kinds = [list(flags["flag"][flags["name"] == name]) for name in names]
    content = {
        "class": names,
        "label": [labels[name] for name in names],
        "n_tokens": [max(line.n_tokens for line in lines) for lines in lines_of],
        "n_unknown": list(map(len, unknown)),
        "unknown_words": list(map(", ".join, unknown)),
        "n_heavily_split": list(map(len, split)),
        "heavily_split_words": list(map(", ".join, split)),
        "nearest": near,
        "similarity": similarities,
        "n_flags": list(map(len, kinds)),
        "flags": [", ".join(dict.fromkeys(of_class)) for of_class in kinds],
    }
    return pd.DataFrame(content)


def relatedness_of(
    embeddings: ClassEmbeddings, names: Sequence[str], kind: str = CENTRED, seen: Sequence[str] | None = None
) -> np.ndarray:
    """Relatedness of these classes to each other, float64 [C, C]; fitted on the seen ones (None: all)."""
    rows = embeddings.rows(tuple(names))
    return _relatedness(embeddings, kind, seen)[np.ix_(rows, rows)]


def cluster_order(related_CC: np.ndarray) -> np.ndarray:
    """The order (int64 [C]) in which related classes come side by side: clustering on 1 - r, average linkage.

    Source: Bar-Joseph et al., Fast optimal leaf ordering for hierarchical clustering, 2001 (scipy's).
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
    texts = zip(before.names, before.texts, after.texts, strict=True)
    return [name for name, old, new in texts if old != new]


def put_back(before: ClassText, after: ClassText, name: str) -> ClassText:
    """`after` with the text that `before` has for one class; `before` itself when no other text differs."""
    text_of = dict(zip(before.names, before.texts, strict=True))
    restored = after.edited(name, text_of.get(name, ""))
    return restored if edited_names(before, restored) else before


def save_texts(class_text: ClassText, path: str | Path, overwrite: bool = False) -> Path:
    """Write class texts as a csv file with the columns name and text, which `prompt_named(path)` reads back.

    Raises:
        FileExistsError: the file is there, and is not to be overwritten.
        ValueError: the path does not end in .csv, or the texts would read otherwise from a csv file.
    """
    path, n_lines = Path(path), class_text.texts[0].count("\n") + 1
    if path.suffix.lower() != ".csv":
        raise ValueError(f"the file of class texts must end in .csv, got '{path}'")
    if path.exists() and not overwrite:
        raise FileExistsError(f"class texts are written to a new file, '{path}' is already there")
    if class_text.averaged:
        raise ValueError(f"a csv file sets lines side by side, those of {class_text.prompt!r} are averaged")
    table = pd.DataFrame({"name": class_text.names, "text": class_text.texts})
    for name, text in zip(table["name"], table["text"]):
        if text.count("\n") + 1 != n_lines or not text.strip():
            raise ValueError(f"the text of {name!r} must be filled and of {n_lines} lines as the first")
    with writing(path) as temporary:
        table.to_csv(temporary, index=False, encoding="utf-8", lineterminator="\n")
        for name, text, again in zip(table["name"], table["text"], TextsFromFile(str(temporary))(table)):
            if text != again:
                raise ValueError(f"the text of {name!r} must survive a csv file, {text!r} is {again!r}")
    return path


def _relatedness(
    embeddings: ClassEmbeddings, kind: str, seen: Sequence[str] | None, rows: np.ndarray | None = None
) -> np.ndarray:
    """Relatedness of these rows (all when None) to all classes, float64, fitted on the seen classes."""
    text_CF = embeddings.pooled_CF.astype(float)
    fitted_on = text_CF if seen is None else text_CF[embeddings.rows(tuple(seen))]
    return Relatedness.fit(fitted_on, kind).between(text_CF if rows is None else text_CF[rows], text_CF)
