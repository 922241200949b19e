"""report.json: written compactly, and read back only if it is whole."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from zsar_lab.files import fingerprint, read_json, writing
from zsar_lab.protocols.protocol import Protocol

FILE = "report.json"
# a list without quotes or further brackets; a bracket with a line break after it stands in no string, where
# json writes the break as \n
NUMBERS = re.compile(r"\[\n[^\[\]{}\"]*\]")
PARTS = ("methods", "class_texts", "corrections")
OF_REPORT = ("protocol", "splits", *PARTS)
NUMBER, LIST = (int, float), (list, tuple)  # tuples where the content has not been through json
OF_WHOLE = {
    "protocol": dict,
    "chance": NUMBER,
    "upper_bound": NUMBER,
    "seen_top1": NUMBER,
    "fingerprints": dict,
}
OF_ROW = {
    "method": str,
    "setting": str,
    "class_text": str,
    "top1": NUMBER,
    "top5": NUMBER,
    "mean_class": NUMBER,
    "std": NUMBER,
    "ci95": LIST,
    "validation_top1": NUMBER,
    "hubness": dict,
    "splits": LIST,
    "settings": LIST,
    "per_class": LIST,
    "fingerprints": dict,
}
OF_SPLIT = {
    "name": str,
    "hash": str,
    "seen": LIST,
    "validation": LIST,
    "unseen": LIST,
    "generalised": bool,
    "average": str,
    "views": int,
    "clips": dict,
    "clips_scored": int,
    "seen_top1": NUMBER,
    "upper_bound": NUMBER,
}


def class_lists(protocol: Protocol) -> dict[str, list[str]]:
    """The classes of a split, as a report keeps them."""
    return {
        "seen": list(protocol.seen),
        "validation": list(protocol.validation),
        "unseen": list(protocol.unseen),
    }


def scoring(protocol: Protocol) -> dict[str, Any]:
    """How a split is scored and on which clips, as a report keeps it: of each list how many, and a hash that does not depend on their order."""
    clips = {
        role: {"number": len(ids), "fingerprint": fingerprint("clips", sorted(ids))}
        for role, ids in protocol.roles.items()
    }
    return {
        "generalised": protocol.generalised,
        "average": protocol.average,
        "views": protocol.views,
        "clips": clips,
    }


def write_report(path: Path, content: dict[str, Any]) -> None:
    """Write the content of a report as json, whole or not at all; a list of numbers takes one line."""
    text = json.dumps(content, indent=2, ensure_ascii=False)
    with writing(path) as temporary:
        temporary.write_text(
            NUMBERS.sub(lambda numbers: " ".join(numbers[0].split()), text) + "\n", encoding="utf-8"
        )


def read_report(path: Path) -> dict[str, Any]:
    """Read a json file: a report, or what `evaluate --predictions` wrote; it is checked where it is used, see `check_report`.

    Args:
        path: the file, or a folder that holds a report.json.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not whole json, or holds no object.
    """
    path = Path(path)
    file = path / FILE if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(
            f"a report must be there, '{file}' is not; give a report.json, or the folder that holds it"
        )
    try:
        content = read_json(file)
    except ValueError as error:
        raise ValueError(
            f"a report must be a whole json file, '{file}' is not ({error.__cause__ or error}); make it again"
        ) from error
    if not isinstance(content, dict):
        raise ValueError(
            f"a report must be a json object, '{file}' holds a {type(content).__name__}; give a report.json"
        )
    return content


def rows_of(content: dict[str, Any], part: str) -> list[dict[str, Any]]:
    """The rows of a part of a report's content; of a correction its own row without the comparison around it."""
    return [entry["row"] if part == "corrections" else entry for entry in content[part]]


def is_report(content: dict[str, Any]) -> bool:
    """Whether this is the content of a report, of this version or an earlier one."""
    return all(key in content for key in OF_REPORT)


def check_report(content: dict[str, Any], what: str) -> None:
    """Check that content is that of a report with all that this version of the library keeps.

    Args:
        content: as `Report.content` makes it, and as it stands in report.json.
        what: how messages call it.

    Raises:
        ValueError: it is no report, one of an earlier version, or one that was changed by hand so that its
            parts do not fit.
    """
    if not is_report(content):
        missing = next(key for key in OF_REPORT if key not in content)
        raise ValueError(
            f"{what} must be a report as a workspace writes it, but it has no {missing!r}; give a report.json"
        )
    try:
        parts = [
            (content, OF_WHOLE),
            (content["protocol"], {"name": str, "hash": str}),
            *((split, OF_SPLIT) for split in content["splits"]),
        ]
        parts += [(row, OF_ROW) for part in PARTS for row in rows_of(content, part)]
        lacking = [key for one, kinds in parts for key in kinds if key not in one]
        broken = None if lacking else _mistyped(parts) or _broken(content)
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        raise ValueError(
            f"{what} must be a whole report, but its parts do not fit ({type(error).__name__}: {error}); make it again"
        ) from error
    if lacking:
        raise ValueError(
            f"{what} was made by an earlier version of this library and has no {lacking[0]!r}; make it again with workspace.report()"
        )
    if broken:
        raise ValueError(
            f"{what} must be a whole report, but {broken}; make it again with workspace.report()"
        )


def _mistyped(parts: list[tuple[dict[str, Any], dict[str, Any]]]) -> str | None:
    """The first value of a kind that no report has."""
    for one, kinds in parts:
        wrong = [key for key, kind in kinds.items() if not isinstance(one[key], kind)]
        if "hubness" in kinds:
            numbers = (*one["ci95"], *one["splits"], *one["hubness"].values())
            wrong += ["figures"] * any(not isinstance(number, NUMBER) for number in numbers)
            wrong += ["fingerprints"] * any(
                not isinstance(value, str | None) for value in one["fingerprints"].values()
            )
        if wrong:
            return f"a value of {wrong[0]!r} is of another kind"
    return None


def _broken(content: dict[str, Any]) -> str | None:
    """What does not fit in a report that has every key."""
    splits, beside = content["splits"], content.get("beside", ())
    if not splits:
        return "it has no split"
    if not isinstance(beside, LIST) or not all(isinstance(one, dict) for one in beside):
        return "what stands beside it is no list of reports"
    for part in PARTS:
        for row in rows_of(content, part):
            if len(row["per_class"]) != len(splits) or len(row["settings"]) != len(splits):
                return f"the row {row['method']!r} has counts of {len(row['per_class'])} splits, not of {len(splits)}"
            for split, counts in zip(splits, row["per_class"]):
                if not set(split["unseen"]) <= set(counts) or not all(
                    0 <= right <= clips for right, clips in counts.values()
                ):
                    return f"the row {row['method']!r} has counts that do not fit the classes of {split['name']!r}"
    return None
