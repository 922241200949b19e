"""zsar_lab.results.outside and the command evaluate: by hand, by scikit-learn, and what is said of files that are none."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sklearn_metrics

from zsar_lab.cli import main
from zsar_lab.methods.metrics import mean_class_accuracy, per_class_table, top_k_accuracy
from zsar_lab.results.hubness import hubness, k_occurrence
from zsar_lab.results.outside import predictions_of, read_predictions, score_predictions
from zsar_lab.results.statistics import class_bootstrap

SMALL = "label,prediction\nrun,run\nrun,jump\nrun,jump\njump,jump\nswim,run\n"


def written(folder: Path, text: str | bytes, name: str = "p.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def scores_of(folder: Path, text: str | bytes, classes: str | None = None):
    return score_predictions(
        read_predictions(written(folder, text), written(folder, classes, "classes.txt") if classes else None)
    )


def test_the_scores_by_hand(tmp_path):
    found = scores_of(tmp_path, SMALL)
    content = found.content()
    assert found.predictions.classes == ("jump", "run", "swim") and found.chance == pytest.approx(1 / 3)
    assert (content["clips"], content["classes"], content["classes_from"]) == (5, 3, "the names that occur")
    assert content["top1"] == pytest.approx(2 / 5) and content["mean_class"] == pytest.approx(
        (1 + 1 / 3 + 0) / 3
    )
    assert content["per_class"] == [
        {
            "class": "jump",
            "clips": 1,
            "correct": 1,
            "top1": 1.0,
            "taken_for": "",
            "taken_for_clips": 0,
            "answers": 3,
        },
        {
            "class": "run",
            "clips": 3,
            "correct": 1,
            "top1": pytest.approx(1 / 3),
            "taken_for": "jump",
            "taken_for_clips": 2,
            "answers": 2,
        },
        {
            "class": "swim",
            "clips": 1,
            "correct": 0,
            "top1": 0.0,
            "taken_for": "run",
            "taken_for_clips": 1,
            "answers": 0,
        },
    ]
    assert content["confusion"] == {"jump": {"jump": 1}, "run": {"jump": 2, "run": 1}, "swim": {"run": 1}}
    assert content["hubness"]["antihubs"] == pytest.approx(1 / 3) and content["hubness"]["k"] == 1
    low, high = content["top1_ci95"]
    assert 0 <= low <= 0.4 <= high <= 1


def test_names_with_markup_and_commas_are_names(tmp_path):
    names = ["<img src=x onerror=alert(1)>", "</script><script>alert(1)</script>", 'a, "b"']
    with open(tmp_path / "p.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(
            [("label", "prediction"), *zip(names, names[1:] + names[:1]), (names[0], names[0])]
        )
    found = score_predictions(read_predictions(tmp_path / "p.csv"))
    assert set(found.predictions.classes) == set(names) and found.top1 == 0.25
    assert json.loads(json.dumps(found.content()))["confusion"][names[2]] == {names[0]: 1} and all(
        name in found.text() for name in names
    )


@pytest.mark.parametrize("names", [[1, 2], ["a", None], ["a", float("nan")]])
def test_names_that_are_no_texts_are_refused(names):
    with pytest.raises(
        ValueError, match="labels and names must be texts, got (1|None|nan); write class names"
    ):
        predictions_of(["a", "b"], names)


def test_a_class_list_adds_candidates_in_its_order(tmp_path):
    found = scores_of(tmp_path, SMALL, classes="swim\nrun\n\njump\n fly \n")
    assert found.predictions.classes == ("swim", "run", "jump", "fly") and found.chance == 0.25
    assert found.hubness.antihubs == 0.5
    fly = found.content()["per_class"][3]
    assert (fly["class"], fly["clips"], fly["top1"], fly["answers"]) == (
        "fly",
        0,
        None,
        0,
    ) and "fly" not in found.content()["confusion"]
    assert found.mean_class == scores_of(tmp_path, SMALL).mean_class
    assert "nan" not in found.text() and "None" not in found.text()


def test_a_table_of_classes_is_known_by_its_first_row(tmp_path):
    table = '\nlabel,name ,description\n"swim, fast",swim,"in\nwater"\nrun,run,\n\njump, jump,x\nfly,fly,x\n'
    found = scores_of(tmp_path, SMALL, classes=table)
    assert found.predictions.classes == ("swim", "run", "jump", "fly") and found.chance == 0.25
    names = "swim\nrun\njump\nfly\n"
    assert {**found.content(), "fingerprint": ""} == {
        **scores_of(tmp_path, SMALL, classes=names).content(),
        "fingerprint": "",
    }
    assert (
        scores_of(tmp_path, SMALL, classes="name\n" + names).predictions.classes == found.predictions.classes
    )
    # a comma in a list of names does not make it a table
    listed = scores_of(tmp_path, 'label,prediction\n"push, pull",run\nrun,run\n', classes="push, pull\nrun\n")
    assert listed.predictions.classes == ("push, pull", "run")


def test_the_shipped_class_table_is_read(tmp_path):
    path = Path(__file__).parents[2] / "data" / "ucf101" / "classes.csv"
    found = read_predictions(written(tmp_path, "label,prediction\nArchery,YoYo\nYoYo,YoYo\n"), path)
    assert (
        len(found.classes) == 101
        and found.classes[0] == "ApplyEyeMakeup"
        and found.classes_from == f"'{path}'"
    )


def test_fingerprints_of_labels_and_candidates_follow_them_alone(tmp_path):
    first = scores_of(tmp_path, SMALL).content()
    keys = ("labels_fingerprint", "candidates_fingerprint")
    turned, other = (
        SMALL.replace("run,jump\nrun,jump", "run,swim\nrun,run"),
        SMALL.replace("swim,run", "run,swim"),
    )
    assert [scores_of(tmp_path, turned).content()[key] == first[key] for key in keys] == [True, True]
    assert [scores_of(tmp_path, other).content()[key] == first[key] for key in keys] == [False, True]
    assert [
        scores_of(tmp_path, SMALL, "swim\nrun\njump\nfly").content()[key] == first[key] for key in keys
    ] == [True, False]
    assert [scores_of(tmp_path, SMALL, "swim\nrun\njump").content()[key] == first[key] for key in keys] == [
        True,
        True,
    ]


def test_a_class_that_is_only_predicted_is_a_candidate(tmp_path):
    found = scores_of(tmp_path, "label,prediction\na,c\nb,b\n")
    assert (
        found.predictions.classes == ("a", "b", "c")
        and found.mean_class == 0.5
        and found.content()["per_class"][2]["top1"] is None
    )


def many(folder: Path, n: int = 20_000, n_classes: int = 101) -> tuple[Path, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    targets = random.integers(0, n_classes, n)
    answers = np.where(random.random(n) < 0.4, targets, random.integers(0, 40, n))
    table = pd.DataFrame(
        {
            "video": np.arange(n),
            "prediction": [f"class {c:03}" for c in answers],
            "label": [f"class {c:03}" for c in targets],
        }
    )
    table.to_csv(folder / "many.csv", index=False)
    return folder / "many.csv", targets, answers


def test_many_clips_score_as_their_scores_do_and_as_scikit_learn_says(tmp_path):
    path, targets, answers = many(tmp_path)
    found, scores = score_predictions(read_predictions(path)), np.eye(101)[answers]
    names = found.predictions.classes
    assert (
        found.top1
        == top_k_accuracy(scores, targets, 1)
        == pytest.approx(sklearn_metrics.accuracy_score(targets, answers))
    )
    assert (
        found.mean_class
        == mean_class_accuracy(scores, targets)
        == pytest.approx(sklearn_metrics.balanced_accuracy_score(targets, answers))
    )
    np.testing.assert_array_equal(found.confusion_CC, sklearn_metrics.confusion_matrix(targets, answers))
    pd.testing.assert_frame_equal(
        found.per_class.drop(columns="answers"), per_class_table(scores, targets, names)
    )
    assert found.hubness == hubness(k_occurrence(scores, 1), 1) and found.ci95 == class_bootstrap(
        answers == targets, targets
    )
    content = found.content()
    assert (
        sum(sum(row.values()) for row in content["confusion"].values())
        == 20_000
        == sum(row["answers"] for row in content["per_class"])
    )
    assert sum(of_class.get(name, 0) for name, of_class in content["confusion"].items()) == pytest.approx(
        20_000 * found.top1
    )


def test_the_order_of_clips_and_columns_changes_nothing(tmp_path):
    path, _, _ = many(tmp_path, n=500, n_classes=9)
    first = score_predictions(read_predictions(path)).content()
    table = pd.read_csv(path).sample(frac=1, random_state=0)[["label", "video", "prediction"]]
    table.to_csv(path, index=False)
    other = score_predictions(read_predictions(path)).content()
    assert first.pop("fingerprint") != other.pop("fingerprint") and first == other


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbf" + SMALL.encode(),  # as a spreadsheet saves it
        SMALL.replace("\n", "\r\n"),
        SMALL.replace(",", " , "),
        SMALL + "\n\n",
        '"label","prediction"' + SMALL[16:].replace("swim", '"swim"'),
        SMALL.replace("\n", ",,x\n").replace("prediction,,x", "prediction,score,note"),
    ],
)
def test_harmless_differences_of_form_are_read(tmp_path, text):
    found, plain = scores_of(tmp_path, text).content(), scores_of(tmp_path, SMALL).content()
    assert {**found, "fingerprint": ""} == {**plain, "fingerprint": ""}


def test_names_with_commas_quotes_lines_and_other_scripts_are_kept(tmp_path):
    names = ["push, pull", 'say "hi"', "日本舞踊", "two\nlines", "a\u2028b"]
    with open(tmp_path / "p.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("label", "prediction"), *((name, name) for name in names)])
    found = score_predictions(read_predictions(tmp_path / "p.csv"))
    assert set(found.predictions.classes) == set(names) and found.top1 == 1


# the command


def test_the_command_prints_the_table_and_writes_the_figures(tmp_path, capsys):
    path, figures = written(tmp_path, SMALL), tmp_path / "new" / "r.json"
    assert main(["evaluate", "--predictions", str(path), "--json", str(figures)]) == 0
    out, err = capsys.readouterr()
    content = json.loads(
        figures.read_text(encoding="utf-8"),
        parse_constant=lambda constant: pytest.fail(f"{constant} is no json"),
    )
    assert content == score_predictions(read_predictions(path)).content() and {
        "top1",
        "mean_class",
        "hubness",
        "per_class",
    } <= set(content)
    assert (
        "top-1 40.0 %, 95 % interval over classes [" in out
        and "mean over classes 44.4 %" in out
        and "chance 33.3 %" in out
    )
    assert "taken_for" in out and "swim" in out and f"Written to {figures}." in out and err == ""


def test_the_command_without_json_only_prints(tmp_path, capsys):
    path, classes = written(tmp_path, SMALL), written(tmp_path, "run\njump\nswim\nfly\n", "classes.txt")
    assert main(["evaluate", "--predictions", str(path), "--classes", str(classes)]) == 0
    assert f"5 clips, 4 classes (from '{classes}'), chance 25.0 %" in capsys.readouterr().out
    assert sorted(file.name for file in tmp_path.iterdir()) == ["classes.txt", "p.csv"]


@pytest.mark.parametrize("target", ["p.csv", "classes.txt", "."])
def test_what_is_read_is_never_written_over(tmp_path, capsys, target):
    path, classes = written(tmp_path, SMALL), written(tmp_path, "run\njump\nswim\n", "classes.txt")
    assert (
        main(
            [
                "evaluate",
                "--predictions",
                str(path),
                "--classes",
                str(classes),
                "--json",
                str(tmp_path / target),
            ]
        )
        == 2
    )
    assert "--json must name a file of its own" in capsys.readouterr().err
    assert path.read_text() == SMALL


def test_the_command_loads_no_model_package(tmp_path):
    path, _, _ = many(tmp_path, n=2000)
    command = [
        sys.executable,
        "-X",
        "importtime",
        "-m",
        "zsar_lab",
        "evaluate",
        "--predictions",
        str(path),
        "--json",
        str(tmp_path / "r.json"),
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
    assert {"numpy", "pandas"} <= loaded and not loaded & {
        "torch",
        "transformers",
        "sklearn",
        "scipy",
        "plotly",
        "av",
        "decord",
    }


# files that are none


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "a file of predictions must not be empty, '.*p.csv' is; write it again"),
        ("\n \n", "must not be empty"),
        ("label,prediction\n", "must have a row a clip, '.*' has none below its first row"),
        (
            "label,answer\na,b\n",
            r"one column label and one column prediction, '.*' has no 'prediction' \(its first row is 'label', 'answer'\)",
        ),
        ("a,b\nb,b\n", "has no 'label'"),
        ("\na,b\n", r"has no 'label' \(its first row is empty\)"),
        ("label;prediction\na;b\n", "separates its columns by semicolons or tabs, not by commas"),
        ("label,prediction,label\na,b,a\n", "has 2 of 'label'"),
        ("label,prediction\na,b\nb,\n", "the prediction in row 3 of '.*' is empty; write it"),
        ("label,prediction\n  ,b\n", "the label in row 2 of '.*' is empty"),
        ("label,prediction\na,b\n\nb\n", "the prediction in row 4 of '.*' is empty"),
        (
            "label,prediction\na,b,c\n",
            "as many cells as the first row, 2, row 2 of '.*' has 3; put names with a comma in double quotes",
        ),
        ('label,prediction\na,"b\n', "must be a csv table, '.*' is not"),
        ("label,prediction\na,a\na,b\n", "at least 2 classes, all of '.*' are labelled 'a'"),
        (
            "label,prediction\nJumpRope,jump rope\nb,b\n",
            "in more than case, spaces, hyphens or underscores, got 'JumpRope' and 'jump rope'",
        ),
        ("label,prediction\njump_rope,jump-rope\nb,b\n", "got 'jump-rope' and 'jump_rope'"),
        ("label,prediction\ncafe\u0301,caf\u00e9\nb,b\n", "write one class in one way, or rename one of two"),
        (
            "label,prediction\ncafé,b\n".encode("latin-1"),
            r"must be UTF-8 text, '.*' is not \(byte 20\); save it as UTF-8",
        ),
        (SMALL.encode("utf-16"), "must be UTF-8 text"),
    ],
)
def test_a_file_that_is_no_table_of_predictions_is_refused_in_one_sentence(tmp_path, capsys, text, words):
    path = written(tmp_path, text)
    with pytest.raises(ValueError, match=words):
        read_predictions(path)
    assert main(["evaluate", "--predictions", str(path), "--json", str(tmp_path / "r.json")]) == 2
    out, err = capsys.readouterr()
    assert out == "" and len(err.strip().splitlines()) == 1 and not (tmp_path / "r.json").exists()


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        ("", "a file of classes must not be empty"),
        ("run\n", "must name at least 2 classes, one a line, '.*' names 1; add the others"),
        (
            "run\njump\nswim\nrun\n",
            "must name every class once, '.*' names 'run' more than once; delete lines",
        ),
        (
            "run\njump\n",
            r"every label must be a class of '.*', 1 in '.*' are not \('swim'\); mend them or add the classes",
        ),
        ("run\nswim\nfly\n", r"every label must be a class of '.*', 1 in '.*' are not \('jump'\)"),
        ("run\njump\nSwim\n", "got 'Swim' and 'swim'"),
        (
            "name,label\nrun,run\njump,a,b\nswim,c\n",
            "row 2 below the first of '.*' has 3 cells where the first row has 2; mend it",
        ),
        (
            "name,label\nrun,run\n,a\nswim,c\n",
            "must have a name and no cell too many, row 2 below the first of '.*' has no name",
        ),
        ("name,name\nrun,run\n", "must have one column 'name', '.*' has 2; mend its first row"),
        ('name,label\nrun,"run\n', "a table of classes must be a csv table, '.*' is not"),
        (
            "name;label\nrun;run\n",
            "must separate its columns by commas, '.*' does by semicolons or tabs; save it anew",
        ),
        ("name,label\nrun,x\nswim,x\n", r"every label must be a class of '.*', 1 in '.*' are not \('jump'\)"),
        (b"run\njump\nswim\xff\n", r"a file of classes must be UTF-8 text, '.*' is not \(byte 13\)"),
    ],
)
def test_a_class_list_that_does_not_fit_is_refused(tmp_path, classes, words):
    with pytest.raises(ValueError, match=words):
        read_predictions(written(tmp_path, SMALL), written(tmp_path, classes, "classes.txt"))


def test_a_prediction_that_is_no_class_of_the_list_is_refused(tmp_path):
    text = "label,prediction\nrun,fly\njump,fly\njump,crawl\njump,run\n"
    words = r"every prediction must be a class of '.*', 3 in '.*' are not \('fly', 'crawl'\)"
    with pytest.raises(ValueError, match=words):
        read_predictions(written(tmp_path, text), written(tmp_path, "run\njump\n", "classes.txt"))


def test_a_file_that_is_not_there_is_named(tmp_path, capsys):
    for missing in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(
            FileNotFoundError,
            match=f"a file of predictions must be there, '{missing}' is not; check the path",
        ):
            read_predictions(missing)
    with pytest.raises(FileNotFoundError, match="a file of classes must be there"):
        read_predictions(written(tmp_path, SMALL), tmp_path / "none.txt")
    assert main(["evaluate", "--predictions", str(tmp_path / "none.csv")]) == 2
    assert (
        capsys.readouterr().err.strip()
        == f"a file of predictions must be there, '{tmp_path / 'none.csv'}' is not; check the path"
    )
