"""zsar_lab.viz.widgets_explorer and figures_explorer: the transfer explorer driven from Python, and what its figures and text hold."""

from __future__ import annotations

import dataclasses
import html
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_rescore import HELD_OUT, NAMES, PROTOCOL, SEEN, UNSEEN, clips, good, vague  # noqa: F401  (fixtures)

from zsar_lab.data.catalog import CLIP_COLUMNS, Catalog
from zsar_lab.methods.hubness_reduction import CSLS
from zsar_lab.methods.transfer import TransferSettings, settings_grid
from zsar_lab.results.explorer import Choice, Explorer, places_on_map
from zsar_lab.viz.figures.explorer import CHOSEN, MOST_NAMES, class_bars, class_traces
from zsar_lab.viz.projection import SpaceMap
from zsar_lab.viz.widgets_explorer import EARLIER, TAUS, WARNING, note_html, transfer_explorer

HOSTILE = ("<img src=x onerror=alert(1)>", "</script><script>alert(2)</script>", "a & b", "%{y} {x}", "$x$")
LABELS = dict(zip(NAMES, (*(f"seen {n}" for n in range(8)), *(f"held out {n}" for n in range(4)), *HOSTILE)))
CATALOG = Catalog(
    "generated",
    Path("."),
    pd.DataFrame([], columns=CLIP_COLUMNS),
    pd.DataFrame({"name": NAMES, "label": [LABELS[name] for name in NAMES]}),
)
OTHER = dataclasses.replace(
    PROTOCOL,
    name="split 1",
    unseen=HELD_OUT,
    validation=UNSEEN,
    test_clips=PROTOCOL.validation_clips,
    validation_clips=PROTOCOL.test_clips,
)
HARMFUL = "<b>bold</b>"  # a prompt's name


@pytest.fixture(scope="module")
def explorers(clips, good, vague) -> dict[str, Explorer]:  # noqa: F811
    rows = np.random.default_rng(5).normal(size=(len(SEEN), 16))
    return {
        "one": Explorer(clips, PROTOCOL, {"good": good, HARMFUL: vague}, {"classifier weights": rows}),
        "two": Explorer(clips, OTHER, {"good": good}),
    }


def map_of(explorer: Explorer) -> SpaceMap:
    """Every second clip, the places of two numbers of its embedding."""
    all_clips, protocol = explorer.clips, explorer.protocol
    rows = np.arange(0, len(all_clips.ids), 2)
    xy = all_clips.embedding_ND.astype(float)[:, :2]
    of = {name: group for group in ("seen", "validation", "unseen") for name in getattr(protocol, group)}
    names = tuple(all_clips.labels[row] for row in rows)
    n_unseen = len(protocol.unseen)
    places = xy[:8], xy[10 : 10 + n_unseen], xy[20 : 20 + n_unseen], xy[:8], xy[:n_unseen]
    found = tuple(all_clips.ids[row] for row in rows), names, tuple(of[name] for name in names), xy[rows]
    return SpaceMap(
        "a map",
        *found,
        protocol.seen,
        protocol.unseen,
        *places,
        0.9,
        Path("."),
        "all",
        np.ones(len(places[0])),
        0.01,
    )


class Parts:
    """The parts of the box by name."""

    def __init__(self, box) -> None:
        self.box = box
        self.warning, *rows, self.message, self.summary, self.accuracy, self.bars = box.children[:8]
        self.controls = {widget.description: widget for row in rows for widget in row.children}
        self.map, self.note = box.children[8:10] if len(box.children) > 9 else (None, None)

    def set(self, name: str, value: object) -> None:
        self.controls[name].value = value

    @property
    def said(self) -> str:
        return text_of(self.summary.value)


def text_of(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", " ", page))


def by_name(figure) -> list[tuple[str, object]]:
    return [(trace.name, trace) for trace in figure.data]


@pytest.fixture
def parts(explorers) -> Parts:
    return Parts(
        transfer_explorer(
            CATALOG, explorers, {split: map_of(explorer) for split, explorer in explorers.items()}
        )
    )


def assert_shown(parts: Parts, explorer: Explorer, choice: Choice) -> None:
    """That every figure and the table hold what the library says of this choice and of what validation chose."""
    outcome, chosen = (
        explorer.score(choice),
        explorer.score(explorer.chosen(choice.class_text, choice.source)),
    )
    assert parts.box.outcome.choice == choice and parts.message.value == ""
    _, marked, now = (trace for _, trace in by_name(parts.accuracy))
    for name, trace, shown in (("chosen", marked, chosen), ("now", now, outcome)):
        assert list(trace.x) == pytest.approx([100 * shown.unseen.top1, 100 * shown.validation.top1])
        assert list(trace.text) == [
            f"{name} {100 * scored.top1:.1f} %" for scored in (shown.unseen, shown.validation)
        ]
    assert marked.name == CHOSEN and marked.marker.symbol != now.marker.symbol
    top1, top1_chosen, n1, n1_chosen, before = (list(trace.y) for _, trace in by_name(parts.bars))
    assert top1 == pytest.approx((100 * outcome.unseen.top1_C).tolist()) and top1_chosen == pytest.approx(
        (100 * chosen.unseen.top1_C).tolist()
    )
    assert n1 == outcome.unseen.occurrence_C.tolist() and n1_chosen == chosen.unseen.occurrence_C.tolist()
    assert before == ([] if choice.correction == "none" else outcome.uncorrected.occurrence_C.tolist())
    rows = [
        [text_of(cell) for cell in re.findall("<td.*?</td>", row)]
        for row in re.findall("<tr>.*?</tr>", parts.summary.value)[1:]
    ]
    pairs = [(getattr(outcome, group), getattr(chosen, group)) for group in ("unseen", "validation")]
    accuracies = [(getattr(a, name), getattr(b, name)) for a, b in pairs for name in ("top1", "mean_class")]
    for row, (a, b) in zip(rows[:4], accuracies, strict=True):
        assert [cell.strip() for cell in row[1:]] == [
            f"{100 * a:.1f} %",
            f"{100 * b:.1f} %",
            f"{100 * (a - b):+.1f} points",
        ]
    (a, b), uncorrected = pairs[0], outcome.uncorrected.hubness.skewness
    suffix = "" if choice.correction == "none" else f" (uncorrected {uncorrected:+.2f})"
    assert (
        rows[4][1].strip() == f"{a.hubness.skewness:+.2f}{suffix}"
        and rows[4][2].strip() == f"{b.hubness.skewness:+.2f}"
    )
    assert (
        f"k {choice.transfer.k}, tau {choice.transfer.tau:g}, {choice.transfer.relatedness}, {choice.source}"
        in parts.said
    )


# the sliders


def test_it_opens_on_what_validation_chose_and_warns(parts, explorers):
    chosen = explorers["one"].chosen("good")
    assert_shown(parts, explorers["one"], chosen)
    assert WARNING in text_of(parts.warning.value) and "must not be reported" in WARNING
    assert (parts.controls["k"].min, parts.controls["k"].max, parts.controls["k"].value) == (
        1,
        len(SEEN),
        chosen.transfer.k,
    )
    assert "zsar-transfer-explorer" in parts.box._dom_classes
    assert list(parts.accuracy.data[0].x) == pytest.approx([100 / 5, 100 / 4])  # chance
    assert {settings.tau for settings in settings_grid(8)} <= set(TAUS)


@pytest.mark.parametrize(
    ("control", "value", "change"),
    [
        ("k", 2, {"transfer": {"k": 2}}),
        ("tau", 1.0, {"transfer": {"tau": 1.0}}),
        ("relatedness", "plain", {"transfer": {"relatedness": "plain"}}),
        ("prototypes", "classifier weights", {"source": "classifier weights"}),
        ("class text", HARMFUL, {"class_text": HARMFUL}),
        ("correction", CSLS, {"correction": CSLS}),
    ],
)
def test_every_control_moves_all_that_is_shown(parts, explorers, control, value, change):
    chosen = explorers["one"].chosen("good")
    change = change | (
        {"transfer": dataclasses.replace(chosen.transfer, **change["transfer"])}
        if "transfer" in change
        else {}
    )
    parts.set(control, value)
    assert_shown(parts, explorers["one"], dataclasses.replace(chosen, **change))


def test_one_button_goes_back_to_what_validation_chose_in_one_step(parts, explorers, monkeypatch):
    for control, value in (("k", 1), ("tau", 0.01), ("relatedness", "plain"), ("correction", CSLS)):
        parts.set(control, value)
    asked, score = [], Explorer.score
    monkeypatch.setattr(
        Explorer, "score", lambda self, choice: (asked.append(choice), score(self, choice))[1]
    )
    parts.controls["What validation chose"].click()
    chosen = explorers["one"].chosen("good")
    assert set(asked) == {chosen}
    assert_shown(parts, explorers["one"], chosen)


def test_another_split_has_its_own_classes_and_keeps_what_it_can(parts, explorers):
    parts.set("k", 2)
    parts.set("class text", HARMFUL)
    parts.set("split", "two")
    assert parts.controls["class text"].options == ("good",) and parts.controls["prototypes"].options == (
        "class means",
    )
    transfer = TransferSettings(2, parts.controls["tau"].value, parts.controls["relatedness"].value)
    assert_shown(parts, explorers["two"], Choice(transfer, "good"))
    assert "split 1" in parts.accuracy.layout.title.text and list(parts.bars.layout.xaxis2.ticktext) == [
        f"held out {n}" for n in range(4)
    ]
    assert list(parts.map.data[-1].text) == [f"held out {n}" for n in range(4)]
    parts.set("split", "one")
    assert len(parts.bars.data[0].y) == 5 and parts.message.value == ""


# the map


def test_prototypes_move_on_the_map(parts, explorers):
    explorer, space = explorers["one"], map_of(explorers["one"])
    shown_ND = explorer.embeddings_of(space.ids)

    def placed(choice):
        return places_on_map(explorer.score(choice).prototypes_UD, shown_ND, space.clips_xy)

    before = [trace.x for trace in parts.map.data]
    parts.set("k", 1)
    chosen = explorer.chosen("good")
    now_xy, chosen_xy = (
        placed(dataclasses.replace(chosen, transfer=dataclasses.replace(chosen.transfer, k=1))),
        placed(chosen),
    )
    lines, marked, now = parts.map.data[-3:]
    np.testing.assert_allclose(np.stack([now.x, now.y], axis=1), now_xy)
    np.testing.assert_allclose(np.stack([marked.x, marked.y], axis=1), chosen_xy)
    assert list(lines.x[:3]) == [pytest.approx(now_xy[0, 0]), pytest.approx(space.true_xy[0, 0]), None]
    assert list(lines.y[-3:]) == [pytest.approx(now_xy[-1, 1]), pytest.approx(space.true_xy[-1, 1]), None]
    assert [old == new for old, new in zip(before, (trace.x for trace in parts.map.data), strict=True)] == [
        True
    ] * 5 + [False, True, False]


def test_the_note_says_how_far_off_places_are(parts, explorers):
    explorer, space = explorers["one"], map_of(explorers["one"])
    own = places_on_map(
        explorer.score(explorer.chosen("good")).prototypes_UD,
        explorer.embeddings_of(space.ids),
        space.clips_xy,
    )
    apart = [float(np.hypot(*(a - b))) for a, b in zip(own, space.composed_xy)]
    width, height = space.clips_xy.max(0) - space.clips_xy.min(0)
    share = 100 * np.array(apart) / np.hypot(width, height)
    assert f"off by {np.median(share):.1f} % of the map's diagonal" in text_of(parts.note.value)
    assert f"at most {share.max():.1f} %" in text_of(parts.note.value)
    by_hand = note_html(np.array([1.0, 2.0, 3.0]), 4.0)
    assert "off by 50.0 %" in by_hand and "median over 3 classes; at most 75.0 %" in by_hand


def test_without_a_map_there_is_none(explorers):
    parts = Parts(transfer_explorer(CATALOG, explorers))
    parts.set("k", 1)
    assert parts.map is None and len(parts.box.children) == 9
    assert_shown(parts, explorers["one"], parts.box.outcome.choice)


# names that could do harm, failures, bad input


def test_names_and_prompts_are_shown_letter_by_letter(parts):
    parts.set("class text", HARMFUL)
    pages = [figure.to_json() for figure in (parts.accuracy, parts.bars, parts.map)] + [
        parts.summary.value,
        parts.note.value,
        parts.warning.value,
    ]
    for page in pages:
        page = page.replace("\\u003c", "<").replace("\\u003e", ">")
        assert (
            "<img" not in page and "<script" not in page and "</script" not in page and "<b>bold" not in page
        )
    assert "&lt;b&gt;bold&lt;/b&gt;" in parts.summary.value
    assert parts.bars.data[0].customdata[0].startswith("&lt;img src=x onerror=alert(1)&gt;, 6 clips")
    assert (
        parts.bars.layout.xaxis2.ticktext[3].startswith("%&#123;y}")
        and parts.map.data[-1].text[4] == "&#36;x&#36;"
    )


def test_a_failure_is_shown_raised_and_gone_with_the_next_move(parts, explorers, monkeypatch):
    def fail(*_):
        raise ValueError("it is <b>gone</b>")

    with monkeypatch.context() as patch:
        patch.setattr(Explorer, "score", fail)
        with pytest.raises(ValueError, match="gone"):
            parts.set("k", 1)
        assert (
            "ValueError: it is &lt;b&gt;gone&lt;/b&gt;" in parts.message.value
            and EARLIER in parts.summary.value
        )
    parts.set("k", 2)
    assert_shown(parts, explorers["one"], parts.box.outcome.choice)


def test_bad_input_is_refused_in_a_sentence(explorers):
    with pytest.raises(ValueError, match="there must be at least one split to explore, got none"):
        transfer_explorer(CATALOG, {})
    with pytest.raises(
        ValueError, match=r"maps must be of the same splits as the explorers \(one, two\) or none, got one"
    ):
        transfer_explorer(CATALOG, explorers, {"one": map_of(explorers["one"])})
    with pytest.raises(ValueError, match="a map must be of its split's unseen classes, that of 'two' is not"):
        transfer_explorer(CATALOG, explorers, dict.fromkeys(explorers, map_of(explorers["one"])))


# many classes


def test_names_of_many_classes_are_left_to_hovering():
    names = tuple(f"class {n}" for n in range(MOST_NAMES + 1))
    protocol = dataclasses.replace(PROTOCOL, unseen=names)
    catalog = dataclasses.replace(CATALOG, classes=pd.DataFrame({"name": names, "label": names}))
    figure = class_bars(np.full(len(names), 3), protocol, catalog)
    assert (
        set(figure.layout.xaxis2.ticktext) == {""}
        and "41 unseen classes (hover for the name)" == figure.layout.xaxis2.title.text
    )
    assert figure.data[0].customdata[-1] == "class 9, 3 clips"  # in the order of their names


def test_bars_stand_in_the_order_of_families(explorers):
    classes = CATALOG.classes.assign(family=["b" if name in UNSEEN[:2] else "a" for name in NAMES])
    catalog, outcome = (
        dataclasses.replace(CATALOG, classes=classes),
        explorers["one"].score(explorers["one"].chosen("good")),
    )
    traces = class_traces(outcome, outcome, PROTOCOL, catalog)
    order = [2, 3, 4, 0, 1]
    assert traces[2]["y"] == outcome.unseen.occurrence_C[order].tolist()
    hover = class_bars(outcome.unseen.clips_C, PROTOCOL, catalog).data[0].customdata
    assert hover[0] == "a &amp; b, 6 clips" and hover[3].startswith("&lt;img")
