"""zsar_lab.data.loader: every clip once, an order that can be taken up anywhere, and views that depend on their seed only."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from zsar_lab.data.loader import (
    ViewSettings,
    centre_view,
    motion_channels,
    scoring_batches,
    steps_per_epoch,
    training_batches,
    training_view,
)

RANDOM = np.random.default_rng(0)
FRAMES = RANDOM.integers(0, 256, (12, 9, 20, 20, 3), dtype=np.uint8)
ROWS = np.array([1, 2, 3, 5, 7, 8, 11])
TARGETS = ROWS * 10
VIEW = ViewSettings(n_frames=4, size_px=16)


def rows_of(seed: int, epoch: int, batch_size: int = 3, first_step: int = 0) -> list[list[int]]:
    return [batch.row_B.tolist() for batch in training_batches(FRAMES, ROWS, TARGETS, batch_size, seed, epoch, first_step)]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_an_epoch_holds_every_clip_once(batch_size):
    batches = list(training_batches(FRAMES, ROWS, TARGETS, batch_size, seed=4, epoch=2))
    assert sorted(row for batch in batches for row in batch.row_B.tolist()) == ROWS.tolist()
    assert len(batches) == steps_per_epoch(len(ROWS), batch_size)
    assert all(len(batch.row_B) == batch_size for batch in batches[:-1])
    for batch in batches:
        assert batch.frames_BNHWC.dtype == torch.uint8
        np.testing.assert_array_equal(batch.frames_BNHWC.numpy(), FRAMES[batch.row_B.numpy()])
        assert batch.target_B.tolist() == (batch.row_B * 10).tolist()


def test_steps_per_epoch_rounds_up():
    assert [steps_per_epoch(n, 3) for n in (1, 3, 4, 6, 7)] == [1, 1, 2, 2, 3]


def test_the_order_is_of_seed_and_epoch():
    np.random.seed(1)
    torch.manual_seed(1)
    first = rows_of(seed=0, epoch=0)
    assert rows_of(seed=0, epoch=0) == first
    others = [rows_of(seed=0, epoch=1), rows_of(seed=1, epoch=0), rows_of(seed=1, epoch=1)]
    assert len({str(order) for order in [first, *others]}) == 4


def test_first_step_skips_exactly_the_steps_taken():
    # 7 clips in batches of 3: three steps an epoch, so epoch 2 holds the steps 6, 7 and 8
    whole = list(training_batches(FRAMES, ROWS, TARGETS, 3, seed=0, epoch=2))
    assert [batch.step for batch in whole] == [6, 7, 8]
    for first_step, left in ((0, 3), (6, 3), (7, 2), (8, 1), (9, 0)):
        rest = list(training_batches(FRAMES, ROWS, TARGETS, 3, 0, 2, first_step))
        assert [b.step for b in rest] == [6, 7, 8][3 - left :]
        assert [b.row_B.tolist() for b in rest] == [b.row_B.tolist() for b in whole[3 - left :]]


def test_skipped_clips_are_not_read():
    class Counting:
        def __init__(self):
            self.read = []

        def __getitem__(self, row):
            self.read.append(int(row))
            return FRAMES[row]

    counting = Counting()
    (last,) = training_batches(counting, ROWS, TARGETS, 3, seed=0, epoch=0, first_step=2)
    assert counting.read == last.row_B.tolist()


def test_a_batch_size_below_one_is_refused():
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        next(training_batches(FRAMES, ROWS, TARGETS, 0, seed=0, epoch=0))


def test_scoring_batches_keep_the_order_and_the_last_batch():
    batches = list(scoring_batches(FRAMES, ROWS, 3))
    assert [len(batch) for batch in batches] == [3, 3, 1]
    np.testing.assert_array_equal(torch.cat(batches).numpy(), FRAMES[ROWS])


def test_views_have_the_size_asked_for():
    frames = torch.from_numpy(FRAMES[:3])
    for settings in (VIEW, ViewSettings(n_frames=9, size_px=24), ViewSettings(n_frames=1, size_px=8)):
        for view in (centre_view(frames, settings), training_view(frames, settings, generator())):
            assert view.shape == (3, settings.n_frames, 3, settings.size_px, settings.size_px)
            assert view.dtype == torch.float32 and torch.isfinite(view).all()
    centre = centre_view(frames, VIEW)
    assert centre[:, :, 1].min() >= -1 and centre[:, :, 1].max() <= 1
    assert centre[:, :, [0, 2]].min() >= 0 and centre[:, :, [0, 2]].max() <= 2


def test_a_training_view_depends_on_its_generator_only():
    frames = torch.from_numpy(FRAMES[:3])
    torch.manual_seed(0)
    first = training_view(frames, VIEW, generator(5))
    torch.manual_seed(1)
    state = torch.get_rng_state()
    assert torch.equal(training_view(frames, VIEW, generator(5)), first)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.allclose(training_view(frames, VIEW, generator(6)), first)
    same = training_view(frames[:1].expand(3, -1, -1, -1, -1), VIEW, generator(5))
    assert not torch.allclose(same[0], same[1])  # each clip of a batch gets a view of its own


def test_a_view_does_not_change_the_frames():
    frames = torch.from_numpy(FRAMES[:2].copy())
    training_view(frames, VIEW, generator())
    centre_view(frames, VIEW, mirrored=True)
    np.testing.assert_array_equal(frames.numpy(), FRAMES[:2])


@pytest.mark.parametrize("size_px", [16, 15])
def test_the_mirrored_view_is_the_plain_view_flipped(size_px):
    frames = torch.from_numpy(FRAMES[:2])
    settings = ViewSettings(n_frames=4, size_px=size_px)
    plain, mirrored = centre_view(frames, settings), centre_view(frames, settings, mirrored=True)
    torch.testing.assert_close(mirrored, plain.flip(-1), atol=1e-4, rtol=0)
    torch.testing.assert_close(centre_view(frames.flip(3), settings), mirrored, atol=1e-4, rtol=0)
    assert not torch.allclose(mirrored, plain, atol=1e-2)


def test_motion_channels_equal_the_plain_loop():
    grey = torch.rand(2, 5, 3, 4, generator=generator())
    found = motion_channels(grey)
    assert found.shape == (2, 5, 3, 3, 4)
    for clip in range(2):
        for t in range(5):
            before = grey[clip, t - 1] if t > 0 else grey[clip, t]
            after = grey[clip, t + 1] if t < 4 else grey[clip, t]
            expected = [2 * (grey[clip, t] - before).abs(), 2 * grey[clip, t] - 1, 2 * (after - grey[clip, t]).abs()]
            torch.testing.assert_close(found[clip, t], torch.stack(expected))


def test_a_static_clip_has_no_motion():
    still = torch.from_numpy(FRAMES[:2, :1].repeat(9, axis=1))
    for view in (centre_view(still, VIEW), training_view(still, VIEW, generator())):
        assert view[:, :, [0, 2]].abs().max() < 1e-6
        assert view[:, :, 1].std() > 0.01


def test_a_uniform_clip_keeps_its_grey():
    # 51 / 255 = 0.2 grey, shown as 2 * 0.2 - 1
    frames = torch.full((1, 9, 20, 20, 3), 51, dtype=torch.uint8)
    torch.testing.assert_close(centre_view(frames, VIEW)[:, :, 1], torch.full((1, 4, 16, 16), -0.6))
