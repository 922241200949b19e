"""Scoring at scale: embeddings under many splits, a million clips in blocks, ten million predictions.

    python benchmarks/bench_evaluation.py splits [--protocols half-0..49 random-0..49 intra-0..49]
    python benchmarks/bench_evaluation.py clips [--n 1000000]
    python benchmarks/bench_evaluation.py predictions [--n 10000000]

Made-up embeddings of clustered clips: `splits` has UCF101's number of clips and classes, scored by
`zl.evaluate` with everything that a split allows, and the table of it; `clips` has 700 classes and float16
embeddings in a memory map, against numpy's bare matrix product of the same blocks. Each prints seconds on
the clock and of processor time, and the peak memory of this process; give it one part at a time, for the
peak is of all that ran before."""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd

WIDTH, NOISE = 512, 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=("splits", "clips", "predictions"))
    parser.add_argument("--protocols", nargs="+", default=["half-0..49", "random-0..49"])
    parser.add_argument("--n", type=int, help="clips, or rows of predictions")
    parser.add_argument("--digest", type=Path, help="write the tables of `splits` there, as csv")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.part == "splits":
            splits(Path(folder), options.protocols, options.digest)
        elif options.part == "clips":
            clips(Path(folder), options.n or 1_000_000)
        else:
            predictions(Path(folder), options.n or 10_000_000)


class Clock:
    """Seconds since it was made, on the clock and of processor time."""

    def __init__(self) -> None:
        self.at = time.perf_counter(), time.process_time()

    def said(self, what: str) -> float:
        """Print them, and the peak memory so far; returns those on the clock."""
        now = time.perf_counter(), time.process_time()
        wall, processor = (after - before for before, after in zip(self.at, now))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"{what}: {wall:.2f} s, {processor:.2f} s of processor time; peak {peak:.2f} GB", flush=True)
        return wall


def clustered(targets: np.ndarray, n_classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Clips around their classes, float32 [N, WIDTH], and texts of these classes in the same space."""
    random = np.random.default_rng(seed)
    centre_CD = random.normal(size=(n_classes, WIDTH))
    text_CD = centre_CD + 2 * random.normal(size=centre_CD.shape)
    noise_ND = random.standard_normal((len(targets), WIDTH), dtype=np.float32)
    return centre_CD.astype(np.float32)[targets] + 6 * NOISE * noise_ND, text_CD


def splits(folder: Path, protocols: list[str], digest: Path | None) -> None:
    import zsar_lab as zl
    from zsar_lab.data.datasets import class_list

    names = class_list("ucf101")["name"].tolist()
    sizes = np.random.default_rng(0).multinomial(13_320 - 100 * 101, np.full(101, 1 / 101)) + 100
    targets = np.repeat(np.arange(101), sizes)
    ids = [
        f"{names[c]}/v_{names[c]}_g{n % 25 + 1:02d}_c{n // 25 + 1:02d}"
        for c in range(101)
        for n in range(sizes[c])
    ]
    for one in ids:
        path = folder / f"{one}.avi"
        path.parent.mkdir(exist_ok=True)
        path.touch()
    vectors, texts = clustered(targets, len(names))
    given = zl.Embeddings(ids, vectors, names, texts)
    for one in protocols:
        whole = clock = Clock()
        found = zl.evaluate(given, folder, one)
        clock.said(f"{one}: zl.evaluate")
        clock = Clock()
        table = found.table()
        clock.said(f"{one}: table, {len(table)} rows")
        whole.said(f"{one}: both")
        if digest:
            table.to_csv(digest / f"{one.replace('.', '_')}.csv", index=False)
            kept = {
                s.split: {
                    "|".join(map(str, k.key)): float(np.abs(s.scores(**k.where)).sum()) for k in s.scored
                }
                for s in found.splits()[:3]
            }
            pd.DataFrame(kept).to_csv(digest / f"{one.replace('.', '_')}_scores.csv")
        del found


def clips(folder: Path, n: int) -> None:
    from zsar_lab.embed.embeddings import ClipEmbeddings
    from zsar_lab.methods.clips import ClassPoints, ClipGroup
    from zsar_lab.protocols.protocol import Protocol
    from zsar_lab.results.evaluate import evaluate_points
    from zsar_lab.results.predictions import Blocks, judge
    from zsar_lab.text.embeddings import ClassEmbeddings
    from zsar_lab.text.prompts import ClassText

    names = tuple(f"class {c:03d}" for c in range(700))
    targets = np.sort(np.arange(n) % len(names))
    rows = np.memmap(folder / "clips.f16", np.float16, "w+", shape=(n, WIDTH))
    for start in range(0, n, 50_000):
        part = targets[start : start + 50_000]
        made, texts = clustered(part, len(names))
        rows[start : start + 50_000] = made
    del made
    rows.flush()
    rows = np.memmap(folder / "clips.f16", np.float16, "r", shape=(n, WIDTH))
    texts = texts.astype(np.float32)
    ids = tuple(f"clip {number:07d}" for number in range(n))
    group = ClipGroup(names, ids, rows, targets)
    ready = ClassPoints("direct", "given", names, texts)
    score = ready.fit(SimpleNamespace(validation=SimpleNamespace(ids=()))).scores
    blocks = Blocks(score, group)
    seconds = {"product": 0.0, "ours": 0.0}
    unit_DC = np.ascontiguousarray((texts / np.linalg.norm(texts, axis=1, keepdims=True)).T)
    for place, _ in Blocks(lambda part: part, group).parts():
        block_BD = group.part(place).embedding_BD
        started = time.perf_counter()
        block_BD @ unit_DC
        seconds["product"] += time.perf_counter() - started
    started = time.perf_counter()
    for place, scores_BC in blocks.parts():
        judge(scores_BC, targets[place], None)
    seconds["ours"] = time.perf_counter() - started
    ratio = seconds["product"] / seconds["ours"]
    print(
        f"{n:,} clips, {len(names)} classes: products alone {seconds['product']:.2f} s, read, scored"
        f" and judged {seconds['ours']:.2f} s: {ratio:.2f} of the rate"
    )
    none = np.zeros((len(names), 1, 1), np.float32), np.zeros((len(names), 1), bool)
    text = ClassEmbeddings(ClassText("given", names, names), "texts", texts, *none)
    labels = tuple(names[c] for c in targets.tolist())
    tokens = np.zeros((n, 0, WIDTH), np.float16)
    given = ClipEmbeddings(ids, labels, rows, tokens, "made up")
    protocol = Protocol("all", (), (), names, (), (), (), ids)
    clock = Clock()
    found = evaluate_points(given, protocol, [ready], [text], ["direct"])
    clock.said("evaluate_points with the upper bound")
    print(f"top-1 {(found.judged(found.find('direct', 'given')).rank_B == 1).mean():.4f}")


def predictions(folder: Path, n: int) -> None:
    from zsar_lab.results.outside import read_predictions, score_predictions

    random, path = np.random.default_rng(0), folder / "predictions.csv"
    with open(path, "w") as file:
        file.write("video,label,prediction\n")
        for start in range(0, n, 1_000_000):
            size = min(1_000_000, n - start)
            targets = random.integers(0, 700, size)
            others = random.integers(0, 700, size)
            predicted = np.where(random.random(size) < 0.5, targets, others)
            file.writelines(
                f"video {start + k},class {a:03d},class {b:03d}\n"
                for k, (a, b) in enumerate(zip(targets.tolist(), predicted.tolist()))
            )
    clock = Clock()
    scores = score_predictions(read_predictions(path))
    clock.said(f"{n:,} predictions of {path.stat().st_size / 1e6:.0f} MB, top-1 {scores.figures['top1']:.4f}")


if __name__ == "__main__":
    main()
