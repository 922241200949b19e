"""Two reports beside each other: every method on the same clips of the same splits, or one sentence on why they cannot be compared."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from zsar_lab.results.compare_protocols import (
    check_same_labels,
    check_same_protocol,
    differences_of_protocols,
    order_of_splits,
)
from zsar_lab.results.report_json import PARTS, check_report, rows_of
from zsar_lab.results.statistics import CLAIM_LEVEL, ClassCounts, PairedComparison, compare_by_class, holm
from zsar_lab.results.wording import detectable_as_text, interval_as_text, p_as_text

SHARED = ("encoder", "checkpoints", "catalog", "frames")
TITLES = {
    "methods": "methods",
    "class_texts": "class texts",
    "corrections": "corrections of hubness",
    "predictions": "predictions",
}
N_NAMED = 4  # of things that differ


@dataclass(frozen=True)
class ComparedRow:
    """What both reports scored alike. Accuracies are fractions, 0..1.

    Attributes:
        part: "methods", "class_texts", "corrections" or "predictions".
        method, setting: what was scored.
        class_texts: prompts of A and of B; a method of the part "methods" reads the training's own, which may
            be two.
        top1: of A and of B, as they stand there: means over splits.
        compared: B less A, over all clips.
        p_holm: p adjusted for the rows of the same part and setting.
    """

    part: str
    method: str
    setting: str
    class_texts: tuple[str, str]
    top1: tuple[float, float]
    compared: PairedComparison
    p_holm: float

    @property
    def claimed(self) -> bool:
        """True when a difference can be claimed: the adjusted p is at most 0.05."""
        return self.p_holm <= CLAIM_LEVEL


@dataclass(frozen=True)
class ReportComparison:
    """Two reports of one protocol.

    Attributes:
        names: of A's report and of B's.
        protocol: hash of A's splits in their order, or of the labels of predictions.
        n_splits, n_clips, n_classes: on what both were scored; a clip counts once a split.
        rows: what both scored.
        differs: what else is not the same in A and B, a phrase each.
        only_a, only_b: what only one of them scored.
        beside: of the reports beside them, those of one protocol.
        not_compared: the others, and why.
    """

    names: tuple[str, str]
    protocol: str
    n_splits: int
    n_clips: int
    n_classes: int
    rows: tuple[ComparedRow, ...]
    differs: tuple[str, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    beside: tuple[ReportComparison, ...] = ()
    not_compared: tuple[str, ...] = ()

    def table(self) -> pd.DataFrame:
        """A row for what both scored, for reading: top-1 in percent; difference B less A, interval and `detectable` in points."""
        rows = []
        for row in self.rows:
            text = row.class_texts[0] if len(set(row.class_texts)) == 1 else " / ".join(row.class_texts)
            rows.append(
                {
                    "": TITLES[row.part],
                    "method": row.method,
                    "class text": text,
                    "setting": row.setting,
                    "A_%": f"{100 * row.top1[0]:.1f}",
                    "B_%": f"{100 * row.top1[1]:.1f}",
                    "B - A": f"{100 * row.compared.difference:+.1f}",
                    "its interval": interval_as_text(row.compared.ci95, "+"),
                    "p": p_as_text(row.compared.p),
                    "p (Holm)": p_as_text(row.p_holm),
                    "detectable": detectable_as_text(row.compared.detectable),
                }
            )
        return pd.DataFrame(rows)

    def text(self) -> str:
        """The comparison for reading: what was scored, the table, what else differs, what only one has, and the reports beside."""
        splits = f" of {self.n_splits} split{'s' * (self.n_splits > 1)}" if self.n_splits else ""
        lines = [
            f"{' / '.join(dict.fromkeys(self.names))}: {self.n_clips} clips{splits}, {self.n_classes} different classes, protocol {self.protocol}",
            "",
            _columns_in_use(self.table()).to_string(index=False)
            if self.rows
            else "There is no method that both scored.",
            "",
            "Top-1; B less A on the same clips (points), its 95 % interval over classes, p alone and adjusted for the rows of the same part and"
            " setting (Holm); detectable: the smallest true difference (points) that would be found in four of five such studies.",
            f"Also different: {'; '.join(self.differs)}."
            if self.differs
            else "Nothing else differs of what reports record.",
        ]
        lines += [
            f"Only {side} has: {'; '.join(only)}."
            for side, only in (("A", self.only_a), ("B", self.only_b))
            if only
        ]
        lines += [f"Not compared: {phrase}." for phrase in self.not_compared]
        wrapped = [line if "\n" in line else textwrap.fill(line, 150) for line in lines]
        return "\n".join([*wrapped, *("\n" + beside.text() for beside in self.beside)])

    def content(self) -> dict[str, Any]:
        """The comparison as plain json content."""
        return asdict(self)


def compare_reports(a: dict[str, Any], b: dict[str, Any]) -> ReportComparison:
    """Compare two reports, or two scores of predictions, on the same clips; splits are matched by their hashes, in whatever order.

    Methods of the part "methods" are matched by name and setting, whatever class text their trainings read;
    class texts by method, setting and prompt. Of predictions no clip is named: that both are of the same
    clips is seen from the number of clips of each class alone.

    Args:
        a, b: content of report.json, see `read_report`, or of what `evaluate --predictions --json` writes.

    Raises:
        ValueError: they are not of one protocol (in which points), or not both reports or both predictions,
            or not whole.
    """
    if all("confusion" in content for content in (a, b)):
        return _compare_predictions(a, b)
    if any("confusion" in content for content in (a, b)):
        raise ValueError(
            "A and B must both be reports or both scores of predictions, got one of each; give two of a kind"
        )
    for name, content in (("A", a), ("B", b)):
        check_report(content, name)
    check_same_protocol(a, b)
    beside, not_compared = _compare_beside(a.get("beside", []), b.get("beside", []))
    return _compared(a, b, beside, not_compared)


def _compared(
    a: dict[str, Any],
    b: dict[str, Any],
    beside: Sequence[ReportComparison] = (),
    not_compared: Sequence[str] = (),
) -> ReportComparison:
    """Two reports of one protocol."""
    order_a, order_b = order_of_splits(a), order_of_splits(b)
    found: list[ComparedRow] = []
    differing: dict[str, dict[str, None]] = {}
    only: tuple[list[str], list[str]] = ([], [])
    for part in PARTS:
        rows_a, rows_b = ({_key(part, row): row for row in rows_of(content, part)} for content in (a, b))
        for mine, own, other in zip(only, (rows_a, rows_b), (rows_b, rows_a)):
            mine += [_named(part, row) for key, row in own.items() if key not in other]
        pairs = [(rows_a[key], rows_b[key]) for key in rows_a if key in rows_b]
        if part == "class_texts":  # the training's own prompt stands among the methods
            known = {(row.method, row.setting, *row.class_texts) for row in found}
            pairs = [
                (x, y)
                for x, y in pairs
                if (x["method"], x["setting"], x["class_text"], y["class_text"]) not in known
            ]
        found += _compared_rows(part, pairs, order_a, order_b)
        for x, y in pairs:
            _note_differences(part, x, y, differing)
    unseen = {name for split in a["splits"] for name in split["unseen"]}
    clips = sum(split["clips_scored"] for split in a["splits"])
    differs = tuple(
        phrase if not of else f"{phrase} of {_first_of(list(of))}" for phrase, of in differing.items()
    )
    scored = (
        (a["protocol"]["name"], b["protocol"]["name"]),
        a["protocol"]["hash"],
        len(a["splits"]),
        clips,
        len(unseen),
    )
    return ReportComparison(
        *scored, tuple(found), differs, *map(tuple, only), tuple(beside), tuple(not_compared)
    )


def _compared_rows(
    part: str, pairs: Sequence[tuple[dict, dict]], order_a: Sequence[int], order_b: Sequence[int]
) -> list[ComparedRow]:
    compared = [compare_by_class(_counts(y, order_b), _counts(x, order_a)) for x, y in pairs]
    adjusted = {}
    for setting in dict.fromkeys(x["setting"] for x, _ in pairs):
        places = [place for place, (x, _) in enumerate(pairs) if x["setting"] == setting]
        adjusted |= dict(zip(places, holm([compared[place].p for place in places]).tolist()))
    return [
        ComparedRow(
            part,
            x["method"],
            x["setting"],
            (x["class_text"], y["class_text"]),
            (x["top1"], y["top1"]),
            pair,
            adjusted[place],
        )
        for place, ((x, y), pair) in enumerate(zip(pairs, compared))
    ]


def _counts(row: dict[str, Any], order: Sequence[int]) -> list[ClassCounts]:
    return [row["per_class"][place] for place in order]


def _key(part: str, row: dict[str, Any]) -> tuple[str, ...]:
    return (row["method"], row["setting"]) + ((row["class_text"],) if part == "class_texts" else ())


def _named(part: str, row: dict[str, Any]) -> str:
    return (
        f"{row['method']} with {row['class_text']}"
        if part == "class_texts"
        else f"{row['method']}, {row['setting']}"
    )


def _note_differences(
    part: str, a: dict[str, Any], b: dict[str, Any], differing: dict[str, dict[str, None]]
) -> None:
    """Add what is not the same of two rows to the phrases on the whole, or to those that name the rows they are true of."""
    prints = a["fingerprints"], b["fingerprints"]
    for what in SHARED:
        first, second = (of.get(what) for of in prints)
        if first != second:
            differing.setdefault(f"{what} (A {first}, B {second})", {})
    first, second = (of["class_text"] for of in prints)
    if first != second:
        phrase = f"class text (A {a['class_text']} {first or 'not known'}, B {b['class_text']} {second or 'not known'})"
        differing.setdefault(phrase, {})
    elif a["class_text"] != b["class_text"]:
        differing.setdefault(
            f"names of the class text, though not its words (A {a['class_text']}, B {b['class_text']})", {}
        )
    if prints[0]["method"] != prints[1]["method"]:
        of = (
            f"{a['method']} with {a['class_text']}"
            if part == "class_texts"
            else f"{a['method']} ({a['setting']})"
        )
        differing.setdefault("settings that validation chose", {})[of] = None


def _first_of(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = len(names) - N_NAMED
    return ", ".join(names[:N_NAMED]) + (f" and {more} more" if more > 0 else "")


def _compare_beside(a: Sequence[dict], b: Sequence[dict]) -> tuple[list[ReportComparison], list[str]]:
    """The reports beside two others: those of one protocol compared, and phrases on the others."""
    for name, contents in (("the report beside A", a), ("the report beside B", b)):
        for content in contents:
            check_report(content, name)
    left, compared, phrases = list(b), [], []
    for own in a:
        other = next((content for content in left if not differences_of_protocols(own, content)), None)
        if other is None:
            why = (
                f" differs from {left[0]['protocol']['name']!r} in {'; '.join(differences_of_protocols(own, left[0]))}"
                if left
                else ""
            )
            phrases.append(f"{own['protocol']['name']!r} beside A{why}")
        else:
            left.remove(other)
            compared.append(_compared(own, other))
    return compared, phrases + [f"{content['protocol']['name']!r} beside B" for content in left]


def _compare_predictions(a: dict[str, Any], b: dict[str, Any]) -> ReportComparison:
    check_same_labels(a, b)
    counts = [
        [{row["class"]: (row["correct"], row["clips"]) for row in content["per_class"]}] for content in (a, b)
    ]
    compared = compare_by_class(counts[1], counts[0])
    row = ComparedRow("predictions", "", "", ("", ""), (a["top1"], b["top1"]), compared, compared.p)
    names = ("predictions",) * 2
    differs = (
        ()
        if a["fingerprint"] == b["fingerprint"]
        else (f"the files of predictions (A {a['fingerprint']}, B {b['fingerprint']})",)
    )
    n_classes = sum(clips > 0 for _, clips in counts[0][0].values())
    return ReportComparison(names, a["labels_fingerprint"], 0, a["clips"], n_classes, (row,), differs, (), ())


def _columns_in_use(table: pd.DataFrame) -> pd.DataFrame:
    return table.loc[:, [column for column in table if (table[column] != "").any()]]
