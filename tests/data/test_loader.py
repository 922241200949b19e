"""zsar_lab.data.loader: every clip once, an order to take up anywhere, views that depend on a seed."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from zsar_lab.data.loader import (
    RGB_MEAN,
    RGB_STD,
    ViewSettings,
    centre_view,
    motion_channels,
    scoring_batches,
    share_of,
    steps_per_epoch,
    training_batches,
    training_view,
)

FRAMES = np.random.default_rng(0).integers(0, 256, (12, 9, 20, 20, 3), dtype=np.uint8)
ROWS = np.array([1, 2, 3, 5, 7, 8, 11])
TARGETS = ROWS * 10
VIEW = ViewSettings(n_frames=4, size_px=16)
RGB = ViewSettings(n_frames=4, size_px=16, channels="rgb")
SUMS = {
    "motion": 993.032609,
    "centre motion": 714.262008,
    "rgb": 1929.827368,
    "centre rgb": 2646.881743,
}  # of seeded views, at the start of the rebuild
both_channels = pytest.mark.parametrize("settings", [VIEW, RGB])


class Counting:
    """Frames that note which rows are read, and fail at one of them."""

    def __init__(self, broken: int | None = None) -> None:
        self.read, self.broken = [], broken

    def __getitem__(self, row):
        self.read.append(int(row))
        if row == self.broken:
            raise OSError("the disk is gone")
        return FRAMES[row]


def batches(*arguments, frames=FRAMES, **more) -> list:
    return list(training_batches(frames, ROWS, TARGETS, *arguments, **more))


def rows_of(seed: int, epoch: int, batch_size: int = 3) -> list[list[int]]:
    return [batch.row_B.tolist() for batch in batches(batch_size, seed, epoch)]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("batch_size", "n_steps"), [(1, 7), (3, 3), (6, 2), (7, 1), (100, 1)])
def test_an_epoch_holds_every_clip_once(batch_size, n_steps):
    found = batches(batch_size, seed=4, epoch=2)
    assert sorted(row for batch in found for row in batch.row_B.tolist()) == ROWS.tolist()
    assert len(found) == steps_per_epoch(len(ROWS), batch_size) == n_steps
    assert all(len(batch.row_B) == batch_size for batch in found[:-1])
    for batch in found:
        assert batch.frames_BNHWC.dtype == torch.uint8
        np.testing.assert_array_equal(batch.frames_BNHWC.numpy(), FRAMES[batch.row_B.numpy()])
        assert batch.target_B.tolist() == (batch.row_B * 10).tolist()


def test_the_order_is_of_seed_and_epoch():
    torch.manual_seed(1)
    order = np.random.default_rng([0, 0]).permutation(7)  # as documented, and so for good
    assert rows_of(0, 0) == [ROWS[order[at : at + 3]].tolist() for at in (0, 3, 6)] == rows_of(0, 0)
    assert len({str(rows_of(seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}) == 4


def test_first_step_skips_exactly_the_steps_taken_without_reading_them():
    # 7 clips in batches of 3: three steps an epoch, so epoch 2 holds the steps 6, 7 and 8
    whole = batches(3, 0, 2)
    for first_step, left in ((0, 3), (6, 3), (7, 2), (8, 1), (9, 0)):
        counting = Counting()
        rest = batches(3, 0, 2, first_step, frames=counting)
        assert [batch.step for batch in rest] == [6, 7, 8][3 - left :]
        expected = [batch.row_B.tolist() for batch in whole[3 - left :]]
        assert [batch.row_B.tolist() for batch in rest] == expected and counting.read == sum(expected, [])


@pytest.mark.parametrize("num_workers", [1, 2, 5])
def test_reading_ahead_gives_the_same_batches(num_workers):
    for plain, ahead in zip(batches(2, 3, 1, 5), batches(2, 3, 1, 5, num_workers=num_workers), strict=True):
        assert all(torch.equal(one, other) for one, other in zip(plain[:3], ahead[:3], strict=True))
        assert plain[3:] == ahead[3:]
    for workers in (0, num_workers):
        found = list(scoring_batches(FRAMES, ROWS, 3, workers))
        assert [len(batch) for batch in found] == [3, 3, 1]
        np.testing.assert_array_equal(torch.cat(found).numpy(), FRAMES[ROWS])


def test_as_many_batches_are_read_ahead_as_there_are_workers_and_no_more():
    counting = Counting()
    found = training_batches(counting, ROWS, TARGETS, 1, 0, 0, num_workers=2)
    first = next(found)
    found.close()  # waits for those under way
    assert first.row_B.item() in counting.read and len(counting.read) <= 3
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("reader")]


def test_a_failure_while_reading_ahead_is_raised_where_the_batch_is_asked_for():
    order = [row for (row,) in rows_of(0, 0, 1)]
    found = training_batches(Counting(broken=11), ROWS, TARGETS, 1, 0, 0, num_workers=2)
    good = order[: order.index(11)]
    assert [next(found).row_B.item() for _ in good] == good
    with pytest.raises(OSError, match="the disk is gone"):
        next(found)


def test_numbers_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="num_workers .* got -1"):
        batches(2, 0, 0, num_workers=-1)
    with pytest.raises(ValueError, match="batch_size .* got 0"):
        batches(0, 0, 0)
    for view in (centre_view, lambda *arguments: training_view(*arguments, generator())):
        with pytest.raises(ValueError, match="got 'flow'"):
            view(torch.from_numpy(FRAMES[:1]), ViewSettings(channels="flow"))


def test_shares_of_a_step_are_all_of_it_in_order():
    for total in range(1, 9):
        for ranks in range(1, 6):
            shares = [share_of(total, rank, ranks) for rank in range(ranks)]
            assert [clip for share in shares for clip in range(share.first, share.last)] == list(range(total))
            sizes = [share.last - share.first for share in shares]
            assert max(sizes) - min(sizes) <= 1 and sizes[0] == -(-total // ranks)
            for share, size in zip(shares, sizes, strict=True):
                assert share.rows == (slice(share.first, share.last) if size else slice(0, 1))
    assert [tuple(share_of(7, rank, 3)) for rank in range(3)] == [(0, 3, 7), (3, 5, 7), (5, 7, 7)]


def test_ranks_read_their_shares_of_the_same_steps():
    whole, *parts = batches(3, 2, 1, 4), *(batches(3, 2, 1, 4, rank, 2) for rank in range(2))
    for batch, *shares in zip(whole, *parts, strict=True):
        own = [part.row_B.tolist() for part in shares if part.share.last > part.share.first]
        assert sum(own, []) == batch.row_B.tolist() and {part.step for part in shares} == {batch.step}
    assert parts[1][-1].share == (1, 1, 1)  # the last of 7 clips in steps of 3 is the first rank's


@both_channels
def test_views_of_a_share_are_those_of_the_whole_step(settings):
    frames = torch.from_numpy(FRAMES[:5])
    whole = training_view(frames, settings, generator(4))
    for rank in range(3):
        share = share_of(5, rank, 3)
        part = training_view(frames[share.rows], settings, generator(4), share)
        torch.testing.assert_close(part, whole[share.rows])


def test_views_have_the_size_asked_for():
    frames = torch.from_numpy(FRAMES[:3])
    for settings in (VIEW, RGB, ViewSettings(n_frames=9, size_px=24), ViewSettings(n_frames=1, size_px=8)):
        for view in (centre_view(frames, settings), training_view(frames, settings, generator())):
            assert view.shape == (3, settings.n_frames, 3, settings.size_px, settings.size_px)
            assert view.dtype == torch.float32 and torch.isfinite(view).all()
    centre = centre_view(frames, VIEW)
    assert centre[:, :, 1].min() >= -1 and centre[:, :, 1].max() <= 1
    assert centre[:, :, [0, 2]].min() >= 0 and centre[:, :, [0, 2]].max() <= 2


@both_channels
def test_a_training_view_depends_on_its_generator_only_and_changes_no_frame(settings):
    frames = torch.from_numpy(FRAMES[:3].copy())
    torch.manual_seed(0)
    first = training_view(frames, settings, generator(5))
    torch.manual_seed(1)
    state = torch.get_rng_state()
    assert torch.equal(training_view(frames, settings, generator(5)), first)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.allclose(training_view(frames, settings, generator(6)), first)
    same = training_view(frames[:1].expand(3, -1, -1, -1, -1), settings, generator(5))
    assert not torch.allclose(same[0], same[1])  # each clip of a batch gets a view of its own
    centre_view(frames, settings, mirrored=True)
    np.testing.assert_array_equal(frames.numpy(), FRAMES[:3])


def test_seeded_views_are_as_they_always_were():
    frames = torch.from_numpy(FRAMES[:2])
    sums = {}
    for name, settings in (("motion", VIEW), ("rgb", RGB)):
        sums[name] = training_view(frames, settings, generator(1)).double().sum().item()
        sums[f"centre {name}"] = centre_view(frames, settings).double().sum().item()
    assert sums == pytest.approx(SUMS, rel=1e-5)


@pytest.mark.parametrize("channels", ["motion", "rgb"])
@pytest.mark.parametrize("size_px", [16, 15])
def test_the_mirrored_view_is_the_plain_view_flipped(size_px, channels):
    frames = torch.from_numpy(FRAMES[:2])
    settings = ViewSettings(n_frames=4, size_px=size_px, channels=channels)
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
            now, before, after = (grey[clip, min(max(at, 0), 4)] for at in (t, t - 1, t + 1))
            expected = torch.stack([2 * (now - before).abs(), 2 * now - 1, 2 * (after - now).abs()])
            torch.testing.assert_close(found[clip, t], expected)


def test_a_static_clip_has_no_motion_and_a_uniform_one_keeps_its_grey():
    still = torch.from_numpy(FRAMES[:2, :1].repeat(9, axis=1))
    for view in (centre_view(still, VIEW), training_view(still, VIEW, generator())):
        assert view[:, :, [0, 2]].abs().max() < 1e-6 and view[:, :, 1].std() > 0.01
    # 51 / 255 = 0.2 grey, shown as 2 * 0.2 - 1
    frames = torch.full((1, 9, 20, 20, 3), 51, dtype=torch.uint8)
    torch.testing.assert_close(centre_view(frames, VIEW)[:, :, 1], torch.full((1, 4, 16, 16), -0.6))


def test_a_centred_rgb_view_equals_pixels_cut_by_hand():
    # of 16 x 24 pixels a square of 0.875 x 16 = 14: rows 1..14 and columns 5..18, each a pixel of the view
    frames = torch.randint(0, 256, (2, 9, 16, 24, 3), dtype=torch.uint8, generator=generator(3))
    view = centre_view(frames, ViewSettings(n_frames=4, size_px=14, channels="rgb"))
    for t, stored in enumerate((1, 3, 5, 7)):  # round(8 x (0.075 + 0.85 x (t + 0.5) / 4))
        for colour in range(3):
            expected = (frames[:, stored, 1:15, 5:19, colour] / 255 - RGB_MEAN[colour]) / RGB_STD[colour]
            torch.testing.assert_close(view[:, t, colour], expected, atol=1e-4, rtol=0)


def pixels_of(view: torch.Tensor) -> torch.Tensor:
    return view * torch.tensor(RGB_STD)[:, None, None] + torch.tensor(RGB_MEAN)[:, None, None]


@pytest.mark.parametrize("channels", ["motion", "rgb"])
def test_a_view_of_at_most_half_its_store_is_smoothed(channels):
    rows, columns = np.indices((64, 64))

    def shown(picture: np.ndarray, size_px: int) -> np.ndarray:
        """The middle frame of the centred view, in 0..1."""
        frames = torch.from_numpy(np.broadcast_to(picture[..., None], (1, 9, 64, 64, 3)).astype(np.uint8))
        view = centre_view(frames, ViewSettings(4, size_px, channels))
        return ((view[0, 2, 1] + 1) / 2 if channels == "motion" else pixels_of(view)[0, 2, 0]).numpy()

    for size_px in (8, 16, 32):  # single black and white pixels are grey from afar
        np.testing.assert_allclose(shown((rows + columns) % 2 * 255, size_px), 0.5, atol=0.05)
    assert shown((rows + columns) % 2 * 255, 33).std() > 0.05  # larger views are as they always were
    side = 64 * (
        0.86 if channels == "motion" else 0.875
    )  # a ramp stays the ramp: its value at each pixel's middle
    middles = 32 - side / 2 + (np.arange(16) + 0.5) * side / 16
    np.testing.assert_allclose(shown(columns * 4, 16)[8], (middles - 0.5) * 4 / 255, atol=0.01)


def test_a_random_rgb_view_is_a_crop_of_the_stated_area_and_aspect():
    # red is the column, green the row, in 0..1: the view's colours say which part of the frame it shows
    height, width, size_px = 48, 64, 32
    planes = (torch.arange(width)[None] * 3, torch.arange(height)[:, None] * 3, torch.tensor(0))
    ramp = torch.stack(torch.broadcast_tensors(*planes), -1)
    frames = ramp.to(torch.uint8).expand(400, 3, -1, -1, -1)
    view = training_view(frames, ViewSettings(n_frames=2, size_px=size_px, channels="rgb"), generator(1))
    pixels = pixels_of(view)
    assert pixels.min() > -1e-4 and pixels.max() < 1 + 1e-4
    torch.testing.assert_close(view[:, 0], view[:, 1])  # frames of a clip are cut alike
    steps = [side.diff(dim=1) for side in (pixels[:, 0, 0, 16], pixels[:, 0, 1, :, 16])]
    for step in steps:  # even to the last pixel: no crop reaches beyond the frame, where its edge is repeated
        even = step.mean(1, keepdim=True).expand(-1, size_px - 1)
        torch.testing.assert_close(step, even, atol=1e-4, rtol=0)
    # brightness cancels in the aspect, and is 1 on average
    across, down = (step.mean(1) * 255 / 3 * size_px for step in steps)
    aspect, area = across.abs() / down, across.abs() * down / (height * width)
    assert 0.73 < aspect.min() and aspect.max() < 1.37
    assert 0.5 * 0.8**2 < area.min() and area.max() < 1.2**2 + 0.05 and 0.68 < area.mean() < 0.82
    assert 150 < (across < 0).sum() < 250 and (down > 0).all()


def test_the_brightness_of_an_rgb_view():
    grey = torch.full((500, 3, 8, 8, 3), 102, dtype=torch.uint8)  # 0.4
    view = training_view(grey, ViewSettings(n_frames=1, size_px=4, channels="rgb"), generator(2))
    pixels = pixels_of(view) / 0.4
    assert 0.8 - 1e-4 < pixels.min() < 0.82 and 1.18 < pixels.max() < 1.2 + 1e-4
    assert pixels.flatten(1).std(1).max() < 1e-5
