"""zsar_lab.data.frames: the right frames in the right rows, after kills, failures and reopening too."""

from __future__ import annotations

import dataclasses
import importlib
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numbered_videos import ONE, REPOSITORY, make_dataset, numbers_in
from PIL import Image

from zsar_lab.data import frames as frames_module
from zsar_lab.data.catalog import Catalog
from zsar_lab.data.datasets import catalog_dataset
from zsar_lab.data.frames import FrameStore, decoded_clips, make_frame_store
from zsar_lab.data.loader import scoring_batches
from zsar_lab.data.sampling import FrameSettings
from zsar_lab.data.video import READING_RULE, write_mp4
from zsar_lab.files import read_json, write_json

SETTINGS = FrameSettings(n_frames=6, fps=6.0, size_px=32)
JPEG = dataclasses.replace(SETTINGS, jpeg_quality=95)
FOUR = {"hop": {"a.mp4": 12, "b.mp4": 14}, "run": {"c.mp4": 16, "d.mp4": 18}}


@pytest.fixture(scope="module")
def catalog(tmp_path_factory) -> Catalog:
    """Twelve clips of 12 to 23 frames at 12 frames a second."""
    first = {"hop": 12, "run": 18}
    videos = {name: {f"{name} {n}.mp4": n for n in range(at, at + 6)} for name, at in first.items()}
    return catalog_dataset("folder", make_dataset(tmp_path_factory.mktemp("videos"), videos))


@pytest.fixture(scope="module")
def whole(catalog, tmp_path_factory) -> FrameStore:
    return make_frame_store(catalog, tmp_path_factory.mktemp("whole") / "store", SETTINGS)


@pytest.fixture(scope="module")
def whole_jpeg(catalog, tmp_path_factory) -> FrameStore:
    return make_frame_store(catalog, tmp_path_factory.mktemp("jpeg") / "store", JPEG)


def wanted_numbers(catalog: Catalog, clip_id: str) -> list[int]:
    """Of a video at 12 frames a second: what is on screen in the sixths of its middle second."""
    n_frames = catalog.usable.set_index("id").at[clip_id, "frames"]
    return [int((n_frames / 24 - 0.5 + (2 * k + 1) / 12) * 12 + 1e-6) for k in range(6)]


def copied(store: FrameStore, folder: Path) -> Path:
    for path in store.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_each_row_holds_the_frames_of_its_clip(catalog, whole):
    assert len(whole) == 12 and whole.frames.shape == (12, 6, 32, 32, 3) and whole.frames.dtype == np.uint8
    assert isinstance(whole.frames, np.memmap) and not whole.frames.flags.writeable
    assert whole.ids == catalog.usable["id"].tolist() and whole.labels == catalog.usable["class"].tolist()
    assert wanted_numbers(catalog, "hop/hop 12") == [1, 3, 5, 7, 9, 11]
    for row, clip_id in enumerate(whole.ids):
        assert numbers_in(whole.frames[row]) == wanted_numbers(catalog, clip_id)
    assert whole.excluded.empty and decoded_clips(catalog, whole).equals(catalog.clips)


def test_a_jpeg_store_shows_the_same_frames(catalog, whole, whole_jpeg):
    assert whole_jpeg.frames.shape == whole.frames.shape and whole_jpeg.frames.dtype == np.uint8
    assert whole_jpeg.ids == whole.ids and whole_jpeg.fingerprint != whole.fingerprint
    assert whole_jpeg.frames.nbytes < whole.frames.nbytes / 2
    for row, clip_id in enumerate(whole.ids):
        assert numbers_in(whole_jpeg.frames[row]) == wanted_numbers(catalog, clip_id)
        assert np.abs(whole_jpeg.frames[row].astype(int) - whole.frames[row]).max() < 25
    batch = next(scoring_batches(whole_jpeg.frames, np.array([3, 1]), 2)).numpy()
    assert np.array_equal(batch, np.stack([whole_jpeg.frames[3], whole_jpeg.frames[1]]))


def test_the_files_can_be_read_without_this_library(whole, whole_jpeg, catalog):
    assert np.array_equal(np.load(whole.folder / "frames.npy", mmap_mode="r"), whole.frames)
    assert np.load(whole.folder / "done.npy").tolist() == [1] * 12
    clips = pd.read_parquet(whole.folder / "clips.parquet")
    assert list(clips.columns) == ["id", "class", "status", "reason"] and clips["id"].tolist() == whole.ids
    about = read_json(whole.folder / "store.json")
    assert about["settings"] == dataclasses.asdict(SETTINGS) and about["complete"] is True
    assert (about["catalog_fingerprint"], about["fingerprint"]) == (catalog.fingerprint, whole.fingerprint)
    assert about["reading"] == ["pyav", READING_RULE] and whole.reading == ("pyav", READING_RULE)
    places = np.load(whole_jpeg.folder / "places.npy")
    content = (whole_jpeg.folder / "frames.jpegs").read_bytes()
    image = np.asarray(Image.open(io.BytesIO(content[places[2, 4] : places[2, 5]])))
    # Pillow's own decoder may round otherwise
    assert np.abs(image.astype(int) - whole_jpeg.frames[2][4]).max() <= 2


def test_clips_that_did_not_decode_are_marked_in_the_catalog(catalog, whole):
    reasons = {"hop/hop 13": "it is damaged", "hop/hop 12": "it took too long"}
    failed = pd.DataFrame(reasons.items(), columns=["id", "reason"])
    marked = decoded_clips(catalog, dataclasses.replace(whole, excluded=failed)).set_index("id")
    for clip_id, reason in reasons.items():
        assert marked.loc[clip_id, ["status", "reason"]].tolist() == ["undecodable", reason]
    assert (marked["status"] == "ok").sum() == 10 and (catalog.clips["status"] == "ok").all()


@pytest.mark.parametrize("settings", [SETTINGS, JPEG])
def test_clips_that_fail_are_excluded_and_leave_no_gap(tmp_path, settings):
    root = make_dataset(tmp_path / "videos", FOUR)
    catalog = catalog_dataset("folder", root, limits=ONE)
    (root / "hop" / "a.mp4").write_bytes(b"damaged since")
    (root / "run" / "c.mp4").unlink()
    store = make_frame_store(catalog, tmp_path / "store", settings, ONE)
    assert sorted(store.ids) == ["hop/b", "run/d"] and len(store.frames) == 2
    for clip_id, label, clip in zip(store.ids, store.labels, store.frames, strict=True):
        assert label == clip_id.split("/")[0] and numbers_in(clip) == wanted_numbers(catalog, clip_id)
    assert store.excluded["id"].tolist() == ["hop/a", "run/c"]
    assert "could not be decoded" in store.excluded["reason"][0]
    with pytest.raises(ValueError, match="first 'run/c' .*there is no such file"):
        store.rows(["run/c"])
    clips = pd.read_parquet(store.folder / "clips.parquet")
    assert clips["status"].tolist() == ["done", "done", "failed", "failed"]
    assert np.load(store.folder / "done.npy").tolist() == [1, 1, 2, 2]


def test_stores_of_an_earlier_rule_are_told_apart(whole, catalog, tmp_path):
    folder, about = copied(whole, tmp_path), read_json(whole.folder / "store.json")
    del about["reading"]
    write_json(folder / "store.json", about)
    assert FrameStore.open(folder).reading == ("decord", 1)
    write_json(folder / "store.json", about | {"complete": False})
    with pytest.raises(ValueError, match="make it again"):
        make_frame_store(catalog, folder, SETTINGS, ONE)


def test_both_readers_make_one_store(whole, catalog, tmp_path):
    by_decord = make_frame_store(catalog, tmp_path, SETTINGS, ONE, reader="decord")
    assert np.array_equal(by_decord.frames, whole.frames) and by_decord.reading == ("decord", READING_RULE)


def test_no_clip_that_can_be_decoded(catalog, tmp_path):
    gone = dataclasses.replace(catalog, root=tmp_path)
    with pytest.raises(ValueError, match="none of 12 clips .*no such file"):
        make_frame_store(gone, tmp_path / "store", SETTINGS, ONE)
    with pytest.raises(ValueError, match="was interrupted"):
        FrameStore.open(tmp_path / "store")


def test_a_clip_with_impossible_bounds_is_excluded(catalog, tmp_path):
    clips = catalog.clips.copy()
    clips.loc[0, ["start_s", "end_s"]] = 5.0, 4.0
    store = make_frame_store(dataclasses.replace(catalog, clips=clips), tmp_path, SETTINGS, ONE)
    assert store.excluded["reason"].tolist() == ["a clip must have 0 <= start_s < end_s, got 5.0 and 4.0"]
    assert len(store) == 11


def test_a_wide_video_is_cropped_at_its_centre(tmp_path):
    frames = np.full((12, 64, 128, 3), 250, dtype=np.uint8)
    frames[:, :, 36:92] = 100  # the centred square is columns 32 to 95, with a bright border of 4
    for name in ("a", "b"):
        write_mp4(tmp_path / "videos" / name / "x.mp4", frames, fps=12)
    catalog = catalog_dataset("folder", tmp_path / "videos", limits=ONE)
    store = make_frame_store(catalog, tmp_path / "store", FrameSettings(3, 3.0, 64), ONE)
    row = store.frames[0, 1, 32, :, 0].astype(int)
    assert row[0] > 220 and row[-1] > 220 and abs(row[10:-10] - 100).max() < 10


def test_rows(whole):
    assert whole.rows(["run/run 18", "hop/hop 13"]).tolist() == [6, 1]
    assert whole.rows([label == "run" for label in whole.labels]).tolist() == [6, 7, 8, 9, 10, 11]
    assert whole.rows(np.array(whole.labels) == "hop").tolist() == [0, 1, 2, 3, 4, 5]
    assert whole.rows([]).tolist() == []
    with pytest.raises(ValueError, match=r"\(12\), got 3"):
        whole.rows([True, False, True])
    with pytest.raises(ValueError, match="1 clips .* first 'x' .it is not in the catalog"):
        whole.rows(["run/run 18", "x"])


def test_a_finished_store_is_opened_without_work(whole, catalog):
    times = {path.name: path.stat().st_mtime_ns for path in whole.folder.iterdir()}
    again = make_frame_store(dataclasses.replace(catalog, root=Path("/nowhere")), whole.folder, SETTINGS)
    assert again.ids == whole.ids and np.array_equal(again.frames, whole.frames)
    assert {path.name: path.stat().st_mtime_ns for path in whole.folder.iterdir()} == times


def test_a_store_of_other_settings_or_clips_is_refused_and_kept(whole, catalog):
    fewer = dataclasses.replace(catalog, clips=catalog.clips.iloc[1:])
    larger = dataclasses.replace(SETTINGS, size_px=48)
    with pytest.raises(ValueError, match="has size_px 32, asked for is size_px 48"):
        make_frame_store(catalog, whole.folder, larger)
    with pytest.raises(ValueError, match="is of other clips"):
        make_frame_store(fewer, whole.folder, SETTINGS)
    assert FrameStore.open(whole.folder).fingerprint == whole.fingerprint


def test_files_of_no_store_are_not_written_over(catalog, tmp_path):
    (tmp_path / "frames.npy").write_text("mine")
    with pytest.raises(ValueError, match="frames.npy without store.json"):
        make_frame_store(catalog, tmp_path, SETTINGS)
    assert (tmp_path / "frames.npy").read_text() == "mine"


def test_open_refuses_a_store_whose_files_do_not_fit(whole, whole_jpeg, tmp_path):
    with pytest.raises(FileNotFoundError, match="store.json"):
        FrameStore.open(tmp_path)
    copied(whole, tmp_path)
    np.save(tmp_path / "frames.npy", whole.frames[1:])
    with pytest.raises(ValueError, match=r"uint8 \(12, 6, 32, 32, 3\), got uint8 \(11, 6, 32, 32, 3\)"):
        FrameStore.open(tmp_path)
    (tmp_path / "frames.npy").unlink()
    with pytest.raises(FileNotFoundError, match="lacks frames.npy"):
        FrameStore.open(tmp_path)
    content = (copied(whole_jpeg, tmp_path) / "frames.jpegs").read_bytes()
    (tmp_path / "frames.jpegs").write_bytes(content[:-1])
    with pytest.raises(ValueError, match=f"{len(content)} bytes .*, got {len(content) - 1}"):
        FrameStore.open(tmp_path)


def test_too_little_disk_space_is_said_before_anything_is_made(catalog, tmp_path):
    n_bytes = 12 * 10**7 * 4096**2 * 3
    with pytest.raises(OSError, match=f"{n_bytes} bytes .*, got [0-9]+ bytes free"):
        make_frame_store(catalog, tmp_path, FrameSettings(n_frames=10**7, size_px=4096))
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full is needed")
def test_a_full_disk_marks_no_clip_as_failed(catalog, whole_jpeg, tmp_path, monkeypatch):
    job = "def store_clip(task):\n    open('/dev/full', 'wb', buffering=0).write(b'x')\n"
    (tmp_path / "full_disk.py").write_text(job)
    monkeypatch.syspath_prepend(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(frames_module, "store_clip", importlib.import_module("full_disk").store_clip)
        with pytest.raises(OSError, match="it is full"):
            make_frame_store(catalog, tmp_path / "store", JPEG)
    assert not np.load(tmp_path / "store" / "done.npy").any()
    assert make_frame_store(catalog, tmp_path / "store", JPEG, ONE).ids == whole_jpeg.ids


# No main guard on purpose: workers must not run a caller's script again. It stops for good after five clips.
INTERRUPTED = """
import sys, time
from zsar_lab.data import frames
from zsar_lab.data.catalog import Catalog

run_tasks = frames.run_tasks

def five_then_wait(*arguments):
    for n, answer in enumerate(run_tasks(*arguments)):
        if n == 5:
            print("five", flush=True)
            for _ in range(600):  # a signal that comes just before one long sleep would not end it
                time.sleep(0.1)
        yield answer

frames.run_tasks = five_then_wait
settings = frames.FrameSettings(6, 6.0, 32, jpeg_quality=int(sys.argv[3]) or None)
frames.make_frame_store(Catalog.load(sys.argv[1]), sys.argv[2], settings)
"""


@pytest.mark.long
@pytest.mark.parametrize(("how", "quality"), [(signal.SIGKILL, 0), (signal.SIGINT, 0), (signal.SIGKILL, 95)])
def test_an_interrupted_store_goes_on_without_decoding_its_clips_again(
    catalog, whole, whole_jpeg, tmp_path, how, quality
):
    settings, whole = (JPEG, whole_jpeg) if quality else (SETTINGS, whole)
    catalog.save(tmp_path / "catalog")
    (tmp_path / "script.py").write_text(INTERRUPTED)
    store, script = tmp_path / "store", str(tmp_path / "script.py")
    command = [sys.executable, script, str(tmp_path / "catalog"), str(store), str(quality)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(command, **pipes, env=environment) as process:
        assert process.stdout.readline() == b"five\n"
        process.send_signal(how)
        assert process.wait(timeout=60) == -how
    done = np.load(store / "done.npy")
    assert (done == 1).sum() == 5 and (done == 0).sum() == 7

    # only the clips that were not done have a video now
    for path in catalog.usable["path"][done == 0]:
        (tmp_path / "videos" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "videos" / path).symlink_to(catalog.root / path)
    moved = dataclasses.replace(catalog, root=tmp_path / "videos")
    resumed = make_frame_store(moved, store, settings, ONE)
    assert resumed.ids == whole.ids and resumed.excluded.empty and resumed.fingerprint == whole.fingerprint
    assert all(np.array_equal(resumed.frames[row], whole.frames[row]) for row in range(len(whole)))
    for name in (() if quality else ("frames.npy",)) + ("done.npy", "clips.parquet", "store.json"):
        assert (store / name).read_bytes() == (whole.folder / name).read_bytes()


def test_a_store_killed_before_its_files_were_whole_is_made_again(catalog, whole, tmp_path):
    about = (whole.folder / "store.json").read_text()
    (tmp_path / "store.json").write_text(about.replace('"complete": true', '"complete": false'))
    (tmp_path / "frames.npy").write_bytes((whole.folder / "frames.npy").read_bytes()[:1000])
    assert np.array_equal(make_frame_store(catalog, tmp_path, SETTINGS, ONE).frames, whole.frames)
