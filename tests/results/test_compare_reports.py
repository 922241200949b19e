"""Two reports beside each other, as a function and as the command evaluate --compare: what is compared, and what is refused in which words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_report import PROMPTS, as_read, small_report, small_split
from planted_splits import TARGETS, UNSEEN

from zsar_lab.cli import main
from zsar_lab.files import write_json
from zsar_lab.protocols.protocol import generalised
from zsar_lab.results.compare_reports import compare_reports
from zsar_lab.results.evaluate import TRANSFER, SplitResult
from zsar_lab.results.report import Report, make_report
from zsar_lab.results.statistics import holm, paired_difference, paired_p_value

BETTER = {"description": (0.7, (0.5, 0.7)), "label": (0.6, (0.4, 0.4)), "other": (0.5, (0.1, 0.1))}


@pytest.fixture(scope="module")
def a() -> Report:
    return small_report()


@pytest.fixture(scope="module")
def b() -> Report:
    """The same splits the other way round, by another training, with another third prompt."""
    return small_report((1, 0), BETTER, checkpoint="d", gain=0.05)


# what is compared


def test_rows_are_paired_clip_by_clip_over_the_same_splits(a, b):
    found = compare_reports(as_read(a), as_read(b))
    classes = list(np.array(UNSEEN)[TARGETS]) * 2
    assert (found.n_splits, found.n_clips, found.n_classes) == (2, 240, 12)
    row = next(row for row in found.rows if (row.part, row.method) == ("methods", TRANSFER))
    right = [
        np.concatenate([r.method(TRANSFER).scores_BC.argmax(1) == TARGETS for r in results])
        for results in (b.results[::-1], a.results)
    ]
    assert (row.compared.difference, row.compared.ci95) == paired_difference(
        *right, classes
    ) and row.compared.p == paired_p_value(*right, classes)
    assert (
        row.top1 == (a.row(TRANSFER).top1, b.row(TRANSFER).top1)
        and row.claimed
        and row.compared.difference > 0.2
    )
    by_group: dict[tuple[str, str], list] = {}
    for row in found.rows:
        by_group.setdefault((row.part, row.setting), []).append(row)
    assert set(by_group) == {
        ("methods", "inductive"),
        ("class_texts", "inductive"),
        ("corrections", "inductive"),
        ("corrections", "transductive"),
    }
    for rows in by_group.values():
        assert [row.p_holm for row in rows] == holm([row.compared.p for row in rows]).tolist()
    assert [row.claimed for row in by_group["corrections", "transductive"]] == [True, False]


def test_splits_of_other_classes_are_matched_by_hash_in_whatever_order(a):
    def with_own_classes(result: SplitResult, number: int) -> SplitResult:
        return replace(
            result, protocol=replace(result.protocol, unseen=tuple(f"{name} of {number}" for name in UNSEEN))
        )

    there, back = ([with_own_classes(small_split(n), n) for n in order] for order in ((0, 1), (1, 0)))
    found = compare_reports(
        *(as_read(make_report("x", splits, "catalog", "frames")) for splits in (there, back))
    )
    assert (
        found.n_classes == 24
        and {row.compared.difference for row in found.rows} == {0}
        and found.differs == ()
    )


def test_each_thing_scored_by_both_stands_there_once(a, b):
    found = compare_reports(as_read(a), as_read(b))
    methods = [(row.method, row.class_texts) for row in found.rows if row.part == "methods"]
    assert methods == [(row.method, ("description", "description")) for row in a.rows]
    # the training's own prompt stands among the methods, and a prompt of one side alone is named
    assert [(row.method, row.class_texts) for row in found.rows if row.part == "class_texts"] == [
        ("direct, ridge", ("label", "label")),
        ("transfer", ("label", "label")),
    ]
    assert found.only_a == ("direct, ridge with <b>$x_1$ & 5 %", "transfer with <b>$x_1$ & 5 %")
    assert found.only_b == ("direct, ridge with other", "transfer with other")


def test_what_else_differs_is_said(a, b):
    found = compare_reports(as_read(a), as_read(b))
    prints = [report.fingerprints(report.row(TRANSFER))["checkpoints"] for report in (a, b)]
    assert found.differs == (f"checkpoints (A {prints[0]}, B {prints[1]})",)
    results = [
        replace(r, fingerprints=r.fingerprints | {"encoder": "e2"}, text_fingerprints={"description": "new"})
        for r in a.results
    ]
    other = make_report("x", results, "c2", "f2")
    methods = [
        replace(
            r, methods=tuple(replace(s, settings={"k": 9}) if s.method == TRANSFER else s for s in r.methods)
        )
        for r in a.results
    ]
    assert compare_reports(as_read(a), as_read(make_report("x", methods, "catalog", "frames"))).differs == (
        "settings that validation chose of transfer (inductive)",
    )
    every = [replace(r, methods=tuple(replace(s, settings={"k": 9}) for s in r.methods)) for r in a.results]
    (words,) = compare_reports(as_read(a), as_read(make_report("x", every, "catalog", "frames"))).differs
    assert words.startswith("settings that validation chose of direct (inductive), ") and words.endswith(
        f" and {len(a.rows) - 4} more"
    )
    differs = compare_reports(as_read(a), as_read(other)).differs
    assert differs[:3] == ("encoder (A e, B e2)", "catalog (A catalog, B c2)", "frames (A frames, B f2)")
    assert "class text (A description print of description, B description new)" in differs


def test_a_report_and_itself_differ_in_nothing(a):
    found = compare_reports(as_read(a), as_read(a))
    assert found.differs == found.only_a == found.only_b == ()
    assert all(
        (row.compared.difference, row.compared.ci95, row.compared.p, row.claimed) == (0, (0, 0), 1, False)
        for row in found.rows
    )
    assert "Nothing else differs of what reports record." in found.text() and set(
        found.table()["detectable"]
    ) == {""}


def test_trainings_with_different_texts_are_compared_method_by_method(a):
    turned = small_report(prompts={"label": (0.6, (0.4, 0.4)), "description": (0.4, (0.5, 0.7))})
    found = compare_reports(as_read(a), as_read(turned))
    assert {row.class_texts for row in found.rows if row.part == "methods"} == {("description", "label")}
    assert {row.class_texts for row in found.rows if row.part == "class_texts"} == {
        ("description", "description"),
        ("label", "label"),
    }
    assert "class text (A description print of description, B label print of label)" in found.differs
    assert "description / label" in found.text()


def test_reports_beside_are_compared_where_both_have_them(a, b):
    one, two = small_report((2,), WITH_THIRD), small_report((3,), WITH_FOURTH)
    found = compare_reports(as_read(a, one), as_read(b, one))
    assert len(found.beside) == 1 and found.beside[0].n_clips == 120 and found.not_compared == ()
    assert found.text().count("Top-1; B less A") == 2
    other = compare_reports(as_read(a, one), as_read(b, two))
    assert other.beside == () and len(other.not_compared) == 2
    phrase = other.not_compared[0]
    assert (
        "beside A differs from" in phrase
        and "training clips (2, not the same ones) of 'split 2' and 'split 3'" in phrase
    )
    assert compare_reports(as_read(a), as_read(b, two)).not_compared[0].endswith("beside B")


WITH_THIRD = {name: (share, (*of_splits, 0.5)) for name, (share, of_splits) in PROMPTS.items()}
WITH_FOURTH = {name: (share, (*of_splits, 0.5, 0.5)) for name, (share, of_splits) in PROMPTS.items()}


# different protocols


def with_protocol(result: SplitResult, **changes) -> Report:
    return make_report(
        "x", [replace(result, protocol=replace(result.protocol, **changes))], "catalog", "frames"
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"unseen": ("other", *UNSEEN[1:])},
            "unseen classes (1 of A's 12 and 1 of B's 12 are not the other's, the first 'new00' of A) of 'split 0'",
        ),
        (
            {"unseen": (*UNSEEN, "more")},
            "unseen classes (0 of A's 12 and 1 of B's 13 are not the other's, the first 'more' of B) of 'split 0'",
        ),
        (
            {"seen": ("s1", "s3")},
            "seen classes (1 of A's 2 and 1 of B's 2 are not the other's, the first 's2' of A) of 'split 0'",
        ),
        ({"validation": ("v1", "v3")}, "validation classes (1 of A's 2 and 1 of B's 2"),
        ({"average": "mean_class"}, "average (micro and mean_class) of 'split 0'"),
        ({"views": 25}, "test views a clip (1 and 25) of 'split 0'"),
        ({"train_clips": ("a", "b", "c")}, "training clips (2 and 3) of 'split 0'"),
        ({"seen_test_clips": ("a", "b")}, "held-out seen clips (2, not the same ones) of 'split 0'"),
        (
            {"views": 25, "average": "mean_class", "name": "x"},
            "average (micro and mean_class) of 'split 0' and 'x'; test views a clip (1 and 25)",
        ),
    ],
)
def test_another_protocol_is_refused_with_the_points_in_which_it_differs(changes, words):
    split = small_split(0)
    one, other = make_report("x", [split], "catalog", "frames"), with_protocol(split, **changes)
    with pytest.raises(ValueError) as refused:
        compare_reports(as_read(one), as_read(other))
    said = str(refused.value)
    assert said.startswith(
        f"A and B must be scored under one protocol to be compared, theirs differ in {words}"
    )
    assert said.endswith("; score both on the same splits")


def test_test_clips_and_candidates_are_points_too():
    split = small_split(0)
    one = as_read(make_report("x", [split], "catalog", "frames"))
    fewer = replace(split.protocol, test_clips=(*split.protocol.test_clips[:-1], "another"))
    with pytest.raises(
        ValueError,
        match=r"differ in test clips \(120, not the same ones\) of 'split 0'; score both on the same splits",
    ):
        compare_reports(one, as_read(make_report("x", [replace(split, protocol=fewer)], "catalog", "frames")))
    with pytest.raises(
        ValueError,
        match=r"differ in candidates \(generalised\) \(False and True\) of 'split 0' and 'split 0, generalised'",
    ):
        compare_reports(
            one,
            as_read(
                make_report("x", [replace(split, protocol=generalised(split.protocol))], "catalog", "frames")
            ),
        )


def test_another_number_of_splits_or_one_other_split_is_refused(a):
    with pytest.raises(
        ValueError, match=r"differ in number of splits \(2 and 1, 1 of them the same\); score both"
    ):
        compare_reports(as_read(a), as_read(small_report((1,))))
    mixed = make_report("x", [small_split(0), small_split(2, WITH_THIRD)], "catalog", "frames")
    with pytest.raises(
        ValueError,
        match=r"training clips \(2, not the same ones\) \(1 of 2 splits differ\) of 'split 1' and 'split 2'",
    ):
        compare_reports(as_read(a), as_read(mixed))


def test_counts_that_were_changed_are_refused(a):
    spoilt = as_read(a)
    spoilt["methods"][0]["per_class"][0]["new00"] = [1, 3]
    with pytest.raises(
        ValueError, match="on the same clips, of class 'new00' the first has 3 and the second 10"
    ):
        compare_reports(as_read(a), spoilt)


# the command


@pytest.fixture
def files(a, b, tmp_path) -> tuple[Path, Path]:
    for name, report in (("one", a), ("two", b)):
        write_json(tmp_path / name / "report.json", as_read(report))
    return tmp_path / "one", tmp_path / "two"


def test_the_command_prints_the_table_and_writes_it(files, tmp_path, capsys):
    one, two = files
    assert (
        main(
            ["evaluate", "--compare", str(one), str(two / "report.json"), "--json", str(tmp_path / "r.json")]
        )
        == 0
    )
    out, err = capsys.readouterr()
    assert (
        err == ""
        and f"A: {one}\nB: {two / 'report.json'}" in out
        and "transductive" in out
        and "Only A has: direct, ridge with <b>" in out
    )
    assert (
        "p (Holm)" in out
        and "detectable" in out
        and "Also different: checkpoints (A " in out
        and "Written to" in out
    )
    found = json.loads((tmp_path / "r.json").read_text())
    comparison = compare_reports(*(json.loads((folder / "report.json").read_text()) for folder in files))
    assert (
        found == json.loads(json.dumps(comparison.content()))
        and len(found["rows"]) == len(comparison.rows) > 10
    )


def test_different_protocols_end_in_one_sentence(files, tmp_path, capsys):
    write_json(tmp_path / "x.json", as_read(small_report((1,))))
    assert main(["evaluate", "--compare", str(files[0]), str(tmp_path / "x.json")]) == 2
    out, err = capsys.readouterr()
    assert (
        out == ""
        and len(err.strip().splitlines()) == 1
        and "differ in number of splits (2 and 1, 1 of them the same)" in err
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "evaluate needs either --predictions FILE or --compare A B, got neither; give one of them"),
        (["--predictions", "p.csv", "--compare", "a", "b"], "got both; give one of them"),
        (
            ["--compare", "a", "b", "--classes", "c.txt"],
            "--classes goes with --predictions, got 'c.txt' with --compare; leave it out",
        ),
        (["--compare", "none", "b"], "a report must be there, 'none' is not"),
    ],
)
def test_what_the_command_cannot_do_is_said_in_one_sentence(arguments, words, capsys):
    assert main(["evaluate", *arguments]) == 2
    err = capsys.readouterr().err.strip()
    assert words in err and len(err.splitlines()) == 1


@pytest.mark.parametrize("target", ["one/report.json", "two", "two/report.json"])
def test_what_is_compared_is_never_written_over(files, tmp_path, target, capsys):
    before = [(folder / "report.json").read_bytes() for folder in files]
    assert (
        main(["evaluate", "--compare", str(files[0]), str(files[1]), "--json", str(tmp_path / target)]) == 2
    )
    assert "--json must name a file of its own" in capsys.readouterr().err and before == [
        (folder / "report.json").read_bytes() for folder in files
    ]


def test_comparing_loads_no_model_package(files):
    command = [
        sys.executable,
        "-X",
        "importtime",
        "-m",
        "zsar_lab",
        "evaluate",
        "--compare",
        *map(str, files),
    ]
    done = subprocess.run(
        command,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
        env=dict(os.environ),
    )
    loaded = {
        line.rsplit("|", 1)[1].strip().split(".")[0]
        for line in done.stderr.splitlines()
        if line.startswith("import time:")
    }
    assert "pandas" in loaded and not loaded & {
        "torch",
        "transformers",
        "sklearn",
        "scipy",
        "plotly",
        "av",
        "decord",
    }


# predictions


def predicted(folder: Path, name: str, rows: list[tuple[str, str]], classes: str | None = None) -> Path:
    (folder / f"{name}.csv").write_text(
        "label,prediction\n" + "".join(f"{label},{answer}\n" for label, answer in rows)
    )
    command = [
        "evaluate",
        "--predictions",
        str(folder / f"{name}.csv"),
        "--json",
        str(folder / f"{name}.json"),
    ]
    if classes:
        (folder / "classes.txt").write_text(classes)
    assert main(command + (["--classes", str(folder / "classes.txt")] if classes else [])) == 0
    return folder / f"{name}.json"


LABELS = [name for name in "abcdef" for _ in range(6)]


def test_two_predictions_are_compared_class_by_class(tmp_path, capsys):
    random = np.random.default_rng(0)
    right = [random.random(len(LABELS)) < share for share in (0.4, 0.8)]
    rows = [[(label, label if hit else "z") for label, hit in zip(LABELS, hits)] for hits in right]
    one, two = (predicted(tmp_path, name, r) for name, r in zip(("one", "two"), rows))
    capsys.readouterr()
    assert main(["evaluate", "--compare", str(one), str(two)]) == 0
    out = capsys.readouterr().out
    found = compare_reports(*(json.loads(path.read_text()) for path in (one, two)))
    (row,) = found.rows
    assert (row.compared.difference, row.compared.ci95) == paired_difference(right[1], right[0], LABELS)
    assert row.p_holm == row.compared.p == paired_p_value(right[1], right[0], LABELS) and row.top1 == (
        right[0].mean(),
        right[1].mean(),
    )
    assert (
        f"{100 * right[0].mean():.1f}" in out
        and "36 clips, 6 different classes" in out
        and "the files of predictions (A " in out
    )


def test_predictions_of_other_clips_or_candidates_are_refused(tmp_path, a):
    rows = [(label, "a") for label in LABELS]
    one = json.loads(predicted(tmp_path, "one", rows).read_text())
    fewer, more = (
        json.loads(predicted(tmp_path, name, r).read_text())
        for name, r in (("fewer", rows[:-2]), ("more", [*rows[:-1], ("f", "z")]))
    )
    with pytest.raises(
        ValueError,
        match=r"of the same clips to be compared, the labels of 1 classes differ, the first 'f' \(6 clips and 4\)",
    ):
        compare_reports(one, fewer)
    with pytest.raises(
        ValueError,
        match="1 of B's 7 are not the other's, the first 'z' of B; score both with the same --classes FILE",
    ):
        compare_reports(one, more)
    with pytest.raises(
        ValueError, match="A and B must both be reports or both scores of predictions, got one of each"
    ):
        compare_reports(one, as_read(a))
    older = {key: value for key, value in one.items() if key != "labels_fingerprint"}
    with pytest.raises(
        ValueError,
        match="B holds scores of predictions made by an earlier version of this library, without 'labels_fingerprint'",
    ):
        compare_reports(one, older)
    with pytest.raises(
        ValueError, match="A must hold whole scores of predictions, but per_class is no table"
    ):
        compare_reports(one | {"per_class": [3]}, one)
    assert not compare_reports(one, one).rows[0].claimed
