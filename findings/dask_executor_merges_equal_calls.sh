#!/usr/bin/env bash
# dask's executor runs equal calls once: ten draws of a random number are ten times the same number.
#
# What     dask and distributed 2026.8.0, `client.get_executor()` used like any concurrent.futures executor
# Expected each `submit` runs the function, as ThreadPoolExecutor and ProcessPoolExecutor do
# Seen     ten `submit(draw)` give one number; `get_executor(pure=False)` gives ten
# Matters  code that takes "any executor" is written against concurrent.futures. With dask, repeated measurements are one, seeds
#          drawn in the worker are equal, augmented views of a clip are copies (spread 0), and a retry of a failed call gives
#          the stored error without trying again.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq dask==2026.8.0 distributed==2026.8.0
cd "$folder"
venv/bin/python - <<'PY'
import random
from concurrent.futures import ThreadPoolExecutor

import dask
from distributed import Client


def draw():
    return random.random()


def different(executor):
    return len({future.result() for future in [executor.submit(draw) for _ in range(10)]})


with ThreadPoolExecutor(2) as threads, Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address=None) as client:
    plain, seen, impure = different(threads), different(client.get_executor()), different(client.get_executor(pure=False))

print(f"dask {dask.__version__}")
print(f"expected: 10 different numbers, as ThreadPoolExecutor gives: {plain}")
print(f"seen: {seen}; with pure=False {impure}")
assert plain == impure == 10
assert seen == 1, "the behaviour changed"
PY
