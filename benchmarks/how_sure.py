"""Does "unsure", chosen on validation classes, hold on unseen ones? Over splits, prompts and candidates.

    python benchmarks/how_sure.py [WORKSPACE] [CANDIDATES]

Needs a finished demo (make demo). Half of each split's unseen classes at most are candidates, the others are
"none of these"."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

import zsar_lab as zl
from zsar_lab.infer.classifier import N_SUBSETS, choose_thresholds
from zsar_lab.infer.export import export_split
from zsar_lab.methods.clips import SplitClips
from zsar_lab.results.calibration import confidences


def on_unseen(scores_BU, targets_B, method, thresholds, n_candidates: int) -> dict[str, float]:
    """Shares over the subsets of candidates: what is told apart, marked and right."""
    rng, rows = np.random.default_rng(1), []
    for _ in range(N_SUBSETS):
        chosen = rng.permutation(scores_BU.shape[1])[:n_candidates]
        scores = scores_BU[:, chosen].astype(float)
        known = np.isin(targets_B, chosen)
        best, confidence = scores.max(1), confidences(scores, method["temperature"]).max(1)
        right, near, sure = (
            chosen[scores.argmax(1)] == targets_B,
            best >= thresholds.min_score,
            confidence >= thresholds.min_confidence,
        )
        answered = known & near & sure
        rows.append(
            {
                "AUROC of none of these": roc_auc_score(known, best),
                "by confidence": roc_auc_score(known, confidence),
                "own marked": (~near)[known].mean(),
                "others marked": (~near)[~known].mean(),
                "own sure": answered[known].mean(),
                "right": right[known].mean(),
                "right of sure": right[answered].mean() if answered.any() else np.nan,
                "others sure": (near & sure)[~known].mean(),
            }
        )
    return pd.DataFrame(rows).mean().to_dict()


def main() -> None:
    workspace = zl.open_workspace(sys.argv[1] if len(sys.argv) > 1 else "runs/demo")
    wanted, rows = int(sys.argv[2]) if len(sys.argv) > 2 else 5, []
    for split in workspace.study.splits:
        shared, gathered = (
            export_split(workspace, split),
            SplitClips.of(workspace.embeddings(split), workspace.protocol(split)),
        )
        for (name, prompt), method in shared.methods.items():
            if name == "transfer":
                scores = gathered.fit(workspace.class_embeddings(prompt), "transfer").scores(gathered.test)
                thresholds = choose_thresholds(
                    method["scores_BV"], shared.arrays["targets"], method["temperature"], wanted
                )
                found = on_unseen(scores, gathered.test.targets, method, thresholds, thresholds.n_candidates)
                rows.append(
                    {"class text": prompt, "split": split, "promised sure": thresholds.coverage} | found
                )
    print(pd.DataFrame(rows).drop(columns="split").groupby("class text").mean().round(3).T.to_string())


if __name__ == "__main__":
    main()
