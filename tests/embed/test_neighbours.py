"""zsar_lab.embed.neighbours: by a plain loop in float64 and by scikit-learn; ties, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import reference
import torch
from sklearn.neighbors import NearestNeighbors

from zsar_lab.embed import neighbours
from zsar_lab.embed.neighbours import nearest_neighbours

RANDOM = np.random.default_rng(0)
POINTS = (RANDOM.normal(size=(300, 12)) * RANDOM.uniform(0.1, 9, (300, 1))).astype(np.float32)
QUERIES = RANDOM.normal(size=(70, 12)).astype(np.float32)


def by_loop(queries, points, k, exclude_self=False):
    """Float64 cosines, those that are the same as float32 in the order of the points."""
    found = []
    for i, query in enumerate(queries.astype(float)):
        cosines = [np.float32(reference.cosine(query, point)) for point in points.astype(float)]
        others = [j for j in range(len(points)) if not (exclude_self and j == i)]
        found.append(sorted(others, key=lambda j: (-cosines[j], j))[:k])  # noqa: B023
    return np.array(found)


@pytest.fixture
def tile(request, monkeypatch):
    """Rows and columns of a tile; None for those of the library."""
    if request.param:
        monkeypatch.setitem(neighbours.TILE_BYTES, "cpu", 4 * request.param**2)


@pytest.mark.parametrize("tile", [None, 64], indirect=True)
@pytest.mark.parametrize("k", [1, 5])
def test_the_neighbours_are_those_of_a_plain_loop(tile, k):
    index, cosine = nearest_neighbours(QUERIES, POINTS, k)
    assert (index.dtype, index.shape, cosine.dtype, cosine.shape) == (np.int64, (70, k), np.float32, (70, k))
    np.testing.assert_array_equal(index, by_loop(QUERIES, POINTS, k))
    wanted = [[reference.cosine(query, POINTS[j]) for j in row] for query, row in zip(QUERIES, index)]
    np.testing.assert_allclose(cosine, wanted, atol=1e-6)


@pytest.mark.parametrize("tile", [7, 149], indirect=True)
@pytest.mark.parametrize("exclude_self", [False, True])
def test_a_set_searched_among_itself(tile, exclude_self):
    index, cosine = nearest_neighbours(POINTS[:150], POINTS[:150], 4, exclude_self)
    np.testing.assert_array_equal(index, by_loop(POINTS[:150], POINTS[:150], 4, exclude_self))
    if not exclude_self:
        np.testing.assert_array_equal(index[:, 0], np.arange(150))
        np.testing.assert_array_equal(cosine[:, 0], 1)


def test_the_neighbours_are_scikit_learns():
    clips = RANDOM.normal(size=(2500, 24)).astype(np.float32)
    # wide enough for groups of columns, in two sizes of tile
    index, cosine = nearest_neighbours(clips, clips, 10, exclude_self=True)
    theirs = NearestNeighbors(n_neighbors=10, metric="cosine", algorithm="brute").fit(clips.astype(float))
    distance, wanted = theirs.kneighbors()
    np.testing.assert_array_equal(index, wanted)
    np.testing.assert_allclose(cosine, 1 - distance, atol=1e-6)


@pytest.mark.parametrize("tile", [None, 16], indirect=True)
def test_ties_go_to_the_first_point_and_rounding_hides_nothing(tile):
    points = np.tile(RANDOM.normal(size=(3, 8)), (20, 1))  # a b c a b c ...
    index, cosine = nearest_neighbours(points, points, 6, exclude_self=True)
    np.testing.assert_array_equal(index, by_loop(points, points, 6, exclude_self=True))
    np.testing.assert_array_equal(index[0], [3, 6, 9, 12, 15, 18])
    np.testing.assert_array_equal(cosine, 1)
    # points nearer to one another than float32 products can tell, which float64 brute force can
    base = RANDOM.normal(size=64)
    points = base + 3e-4 * RANDOM.normal(size=(200, 64))
    index, _ = nearest_neighbours(base[None], points, 5)
    np.testing.assert_array_equal(index, by_loop(base[None], points, 5))


def test_neither_tiles_nor_threads_nor_length_nor_another_precision_change_the_result(monkeypatch):
    wanted = nearest_neighbours(POINTS, POINTS, 8, exclude_self=True)
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    try:
        torch.set_num_threads(2)
        torch.set_float32_matmul_precision("medium")
        for tile in (13, 31):
            monkeypatch.setitem(neighbours.TILE_BYTES, "cpu", 4 * tile**2)
            for found, of_one in zip(nearest_neighbours(POINTS, POINTS, 8, True), wanted):
                np.testing.assert_array_equal(found, of_one)
        longer, _ = nearest_neighbours(POINTS * np.float32(4), POINTS, 8 + 1)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_num_threads(before[0])
        torch.set_float32_matmul_precision(before[1])
    np.testing.assert_array_equal(longer[:, 1:], wanted[0])


ZERO = np.where(np.arange(9)[:, None] == 4, 0, POINTS[:9])
NAN, INF = (np.where(np.isin(np.arange(9), [3, 5])[:, None], bad, POINTS[:9]) for bad in (np.nan, np.inf))


@pytest.mark.parametrize(
    ("queries", "points", "more", "words"),
    [
        (POINTS[:9], POINTS[:9], {"k": 0}, r"k must be in 1\.\.9 .* got 0"),
        (POINTS[:9], POINTS[:9], {"k": 10}, r"k must be in 1\.\.9 .* got 10"),
        (POINTS[:9], POINTS[:9], {"k": 9, "exclude_self": True}, r"k must be in 1\.\.8 .* got 9"),
        (ZERO, ZERO, {}, "points must be not all zeros, row 4"),
        (QUERIES[:, :11], POINTS, {}, "11 and 12"),
        (QUERIES, POINTS[0], {}, r"points must be rows .* \(12,\)"),
        (QUERIES[:0], POINTS, {}, r"queries must be rows .* \(0, 12\)"),
        (QUERIES, POINTS, {"exclude_self": True}, "exclude_self"),
        *((QUERIES, bad, {}, r"points must be finite numbers, row 3 .*\(2 in all\)") for bad in (NAN, INF)),
        *((bad, POINTS, {}, r"queries must be finite numbers, row 3 .*\(2 in all\)") for bad in (NAN, INF)),
    ],
)
def test_what_has_no_neighbours_is_refused(queries, points, more, words):
    with pytest.raises(ValueError, match=words):
        nearest_neighbours(queries, points, **{"k": 2} | more)
