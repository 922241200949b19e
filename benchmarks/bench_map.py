"""What a map of the shared space costs as it grows: neighbours, layout and trust.

    python benchmarks/bench_map.py [--points 1000 10000] [--seen]

Points are 101 clusters in 256 dimensions, float32. The layout's first call in a process compiles; a small one
goes before, and its seconds are printed apart. `--seen` also fits on two thirds of the points and puts the
others in."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from zsar_lab.embed.neighbours import nearest_neighbours
from zsar_lab.viz import projection

WIDTH, CLUSTERS = 256, 101


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--points", type=int, nargs="+", default=[1000, 10_000], help="how many, one map each"
    )
    parser.add_argument("--seen", action="store_true", help="fit on a part, too")
    options = parser.parse_args()
    small = made_up(200)
    print(f"compiling: layout {seconds(lambda: projection._umap(small, 0))[1]:.1f} s", flush=True)
    if options.seen:
        _, spent = seconds(lambda: projection._umap_of_part(small, np.arange(200) < 130, 0))
        print(f"compiling: putting in {spent:.1f} s", flush=True)
    for n_points in options.points:
        measure(made_up(n_points), options.seen)


def measure(points: np.ndarray, of_part: bool) -> None:
    """Print the seconds of each step for these points."""
    _, near = seconds(
        lambda: nearest_neighbours(points, points, projection.N_NEIGHBOURS - 1, exclude_self=True)
    )
    xy, layout = seconds(lambda: projection._umap(points, 0))
    found, trusted = seconds(lambda: projection.trust(points, xy))
    print(f"{len(points):6d} points: neighbours {near:.2f} s, layout with them {layout:.1f} s", end=", ")
    print(f"trust {trusted:.2f} s; trustworthiness {float(found['trustworthiness']):.3f}", end=", ")
    print(f"kept {100 * found['kept'].mean():.0f} %", flush=True)
    if of_part:
        fitted = np.arange(len(points)) % 3 > 0
        _, spent = seconds(lambda: projection._umap_of_part(points, fitted, 0))
        print(f"       fitted on {fitted.sum()}: {spent:.1f} s", flush=True)


def made_up(n_points: int) -> np.ndarray:
    """Unit rows, float32."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(CLUSTERS, WIDTH))
    rows = centres[random.integers(0, CLUSTERS, n_points)] + random.normal(size=(n_points, WIDTH))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def seconds(action: Callable[[], Any]) -> tuple[Any, float]:
    """The result, and how long it took."""
    started = time.perf_counter()
    return action(), time.perf_counter() - started


if __name__ == "__main__":
    main()
