"""Free answers of a generative model, read as predictions over candidate classes; nothing is guessed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from zsar_lab.names import same
from zsar_lab.text.class_lists import Classes, has_word, normalised, read_classes

UNPARSEABLE = "(unparseable)"  # in the place of a prediction
NEGATIONS = r"\b(?:not|no|never|neither|nor|cannot)\b|n['\N{RIGHT SINGLE QUOTATION MARK}]t\b"
TIE, LONGEST = 1e-6, 20  # of cosines; words of a name
Read = tuple[str, str]  # prediction, and how it was read


def read_answers(answers: Sequence[str], classes: Classes, encoder: str | Path | None = None) -> pd.DataFrame:
    """Read what a generative model answered about each clip as a prediction.

    Examples:
        >>> import zsar_lab as zl
        >>> answers = ["Cartwheel.", "The person is probably climbing stairs.", "Run or cartwheel?"]
        >>> zl.read_answers(answers, ["cartwheel", "climb_stairs", "run"])["prediction"].tolist()
        ['cartwheel', 'climb_stairs', '(unparseable)']

    How it is read, the first that applies: it is a class's name or label ("exact"), or is but for case,
    underscores, CamelCase, punctuation and inflection ("normalised"); its words hold one likewise, and no
    other ("contained"; not a name within a longer one, "jump" in "long jump", and none beside not, no, never,
    n't); with an encoder the label nearest to it ("nearest"). Where two classes fit equally well it is
    "ambiguous", else "unparseable": the prediction "(unparseable)" of both counts as wrong in `evaluate
    --predictions`, which says how many.

    Args:
        answers: one a clip; "" for none.
        classes: the candidates, as of `read_classes`.
        encoder: of sentences (folder or hub name), for answers that hold no name; None leaves them unread.

    Returns:
        A row an answer: answer, prediction, read (how). ValueError for an answer that is no text.
    """
    table, answers = read_classes(classes), list(answers)
    if odd := [answer for answer in answers if not isinstance(answer, str)]:
        raise ValueError(f"answers must be texts, {len(odd)} are not, such as {odd[0]!r}")
    by_key: dict[str, dict[str, set[str]]] = {"exact": {}, "normalised": {}, "stems": {}}
    for text, name in (pair for column in ("name", "label") for pair in zip(table[column], table["name"])):
        for kind, key in _keys(text).items():
            by_key[kind].setdefault(key, set()).add(name)
    read = {answer: _read(answer.strip(), by_key) for answer in dict.fromkeys(answers)}
    if encoder is not None:
        left = [one for one, (_, how) in read.items() if how == "unparseable"]
        left = [one for one in left if has_word(one) and not re.search(NEGATIONS, one.lower())]
        read |= _nearest(left, table, encoder) if left else {}
    found = [(answer, *read[answer]) for answer in answers]
    return pd.DataFrame(found, columns=["answer", "prediction", "read"])


def _keys(text: str) -> dict[str, str]:
    return {"exact": text, "normalised": same(text), "stems": "".join(normalised(text))}


def _read(answer: str, by_key: dict[str, dict[str, set[str]]]) -> Read:
    if not has_word(answer):
        return UNPARSEABLE, "unparseable"
    for kind, key in _keys(answer).items():
        if meant := by_key[kind].get(key):
            return _only(meant, "exact" if kind == "exact" else "normalised")
    stems, known = normalised(answer), by_key["stems"]
    places = [(a, b) for a in range(len(stems)) for b in range(a + 1, min(a + LONGEST, len(stems)) + 1)]
    held = {(a, b): known[key] for a, b in places if (key := "".join(stems[a:b])) in known}
    whole = [span for span in held if not any(a <= span[0] and span[1] <= b for a, b in held.keys() - {span})]
    is_negated = re.search(NEGATIONS, answer.lower())
    return _only({name for span in whole if not is_negated for name in held[span]}, "contained")


def _only(meant: set[str], how: str) -> Read:
    if len(meant) == 1:
        return next(iter(meant)), how
    return UNPARSEABLE, "ambiguous" if meant else "unparseable"


def _nearest(answers: list[str], table: pd.DataFrame, encoder: str | Path) -> dict[str, Read]:
    """The class whose label is nearest to each answer; of two equally near ones none."""
    from zsar_lab.text.encoder import open_encoder
    from zsar_lab.text.encoder_files import find_encoder

    reads = open_encoder(find_encoder(encoder))
    scores_NC = reads.encode(answers)[0] @ reads.encode(table["label"].to_list())[0].T
    best = [set(table["name"][scores_C >= scores_C.max() - TIE]) for scores_C in scores_NC]
    return {answer: _only(names, "nearest") for answer, names in zip(answers, best)}
