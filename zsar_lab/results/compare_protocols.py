"""Whether two reports were scored under one protocol, and if not, in which points theirs differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

SINGLE = {"generalised": "candidates (generalised)", "average": "average", "views": "test views a clip"}
CLASS_LISTS = {"unseen": "unseen classes", "seen": "seen classes", "validation": "validation classes"}
CLIP_LISTS = {
    "test": "test clips",
    "train": "training clips",
    "validation": "validation clips",
    "seen test": "held-out seen clips",
}


def order_of_splits(content: dict[str, Any]) -> list[int]:
    """Numbers of a report's splits in the order of their hashes, in which two reports of one protocol have the same splits."""
    return sorted(range(len(content["splits"])), key=lambda number: content["splits"][number]["hash"])


def differences_of_protocols(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """In which points the protocols of two reports differ, a phrase each; of splits that differ the first pair is looked at.

    Args:
        a, b: content of reports, checked by `check_report`.

    Returns:
        Phrases with A's value before B's; none where both are of the same splits, in whatever order.
    """
    left_a, left_b = (sorted(content["splits"], key=lambda split: split["hash"]) for content in (a, b))
    for split in list(left_a):
        twin = next((other for other in left_b if other["hash"] == split["hash"]), None)
        if twin is not None:
            left_a.remove(split)
            left_b.remove(twin)
    if len(a["splits"]) != len(b["splits"]):
        shared = len(a["splits"]) - len(left_a)
        return [f"number of splits ({len(a['splits'])} and {len(b['splits'])}, {shared} of them the same)"]
    if not left_a:
        return []
    first = min(left_a, key=lambda split: split["name"])
    other = next(
        (split for split in left_b if split["name"] == first["name"]),
        min(left_b, key=lambda split: split["name"]),
    )
    names = (
        f"{first['name']!r}" if first["name"] == other["name"] else f"{first['name']!r} and {other['name']!r}"
    )
    more = f" ({len(left_a)} of {len(a['splits'])} splits differ)" if len(a["splits"]) > 1 else ""
    return [
        f"{phrase}{more} of {names}" if number == 0 else phrase
        for number, phrase in enumerate(_points(first, other))
    ]


def check_same_protocol(a: dict[str, Any], b: dict[str, Any]) -> None:
    """Refuse two reports that are not of one protocol.

    Args:
        a, b: content of reports, checked by `check_report`.

    Raises:
        ValueError: the points in which they differ.
    """
    points = differences_of_protocols(a, b)
    if points:
        differ = "; ".join(points)
        raise ValueError(
            f"A and B must be scored under one protocol to be compared, theirs differ in {differ}; score both on the same splits"
        )


def check_same_labels(a: dict[str, Any], b: dict[str, Any]) -> None:
    """Refuse two scores of predictions that are not of the same labels and candidates.

    Args:
        a, b: content as `PredictionScores.content` makes it.

    Raises:
        ValueError: the point in which they differ, or one is of an earlier version of this library.
    """
    for name, content in (("A", a), ("B", b)):
        missing = [
            key
            for key in (
                "labels_fingerprint",
                "candidates_fingerprint",
                "per_class",
                "clips",
                "top1",
                "fingerprint",
            )
            if key not in content
        ]
        if missing:
            raise ValueError(
                f"{name} holds scores of predictions made by an earlier version of this library, without {missing[0]!r}; make them again with"
                " evaluate --predictions"
            )
        rows = content["per_class"]
        if not isinstance(rows, list) or not all(
            isinstance(row, dict) and {"class", "clips", "correct"} <= row.keys() for row in rows
        ):
            raise ValueError(
                f"{name} must hold whole scores of predictions, but per_class is no table; make them again with evaluate --predictions"
            )
    if a["labels_fingerprint"] != b["labels_fingerprint"]:
        clips_a, clips_b = (
            {row["class"]: row["clips"] for row in content["per_class"] if row["clips"]} for content in (a, b)
        )
        wrong = sorted(name for name in clips_a | clips_b if clips_a.get(name) != clips_b.get(name))
        raise ValueError(
            f"A and B must be predictions of the same clips to be compared, the labels of {len(wrong)} classes differ, the first {wrong[0]!r}"
            f" ({clips_a.get(wrong[0], 0)} clips and {clips_b.get(wrong[0], 0)}); predict the same clips"
        )
    if a["candidates_fingerprint"] != b["candidates_fingerprint"]:
        differ = _classes_differ(*([row["class"] for row in content["per_class"]] for content in (a, b)))
        raise ValueError(
            f"A and B must have the same candidate classes to be compared, {differ}; score both with the same --classes FILE"
        )


def _points(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """In which points two splits differ."""
    points = [
        f"{words} ({_classes_differ(a[key], b[key])})"
        for key, words in CLASS_LISTS.items()
        if set(a[key]) != set(b[key])
    ]
    points += [f"{words} ({a[key]} and {b[key]})" for key, words in SINGLE.items() if a[key] != b[key]]
    for role, words in CLIP_LISTS.items():
        first, second = a["clips"][role], b["clips"][role]
        if first["fingerprint"] != second["fingerprint"]:
            numbers = (
                f"{first['number']} and {second['number']}"
                if first["number"] != second["number"]
                else f"{first['number']}, not the same ones"
            )
            points.append(f"{words} ({numbers})")
    return points or [f"their hashes ({a['hash']} and {b['hash']})"]


def _classes_differ(a: Sequence[str], b: Sequence[str]) -> str:
    """How many classes stand in one list alone, and the first of them."""
    only_a, only_b = sorted(set(a) - set(b)), sorted(set(b) - set(a))
    first, whose = (only_a[0], "A") if only_a else (only_b[0], "B")
    return f"{len(only_a)} of A's {len(a)} and {len(only_b)} of B's {len(b)} are not the other's, the first {first!r} of {whose}"
