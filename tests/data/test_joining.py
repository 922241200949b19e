"""Two prepared datasets as one: the rows of both catalogs, the frames of both stores."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numbered_videos import ONE, make_dataset, numbers_in

from zsar_lab.data.catalog import CLIP_COLUMNS, join_catalogs
from zsar_lab.data.frames import join_frames, make_frame_store
from zsar_lab.data.pixels import JpegFrames, StackedFrames
from zsar_lab.data.prepare import Prepared, Source, make_catalog, prepare
from zsar_lab.data.sampling import FrameSettings

SMALL = FrameSettings(n_frames=4, fps=4.0, size_px=24)


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> tuple[Prepared, Prepared]:
    """A raw store with a file that vanished after it was cataloged, and a JPEG store."""
    root = tmp_path_factory.mktemp("pair")
    make_dataset(root / "A", {"run": {f"a{n}.mp4": 12 + n for n in range(3)}, "hop": {"a.mp4": 20}})
    make_dataset(root / "B", {"run": {"b.mp4": 30}, "sit": {"b0.mp4": 31, "b1.mp4": 32}})
    (root / "A" / "classes.csv").write_text("name,family\nrun,legs\nhop,legs\n")
    (root / "B" / "classes.csv").write_text("name,label\nrun,running\nsit,sitting\n")
    (root / "B" / "sit" / "zero.mp4").write_bytes(b"")
    first = make_catalog(Source("folder", str(root / "A")), root / "out A", ONE)
    (root / "A" / "run" / "a1.mp4").unlink()
    train = Prepared(first, make_frame_store(first, root / "out A" / "frames", SMALL, ONE))
    jpeg = dataclasses.replace(SMALL, jpeg_quality=95)
    return train, prepare(Source("folder", str(root / "B")), root / "out B", jpeg, ONE)


def test_joined_catalogs_hold_the_rows_of_both(pair):
    train, test = (made.catalog for made in pair)
    joined = join_catalogs(train, test)
    assert list(joined.clips.columns) == CLIP_COLUMNS
    assert joined.clips["id"].tolist() == sorted([*train.clips["id"], *test.clips["id"]])
    assert joined.name == "A and B" and joined.root == Path("/")
    for row in joined.usable.to_dict("records"):
        part = train if row["id"] in set(train.clips["id"]) else test
        own = part.clips.set_index("id").loc[row["id"]]
        assert row["path"] == str(part.root / own["path"])
        assert (row["class"], row["frames"]) == (own["class"], own["frames"])
    # a class of both is there once, as the test catalog describes it
    assert joined.classes.to_dict("list") == {
        "name": ["hop", "run", "sit"],
        "label": ["", "running", "sitting"],
        "family": ["legs", "", ""],
    }
    assert train.fingerprint != joined.fingerprint == join_catalogs(train, test).fingerprint
    assert joined.clips.set_index("id").loc["sit/zero", "status"] == "unreadable"
    missing = dataclasses.replace(test, clips=test.clips.assign(path="", status="missing"))
    paths = join_catalogs(train, missing).clips.set_index("id").loc[test.clips["id"], "path"]
    assert set(paths) == {""}


def test_catalogs_that_cannot_be_joined_and_strays_of_one_name(pair):
    train, test = (made.catalog for made in pair)
    with pytest.raises(ValueError, match="got A for both"):
        join_catalogs(train, train)
    with pytest.raises(ValueError, match="4 are in both.* 'hop/a'"):
        join_catalogs(train, dataclasses.replace(train, name="other"))
    stray = train.clips.iloc[:1].assign(id="x/stray.mp4", status="not listed", reason="why", group="")
    both = [dataclasses.replace(made, clips=pd.concat([made.clips, stray])) for made in (train, test)]
    joined = join_catalogs(*both).clips
    assert {"A: x/stray.mp4", "B: x/stray.mp4"} <= set(joined["id"])
    assert len(joined) == len(train.clips) + len(test.clips) + 2


def test_joined_frames_are_the_rows_of_both_in_order(pair):
    train, test = (made.frames for made in pair)
    joined = join_frames(train, test)
    kinds = (joined.frames, StackedFrames), (test.frames, JpegFrames), (train.frames, np.memmap)
    assert all(isinstance(frames, kind) for frames, kind in kinds)
    assert joined.ids == [*train.ids, *test.ids] and joined.labels == [*train.labels, *test.labels]
    assert joined.frames.shape == (6, 4, 24, 24, 3) and joined.frames.dtype == np.uint8
    assert joined.frames.nbytes == train.frames.nbytes + test.frames.nbytes
    for row in range(6):
        expected = train.frames[row] if row < 3 else test.frames[row - 3]
        assert np.array_equal(joined.frames[row], expected)
    for row in (-1, 6, 100):
        with pytest.raises(IndexError, match=f"0..5, got {row}"):
            joined.frames[row]
    wanted = joined.rows(["sit/b1", "hop/a", "run/b"])
    assert [joined.ids[row] for row in wanted] == ["sit/b1", "hop/a", "run/b"]
    # 32, 20 and 30 frames at 12 a second: the middle second, in quarters
    middles = [[int((n / 24 - 0.5 + (2 * k + 1) / 8) * 12 + 1e-6) for k in range(4)] for n in (32, 20, 30)]
    assert [numbers_in(joined.frames[row]) for row in wanted] == middles
    assert joined.excluded["id"].tolist() == ["run/a1"]
    with pytest.raises(ValueError, match="'run/a1'"):
        joined.rows(["run/a1"])
    assert join_frames(test, train).fingerprint != joined.fingerprint == join_frames(train, test).fingerprint


def test_a_pickled_joined_store_is_small_and_opens_the_same_files(pair):
    joined = join_frames(pair[0].frames, pair[1].frames)
    pickled = pickle.dumps(joined)
    back = pickle.loads(pickled)
    assert len(pickled) < 2000 and (back.ids, back.fingerprint) == (joined.ids, joined.fingerprint)
    assert all(np.array_equal(back.frames[row], joined.frames[row]) for row in range(6))
    assert [part.folder for part in back.parts] == [part.folder for part in joined.parts]


@pytest.mark.parametrize(("field", "value"), [("n_frames", 5), ("fps", 2.0), ("size_px", 32)])
def test_stores_of_other_frames_are_not_joined(pair, field, value):
    settings = dataclasses.replace(SMALL, **{field: value})
    other = dataclasses.replace(pair[1].frames, settings=settings)
    with pytest.raises(ValueError, match=f"one {field} .*got {getattr(SMALL, field):g} and {value:g}"):
        join_frames(pair[0].frames, other)
