"""The 10 nearest neighbours of 20,000 clips by cosine: ours against scikit-learn's brute force, in one run.

    python benchmarks/bench_neighbours.py [--points 20000] [--rounds 3] [--threads 2] [--data noise]

Both sides take the same float32 rows of length 1 and as many threads. Two searches: a set among itself
without the query itself, where ours computes each product once for both of its rows, and the rows as
queries of a copy with one number changed, where it cannot. scikit-learn runs with the cosine metric and
with the euclidean one, which on such rows gives the same neighbours. The sides take turns; what counts is
the median of the rounds' ratios. Recall is the share of the other side's neighbours that ours finds. Memory
is the peak of a process of its own (VmHWM) above that before the search. Targets: 4 and 1.2 times as fast,
recall 1, under 300 MB.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from zsar_lab.embed.neighbours import nearest_neighbours

WIDTH, K = 512, 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=20_000, help="how many rows")
    parser.add_argument("--rounds", type=int, default=3, help="how often each side is measured")
    parser.add_argument("--threads", type=int, default=2, help="of both sides")
    parser.add_argument(
        "--data", choices=("noise", "clusters"), default="noise", help="clusters: 101, cosine .5"
    )
    parser.add_argument("--memory", action="store_true", help="only print the peak of one search, in MB")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    points = made_up(options.points, options.data)
    if options.memory:
        return print(peak_of_search(points))
    other = points.copy()
    other[0, 0] += 1e-3
    command = [sys.executable, __file__, "--memory", *sys.argv[1:]]
    peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    print(
        f"{options.points} rows of {WIDTH}, k {K}, {options.data}, {options.threads} threads; peak {peak} MB"
    )
    with threadpool_limits(options.threads):
        compare("among themselves", points, None, options)
        compare("as queries of another set", other, points, options)


def made_up(n_points: int, data: str) -> np.ndarray:
    """Unit rows, float32."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(n_points, WIDTH)).astype(np.float32)
    if data == "clusters":
        rows += random.normal(size=(101, WIDTH)).astype(np.float32)[random.integers(0, 101, n_points)]
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def peak_of_search(points: np.ndarray) -> int:
    """MB; a small search first, for what is loaded once."""
    nearest_neighbours(points[:64], points[:64], K, exclude_self=True)
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts anew from what is resident
    before = high_water_mark()
    nearest_neighbours(points, points, K, exclude_self=True)
    return (high_water_mark() - before) // 1024


def high_water_mark() -> int:
    """VmHWM of this process, kB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))


def compare(what: str, points: np.ndarray, queries: np.ndarray | None, options: argparse.Namespace) -> None:
    """Print both sides; `queries` None for the points themselves."""
    own = points if queries is None else queries
    sides = {"ours": lambda: nearest_neighbours(own, points, K, queries is None)[0]}
    for metric in ("cosine", "euclidean"):
        search = NearestNeighbors(n_neighbors=K, algorithm="brute", metric=metric).fit(points)
        sides[metric] = lambda search=search: search.kneighbors(queries, return_distance=False)
    found, seconds = {}, {side: [] for side in sides}
    for _ in range(options.rounds):
        for side, search in sides.items():
            clock, processor = time.perf_counter(), time.process_time()
            found[side] = search()
            seconds[side].append((time.perf_counter() - clock, time.process_time() - processor))
    print(f"\n{what}")
    for side, target in (("ours", ""), ("cosine", "4"), ("euclidean", "1.2")):
        ratio, by_processor = np.median(np.array(seconds[side]) / np.array(seconds["ours"]), axis=0)
        best, recall = (
            np.min(seconds[side], axis=0),
            (found["ours"][:, :, None] == found[side][:, None]).any(1),
        )
        words = f"{ratio:5.2f} x, {by_processor:5.2f} x by processor time (target {target})" if target else ""
        took = f"{best[0]:6.2f} s, {best[1]:6.2f} s of processor time"
        print(f"{side:10s} {took}  recall {recall.mean():.6f}  {words}", flush=True)


if __name__ == "__main__":
    main()
