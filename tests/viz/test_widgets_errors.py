"""The error widget without a browser: its figures, what its choices show, marking, and what goes wrong; and the texts and html it shows."""

from __future__ import annotations

import dataclasses
import re
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import test_views
from test_views import IMAGE, LABELS, SCRIPT

from zsar_lab.results.tags import AMBIGUOUS, LABEL_WRONG, Tag, Tags
from zsar_lab.viz import clips, explanations, explanations_clip, selections
from zsar_lab.viz.explanations import CONFIDENCE, MARGIN, TYPICAL, UNTYPICAL, Verdict
from zsar_lab.viz.figures import classes as figures_errors
from zsar_lab.viz.figures.style import plain, redraw
from zsar_lab.viz.selections import ANY, WRONG, Answer
from zsar_lab.viz.widgets_errors import class_errors
from zsar_lab.viz.widgets_figures import as_widget

catalog, embeddings, result = test_views.catalog, test_views.embeddings, test_views.result
HOSTILE = ("<img", "<script", "</script", "<b>note")


def verdicts_of(answers: str, true: str = "A") -> list[Verdict]:
    return [
        Verdict(f"{true}/{n}", answer, n - 2.0, answer == true, 0.5, 0.1 * n)
        for n, answer in enumerate(answers)
    ]


@dataclasses.dataclass
class Widget:
    """The parts of a box by what is written beside them."""

    box: object

    def __post_init__(self) -> None:
        found = list(self._all(self.box))
        self.named = {part.description: part for part in found if getattr(part, "description", "")}
        self.named |= {
            part.value: beside for part, beside in pairwise(found) if type(part).__name__ == "Label"
        }
        self.bars, self.cells, self.taken = (
            part for part in found if hasattr(part, "data") and hasattr(part, "batch_update")
        )
        self.pages = [part for part in found if type(part).__name__ == "HTML"]

    def _all(self, part: object):
        yield part
        for child in getattr(part, "children", ()):
            yield from self._all(child)

    def __getitem__(self, name: str):
        return self.named[name]

    @property
    def html(self) -> str:
        return "\n".join(page.value for page in self.pages)

    @property
    def shown(self) -> list[str]:
        return [clip for _, clip in self["clip"].options if clip]

    def click(self, figure, x, y) -> None:
        points = SimpleNamespace(xs=[x], ys=[y])
        for callback in figure.data[0]._click_callbacks:
            callback(figure.data[0], points, None)


@pytest.fixture
def widget(catalog, result, embeddings, tmp_path) -> Widget:
    other = dataclasses.replace(result, protocol=dataclasses.replace(result.protocol, name="split 1"))
    splits = {"stratified-0": result, "stratified-1": other}
    return Widget(
        class_errors(
            catalog, splits, clips={"stratified-0": embeddings}, tags=Tags(tmp_path / "kept" / "tags.csv")
        )
    )


# figures


@pytest.mark.parametrize(("by", "names"), [("accuracy", "CAB"), ("name", "BAC"), ("family", "BAC")])
def test_classes_in_their_orders(catalog, result, by, names):
    found = explanations.classes_in_order(catalog, result, "transfer", by)
    assert "".join(found) == names
    if by == "name":
        assert [LABELS[name] for name in found] == sorted((LABELS[name] for name in "ABC"), key=str.casefold)
    with pytest.raises(
        ValueError, match="classes must be in the order of accuracy, name, family, got 'size'"
    ):
        explanations.classes_in_order(catalog, result, "transfer", "size")


def test_every_bar_can_be_clicked_and_the_chosen_one_is_seen(catalog, result):
    figure = figures_errors.accuracy_bars(result, "transfer", catalog, ["C", "A", "B"], "C", with_family=True)
    behind, bars = figure.data
    assert (
        list(behind.y) == [100] * 3
        and list(bars.y) == [0, 25, 100]
        and list(behind.text) == ["0", "25", "100"]
        and bars.text is None
    )
    assert (
        len({behind.marker.color[0], *behind.marker.color[1:]}) == 2
        and behind.marker.color[1] == behind.marker.color[2]
    )
    assert (
        behind.customdata[1] == f"{plain(IMAGE)}: 25.0 % (1 of 4)<br>most taken for {plain(SCRIPT)} (2)"
        and bars.hoverinfo == "skip"
    )
    assert figure.layout.xaxis.ticktext[0].startswith("<b>cat walk") and figure.layout.xaxis.ticktext[
        0
    ].endswith("<br><i>two</i>")
    with pytest.raises(
        ValueError, match="must be those of the split's 3 unseen classes, each once, got 2 names"
    ):
        figures_errors.accuracy_bars(result, "transfer", catalog, ["C", "A"], "C")


def test_cells_hold_shares_and_are_read_back_from_clicks(catalog, result):
    names = ["B", "C", "A"]
    figure = figures_errors.confusion_by_cluster(result, "transfer", catalog, names, "A", "C")
    (cells,) = figure.data
    assert np.array(cells.customdata).tolist() == [[4, 0, 0], [4, 0, 0], [2, 1, 1]] and np.array(
        cells.z
    ).tolist()[2] == [50, 25, 25]
    frame = figure.layout.shapes[0]
    assert (frame.x0, frame.x1, frame.y0, frame.y1) == (0.5, 1.5, 1.5, 2.5)
    assert figures_errors.clicked_cell(catalog, names, cells.x[1], cells.y[2]) == ("A", "C")
    figures_errors.move_frame(figure, catalog, names, "B")
    assert (frame.x0, frame.x1, frame.y0, frame.y1) == (
        -0.5,
        2.5,
        -0.5,
        0.5,
    ) and figure.layout.yaxis.ticktext[0].startswith("<b>")
    with pytest.raises(ValueError, match="a cell must be of two of the 3 classes shown, got 'odd' and 'odd'"):
        figures_errors.clicked_cell(catalog, names, "odd", "odd")
    same = dataclasses.replace(catalog, classes=catalog.classes.assign(label="same"))
    twins = figures_errors.confusion_by_cluster(result, "transfer", same, names, "A").data[0]
    assert figures_errors.clicked_cell(same, names, twins.x[0], twins.y[1]) == ("C", "B")


@pytest.mark.parametrize("n", [35, 70])
def test_many_classes_get_smaller_ticks_or_none_and_can_be_redrawn_from_few(catalog, result, n):
    names = tuple(f"class {number}" for number in range(n))
    many = dataclasses.replace(catalog, classes=pd.DataFrame({"name": names, "label": names}))
    scored = dataclasses.replace(result.method("transfer"), scores_BC=np.eye(n))
    protocol = dataclasses.replace(result.protocol, unseen=names)
    large = dataclasses.replace(result, protocol=protocol, targets=np.arange(n), methods=(scored,))
    bars = figures_errors.accuracy_bars(large, "transfer", many, names, names[0])
    cells = figures_errors.confusion_by_cluster(large, "transfer", many, names, names[0])
    assert (
        bars.layout.xaxis.showticklabels == cells.layout.yaxis.showticklabels == (n == 35)
        and cells.layout.height <= 1000
    )
    small = as_widget(figures_errors.confusion_by_cluster(result, "transfer", catalog, ["A", "B", "C"], "A"))
    redraw(small, cells)
    assert np.array(small.data[0].z).shape == (n, n) and small.data[0].texttemplate == ""


# selections


def test_what_can_be_chosen_of_a_class():
    found = verdicts_of("BABBC")
    options = selections.answer_options(found, LABELS)
    assert [text for text, _ in options][:2] == ["any answer (5)", "wrong answers (4)"]
    assert [value for _, value in options] == [
        ANY,
        WRONG,
        Answer(name="B"),
        Answer(name="A"),
        Answer(name="C"),
    ]
    assert options[2][0] == f"taken for {SCRIPT} (3)"
    assert [[v.clip_id for v in value.of(found)] for value in (WRONG, Answer(name="C"))] == [
        ["A/0", "A/2", "A/3", "A/4"],
        ["A/4"],
    ]
    assert [value for _, value in selections.answer_options(verdicts_of("AA"), LABELS)] == [
        ANY,
        Answer(name="A"),
    ]
    assert selections.answer_options([], LABELS) == [("any answer (0)", ANY)]
    twins = selections.answer_options(verdicts_of("BC"), dict.fromkeys("ABC", "same"))
    assert [text for text, _ in twins][2:] == ["taken for same (1) [B]", "taken for same (1) [C]"]


def test_pages_hold_every_clip_once():
    for n in (0, 1, 23, 24, 25, 48, 5000):
        found = list(range(n))
        assert [
            clip for page in range(selections.pages(n)) for clip in selections.page_of(found, page)
        ] == found
        assert selections.pages(n) == max(1, (n + 23) // 24)
    with pytest.raises(ValueError, match=r"the page must be in 0..1 \(of 25 clips\), got 2"):
        selections.page_of(list(range(25)), 2)


def test_what_is_shown_is_said():
    found = verdicts_of("BA" * 15)
    say = selections.in_words
    assert (
        say(found, found[24:], 25, "jump", ANY, LABELS)
        == "Clips 25 to 30 of the 30 of “jump”; 15 named wrongly."
    )
    assert (
        say(found[:3], found[:3], 1, "jump", Answer(name="C"), LABELS)
        == f"The 3 clips of “jump” taken for “{LABELS['C']}”."
    )
    assert say(found[1:2], found[1:2], 1, "jump", ANY, LABELS) == "The 1 clip of “jump”; all named rightly."
    assert say([], [], 1, "jump", WRONG, LABELS) == "No clip of “jump” named wrongly."
    assert say([], [], 1, "x", ANY, LABELS) == "No clip of “x” was tested."


def test_a_caption_says_what_the_order_is_by():
    found = Verdict("A/0", "B", -0.5, False, 0.875, 0.25)
    lines = {
        order: explanations.caption_of(found, LABELS, 3, order, AMBIGUOUS).lines
        for order in (MARGIN, CONFIDENCE, TYPICAL, UNTYPICAL)
    }
    assert lines[MARGIN] == (f"3. {SCRIPT}", "margin -0.500", "⚑ ambiguous")
    assert (
        lines[CONFIDENCE][2] == "88 % sure" and lines[TYPICAL][2] == lines[UNTYPICAL][2] == "typicality 0.25"
    )


def test_tags_are_listed_the_latest_first_and_escaped():
    rows = [
        (f"A/{n}", "gone" if n else "A", "split", "method", AMBIGUOUS, "<b>note", f"2026-01-{n + 1:02}")
        for n in range(3)
    ] * 20
    table = pd.DataFrame(rows, columns=["clip", "class", "split", "method", "kind", "note", "time"])
    shown = selections.tags_html(table, LABELS, "<b>note.csv")
    assert (
        not [tag for tag in HOSTILE if tag in shown]
        and "10 earlier ones are in the file" in shown
        and shown.count("<tr>") == 51
    )
    assert (
        shown.index("2026-01-03") < shown.index("2026-01-02") < shown.index("2026-01-01")
        and "60 clips tagged" in shown
    )
    assert "No clip is tagged" in selections.tags_html(table.head(0), LABELS, "x.csv")


# one clip as html


def test_a_clip_is_explained_by_texts_weights_and_examples(catalog, result, embeddings):
    page = explanations_clip.clip_html(catalog, result, "transfer", "A/1", embeddings)
    assert not [tag for tag in HOSTILE if tag in page] and page.count("<video") == 1 + 2 + 2
    assert (
        "True class" in page
        and "Taken for" in page
        and "It is &lt;img" in page
        and "It is &lt;/script&gt;" in page
    )
    added = explanations_clip.pulls(result, embeddings, "A/1", "A")
    assert (
        "weight 0.75" in page
        and f"adds {added['S1']:+.3f}" in page
        and f"all together {sum(added.values()):+.3f}, its transfer score" in page
    )
    plainly = explanations_clip.clip_html(catalog, result, "direct", "A/1")
    assert (
        plainly.count("<video") == 1
        and "Next best" in plainly
        and "does not decide by these prototypes" in plainly
    )
    assert re.findall(r"<td [^>]*>(\d)</td>", plainly) == ["1", "2", "3"]


# the widget


def test_the_widget_follows_its_choices(widget):
    assert widget["class"].value == "C" and [name for _, name in widget["class"].options] == ["C", "A", "B"]
    assert widget["class"].options[0][0] == "cat walk %{x} $a$ (0 %)"
    widget["class"].value = "A"
    assert (
        list(widget.taken.data[0].y) == [1, 2, 1]
        and widget.html.count("✗") == 3
        and "It is &lt;img" in widget.html
    )
    assert widget.shown == ["A/1", "A/2", "A/3", "A/0"]
    widget["answer"].value = WRONG
    assert widget.shown == ["A/1", "A/2", "A/3"]
    widget["method"].value = "direct"
    assert (
        widget["class"].value == "A"
        and list(widget.taken.data[0].y) == [4, 0, 0]
        and "✗" not in widget.html
        and len(widget.shown) == 4
    )
    assert "all named rightly" in widget.html and [value for _, value in widget["answer"].options] == [
        ANY,
        Answer(name="A"),
    ]
    widget["split"].value = "stratified-1"
    assert all("split 1" in figure.layout.title.text for figure in (widget.bars, widget.cells, widget.taken))
    assert not [tag for tag in HOSTILE if tag in widget.html]


def test_clicks_choose_a_class_and_its_clips_of_an_answer(widget):
    widget.click(widget.bars, 1, 0)
    assert widget["class"].value == "A" and widget["answer"].value == ANY
    widget.click(widget.taken, 2, 1)
    assert widget["answer"].value == Answer(name="C") and widget.shown == ["A/3"]
    labels = {name: plain(LABELS[name]) for name in "ABC"}
    widget.click(widget.cells, labels["B"], labels["C"])
    assert (
        widget["class"].value == "C" and widget["answer"].value == Answer(name="B") and len(widget.shown) == 4
    )
    widget.click(widget.cells, labels["A"], labels["C"])
    assert widget["answer"].value == ANY and len(widget.shown) == 4
    assert (
        f"No clip of “{LABELS['C']}” was taken for “{clips.html.escape(IMAGE)}”; all its clips are shown."
        in widget.html
    )
    widget["bars by"].value = "name"
    widget.click(widget.bars, 0, 50)
    assert widget["class"].value == "B" and "No clip of “" not in widget.html


def test_thousands_of_clips_are_turned_by_pages(catalog, result, monkeypatch):
    found = [Verdict("A/0", "B", n / 100, False, None, 0.5) for n in range(5000)]
    monkeypatch.setattr(explanations, "verdicts", lambda *_: found)
    widget = Widget(class_errors(catalog, {"split": result}))
    assert (
        widget["◀ earlier"].disabled
        and not widget["later ▶"].disabled
        and "Clips 1 to 24 of the 5000" in widget.html
    )
    assert CONFIDENCE not in widget["order"].options
    widget["later ▶"].click()
    assert (
        "Clips 25 to 48 of the 5000" in widget.html
        and "25. " in widget.html
        and not widget["◀ earlier"].disabled
    )
    widget["order"].value = TYPICAL
    assert "Clips 1 to 24 of the 5000" in widget.html and "typicality 0.50" in widget.html


def test_a_clip_is_chosen_marked_and_left_out(widget, tmp_path):
    tags = Tags(tmp_path / "kept" / "tags.csv")
    assert widget["Tag"].disabled and "none of them is left out" in widget.html
    widget["class"].value = "A"
    widget["clip"].value = "A/1"
    assert "zsar-clip" in widget.html and "its transfer score" in widget.html and not widget["Tag"].disabled
    widget["tag as"].value, widget["note"].value = AMBIGUOUS, "<b>note"
    widget["Tag"].click()
    row = tags.table().iloc[0]
    assert row.tolist()[:-1] == ["A/1", "A", "stratified-0", "transfer", AMBIGUOUS, "<b>note"]
    assert "transfer 41.7 % on 12 clips; 45.5 % on the 11 not tagged (1 left out: 1 ambiguous)" in widget.html
    assert (
        "⚑ ambiguous" in widget.html
        and "&lt;b&gt;note" in widget.html
        and "<b>note" not in widget.html
        and widget["note"].value == ""
    )
    widget["ambiguous"].value = False
    assert "none of them is left out" in widget.html
    widget["split"].value = "stratified-1"  # shares the tags; has no embeddings, so no examples
    assert (
        "⚑ ambiguous" in widget.html
        and widget["clip"].value == "A/1"
        and "its transfer score" not in widget.html
    )
    widget["Remove tag"].click()
    assert tags.kinds() == {} and "⚑" not in widget.html and "No clip is tagged" in widget.html
    widget["Remove tag"].click()
    assert "a tag can be removed from one of the 0 tagged clips" in widget.html


def test_a_bad_file_of_tags_is_said_and_hides_nothing_else(widget, tmp_path):
    Tags(tmp_path / "kept" / "tags.csv").add(Tag("A/1", "A", "d", "r", LABEL_WRONG))
    (tmp_path / "kept" / "tags.csv").write_text("odd\n1\n")
    widget["class"].value = "A"
    assert (
        "a file of tags must have the columns" in widget.html
        and len(widget.shown) == 4
        and "⚑" not in widget.html
    )


def test_a_missing_video_is_a_box_that_says_so(widget, catalog):
    (Path(catalog.root) / "A" / "1.mp4").unlink()
    widget["class"].value = "A"
    assert widget.html.count("zsar-missing") == 1 and "No such file" in widget.html
    widget["clip"].value = "A/1"
    assert widget.html.count("zsar-missing") == 2 and "its transfer score" in widget.html


def test_a_failure_inside_the_widget_is_shown_and_raised(catalog, result, embeddings, monkeypatch):
    widget = Widget(class_errors(catalog, {"stratified-0": result}))

    def fail(*_):
        raise ValueError("it is <b>gone</b>")

    monkeypatch.setattr(explanations, "texts_and_parts", fail)
    with pytest.raises(ValueError, match="gone"):
        widget["class"].value = "B"
    assert "ValueError: it is &lt;b&gt;gone&lt;/b&gt;" in widget.html
    with pytest.raises(ValueError, match="at least one split to choose from, got none"):
        class_errors(catalog, {})
    with pytest.raises(ValueError, match=r"a method must be one of .*, got 'odd'"):
        class_errors(catalog, {"stratified-0": result}, "odd")
    with pytest.raises(ValueError, match=r"it was scored on \(print\), got other"):
        class_errors(
            catalog,
            {"stratified-0": result},
            clips={"stratified-0": dataclasses.replace(embeddings, fingerprint="other")},
        )


def test_a_lost_kernel_is_said_by_a_box_that_only_then_is_seen(widget):
    first = widget.pages[0].value
    assert (
        ".zsar-without-kernel{display:none}" in first
        and ".jupyter-widgets-disconnected .zsar-without-kernel{display:block}" in first
    )
    assert "The kernel was restarted or is gone" in first


def test_equal_labels_stay_apart(catalog, result):
    same = dataclasses.replace(catalog, classes=catalog.classes.assign(label="same"))
    assert len(selections.class_options(same, result, "direct")) == 3
