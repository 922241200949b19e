"""The widgets as a reader uses them: what is drawn around, clicked, written or moved reaches Python, and its answer is seen."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest
from test_notebooks_in_a_browser import PANEL, playing

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: pip install -e '.[browser]'"
)
expect = sync_api.expect
EDGE_PX = 26  # as in space_canvas.js
ANSWER_MS = 60_000
IN_KERNEL = """async expression => {
    const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
    const told = kernel.requestExecute({code: '', silent: true, store_history: false, user_expressions: {told: expression}});
    return (await told.done).content.user_expressions.told.data['text/plain'];
}"""
PLACE = """([figure, x, y]) => {
    const {xaxis, yaxis} = figure._fullLayout, {left, top} = figure.getBoundingClientRect();
    return [left + xaxis._offset + xaxis.c2p(x), top + yaxis._offset + yaxis.c2p(y)];
}"""


def in_kernel(page, expression: str):
    """What an expression is in the notebook's kernel; it must be what json can hold."""
    shown = page.evaluate(IN_KERNEL, f"__import__('json').dumps({expression})")
    return json.loads(shown[1:-1].encode().decode("unicode_escape"))


def show(page, selector: str):
    """An element, scrolled to; JupyterLab may hold only what is near the view, so the notebook is scrolled until it is there."""
    wait = "async step => { PANEL.scrollTop = 700 * step; await new Promise(resolve => setTimeout(resolve, 700)); }".replace(
        "PANEL", PANEL
    )
    for step in range(60):
        if page.locator(selector).count():
            break
        page.evaluate(wait, step)
    page.locator(selector).first.evaluate("element => element.scrollIntoView()")
    page.wait_for_timeout(1500)
    return page.locator(selector).first


def options(choice) -> list[str]:
    """What a list offers; ipywidgets writes spaces that do not break."""
    return [text.replace("\xa0", " ") for text in choice.locator("option").all_inner_texts()]


def choice(box, name: str):
    """The list of a box with that word beside it."""
    return box.locator(f".widget-dropdown:has(.widget-label:text-is('{name}')) select")


def click_on(page, figure, x: float, y: float) -> None:
    """Click into a figure, at a place in the units of its axes; plotly must have seen the mouse there before."""
    figure.scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    place = page.evaluate(PLACE, [figure.element_handle(), x, y])
    page.mouse.move(place[0] - 3, place[1] - 2)
    page.mouse.move(*place, steps=4)
    expect(figure.locator(".hovertext").first).to_be_attached(timeout=ANSWER_MS)
    page.mouse.click(*place)


@pytest.fixture
def space(open_notebook):
    """The page of notebook 04, at the map."""
    page = open_notebook("04_shared_space")
    show(page, ".zsar-space-canvas")
    return page


@pytest.fixture
def errors(open_notebook):
    """The page of notebook 05, at its widget."""
    page = open_notebook("05_class_errors")
    show(page, ".zsar-class-errors")
    return page


def places_px(page, space: str = "space") -> tuple[np.ndarray, np.ndarray]:
    """Where clips and signs of a map, a variable of the notebook, are on the page, as space_canvas.js puts them there."""
    stage = page.locator(".zsar-space-canvas canvas").nth(1).bounding_box()
    clips = np.array(in_kernel(page, f"{space}.clips_xy.tolist()"))
    kinds = "seen_text_xy", "seen_xy", "unseen_text_xy", "true_xy", "composed_xy"
    signs = np.concatenate([in_kernel(page, f"{space}.{kind}.tolist()") for kind in kinds])
    both = np.concatenate([clips, signs])
    low, high = both.min(0), both.max(0)
    size = np.array([stage["width"], stage["height"]])
    found = EDGE_PX + (both - low) / (high - low) * (size - 2 * EDGE_PX)
    found[:, 1] = size[1] - found[:, 1]
    found += [stage["x"], stage["y"]]
    return found[: len(clips)], found[len(clips) :]


def draw_lasso(page, path: list[tuple[float, float]]) -> None:
    page.mouse.move(*path[0])
    page.mouse.down()
    for place in path[1:]:
        page.mouse.move(*place, steps=5)
    page.mouse.up()


def rectangle(low: np.ndarray, high: np.ndarray) -> list[tuple[float, float]]:
    return [tuple(map(float, place)) for place in (low, (high[0], low[1]), high, (low[0], high[1]), low)]


def click_a_lone_clip(page, space: str) -> None:
    """Click on the clip of a map that lies farthest from all else; it alone is then selected, on the page and in Python."""
    canvas = show(page, ".zsar-space-canvas")
    canvas.get_by_role("button", name="none").click()  # so that what is said below is said of this click
    expect(page.locator(".zsar-space")).to_contain_text("No clip is selected", timeout=ANSWER_MS)
    clips_px, signs_px = places_px(page, space)
    apart = np.linalg.norm(clips_px[:, None] - np.concatenate([clips_px, signs_px])[None], axis=-1)
    np.fill_diagonal(apart, np.inf)
    alone = int(apart.min(1).argmax())
    assert apart[alone].min() > 4
    page.mouse.click(*map(float, clips_px[alone]))
    expect(page.locator(".zsar-space")).to_contain_text("1 clip is selected", timeout=ANSWER_MS)
    assert in_kernel(page, "list(explorer.selected_ids)") == in_kernel(page, f"[{space}.ids[{alone}]]")


def test_a_lasso_and_a_click_on_the_map_open_their_clips(space, picture):
    box = space.locator(".zsar-space")
    clips_px, signs_px = places_px(space)
    middle, size = (clips_px.min(0) + clips_px.max(0)) / 2, np.ptp(clips_px, axis=0)
    low, high = middle - 0.35 * size, middle + 0.35 * size
    inside = int(((clips_px > low) & (clips_px < high)).all(1).sum())
    assert inside > 20  # else the lasso says nothing
    draw_lasso(space, rectangle(low, high))
    expect(box).to_contain_text(f"{inside} clips are selected", timeout=ANSWER_MS)
    assert len(in_kernel(space, "list(explorer.selected_ids)")) == inside
    found, advancing = playing(space, ".zsar-space .zsar-clips")
    assert found >= 20 and advancing >= 1

    for fitted_on, name in (("all clips", "space"), ("seen classes", "of_seen")):
        choice(box, "fitted on").select_option(label=fitted_on)
        expect(box).to_contain_text(
            f"trustworthiness {in_kernel(space, f'{name}.trustworthiness'):.2f}", timeout=ANSWER_MS
        )
        click_a_lone_clip(space, name)
        assert playing(space, ".zsar-space .zsar-clips") == (1, 1)
    choice(box, "fitted on").select_option(label="all clips")

    show(space, ".zsar-space-canvas")
    clips_px, _ = places_px(space)
    corner = clips_px.max(0) - 3
    assert (np.linalg.norm(clips_px - corner, axis=1) > 30).all()
    draw_lasso(space, rectangle(corner - 15, corner + 15))
    expect(box).to_contain_text("No clip is selected", timeout=ANSWER_MS)
    assert in_kernel(space, "list(explorer.selected_ids)") == [] and box.locator("video").count() == 0


def test_a_lasso_around_an_expected_class_is_kept_as_a_picture(space, picture):
    clips_px, signs_px = places_px(space)
    expected_px = signs_px[-len(in_kernel(space, "list(space.unseen)")) :]
    unseen_px = clips_px[[group == "unseen" for group in in_kernel(space, "list(space.groups)")]]
    near = [int((np.abs(unseen_px - place) < 45).all(1).sum()) for place in expected_px]
    middle = expected_px[int(np.argmax(near))]
    assert max(near) > 0
    round_px = [
        (float(middle[0] + 60 * np.cos(turn)), float(middle[1] + 60 * np.sin(turn)))
        for turn in np.linspace(0, 2 * np.pi, 25)
    ]
    draw_lasso(space, round_px)
    expect(space.locator(".zsar-space")).to_contain_text(
        re.compile(r"\d+ clips? (is|are) selected:"), timeout=ANSWER_MS
    )
    assert playing(space, ".zsar-space .zsar-clips")[0] >= 1
    picture(space, ".zsar-space", ".zsar-space .zsar-clips", "map")


def test_a_slider_moves_figures_and_table(space, picture):
    box = show(space, ".zsar-transfer-explorer")
    before = box.inner_text()
    assert "looking at test accuracy" in before
    dots = "document.querySelector('.zsar-transfer-explorer .js-plotly-plot')._fullData[2].x.join()"
    drawn = space.evaluate(dots)
    box.locator(".noUi-handle").first.focus()
    for _ in range(24):
        space.keyboard.press("ArrowLeft")
    expect(box.locator(".zsar-summary")).to_contain_text("Now: k 8,", timeout=ANSWER_MS)
    space.wait_for_function(f"{dots} != {drawn!r}", timeout=ANSWER_MS)
    assert box.inner_text() != before
    picture(
        space,
        ".zsar-transfer-explorer",
        ".zsar-transfer-explorer .js-plotly-plot >> nth=1",
        "transfer_explorer",
    )


def test_a_bar_and_a_cell_open_the_clips_of_their_class(errors, picture):
    box = errors.locator(".zsar-class-errors")
    bars, cells = box.locator(".js-plotly-plot").nth(0), box.locator(".js-plotly-plot").nth(1)
    names = [
        name.replace("<b>", "").replace("</b>", "")
        for name in bars.evaluate("figure => figure.layout.xaxis.ticktext")
    ]
    click_on(errors, bars, 4, 50)
    expect(box).to_contain_text(f"of “{names[4]}”", timeout=ANSWER_MS)
    expect(box).to_contain_text(f"True class: {names[4]}", timeout=ANSWER_MS)

    counts = np.array(cells.evaluate("figure => figure._fullData[0].customdata.map(row => [...row])"))
    wrong = counts - np.diag(np.diag(counts))
    true, named = (int(place) for place in np.unravel_index(wrong.argmax(), wrong.shape))
    labels = [
        name.replace("<b>", "").replace("</b>", "")
        for name in cells.evaluate("figure => figure.layout.xaxis.ticktext")
    ]
    click_on(errors, cells, named, true)
    said = re.compile(
        f"{wrong.max()} (clips )?of “{re.escape(labels[true])}” taken for “{re.escape(labels[named])}”"
    )
    expect(box).to_contain_text(said, timeout=ANSWER_MS)
    expect(choice(box, "class").locator("option:checked")).to_contain_text(labels[true], timeout=ANSWER_MS)
    found, advancing = playing(errors, ".zsar-class-errors .zsar-clips")
    assert found == min(24, wrong.max()) and advancing >= 1
    picture(
        errors,
        ".zsar-class-errors .js-plotly-plot >> nth=2",
        ".zsar-class-errors .zsar-clips",
        "class_errors",
    )


def test_a_tag_is_saved_and_taken_away(errors, lab):
    box, path = errors.locator(".zsar-class-errors"), lab.folder / "notebooks" / "tags.csv"
    clip = options(choice(box, "clip"))[1].removeprefix("1. ").split(",")[0]
    choice(box, "clip").select_option(index=1)
    expect(box).to_contain_text(f"Tag {clip}:", timeout=ANSWER_MS)
    box.get_by_role("button", name="label wrong").click()
    box.get_by_placeholder("why").fill("it <b>stands</b> still")
    box.get_by_role("button", name="Tag", exact=True).click()
    expect(box).to_contain_text("1 clip tagged", timeout=ANSWER_MS)
    expect(box.locator(".zsar-clips").first).to_contain_text("⚑ label wrong", timeout=ANSWER_MS)
    (row,) = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
    assert (row["clip"], row["kind"], row["note"], row["split"]) == (
        clip,
        "label wrong",
        "it <b>stands</b> still",
        "stratified-0",
    )
    box.get_by_role("button", name="Remove tag").click()
    expect(box).to_contain_text("No clip is tagged", timeout=ANSWER_MS)
    assert len(path.read_text(encoding="utf-8").splitlines()) == 1


def test_figures_are_as_wide_as_their_box(errors):
    fits = """() => [...document.querySelectorAll('.zsar-class-errors .js-plotly-plot')].every(
        figure => figure.clientWidth > 300 && Math.abs(figure.clientWidth - figure.querySelector('.main-svg').clientWidth) <= 1)"""
    errors.wait_for_function(fits, timeout=ANSWER_MS)
    for width in (1000, 700, 1400):
        errors.set_viewport_size({"width": width, "height": 1000})
        errors.wait_for_timeout(600)
        errors.wait_for_function(fits, timeout=ANSWER_MS)
    errors.evaluate("window.jupyterapp.commands.execute('application:toggle-left-area')")
    errors.wait_for_timeout(600)
    errors.wait_for_function(fits, timeout=ANSWER_MS)
