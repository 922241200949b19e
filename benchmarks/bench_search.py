"""Time of a search over many clips: `python benchmarks/bench_search.py [CLIPS] [WIDTH]`."""

from __future__ import annotations

import sys
import time

import numpy as np

from zsar_lab.embed.outside import nearest_clips

n_clips, width = (int(one) for one in (*sys.argv[1:], *(100_000, 512)[len(sys.argv) - 1 :]))
random = np.random.default_rng(0)
vectors = random.normal(size=(n_clips, width)).astype(np.float32)
vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
ids, seconds = [f"clip{number:07d}" for number in range(n_clips)], []
for query in random.normal(size=(11, width)):
    before = time.process_time(), time.perf_counter()
    nearest_clips(ids, vectors, query)
    seconds.append((time.process_time() - before[0], time.perf_counter() - before[1]))
processor, clock = np.median(seconds[1:], axis=0)
said = f"{1e3 * processor:.0f} ms of processor time a query, {1e3 * clock:.0f} ms by the clock"
print(f"{n_clips:,} clips of {width}: {said}")
