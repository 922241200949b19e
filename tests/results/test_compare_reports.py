"""Two exports, by function and by the command compare: what is compared and what is refused."""

from __future__ import annotations

import contextlib
import copy
import json
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_results import TITLE, small_results

from zsar_lab.cli import main
from zsar_lab.files import write_json
from zsar_lab.results import statistics
from zsar_lab.results.compare_reports import ReportError, compare_reports, read_report
from zsar_lab.results.report_files import report_content
from zsar_lab.results.summary import Results

BETTER = {"description": (0.7, (0.5, 0.7)), "label": (0.6, (0.4, 0.4)), "other": (0.5, (0.1, 0.1))}


def as_read(results: Results) -> dict:
    return json.loads(json.dumps(report_content(results)))


@pytest.fixture(scope="module")
def results() -> tuple[Results, Results]:
    """The same splits, the other way round by another training with another third prompt."""
    return small_results(), small_results((1, 0), prompts=BETTER, checkpoint="d", gain=0.05)


@pytest.fixture(scope="module")
def reports(results) -> list[dict]:
    return [as_read(one) for one in results]


@pytest.fixture(scope="module")
def a(reports) -> dict:
    return reports[0]


@pytest.fixture(scope="module")
def b(reports) -> dict:
    return reports[1]


def changed(content: dict, path: tuple, value: object) -> dict:
    """The content with another value at a path, without it for "delete"."""
    content = copy.deepcopy(content)
    part = content
    for key in path[:-1]:
        part = part[key]
    if value == "delete":
        del part[path[-1]]
    else:
        part[path[-1]] = value
    return content


def test_rows_are_compared_on_the_clips_of_the_same_splits(results, a, b):
    found = compare_reports(a, b)
    assert (found.n_splits, found.n_clips, found.n_classes) == (2, 240, 12)
    row = found.table[(found.table["part"] == "methods") & (found.table["method"] == "transfer")].iloc[0]
    rows_a, rows_b = (one.rows("transfer") for one in results)
    pair = statistics.compare(*(rows.sort_values(["split", "clip"]) for rows in (rows_b, rows_a)))
    got = row[["difference", "difference_low", "difference_high", "p", "min_detectable"]].tolist()
    assert got == [pair.difference, pair.low, pair.high, pair.p, pair.min_detectable]
    assert (row["top1_a"], row["top1_b"]) == tuple(map(statistics.accuracy, (rows_a, rows_b)))
    assert row["claimed"] and row["difference"] > 0.2
    for _, rows in found.table.groupby(["part", "setting"]):
        assert rows["p_holm"].tolist() == statistics.holm(rows["p"]).tolist()


def test_each_thing_scored_by_both_is_there_once_and_what_differs_is_said(a, b):
    found = compare_reports(a, b)
    counts = found.table.groupby("part").size().to_dict()
    assert counts == {"methods": 9, "prompts": 2, "reductions": 2}  # own prompts are among the methods
    assert set(found.table.loc[found.table["part"] == "prompts", "prompt_a"]) == {"label"}
    assert found.only_a == ("direct, ridge with <b>$x_1$ & 5 %", "transfer with <b>$x_1$ & 5 %")
    assert found.only_b == ("direct, ridge with other", "transfer with other")
    prints = [one["methods"]["transfer"]["fingerprints"]["checkpoints"] for one in (a, b)]
    assert found.differs == (f"checkpoints (A {prints[0]}, B {prints[1]})",)
    other = copy.deepcopy(a)
    for row in other["methods"].values():
        row["fingerprints"] |= {"method": "x", "encoder": "e2"}
    encoder, settings = compare_reports(a, other).differs
    assert encoder == "encoder (A e, B e2)" and settings.endswith(" and 5 more")
    assert settings.startswith("settings that validation chose of direct (inductive)")
    same = compare_reports(a, a)
    assert same.differs == same.only_a == same.only_b == () and (same.table["difference"] == 0).all()
    assert "Nothing else differs" in same.text()


def test_trainings_with_different_prompts_are_compared_method_by_method(a):
    turned = as_read(small_results(prompts={name: BETTER[name] for name in ("label", "description")}))
    found = compare_reports(a, turned)
    methods = found.table[found.table["part"] == "methods"]
    assert set(zip(methods["prompt_a"], methods["prompt_b"])) == {("description", "label")}
    text = "class text (A description print of description, B label print of label)"
    assert text in found.differs and "description / label" in found.text()
    prints = ("methods", "direct", "fingerprints", "class_text")
    renamed = changed(changed(a, prints, "t"), ("methods", "direct", "prompt"), "mine")
    said = compare_reports(changed(a, prints, "t"), renamed).differs[0]
    assert said == "names of the class text, not its words (A description, B mine)"


def test_reports_beside_are_compared_where_both_have_them(a, b):
    one = {name: part for name, part in a.items() if name not in ("schema_version", "beside")}
    two = changed(one, ("splits", 0, "clips", "train"), {"number": 2, "fingerprint": "other"})
    two["splits"][0]["hash"] = "another"
    found = compare_reports(a | {"beside": [one]}, b | {"beside": [one]})
    assert len(found.beside) == 1 and found.beside[0].n_clips == 240 and found.not_compared == ()
    assert found.text().count("B less A") == 2
    other = compare_reports(a | {"beside": [one]}, b | {"beside": [two]})
    assert other.beside == () and len(other.not_compared) == 2
    assert "train clips (2 and as many, not the same ones)" in other.not_compared[0]


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("unseen", lambda old: ["other", *old[1:]], "unseen classes (1 of A's 12 and 1 of B's 12"),
        ("unseen", lambda old: [*old, "more"], "the first 'more' of B"),
        ("seen", lambda old: ["s1", "s3"], "seen classes (1 of A's 2"),
        ("validation", lambda old: ["v1", "v3"], "validation classes (1 of A's 2"),
        ("average", lambda old: "mean_class", "average (micro and mean_class) of 'split 0'"),
        ("views", lambda old: 25, "test views a clip (1 and 25) of 'split 0'"),
        ("generalised", lambda old: True, "candidates (generalised) (False and True)"),
        ("name", lambda old: "x", "their hashes of 'split 0' and 'x'"),
        ("clips", lambda old: old | {"test": {"number": 9, "fingerprint": "x"}}, "test clips (120 and 9)"),
    ],
)
def test_another_protocol_is_refused_with_the_points_in_which_it_differs(a, key, value, words):
    other = changed(
        changed(a, ("splits", 0, "hash"), "another"), ("splits", 0, key), value(a["splits"][0][key])
    )
    for row in (*other["methods"].values(), *other["prompts"], *other["reductions"]):
        row["per_class"][0].pop("new00")
    with pytest.raises(ReportError) as refused:
        compare_reports(a, other)
    assert words in str(refused.value) and "\n" not in str(refused.value)
    fewer = copy.deepcopy(a) | {"splits": a["splits"][:1]}
    for row in (*fewer["methods"].values(), *fewer["prompts"], *fewer["reductions"]):
        del row["per_class"][1]
    with pytest.raises(ReportError, match=r"number of splits \(2 and 1, 1 of them the same\)"):
        compare_reports(a, fewer)


# what is no whole report


def paths_of(content, path=()):
    items = content.items() if isinstance(content, dict) else enumerate(content[:2])
    for key, value in items:
        yield (*path, key)
        if isinstance(value, (dict, list)):
            yield from paths_of(value, (*path, key))


@pytest.mark.parametrize("change", ["delete", None, "x", 3, [], {}, True])
def test_a_damaged_report_is_a_report_error_or_fits(a, change):
    few = a | {"prompts": a["prompts"][:1], "reductions": a["reductions"][:1]}
    few["methods"] = {name: a["methods"][name] for name in ("direct", "transfer")}
    for path in random.Random(0).sample(sorted(paths_of(few), key=str), 12):
        with contextlib.suppress(ReportError):  # which is no KeyError, TypeError, ...
            compare_reports(changed(few, path, change), few)


@pytest.mark.parametrize(
    "path",
    [("methods", "direct", key) for key in ("method", "prompt", "label", "top1", "per_class")]
    + [("prompts", 0, "prompt"), ("reductions", 0, "setting"), ("splits", 0, "hash"), ("splits", 1, "clips")]
    + [("protocol",), ("protocol", "hash"), ("methods",), ("prompts",), ("splits",), ("beside",)]
    + [("schema_version",)],
)
def test_a_missing_key_or_another_type_is_named(a, path):
    for wrong in ("delete", "x" if path[-1] in ("top1", "schema_version") else 0.5):
        with pytest.raises(ReportError, match=r"B\." + r"\.".join(map(str, path))):
            compare_reports(a, changed(a, path, wrong))


def test_a_damaged_report_beside_and_another_version_are_refused(a):
    for beside in ([3], [{}], [{"protocol": {}}], None, {}):
        with pytest.raises(ReportError, match="beside"):
            compare_reports(a | {"beside": beside}, a)
    for version in (None, 0, 2, "1"):
        with pytest.raises(ReportError, match="schema_version"):
            compare_reports(a, a | {"schema_version": version})
    for counts in ([1, 3], [11, 10], [-1, 10], [1, 2, 3], []):  # that do not fit, or are of other clips
        with pytest.raises(ReportError):
            compare_reports(a, changed(a, ("methods", "direct", "per_class", 0, "new00"), counts))


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "\xff"])
def test_a_file_that_is_no_report_is_refused(tmp_path, text):
    (tmp_path / "report.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ReportError, match="report.json"):
        read_report(tmp_path)
    with pytest.raises(FileNotFoundError, match="none"):
        read_report(tmp_path / "none")


# the command


@pytest.fixture
def files(a, b, tmp_path) -> tuple[Path, Path]:
    for name, content in (("one", a), ("two", b)):
        write_json(tmp_path / name / "report.json", content)
    return tmp_path / "one", tmp_path / "two"


def test_the_command_prints_the_table_and_writes_it(files, tmp_path, capsys, a, b):
    one, two = map(str, files)
    command = ["compare", one, f"{two}/report.json", "--json", str(tmp_path / "r.json")]
    assert main(command) == 0
    out, err = capsys.readouterr()
    assert err == "" and "transductive" in out and "Only A has: direct, ridge with <b>" in out
    assert TITLE in out and "p (Holm)" in out and "Also different: checkpoints (A " in out
    found = json.loads((tmp_path / "r.json").read_text())
    assert found == json.loads(json.dumps(compare_reports(a, b).content())) and len(found["table"]) == 13


@pytest.mark.parametrize("target", ["one/report.json", "two"])
def test_what_is_compared_is_never_written_over(files, tmp_path, target, capsys):
    before = [(folder / "report.json").read_bytes() for folder in files]
    assert main(["compare", *map(str, files), "--json", str(tmp_path / target)]) == 2
    assert before == [(folder / "report.json").read_bytes() for folder in files]
    assert "--json" in capsys.readouterr().err


def test_other_protocols_end_in_one_line(files, tmp_path, capsys, a):
    write_json(tmp_path / "x.json", changed(a, ("splits", 0, "hash"), "another"))
    for other in ("x.json", "none.json"):
        assert main(["compare", str(files[0]), str(tmp_path / other)]) == 2
        out, err = capsys.readouterr()
        assert out == "" and len(err.strip().splitlines()) == 1


# predictions from elsewhere

LABELS = [name for name in "abcdef" for _ in range(6)]


def predicted(folder: Path, name: str, rows: list[tuple[str, str]]) -> dict:
    lines = "".join(f"{label},{prediction}\n" for label, prediction in rows)
    (folder / f"{name}.csv").write_text("label,prediction\n" + lines)
    paths = [str(folder / f"{name}.{ending}") for ending in ("csv", "json")]
    assert main(["evaluate", "--predictions", paths[0], "--json", paths[1]]) == 0
    return json.loads((folder / f"{name}.json").read_text())


def test_two_predictions_are_compared_class_by_class(tmp_path):
    right = [np.random.default_rng(0).random(len(LABELS)) < share for share in (0.4, 0.8)]
    rows = [[(label, label if hit else "z") for label, hit in zip(LABELS, hits)] for hits in right]
    found = compare_reports(*(predicted(tmp_path, f"{n}", one) for n, one in enumerate(rows)))
    (row,) = found.table.to_dict("records")
    tables = [pd.DataFrame(one, columns=["label", "prediction"]) for one in rows]
    pair = statistics.compare(tables[1], tables[0])
    assert row["difference"] == pytest.approx(pair.difference) and row["p_holm"] == row["p"] == pair.p
    assert (row["top1_a"], row["top1_b"]) == pytest.approx((right[0].mean(), right[1].mean()))
    assert "36 clips, 6 different classes" in found.text() and "the files of predictions" in found.differs[0]


def test_predictions_of_other_clips_or_candidates_are_refused(tmp_path, a):
    rows = [(label, "a") for label in LABELS]
    given = (("one", rows), ("fewer", rows[:-2]), ("more", [*rows[:-1], ("f", "z")]))
    one, fewer, more = (predicted(tmp_path, *pair) for pair in given)
    with pytest.raises(ReportError, match="'f' has 6 and 4"):
        compare_reports(one, fewer)
    with pytest.raises(ReportError, match="first 'z' of B"):
        compare_reports(one, more)
    with pytest.raises(ReportError, match="one of each"):
        compare_reports(one, a)
    for key in ("labels_fingerprint", "candidates_fingerprint", "per_class", "clips", "top1"):
        with pytest.raises(ReportError, match=key):
            compare_reports(changed(one, (key,), "delete"), one)
    with pytest.raises(ReportError, match="per_class"):
        compare_reports(one | {"per_class": [3]}, one)
