"""Training on one dataset and testing on another: joined catalogs and frames, the leakage rule, and a whole study on real videos."""

from __future__ import annotations

import dataclasses
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numbered_videos import make_dataset, numbers_in

from zsar_lab.data.catalog import CLIP_COLUMNS, Catalog, join_catalogs
from zsar_lab.data.frames import join_frames, make_frame_store
from zsar_lab.data.pixels import JpegFrames, StackedFrames
from zsar_lab.data.prepare import Prepared, Source, make_catalog, prepare
from zsar_lab.data.sampling import FrameSettings
from zsar_lab.data.workers import Limits
from zsar_lab.embed.checkpoint import CENTRE
from zsar_lab.protocols.build import account
from zsar_lab.protocols.leakage import Removal
from zsar_lab.protocols.protocol import Protocol
from zsar_lab.protocols.splits import ProtocolData, ProtocolName, protocol_named
from zsar_lab.results.conventions import class_orders, conventions_of, official_test_lists
from zsar_lab.results.evaluate import evaluate_split
from zsar_lab.results.summary import Results
from zsar_lab.study import Data, Evaluation, Study, Text, Training
from zsar_lab.study_ablation import ablate_study
from zsar_lab.train.checkpoint import load_checkpoint
from zsar_lab.viz.tables_conventions import conventions_as_text
from zsar_lab.workspace import Workspace

pytestmark = pytest.mark.long

SETTINGS = FrameSettings(n_frames=10, fps=10.0, size_px=48)
ONE = Limits(workers=1)
# the first three are classes of the test dataset: by their letters, by their stems, and by their very name
REMOVED = ("Fade", "jumping rope", "slide left")
TRAIN = [*REMOVED, "bow", "clap", "dig", "knock", "nod", "paint", "shrug", "wave"]
TEST = ["Bounce", "Fade", "JumpRope", "Kneel", "SlideLeft", "Spin", "Stretch"]
SPLITS = ("half-0", "half-1")


def asked_study(
    protocols, class_text="label", epochs=None, leakage_distance=None, strict=True, views=1, **data
):
    text, training = Text(prompt=class_text), Training(epochs=epochs)
    return Study(Data(**data), tuple(protocols), text, training, Evaluation(views, leakage_distance, strict))


def make_videos(folder: Path, names: list[str], letter: str) -> Path:
    """Three clips of each class, of 12 to 14 frames, and a broken file in the first."""
    make_dataset(folder, {name: {f"{letter}{n}.mp4": 12 + n for n in range(3)} for name in names})
    (folder / names[0] / f"{letter} broken.mp4").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def train_on(tmp_path_factory) -> tuple[Path, Prepared]:
    """The folder of the prepared training dataset, and what is in it."""
    out = tmp_path_factory.mktemp("train") / "out"
    videos = make_videos(tmp_path_factory.mktemp("train videos") / "A", TRAIN, "a")
    (videos / "classes.csv").write_text("name,label,description\nFade,fading out,It fades.\n")
    return out, prepare(Source("folder", str(videos)), out, SETTINGS, ONE)


@pytest.fixture(scope="module")
def tested(tmp_path_factory) -> Path:
    return make_videos(tmp_path_factory.mktemp("test videos") / "B", TEST, "b")


def study_of(tested: Path, train_on: tuple[Path, Prepared], **changes) -> Study:
    asked = {"protocols": SPLITS, "class_text": "label", "epochs": 1, "frames": SETTINGS} | changes
    return asked_study(videos=str(tested), train_on=str(train_on[0]), **asked)


@pytest.fixture(scope="module")
def finished(tested, train_on, tmp_path_factory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("work") / "study", study_of(tested, train_on))
    for split in SPLITS:  # here and not in processes of their own, which take longer to start than to train
        workspace.train(split)
    return workspace


@pytest.fixture(scope="module")
def reports(finished) -> Results:
    return finished.report()


def test_the_report_is_written(finished, reports):
    report = json.loads((finished.folder / "report.json").read_text())
    assert reports.title() == "half, 2 splits, A and B" and list(reports.families) == ["half"]
    assert len(report["splits"]) == 2 and report["beside"] == [] and report["chance"] == pytest.approx(1 / 3)
    assert list(report["methods"]) == reports.part("methods")["method"].tolist()
    prints = report["fingerprints"]
    assert (prints["frames"], prints["catalog"]) == (
        finished.frames.fingerprint,
        finished.catalog.fingerprint,
    )
    for row in report["methods"].values():
        assert row["setting"] == "inductive" and 0 <= row["top1"] <= row["top5"] <= 1


def test_overlapping_classes_are_removed_and_the_list_is_kept(finished, train_on):
    removal = Removal.load(finished.folder / "leakage.json")
    assert (
        removal.removed == REMOVED and removal.threshold is None and removal.rules == ("exact", "normalised")
    )
    assert removal.train_names == tuple(sorted(TRAIN)) and removal.test_names == tuple(sorted(TEST))
    class_of = train_on[1].catalog.clips.set_index("id")["class"]
    for split in SPLITS:
        protocol = Protocol.load(finished.folder / "protocols" / f"{split}.json")
        assert (
            protocol == finished.protocol(split)
            and protocol.removed == REMOVED
            and protocol.removed_rule == removal.rule_text
        )
        assert (
            set(protocol.seen + protocol.validation) == set(TRAIN) - set(REMOVED)
            and len(protocol.validation) == 2
        )
        learnt = protocol.train_clips + protocol.seen_test_clips + protocol.validation_clips
        assert set(class_of[list(learnt)]) == set(TRAIN) - set(REMOVED)
        assert finished.refuse_leakage(split).empty


def test_what_is_tested_are_all_usable_clips_of_the_drawn_classes(finished, reports):
    usable = finished.test_catalog.usable
    for number, (split, result) in enumerate(zip(SPLITS, reports.splits(), strict=True)):
        protocol = finished.protocol(split)
        assert result.protocol == protocol
        drawn = [sorted(TEST)[place] for place in np.random.RandomState(number).permutation(7)[:3]]
        assert protocol.unseen == tuple(sorted(drawn)) and set(protocol.test_clips) == set(
            usable["id"][usable["class"].isin(drawn)]
        )
        rows = result.rows("transfer")
        assert tuple(rows["clip"]) == result.ids() == protocol.test_clips and len(rows) == 9
        assert (rows["label"] == rows["clip"].str.split("/").str[0]).all()
    assert finished.protocol("half-0").train_clips == finished.protocol("half-1").train_clips


def test_one_training_of_these_frames_serves_all_splits(finished, reports):
    assert [folder.name for folder in (finished.folder / "trainings").iterdir()] == ["half-0"]
    for split in SPLITS:
        inputs = load_checkpoint(finished.run_folder(split)).inputs
        assert (inputs.protocol, inputs.frames) == (
            finished.protocol(split).training_hash,
            finished.frames.fingerprint,
        )
        assert finished.train_config(split) == finished.train_config(SPLITS[0])
    prints = [split.about["fingerprints"] for split in reports.splits()]
    assert (
        len({of_split["checkpoint"] for of_split in prints})
        == len({of_split["embeddings"] for of_split in prints})
        == 1
    )


def test_splits_that_are_trained_apart_have_trainings_of_their_own(tmp_path):
    names = ("intra-0", "generalised-intra-1", "intra-1", "generalised-intra-0")
    workspace = Workspace(
        tmp_path, Study(data=Data(videos=str(tmp_path)), protocols=names, text=Text(prompt="label"))
    )
    assert [workspace.run_folder(split).name for split in names] == [
        "intra-0",
        "generalised-intra-1",
        "generalised-intra-1",
        "intra-0",
    ]
    assert (
        ProtocolName.of("half-3").training
        == ProtocolName.of("generalised-all").training
        == ProtocolName.of("official-2").training
    )
    assert (
        len(
            {
                ProtocolName.of(name).training
                for name in (
                    "half-1",
                    "intra-1",
                    "random-1",
                    "stratified-1",
                    "truze",
                    "kinetics220-1",
                    "intra-2",
                )
            }
        )
        == 7
    )


def test_every_row_of_both_catalogs_is_accounted_for(finished, train_on):
    catalogs = (train_on[1].catalog, finished.test_catalog)
    for split in SPLITS:
        protocol = finished.protocol(split)
        found = account(protocol, *[catalog.clips for catalog in catalogs])
        assert (
            found["id"].tolist() == [clip for catalog in catalogs for clip in catalog.clips["id"]]
            and len(found) == 3 * 18 + 2
        )
        assert {role: set(rows["id"]) for role, rows in found.groupby("role") if role != "left out"} == {
            role: set(ids) for role, ids in protocol.roles.items()
        }
        left_out = found[found["role"] == "left out"].set_index("id")["reason"]
        assert (left_out != "").all() and (found["reason"][found["role"] != "left out"] == "").all()
        assert left_out.str.contains("it is empty").sum() == 2
        for clip in ("Fade/a0", "jumping rope/a1", "slide left/a2"):
            assert left_out[clip].startswith(
                "its class was removed by same name as a test class by the rules exact and normalised"
            )
        not_drawn = [
            clip for clip in finished.test_catalog.usable["id"] if clip.split("/")[0] not in protocol.unseen
        ]
        assert set(left_out[not_drawn]) == {"its class takes no part"}


def test_a_distance_removes_more(finished, tested, train_on, tmp_path):
    distances = finished.leakage("half-0").distances_SU
    kept = [number for number, name in enumerate(sorted(TRAIN)) if name not in REMOVED]
    nearest = np.sort(distances[kept].min(axis=1))
    threshold = float(nearest[0] + nearest[1]) / 2
    workspace = Workspace(tmp_path, study_of(tested, train_on, leakage_distance=threshold), workers=1)
    workspace.begin()
    removal = Removal.load(tmp_path / "leakage.json")
    extra = set(removal.removed) - set(REMOVED)
    assert (
        len(extra) == 1
        and len(removal.removed) == 4
        and f"under cosine distance {threshold:g}" in removal.rule_text
    )


def test_frames_that_cannot_be_joined_are_refused_before_any_is_decoded(tested, train_on, tmp_path):
    workspace = Workspace(tmp_path, study_of(tested, train_on, frames=dataclasses.replace(SETTINGS, fps=5.0)))
    with pytest.raises(
        ValueError,
        match=r"frames of one fps, got 10 and 5",
    ):
        workspace.frames  # noqa: B018
    assert not (tmp_path / "frames").exists() and not (tmp_path / "study.json").exists()


def test_a_training_dataset_that_is_not_prepared_is_refused(tested, train_on, tmp_path):
    half_done = tmp_path / "half done"
    for folder, lacks in ((tmp_path / "nothing", "catalog/catalog.json"), (half_done, "frames/store.json")):
        if folder == half_done:
            train_on[1].catalog.save(half_done / "catalog")
        workspace = Workspace(tmp_path / "work", study_of(tested, (folder, None)))
        with pytest.raises(
            FileNotFoundError,
            match=f"must be the folder of a prepared dataset, '{folder}' holds no {lacks}",
        ):
            workspace.catalog  # noqa: B018
        assert not (tmp_path / "work" / "study.json").exists() and not (tmp_path / "work" / "frames").exists()


def test_a_prepared_folder_serves_many_studies_from_anywhere(tested, train_on, tmp_path, monkeypatch):
    out = tmp_path / "out"
    made = prepare(Source("folder", str(tested)), out, SETTINGS, ONE)
    for number, asked in enumerate(
        ({"protocols": ("half-0",), "train_on": str(train_on[0])}, {"protocols": ("intra-0",)})
    ):
        monkeypatch.chdir(tmp_path)
        workspace = Workspace(
            f"study {number}", asked_study(prepared="out", class_text="label", epochs=1, **asked)
        )
        assert workspace.protocol(asked["protocols"][0]).unseen and not (workspace.folder / "frames").exists()
        assert set(made.frames.ids) <= set(workspace.frames.ids) and not workspace.study.data.is_generated
        (tmp_path / "elsewhere").mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert Workspace.open(f"../study {number}").catalog.fingerprint == workspace.catalog.fingerprint
    with pytest.raises(
        FileNotFoundError,
        match="prepared must be the folder of a prepared dataset, '.*nothing' holds no catalog/catalog.json; run prepare",
    ):
        Workspace(
            tmp_path / "third",
            Study(
                data=Data(prepared=tmp_path / "nothing"), protocols=("intra-0",), text=Text(prompt="label")
            ),
        ).catalog  # noqa: B018
    about = json.loads((out / "frames" / "store.json").read_text()) | {"complete": False}
    (out / "frames" / "store.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match="but prepare was interrupted in '.*out'"):
        Workspace(
            tmp_path / "fourth",
            Study(data=Data(prepared=out), protocols=("intra-0",), text=Text(prompt="label")),
        ).catalog  # noqa: B018


def test_frames_that_are_there_are_held_against_those_asked_for_before_anything_else(tested, tmp_path):
    prepare(Source("folder", str(tested)), tmp_path, SETTINGS, ONE)
    asked = {"videos": tested, "protocols": ("intra-0",), "class_text": "label"}
    with pytest.raises(
        ValueError,
        match="has n_frames 10, fps 10.0, size_px 48, asked for is n_frames 24, fps 12.0, size_px 64",
    ):
        Workspace(tmp_path, asked_study(**asked)).frames  # noqa: B018
    assert not (tmp_path / "study.json").exists()
    assert len(Workspace(tmp_path, asked_study(**asked, frames=SETTINGS), workers=1).frames) == 21


def test_the_same_dataset_twice_and_strays_of_one_name(pair):
    train, test = (made.catalog for made in pair)
    with pytest.raises(
        ValueError,
        match="training and test data must be two datasets, got A in .* for both",
    ):
        join_catalogs(train, train)
    stray = train.clips.iloc[:1].assign(id="x/stray.mp4", status="not listed", reason="why", group="")
    both = [
        dataclasses.replace(made, clips=pd.concat([made.clips, stray], ignore_index=True))
        for made in (train, test)
    ]
    joined = join_catalogs(*both)
    assert {"A: x/stray.mp4", "B: x/stray.mp4"} <= set(joined.clips["id"]) and len(joined.clips) == len(
        train.clips
    ) + len(test.clips) + 2


def test_a_generalised_study_scores_both_ways_from_one_training(
    finished, reports, tested, train_on, tmp_path
):
    shutil.copytree(
        finished.folder,
        tmp_path / "work",
        ignore=shutil.ignore_patterns("study.json", "report.json", "protocols"),
    )
    workspace = Workspace(
        tmp_path / "work", study_of(tested, train_on, protocols=("half-0", "generalised-half-0")), workers=1
    )
    written_ns = (workspace.run_folder("half-0") / "checkpoint.safetensors").stat().st_mtime_ns
    results = workspace.report()
    assert (
        workspace.run_folder("generalised-half-0") / "checkpoint.safetensors"
    ).stat().st_mtime_ns == written_ns
    names = list(results.families)
    tables = [results.table(name).drop(columns="protocol_name", errors="ignore") for name in names]
    pd.testing.assert_frame_equal(*tables)
    assert results.splits(names[1])[0].protocol == workspace.protocol("half-0")


@pytest.fixture(scope="module")
def twins(tmp_path_factory) -> tuple[Path, str]:
    """A folder in which two classes are one by their stems, and a split that puts them on both sides."""
    names = ["waving hands", "HandWave", "bow", "clap", "dig", "knock", "nod", "paint"]
    videos = make_dataset(
        tmp_path_factory.mktemp("twins") / "C", {name: {f"{n}.mp4": 12 for n in range(2)} for name in names}
    )
    clips = pd.DataFrame([(f"{name}/{n}", name) for name in names for n in range(2)], columns=["id", "class"])
    catalog = Catalog("C", videos, clips, pd.DataFrame({"name": sorted(names)}))
    for number in range(50):
        made = protocol_named(f"random-{number}", ProtocolData(clips))
        if "HandWave" in made.unseen and "waving hands" in made.seen:
            return videos, f"random-{number}"
    raise AssertionError("no split parts the twins")


def test_twins_on_both_sides_are_refused_unless_allowed(twins, tmp_path):
    videos, split = twins
    asked = {
        "videos": str(videos),
        "protocols": (split,),
        "class_text": "label",
        "epochs": 1,
        "frames": SETTINGS,
    }
    strict = Workspace(tmp_path / "strict", asked_study(**asked), workers=1)
    sentence = r"no seen class may be an unseen class under another name, got 1 such pairs: 'waving hands' and 'HandWave' \(normalised\); leave out"
    for make in (strict.train_all, lambda: strict.train(split)):
        with pytest.raises(ValueError, match=sentence):
            make()
    assert not list((tmp_path / "strict" / "trainings").rglob("*.safetensors"))
    lenient = Workspace(tmp_path / "lenient", asked_study(**asked, strict=False), workers=1)
    assert lenient.refuse_leakage(split)[["train", "test", "rule"]].to_numpy().tolist() == [
        ["waving hands", "HandWave", "normalised"]
    ]
    assert lenient.train(split).complete and list((tmp_path / "lenient" / "trainings").rglob("*.safetensors"))


SMALL = FrameSettings(n_frames=4, fps=4.0, size_px=24)


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> tuple[Prepared, Prepared]:
    """A raw store with a file that vanished after it was cataloged, and a JPEG store with a missing description."""
    root = tmp_path_factory.mktemp("pair")
    make_dataset(root / "A", {"run": {f"a{n}.mp4": 12 + n for n in range(3)}, "hop": {"a.mp4": 20}})
    make_dataset(root / "B", {"run": {"b.mp4": 30}, "sit": {"b0.mp4": 31, "b1.mp4": 32}})
    (root / "A" / "classes.csv").write_text("name,family\nrun,legs\nhop,legs\n")
    (root / "B" / "classes.csv").write_text("name,label\nrun,running\nsit,sitting\n")
    (root / "B" / "sit" / "zero.mp4").write_bytes(b"")
    first = make_catalog(Source("folder", str(root / "A")), root / "out A", ONE)
    (root / "A" / "run" / "a1.mp4").unlink()
    train = Prepared(first, make_frame_store(first, root / "out A" / "frames", SMALL, ONE))
    return train, prepare(
        Source("folder", str(root / "B")), root / "out B", dataclasses.replace(SMALL, jpeg_quality=95), ONE
    )


def test_joined_catalogs_hold_the_rows_of_both(pair):
    train, test = (made.catalog for made in pair)
    joined = join_catalogs(train, test)
    assert list(joined.clips.columns) == CLIP_COLUMNS and joined.clips["id"].tolist() == sorted(
        [*train.clips["id"], *test.clips["id"]]
    )
    assert joined.name == "A and B" and joined.root == Path("/")
    for row in joined.usable.to_dict("records"):
        part = train if row["id"] in set(train.clips["id"]) else test
        own = part.clips.set_index("id").loc[row["id"]]
        assert row["path"] == str(part.root / own["path"]) and (row["class"], row["frames"]) == (
            own["class"],
            own["frames"],
        )
    # a class of both stands once, as the test catalog describes it
    assert joined.classes.to_dict("list") == {
        "name": ["hop", "run", "sit"],
        "label": ["", "running", "sitting"],
        "family": ["legs", "", ""],
    }
    assert (
        joined.fingerprint != train.fingerprint
        and join_catalogs(train, test).fingerprint == joined.fingerprint
    )
    assert joined.clips.set_index("id").loc["sit/zero", "status"] == "unreadable"


def test_a_clip_without_a_file_keeps_its_empty_path(pair):
    train, test = (made.catalog for made in pair)
    missing = dataclasses.replace(test, clips=test.clips.assign(path="", status="missing"))
    assert set(join_catalogs(train, missing).clips.set_index("id").loc[test.clips["id"], "path"]) == {""}


def test_an_id_in_both_catalogs_is_refused(pair):
    train = pair[0].catalog
    with pytest.raises(
        ValueError,
        match="4 are in both .first 'hop/a'.; ",
    ):
        join_catalogs(train, dataclasses.replace(train, name="other"))


def test_joined_frames_are_the_rows_of_both_in_order(pair):
    train, test = (made.frames for made in pair)
    joined = join_frames(train, test)
    assert (
        isinstance(joined.frames, StackedFrames)
        and isinstance(test.frames, JpegFrames)
        and isinstance(train.frames, np.memmap)
    )
    assert (
        joined.ids == [*train.ids, *test.ids]
        and joined.labels == [*train.labels, *test.labels]
        and len(joined) == 6
    )
    assert (
        joined.frames.shape == (6, 4, 24, 24, 3)
        and joined.frames.dtype == np.uint8
        and len(joined.frames) == 6
    )
    assert joined.frames.nbytes == train.frames.nbytes + test.frames.nbytes
    for row in range(6):
        expected = train.frames[row] if row < 3 else test.frames[row - 3]
        assert np.array_equal(joined.frames[row], expected) and joined.frames[row].shape == (4, 24, 24, 3)
    wanted = joined.rows(["sit/b1", "hop/a", "run/b"])
    assert [joined.ids[row] for row in wanted] == ["sit/b1", "hop/a", "run/b"]
    # 32, 20 and 30 frames at 12 a second: the middle second, in quarters
    found = [numbers_in(joined.frames[row]) for row in wanted]
    assert found == [
        [int((n / 24 - 0.5 + (2 * k + 1) / 8) * 12 + 1e-6) for k in range(4)] for n in (32, 20, 30)
    ]
    assert joined.excluded["id"].tolist() == ["run/a1"]
    with pytest.raises(ValueError, match="first 'run/a1' .*there is no such file.*; see store.excluded"):
        joined.rows(["run/a1"])
    assert join_frames(test, train).fingerprint != joined.fingerprint == join_frames(train, test).fingerprint


@pytest.mark.parametrize("row", [-1, 6, 100])
def test_a_row_that_is_not_there_is_refused(pair, row):
    with pytest.raises(IndexError, match=rf"a row must be in 0..5, got {row}"):
        join_frames(pair[0].frames, pair[1].frames).frames[row]


def test_a_pickled_joined_store_is_small_and_opens_the_same_files(pair):
    joined = join_frames(pair[0].frames, pair[1].frames)
    pickled = pickle.dumps(joined)
    back = pickle.loads(pickled)
    assert len(pickled) < 2000 and (back.ids, back.fingerprint) == (joined.ids, joined.fingerprint)
    assert all(np.array_equal(back.frames[row], joined.frames[row]) for row in range(6))
    assert [part.folder for part in back.parts] == [part.folder for part in joined.parts]


@pytest.mark.parametrize(("field", "value"), [("n_frames", 5), ("fps", 2.0), ("size_px", 32)])
def test_stores_of_other_frames_are_not_joined(pair, field, value):
    other = dataclasses.replace(pair[1].frames, settings=dataclasses.replace(SMALL, **{field: value}))
    with pytest.raises(
        ValueError,
        match=f"must have frames of one {field}, got {getattr(SMALL, field):g} and {value:g}",
    ):
        join_frames(pair[0].frames, other)


def test_25_views_are_scored_from_the_same_training(finished, reports, tested, train_on, tmp_path):
    shutil.copytree(
        finished.folder,
        tmp_path / "work",
        ignore=shutil.ignore_patterns("study.json", "report.json", "protocols"),
    )
    workspace = Workspace(tmp_path / "work", study_of(tested, train_on, views=25), workers=1)
    found, usual = workspace.predictions("half-0"), reports.splits()[0]
    assert workspace.protocol("half-0").views == 25 and "25 views a clip" in str(workspace.protocol("half-0"))
    same = {key: found.about["fingerprints"][key] == of for key, of in usual.about["fingerprints"].items()}
    assert same["checkpoint"] and not same["embeddings"] and found.protocol.hash != usual.protocol.hash
    assert not np.array_equal(found.scores("transfer"), usual.scores("transfer"))
    given = (
        workspace.train("half-0"),
        finished.embeddings("half-0"),
        workspace.protocol("half-0"),
        workspace.class_embeddings(),
    )
    with pytest.raises(
        ValueError,
        match="25 views, got 1",
    ):
        evaluate_split(*given)
    with pytest.raises(ValueError, match="views must be 1 or 25"):
        study_of(tested, train_on, views=3)


def test_the_conventions_and_the_ablation_of_any_prepared_dataset(finished):
    catalog, splits = finished.test_catalog, [finished.predictions(split) for split in SPLITS]
    clips = [finished.embeddings(split) for split in SPLITS]
    views = [{"centre alone": finished.embeddings(split, views=CENTRE)} for split in SPLITS]
    orders, official = class_orders(catalog.classes), official_test_lists(catalog.clips)
    found = conventions_of(splits, clips, orders=orders, official=official, views=views)
    assert {"clips scored", "candidates", "views", "class text"} <= set(found.table["aspect"])
    assert any("halves need" in words for words in found.left_out)  # three classes are too few to halve
    assert "conventions alone move top-1" in conventions_as_text(found)
    aspects = {"without transfer", "relatedness", "seen prototypes", "joint encoder"}
    assert aspects <= set(ablate_study(finished).table["aspect"])
