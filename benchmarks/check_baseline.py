"""Compare a demo study with the one kept in baseline.json: weights, embeddings and scores, bit for bit.

Run after a change that must move no number, on the kind of processor that baseline.json names (others round
differently): python benchmarks/check_baseline.py runs/demo
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file

from zsar_lab.workspace import Workspace

BASELINE = Path(__file__).with_name("baseline.json")


def digest(arrays: dict[str, np.ndarray]) -> str:
    """Of names, types, shapes and bytes, in the order of the names."""
    found = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        found.update(f"{name}{array.dtype.str}{array.shape}".encode() + array.tobytes())
    return found.hexdigest()[:16]


def of_split(workspace: Workspace, split: str) -> dict[str, str]:
    """Digests of a split's checkpoint, embeddings and scores of every method, by name."""
    predictions = workspace.predictions(split)
    tensors = load_file(workspace.run_folder(split) / "checkpoint.safetensors")
    parts = {
        part: {k: v for k, v in tensors.items() if k.startswith(part)} for part in ("model", "optimiser")
    }
    parts["embeddings"] = {"embedding_ND": workspace.embeddings(split).embedding_ND}
    found = {name: digest(arrays) for name, arrays in parts.items()}
    columns = ["method", "prompt", "reduction", "setting", "candidates"]
    table = predictions.table
    rows = table[(table["role"] == "test") & (table["reduction"] != "calibrated_stacking")]
    for method, prompt, reduction, setting, candidates in (
        rows[columns].drop_duplicates().itertuples(index=False)
    ):
        where = {"prompt": prompt, "reduction": reduction, "setting": setting, "candidates": candidates}
        scores = np.asarray(predictions.scores(method, **where))
        found[" ".join(["scores", method, *where.values()])] = digest({"scores": scores})
    return found


def processor() -> str:
    """What decides the rounding: instructions, number of cores, versions."""
    kind = f"{torch.backends.cpu.get_cpu_capability()}, {os.cpu_count()} cores, {platform.system()}"
    return f"{kind} {platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}"


def main() -> int:
    """Print what differs; the status is 0 when nothing does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace", type=Path, nargs="?", default=Path("runs/demo"))
    parser.add_argument("--write", action="store_true", help="make it the new baseline")
    options = parser.parse_args()
    workspace = Workspace.open(options.workspace)
    now = {split: of_split(workspace, split) for split in workspace.study.splits}
    if options.write:
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
        about = {"commit": commit.stdout.strip(), "processor": processor()}
        BASELINE.write_text(json.dumps(about | {"digests": now}, indent=1) + "\n", encoding="utf-8")
        return 0
    kept, differ = json.loads(BASELINE.read_text(encoding="utf-8")), 0
    for split, digests in kept["digests"].items():
        for name, value in digests.items():
            if now[split].get(name) != value:
                print(f"{split}: {name} was {value}, is {now[split].get(name, 'not there')}")
                differ += 1
    n_arrays, of = sum(map(len, kept["digests"].values())), f"{kept['commit']} ({kept['processor']})"
    print(f"{differ} of {n_arrays} arrays differ from {of}.")
    return int(differ > 0)


if __name__ == "__main__":
    sys.exit(main())
