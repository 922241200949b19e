"""zsar_lab.results.outside and the command evaluate: by hand, by scikit-learn, and what is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sklearn_metrics

from zsar_lab.cli import main
from zsar_lab.results import statistics
from zsar_lab.results.hubness import hubness
from zsar_lab.results.outside import predictions_of, read_predictions, score_predictions
from zsar_lab.text.answers import read_answers

SMALL = "label,prediction\nrun,run\nrun,jump\nrun,jump\njump,jump\nswim,run\n"
ROOT = Path(__file__).parents[2]


def written(folder: Path, text: str | bytes, name: str = "p.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read(folder: Path, text: str | bytes, classes: str | None = None):
    return read_predictions(written(folder, text), written(folder, classes, "c.txt") if classes else None)


def scores_of(folder: Path, text: str | bytes, classes: str | None = None) -> dict:
    """The figures without the fingerprint of the file."""
    return score_predictions(read(folder, text, classes)).content() | {"fingerprint": "", "classes_from": ""}


def test_the_scores_by_hand(tmp_path):
    content = score_predictions(read(tmp_path, SMALL)).content()
    assert (content["clips"], content["classes"], content["classes_from"]) == (5, 3, "the names that occur")
    assert (content["top1"], content["chance"]) == pytest.approx((2 / 5, 1 / 3))
    assert content["mean_class"] == pytest.approx((1 + 1 / 3 + 0) / 3)
    columns = ["class", "clips", "correct", "top1", "confused_with", "confused_clips", "predictions"]
    rows = [
        ("jump", 1, 1, 1.0, "", 0, 3),
        ("run", 3, 1, 1 / 3, "jump", 2, 2),
        ("swim", 1, 0, 0.0, "run", 1, 0),
    ]
    assert content["per_class"] == [dict(zip(columns, row)) for row in rows]
    assert content["confusion"] == {"jump": {"jump": 1}, "run": {"jump": 2, "run": 1}, "swim": {"run": 1}}
    assert content["hubness"]["antihubs"] == pytest.approx(1 / 3) and content["hubness"]["k"] == 1
    for quantity in ("top1", "mean_class"):
        low, high = content[f"{quantity}_ci95"]
        assert 0 <= low <= content[quantity] <= high <= 1
    json.loads(json.dumps(content), parse_constant=lambda constant: pytest.fail(f"{constant} is no json"))


def test_names_with_markup_commas_lines_and_other_scripts_are_names(tmp_path):
    names = ["<img src=x onerror=alert(1)>", "</script>", 'a, "b"', "日本舞踊", "two\nlines", "x\u2028y"]
    with open(tmp_path / "p.csv", "w", encoding="utf-8", newline="") as file:
        rows = [("label", "prediction"), *zip(names, names[1:] + names[:1]), (names[0], names[0])]
        csv.writer(file).writerows(rows)
    found = score_predictions(read_predictions(tmp_path / "p.csv"))
    content = json.loads(json.dumps(found.content()))
    assert set(content["confusion"]) == set(names) and content["top1"] == 1 / 7
    assert content["confusion"][names[2]] == {names[3]: 1} and names[0] in found.text()


@pytest.mark.parametrize("names", [[1, 2], ["a", None], ["a", float("nan")], ["a"], []])
def test_lists_that_do_not_fit_are_refused(names):
    for given in ((["a", "b"], names), (names, ["a", "b"])):
        with pytest.raises(ValueError, match="predictions? must be texts|needs a label"):
            predictions_of(*given)
    with pytest.raises(ValueError, match=r"prediction .* 3 .*'fly', 'crawl'"):
        predictions_of(["run", "jump", "jump", "jump"], ["fly", "fly", "crawl", "run"], ["run", "jump"])


def test_a_class_list_adds_candidates_in_its_order(tmp_path):
    made = read(tmp_path, SMALL, classes="swim\nrun\n\njump\n fly \n")
    assert made.classes == ("swim", "run", "jump", "fly")
    found = score_predictions(made)
    content = found.content()
    assert content["chance"] == 0.25 and content["hubness"]["antihubs"] == 0.5
    fly = content["per_class"][3]
    assert (fly["class"], fly["clips"], fly["top1"], fly["predictions"]) == ("fly", 0, None, 0)
    assert "fly" not in content["confusion"]
    assert content["mean_class"] == scores_of(tmp_path, SMALL)["mean_class"]
    assert "nan" not in found.text() and "None" not in found.text()


def test_a_table_of_classes_is_known_by_its_first_row(tmp_path):
    names, classes = "swim\nrun\njump\nfly\n", ("swim", "run", "jump", "fly")
    table = '\nlabel,name ,description\n"swim, fast",swim,"in\nwater"\nrun,run,\n\njump, jump,x\nfly,fly,x\n'
    for text in (table, "name\n" + names, names):
        assert read(tmp_path, SMALL, text).classes == classes
    # a comma in a list of names does not make it a table
    listed = read(tmp_path, 'label,prediction\n"push, pull",run\nrun,run\n', classes="push, pull\nrun\n")
    assert listed.classes == ("push, pull", "run")
    path = ROOT / "data" / "ucf101" / "classes.csv"
    shipped = read_predictions(written(tmp_path, "label,prediction\nArchery,YoYo\nYoYo,YoYo\n"), path)
    assert len(shipped.classes) == 101 and shipped.classes_from == f"'{path}'"


def test_fingerprints_of_labels_and_candidates_follow_them_alone(tmp_path):
    first, keys = scores_of(tmp_path, SMALL), ("labels_fingerprint", "candidates_fingerprint")
    turned = SMALL.replace("run,jump\nrun,jump", "run,swim\nrun,run")
    for text, classes, same in (
        (turned, None, (True, True)),
        (SMALL.replace("swim,run", "run,swim"), None, (False, True)),
        (SMALL, "swim\nrun\njump\nfly", (True, False)),
        (SMALL, "swim\nrun\njump", (True, True)),
    ):
        other = scores_of(tmp_path, text, classes)
        assert tuple(other[key] == first[key] for key in keys) == same


def many(folder: Path, n: int = 20_000, n_classes: int = 101) -> tuple[Path, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    targets = random.integers(0, n_classes, n)
    predicted = np.where(random.random(n) < 0.4, targets, random.integers(0, 40, n))
    table = pd.DataFrame({"prediction": predicted, "label": targets}).map("class {:03}".format)
    table.assign(video=np.arange(n)).to_csv(folder / "many.csv", index=False)
    return folder / "many.csv", targets, predicted


def test_many_clips_score_as_scikit_learn_says(tmp_path):
    path, targets, predicted = many(tmp_path)
    made = read_predictions(path)
    content = score_predictions(made).content()
    assert content["top1"] == pytest.approx(sklearn_metrics.accuracy_score(targets, predicted))
    assert content["mean_class"] == pytest.approx(sklearn_metrics.balanced_accuracy_score(targets, predicted))
    counts = sklearn_metrics.confusion_matrix(targets, predicted)
    for name, row in zip(made.classes, counts):
        assert content["confusion"][name] == {made.classes[c]: n for c, n in enumerate(row) if n}
    assert [row["predictions"] for row in content["per_class"]] == counts.sum(0).tolist()
    assert content["hubness"]["gini"] == hubness(np.bincount(predicted, minlength=101), 1).gini
    assert content["top1_ci95"] == list(statistics.interval(made.rows))


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
    assert scores_of(tmp_path, text) == scores_of(tmp_path, SMALL)


def test_quoted_and_plain_tables_give_the_same_to_the_last_digit(tmp_path):
    path, *_ = many(tmp_path)
    plain, rows = read_predictions(path), pd.read_csv(path)
    rows.to_csv(tmp_path / "quoted.csv", index=False, quoting=csv.QUOTE_ALL)
    quoted = read_predictions(tmp_path / "quoted.csv")
    listed = predictions_of(rows["label"].tolist(), rows["prediction"].tolist())
    figures = [score_predictions(one).content() | {"fingerprint": ""} for one in (plain, quoted, listed)]
    assert figures[0] == figures[1] == figures[2]
    crossed = pd.crosstab(rows["label"], rows["prediction"]).stack()
    counts = plain.counts.set_index(["label", "prediction"])["clips"]
    assert counts.to_dict() == crossed[crossed > 0].to_dict()
    assert figures[0]["top1"] == statistics.accuracy(rows)
    assert figures[0]["mean_class_ci95"] == list(statistics.interval(rows, "mean_class"))


# the command


def test_the_command_prints_the_table_and_writes_the_figures(tmp_path, capsys):
    path, figures = written(tmp_path, SMALL), tmp_path / "new" / "r.json"
    assert main(["evaluate", "--predictions", str(path), "--json", str(figures)]) == 0
    out, err = capsys.readouterr()
    assert json.loads(figures.read_text()) == score_predictions(read_predictions(path)).content()
    for words in ("40.0 %", "mean over classes 44.4 %", "chance 33.3 %", "confused_with", str(figures)):
        assert words in out
    assert err == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "label"),
        ("label,prediction\n", "a row a clip"),
        ("label,guess\na,b\n", "'prediction'"),
        ("label,answer\na,b\n", "2 classes"),
        ("label,answer\na,x\nb,\n", "all 2 are unparseable"),
        ("a,b\nb,b\n", "'label'"),
        ("label,prediction,label\na,b,a\n", "'label'"),
        ("label,prediction\na,b\nb,\n", "line 3 .* prediction"),
        ("label,prediction\n  ,b\n", "line 2 .* label"),
        ("label,prediction\na,b\n\nb\n", "line 4 .* prediction"),
        ("label,prediction\na,b,c\n", "line 2 .* 2 cells"),
        ('label,prediction\na,"b\n', "csv"),
        ("label,prediction\na,a\na,b\n", "2 classes.*'a'"),
        ("label,prediction\njump_rope,b\njump-rope,b\nb,b\n", "'jump_rope' and 'jump-rope'"),
        ("label,prediction\ncafé,b\n".encode("latin-1"), "UTF-8"),
        (SMALL.encode("utf-16"), "UTF-8"),
    ],
)
def test_a_file_that_is_no_table_of_predictions_is_refused_in_one_line(tmp_path, capsys, text, words):
    path = written(tmp_path, text)
    with pytest.raises(ValueError, match=words):
        read_predictions(path)
    assert main(["evaluate", "--predictions", str(path), "--json", str(tmp_path / "r.json")]) == 2
    out, err = capsys.readouterr()
    assert out == "" and len(err.strip().splitlines()) == 1 and not (tmp_path / "r.json").exists()


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        ("", "2 classes"),
        ("run\n", "got 1"),
        ("run\njump\nswim\nrun\n", "'run' twice"),
        ("run\njump\n", r"label .* 1 .*'swim'"),
        ("run\nswim\nfly\n", r"label .* 1 .*'jump'"),
        ("run\njump\nSwim\nswim\n", "'Swim' and 'swim'"),
        ("name,label\nrun,run\njump,a,b\nswim,c\n", "line 3 .* 2 cells"),
        ("name,label\nrun,run\n,a\nswim,c\n", "line 3 .* name"),
        ("name,name\nrun,run\n", "'name'"),
        ('name,label\nrun,"run\n', "csv"),
        ("name,label\nrun,x\nswim,x\n", "'jump'"),
        (b"run\njump\nswim\xff\n", "UTF-8"),
    ],
)
def test_a_class_list_that_does_not_fit_is_refused(tmp_path, classes, words):
    with pytest.raises(ValueError, match=words):
        read_predictions(written(tmp_path, SMALL), written(tmp_path, classes, "classes.txt"))


def test_a_file_that_is_not_there_is_named(tmp_path, capsys):
    for missing in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(FileNotFoundError, match=str(missing)):
            read_predictions(missing)
    with pytest.raises(FileNotFoundError, match="none.txt"):
        read_predictions(written(tmp_path, SMALL), tmp_path / "none.txt")
    assert main(["evaluate", "--predictions", str(tmp_path / "none.csv")]) == 2
    assert "none.csv" in capsys.readouterr().err


ANSWERS = [
    ("run", "It is running."),
    ("run", "Running or jumping?"),
    ("run", ""),
    ("jump", "jump"),
    ("long_jump", "He does a JUMP"),
    ("long_jump", "a long jump"),
]


def test_free_answers_are_read_and_those_that_name_no_class_count_as_wrong(tmp_path, capsys):
    path = tmp_path / "a.csv"
    pd.DataFrame(ANSWERS, columns=["label", "answer"]).to_csv(path, index=False)
    assert main(["evaluate", "--predictions", str(path), "--json", str(tmp_path / "r.json")]) == 0
    said, found = capsys.readouterr().out, json.loads((tmp_path / "r.json").read_text())
    assert found["read"] == {"exact": 1, "normalised": 1, "contained": 2, "ambiguous": 1, "unparseable": 1}
    assert "1 ambiguous" in said and "2 name no one class and count as wrong" in said
    assert (found["top1"], found["unparseable"], found["classes"]) == (3 / 6, 2, 3)
    assert [row["clips"] for row in found["per_class"]] == [1, 2, 3]
    assert found["confusion"]["run"] == {"(unparseable)": 2, "run": 1}
    # the same as a table of predictions, with the candidates given too
    table = read_answers([answer for _, answer in ANSWERS], sorted({name for name, _ in ANSWERS}))
    table.assign(label=[name for name, _ in ANSWERS]).drop(columns="answer").to_csv(path, index=False)
    again = score_predictions(read_predictions(path)).content()
    assert again | {"read": 0, "fingerprint": 0} == found | {"read": 0, "fingerprint": 0}
    listed = read_predictions(path, written(tmp_path, "name\nrun\njump\nlong_jump\nfly\n", "c.csv"))
    assert score_predictions(listed).content()["chance"] == 1 / 4 and listed.read == {}


def test_answers_may_name_the_labels_of_a_list_of_classes(tmp_path):
    path = written(tmp_path, "label,answer\n0,He gallops\n1,a swimmer is swimming\n")
    classes = written(tmp_path, "id,name,label\n0,A,gallop\n1,B,swim\n2,C,fly\n", "c.csv")
    made = read_predictions(path, classes)
    assert made.rows.values.tolist() == [["A", "A"], ["B", "B"]] and made.read == {"contained": 2}
