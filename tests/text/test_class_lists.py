"""zsar_lab.text.class_lists: the classes a user asks for, in every form, and readable labels."""

from __future__ import annotations

import pandas as pd
import pytest

from zsar_lab.text.class_lists import classes_of_lines, label, read_classes, readable_label

SENTENCE = "A hand plucks strings."
WANTED = pd.DataFrame(
    [("walking", "walking", "", ""), ("PlayingGuitar", "playing guitar", SENTENCE, "")],
    columns=["name", "label", "description", "text"],
)


def test_all_forms_give_one_table(tmp_path):
    csv, lines = tmp_path / "c.csv", tmp_path / "c.txt"
    csv.write_text(f'\ufeffname,description\nwalking\nPlayingGuitar,"{SENTENCE}"\n', encoding="utf-8")
    lines.write_text(f"walking\n\nPlayingGuitar: {SENTENCE}\n", encoding="utf-8")
    mapping = {"walking": "", "PlayingGuitar": SENTENCE}
    for form in (mapping, WANTED, WANTED[["name", "description"]], csv, str(lines)):
        pd.testing.assert_frame_equal(read_classes(form), WANTED)
    pd.testing.assert_frame_equal(classes_of_lines(f" walking \nPlayingGuitar:  {SENTENCE}"), WANTED)
    assert read_classes(["a", "b"])["description"].tolist() == ["", ""]
    csv.write_text("name,label,family,structure\nA,,f\nB,bee,f,x: a; b; c; d; e\n", encoding="utf-8")
    shipped = read_classes(csv)
    assert shipped["label"].tolist() == ["a", "bee"] and "family" not in shipped
    assert shipped["structure"].tolist() == ["", "x: a; b; c; d; e"]


def test_ids_beside_names_are_kept_and_one_line_with_commas_is_split(tmp_path):
    (tmp_path / "ids.csv").write_text("id,name\n0,Archery\n1,YoYo\n")
    ids = read_classes(tmp_path / "ids.csv")[["id", "name"]]
    assert ids.values.tolist() == [["0", "Archery"], ["1", "YoYo"]]
    (tmp_path / "one.txt").write_text("walking, long jump,run,\n")
    for form in (["walking, long jump,run"], tmp_path / "one.txt"):
        with pytest.warns(UserWarning, match="3 names"):
            assert read_classes(form)["name"].tolist() == ["walking", "long jump", "run"]
    assert read_classes(["with, comma", "b"])["name"].tolist() == ["with, comma", "b"]
    with pytest.raises(ValueError, match="has 1"):
        classes_of_lines("walk: a person walks, slowly")


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        ([], "has 0"),
        (["walking"], "has 1"),
        (["a", "b", "a"], "'a' more than once"),
        (["Long Jump", "long_jump"], "'Long Jump' and 'long_jump'"),
        (["a", " "], "class 2 .*got ''"),
        (["a", "b\nc"], r"class 2 .*got 'b\\nc'"),
        (["a", "!!"], "'!!'"),
        ("walking", "got 'walking'"),
        ([1, 2], r"got \[1, 2\]"),
        (3, "got 3"),
        (pd.DataFrame({"label": ["a", "b"]}), "has no name"),
        (pd.DataFrame([["a", "b"], ["c", "d"]], columns=["name", "name"]), "has 'name'"),
        ("name\nsauté\nb\n".encode("latin-1"), "UTF-8"),
        (b"  \n", "'name'"),
        (b"class,label\na,b\n", "'class, label'"),
        (b"name\na,b\nc\n", "line 2 .*1 cells, got 2"),
        (b'name\n"a\n', "line 2"),
    ],
)
def test_what_is_no_list_of_classes_is_refused(tmp_path, classes, words):
    path = tmp_path / "c.csv"
    if isinstance(classes, bytes):
        path.write_bytes(classes)
    with pytest.raises(ValueError, match=words) as refused:
        read_classes(path if path.exists() else classes)
    assert (str(path) in str(refused.value)) == path.exists()
    with pytest.raises(FileNotFoundError, match="no/c.csv"):
        read_classes("no/c.csv")


LABELS = """HandstandPushups: handstand pushups, climb_stairs: climb stairs, YoYo: yo yo, MMAFight: mma fight,
TaiChi: tai chi, TV: tv, playTV: play tv, Run100mHurdles: run 100m hurdles, Run100: run 100, 100m: 100m,
brush hair: brush hair, __Brush__Hair__: brush hair, ride-bike: ride-bike, ÜbenÄpfel: üben äpfel,
跑步: 跑步"""


@pytest.mark.parametrize("pair", [pair.strip() for pair in LABELS.split(",")])
def test_readable_labels(pair):
    name, wanted = pair.split(": ")
    assert readable_label(name) == wanted
    table = pd.DataFrame({"name": [name]})
    assert label(table) == label(table.assign(label=[None])) == label(table.assign(label="  ")) == [wanted]
    assert label(table.assign(label=" up ")) == ["up"]
    for empty in ("", "   ", "___", "-!?"):
        with pytest.raises(ValueError, match=f"got '{empty.replace('?', '.')}'"):
            readable_label(empty)
