"""Two exports of one protocol: every method on the same clips, or in which points the protocols differ."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from zsar_lab.files import read_json
from zsar_lab.results.report_files import SCHEMA_VERSION
from zsar_lab.results.statistics import LEVEL, compare, holm
from zsar_lab.results.wording import detectable_as_text, interval_as_text, p_as_text

# the schema: types by key, [form] a list of one form, {"*": form} any keys
PRINTS = dict.fromkeys(("encoder", "checkpoints", "method"), str)
ROW: dict[str, Any] = dict.fromkeys(("method", "label", "prompt", "reduction", "setting"), str)
ROW |= {"top1": float, "settings": list, "per_class": [{"*": [int]}], "fingerprints": PRINTS}
SPLIT: dict[str, Any] = dict.fromkeys(("name", "hash", "average"), str) | {"generalised": bool, "views": int}
SPLIT |= dict.fromkeys(("seen", "validation", "unseen"), [str]) | {"clips_scored": int}
SPLIT |= {"clips": {"*": {"number": int, "fingerprint": str}}}
REPORT: dict[str, Any] = {
    "schema_version": int,
    "protocol": {"name": str, "hash": str},
    "splits": [SPLIT],
    "beside": [dict],
}
REPORT |= {"methods": {"*": ROW}, "prompts": [ROW], "reductions": [ROW]}
PREDICTIONS: dict[str, Any] = dict.fromkeys(
    ("fingerprint", "labels_fingerprint", "candidates_fingerprint"), str
)
PREDICTIONS |= {"clips": int, "top1": float, "per_class": [{"class": str, "clips": int, "correct": int}]}
SHARED = ("encoder", "checkpoints", "catalog", "frames")
POINTS = {"unseen": "unseen classes", "seen": "seen classes", "validation": "validation classes"}
POINTS |= {"generalised": "candidates (generalised)", "average": "average", "views": "test views a clip"}
NOTE = (
    "Top-1 (share of clips); B less A on the same clips (points), its 95 % interval over classes, p alone and"
    " adjusted for the rows of one part and setting (Holm); detectable: the smallest true difference (points)"
    " that 80 % of such studies would find."
)
N_NAMED = 4  # of things that differ


class ReportError(ValueError):
    """A file is no whole report of this version, or two reports cannot be compared."""


@dataclass(frozen=True)
class ReportComparison:
    """Two reports of one protocol.

    Attributes:
        names: of A's report and of B's.
        protocol: hash of A's splits in their order, or of the labels of predictions.
        n_splits, n_clips, n_classes: on what both were scored; a clip counts once a split.
        table: a row for what both scored: part, label, method, reduction, setting, prompt_a, prompt_b,
            top1_a, top1_b, and of B less A on the same clips difference, low, high, p, p_holm (over the rows
            of the part and setting), min_detectable, claimed; fractions.
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
    table: pd.DataFrame
    differs: tuple[str, ...] = ()
    only_a: tuple[str, ...] = ()
    only_b: tuple[str, ...] = ()
    beside: tuple[ReportComparison, ...] = ()
    not_compared: tuple[str, ...] = ()

    def text(self) -> str:
        """The comparison for reading."""
        splits = f" of {self.n_splits} split{'s' * (self.n_splits > 1)}" if self.n_splits else ""
        names, clips = " / ".join(dict.fromkeys(self.names)), f"{self.n_clips} clips{splits}"
        head = f"{names}: {clips}, {self.n_classes} different classes, protocol {self.protocol}"
        nothing = "There is no method that both scored."
        shown = self._shown().to_string(index=False) if len(self.table) else nothing
        differs = f"Also different: {'; '.join(self.differs)}." if self.differs else "Nothing else differs."
        sides = (("A", self.only_a), ("B", self.only_b))
        only = (f"Only {side} has: {'; '.join(names)}." for side, names in sides if names)
        left_out = (f"Not compared: {one}." for one in self.not_compared)
        lines = [head, "", shown, "", NOTE, differs, *only, *left_out]
        wrapped = [line if "\n" in line else textwrap.fill(line, 150) for line in lines]
        return "\n".join([*wrapped, *("\n" + beside.text() for beside in self.beside)])

    def _shown(self) -> pd.DataFrame:
        t = self.table
        prompts = t["prompt_a"].where(t["prompt_a"] == t["prompt_b"], t["prompt_a"] + " / " + t["prompt_b"])
        shown = {"": t["part"], "method": t["label"], "class text": prompts, "setting": t["setting"]}
        for side in ("a", "b"):
            shown |= {f"{side.upper()}_%": (100 * t[f"top1_{side}"]).map("{:.1f}".format)}
        shown |= {"B - A": (100 * t["difference"]).map("{:+.1f}".format)}
        shown |= {"its interval": [interval_as_text(ends, "+") for ends in zip(t["low"], t["high"])]}
        shown |= {"p": t["p"].map(p_as_text), "p (Holm)": t["p_holm"].map(p_as_text)}
        table = pd.DataFrame(shown | {"detectable": t["min_detectable"].map(detectable_as_text)})
        return table.loc[:, (table != "").any()]

    def content(self) -> dict[str, Any]:
        """The comparison as plain json content."""
        content = vars(self) | {"table": self.table.to_dict("records")}
        return content | {"beside": [one.content() for one in self.beside]}


def read_report(path: Path) -> dict[str, Any]:
    """Read a report.json (or the one of a folder), or what `evaluate --predictions --json` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ReportError: it is not whole json, or holds no object.
    """
    file = Path(path) / "report.json" if Path(path).is_dir() else Path(path)
    try:
        content = read_json(file)
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no report '{file}'; give a report.json or its folder") from None
    except ValueError as error:
        raise ReportError(f"'{file}' is no whole json file ({error.__cause__ or error})") from error
    if not isinstance(content, dict):
        raise ReportError(f"'{file}' must hold a json object, got a {type(content).__name__}")
    return content


def check_report(content: Any, what: str) -> None:
    """Check that content is a report, or scores of predictions, of this version.

    Raises ReportError: `what` lacks a key, or has one of another type, or counts that do not fit.
    """
    version = content.get("schema_version") if isinstance(content, Mapping) else None
    if version != SCHEMA_VERSION:
        raise ReportError(f"{what} must be of schema_version {SCHEMA_VERSION}, got {version!r}")
    _check(content, PREDICTIONS if "confusion" in content else REPORT, what)
    if "confusion" in content:
        return
    for row in (*content["methods"].values(), *content["prompts"], *content["reductions"]):
        fits = len(row["per_class"]) == len(content["splits"]) > 0
        for split, counts in zip(content["splits"], row["per_class"]):
            fits &= set(counts) <= set(split["unseen"])
            fits &= all(len(pair) == 2 and 0 <= pair[0] <= pair[1] for pair in counts.values())
        if not fits:
            raise ReportError(f"{what}: the counts of {row['label']!r} do not fit the splits' classes")
    for one in content["beside"]:
        check_report(one | {"schema_version": SCHEMA_VERSION, "beside": []}, f"{what}, beside")


def _check(value: Any, form: Any, where: str) -> None:
    """Check a value against a type, a list of one form, a dict of forms, or {"*": form} for any key."""
    kind = type(form) if isinstance(form, (dict, list)) else form
    accepted: Any = (int, float) if kind is float else (list, tuple) if kind is list else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise ReportError(f"{where} must be of type {kind.__name__}, got {str(value)[:40]!r}")
    if isinstance(form, list):
        for number, each in enumerate(value):
            _check(each, form[0], f"{where}[{number}]")
    elif isinstance(form, dict):
        for key in value if "*" in form else form:
            if key not in value:
                raise ReportError(f"{where} has no {key!r}")
            _check(value[key], form.get(key, form.get("*")), f"{where}.{key}")


def compare_reports(a: dict[str, Any], b: dict[str, Any]) -> ReportComparison:
    """Compare two reports, or two scores of predictions, on the same clips; splits are matched by hash.

    Methods are matched by name, whatever prompt their trainings read; prompts and hubness reductions by
    everything. That predictions are of the same clips is seen from the clips of each class alone.

    Args:
        a: as `read_report` gives it.
        b: likewise.

    Raises:
        ReportError: they are not whole, not of a kind, or not of one protocol (in which points).
    """
    for name, content in (("A", a), ("B", b)):
        check_report(content, name)
    if ("confusion" in a) != ("confusion" in b):
        raise ReportError("A and B must both be reports or both scores of predictions, got one of each")
    if "confusion" in a:
        return _compare_predictions(a, b)
    points = _points_of_protocols(a, b)
    if points:
        raise ReportError(f"A and B must be scored under one protocol, theirs differ in {'; '.join(points)}")
    compared, phrases, left = [], [], list(b["beside"])
    for own in a["beside"]:
        other = next((one for one in left if not _points_of_protocols(own, one)), None)
        if other is None:
            why = f" differs in {'; '.join(_points_of_protocols(own, left[0]))}" if left else ""
            phrases.append(f"{own['protocol']['name']!r} beside A{why}")
        else:
            left.remove(other)
            compared.append(_compare(own, other))
    phrases += [f"{one['protocol']['name']!r} beside B" for one in left]
    return _compare(a, b, beside=tuple(compared), not_compared=tuple(phrases))


def _compare(a: dict[str, Any], b: dict[str, Any], **beside: Any) -> ReportComparison:
    found: list[dict[str, Any]] = []
    differing: dict[str, list[str]] = {}
    only: tuple[list[str], list[str]] = ([], [])
    for part in ("methods", "prompts", "reductions"):
        rows_a, rows_b = (_rows_by_key(content, part) for content in (a, b))
        for names, own, other in zip(only, (rows_a, rows_b), (rows_b, rows_a)):
            names += [_name(part, row) for key, row in own.items() if key not in other]
        for key in [key for key in rows_a if key in rows_b]:
            x, y = rows_a[key], rows_b[key]
            prompts = {"method": x["method"], "prompt_a": x["prompt"], "prompt_b": y["prompt"]}
            if part == "prompts" and any(prompts.items() <= row.items() for row in found):
                continue  # the training's own prompt is among the methods
            rows = [_counts(row["per_class"]) for row in (x, y)]  # summed, whatever the order of splits
            about = {"part": part, **{name: x[name] for name in ("label", "reduction", "setting")}}
            found.append(about | prompts | {"top1_a": x["top1"], "top1_b": y["top1"]} | _pair(*rows))
            for phrase, name in _differences(part, x, y):
                differing.setdefault(phrase, []).extend([name] if name else [])
    differs = [f"{phrase}{' of ' if names else ''}{_first(names)}" for phrase, names in differing.items()]
    return ReportComparison(
        (a["protocol"]["name"], b["protocol"]["name"]),
        a["protocol"]["hash"],
        len(a["splits"]),
        sum(split["clips_scored"] for split in a["splits"]),
        len({name for split in a["splits"] for name in split["unseen"]}),
        _with_holm(found),
        tuple(differs),
        tuple(only[0]),
        tuple(only[1]),
        **beside,
    )


def _compare_predictions(a: dict[str, Any], b: dict[str, Any]) -> ReportComparison:
    tables = [content["per_class"] for content in (a, b)]
    clips = [{row["class"]: row["clips"] for row in table if row["clips"]} for table in tables]
    wrong = sorted(name for name in clips[0] | clips[1] if clips[0].get(name) != clips[1].get(name))
    if wrong:
        counts = " and ".join(str(of.get(wrong[0], 0)) for of in clips)
        got = f"{wrong[0]!r} has {counts} ({len(wrong)} differ)"
        raise ReportError(f"A and B must be of the same clips, {got}")
    if a["candidates_fingerprint"] != b["candidates_fingerprint"]:
        points = _classes_differ(*([row["class"] for row in table] for table in tables))
        raise ReportError(f"A and B must have the same candidates: {points}; see --classes FILE")
    rows = [_counts([{row["class"]: (row["correct"], row["clips"]) for row in of}]) for of in tables]
    row = dict.fromkeys(("label", "method", "reduction", "setting", "prompt_a", "prompt_b"), "")
    row |= {"part": "predictions", "top1_a": a["top1"], "top1_b": b["top1"]} | _pair(*rows)
    prints = a["fingerprint"], b["fingerprint"]
    differs = () if prints[0] == prints[1] else (f"the files of predictions (A {prints[0]}, B {prints[1]})",)
    names, labels = ("predictions", "predictions"), a["labels_fingerprint"]
    return ReportComparison(names, labels, 0, a["clips"], len(clips[0]), _with_holm([row]), differs)


def _counts(per_class: Sequence[Mapping[str, Sequence[int]]]) -> pd.DataFrame:
    """Right clips and clips by class over all splits, as `compare` takes them."""
    of_splits = [pd.DataFrame.from_dict(of, "index", columns=["right", "clips"]) for of in per_class]
    return pd.concat(of_splits).groupby(level=0).sum().rename_axis("label")


def _pair(counts_a: pd.DataFrame, counts_b: pd.DataFrame) -> dict[str, float]:
    """B less A."""
    try:
        return vars(compare(counts_b, counts_a))
    except ValueError as error:
        raise ReportError(f"A and B cannot be compared: {error}") from error


def _with_holm(found: list[dict[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame(found)
    if len(table):
        table["p_holm"] = table.groupby(["part", "setting"])["p"].transform(lambda p: holm(p.to_numpy()))
        table["claimed"] = table["p_holm"] <= LEVEL
    return table


def _rows_by_key(content: dict[str, Any], part: str) -> dict[tuple[str, ...], dict[str, Any]]:
    rows = content[part].values() if part == "methods" else content[part]
    keys = ("method", "reduction", "setting", *(["prompt"] if part == "prompts" else []))
    return {tuple(row[key] for key in keys): row for row in rows}


def _name(part: str, row: dict[str, Any]) -> str:
    return row["label"] + (f" with {row['prompt']}" if part == "prompts" else f" ({row['setting']})")


def _differences(part: str, a: dict[str, Any], b: dict[str, Any]) -> list[tuple[str, str | None]]:
    """What else is not the same of two rows, and the row's name where it is not true of all."""
    first, second = a["fingerprints"], b["fingerprints"]
    found: list[tuple[str, str | None]] = [
        (f"{what} (A {first.get(what)}, B {second.get(what)})", None)
        for what in SHARED
        if first.get(what) != second.get(what)
    ]
    texts = [of.get("class_text") or "not known" for of in (first, second)]
    if texts[0] != texts[1]:
        found.append((f"class text (A {a['prompt']} {texts[0]}, B {b['prompt']} {texts[1]})", None))
    elif a["prompt"] != b["prompt"]:
        found.append((f"names of the class text, not its words (A {a['prompt']}, B {b['prompt']})", None))
    if first["method"] != second["method"]:
        found.append(("settings that validation chose", _name(part, a)))
    return found


def _first(names: Sequence[str]) -> str:
    names = list(dict.fromkeys(names))
    more = len(names) - N_NAMED
    return ", ".join(names[:N_NAMED]) + (f" and {more} more" if more > 0 else "")


def _points_of_protocols(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """In which points the protocols of two reports differ; of splits that differ the first pair."""
    left = [sorted(content["splits"], key=lambda split: split["hash"]) for content in (a, b)]
    hashes = [[split["hash"] for split in splits] for splits in left]
    n_shared = sum(one in hashes[1] for one in hashes[0])
    if len(hashes[0]) != len(hashes[1]):
        return [f"number of splits ({len(hashes[0])} and {len(hashes[1])}, {n_shared} of them the same)"]
    if hashes[0] == hashes[1]:
        return []
    first, *_ = sorted((one for one in left[0] if one["hash"] not in hashes[1]), key=lambda one: one["name"])
    others = sorted((one for one in left[1] if one["hash"] not in hashes[0]), key=lambda one: one["name"])
    other = next((one for one in others if one["name"] == first["name"]), others[0])
    points = []
    for key, words in POINTS.items():
        if isinstance(first[key], (list, tuple)):
            if set(first[key]) != set(other[key]):
                points.append(f"{words} ({_classes_differ(first[key], other[key])})")
        elif first[key] != other[key]:
            points.append(f"{words} ({first[key]} and {other[key]})")
    for role in first["clips"]:
        x, y = first["clips"][role], other["clips"].get(role, {"number": 0, "fingerprint": ""})
        if x["fingerprint"] != y["fingerprint"]:
            other_number = y["number"] if x["number"] != y["number"] else "as many, not the same ones"
            points.append(f"{role} clips ({x['number']} and {other_number})")
    names = " and ".join(dict.fromkeys((repr(first["name"]), repr(other["name"]))))
    points[:1] = [f"{points[0] if points else 'their hashes'} of {names}"]
    return points


def _classes_differ(a: Sequence[str], b: Sequence[str]) -> str:
    only_a, only_b = sorted(set(a) - set(b)), sorted(set(b) - set(a))
    first, whose = (only_a[0], "A") if only_a else (only_b[0], "B")
    counts = f"{len(only_a)} of A's {len(a)} and {len(only_b)} of B's {len(b)}"
    return f"{counts} are not the other's, the first {first!r} of {whose}"
