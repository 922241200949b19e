"""The 10 nearest neighbours of 20,000 clips by cosine: ours against scikit-learn's brute force, in one run with the same threads.

    python benchmarks/bench_neighbours.py [--points 20000] [--rounds 3] [--threads 2] [--data noise]

Both sides take the same float32 rows of length 1. Two searches: a set among itself without the query itself
(`kneighbors()`), where ours computes each product once for both of its rows, and the rows as queries of a
copy with one number changed, where it cannot. scikit-learn runs with the cosine metric and with the euclidean
one, which on such rows gives the same neighbours. Its cosine is tried with one job and with one a thread, and
the faster is taken. The sides take turns; seconds are the best of the rounds, and what counts is the median
of the rounds' ratios, whose sides were measured next to one another.

Recall is the share of the other side's neighbours that ours finds, and against float64 brute force, of a
neighbour as far away as the last one within 1e-6, whichever it is. Memory is the peak of a process of its own
(VmHWM) above that before the search."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from zsar_lab.results.neighbours import nearest_neighbours

WIDTH, K = 512, 10
Found = tuple[np.ndarray, np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=20_000, help="how many rows")
    parser.add_argument("--rounds", type=int, default=3, help="how often each side is measured")
    parser.add_argument("--threads", type=int, default=2, help="of both sides")
    parser.add_argument(
        "--data",
        choices=("noise", "clusters"),
        default="noise",
        help="rows at random, or 101 clusters of cosine about 0.5 within",
    )
    parser.add_argument("--memory", action="store_true", help="only print the peak of one search, in MB")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    points = made_up(options.points, options.data)
    if options.memory:
        return print(peak_of_search(points))
    other = points.copy()
    other[0, 0] += 1e-3
    with threadpool_limits(options.threads):
        print(f"{options.points} rows of {WIDTH}, k {K}, {options.data}, {options.threads} threads")
        jobs = faster_jobs(points, options.threads)
        print(
            f"peak of ours above what was there before: {memory(options)} MB   (target: under 300)",
            flush=True,
        )
        compare("among themselves", points, None, jobs, options)
        compare("as queries of another set", other, points, jobs, options)


def made_up(n_points: int, data: str) -> np.ndarray:
    """Unit rows, float32."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(n_points, WIDTH)).astype(np.float32)
    if data == "clusters":
        rows += random.normal(size=(101, WIDTH)).astype(np.float32)[random.integers(0, 101, n_points)]
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def peak_of_search(points: np.ndarray) -> int:
    """MB; a small search first, for what is loaded once. This process's own peak so far must not hide that of the search."""
    nearest_neighbours(points[:64], points[:64], K, exclude_self=True)
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts anew from what is resident
    before = high_water_mark()
    nearest_neighbours(points, points, K, exclude_self=True)
    return (high_water_mark() - before) // 1024


def high_water_mark() -> int:
    """VmHWM of this process, kB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))


def memory(options: argparse.Namespace) -> str:
    command = [
        sys.executable,
        __file__,
        "--memory",
        "--points",
        str(options.points),
        "--threads",
        str(options.threads),
        "--data",
        options.data,
    ]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def faster_jobs(points: np.ndarray, threads: int) -> int | None:
    """With one job or one a thread, whichever finds cosine neighbours of a part sooner."""
    part = points[: len(points) // 4]
    seconds = {}
    for jobs in (None, threads):
        search = NearestNeighbors(n_neighbors=K, algorithm="brute", metric="cosine", n_jobs=jobs).fit(points)
        seconds[jobs] = timed(lambda: search.kneighbors(part))[1]
    print(
        "scikit-learn, cosine, a quarter: "
        + ", ".join(f"n_jobs {jobs} {second:.2f} s" for jobs, second in seconds.items())
    )
    return min(seconds, key=seconds.get)


def compare(
    what: str, points: np.ndarray, queries: np.ndarray | None, jobs: int | None, options: argparse.Namespace
) -> None:
    """Print both sides; `queries` None for the points themselves."""
    sides: dict[str, Callable[[], Found]] = {
        "ours": lambda: nearest_neighbours(points if queries is None else queries, points, K, queries is None)
    }
    for metric in ("cosine", "euclidean"):
        search = NearestNeighbors(
            n_neighbors=K, algorithm="brute", metric=metric, n_jobs=jobs if metric == "cosine" else None
        ).fit(points)
        sides[metric] = lambda search=search: search.kneighbors(queries)[::-1]
    results, figures = {}, {side: [] for side in sides}
    for _ in range(options.rounds):
        for side, search in sides.items():
            results[side], *seconds = timed(search)
            figures[side].append(seconds)
    best = {side: np.min(seconds, axis=0) for side, seconds in figures.items()}
    print(f"\n{what}")
    for side, target in (("ours", ""), ("cosine", "(target: 4)"), ("euclidean", "(target: 1.2)")):
        ratios = np.array(figures[side]) / np.array(figures["ours"])
        clock, processor = np.median(ratios, axis=0)
        rounds = " ".join(f"{seconds[0]:.2f}" for seconds in figures[side])
        shared = recall(results["ours"][0], results[side][0])
        took = f"{best[side][0]:6.2f} s, {best[side][1]:6.2f} s of processor time"
        by_round = " ".join(f"{ratio:.2f}" for ratio in ratios[:, 0])
        times = (
            f"{clock:5.2f} x on the clock (rounds {by_round}), {processor:5.2f} x by processor time {target}"
            if target
            else ""
        )
        print(f"{side:10s} {took}  (rounds {rounds})  recall {shared:.6f}  {times}", flush=True)
    print(
        f"recall against float64 brute force: {exact_recall(results['ours'][0], points, queries):.6f}, ties within 1e-6 counted as found"
    )


def recall(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float((ours[:, :, None] == theirs[:, None, :]).any(1).mean())


def exact_recall(found: np.ndarray, points: np.ndarray, queries: np.ndarray | None) -> float:
    """Share of all neighbours found that are no further away than the k-th of float64 brute force."""
    every = points.astype(float)
    every /= np.linalg.norm(every, axis=1, keepdims=True)
    asked = (
        every
        if queries is None
        else queries.astype(float) / np.linalg.norm(queries.astype(float), axis=1, keepdims=True)
    )
    hits = 0
    for start in range(0, len(asked), 500):
        cosines = asked[start : start + 500] @ every.T
        rows = np.arange(len(cosines))
        if queries is None:
            cosines[rows, rows + start] = -np.inf
        kth = np.partition(cosines, -K, axis=1)[:, -K]
        hits += int((np.take_along_axis(cosines, found[start : start + 500], 1) >= kth[:, None] - 1e-6).sum())
    return hits / found.size


def timed(action: Callable[[], Found]) -> tuple[Found, float, float]:
    """The result, and its seconds on the clock and of processor time."""
    started, processor = time.perf_counter(), time.process_time()
    result = action()
    return result, time.perf_counter() - started, time.process_time() - processor


if __name__ == "__main__":
    main()
