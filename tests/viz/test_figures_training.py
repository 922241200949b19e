"""viz/figures/training: losses, accuracies and meters as drawn, and as told beneath the figures."""

from __future__ import annotations

from dataclasses import replace

import pytest

from zsar_lab.protocols.protocol import Protocol
from zsar_lab.train.meters import FORMATS
from zsar_lab.viz.figures.training import (
    GFLOP_PER_CLIP,
    SUMMED_LOSS,
    chance_levels,
    is_loss,
    loss_curves,
    measured,
    numbers_in_words,
    split_curves,
)

IMAGE = "<img src=x> %{x} $a$"
METERS = {"clips_per_s": 100.0, "waiting_share": 0.02, "gflop_per_s": 25.0, "peak_share": 0.125}
METERS |= {"memory_mb": 1512.25}
LATER = {"clips_per_s": 50.0, "seen_top1": 0.75, "validation_direct_top1": 0.5}
HISTORY = [
    {"epoch": 1, "step": 4, "alignment": 2.0, "matching": 0.5} | METERS,
    {"epoch": 2, "step": 8, "alignment": 1.0, "matching": 0.25} | METERS | LATER,
]
BEFORE_THE_METERS = [{"epoch": n, "step": n, "alignment": 1.0, "clips_per_s": 80.0 + n} for n in (1, 2)]


def drawn(figure) -> dict[tuple[str, str], tuple[list, list]]:
    """Epochs and values of each curve with a point, by the y axis label of its panel and its name."""
    found = {}
    for trace in figure.data:
        y_title = figure.layout["yaxis" + (trace.yaxis or "y")[1:]].title.text
        found |= {(y_title, trace.name): (list(trace.x), list(trace.y))} if trace.x != (None,) else {}
    return found


def notes(figure) -> list[str]:
    return [annotation.text for annotation in figure.layout.annotations]


def test_one_training_has_a_panel_for_losses_accuracies_speed_and_shares():
    assert drawn(loss_curves(HISTORY)) == {
        ("loss (weighted)", "alignment"): ([1, 2], [2.0, 1.0]),
        ("loss (weighted)", "matching"): ([1, 2], [0.5, 0.25]),
        ("top-1, held-out clips (%)", "seen classes"): ([2], [75.0]),
        ("top-1, held-out clips (%)", "validation (pseudo-unseen)"): ([2], [50.0]),
        ("clips/s", "clips/s"): ([1, 2], [100.0, 50.0]),
        ("share (%)", "time waiting for data"): ([1, 2], [2.0, 2.0]),
        ("share (%)", "of the measured peak"): ([1, 2], [12.5, 12.5]),
    }


def test_several_splits_have_one_colour_each_in_all_panels():
    figure = split_curves({"a": HISTORY, "b": BEFORE_THE_METERS, "late": []}, "demo")
    assert drawn(figure) == {
        ("loss (weighted sum)", "a"): ([1, 2], [2.5, 1.25]),
        ("loss (weighted sum)", "b"): ([1, 2], [1.0, 1.0]),
        ("seen-class top-1 (%)", "a"): ([2], [75.0]),
        ("validation top-1 (%)", "a"): ([2], [50.0]),
        ("clips/s", "a"): ([1, 2], [100.0, 50.0]),
        ("clips/s", "b"): ([1, 2], [81.0, 82.0]),
        ("waiting for data (%)", "a"): ([1, 2], [2.0, 2.0]),
        ("of measured peak (%)", "a"): ([1, 2], [12.5, 12.5]),
    }
    looks = {(trace.name, trace.line.color) for trace in figure.data if trace.name}
    assert len(looks) == len({colour for _, colour in looks}) == 3
    assert [trace.name for trace in figure.data if trace.showlegend] == ["a", "b", "late"]
    assert "not measured" not in notes(figure)


@pytest.mark.parametrize(
    ("figure", "n_missing"),
    [(loss_curves(BEFORE_THE_METERS), 2), (split_curves({"a": BEFORE_THE_METERS, "b": []}), 4)],
)
def test_a_panel_without_numbers_says_so(figure, n_missing):
    *missing, numbers = notes(figure)
    assert missing == ["not measured"] * n_missing
    assert numbers == "last measured: 1.00 loss<br>82.0 clips/s"
    # plotly draws only axes of a trace with points, and words only on axes that it draws
    assert all(trace.x for trace in figure.data)
    assert len({trace.yaxis for trace in figure.data}) == len(list(figure.select_yaxes()))


@pytest.mark.parametrize(
    "figure", [loss_curves([], "x", {"seen_top1": 0.5}), split_curves({"a": [], "b": []})]
)
def test_before_the_first_epoch(figure):
    assert notes(figure) == ["no epoch is finished yet"] and not drawn(figure)


@pytest.mark.parametrize("n_epochs", [1, 8, 9])
def test_few_epochs_are_numbered_one_by_one(n_epochs):
    figure = loss_curves([{"epoch": n + 1, "alignment": 1.0} for n in range(n_epochs)])
    assert {axis.dtick for axis in figure.select_xaxes()} == ({1} if n_epochs < 9 else {None})


def test_chance_is_a_dotted_line_in_the_panel_of_its_accuracy():
    protocol = Protocol("half-0", ("a", "b", "c", "d"), ("e", "f"), ("g", "h"), ("1",), (), ("2",), ("3",))
    chance = chance_levels(protocol)
    assert chance == {"seen_top1": 0.25, "validation_direct_top1": 0.5}
    assert chance_levels(replace(protocol, validation=(), validation_clips=())) == {"seen_top1": 0.25}
    one, several = loss_curves(HISTORY, "demo", chance), split_curves({"a": HISTORY}, "demo", chance)
    for figure, axes in ((one, ("y2", "y2")), (several, ("y2", "y3"))):
        lines = [(line.yref, line.y0, line.y1) for line in figure.layout.shapes]
        assert lines == [(axes[0], 25.0, 25.0), (axes[1], 50.0, 50.0)]
        words = "demo; dotted: chance, 25.0 % on seen, 50.0 % on validation classes<"
        assert words in figure.layout.title.text
    colours = [trace.line.color for trace in one.data if trace.name and "classes" in trace.name]
    assert one.layout.shapes[0].line.color == colours[0]
    assert not loss_curves(HISTORY).layout.shapes and "dotted" not in loss_curves(HISTORY).layout.title.text


def test_gflop_per_clip_is_the_quotient_of_two_rates():
    assert measured(HISTORY, GFLOP_PER_CLIP) == ([1, 2], [0.25, 0.5])
    without = [{"epoch": 1, "gflop_per_s": 3.0}, {"epoch": 2, "clips_per_s": 0.0, "gflop_per_s": 0.0}]
    assert measured(without, GFLOP_PER_CLIP) == ([], [])


def test_meters_are_no_losses():
    keys = {"epoch", "step", "seen_top1", "validation_direct_top1", *FORMATS}
    assert not {key for key in keys if is_loss(key)} and is_loss("alignment")
    only_meters = dict.fromkeys(keys, 1.0)
    assert measured([only_meters], SUMMED_LOSS) == ([], [])
    panels = {panel for panel, _ in drawn(loss_curves([only_meters]))}
    assert panels == {"top-1, held-out clips (%)", "clips/s", "share (%)"}


def test_the_numbers_beneath_are_the_last_ones_of_least_and_most():
    lines = [
        "1.25 loss, 75.0 % top-1 on seen classes, 50.0 % top-1 on validation classes",
        "50.0 clips/s, 2.0 % of the time waiting for data",
        "0.5 GFLOP per clip, 12.5 % of the device's measured peak, 1,512 MB of memory at most",
    ]
    assert numbers_in_words([HISTORY]) == "\n".join(lines)
    assert notes(loss_curves(HISTORY)) == ["last measured: " + "<br>".join(lines)]
    both = numbers_in_words([HISTORY, BEFORE_THE_METERS, []])
    assert both.startswith("1.00 to 1.25 loss, 75.0 % top-1") and "\n50.0 to 82.0 clips/s, 2.0 % of" in both
    assert numbers_in_words([[], []]) == numbers_in_words([]) == ""


def test_no_name_is_taken_for_markup():
    for figure in (loss_curves([{"epoch": 1, IMAGE: 1.0}], IMAGE), split_curves({IMAGE: HISTORY}, IMAGE)):
        assert figure.data[0].name == "&lt;img src=x&gt; %&#123;x} &#36;a&#36;"
        assert "<img" not in figure.to_json() and "\\u003cimg" not in figure.to_json()
