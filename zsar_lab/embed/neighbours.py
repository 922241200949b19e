"""Nearest neighbours by cosine of many points, exact, on a CPU or a GPU.

Shapes: N queries, M points, D width; K candidates a query, a few more than the k asked for; b rows and c
columns of a tile.
"""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from zsar_lab.progress import progress
from zsar_lab.train.device import choose_device, cpu_threads

SPARE = 4  # candidates beyond k, so that rounding seldom leaves it open which are the k nearest
TILE_BYTES = {"cpu": 2**23, "cuda": 2**28}  # of one tile of similarities: on a CPU it stays in the cache
WORK_BYTES = 2**22  # of the rows gathered at a time for the exact cosines
SEARCH_BYTES = 2**25  # of cosines to all points at a time
LONG_WORK = 2e12  # multiplications; from here on a progress bar is shown
GROUP = 8  # columns of a tile whose maximum is looked at first
ROUNDING = 2.0**-24  # of one float32 operation


@torch.inference_mode()
def nearest_neighbours(
    queries_ND: np.ndarray,
    points_MD: np.ndarray,
    k: int,
    exclude_self: bool = False,
    device: str | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The k points nearest to each query by cosine, nearest first.

    Products of float32 unit rows, tile by tile, find the candidates; where queries and points are the same,
    each product serves both of its rows. The candidates' cosines are then computed in float64, and a query
    for which rounding could have hidden a neighbour is compared with all points in float64: the result is
    that of float64 brute force, whatever the tiles, threads or device. Cosines that are equal as float32 are
    ties, and ties go to the point that comes first.

    Args:
        queries_ND: rows of any length above 0, float.
        points_MD: the same; give the same array to search a set for neighbours among itself.
        k: how many, 1..M, or 1..M - 1 with `exclude_self`.
        exclude_self: query i is point i, and no neighbour of itself; the queries must be the points.
        device: None to choose.

    Returns:
        Row numbers of the points, int64 [N, k], and their cosines, float32 [N, k], -1..1, falling along a
        row.

    Raises:
        ValueError: the arrays are not of rows of one width, hold a value that is not finite or a row of
            zeros, k is out of range, or `exclude_self` is asked for queries that are not the points.
    """
    same = queries_ND is points_MD or np.array_equal(queries_ND, points_MD)
    for name, rows in (("queries", queries_ND), ("points", points_MD)):
        if rows.ndim != 2 or 0 in rows.shape:
            raise ValueError(f"{name} must be rows of numbers, [rows, width], got shape {rows.shape}")
    if queries_ND.shape[1] != points_MD.shape[1]:
        got = f"{queries_ND.shape[1]} and {points_MD.shape[1]}"
        raise ValueError(f"queries and points must be of one width, got {got}")
    if exclude_self and not same:
        raise ValueError(
            "exclude_self needs queries that are the points themselves, got two arrays that differ"
        )
    most = len(points_MD) - exclude_self
    if not 1 <= k <= most:
        what = "points less the query itself" if exclude_self else "points"
        raise ValueError(f"k must be in 1..{most} ({what}), got {k}")
    place = choose_device(device)
    points = _UnitRows.of(points_MD, "points", place)
    queries = points if same else _UnitRows.of(queries_ND, "queries", place)
    n_candidates = min(k + SPARE, most)
    with _full_precision():
        candidates = _candidates(queries, points, n_candidates, exclude_self)
        index, cosine, in_doubt = _exact(queries, points, candidates, k)
        if n_candidates < most:
            _search_all(queries, points, in_doubt, index, cosine, exclude_self)
    return index.cpu().numpy(), cosine.cpu().numpy()


@dataclass(frozen=True, eq=False)
class _UnitRows:
    """Rows as they were given, their lengths (float64), and the rows at length 1 (float32)."""

    given_ND: torch.Tensor
    length_N: torch.Tensor
    unit_ND: torch.Tensor

    @staticmethod
    def of(rows_ND: np.ndarray, name: str, device: torch.device) -> _UnitRows:
        given = torch.from_numpy(np.require(rows_ND, requirements=("C", "W"))).to(device)
        length = torch.empty(len(given), dtype=torch.float64, device=device)
        unit = torch.empty(given.shape, dtype=torch.float32, device=device)
        step = max(1, WORK_BYTES // (8 * given.shape[1]))
        for start in range(0, len(given), step):
            rows = given[start : start + step].double()
            lengths = torch.linalg.vector_norm(rows, dim=1)
            length[start : start + step] = lengths
            unit[start : start + step] = rows / lengths[:, None]
        for wrong, what in ((~length.isfinite(), "finite numbers"), (length == 0, "not all zeros")):
            if wrong.any():
                first, count = int(wrong.nonzero()[0]), int(wrong.sum())
                raise ValueError(f"rows of {name} must be {what}, row {first} is not so ({count} in all)")
        return _UnitRows(given, length, unit)

    def exact(self, rows: torch.Tensor | slice) -> torch.Tensor:
        """These rows at length 1, float64."""
        return self.given_ND[rows].double() / self.length_N[rows][..., None]


@contextmanager
def _full_precision() -> Iterator[None]:
    """Products of float32 without the shortcuts (TF32, bfloat16) that a caller may have allowed."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


class _Best:
    """The candidates found so far: cosines and row numbers, [N, K], in no order."""

    def __init__(self, n_queries: int, n_candidates: int, device: torch.device) -> None:
        self.cosine_NK = torch.full((n_queries, n_candidates), -math.inf, device=device)
        self.index_NK = torch.zeros((n_queries, n_candidates), dtype=torch.int64, device=device)
        self.lock = threading.Lock()

    def offer(self, cosine_bc: torch.Tensor, first_row: int, first_column: int) -> None:
        """Take what is better from a tile, whose rows and columns start at these."""
        rows = slice(first_row, first_row + len(cosine_bc))
        n_columns, n_candidates = cosine_bc.shape[1], self.cosine_NK.shape[1]
        even = n_columns - n_columns % GROUP
        if 0 < even < n_columns:
            self.offer(cosine_bc[:, even:], first_row, first_column + even)
            cosine_bc = cosine_bc[:, :even]
        with self.lock:  # half-written rows would give too high a least
            least_b = self.cosine_NK[rows].amin(1)
        cosine, index = _worth_a_look(cosine_bc, n_candidates, least_b)
        with self.lock:
            both = torch.cat([self.cosine_NK[rows], cosine], 1)
            both_index = torch.cat([self.index_NK[rows], index + first_column], 1)
            self.cosine_NK[rows], chosen = both.topk(n_candidates, sorted=False)
            self.index_NK[rows] = both_index.gather(1, chosen)


def _worth_a_look(
    cosine_bc: torch.Tensor, n_candidates: int, least_b: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and columns, [b, any]: at least each row's K largest above `least_b`; -inf fills shorter rows.

    Only groups of columns whose maximum is above `least_b` are looked into or, while some row has many, the K
    groups with the largest maxima. A group holds every (number of groups)-th column, so that maxima are taken
    over whole stretches of the tile at once, of a transposed one too. The columns are a whole number of
    groups, or too few for groups.
    """
    n_columns, n_groups = cosine_bc.shape[1], cosine_bc.shape[1] // GROUP
    if n_groups < 2 * n_candidates:
        return cosine_bc.topk(min(n_candidates, n_columns), sorted=False)
    maxima = functools.reduce(torch.maximum, cosine_bc.split(n_groups, 1))
    above = (maxima > least_b[:, None]).contiguous()
    of_group = torch.arange(0, n_columns, n_groups, device=cosine_bc.device)
    if above.sum(1, dtype=torch.int32).max() > 2 * n_candidates:  # int64 takes 20 times as long
        columns = (maxima.topk(n_candidates, sorted=False).indices[:, :, None] + of_group).flatten(1)
        return cosine_bc.gather(1, columns), columns
    row, group = above.nonzero(as_tuple=True)
    columns = group[:, None] + of_group
    cosine = cosine_bc[row[:, None], columns]
    better = cosine > least_b[row, None]
    n_better_b = torch.zeros_like(least_b, dtype=torch.int64).index_add_(0, row, better.sum(1))
    filled = torch.arange(int(n_better_b.max()), device=row.device) < n_better_b[:, None]
    cosine_ba = torch.full_like(filled, -math.inf, dtype=cosine.dtype).masked_scatter_(filled, cosine[better])
    return cosine_ba, torch.zeros_like(filled, dtype=torch.int64).masked_scatter_(filled, columns[better])


def _on_threads(work: Callable, pieces: Sequence, device: torch.device) -> Iterator:
    """Each piece by a thread of its own, as many at a time as torch may use on a CPU.

    Threads that share every operation wait for one another at each, which costs several times as much where
    the machine is shared.
    """
    n_threads = torch.get_num_threads() if device.type == "cpu" else 1
    if n_threads == 1:
        yield from map(work, pieces)
        return
    with cpu_threads(1), ThreadPoolExecutor(n_threads) as pool:
        yield from pool.map(work, pieces)


def _candidates(queries: _UnitRows, points: _UnitRows, n_candidates: int, exclude_self: bool) -> _Best:
    """The K points of the largest float32 products for each query."""
    n_queries, n_points, same = len(queries.unit_ND), len(points.unit_ND), queries is points
    device = points.unit_ND.device
    best, block = _Best(n_queries, n_candidates, device), math.isqrt(TILE_BYTES[device.type] // 4)
    rooms = threading.local()  # each thread makes room for a tile once
    tiles = [(i, j) for i in range(0, n_queries, block) for j in range(i if same else 0, n_points, block)]

    @torch.inference_mode()
    def search(tile: tuple[int, int]) -> None:
        i, j = tile
        rows, columns = queries.unit_ND[i : i + block], points.unit_ND[j : j + block]
        if not hasattr(rooms, "tile"):
            rooms.tile = torch.empty(min(block, n_queries) * min(block, n_points), device=device)
        cosine = rooms.tile[: len(rows) * len(columns)].view(len(rows), len(columns))
        torch.mm(rows, columns.T, out=cosine)
        if exclude_self and i == j:
            cosine.fill_diagonal_(-math.inf)
        best.offer(cosine, i, j)
        if same and i != j:
            best.offer(cosine.T, j, i)

    done = _on_threads(search, tiles, device)
    long = n_queries * n_points * points.unit_ND.shape[1] > LONG_WORK
    for _ in progress(done, what="finding neighbours", unit="tile", total=len(tiles), shown=long):
        pass
    return best


def _exact(
    queries: _UnitRows, points: _UnitRows, best: _Best, k: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The k nearest candidates by exact cosines, [N, k] twice, and the queries with perhaps a nearer point.

    A float32 product of unit rows is off by at most D roundings, the rows by one each; the others are for
    rounding the exact cosine to float32.
    """
    (n_queries, n_candidates), width = best.index_NK.shape, points.unit_ND.shape[1]
    index_Nk, cosine_Nk = best.index_NK.new_empty((n_queries, k)), best.cosine_NK.new_empty((n_queries, k))
    step = max(1, WORK_BYTES // (8 * width * n_candidates))

    @torch.inference_mode()
    def settle(start: int) -> None:
        rows = slice(start, start + step)
        index = best.index_NK[rows].sort(1).values
        products = points.given_ND[index].double().mul_(queries.given_ND[rows, None].double()).sum(2)
        cosine = (products / queries.length_N[rows, None] / points.length_N[index]).float()
        cosine_Nk[rows], order = (part[:, :k] for part in cosine.sort(dim=1, descending=True, stable=True))
        index_Nk[rows] = index.gather(1, order)

    for _ in _on_threads(settle, range(0, n_queries, step), index_Nk.device):
        pass
    in_doubt = cosine_Nk[:, -1] <= best.cosine_NK.amin(1) + (width + 5) * ROUNDING
    return index_Nk, cosine_Nk.clamp_(-1, 1), in_doubt.nonzero()[:, 0]


def _search_all(
    queries: _UnitRows,
    points: _UnitRows,
    in_doubt: torch.Tensor,
    index_Nk: torch.Tensor,
    cosine_Nk: torch.Tensor,
    exclude_self: bool,
) -> None:
    """Write the neighbours of these queries anew, from float64 cosines to all points."""
    (n_points, width), k = points.unit_ND.shape, index_Nk.shape[1]
    step, columns = max(1, SEARCH_BYTES // (8 * n_points)), max(1, SEARCH_BYTES // (8 * width))
    for rows in in_doubt.split(step) if len(in_doubt) else ():
        of_rows, starts = queries.exact(rows), range(0, n_points, columns)
        parts = [of_rows @ points.exact(slice(start, start + columns)).T for start in starts]
        cosine = torch.cat([part.float() for part in parts], 1)
        if exclude_self:
            cosine.scatter_(1, rows[:, None], -math.inf)
        kth = cosine.topk(k).values[:, -1:]
        above, tied = cosine > kth, cosine == kth
        tied &= tied.cumsum(1, dtype=torch.int32) <= k - above.sum(1, keepdim=True)
        index = (above | tied).nonzero()[:, 1].view(len(rows), k)
        found, order = cosine.gather(1, index).sort(dim=1, descending=True, stable=True)
        index_Nk[rows], cosine_Nk[rows] = index.gather(1, order), found.clamp(-1, 1)
