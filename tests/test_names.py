"""zsar_lab.names: which names mean the same, and files of other tools that name the classes in their way."""

from __future__ import annotations

import pandas as pd
import pytest

from zsar_lab.data.datasets.folders import list_class_folders
from zsar_lab.names import match_names, refuse_same, same
from zsar_lab.protocols.split_files import read_class_splits
from zsar_lab.results.outside import PredictionsError, predictions_of, read_predictions, score_predictions
from zsar_lab.text.class_lists import read_classes
from zsar_lab.text.prompts import class_text, prompt_named

SAME = [
    ["Long Jump", "long_jump", "LongJump", "LONG-JUMP", " long  jump ", "longjump", "long\u00a0jump"],
    ["Long Jump", "``Long jump''"],
    ["persons head", "person's head", "person\u2019s head", "person\u00b4s head", "\u201cPersons head\u201d"],
    ["fencing (sport)", "Fencing sport", "fencing_sport", "fencing-(sport)", "fencing \u2013 sport"],
    ["1", "1.0", "01", "1.", "+1", " 1 "],
    ["caf\u00e9", "cafe\u0301", "CAF\u00c9"],
    ["Run100mHurdles", "run 100m hurdles", "run_100m_hurdles"],
    ["ｆｕｌｌ width", "full width"],
    ["push\u2212up", "push\u00adup", "Push up"],
]
DIFFERENT = [
    ("1.5", "15"), ("-1", "1"), ("2 1", "21"), ("run 100 200", "run 100200"), ("10", "1"), ("c++", "c"),
    ("कि", "का"), ("sit to stand", "stand to sit"), ("<", ">"), ("!", "?"), ("跑步", "跑"), ("a", "á"),
]  # fmt: skip


@pytest.mark.parametrize("names", SAME, ids=lambda names: names[0])
def test_names_that_mean_the_same(names):
    assert len({same(name) for name in names}) == 1
    found = match_names(names[1:], [names[0], "another"])
    assert found.class_of == dict.fromkeys(names[1:], names[0]) and not found.unknown
    with pytest.raises(ValueError, match="differ in more than"):
        refuse_same(names[:2])


def test_names_that_do_not():
    assert not [pair for pair in DIFFERENT if same(pair[0]) == same(pair[1])]
    refuse_same([name for pair in DIFFERENT for name in pair if same(name) not in ("c",)])


def test_a_very_name_goes_first_then_names_then_labels_and_what_is_ambiguous_is_unknown():
    given, also = ["Jump", "jump", "JUMP", "hop", "x"], [("hop", "b"), ("x", "jump"), ("x", "b")]
    found = match_names(given, ["Jump", "jump", "b"], also)
    assert found.class_of == {"Jump": "Jump", "jump": "jump", "hop": "b"}
    assert set(found.unknown) == {"JUMP", "x"}
    near = match_names(["clean & jerk"], ["clean and jerk", "run"])
    assert near.lacking == "'clean & jerk' (near 'clean and jerk')"


def test_ids_beside_names_count_for_nothing_where_one_goes_with_one_class():
    classes = ["Archery", "LongJump", "pose 2"]
    forms = ["1 archery", "2 long_jump"], ["001.Archery", "002.LongJump"], ["archery:0", "long jump:1"]
    for names in forms:
        assert list(match_names(names, classes).class_of.values()) == classes[:2]
    for names in (["1 archery", "2 archery"], ["1 archery", "1 LongJump"], ["7 archery"]):  # no ids, it seems
        assert set(match_names(names, classes).unknown) == set(names)
    ids = [("5", "Archery"), ("6", "LongJump")]
    assert match_names(["5", "6.0"], classes, ids).class_of == {"5": "Archery", "6.0": "LongJump"}
    contradicting = match_names(["6 archery", "5 LongJump"], classes, ids)
    assert contradicting.class_of == {}
    assert match_names(["pose 2", "Pose_2"], classes).class_of == {"pose 2": "pose 2", "Pose_2": "pose 2"}


# files as other tools write them: never a score of 0 for names that are there


def score(folder, predictions: str, classes: str | None = None, name: str = "classes.csv"):
    (folder / "p.csv").write_text(predictions, encoding="utf-8")
    if classes is not None:
        (folder / name).write_text(classes, encoding="utf-8")
    read = read_predictions(folder / "p.csv", None if classes is None else folder / name)
    return score_predictions(read)


def test_mteb_predicts_places_in_its_list_of_candidates(tmp_path):
    scores = [[0.1, 0.7, 0.2], [0.6, 0.3, 0.1], [0.2, 0.1, 0.7], [0.1, 0.6, 0.3]]  # as its predictions.json
    table = pd.DataFrame({"label": [1, 0, 2, 2], "prediction": pd.DataFrame(scores).idxmax(axis=1)})
    table.loc[len(table)] = [0, float("nan")]  # an empty row turns whole numbers into 1.0
    text = table.dropna().to_csv(index=False)
    assert "1.0" in text
    found = score(tmp_path, text, "id,name\n0,brush hair\n1,cartwheel\n2,catch\n").content()
    assert found["top1"] == 0.75 and found["confusion"]["catch"] == {"catch": 1, "cartwheel": 1}
    mixed = "label,prediction\nApplyEyeMakeup,apply eye makeup\nBrushingTeeth,brushing teeth\n"
    found = score(tmp_path, mixed)
    assert found.content()["top1"] == 1 and found.content()["classes"] == 2
    assert "matched but for spelling: 'apply eye makeup' is 'ApplyEyeMakeup'" in found.text()


def test_excel_saves_semicolons_and_a_byte_order_mark(tmp_path):
    predictions = "\ufefflabel;prediction;score\nLong Jump;LongJump;0,5\nclean and jerk;Clean-and-Jerk;0,25\n"
    found = score(tmp_path, predictions, "\ufeffid;name\n1;long_jump\n2;CleanAndJerk\n").content()
    assert found["top1"] == 1 and set(found["confusion"]) == {"long_jump", "CleanAndJerk"}
    assert found["respelt"]["Long Jump"] == "long_jump" and len(found["respelt"]) == 4
    own = "\ufeffname;description\nlong jump;Far, far.\nrun;Fast.\n"
    (tmp_path / "own.csv").write_text(own, encoding="utf-8")
    assert read_classes(tmp_path / "own.csv")["description"].tolist() == ["Far, far.", "Fast."]


def test_cvat_exports_folders_by_label_and_names_with_ids(tmp_path):
    for folder in ("long_jump", "Fencing (sport)"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.mp4").write_bytes(b"")
    (tmp_path / "classes.csv").write_text("name,description\nLongJump,Far.\nfencing sport,Swords.\n")
    with pytest.warns(UserWarning, match="'LongJump' is 'long_jump'"):
        _, classes = list_class_folders(tmp_path)
    assert classes.to_numpy().tolist() == [["Fencing (sport)", "Swords."], ["long_jump", "Far."]]


def test_texts_and_splits_in_files_are_matched_and_it_is_said(tmp_path):
    table = pd.DataFrame({"name": ["LongJump", "run"]})
    (tmp_path / "t.csv").write_text("name;text\nlong jump;They leap.\nrun;They run.\n")
    with pytest.warns(UserWarning, match="'long jump' is 'LongJump'"):
        assert class_text(table, prompt_named(str(tmp_path / "t.csv"))).texts == ("They leap.", "They run.")
    (tmp_path / "t.csv").write_text("name,text\nlong jump,a\nLongJump,b\nrun,c\n")
    with pytest.raises(ValueError, match="'long jump' and 'LongJump'"):
        class_text(table, prompt_named(str(tmp_path / "t.csv")))
    (tmp_path / "s.txt").write_text("Long Jump,run\nrun,sit_down\n")
    with pytest.warns(UserWarning, match="'Long Jump' is 'LongJump'"):
        splits = read_class_splits(tmp_path / "s.txt", ["LongJump", "run", "SitDown"])
    assert splits == [("LongJump", "run"), ("run", "SitDown")]


def test_what_cannot_be_matched_is_refused_by_pairs_and_never_scored_zero():
    for labels, predictions, words in (
        (["archery", "run"], ["3", "4"], "'3'"),
        (["Long Jump", "long_jump", "run"], ["run"] * 3, "'Long Jump' and 'long_jump'"),
        (["run", "jump", "run"], ["run", "sit-up", "Sit Up"], "'sit-up' and 'Sit Up'"),
    ):
        with pytest.raises(ValueError, match=words):
            predictions_of(labels, predictions)
    with pytest.raises(PredictionsError, match=r"'clean & jerk' \(near 'clean and jerk'\)"):
        predictions_of(["run", "clean & jerk"], ["run", "run"], ["run", "clean and jerk"])
