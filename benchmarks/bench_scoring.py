"""50 half-class splits under six methods from one set of clip embeddings: all at once, and each split and
method afresh.

    python benchmarks/bench_scoring.py [--splits 50] [--rounds 3] [--threads 2]

Made-up embeddings of the size of UCF101: 13,320 clips of 101 classes (100 to 167 each), 512 numbers a clip,
class texts of 384. The afresh side scores a split's clips against the split's classes as it is done for one
split: class points, scores, top-1, top-5, mean over classes and N_1 skewness, from what is fitted once
(prototypes, ridge maps). Both sides start from the embeddings, and their figures must agree. The sides take
turns; the best of the rounds counts for each."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from threadpoolctl import threadpool_limits

from zsar_lab.methods.clips import class_means, nearest_scores
from zsar_lab.methods.metrics import mean_class_accuracy, top_k_accuracy
from zsar_lab.methods.ridge import RidgeMap, RidgeSums
from zsar_lab.methods.transfer import TransferSettings, compose_prototypes, weights_by_text
from zsar_lab.protocols.splits import half_split
from zsar_lab.results.hubness import hubness, k_occurrence
from zsar_lab.results.many_splits import score_splits
from zsar_lab.text.relatedness import unit

N_CLIPS, N_CLASSES, N_SEEN, WIDTH, TEXT_WIDTH = 13_320, 101, 400, 512, 384
NOISE = 6  # of a clip around its class, of which each number is about 1
FIGURES = ("top1", "top5", "mean_class", "n1_skewness")
RIDGES = ("ridge", "ridge centred")


@dataclass(frozen=True, eq=False)
class MadeUp:
    """Clips, and what the methods have fitted once: points of all classes for those that take a cosine, and
    a ridge map with the class texts.
    """

    embedding_ND: np.ndarray
    targets: np.ndarray
    points_CD: dict[str, np.ndarray]
    ridge: RidgeMap
    text_CF: np.ndarray

    def scores(self, method: str, clips: np.ndarray | slice, classes: np.ndarray | slice) -> np.ndarray:
        """Of these clips and classes, [B, K]."""
        if method in RIDGES:
            return self.ridge.scores(
                self.embedding_ND[clips], self.text_CF[classes], centred=method == RIDGES[1]
            )
        return nearest_scores(self.embedding_ND[clips], self.points_CD[method][classes])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--splits", type=int, default=50, help="half-class splits")
    parser.add_argument("--rounds", type=int, default=3, help="how often each side is measured")
    parser.add_argument("--threads", type=int, default=2, help="of both sides")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    data = made_up()
    splits = [np.sort(half_split(N_CLASSES, split)) for split in range(options.splits)]
    methods = (*data.points_CD, *RIDGES)
    with threadpool_limits(options.threads):
        compare("six methods", data, methods, splits, options.rounds)


def made_up() -> MadeUp:
    """Float32 clips and float64 class points, as the library has them."""
    random = np.random.default_rng(0)
    sizes = random.multinomial(N_CLIPS - 100 * N_CLASSES, np.full(N_CLASSES, 1 / N_CLASSES)) + 100
    targets = np.repeat(np.arange(N_CLASSES), sizes)
    text_SF, text_UF = random.normal(size=(N_SEEN, TEXT_WIDTH)), random.normal(size=(N_CLASSES, TEXT_WIDTH))
    to_visual = random.normal(size=(TEXT_WIDTH, WIDTH)) / TEXT_WIDTH**0.5
    seen = np.repeat(np.arange(N_SEEN), 20)
    seen_ND = unit(text_SF[seen] @ to_visual + NOISE * random.normal(size=(len(seen), WIDTH)))
    embedding_ND = unit(text_UF[targets] @ to_visual + NOISE * random.normal(size=(N_CLIPS, WIDTH))).astype(
        np.float32
    )
    label_CD = text_UF @ to_visual + random.normal(size=(N_CLASSES, WIDTH))
    prototypes = class_means(seen_ND, seen, N_SEEN)
    ridge = RidgeSums.of(seen_ND, seen, N_SEEN).fit(text_SF, 0.01)

    points = {"direct": label_CD}
    for method, kind in (
        ("transfer", "centred"),
        ("transfer, plain", "plain"),
        ("transfer, whitened", "whitened"),
    ):
        points[method] = compose_prototypes(
            weights_by_text(text_UF, text_SF, TransferSettings(10, 0.1, kind)), prototypes
        )
    return MadeUp(embedding_ND, targets, points, ridge, text_UF)


def at_once(data: MadeUp, methods: tuple[str, ...], splits: list) -> pd.DataFrame:
    cosines = nearest_scores(data.embedding_ND, np.concatenate(list(data.points_CD.values())))
    scores = {
        method: cosines[:, N_CLASSES * i : N_CLASSES * (i + 1)] for i, method in enumerate(data.points_CD)
    }
    offset_NF = (data.embedding_ND - data.ridge.visual_mean_D) @ data.ridge.weight_DF
    scores[RIDGES[0]] = nearest_scores(offset_NF + data.ridge.text_mean_F, data.text_CF)
    scores[RIDGES[1]] = nearest_scores(offset_NF, data.text_CF - data.ridge.text_mean_F)

    return score_splits(scores, data.targets, splits)


def afresh(data: MadeUp, methods: tuple[str, ...], splits: list) -> pd.DataFrame:
    rows = []
    for method in methods:
        for number, classes in enumerate(splits):
            clips = np.flatnonzero(np.isin(data.targets, classes))
            scores, truth = data.scores(method, clips, classes), np.searchsorted(classes, data.targets[clips])
            figures = (
                top_k_accuracy(scores, truth, 1),
                top_k_accuracy(scores, truth, 5),
                mean_class_accuracy(scores, truth),
            )
            rows.append(
                (
                    method,
                    number,
                    len(classes),
                    len(clips),
                    *figures,
                    hubness(k_occurrence(scores, 1), 1).skewness,
                )
            )
    return pd.DataFrame(rows, columns=["method", "split", "n_classes", "n_clips", *FIGURES])


def compare(what: str, data: MadeUp, methods: tuple[str, ...], splits: list, rounds: int) -> None:
    seconds = {"at once": [], "afresh": []}
    for _ in range(rounds):
        ours, theirs = (
            timed(lambda: at_once(data, methods, splits)),
            timed(lambda: afresh(data, methods, splits)),
        )
        seconds["at once"].append(ours[1:])
        seconds["afresh"].append(theirs[1:])
    pd.testing.assert_frame_equal(ours[0], theirs[0], check_dtype=False, rtol=0, atol=1e-9)
    top1, best = ours[0]["top1"].mean(), {side: np.min(times, axis=0) for side, times in seconds.items()}
    clock, processor = best["afresh"] / best["at once"]
    print(
        f"\n{what}: {len(splits)} splits, {N_CLIPS} clips, {N_CLASSES} classes; figures equal to 1e-9,"
        f" mean top-1 {100 * top1:.1f} %"
    )
    for side, times in seconds.items():
        rounds_shown = " ".join(f"{on_clock:.2f}" for on_clock, _ in times)
        print(
            f"{side:8s} {best[side][0]:6.2f} s, {best[side][1]:6.2f} s of processor"
            f" time   (rounds {rounds_shown})"
        )
    print(
        f"afresh takes {clock:.1f} x as long, {processor:.1f} x by processor time"
        "   (targets: at once under 10 s, 20 x)",
        flush=True,
    )


def timed(action: Callable[[], pd.DataFrame]) -> tuple[pd.DataFrame, float, float]:
    """The result, and its seconds on the clock and of processor time."""
    started, processor = time.perf_counter(), time.process_time()
    result = action()
    return result, time.perf_counter() - started, time.process_time() - processor


if __name__ == "__main__":
    main()
