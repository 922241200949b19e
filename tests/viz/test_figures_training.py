"""viz/figures/training: losses, accuracies and meters as drawn, and as told beneath the figures."""

from __future__ import annotations

from dataclasses import replace

import pytest

from zsar_lab.protocols.protocol import Protocol
from zsar_lab.train.meters import FORMATS
from zsar_lab.viz.figures.training import (
    GFLOP_PER_CLIP,
    PANELS,
    SUMMED_LOSS,
    chance_levels,
    is_loss,
    measured,
    numbers_in_words,
    training_curves,
)

METERS = {"clips_per_s": 100.0, "waiting_share": 0.02, "gflop_per_s": 25.0, "peak_share": 0.125}
METERS |= {"memory_mb": 1512.25}
LATER = {"clips_per_s": 50.0, "seen_top1": 0.75, "validation_direct_top1": 0.5}
HISTORY = [
    {"epoch": 1, "step": 4, "alignment": 2.0, "matching": 0.5} | METERS,
    {"epoch": 2, "step": 8, "alignment": 1.0, "matching": 0.25} | METERS | LATER,
]
BEFORE_THE_METERS = [{"epoch": n, "step": n, "alignment": 1.0, "clips_per_s": 80.0 + n} for n in (1, 2)]
OF_A = {
    (SUMMED_LOSS, "a"): ([1, 2], [2.5, 1.25]),
    ("seen_top1", "a"): ([2], [75.0]),
    ("validation_direct_top1", "a"): ([2], [50.0]),
    ("clips_per_s", "a"): ([1, 2], [100.0, 50.0]),
    ("waiting_share", "a"): ([1, 2], [2.0, 2.0]),
    ("peak_share", "a"): ([1, 2], [12.5, 12.5]),
}


def drawn(figure) -> dict[tuple[str, str], tuple[list, list]]:
    """Epochs and values of each curve with a point, by the key of its panel and its name."""
    keys = {title: key for key, title in PANELS.items()}
    found = {}
    for trace in figure.data:
        key = keys[figure.layout["yaxis" + (trace.yaxis or "y")[1:]].title.text]
        found |= {(key, trace.name): (list(trace.x), list(trace.y))} if trace.x != (None,) else {}
    return found


def notes(figure) -> list[str]:
    return [annotation.text for annotation in figure.layout.annotations]


def test_one_training_is_drawn_with_each_of_its_losses():
    losses = {"alignment": ([1, 2], [2.0, 1.0]), "matching": ([1, 2], [0.5, 0.25])}
    wanted = OF_A | {(SUMMED_LOSS, name): points for name, points in losses.items()}
    assert drawn(training_curves({"a": HISTORY})) == wanted


def test_several_splits_have_one_colour_each_in_all_panels():
    figure = training_curves({"a": HISTORY, "b": BEFORE_THE_METERS, "late": []}, "demo")
    of_b = {(SUMMED_LOSS, "b"): ([1, 2], [1.0, 1.0]), ("clips_per_s", "b"): ([1, 2], [81.0, 82.0])}
    assert drawn(figure) == OF_A | of_b
    looks = {(trace.name, trace.line.color) for trace in figure.data}
    assert len(looks) == len({colour for _, colour in looks}) == 3
    assert [trace.name for trace in figure.data if trace.showlegend] == ["a", "b", "late"]
    assert "not measured" not in notes(figure)


def test_a_panel_without_numbers_says_so():
    figure = training_curves({"a": BEFORE_THE_METERS, "b": []})
    *missing, numbers = notes(figure)
    assert missing == ["not measured"] * 4 and numbers == "last measured: 1.00 loss, 82.0 clips/s"
    # plotly draws only axes of a trace with points, and words only on axes that it draws
    assert all(trace.x for trace in figure.data) and len({trace.yaxis for trace in figure.data}) == len(
        PANELS
    )


@pytest.mark.parametrize("histories", [{"a": []}, {"a": [], "b": []}])
def test_before_the_first_epoch(histories):
    figure = training_curves(histories, "x", {"seen_top1": 0.5})
    assert notes(figure) == ["no epoch is finished yet"] and not drawn(figure)


@pytest.mark.parametrize("n_epochs", [1, 8, 9])
def test_few_epochs_are_numbered_one_by_one(n_epochs):
    figure = training_curves({"a": [{"epoch": n + 1, "alignment": 1.0} for n in range(n_epochs)]})
    assert {axis.dtick for axis in figure.select_xaxes()} == ({1} if n_epochs < 9 else {None})


def test_chance_is_a_dotted_line_in_the_panel_of_its_accuracy():
    protocol = Protocol("half-0", ("a", "b", "c", "d"), ("e", "f"), ("g", "h"), ("1",), (), ("2",), ("3",))
    chance = chance_levels(protocol)
    assert chance == {"seen_top1": 0.25, "validation_direct_top1": 0.5}
    assert chance_levels(replace(protocol, validation=(), validation_clips=())) == {"seen_top1": 0.25}
    figure = training_curves({"a": HISTORY}, "demo", chance)
    assert [(line.yref, line.y0, line.y1) for line in figure.layout.shapes] == [
        ("y2", 25, 25),
        ("y3", 50, 50),
    ]
    assert "demo; dotted: chance, 25.0 % on seen, 50.0 % on validation" in figure.layout.title.text
    assert not training_curves({"a": HISTORY}).layout.shapes


def test_gflop_per_clip_is_the_quotient_of_two_rates():
    assert measured(HISTORY, GFLOP_PER_CLIP) == ([1, 2], [0.25, 0.5])
    without = [{"epoch": 1, "gflop_per_s": 3.0}, {"epoch": 2, "clips_per_s": 0.0, "gflop_per_s": 0.0}]
    assert measured(without, GFLOP_PER_CLIP) == ([], [])


def test_meters_are_no_losses():
    keys = {"epoch", "step", "seen_top1", "validation_direct_top1", *FORMATS}
    assert not {key for key in keys if is_loss(key)} and is_loss("alignment")
    assert measured([dict.fromkeys(keys, 1.0)], SUMMED_LOSS) == ([], [])


def test_the_numbers_beneath_are_the_last_ones_of_least_and_most():
    words = (
        "1.25 loss, 75.0 % top-1 on seen classes, 50.0 % top-1 on validation classes, 50.0 clips/s,"
        " 2.0 % of the time waiting for data, 0.5 GFLOP per clip, 12.5 % of the device's measured peak,"
        " 1,512 MB of memory at most"
    )
    assert " ".join(numbers_in_words([HISTORY]).split()) == words
    assert notes(training_curves({"a": HISTORY}))[0].replace("<br>", " ") == "last measured: " + words
    both = " ".join(numbers_in_words([HISTORY, BEFORE_THE_METERS, []]).split())
    assert both.startswith("1.00 to 1.25 loss, 75.0 % top-1") and "50.0 to 82.0 clips/s, 2.0 % of" in both
    assert numbers_in_words([[], []]) == numbers_in_words([]) == ""
