"""How fast the transfer explorer follows a slider: made-up data of the size of UCF101.

    python benchmarks/bench_widgets.py [--rounds 5] [--threads 1]

13,320 test clips of 101 unseen classes, 13,320 training clips of 400 seen ones, 2,000 clips of 20 validation
classes, 512 numbers a clip, class texts of 384, 1,010 clips on the map. Every change is to a setting not
looked at before. The logic is `Explorer.score`; the callback is all that happens in Python when a slider
moves, figures and map included. The median of the rounds counts.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from threadpoolctl import threadpool_limits

from zsar_lab.data.catalog import CLIP_COLUMNS, Catalog
from zsar_lab.embed.embeddings import ClipEmbeddings
from zsar_lab.methods.transfer import TransferSettings
from zsar_lab.protocols.protocol import Protocol
from zsar_lab.results.explorer import NO_REDUCTION, REDUCTION_CHOICES, Choice, Explorer
from zsar_lab.text.embeddings import ClassEmbeddings
from zsar_lab.text.prompts import ClassText
from zsar_lab.text.relatedness import KINDS, unit
from zsar_lab.viz.projection import SpaceMap, even_subset
from zsar_lab.viz.widgets.transfer_explorer import TransferExplorer

N_CLIPS, N_UNSEEN, N_SEEN, N_VALIDATION, VALIDATION_CLIPS, WIDTH, TEXT_WIDTH, ON_MAP = (
    13_320,
    101,
    400,
    20,
    2_000,
    512,
    384,
    1_010,
)
NOISE = 6  # of a clip around its class, of which each number is about 1
TARGET_MS = 150
OTHER_SOURCE = "classifier weights"
Seconds = tuple[float, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="how often each change is measured")
    parser.add_argument("--threads", type=int, default=1, help="of matrix products; make lab sets one")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with threadpool_limits(options.threads):
        bench_explorer(options.rounds)


def bench_explorer(rounds: int) -> None:
    """Print the milliseconds of each kind of change."""
    clips, protocol, texts, weights_SD, catalog = made_up()
    started = time.perf_counter()
    explorer = Explorer(clips, protocol, texts, {OTHER_SOURCE: weights_SD})
    print(f"made once a split in {time.perf_counter() - started:.1f} s ({len(texts)} texts, 2 prototypes)")
    widget = TransferExplorer(catalog, explorer, made_up_map(clips, protocol))
    worst = 0.0
    for what, logic, callback in changes(explorer, widget, rounds):
        (logic_ms, logic_cpu), (callback_ms, callback_cpu) = (
            1000 * np.median(seconds, axis=0) for seconds in (logic, callback)
        )
        worst = max(worst, callback_ms)
        print(
            f"{what:34s} logic {logic_ms:5.0f} ms ({logic_cpu:4.0f} of processor time)"
            f"   callback {callback_ms:5.0f} ms ({callback_cpu:4.0f})",
            flush=True,
        )
    print(f"slowest callback {worst:.0f} ms   (target: under {TARGET_MS} ms)")


def changes(
    explorer: Explorer, widget: TransferExplorer, rounds: int
) -> Iterator[tuple[str, list[Seconds], list[Seconds]]]:
    """Each kind of change with the seconds of its rounds, by the logic alone and by the widget."""
    controls = widget.controls
    fresh_k, fresh_tau = itertools.cycle(range(11, N_SEEN)), itertools.count(1)

    def by_logic(reduction: str, number: int) -> Seconds:
        transfer = TransferSettings(10, 0.1 + 1e-6 * next(fresh_tau), KINDS[number % 3])
        return timed(lambda: explorer.score(Choice(transfer, "one", explorer.sources[0], reduction)))

    def by_widget(name: str, number: int) -> Seconds:
        control = controls[name]
        controls["k"].value = next(fresh_k)  # so that nothing was looked at before
        values = (
            [next(fresh_k)] if name == "k" else [value for value in control.options if value != control.value]
        )
        return timed(lambda: setattr(control, "value", values[number % len(values)]))

    def measured(reduction: str, name: str) -> tuple[list[Seconds], list[Seconds]]:
        logic = [by_logic(reduction, number) for number in range(rounds)]
        return logic, [by_widget(name, number) for number in range(rounds)]

    for reduction in REDUCTION_CHOICES:
        widget.choose(reduction=reduction)
        yield f"k, reduction {reduction}", *measured(reduction, "k")
    widget.choose(reduction=NO_REDUCTION)
    for name in ("tau", "relatedness", "source", "class_text"):
        yield name, *measured(NO_REDUCTION, name)


def made_up() -> tuple[ClipEmbeddings, Protocol, dict[str, ClassEmbeddings], np.ndarray, Catalog]:
    random = np.random.default_rng(0)
    groups = {
        "seen": (N_SEEN, N_CLIPS + N_SEEN),
        "validation": (N_VALIDATION, VALIDATION_CLIPS),
        "unseen": (N_UNSEEN, N_CLIPS),
    }
    names = {group: tuple(f"{group}{number}" for number in range(n)) for group, (n, _) in groups.items()}
    everyone = sum(names.values(), ())
    text_CF = random.normal(size=(len(everyone), TEXT_WIDTH))
    to_visual = random.normal(size=(TEXT_WIDTH, WIDTH)) / TEXT_WIDTH**0.5
    labels = [names[group][number % n] for group, (n, n_clips) in groups.items() for number in range(n_clips)]
    position = {name: row for row, name in enumerate(everyone)}
    rows = unit(
        text_CF[[position[name] for name in labels]] @ to_visual
        + NOISE * random.normal(size=(len(labels), WIDTH))
    ).astype(np.float32)
    ids = tuple(f"clip{number}" for number in range(len(labels)))
    clips = ClipEmbeddings(ids, tuple(labels), rows, np.zeros((len(ids), 0, WIDTH), np.float16), "print")
    held_out, trained, validated = (
        ids[:N_SEEN],
        ids[N_SEEN : N_CLIPS + N_SEEN],
        ids[N_CLIPS + N_SEEN : -N_CLIPS],
    )
    protocol = Protocol("made-up split", *names.values(), trained, held_out, validated, ids[-N_CLIPS:])
    noisy = text_CF + random.normal(size=text_CF.shape)
    texts = {
        prompt: embedded(prompt, everyone, values) for prompt, values in (("one", text_CF), ("two", noisy))
    }
    catalog = Catalog(
        "made-up",
        Path("."),
        pd.DataFrame([], columns=CLIP_COLUMNS),
        pd.DataFrame({"name": everyone, "label": everyone}),
    )
    return clips, protocol, texts, random.normal(size=(N_SEEN, WIDTH)), catalog


def embedded(prompt: str, names: tuple[str, ...], values_CF: np.ndarray) -> ClassEmbeddings:
    text = ClassText(prompt, names, tuple(f"{prompt} of {name}" for name in names))
    words, mask = np.zeros((len(names), 1, 4), np.float32), np.ones((len(names), 1), bool)
    return ClassEmbeddings(text, "encoder", unit(values_CF).astype(np.float32), words, mask)


def made_up_map(clips: ClipEmbeddings, protocol: Protocol) -> SpaceMap:
    """Places at random: how they were found does not matter to the speed."""
    random, groups = np.random.default_rng(1), ("seen", "validation", "unseen")
    group_of = {name: group for group in groups for name in getattr(protocol, group)}
    rows = even_subset(clips.labels, tuple(group_of), ON_MAP, 0)
    n_seen, n_unseen = len(protocol.seen), len(protocol.unseen)
    places = [random.normal(size=(n, 2)) for n in (n_seen, n_unseen, n_unseen, n_seen, n_unseen)]
    classes = tuple(clips.labels[row] for row in rows)
    ids = tuple(clips.ids[row] for row in rows)
    found = ids, classes, tuple(group_of[name] for name in classes), random.normal(size=(len(rows), 2))
    return SpaceMap(
        "made-up map",
        *found,
        protocol.seen,
        protocol.unseen,
        *places,
        0.9,
        Path("."),
        "all",
        np.ones(len(rows)),
        0.01,
    )


def timed(action: Callable[[], object]) -> Seconds:
    """On the clock, and of processor time."""
    started, processor = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - started, time.process_time() - processor


if __name__ == "__main__":
    main()
