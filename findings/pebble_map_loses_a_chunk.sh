#!/usr/bin/env bash
# pebble's map gives one outcome for a whole chunk when a worker dies: results slip against their inputs.
#
# What     pebble 5.2.3, `ProcessPool.map(f, range(16), chunksize=4)`, the worker of input 5 is killed
# Expected sixteen outcomes, the fourth to seventh of them errors (an exception raised by f at 5 gives exactly one error)
# Seen     thirteen outcomes: the chunk 4..7 is a single ProcessExpired, and from there on the n-th outcome is that of n + 3
# Matters  a video that takes the decoder down is why one uses pebble. Zipping outcomes with the list of clips, as one does with
#          `map`, gives each later clip another clip's frames or label, and the last three none. `chunksize=1` is right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq pebble==5.2.3
cd "$folder"
cat > decode.py <<'PY'
import os
import signal
from importlib.metadata import version

from pebble import ProcessPool


def raises(k):
    if k == 5:
        raise ValueError(k)
    return k


def dies(k):
    if k == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return k


def outcomes(function, chunksize):
    found = []
    with ProcessPool(2) as pool:
        results = pool.map(function, range(16), chunksize=chunksize).result()
        while True:
            try:
                found.append(next(results))
            except StopIteration:
                return found
            except Exception as error:
                found.append(type(error).__name__)


if __name__ == "__main__":
    alone, raised, died = outcomes(dies, 1), outcomes(raises, 4), outcomes(dies, 4)
    print(f"pebble {version('pebble')}")
    print(f"expected: 16 outcomes, as with chunksize=1: {alone}, or with an exception: {raised}")
    print(f"seen: {len(died)} outcomes: {died}")
    assert len(alone) == len(raised) == 16
    assert died == [0, 1, 2, 3, "ProcessExpired", *range(8, 16)], "the behaviour changed"
PY
venv/bin/python decode.py
