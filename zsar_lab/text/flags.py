"""Faults of class texts that show without any video: texts that are the same, that fit another class, or that fit none.

Every limit is in units of the set itself, so that the scale of an encoder's cosines does not matter. Shapes:
C classes, F width of an embedding.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from zsar_lab.text.relatedness import unit

DUPLICATE, OTHER_LABEL, OUTLIER = "near-duplicate", "nearer another label", "outlier"
FLAGS = (DUPLICATE, OTHER_LABEL, OUTLIER)
COLUMNS = ("name", "flag", "other", "value", "limit", "sentence")
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
