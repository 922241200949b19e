"""zsar_lab.data.frames: the right frames in the right rows, after kills, failures and reopening too."""

from __future__ import annotations

import dataclasses
import importlib
import io
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from test_catalog import make_dataset
from test_video import numbers_in, write_variable

from zsar_lab.data import frames as frames_module
from zsar_lab.data.catalog import CLIP_COLUMNS, Catalog
from zsar_lab.data.datasets import catalog_dataset
from zsar_lab.data.frames import FrameStore, decoded_clips, make_frame_store
from zsar_lab.data.loader import scoring_batches
from zsar_lab.data.sampling import FrameSettings, frame_indices, frame_indices_by_time
from zsar_lab.data.video import frame_times, write_mp4
from zsar_lab.data.workers import Limits
from zsar_lab.files import read_json

SETTINGS = FrameSettings(n_frames=6, fps=6.0, size_px=32)
JPEG = dataclasses.replace(SETTINGS, jpeg_quality=95)
ONE = Limits(workers=1)  # where their number is not what is looked at


def frame_indices_plain(start_s, end_s, n_video_frames, video_fps, settings):
    """The twin: for each instant, walk through all frames and keep the one with the nearest centre, the later of two."""
    span_s = min(end_s - start_s, settings.n_frames / settings.fps)
    chosen = []
    for k in range(settings.n_frames):
        instant_s = start_s + (end_s - start_s - span_s) / 2 + span_s * (2 * k + 1) / (2 * settings.n_frames)
        best, best_distance = 0, float("inf")
        for frame in range(n_video_frames):
            distance = abs((frame + 0.5) / video_fps - instant_s) * video_fps
            if distance <= best_distance + 2e-6:
                best, best_distance = frame, min(distance, best_distance)
        chosen.append(best)
    return chosen


def test_frame_indices_by_hand():
    settings = FrameSettings(n_frames=4, fps=2.0)
    # 2 s at the video's rate of 2: each frame once
    assert frame_indices(0, 2, 4, 2, settings).tolist() == [0, 1, 2, 3]
    # 4 s: the centred 2 s are seconds 1 to 3, instants 1.25 1.75 2.25 2.75, at 10 frames a second
    assert frame_indices(0, 4, 40, 10, settings).tolist() == [12, 17, 22, 27]
    # 0.5 s at 4 frames a second holds two frames: instants 0.0625 0.1875 0.3125 0.4375
    assert frame_indices(0, 0.5, 2, 4, settings).tolist() == [0, 0, 1, 1]
    # at twice the rate every instant is on the border of two frames: the later one, in spite of rounding
    assert frame_indices(0, 2, 48, 24, FrameSettings(n_frames=24, fps=12.0)).tolist() == list(range(1, 48, 2))
    # a clip inside a video, and one whose end lies past the video's end
    assert frame_indices(3, 5, 100, 10, settings).tolist() == [32, 37, 42, 47]
    assert frame_indices(1, 3, 20, 10, settings).tolist() == [12, 17, 19, 19]
    assert frame_indices(0, 1 / 30, 1, 30, settings).tolist() == [0, 0, 0, 0]


def test_frame_indices_equal_the_plain_loop():
    random = np.random.default_rng(0)
    for _ in range(300):
        video_fps = random.choice([5, 10, 12, 23.976, 24, 25, 29.97, 30, 60])
        n_video_frames = int(random.integers(1, 200))
        start_s, end_s = np.sort(random.uniform(0, n_video_frames / video_fps, 2))
        if random.random() < 0.5:
            start_s, end_s = 0.0, n_video_frames / video_fps
        settings = FrameSettings(int(random.integers(1, 33)), float(random.choice([4.0, 6, 12, 12.5, 25])))
        found = frame_indices(start_s, end_s, n_video_frames, video_fps, settings)
        assert found.dtype == np.int64
        assert found.tolist() == frame_indices_plain(start_s, end_s, n_video_frames, video_fps, settings)


def test_choosing_by_time_equals_choosing_by_number_on_an_even_grid():
    random = np.random.default_rng(1)
    for _ in range(200):
        fps, n_frames = float(random.choice([10, 12.5, 24, 25, 30])), int(random.integers(2, 200))
        start_s, end_s = np.sort(random.uniform(0, n_frames / fps, 2))
        settings = FrameSettings(int(random.integers(1, 33)), float(random.choice([4.0, 6, 12])))
        by_time = frame_indices_by_time(start_s, end_s, np.arange(n_frames) / fps, settings)
        assert (
            by_time.dtype == np.int64
            and by_time.tolist() == frame_indices(start_s, end_s, n_frames, fps, settings).tolist()
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1.0, 1.0, 10, 5.0), "a clip must have 0 <= start_s < end_s, got 1.0 and 1.0"),
        ((-1.0, 1.0, 10, 5.0), "a clip must have 0 <= start_s < end_s, got -1.0"),
        ((0.0, float("nan"), 10, 5.0), "a clip must have 0 <= start_s < end_s, got 0.0 and nan"),
        ((0.0, 1.0, 0, 5.0), "must have one frame or more at a rate above 0, got 0 at 5.0"),
        ((0.0, 1.0, 10, 0.0), "must have one frame or more at a rate above 0, got 10 at 0.0"),
        ((2.0, 3.0, 10, 5.0), "must start before its video ends at 2 s, got start_s 2.0"),
    ],
)
def test_frame_indices_refuse(arguments, message):
    with pytest.raises(ValueError, match=message):
        frame_indices(*arguments, FrameSettings())


@pytest.mark.parametrize(
    ("field", "value"), [("n_frames", 0), ("size_px", 1.5), ("fps", 0.0), ("fps", float("inf"))]
)
def test_frame_settings_refuse(field, value):
    with pytest.raises(ValueError, match=f"{field} must be .*, got {value}"):
        FrameSettings(**{field: value})


@pytest.fixture(scope="module")
def catalog(tmp_path_factory) -> Catalog:
    """Twelve clips of 12 to 23 frames at 12 frames a second."""
    videos = {
        name: {f"{name} {n}.mp4": n for n in range(first, first + 6)}
        for name, first in (("hop", 12), ("run", 18))
    }
    return catalog_dataset("folder", make_dataset(tmp_path_factory.mktemp("videos"), videos))


@pytest.fixture(scope="module")
def whole(catalog, tmp_path_factory) -> FrameStore:
    return make_frame_store(catalog, tmp_path_factory.mktemp("whole") / "store", SETTINGS)


@pytest.fixture(scope="module")
def whole_jpeg(catalog, tmp_path_factory) -> FrameStore:
    return make_frame_store(catalog, tmp_path_factory.mktemp("jpeg") / "store", JPEG)


def test_a_jpeg_store_shows_the_same_frames(catalog, whole, whole_jpeg):
    assert (
        whole_jpeg.frames.shape == whole.frames.shape
        and whole_jpeg.frames.dtype == np.uint8
        and len(whole_jpeg) == 12
    )
    assert whole_jpeg.ids == whole.ids and whole_jpeg.fingerprint != whole.fingerprint
    assert whole_jpeg.frames.nbytes < whole.frames.nbytes / 2
    for row, clip_id in enumerate(whole.ids):
        assert numbers_in(whole_jpeg.frames[row]) == wanted_numbers(catalog, clip_id)
        assert np.abs(whole_jpeg.frames[row].astype(int) - whole.frames[row]).max() < 25
    assert FrameStore.open(whole_jpeg.folder).ids == whole_jpeg.ids
    batch = next(scoring_batches(whole_jpeg.frames, np.array([3, 1]), 2)).numpy()
    assert np.array_equal(batch, np.stack([whole_jpeg.frames[3], whole_jpeg.frames[1]]))


def test_the_images_of_a_jpeg_store_open_without_this_library(whole_jpeg):
    places, content = (
        np.load(whole_jpeg.folder / "places.npy"),
        (whole_jpeg.folder / "frames.jpegs").read_bytes(),
    )
    image = np.asarray(Image.open(io.BytesIO(content[places[2, 4] : places[2, 5]])))
    assert (
        np.abs(image.astype(int) - whole_jpeg.frames[2][4]).max() <= 2
    )  # Pillow's own decoder may round otherwise


def test_clips_that_did_not_decode_are_marked_in_the_catalog(catalog, whole):
    assert decoded_clips(catalog, whole).equals(catalog.clips)
    failed = pd.DataFrame(
        {"id": ["hop/hop 13", "hop/hop 12"], "reason": ["it is damaged", "it took too long"]}
    )
    marked = decoded_clips(catalog, dataclasses.replace(whole, excluded=failed)).set_index("id")
    assert marked.loc["hop/hop 12", ["status", "reason"]].tolist() == ["undecodable", "it took too long"]
    assert marked.loc["hop/hop 13", ["status", "reason"]].tolist() == ["undecodable", "it is damaged"]
    assert (marked["status"] == "ok").sum() == 10 and (catalog.clips["status"] == "ok").all()


def test_failed_clips_leave_no_gap_in_a_jpeg_store(tmp_path):
    root = make_dataset(
        tmp_path / "videos", {"hop": {"a.mp4": 12, "b.mp4": 14}, "run": {"c.mp4": 16, "d.mp4": 18}}
    )
    catalog = catalog_dataset("folder", root, limits=ONE)
    (root / "hop" / "a.mp4").unlink()
    store = make_frame_store(catalog, tmp_path / "store", JPEG, ONE)
    assert sorted(store.ids) == ["hop/b", "run/c", "run/d"] and store.excluded["id"].tolist() == ["hop/a"]
    for row, clip_id in enumerate(store.ids):
        assert numbers_in(store.frames[row]) == wanted_numbers(catalog, clip_id)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full is needed")
def test_a_full_disk_marks_no_clip_as_failed(catalog, whole_jpeg, tmp_path, monkeypatch):
    (tmp_path / "full_disk.py").write_text(
        "def store_clip(task):\n    open('/dev/full', 'wb', buffering=0).write(b'x')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(frames_module, "store_clip", importlib.import_module("full_disk").store_clip)
        with pytest.raises(OSError, match="the disk must have room .* free some and run again to go on"):
            make_frame_store(catalog, tmp_path / "store", JPEG)
    assert not np.load(tmp_path / "store" / "done.npy").any()
    assert make_frame_store(catalog, tmp_path / "store", JPEG, ONE).ids == whole_jpeg.ids


def test_a_jpeg_file_that_lost_its_end_is_refused(whole_jpeg, tmp_path):
    for path in whole_jpeg.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    content = (tmp_path / "frames.jpegs").read_bytes()
    (tmp_path / "frames.jpegs").write_bytes(content[:-1])
    with pytest.raises(
        ValueError,
        match=f"frames.jpegs' must hold {len(content)} bytes or more, got {len(content) - 1}; delete the store",
    ):
        FrameStore.open(tmp_path)
    with pytest.raises(
        ValueError,
        match="the frame store in .* has jpeg_quality 95, asked for is jpeg_quality None; ask for what is there",
    ):
        make_frame_store(
            Catalog("x", tmp_path, pd.DataFrame(columns=CLIP_COLUMNS), pd.DataFrame({"name": []})),
            tmp_path,
            SETTINGS,
        )


def test_a_variable_frame_rate_is_read_by_its_time_stamps(tmp_path):
    path = write_variable(tmp_path / "videos" / "hop" / "a.mp4")
    write_variable(tmp_path / "videos" / "run" / "b.mp4")
    catalog = catalog_dataset("folder", tmp_path / "videos", limits=ONE)
    assert catalog.usable["variable_rate"].tolist() == [True, True]
    # frames 0..9 last 0.1 s each, frames 10..19 last 0.4 s: 5 s in all, of which the centred 3 s are taken at
    # 2 a second
    assert frame_times(path)[[0, 9, 10, 19]] == pytest.approx([0.0, 0.9, 1.0, 4.6], abs=1e-3)
    store = make_frame_store(catalog, tmp_path / "store", FrameSettings(n_frames=6, fps=2.0, size_px=32), ONE)
    end_s = catalog.usable["end_s"][0]
    assert end_s == pytest.approx(5.0, abs=1e-3)
    instants = (5 - 3) / 2 + 0.25 + 0.5 * np.arange(6)
    by_hand = [int(t / 0.1) if t < 1 else 10 + int((t - 1) / 0.4) for t in instants]
    assert numbers_in(store.frames[0]) == by_hand


def wanted_numbers(catalog: Catalog, clip_id: str) -> list[int]:
    clip = catalog.usable.set_index("id").loc[clip_id]
    return frame_indices_plain(0.0, clip["frames"] / 12, clip["frames"], 12.0, SETTINGS)


def test_each_row_holds_the_frames_of_its_clip(catalog, whole):
    assert len(whole) == 12 and whole.frames.shape == (12, 6, 32, 32, 3) and whole.frames.dtype == np.uint8
    assert isinstance(whole.frames, np.memmap) and not whole.frames.flags.writeable
    assert whole.ids == catalog.usable["id"].tolist() and whole.labels == catalog.usable["class"].tolist()
    assert wanted_numbers(catalog, "hop/hop 12") == [1, 3, 5, 7, 9, 11]
    for row, clip_id in enumerate(whole.ids):
        assert numbers_in(whole.frames[row]) == wanted_numbers(catalog, clip_id)
    assert whole.excluded.empty


def test_rows(whole):
    assert whole.rows(["run/run 18", "hop/hop 13"]).tolist() == [6, 1]
    assert whole.rows([label == "run" for label in whole.labels]).tolist() == [6, 7, 8, 9, 10, 11]
    assert whole.rows(np.array(whole.labels) == "hop").tolist() == [0, 1, 2, 3, 4, 5]
    assert whole.rows([]).tolist() == []
    with pytest.raises(ValueError, match="a mask must have one value a clip .12., got 3"):
        whole.rows([True, False, True])
    with pytest.raises(
        ValueError,
        match="clip ids must be in the frame store, got 1 that are not, first 'x' .it is not in the catalog",
    ):
        whole.rows(["run/run 18", "x"])


def test_the_files_can_be_read_without_this_library(whole, catalog):
    assert np.array_equal(np.load(whole.folder / "frames.npy", mmap_mode="r"), whole.frames)
    assert np.load(whole.folder / "done.npy").tolist() == [1] * 12
    clips = pd.read_parquet(whole.folder / "clips.parquet")
    assert list(clips.columns) == ["id", "class", "status", "reason"] and clips["id"].tolist() == whole.ids
    about = read_json(whole.folder / "store.json")
    assert about["settings"] == dataclasses.asdict(SETTINGS) and about["complete"] is True
    assert (about["catalog_fingerprint"], about["fingerprint"]) == (catalog.fingerprint, whole.fingerprint)


def test_a_finished_store_is_opened_without_work(whole, catalog):
    times = {path.name: path.stat().st_mtime_ns for path in whole.folder.iterdir()}
    again = make_frame_store(dataclasses.replace(catalog, root=Path("/nowhere")), whole.folder, SETTINGS)
    assert again.ids == whole.ids and np.array_equal(again.frames, whole.frames)
    assert {path.name: path.stat().st_mtime_ns for path in whole.folder.iterdir()} == times


def test_a_pickled_store_is_small_and_opens_the_same_files(whole):
    pickled = pickle.dumps(whole)
    assert len(pickled) < 1000 and np.array_equal(pickle.loads(pickled).frames, whole.frames)


def test_a_store_of_other_settings_or_clips_is_refused_and_kept(whole, catalog):
    other_catalog = dataclasses.replace(catalog, clips=catalog.clips.iloc[1:])
    for clips, settings, message in (
        (
            catalog,
            dataclasses.replace(SETTINGS, size_px=48),
            "has size_px 32, asked for is size_px 48; ask for what is there, or choose another folder",
        ),
        (
            other_catalog,
            SETTINGS,
            "must be of the catalog's clips, but it is of others; delete it, or choose another folder",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            make_frame_store(clips, whole.folder, settings)
    assert FrameStore.open(whole.folder).fingerprint == whole.fingerprint


def test_files_of_no_store_are_not_written_over(catalog, tmp_path):
    (tmp_path / "frames.npy").write_text("mine")
    with pytest.raises(
        ValueError, match="must be empty or hold a frame store, but it holds frames.npy without store.json"
    ):
        make_frame_store(catalog, tmp_path, SETTINGS)
    assert (tmp_path / "frames.npy").read_text() == "mine"


def test_a_clip_that_fails_is_excluded_and_the_rest_stays_aligned(tmp_path):
    root = make_dataset(
        tmp_path / "videos", {"hop": {"a.mp4": 12, "b.mp4": 14}, "run": {"c.mp4": 16, "d.mp4": 18}}
    )
    catalog = catalog_dataset("folder", root, limits=ONE)
    (root / "hop" / "a.mp4").write_bytes(b"damaged since")
    (root / "run" / "c.mp4").unlink()
    store = make_frame_store(catalog, tmp_path / "store", SETTINGS, ONE)
    assert sorted(store.ids) == ["hop/b", "run/d"] and len(store.frames) == 2
    for clip_id, label, frames in zip(store.ids, store.labels, store.frames, strict=True):
        assert label == clip_id.split("/")[0] and numbers_in(frames) == wanted_numbers(catalog, clip_id)
    assert store.excluded["id"].tolist() == ["hop/a", "run/c"]
    assert (
        "could not be decoded" in store.excluded["reason"][0]
        and "there is no such file" in store.excluded["reason"][1]
    )
    with pytest.raises(ValueError, match="first 'run/c' .*there is no such file.*; see store.excluded"):
        store.rows(["run/c"])
    clips = pd.read_parquet(store.folder / "clips.parquet")
    assert clips["status"].tolist() == ["done", "done", "failed", "failed"]
    assert np.load(store.folder / "done.npy").tolist() == [1, 1, 2, 2]


def test_no_clip_that_can_be_decoded(catalog, tmp_path):
    with pytest.raises(
        ValueError,
        match="at least one of 12 clips must be decodable, got none; the first reason: .*no such file",
    ):
        make_frame_store(dataclasses.replace(catalog, root=tmp_path), tmp_path / "store", SETTINGS, ONE)
    with pytest.raises(
        ValueError, match="must be finished, but it was interrupted; call make_frame_store again to go on"
    ):
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
    store = make_frame_store(
        catalog_dataset("folder", tmp_path / "videos", limits=ONE),
        tmp_path / "store",
        FrameSettings(3, 3.0, 64),
        ONE,
    )
    row = store.frames[0, 1, 32, :, 0].astype(int)
    assert row[0] > 220 and row[-1] > 220 and abs(row[10:-10] - 100).max() < 10


def test_too_little_disk_space_is_said_before_anything_is_made(catalog, tmp_path):
    settings = FrameSettings(n_frames=10**7, size_px=4096)
    with pytest.raises(
        OSError,
        match=f"needs {12 * 10**7 * 4096**2 * 3} bytes of disk space in .*, got [0-9]+ bytes free; free some",
    ):
        make_frame_store(catalog, tmp_path, settings)
    assert not list(tmp_path.iterdir())


def test_an_output_folder_that_cannot_be_written(catalog, tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file" / "store", Path("/proc/zsar_lab_store")):
        with pytest.raises(
            PermissionError,
            match=f"the output folder must be writable, got '{folder}' .*; choose another folder",
        ):
            make_frame_store(catalog, folder, SETTINGS)


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
@pytest.mark.parametrize(
    ("how", "quality"),
    [(signal.SIGKILL, 0), (signal.SIGINT, 0), (signal.SIGKILL, 95)],
    ids=["SIGKILL", "Ctrl-C", "SIGKILL, JPEG"],
)
def test_an_interrupted_store_goes_on_without_decoding_its_clips_again(
    catalog, whole, whole_jpeg, tmp_path, how, quality
):
    settings, whole = (JPEG, whole_jpeg) if quality else (SETTINGS, whole)
    catalog.save(tmp_path / "catalog")
    script = tmp_path / "script.py"
    script.write_text(INTERRUPTED)
    command = [sys.executable, str(script), str(tmp_path / "catalog"), str(tmp_path / "store"), str(quality)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        assert process.stdout.readline() == b"five\n"
        process.send_signal(how)
        assert process.wait(timeout=60) == -how
    with pytest.raises(ValueError, match="must be finished, but it was interrupted"):
        FrameStore.open(tmp_path / "store")
    done = np.load(tmp_path / "store" / "done.npy")
    assert (done == 1).sum() == 5 and (done == 0).sum() == 7

    # only the clips that were not done have a video now
    unfinished = catalog.usable[done == 0]
    for path in unfinished["path"]:
        (tmp_path / "videos" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "videos" / path).symlink_to(catalog.root / path)
    resumed = make_frame_store(
        dataclasses.replace(catalog, root=tmp_path / "videos"), tmp_path / "store", settings, ONE
    )
    assert resumed.ids == whole.ids and resumed.excluded.empty and resumed.fingerprint == whole.fingerprint
    assert all(np.array_equal(resumed.frames[row], whole.frames[row]) for row in range(len(whole)))
    for name in (() if quality else ("frames.npy",)) + ("done.npy", "clips.parquet", "store.json"):
        assert (resumed.folder / name).read_bytes() == (whole.folder / name).read_bytes()


def test_a_store_killed_before_its_files_were_whole_is_made_again(catalog, whole, tmp_path):
    for name in ("frames.npy", "store.json"):
        content = (whole.folder / name).read_bytes()
        (tmp_path / name).write_bytes(
            content.replace(b'"complete": true', b'"complete": false')
            if name == "store.json"
            else content[:1000]
        )
    store = make_frame_store(catalog, tmp_path, SETTINGS, ONE)
    assert np.array_equal(store.frames, whole.frames)


def test_open_refuses_a_store_whose_files_do_not_fit(whole, tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file '.*store.json'"):
        FrameStore.open(tmp_path)
    for name in ("store.json", "clips.parquet"):
        (tmp_path / name).write_bytes((whole.folder / name).read_bytes())
    with pytest.raises(
        FileNotFoundError,
        match="must hold frames.npy and clips.parquet, but frames.npy is missing; delete it and make the store again",
    ):
        FrameStore.open(tmp_path)
    np.save(tmp_path / "frames.npy", whole.frames[1:])
    with pytest.raises(
        ValueError,
        match=r"must be uint8 \(12, 6, 32, 32, 3\), got uint8 \(11, 6, 32, 32, 3\); delete the store",
    ):
        FrameStore.open(tmp_path)
