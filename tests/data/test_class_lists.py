"""zsar_lab.data.datasets: the shipped lists are whole, and their labels are readable forms of the names."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pandas as pd
import pytest
from official_files import HMDB51_CLASSES, UCF101_CLASSES

from zsar_lab import files
from zsar_lab.data.datasets import PUBLIC as DATASETS
from zsar_lab.data.datasets import class_list, classes_path
from zsar_lab.text.class_lists import TEXT_PARTS
from zsar_lab.text.written import text_faults

ROOT = Path(__file__).parents[2]
COUNTS = {
    "ucf101": 101,
    "hmdb51": 51,
    "activitynet": 200,
    "kinetics400": 400,
    "kinetics600": 600,
    "kinetics700": 700,
}
# slips of spelling (and two words not English) in the datasets' names, mended in the labels alone
MENDED = {
    "Mooping floor": "mopping floor",
    "Plataform diving": "platform diving",
    "Polishing forniture": "polishing furniture",
    "Playing flauta": "playing flute",
    "Playing guitarra": "playing guitar",
    "dying hair": "dyeing hair",
    "tie dying": "tie dyeing",
}


def only_letters(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def run_together(text: str) -> str:
    return text.lower().replace(" ", "").replace("_", "")


@pytest.mark.parametrize("dataset", DATASETS)
def test_a_list_is_whole_unique_and_sorted(dataset):
    classes = class_list(dataset)
    assert list(classes.columns) == ["name", "label", "description", *TEXT_PARTS]
    assert len(classes) == COUNTS[dataset]
    assert classes["name"].is_unique and classes["label"].is_unique
    assert classes["name"].tolist() == sorted(classes["name"])
    assert not [text for text in [*classes["name"], *classes["label"]] if text != text.strip() or not text]


@pytest.mark.parametrize("dataset", DATASETS)
def test_labels_are_lower_case_words_that_lose_nothing_of_the_name(dataset):
    for name, label in class_list(dataset)[["name", "label"]].itertuples(index=False):
        assert re.fullmatch(r"[a-z0-9' ()-]+", label) and "  " not in label, label
        if name in MENDED:
            assert label == MENDED[name]
        else:
            assert only_letters(label) == only_letters(name), (name, label)


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_class_has_a_description_of_one_form(dataset):
    raw = pd.read_csv(classes_path(dataset), dtype=str, keep_default_na=False)
    assert list(raw.columns) == ["dataset", "name", "label", "description", *TEXT_PARTS]
    assert set(raw["dataset"]) == {dataset}
    assert raw["description"].is_unique
    for text in raw["description"]:
        assert 60 <= len(text) <= 220, text
        assert re.fullmatch(r"[A-Z][^\n;\"<>_]*\.", text) and text == " ".join(text.split()), text
        assert 1 <= len(re.findall(r"\.(?: |$)", text)) <= 2, text
        assert not re.search(r"\b(this video|the action|is a sport|refers to)\b", text, re.IGNORECASE), text


@pytest.mark.parametrize("dataset", DATASETS)
def test_no_two_descriptions_are_nearly_equal(dataset):
    texts = class_list(dataset)["description"].tolist()
    words = [frozenset(re.findall(r"[a-z]+", text.lower())) for text in texts]
    near = [
        (texts[i], texts[j])
        for i in range(len(texts))
        for j in range(i)
        if len(words[i] & words[j]) > 0.8 * min(len(words[i]), len(words[j]))
    ]
    assert not near


def test_a_name_of_several_kinetics_datasets_has_one_text():
    tables = [
        class_list(dataset).set_index("name")["description"]
        for dataset in ("kinetics400", "kinetics600", "kinetics700")
    ]
    for first, second in ((0, 1), (1, 2), (0, 2)):
        shared = tables[first].index.intersection(tables[second].index)
        assert len(shared) > 300 and tables[first][shared].equals(tables[second][shared])


@pytest.mark.parametrize(("dataset", "names"), [("ucf101", UCF101_CLASSES), ("hmdb51", HMDB51_CLASSES)])
def test_the_names_are_those_of_the_official_files(dataset, names):  # TruZe's are held against these
    assert class_list(dataset)["name"].tolist() == sorted(names)


def test_the_kinetics_lists_follow_from_one_another_as_published():
    # Kinetics-600 keeps 368 classes of Kinetics-400, Kinetics-700 keeps 597 of Kinetics-600 (one of them in
    # another case)
    k400, k600, k700 = (set(class_list(f"kinetics{number}")["name"]) for number in (400, 600, 700))
    assert len(k400 & k600) == 368
    assert len({name.lower() for name in k600} & {name.lower() for name in k700}) == 597
    assert k600 - k700 == {
        "bull fighting",
        "chopping vegetables",
        "picking fruit",
        "passing american football (not in game)",
    }


@pytest.mark.parametrize(("dataset", "count"), [("ucf101", 22), ("hmdb51", 2)])
def test_names_that_equal_a_kinetics_class_without_case_and_spaces(dataset, count):
    kinetics = set(map(run_together, class_list("kinetics400")["name"]))
    assert sum(run_together(name) in kinetics for name in class_list(dataset)["name"]) == count


def test_an_unknown_dataset_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="ucf101, hmdb51, .*got 'ucf-101'"):
        class_list("ucf-101")


def test_the_wheel_ships_every_list():
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"][
        "targets"
    ]["wheel"]
    expected = {
        f"data/{name}/classes.csv": f"zsar_lab/shipped/{name}/classes.csv" for name in ("demo", *DATASETS)
    }
    assert expected | {"notebooks": "zsar_lab/shipped/notebooks"} == wheel["force-include"]
    assert all((ROOT / path).is_file() for path in expected)


def test_an_installed_package_reads_its_shipped_copy(tmp_path, monkeypatch):
    copy = tmp_path / "zsar_lab" / "shipped" / "hmdb51" / "classes.csv"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(classes_path("hmdb51").read_bytes())
    monkeypatch.setattr(files, "__file__", str(tmp_path / "zsar_lab" / "files.py"))
    assert classes_path("hmdb51") == copy and len(class_list("hmdb51")) == 51
    with pytest.raises(FileNotFoundError, match="ucf101/classes.csv"):
        class_list("ucf101")


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_class_has_its_parts_in_one_form_without_a_word_of_its_name(dataset):
    classes = class_list(dataset)
    parts = classes[["name", *TEXT_PARTS]]
    assert text_faults(parts, dict(zip(classes["name"], classes["label"]))).empty
    for part in TEXT_PARTS:
        for text in parts[part]:
            assert text == " ".join(text.split()) and not text[0].isupper(), (part, text)
            assert not re.search(r"\b(he|she|his|her|typically|usually|often|possibly)\b", text), text


def test_a_name_that_datasets_share_has_one_text():
    every = pd.concat([class_list(dataset)[["name", *TEXT_PARTS]] for dataset in DATASETS])
    assert every.drop_duplicates()["name"].is_unique and every["name"].nunique() == 1070
