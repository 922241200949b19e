"""zsar_lab.viz.widgets_space and map_points: what is said of clips, what a selection opens, and the explorer driven from Python."""

from __future__ import annotations

import dataclasses
import html
import re
import sys

import numpy as np
import pytest
from test_views import IMAGE, SCRIPT, catalog, embeddings, result  # noqa: F401  (fixtures)

from zsar_lab.data.video import write_mp4
from zsar_lab.viz import explanations, map_points, projection, widgets_space
from zsar_lab.viz.map_points import (
    answers_on_map,
    colouring,
    legend_html,
    middle_frame,
    opened,
    said_of_clips,
    select,
)
from zsar_lab.viz.projection import SpaceMap, shared_space_map
from zsar_lab.viz.widgets_space import space_explorer


@pytest.fixture
def space(result, embeddings, tmp_path, monkeypatch) -> SpaceMap:  # noqa: F811
    monkeypatch.setattr(projection, "_umap", lambda points, seed: points[:, :2].astype(float))
    return shared_space_map(result, embeddings, tmp_path / "map")


def text_of(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", page))


class Sent:
    """What the explorer sends to its canvas; messages to it come as from a browser."""

    def __init__(self, box, monkeypatch) -> None:
        self.box, self.canvas, self.messages = box, box.children[2], []
        monkeypatch.setattr(
            self.canvas, "send", lambda content, buffers=None: self.messages.append((content, buffers))
        )

    def select(self, *rows: int, number: int = 1) -> None:
        self._arrive({"kind": "select", "number": number}, [memoryview(np.array(rows, np.uint32).tobytes())])

    def point(self, row: int) -> None:
        self._arrive({"kind": "picture", "clip": row}, [])

    def _arrive(self, content, buffers) -> None:
        self.canvas._handle_custom_msg(content, buffers)

    @property
    def said(self) -> str:
        return text_of(self.box.children[4].value)


@pytest.fixture
def explorer(space, catalog, result, monkeypatch) -> Sent:  # noqa: F811
    return Sent(space_explorer(space, catalog, result), monkeypatch)


# what clips are


@pytest.mark.parametrize("method", ["transfer", "direct"])
def test_answers_are_the_verdicts_on_each_clip(space, result, method):  # noqa: F811
    answers = answers_on_map(space, result, method)
    wanted = {
        verdict.clip_id: verdict for name in "ABC" for verdict in explanations.verdicts(result, method, name)
    }
    for clip_id, answered, margin, right in zip(
        space.ids, answers.answered, answers.margin, answers.right, strict=True
    ):
        verdict = wanted.get(clip_id)
        assert answered == (verdict.predicted if verdict else None) and right == bool(
            verdict and verdict.right
        )
        assert margin == pytest.approx(verdict.margin) if verdict else np.isnan(margin)
    assert answers.n1 == ({"A": 1, "B": 10, "C": 1} if method == "transfer" else {"A": 4, "B": 4, "C": 4})


def test_a_result_of_another_split_is_refused(space, result):  # noqa: F811
    other = dataclasses.replace(
        result, protocol=dataclasses.replace(result.protocol, name="other", unseen=("A", "C", "B"))
    )
    with pytest.raises(ValueError, match="map and result must be of one split, .* got a result of 'other'"):
        answers_on_map(space, other)
    with pytest.raises(ValueError, match="a method must be one of"):
        answers_on_map(space, result, "guessing")


@pytest.mark.parametrize("colour_by", map_points.COLOURINGS)
def test_every_clip_has_a_look_and_equal_clips_the_same(space, catalog, result, colour_by):  # noqa: F811
    answers = answers_on_map(space, result)
    looks, number = colouring(space, catalog, colour_by, answers)
    told = {"group": space.groups, "right": [(a is None, r) for a, r in zip(answers.answered, answers.right)]}
    told["class"] = [name if group == "unseen" else group for name, group in zip(space.classes, space.groups)]
    told["hubness"] = [None if name is None else answers.n1[name] for name in answers.answered]
    assert len(set(zip(number, told[colour_by]))) == len(set(number)) == len(set(told[colour_by]))
    assert len(number) == len(space.ids) and 0 <= number.min() and number.max() < len(looks)
    assert len({(look.colour, look.symbol) for look in looks}) == len(looks)


def test_what_is_said_names_class_answer_and_margin(space, catalog, result):  # noqa: F811
    said = dict(zip(space.ids, said_of_clips(space, catalog, answers_on_map(space, result))))
    assert (
        said["A/0"] == f"{IMAGE}\n✓ right, margin +0.500"
        and said["A/1"] == f"{IMAGE}\n✗ taken for {SCRIPT}, margin -0.500"
    )
    assert said["S1/0"] == "stand\nof a seen class: not scored"


# selections


def test_a_selection_puts_the_most_wrong_first_and_counts(space, catalog, result):  # noqa: F811
    answers = answers_on_map(space, result)
    answers = dataclasses.replace(
        answers, margin=np.array([-float(n) if a else np.nan for n, a in enumerate(answers.answered)])
    )
    rows = [space.ids.index(clip_id) for clip_id in ("S1/0", "A/0", "A/1", "A/2", "B/0")]
    found = select(space, catalog, answers, [*rows, rows[0]])
    assert found.ids == ("A/2", "A/1", "B/0", "A/0", "S1/0")
    assert (
        found.sentence
        == f"5 clips are selected: 3 of {IMAGE}, 1 of {SCRIPT}, 1 of stand; by transfer 2 right and 2 wrong, "
        "1 of classes that are not scored."
    )
    assert select(space, catalog, answers, []).sentence.startswith("No clip is selected: ")
    with pytest.raises(
        ValueError, match=r"a selected clip must be in 0\.\.27 \(the clips on the map\), got 28"
    ):
        select(space, catalog, answers, [0, 28])


def test_of_many_clips_some_are_opened_and_the_rest_is_counted(space, catalog, result):  # noqa: F811
    answers = answers_on_map(space, result)
    page = opened(space, catalog, answers, select(space, catalog, answers, range(28)), most=5)
    assert (
        page.count("<video") == 5
        and page.count("✗") == 5
        and "The 5 most wrong are shown, 23 more are not." in page
    )
    assert "<img" not in page and "<script" not in page and "taken for &lt;/script&gt;" in page
    thousands = dataclasses.replace(
        space,
        ids=space.ids * 100,
        classes=space.classes * 100,
        groups=space.groups * 100,
        clips_xy=np.tile(space.clips_xy, (100, 1)),
    )
    answers = answers_on_map(thousands, result)
    assert "2776 more are not" in opened(
        thousands, catalog, answers, select(thousands, catalog, answers, range(2800))
    )


def test_a_clip_whose_video_is_gone_says_so(space, catalog, result):  # noqa: F811
    (catalog.root / "A/1.mp4").unlink()
    answers = answers_on_map(space, result)
    page = opened(space, catalog, answers, select(space, catalog, answers, [space.ids.index("A/1")]))
    assert "zsar-missing" in page and "A/1.mp4" in page and "<video" not in page


def test_the_middle_frame_is_that_of_the_clip(catalog):  # noqa: F811
    frames = np.zeros((9, 16, 24, 3), np.uint8)
    frames[6] = 255  # in the middle of 1 s to 2 s at four frames a second
    write_mp4(catalog.root / "B/0.mp4", frames, fps=4)
    clips = catalog.clips.copy()
    clips.loc[clips["id"] == "B/0", ["start_s", "end_s", "frames", "fps"]] = [1.0, 2.0, 9, 4.0]
    frame = middle_frame(dataclasses.replace(catalog, clips=clips), "B/0", 16)
    assert frame.shape == (16, 24, 3) and frame.dtype == np.uint8 and frame.mean() > 200
    assert middle_frame(catalog, "A/0", 16).mean() < 20
    (catalog.root / "A/0.mp4").unlink()
    with pytest.raises(ValueError, match="A/0.mp4"):
        middle_frame(catalog, "A/0")


def test_the_legend_is_escaped(space, catalog):  # noqa: F811
    looks, number = colouring(space, catalog, "class")
    page = legend_html(looks, np.bincount(number, minlength=len(looks)).tolist())
    assert "<img" not in page and "</script" not in page and f"{IMAGE} (4)" in text_of(page)


# the explorer


def test_it_shows_every_clip_and_prototype(explorer, space):
    canvas = explorer.canvas
    np.testing.assert_allclose(np.frombuffer(canvas.xy, np.float32).reshape(-1, 2), space.clips_xy, atol=1e-6)
    assert (
        len(canvas.said) == 28
        and len(canvas.marks) == 2 + 2 + 3 * 3
        and len(np.frombuffer(canvas.lines, np.float32)) == 3 * 4
    )
    composed = [
        mark for mark in canvas.marks if canvas.looks[mark["look"]]["name"] == "composed unseen prototypes"
    ]
    places = {mark["name"]: (mark["x"], mark["y"]) for mark in composed}
    assert places[IMAGE] == pytest.approx(tuple(space.composed_xy[0])) and all(
        mark["written"] for mark in composed
    )
    assert {space.classes[row] for row in composed[0]["clips"]} == {
        {IMAGE: "A", SCRIPT: "B"}.get(composed[0]["name"], "C")
    }
    assert "zsar-space" in explorer.box._dom_classes and "trustworthiness" in explorer.box.children[1].value


def test_every_selection_opens_its_clips_and_is_answered(explorer, space):
    for number in range(1, 11):
        explorer.select(*range(number), number=number)
        assert explorer.said.startswith(
            "1 clip is selected" if number == 1 else f"{number} clips are selected"
        )
        assert set(explorer.box.selected_ids) == set(space.ids[:number])
        assert np.frombuffer(explorer.canvas.selected, np.uint32).tolist() == list(range(number))
    assert [content for content, _ in explorer.messages] == [
        {"kind": "opened", "number": number} for number in range(1, 11)
    ]
    explorer.select(number=11)
    assert explorer.said.startswith("No clip is selected") and explorer.box.selected_ids == ()


def test_choosing_method_colour_and_class(explorer, space):
    methods, colours, classes = explorer.box.children[0].children
    explorer.select(space.ids.index("A/1"))
    assert "by transfer 0 right and 1 wrong" in explorer.said
    methods.value = "direct"
    assert (
        "by direct 1 right and 0 wrong" in explorer.said
        and "✓ right" in explorer.canvas.said[space.ids.index("A/1")]
    )
    version = explorer.canvas.version
    colours.value = "right"
    assert explorer.canvas.version == version + 1 and explorer.canvas.looks[1]["name"] == "right (direct)"
    for _ in range(2):  # the same class again, after something else was selected
        classes.value = "C"
        assert explorer.said.startswith("4 clips are selected: 4 of cat walk")
        explorer.select(0)
        assert classes.value == ""


def of_seen(space: SpaceMap) -> SpaceMap:
    """A map of the same clips with other places."""
    return dataclasses.replace(
        space,
        fitted_on=projection.SEEN,
        clips_xy=-space.clips_xy,
        true_xy=space.true_xy + 1,
        trustworthiness=0.5,
    )


def test_changing_between_maps_keeps_what_is_chosen(space, catalog, result, monkeypatch):  # noqa: F811
    explorer = Sent(space_explorer([space, of_seen(space)], catalog, result), monkeypatch)
    methods, colours, _, fitted = explorer.box.children[0].children
    assert fitted.options == (("all clips", "all"), ("seen classes", "seen"))
    methods.value, colours.value = "direct", "right"
    explorer.select(space.ids.index("A/1"))
    fitted.value = "seen"
    np.testing.assert_allclose(
        np.frombuffer(explorer.canvas.xy, np.float32).reshape(-1, 2), -space.clips_xy, atol=1e-6
    )
    np.testing.assert_allclose(
        np.frombuffer(explorer.canvas.lines, np.float32).reshape(-1, 4)[:, 2:], space.true_xy + 1, atol=1e-6
    )
    assert (
        "fitted on seen classes" in explorer.box.children[1].value
        and "trustworthiness 0.50" in explorer.box.children[1].value
    )
    assert (
        explorer.canvas.looks[1]["name"] == "right (direct)"
        and explorer.box.selected_ids == ("A/1",)
        and "by direct 1 right" in explorer.said
    )
    fitted.value = "all"
    np.testing.assert_allclose(
        np.frombuffer(explorer.canvas.xy, np.float32).reshape(-1, 2), space.clips_xy, atol=1e-6
    )
    assert (
        "fitted on" not in explorer.box.children[1].value
        and f"trustworthiness {space.trustworthiness:.2f}" in explorer.box.children[1].value
    )


def test_maps_that_cannot_be_changed_between_are_refused(space, catalog, result):  # noqa: F811
    fewer = dataclasses.replace(of_seen(space), ids=space.ids[:-1])
    for maps, got in (
        ([], "none"),
        ([space, space], "'all' of 28, 'all' of 28"),
        ([space, fewer], "'all' of 28, 'seen' of 27"),
    ):
        with pytest.raises(
            ValueError,
            match=f"must be of the same clips, each fitted in its own way, got {got}; make them with one max_clips",
        ):
            space_explorer(maps, catalog, result)


def test_the_picture_of_a_clip_comes_when_it_is_asked_for(explorer, space, catalog):  # noqa: F811
    explorer.point(space.ids.index("A/0"))
    content, (pixels,) = explorer.messages.pop()
    assert (content["kind"], content["width"] * content["height"] * 3) == ("picture", len(pixels))
    (catalog.root / "A/0.mp4").unlink()
    explorer.point(space.ids.index("A/0"))
    content, buffers = explorer.messages.pop()
    assert content["text"].startswith("no picture: ") and "A/0.mp4" in content["text"] and buffers is None


def test_a_failure_is_shown_raised_and_answered(explorer, monkeypatch):
    def fail(*_):
        raise ValueError("it is <b>gone</b>")

    monkeypatch.setattr(widgets_space, "opened", fail)
    with pytest.raises(ValueError, match="gone"):
        widgets_space._Explorer._on_message(
            _of(explorer), None, {"kind": "select", "number": 7}, [np.array([1], np.uint32).tobytes()]
        )
    assert "ValueError: it is &lt;b&gt;gone&lt;/b&gt;" in explorer.box.children[3].value
    assert explorer.messages[-1][0] == {"kind": "opened", "number": 7}


def _of(explorer: Sent) -> object:
    """The explorer behind a box, as its canvas knows it."""
    return explorer.canvas._msg_callbacks.callbacks[0].__self__


def test_a_map_that_cannot_be_trusted_says_so(space, catalog, result):  # noqa: F811
    box = space_explorer(dataclasses.replace(space, trustworthiness=0.6), catalog, result)
    assert "⚠ Do not trust this map: its trustworthiness is 0.60, below 0.85" in text_of(
        box.children[1].value
    )


def test_equal_labels_can_be_chosen_apart(space, catalog, result):  # noqa: F811
    same = dataclasses.replace(catalog, classes=catalog.classes.assign(label="same"))
    options = space_explorer(space, same, result).children[0].children[2].options
    assert len(options) == 8 and ("same [A]", "A") in options


def test_a_large_map_without_its_extra_says_what_to_install(space, catalog, result, monkeypatch):  # noqa: F811
    monkeypatch.setattr(widgets_space, "MOST_ON_CANVAS", 20)
    monkeypatch.setitem(sys.modules, "jscatter", None)
    with pytest.raises(
        ImportError,
        match=r"drawn by jupyter-scatter, which is not installed; pip install 'zsar_lab\[large\]', or map fewer",
    ):
        space_explorer(space, catalog, result)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_a_large_map_is_drawn_by_jupyter_scatter_and_opens_what_is_selected(
    space, catalog, result, monkeypatch
):  # noqa: F811
    pytest.importorskip("jscatter", reason="needs the extra zsar_lab[large]")
    monkeypatch.setattr(widgets_space, "MOST_ON_CANVAS", 20)
    box = space_explorer(space, catalog, result)
    legend, _, pointed = box.children[2].children[0].children
    widget = _large_of(box)
    widget.selection = np.array(
        [space.ids.index("A/1"), space.ids.index("S1/0"), 30], np.uint32
    )  # 30 is a prototype
    assert text_of(box.children[4].value).startswith(f"2 clips are selected: 1 of {IMAGE}, 1 of stand")
    widget.hovering = space.ids.index("A/1")
    assert (
        text_of(pointed.value) == f"{IMAGE}: ✗ taken for {SCRIPT}, margin -0.500"
        and "<img" not in pointed.value
    )
    widget.hovering = 30
    assert pointed.value == ""
    box.children[0].children[1].value = "class"
    assert f"{IMAGE} (4)" in text_of(legend.value) and "<img" not in legend.value


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_large_maps_are_changed_between(space, catalog, result, monkeypatch):  # noqa: F811
    pytest.importorskip("jscatter", reason="needs the extra zsar_lab[large]")
    monkeypatch.setattr(widgets_space, "MOST_ON_CANVAS", 20)
    box = space_explorer([space, of_seen(space)], catalog, result)
    first = _large_of(box)
    box.children[0].children[3].value = "seen"
    second = _large_of(box)
    assert second is not first and first.comm is None and "fitted on seen classes" in box.children[1].value
    second.selection = np.array([space.ids.index("A/1")], np.uint32)
    assert text_of(box.children[4].value).startswith(f"1 clip is selected: 1 of {IMAGE}")


def _large_of(box) -> object:
    """The scatter's widget, somewhere in the box that jupyter-scatter gives."""
    waiting = list(box.children)
    while waiting:
        widget = waiting.pop()
        if "hovering" in widget.trait_names():
            return widget
        waiting += getattr(widget, "children", ())
    raise AssertionError("there must be a scatter in the box")
