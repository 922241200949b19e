"""Classify a thousand short videos: the rate, what overlapping decoding and model gains, and memory.

    python benchmarks/bench_own_videos.py [WORKSPACE] [CLIPS]

Needs a finished demo (make demo). Ratios: the time of decoding all and then embedding all, over that of both
at once; and what gamma, thresholds and the search for names that were trained on add to all of it."""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

import zsar_lab as zl
from zsar_lab.data.datasets.folders import find_videos
from zsar_lab.data.reading import read_windows
from zsar_lab.infer.predictions import AT_ONCE, embed_windows, predict

NAMES = ["jumping", "sitting down", "swimming", "playing an instrument", "sweeping the floor"]


def rss_mb() -> float:
    """Of this process now (MB); of Linux."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def at_once(videos, model, classifier) -> tuple[float, list[float]]:
    """Seconds, and memory after each tenth of the clips."""
    started, named, memory = time.perf_counter(), 0, []
    for part in embed_windows(videos, model):
        named += len(predict(part, classifier))
        if named >= (len(memory) + 1) * len(videos) / 10:
            memory.append(rss_mb())
    return time.perf_counter() - started, memory


def one_after_the_other(videos, model) -> tuple[float, float]:
    """Seconds of decoding all, and of embedding all."""
    started = time.perf_counter()
    frames = np.concatenate(
        [read.frames_VTHWC for read in read_windows(videos["path"].tolist(), model.frames)]
    )
    decoded = time.perf_counter()
    for first in range(0, len(frames), AT_ONCE):
        model.embed(frames[first : first + AT_ONCE])
    return decoded - started, time.perf_counter() - decoded


def added(windows, model, classifier) -> tuple[float, float]:
    """Seconds of naming all windows at once, a part at a time: as it is, and by the scores alone."""
    plain, seconds = replace(classifier, thresholds=None, gamma=0.0), []
    for one in (classifier, plain):
        started = time.perf_counter()
        for first in range(0, len(windows), AT_ONCE):
            predict(windows.iloc[first : first + AT_ONCE], one)
        seconds.append(time.perf_counter() - started)
    return seconds[0], seconds[1]


def main() -> None:
    workspace = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/demo")
    n_clips = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    model = zl.load_model(workspace)
    names = [*NAMES, *model.seen["name"][:4]]  # new ones and trained ones
    model.classifier(names)  # the text encoder is opened and the texts are read
    started = time.perf_counter()
    classifier = model.classifier(names)
    choosing = time.perf_counter() - started
    videos = find_videos(workspace / "videos").iloc[:n_clips].reset_index(drop=True)
    at_once(videos.iloc[:50], model, classifier)
    seconds, memory = at_once(videos, model, classifier)
    decoding, embedding = one_after_the_other(videos, model)
    print(f"{len(videos)} videos classified in {seconds:.1f} s: {len(videos) / seconds:.0f} videos/s")
    print(
        f"decoding {decoding:.1f} s, then embedding {embedding:.1f} s:"
        f" {(decoding + embedding) / seconds:.2f} times as long"
    )
    windows = pd.concat(list(embed_windows(videos, model)), ignore_index=True)
    now, before = added(windows, model, classifier)
    more = (choosing + now - before) / (seconds - choosing - now + before)
    print(
        f"choosing gamma and thresholds {choosing:.2f} s, naming {now:.2f} s, by scores alone {before:.2f} s"
    )
    print(f"so all takes {100 * more:+.1f} % longer than by scores alone")
    print("memory of this process after each tenth (MB): " + " ".join(f"{mb:.0f}" for mb in memory))


if __name__ == "__main__":
    main()
