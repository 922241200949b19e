"""zsar_lab.viz.widgets.class_errors driven from Python: choices, clicks, pages, tags, and failures."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
from seven_classes import LABELS, made_predictions

from zsar_lab.results.tags import AMBIGUOUS, LABEL_WRONG, Tags
from zsar_lab.viz import explanations
from zsar_lab.viz.figures.style import plain
from zsar_lab.viz.widgets.class_errors import ANY, AS, EVERY_CLASS, PER_PAGE, RIGHT, WRONG, ClassErrors

HOSTILE = ("<img", "<script", "</script", "<b>note")


@pytest.fixture
def widget(catalog, predictions, embeddings, tmp_path) -> ClassErrors:
    other = made_predictions(catalog.classes, embeddings, "split 1")
    splits = {"stratified-0": predictions, "stratified-1": other}
    tags = Tags(tmp_path / "kept" / "tags.csv")
    return ClassErrors(catalog, splits, clips={"stratified-0": embeddings}, tags=tags)


def page(widget: ClassErrors) -> str:
    return "".join(part.value for part in widget.html.values()) + widget.grid.html + widget.grid.why


def click(widget: ClassErrors, figure: str, x: object, y: object) -> None:
    """As plotly does it."""
    trace = widget.figures[figure].data[0]
    points = type("Points", (), {"xs": [x], "ys": [y]})()
    for callback in trace._click_callbacks:
        callback(trace, points, None)


def clips(widget: ClassErrors) -> list[str]:
    return widget.clips["clip"].tolist()


def values(widget: ClassErrors, control: str) -> list[str]:
    return [value for _, value in widget.controls[control].options]


def test_the_widget_follows_its_choices(widget):
    assert widget.state.name == "C" and values(widget, "name") == ["C", "A", "B", EVERY_CLASS]
    assert widget.controls["name"].options[0][0] == "cat walk %{x} $a$ (0 %)"
    widget.controls["name"].value = "A"
    assert widget.grid.html.count("✗") == 3 and "It is &lt;img" in widget.html["texts"].value
    assert clips(widget) == ["A/1", "A/2", "A/3", "A/0"]
    widget.controls["prediction"].value = WRONG
    assert clips(widget) == ["A/1", "A/2", "A/3"]
    widget.controls["method"].value = "direct"
    assert widget.state.name == "A" and list(widget.figures["bars"].data[1].y) == [100, 100, 100]
    assert "✗" not in widget.grid.html and len(clips(widget)) == 4
    assert "all predicted rightly" in page(widget) and values(widget, "prediction") == [ANY, RIGHT, f"{AS}A"]
    widget.controls["split"].value = "stratified-1"
    assert not [tag for tag in HOSTILE if tag in page(widget)]


def test_clicks_choose_a_class_and_its_clips_of_a_prediction(widget):
    click(widget, "bars", 1, 0)
    assert (widget.state.name, widget.state.prediction) == ("A", ANY)
    labels = {name: plain(LABELS[name]) for name in "ABC"}
    click(widget, "confusion", labels["C"], labels["A"])
    assert widget.state.prediction == f"{AS}C" and clips(widget) == ["A/3"]
    assert "predicted as “cat walk" in widget.html["shown"].value
    click(widget, "confusion", labels["B"], labels["C"])
    assert (widget.state.name, widget.state.prediction) == ("C", f"{AS}B") and len(clips(widget)) == 4
    frame = widget.figures["confusion"].layout.shapes[0]
    assert (frame.x1 - frame.x0, frame.y1 - frame.y0) == (1, 1)
    click(widget, "confusion", labels["A"], labels["C"])
    assert widget.state.prediction == ANY and len(clips(widget)) == 4 and frame.x1 - frame.x0 == 3
    assert "No clip of “cat walk" in widget.html["message"].value
    click(widget, "bars", 2, 50)
    assert widget.state.name == "B" and widget.html["message"].value == ""


def test_filters_of_class_prediction_and_margin_combine(widget, predictions):
    table = explanations.clip_table(predictions, "transfer")
    widget.choose(name=EVERY_CLASS, prediction=WRONG)
    assert sorted(clips(widget)) == sorted(table.loc[~table["right"], "clip"])
    low, high = widget.controls["margins"].value
    assert low <= table["margin"].min() and high >= table["margin"].max()
    widget.controls["margins"].value = (0, high)
    assert clips(widget) == [] and "7 more have margins outside" in widget.html["shown"].value
    widget.controls["prediction"].value = ANY
    assert clips(widget) == table.loc[table["right"], "clip"].tolist()
    widget.choose(margins=(low, 0.0))
    assert "truth: cat walk" in widget.grid.html and len(clips(widget)) == 7
    widget.controls["name"].value = "A"
    assert clips(widget) == ["A/1", "A/2", "A/3"]
    widget.controls["method"].value = "direct"
    assert widget.state.margins == widget.controls["margins"].value == widget._limits


def test_thousands_of_clips_are_turned_by_pages(catalog, predictions, monkeypatch):
    found = explanations.clip_table(predictions, "transfer", "A").iloc[[0] * 5000].reset_index(drop=True)
    found = found.assign(confidence=float("nan"), typicality=0.5)
    monkeypatch.setattr(explanations, "clip_table", lambda *_: found)
    widget = ClassErrors(catalog, {"split": predictions})
    earlier, later = widget.controls["earlier"], widget.controls["later"]
    assert earlier.disabled and not later.disabled and len(clips(widget)) == PER_PAGE == 24
    assert "Clips 1 to 24 of the 5000" in widget.html["shown"].value
    assert explanations.CONFIDENCE not in widget.controls["order"].options
    later.click()
    assert "Clips 25 to 48 of the 5000" in widget.html["shown"].value and not earlier.disabled
    assert "25. " in widget.grid.html
    widget.controls["order"].value = explanations.TYPICAL
    assert "Clips 1 to 24 of the 5000" in widget.html["shown"].value
    assert "typicality 0.50" in widget.grid.html
    widget.choose(page=9999)
    assert widget.state.page == 208 and later.disabled and len(clips(widget)) == 8


def test_a_clip_is_chosen_tagged_and_left_out(widget):
    tags, controls, html = widget._tags, widget.controls, widget.html
    assert controls["tag"].disabled and "none of them is left out" in html["score"].value
    widget.choose(name="A")
    widget.grid.chosen = 1
    assert widget.state.clip == clips(widget)[1] == "A/2"
    widget.grid.chosen = 0
    assert "its transfer score" in widget.grid.why and not controls["tag"].disabled
    controls["kind"].value, controls["note"].value = AMBIGUOUS, "<b>note"
    controls["tag"].click()
    row = tags.table().iloc[0]
    assert row.tolist()[:-1] == ["A/1", "A", "stratified-0", "transfer", AMBIGUOUS, "<b>note"]
    score = html["score"].value
    assert all(part in score for part in ("41.7 % on 12 clips", "45.5 % on the 11", "1 ambiguous"))
    assert "⚑ ambiguous" in widget.grid.html and "&lt;b&gt;note" in html["tags"].value
    assert "<b>note" not in page(widget) and controls["note"].value == ""
    controls[f"without {AMBIGUOUS}"].value = False
    assert "none of them is left out" in html["score"].value
    controls["split"].value = "stratified-1"  # shares the tags; has no embeddings, so no examples
    assert "⚑ ambiguous" in widget.grid.html and widget.state.clip == "A/1"
    assert "its transfer score" not in widget.grid.why
    controls["remove_tag"].click()
    assert tags.kinds() == {} and "⚑" not in page(widget) and "No clip is tagged" in html["tags"].value
    controls["remove_tag"].click()
    assert "0 tagged clips" in html["tag_message"].value


def test_a_bad_file_of_tags_hides_nothing_else(widget):
    path = widget._tags.path
    Tags(path).add("A/1", "A", "d", "r", LABEL_WRONG)
    path.write_text("odd\n1\n")
    widget.choose(name="A")
    assert "columns" in widget.html["tag_message"].value and "odd" in widget.html["tag_message"].value
    assert len(clips(widget)) == 4 and "⚑" not in page(widget)


def test_a_missing_video_is_a_box_that_says_so(catalog, predictions, embeddings, tmp_path):
    shutil.copytree(catalog.root, tmp_path / "copy")
    (tmp_path / "copy" / "A" / "1.mp4").unlink()
    moved = replace(catalog, root=tmp_path / "copy")
    widget = ClassErrors(moved, {"split": predictions}, clips={"split": embeddings})
    widget.choose(name="A", clip="A/1")
    assert widget.grid.html.count("zsar-missing") == 1 and "No such file" in widget.grid.html
    assert "its transfer score" in widget.grid.why


def test_wrong_arguments_are_refused(catalog, predictions, embeddings):
    with pytest.raises(ValueError, match="at least one split"):
        ClassErrors(catalog, {})
    with pytest.raises(KeyError, match="odd"):
        ClassErrors(catalog, {"split": predictions}, "odd")
    other = {"split": replace(embeddings, fingerprint="other")}
    with pytest.raises(ValueError, match=r"\(print\), got other"):
        ClassErrors(catalog, {"split": predictions}, clips=other)


def test_equal_labels_can_be_chosen_apart(catalog, predictions):
    same = replace(catalog, classes=catalog.classes.assign(label="same"))
    options = ClassErrors(same, {"split": predictions}).controls["name"].options
    assert len({text for text, _ in options}) == 4
