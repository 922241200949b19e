"""Two exports of one protocol: every method on the same clips, or in which points the protocols differ."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from zsar_lab.files import read_json
from zsar_lab.results.statistics import differences
from zsar_lab.results.tables import DIFFERENCE, readable

SHARED = ("encoder", "checkpoints", "catalog", "frames")
POINTS = {"unseen": "unseen classes", "seen": "seen classes", "validation": "validation classes"}
POINTS |= {"generalised": "candidates (generalised)", "average": "average", "views": "test views a clip"}
NOTE = (
    "Top-1 (share of clips); difference: B less A on the same clips (points), its 95 % interval over classes,"
    " p alone and adjusted for the rows of one part and setting (Holm); detectable: the smallest true"
    " difference (points) that 80 % of such studies would find."
)
SHOWN = {"": "{part}", "method": "{label}", "class text": "{prompts}", "setting": "{setting}"}
SHOWN |= {"A_%": "{top1_a:.1f}", "B_%": "{top1_b:.1f}"} | DIFFERENCE
N_NAMED = 4  # of things that differ


class ReportError(ValueError):
    """A file is no whole report of this version, or two reports cannot be compared."""


# what is read of the files


class _Part(BaseModel):
    model_config = ConfigDict(strict=True)


class _Row(_Part):
    method: str
    label: str
    prompt: str
    reduction: str
    setting: str
    top1: float
    per_class: list[dict[str, Annotated[list[int], Field(min_length=2, max_length=2)]]]
    fingerprints: dict[str, str]


class _Clips(_Part):
    number: int
    fingerprint: str


class _Split(_Part):
    name: str
    hash: str
    average: str
    generalised: bool
    views: int
    seen: list[str]
    validation: list[str]
    unseen: list[str]
    clips_scored: int
    clips: dict[str, _Clips]


class _Protocol(_Part):
    name: str
    hash: str


class _Family(_Part):
    protocol: _Protocol
    splits: Annotated[list[_Split], Field(min_length=1)]
    methods: dict[str, _Row]
    prompts: list[_Row]
    reductions: list[_Row]

    @model_validator(mode="after")
    def _counts_fit(self) -> _Family:
        for row in (*self.methods.values(), *self.prompts, *self.reductions):
            pairs = [pair for of_split in row.per_class for pair in of_split.values()]
            fits = len(row.per_class) == len(self.splits) and all(0 <= r <= n for r, n in pairs)
            if not fits or any(of.keys() - {*one.unseen} for of, one in zip(row.per_class, self.splits)):
                raise ValueError(f"the counts of {row.label!r} do not fit the splits' classes")
        return self


class _Report(_Family):
    schema_version: Literal[1]
    beside: list[_Family]


class _OfClass(_Part):
    name: str = Field(alias="class")
    clips: int
    correct: int


class _Predictions(_Part):
    schema_version: Literal[1]
    fingerprint: str
    labels_fingerprint: str
    candidates_fingerprint: str
    clips: int
    top1: float
    per_class: list[_OfClass]


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


def _checked(content: dict[str, Any], what: str) -> Any:
    """A report, or scores of predictions; ReportError for a missing key, another type or version."""
    try:
        return (_Predictions if "confusion" in content else _Report).model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where, got = ".".join(map(str, (what, *first["loc"]))), str(first["input"])[:40]
        raise ReportError(f"{where}: {first['msg']}, got {got!r} ({error.error_count()} faults)") from error


@dataclass(frozen=True)
class ReportComparison:
    """Two reports of one protocol.

    Attributes:
        names: of A's report and of B's.
        protocol: hash of A's splits in their order, or of the labels of predictions.
        n_splits, n_clips, n_classes: on what both were scored; a clip counts once a split.
        table: a row for what both scored: part, label, method, reduction, setting, prompt_a, prompt_b,
            top1_a, top1_b, and of B less A on the same clips difference, difference_low, difference_high, p,
            p_holm (over the rows of the part and setting), min_detectable, claimed; fractions.
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
        shown = "There is no method that both scored."
        if len(self.table):
            a, b = self.table["prompt_a"], self.table["prompt_b"]
            table = readable(self.table.assign(prompts=a.where(a == b, a + " / " + b)), SHOWN)
            shown = table.loc[:, (table != "").any()].to_string(index=False)
        differs = f"Also different: {'; '.join(self.differs)}." if self.differs else "Nothing else differs."
        sides = (("A", self.only_a), ("B", self.only_b))
        only = (f"Only {side} has: {'; '.join(names)}." for side, names in sides if names)
        left_out = (f"Not compared: {one}." for one in self.not_compared)
        lines = [head, "", shown, "", NOTE, differs, *only, *left_out]
        wrapped = [line if "\n" in line else textwrap.fill(line, 150) for line in lines]
        return "\n".join([*wrapped, *("\n" + beside.text() for beside in self.beside)])

    def content(self) -> dict[str, Any]:
        """The comparison as plain json content."""
        content = vars(self) | {"table": self.table.to_dict("records")}
        return content | {"beside": [one.content() for one in self.beside]}


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
    of_a, of_b = _checked(a, "A"), _checked(b, "B")
    if type(of_a) is not type(of_b):
        raise ReportError("A and B must both be reports or both scores of predictions, got one of each")
    if isinstance(of_a, _Predictions):
        return _compare_predictions(of_a, of_b)
    points = _points_of_protocols(of_a, of_b)
    if points:
        raise ReportError(f"A and B must be scored under one protocol, theirs differ in {'; '.join(points)}")
    compared, phrases, left = [], [], list(of_b.beside)
    for own in of_a.beside:
        other = next((one for one in left if not _points_of_protocols(own, one)), None)
        if other is None:
            why = f" differs in {'; '.join(_points_of_protocols(own, left[0]))}" if left else ""
            phrases.append(f"{own.protocol.name!r} beside A{why}")
        else:
            left.remove(other)
            compared.append(_compare(own, other))
    phrases += [f"{one.protocol.name!r} beside B" for one in left]
    return _compare(of_a, of_b, beside=tuple(compared), not_compared=tuple(phrases))


def _compare(a: _Family, b: _Family, **beside: Any) -> ReportComparison:
    found: list[dict[str, Any]] = []
    pairs: list[list[pd.DataFrame]] = []
    differing: dict[str, list[str]] = {}
    only: tuple[list[str], list[str]] = ([], [])
    for part in ("methods", "prompts", "reductions"):
        rows_a, rows_b = (_rows_by_key(family, part) for family in (a, b))
        for names, own, other in zip(only, (rows_a, rows_b), (rows_b, rows_a)):
            names += [_name(part, row) for key, row in own.items() if key not in other]
        for key in [key for key in rows_a if key in rows_b]:
            x, y = rows_a[key], rows_b[key]
            prompts = {"method": x.method, "prompt_a": x.prompt, "prompt_b": y.prompt}
            if part == "prompts" and any(prompts.items() <= row.items() for row in found):
                continue  # the training's own prompt is among the methods
            pairs.append([_counts(pair for of in row.per_class for pair in of.items()) for row in (y, x)])
            about = {"part": part, **{name: getattr(x, name) for name in ("label", "reduction", "setting")}}
            found.append(about | prompts | {"top1_a": x.top1, "top1_b": y.top1})
            for phrase in _differences(x, y):
                differing.setdefault(phrase, [])
            if x.fingerprints.get("method") != y.fingerprints.get("method"):
                differing.setdefault("settings that validation chose", []).append(_name(part, x))
    differs = [f"{phrase}{' of ' if names else ''}{_first(names)}" for phrase, names in differing.items()]
    return ReportComparison(
        (a.protocol.name, b.protocol.name),
        a.protocol.hash,
        len(a.splits),
        sum(split.clips_scored for split in a.splits),
        len({name for split in a.splits for name in split.unseen}),
        _with_differences(found, pairs),
        tuple(differs),
        tuple(only[0]),
        tuple(only[1]),
        **beside,
    )


def _compare_predictions(a: _Predictions, b: _Predictions) -> ReportComparison:
    clips = [{row.name: row.clips for row in of.per_class if row.clips} for of in (a, b)]
    wrong = sorted(name for name in clips[0] | clips[1] if clips[0].get(name) != clips[1].get(name))
    if wrong:
        counts = " and ".join(str(of.get(wrong[0], 0)) for of in clips)
        got = f"{wrong[0]!r} has {counts} ({len(wrong)} differ)"
        raise ReportError(f"A and B must be of the same clips, {got}")
    if a.candidates_fingerprint != b.candidates_fingerprint:
        points = _classes_differ(*([row.name for row in of.per_class] for of in (a, b)))
        raise ReportError(f"A and B must have the same candidates: {points}; see --classes FILE")
    pair = [_counts((row.name, (row.correct, row.clips)) for row in of.per_class) for of in (b, a)]
    row = dict.fromkeys(("label", "method", "reduction", "setting", "prompt_a", "prompt_b"), "")
    row |= {"part": "predictions"}
    table = _with_differences([row | {"top1_a": a.top1, "top1_b": b.top1}], [pair])
    files = f"the files of predictions (A {a.fingerprint}, B {b.fingerprint})"
    names, differs = ("predictions", "predictions"), () if a.fingerprint == b.fingerprint else (files,)
    return ReportComparison(names, a.labels_fingerprint, 0, a.clips, len(clips[0]), table, differs)


def _counts(pairs: Iterable[tuple[str, Sequence[int]]]) -> pd.DataFrame:
    """Right clips and clips by class over all splits, as `compare` takes them."""
    rows = [(name, *counts) for name, counts in pairs]
    return pd.DataFrame(rows, columns=["label", "right", "clips"]).groupby("label").sum()


def _with_differences(found: list[dict[str, Any]], pairs: list[Any]) -> pd.DataFrame:
    """The rows with B less A, adjusted for those of a part and setting."""
    try:
        return pd.DataFrame(found).join(differences(pairs, [(one["part"], one["setting"]) for one in found]))
    except ValueError as error:
        raise ReportError(f"A and B cannot be compared: {error}") from error


def _rows_by_key(family: _Family, part: str) -> dict[tuple[str, ...], _Row]:
    rows = family.methods.values() if part == "methods" else getattr(family, part)
    keys = ("method", "reduction", "setting", *(["prompt"] if part == "prompts" else []))
    return {tuple(getattr(row, key) for key in keys): row for row in rows}


def _name(part: str, row: _Row) -> str:
    return row.label + (f" with {row.prompt}" if part == "prompts" else f" ({row.setting})")


def _differences(a: _Row, b: _Row) -> list[str]:
    """What else is not the same of two rows, but for their settings."""
    first, second = a.fingerprints, b.fingerprints
    differing = (what for what in SHARED if first.get(what) != second.get(what))
    found = [f"{what} (A {first.get(what)}, B {second.get(what)})" for what in differing]
    texts = [of.get("class_text") or "not known" for of in (first, second)]
    if texts[0] != texts[1]:
        found.append(f"class text (A {a.prompt} {texts[0]}, B {b.prompt} {texts[1]})")
    elif a.prompt != b.prompt:
        found.append(f"names of the class text, not its words (A {a.prompt}, B {b.prompt})")
    return found


def _first(names: Sequence[str]) -> str:
    names = list(dict.fromkeys(names))
    more = len(names) - N_NAMED
    return ", ".join(names[:N_NAMED]) + (f" and {more} more" if more > 0 else "")


def _points_of_protocols(a: _Family, b: _Family) -> list[str]:
    """In which points the protocols of two reports differ; of splits that differ the first pair."""
    hashes = [sorted(split.hash for split in family.splits) for family in (a, b)]
    if hashes[0] == hashes[1]:
        return []
    if len(hashes[0]) != len(hashes[1]):
        n_shared = sum(one in hashes[1] for one in hashes[0])
        return [f"number of splits ({len(hashes[0])} and {len(hashes[1])}, {n_shared} of them the same)"]
    first = min((one for one in a.splits if one.hash not in hashes[1]), key=lambda one: one.name)
    others = sorted((one for one in b.splits if one.hash not in hashes[0]), key=lambda one: one.name)
    other = next((one for one in others if one.name == first.name), others[0])
    points = []
    for key, words in POINTS.items():
        x, y = getattr(first, key), getattr(other, key)
        if isinstance(x, list) and set(x) != set(y):
            points.append(f"{words} ({_classes_differ(x, y)})")
        elif not isinstance(x, list) and x != y:
            points.append(f"{words} ({x} and {y})")
    for role, own in first.clips.items():
        its = other.clips.get(role, _Clips(number=0, fingerprint=""))
        if own.fingerprint != its.fingerprint:
            number = its.number if own.number != its.number else "as many, not the same ones"
            points.append(f"{role} clips ({own.number} and {number})")
    names = " and ".join(dict.fromkeys((repr(first.name), repr(other.name))))
    points[:1] = [f"{points[0] if points else 'their hashes'} of {names}"]
    return points


def _classes_differ(a: Sequence[str], b: Sequence[str]) -> str:
    only_a, only_b = sorted(set(a) - set(b)), sorted(set(b) - set(a))
    first, whose = (only_a[0], "A") if only_a else (only_b[0], "B")
    counts = f"{len(only_a)} of A's {len(a)} and {len(only_b)} of B's {len(b)}"
    return f"{counts} are not the other's, the first {first!r} of {whose}"
