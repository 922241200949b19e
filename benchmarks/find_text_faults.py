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
    print(
        f"{'dataset':14}{'classes':>8}{'own flagged':>14}{'swap: both':>12}{'swap: one':>11}{'single':>8}{'copy: pair':>12}"
    )
    for dataset in DATASETS:
        classes = pd.read_csv(DATA / dataset / "classes.csv")
        names, labels, texts = (
            list(classes["name"]),
            label(classes),
            list(class_text(classes, description).texts),
        )
        label_CF, text_CF = (
            embed_class_text(class_text(classes, prompt), find_encoder()).pooled_CF
            for prompt in (label, description)
        )

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
        both = one = single = copied = 0
        for i, j in unrelated[random.integers(len(unrelated), size=n_trials)]:
            order = everything.copy()
            order[[i, j]] = j, i
            found = set(flagged(order, everything)["name"]) & {names[i], names[j]}
            both, one = both + (len(found) == 2), one + (len(found) > 0)
            order = everything.copy()
            order[i] = j
            single += names[i] in set(flagged(order, everything[everything != j])["name"])
            copies = flagged(order, everything)
            copied += {names[i], names[j]} <= set(copies["name"][copies["flag"] == DUPLICATE])
        shares = [f"{count / n_trials:.3f}" for count in (both, one, single, copied)]
        print(
            f"{dataset:14}{len(names):8}{clean:8} {100 * clean / len(names):4.1f} %{shares[0]:>12}{shares[1]:>11}{shares[2]:>8}{shares[3]:>12}",
            flush=True,
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
