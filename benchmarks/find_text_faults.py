"""How many planted faults of class texts are flagged, and how many of our own descriptions are, by dataset.

    python benchmarks/find_text_faults.py [TRIALS]

A swap exchanges the descriptions of two unrelated classes (labels less alike than half of all pairs); a
single fault gives one class the description of an unrelated one and leaves the other out of the set; a copy
gives one class the very text of another."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from zsar_lab.text.embeddings import embed_class_text
from zsar_lab.text.encoder_files import find_encoder
from zsar_lab.text.lint import DUPLICATE, find_flags
from zsar_lab.text.prompts import class_text, description, label

DATA = Path(__file__).parents[1] / "data"
DATASETS = ("ucf101", "kinetics400", "hmdb51", "activitynet", "kinetics600", "kinetics700", "demo")


def main(n_trials: int) -> None:
    print(f"{n_trials} trials of each fault, seed 0, {find_encoder()}")
    columns = ("swap: both", "swap: one", "single", "copy: pair")
    print(f"{'dataset':14}{'classes':>8}{'own flagged':>14}" + "".join(f"{name:>12}" for name in columns))
    for dataset in DATASETS:
        print(faults_found(dataset, n_trials), flush=True)


def faults_found(dataset: str, n_trials: int) -> str:
    classes = pd.read_csv(DATA / dataset / "classes.csv")
    names, labels, texts = list(classes["name"]), label(classes), description(classes)
    both = (class_text(classes, prompt) for prompt in (label, description))
    label_CF, text_CF = (embed_class_text(text, find_encoder()).pooled_CF for text in both)

    def flagged(order: np.ndarray, kept: np.ndarray) -> pd.DataFrame:
        """Flags when class i has the description of class order[i], on the kept classes."""
        rows = [(names[i], labels[i], texts[order[i]]) for i in kept]
        chosen, own, given = map(list, zip(*rows))
        return find_flags(chosen, own, label_CF[kept], text_CF[order[kept]], given)

    everything, random = np.arange(len(names)), np.random.default_rng(0)
    clean = flagged(everything, everything)["name"].nunique()
    alike = label_CF @ label_CF.T
    limit = np.median(alike[~np.eye(len(names), dtype=bool)])
    unrelated = np.argwhere(alike < limit)
    found = np.zeros(4)
    for i, j in unrelated[random.integers(len(unrelated), size=n_trials)]:
        order = everything.copy()
        order[[i, j]] = j, i
        n_swapped = len(set(flagged(order, everything)["name"]) & {names[i], names[j]})
        order = everything.copy()
        order[i] = j
        single = names[i] in set(flagged(order, everything[everything != j])["name"])
        copies = flagged(order, everything)
        copied = {names[i], names[j]} <= set(copies["name"][copies["flag"] == DUPLICATE])
        found += n_swapped == 2, n_swapped > 0, single, copied
    own = f"{len(names):8}{clean:8} {100 * clean / len(names):4.1f} %"
    return f"{dataset:14}{own}" + "".join(f"{share:12.3f}" for share in found / n_trials)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
