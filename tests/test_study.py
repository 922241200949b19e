"""zsar_lab.study and short names of protocols: what is refused, what is kept, and what each name makes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pandas as pd
import pytest
from official_files import HMDB51_CLASSES, UCF101_CLASSES

from zsar_lab.data.catalog import CLIP_COLUMNS, Catalog
from zsar_lab.data.prepare import Source
from zsar_lab.data.sampling import FrameSettings
from zsar_lab.files import write_json
from zsar_lab.protocols.splits import CROSS, NUMBERED, WITHIN, ProtocolName, protocol_named
from zsar_lab.study import DEMO_NAME, Study
from zsar_lab.train import presets


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"class_text": "names"}, "a class-text prompt must be one of label, .*, got 'names'"),
        ({"clips_per_class": 0}, "clips_per_class must be a whole number of 1 or more, got 0"),
        ({"stratified_splits": -1}, "stratified_splits must be a whole number of 0 or more, got -1"),
        ({"random_splits": -2}, "random_splits must be a whole number of 0 or more, got -2"),
        ({"epochs": 0}, "epochs must be a whole number of 1 or more, got 0"),
        ({"epochs": 1.5}, "epochs must be a whole number of 1 or more, got 1.5"),
        ({"seed": -1}, "seed must be a whole number of 0 or more, got -1"),
        (
            {"stratified_splits": 0, "random_splits": 0},
            "needs at least one split, got stratified_splits 0 and random_splits 0; set one of them, or name",
        ),
        (
            {"dataset": "ucf101"},
            "the dataset 'ucf101' needs its folder of videos, got videos None; give it, or leave dataset out for the demo",
        ),
        ({"annotations": "lists"}, "the dataset 'folder' needs its folder of videos, got videos None"),
        ({"videos": "v", "dataset": "ucf"}, "dataset must be one of folder, ucf101, .*, got 'ucf'"),
        (
            {"videos": "v", "dataset": "ucf101"},
            "the dataset 'ucf101' needs the folder of its official annotation files, got annotations ''",
        ),
        (
            {"videos": "v", "annotations": "a"},
            "the dataset 'folder' has no annotation files, got annotations '.*a'",
        ),
        (
            {"videos": "v", "dataset": "activitynet", "annotations": "a", "unit": "clip"},
            "unit must be 'segment' or 'video', got 'clip'",
        ),
        ({"protocols": ("half",)}, "a protocol must be one of .*, got 'half'"),
        (
            {"protocols": ("half-0",)},
            "need train_on, and others must not have it, got 'half-0' with train_on None; set train_on",
        ),
        (
            {"protocols": ("intra-0",), "train_on": "out"},
            "must not have it, got 'intra-0' with train_on '.*out'; leave train_on out",
        ),
        (
            {"protocols": ("half-0", "intra-0"), "train_on": "out"},
            "got 'intra-0' with train_on '.*out'; leave train_on out",
        ),
        ({"train_on": "out"}, "got 'stratified-0' with train_on '.*out'; leave train_on out"),
        (
            {"protocols": ("intra-0", "intra-1", "intra-0")},
            "each protocol must be named once, got intra-0, intra-1, intra-0; drop one",
        ),
        (
            {"protocols": ("intra-0", "truze", "random-0")},
            "reports at most 2 kinds of protocols, got intra, truze, random; make another study",
        ),
        (
            {"protocols": ("intra-0", "generalised-intra-0", "truze")},
            "at most 2 kinds of protocols, got intra, generalised-intra, truze",
        ),
        ({"leakage_distance": -0.1}, "leakage_distance must be a cosine distance in 0..2 or None, got -0.1"),
        ({"leakage_distance": 2.5}, "leakage_distance must be a cosine distance in 0..2 or None, got 2.5"),
        (
            {"leakage_distance": float("nan")},
            "leakage_distance must be a cosine distance in 0..2 or None, got nan",
        ),
        (
            {"preset": "rest50"},
            "preset must be one of demo, rest18, rest101, rest_r3d18, rest_r2plus1d18, got 'rest50'",
        ),
        ({"preset": presets.ablations}, "preset must be one of .*, got 'ablations'"),
        ({"preset": None}, "preset must be one of .*, got None"),
        (
            {"changes": None},
            'changes must be a mapping of names to values, got None; write {"batch_size": 32, "model": {"dropout": 0.2}}',
        ),
        (
            {"changes": {"batchsize": 8}},
            "must have fields that there are, got 'batchsize'; the nearest is 'batch_size'",
        ),
        ({"changes": {"model": {"drop_out": 0.2}}}, "got 'model.drop_out'; the nearest is 'model.dropout'"),
        ({"changes": {"batch_size": "8"}}, "batch_size must be a value like 32, got '8'"),
        ({"preset": "rest18", "changes": {"batch_size": 8.0}}, "batch_size must be a value like 64, got 8.0"),
        ({"changes": {"model": 3}}, "model must be a mapping of names to values, got 3"),
        ({"changes": {"batch_size": 0}}, "batch_size must be a whole number of 1 or more, got 0"),
        (
            {"changes": {"model": {"heads": 3}}},
            "model.width must be a multiple of model.heads, got 128 and 3; change one of them",
        ),
        (
            {"changes": {"epochs": 3}},
            "changes must leave out what is set elsewhere, got 'epochs'; set epochs of the study",
        ),
        ({"changes": {"text_layers": 1}}, "got 'text_layers'; set text_layers of the study"),
        ({"changes": {"seed": 1}}, "got 'seed'; the number of a split is its seed"),
        (
            {"changes": {"model": {"n_seen": 1}}},
            "got 'model.n_seen'; the protocol of a split has the number of seen classes",
        ),
        (
            {"changes": {"model": {"text_width": 1}}},
            "got 'model.text_width'; the class texts have it, set class_text or encoder of the study",
        ),
        (
            {"changes": {"model": {"word_width": 1}}},
            "got 'model.word_width'; the text encoder has it, set encoder of the study",
        ),
        (
            {"changes": {"model": {"n_frames": 4}}},
            "got 'model.n_frames'; set view.n_frames, and the model takes it over",
        ),
        (
            {"changes": {"model": {"size_px": 32}}},
            "got 'model.size_px'; set view.size_px, and the model takes it over",
        ),
    ],
)
def test_an_impossible_study_is_refused_in_one_sentence(wrong, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        Study(**wrong)
    assert "\n" not in str(caught.value)


def test_splits_and_families():
    assert Study().splits == ("stratified-0", "stratified-1", "stratified-2", "random-0")
    assert Study(stratified_splits=0, random_splits=2).splits == ("random-0", "random-1")
    assert Study(stratified_splits=1, random_splits=0).families == {"stratified": ("stratified-0",)}
    named = Study(protocols=("half-3", "all", "half-0"), train_on="out")
    # protocols that are named stand alone, in their order, and the first kind is the main one
    assert named.splits == ("half-3", "all", "half-0")
    assert list(named.families.items()) == [("half", ("half-3", "half-0")), ("all", ("all",))]
    both = Study(protocols=("truze", "generalised-truze"), stratified_splits=0, random_splits=0)
    assert both.families == {"truze": ("truze",), "generalised-truze": ("generalised-truze",)}


def test_where_the_clips_come_from():
    assert Study().source("runs/videos") == Source("folder", "runs/videos", name=DEMO_NAME)
    asked = Study(
        videos="/v",
        dataset="activitynet",
        annotations="/a",
        unit="video",
        protocols=("intra-0",),
        class_text="label",
    )
    assert asked.source("runs/videos") == Source("activitynet", "/v", "/a", "video")


STUDIES = [
    Study(),
    Study(
        videos="v",
        dataset="hmdb51",
        annotations="a",
        frames=FrameSettings(8, 6.5, 32, 80),
        protocols=("truze", "intra-4"),
        class_text="label",
        strict=False,
    ),
    Study(
        videos="v é",
        protocols=("generalised-half-9", "official-2"),
        train_on="out",
        leakage_distance=0.05,
        class_text="label",
        seed=4,
    ),
    Study(
        preset="rest_r3d18",
        changes={"learning_rate": 1e-4, "optimiser": "sgd", "view": {"n_frames": 8}},
        frames=FrameSettings(12, size_px=128),
    ),
    Study(epochs=3, changes={"model": {"backbone_widths": [8, 16]}, "compile_transformer": True}),
]


@pytest.mark.parametrize("study", STUDIES)
def test_a_study_is_read_as_it_was_written(study, tmp_path):
    write_json(tmp_path / "study.json", study.as_json())
    back = Study.read(tmp_path / "study.json")
    assert (
        back == study
        and back.as_json() == study.as_json()
        and isinstance(back.frames, FrameSettings)
        and isinstance(back.protocols, tuple)
    )
    assert set(study.as_json()) == {field.name for field in dataclasses.fields(Study)}


def test_epochs_are_those_of_the_preset_unless_they_are_given():
    assert [Study(preset=name).epochs for name in presets.PRESETS] == [25, 150, 150, 150, 150]
    assert Study(preset="rest18", epochs=3).epochs == 3 and Study().as_json()["epochs"] == 25


def test_a_preset_is_kept_as_its_name():
    assert (
        Study(preset=presets.rest18) == Study(preset="rest18")
        and Study(preset=presets.rest18).as_json()["preset"] == "rest18"
    )
    assert Study() == Study(preset="demo", changes={}) and hash(Study()) == hash(Study(changes={}))


def test_changes_are_a_copy_with_the_tuples_of_a_configuration():
    given = {"batch_size": 8, "model": {"backbone_widths": [8, 16]}}
    study = Study(changes=given)
    given["model"]["backbone_widths"].append(32)
    given["batch_size"] = 9
    assert study.changes == {"batch_size": 8, "model": {"backbone_widths": (8, 16)}}
    assert study.as_json()["changes"] == {"batch_size": 8, "model": {"backbone_widths": [8, 16]}}


def test_a_study_from_before_there_were_presets(tmp_path):
    old = {
        name: value for name, value in Study(epochs=3).as_json().items() if name not in ("preset", "changes")
    }
    write_json(tmp_path / "study.json", old)
    assert Study.read(tmp_path / "study.json") == Study(epochs=3)


def without(key: str) -> dict:
    return {name: value for name, value in Study().as_json().items() if name != key}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            without("frames"),
            "must hold a study of this version of the library, but it has no 'frames'; choose another folder",
        ),
        (without("protocols"), "but it has no 'protocols'; choose another folder"),
        (
            Study().as_json() | {"n_splits": 3},
            "of this version of the library, but .*unexpected keyword argument 'n_splits'; choose another folder",
        ),
        (
            Study().as_json() | {"frames": {"length": 3}},
            "of this version of the library, but .*unexpected keyword argument 'length'; choose",
        ),
        (Study().as_json() | {"frames": 24}, "of this version of the library, but .*; choose another folder"),
        (
            Study().as_json() | {"protocols": None},
            "of this version of the library, but .*; choose another folder",
        ),
        (Study().as_json() | {"epochs": "25"}, "epochs must be a whole number of 1 or more, got '25'"),
        (Study().as_json() | {"epochs": 0}, "epochs must be a whole number of 1 or more, got 0"),
        (Study().as_json() | {"preset": "rest50"}, "preset must be one of .*, got 'rest50'"),
        (
            Study().as_json() | {"changes": {"seed": 1}},
            "changes must leave out what is set elsewhere, got 'seed'",
        ),
        ([1, 2], "of this version of the library, but .*; choose another folder"),
        ("a text", "of this version of the library, but .*; choose another folder"),
        ({}, "but it has no 'frames'; choose another folder"),
    ],
)
def test_an_old_or_foreign_study_is_refused_in_one_sentence(content, sentence, tmp_path):
    (tmp_path / "study.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=sentence) as caught:
        Study.read(tmp_path / "study.json")
    assert "\n" not in str(caught.value)


def test_a_study_that_is_no_json_or_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file '.*study.json'"):
        Study.read(tmp_path / "study.json")
    (tmp_path / "study.json").write_text('{"videos": ')
    with pytest.raises(
        ValueError, match="study.json' must be a whole json file, but .*; delete it to have it made again"
    ):
        Study.read(tmp_path / "study.json")


@pytest.mark.parametrize(
    ("name", "parts", "family", "crosses"),
    [
        ("stratified-0", ("stratified", 0, False), "stratified", False),
        ("random-12", ("random", 12, False), "random", False),
        ("intra-49", ("intra", 49, False), "intra", False),
        ("truze", ("truze", None, False), "truze", False),
        ("half-9", ("half", 9, False), "half", True),
        ("all", ("all", None, False), "all", True),
        ("official-3", ("official", 3, False), "official", True),
        ("kinetics220-1", ("kinetics220", 1, False), "kinetics220", True),
        ("generalised-truze", ("truze", None, True), "generalised-truze", False),
        ("generalised-half-0", ("half", 0, True), "generalised-half", True),
        ("generalised-kinetics220-2", ("kinetics220", 2, True), "generalised-kinetics220", True),
    ],
)
def test_a_name_taken_apart(name, parts, family, crosses):
    asked = ProtocolName.of(name)
    assert dataclasses.astuple(asked) == parts and (asked.family, asked.is_cross_dataset) == (family, crosses)


BAD_NAMES = [
    "",
    "half",
    "half-",
    "half-x",
    "half--1",
    "half-1.0",
    "Half-1",
    " half-1",
    "half-1\n",
    "half-01",
    "half-٣",
    "truze-0",
    "all-1",
    "intra",
    "kinetics220",
    "kinetics400-0",
    "generalised-",
    "generalised",
    "generalised-half",
    "generalised-generalised-all",
    "generalised-all-generalised",
    "seen",
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_bad_name_is_refused(name):
    with pytest.raises(
        ValueError,
        match="a protocol must be one of stratified-N, random-N, intra-N, truze, half-N, all, official-N, kinetics220-N ",
    ):
        ProtocolName.of(name)


def make_catalog(
    name: str,
    classes: list[str],
    clips_per_class: int = 4,
    splits: list[str] | None = None,
    **columns: list[str],
) -> Catalog:
    """A made-up catalog, all of it usable but a missing clip of each class; clip n of a class has the words splits[n]."""
    rows = []
    for label in classes:
        for clip in range(clips_per_class + 1):
            status = ("ok", "") if clip < clips_per_class else ("missing", "no file")
            words = splits[clip % len(splits)] if splits else ""
            rows.append(
                (
                    f"{name}:{label}/{clip}",
                    f"{label}/{clip}.mp4",
                    label,
                    "",
                    words,
                    0.0,
                    1.0,
                    12,
                    12.0,
                    64,
                    48,
                    False,
                    *status,
                    "",
                )
            )
    clips = pd.DataFrame(rows, columns=CLIP_COLUMNS).sort_values("id", ignore_index=True)
    return Catalog(name, Path("/nowhere"), clips, pd.DataFrame({"name": sorted(classes)} | columns))


SIXTEEN = [f"class {number:02d}" for number in range(16)]
SMALL = make_catalog("small", SIXTEEN, family=[f"family {number // 4}" for number in range(16)])
OTHER = make_catalog(
    "other", [f"other {number:02d}" for number in range(12)], splits=["train", "train", "train", "val"]
)
LISTED = make_catalog(
    "listed", SIXTEEN[:10], splits=["test train train", "train test train", "train train test"]
)


def made_within(name: str, catalog: Catalog = SMALL):
    return protocol_named(name, catalog, catalog.usable)


def made_across(name: str, test: Catalog = SMALL, train: Catalog = OTHER, removed: tuple[str, ...] = ()):
    return protocol_named(
        name, test, test.usable, train, train.usable, removed, "a method" if removed else ""
    )


def test_stratified_and_random():
    stratified = made_within("stratified-2")
    assert (
        stratified.name == "family-stratified split 2"
        and len(stratified.unseen) == len(stratified.validation) == 4
    )
    assert [SIXTEEN.index(name) // 4 for name in stratified.unseen] == [0, 1, 2, 3]
    assert made_within("random-1").name == "random split 1" and len(made_within("random-1").unseen) == 4
    assert made_within("random-1").unseen != made_within("random-2").unseen
    with pytest.raises(
        ValueError, match="a family-stratified split needs the column 'family' in classes.csv"
    ):
        made_within("stratified-0", LISTED)


def test_intra():
    made = made_within("intra-3")
    assert made.name == "intra-dataset 50/50, own split 3" and (made.train_data, made.test_data) == (
        "small",
        "small",
    )
    assert len(made.unseen) == 8 and len(made.seen) + len(made.validation) == 8 and not made.generalised


@pytest.mark.parametrize(
    ("dataset", "classes", "n_unseen"), [("ucf101", UCF101_CLASSES, 31), ("hmdb51", HMDB51_CLASSES, 22)]
)
def test_truze(dataset, classes, n_unseen):
    made = made_within("truze", make_catalog(dataset, classes, 2))
    assert (
        made.name.startswith("TruZe ")
        and len(made.unseen) == n_unseen
        and len(made.seen) + len(made.validation) == len(classes) - n_unseen
    )
    assert len(made.test_clips) == 2 * n_unseen
    with pytest.raises(
        ValueError,
        match=f"TruZe needs clips of the {len(classes)} classes of .*, got {len(classes) - 1} classes.*; catalog the",
    ):
        made_within("truze", make_catalog(dataset, classes[1:], 2))


def test_truze_of_another_dataset():
    with pytest.raises(
        ValueError, match="TruZe has lists for 'ucf101' and 'hmdb51', got 'small'; name one of them"
    ):
        made_within("truze")


def test_half_and_all():
    half = made_across("half-5")
    assert (
        half.name == "half-classes, cross-dataset, split 5"
        and len(half.unseen) == 8
        and len(half.test_clips) == 8 * 4
    )
    assert (half.train_data, half.test_data) == ("other", "small") and set(
        half.seen + half.validation
    ) == set(OTHER.classes["name"])
    assert (
        made_across("half-5").hash == half.hash != made_across("half-6").hash
        and made_across("half-6").train_clips == half.train_clips
    )
    everything = made_across("all", removed=("other 03",))
    assert everything.unseen == tuple(SIXTEEN) and set(everything.test_clips) == set(SMALL.usable["id"])
    assert (
        everything.removed == ("other 03",)
        and everything.removed_rule == "a method"
        and "other 03" not in everything.seen + everything.validation
    )


def test_official():
    made = made_across("official-2", LISTED)
    assert made.unseen == tuple(SIXTEEN[:10]) and made.test_clips == tuple(
        f"listed:{name}/1" for name in SIXTEEN[:10]
    )
    assert dict(made.left_out)["listed:class 00/0"] == "not in the official test list 2"
    for number in (0, 4):
        with pytest.raises(
            ValueError,
            match=rf"split must be 1, 2 or 3 \(the number of an official test list\), got {number}",
        ):
            made_across(f"official-{number}", LISTED)
    with pytest.raises(
        ValueError,
        match="an official test split needs a column 'splits' with the word test, list 1 has no clip",
    ):
        made_across("official-1")


def test_kinetics220():
    k400 = make_catalog("kinetics400", [f"old {number}" for number in range(20)])
    k600 = make_catalog(
        "kinetics600",
        [f"old {number}" for number in range(5)] + [f"new {number}" for number in range(220)],
        1,
    )
    made = made_across("kinetics220-1", k600, k400)
    assert made.name == "Kinetics-220, own split 1 of 220 new classes" and (
        len(made.validation),
        len(made.unseen),
        len(made.seen),
    ) == (60, 160, 20)
    assert all(name.startswith("new") for name in made.unseen + made.validation) and all(
        name.startswith("old") for name in made.seen
    )
    with pytest.raises(
        ValueError,
        match="Kinetics-220 needs 220 classes with usable clips that are new in Kinetics-600, got 16 of 16",
    ):
        made_across("kinetics220-0")


@pytest.mark.parametrize("name", ["stratified-0", "random-0", "intra-0"])
def test_generalised_within(name):
    plain, made = made_within(name), made_within(f"generalised-{name}")
    assert (
        made.generalised
        and made.candidates == made.seen + made.unseen
        and made.name == f"{plain.name}, generalised"
    )
    assert made == dataclasses.replace(plain, name=made.name, generalised=True) and made.hash != plain.hash


def test_generalised_across():
    made = made_across("generalised-half-0")
    assert (
        made.generalised
        and made.seen_test_clips
        and made.name == "half-classes, cross-dataset, split 0, generalised"
    )


def test_a_class_of_both_datasets_must_be_removed():
    with pytest.raises(
        ValueError,
        match=r"a class must not be trained and tested on, 10 are in both datasets \(class 00, .*; run the leakage audit",
    ):
        made_across("all", SMALL, LISTED)


def test_a_drawn_class_without_clips_is_named():
    # the published splits count all classes of the dataset, so that a gap in the videos does not change them
    gap = dataclasses.replace(
        SMALL, clips=SMALL.clips[SMALL.clips["class"] != made_across("half-0").unseen[0]]
    )
    with pytest.raises(
        ValueError,
        match=f"every class of a protocol needs a readable clip, '{made_across('half-0').unseen[0]}' has none",
    ):
        made_across("half-0", gap)


@pytest.mark.parametrize("kind", WITHIN)
def test_a_protocol_within_one_dataset_refuses_another(kind):
    name = f"{kind}-0" if kind in NUMBERED else kind
    with pytest.raises(
        ValueError,
        match=f"the protocol '{name}' trains and tests on one dataset, got other; set train_on accordingly",
    ):
        made_across(name)


@pytest.mark.parametrize("kind", CROSS)
def test_a_protocol_across_datasets_needs_another(kind):
    name = f"generalised-{kind}-0" if kind in NUMBERED else f"generalised-{kind}"
    with pytest.raises(
        ValueError,
        match=f"the protocol '{name}' needs a dataset to train on, got none; set train_on accordingly",
    ):
        made_within(name)


def test_paths_and_lists_are_welcome():
    study = Study(videos=Path("videos"), protocols=["random-0"], class_text="label")
    assert (study.videos, study.protocols) == (
        str(Path("videos").resolve()),
        ("random-0",),
    ) and study.as_json()["videos"] == study.videos


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (
            {"protocols": "truze"},
            r"protocols must be a tuple of names, got the text 'truze'; write \('truze',\)",
        ),
        ({"frames": 112}, r"frames must be FrameSettings, got 112; write FrameSettings\(size_px=...\)"),
        (
            {"prepared": "p", "videos": "v"},
            "prepared stands instead of videos and frames, got prepared '.*/p' beside them; give the one or the others",
        ),
        ({"prepared": "p", "frames": FrameSettings(8)}, "prepared stands instead of videos and frames"),
        (
            {"videos": "v", "dataset": "ucf101", "annotations": "a", "class_text": "label"},
            "a study of ucf101 needs names of protocols, got none",
        ),
        (
            {"videos": "v", "dataset": "ucf101", "annotations": "a", "protocols": ("truze",)},
            "a class of ucf101 has a label and a description, no structure",
        ),
    ],
)
def test_fields_that_do_not_fit_are_refused_before_any_video_is_opened(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        Study(**wrong)


def test_class_texts_and_encoder_are_kept_as_whole_paths_and_tuples(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    study = Study(class_text="mine.csv", encoder="model")
    assert (study.class_text, study.encoder) == (str(tmp_path / "mine.csv"), str(tmp_path / "model"))
    assert Study(encoder="team/model").encoder == "team/model"
    for texts in ("mine.csv", "a video of {label}", ["a video of {label}", "{label}"]):
        study = Study(class_text=texts)
        (tmp_path / "study.json").write_text(json.dumps(study.as_json()))
        assert Study.read(tmp_path / "study.json") == study
    with pytest.raises(ValueError, match="one line with a field such as"):
        Study(class_text=("no field",))
