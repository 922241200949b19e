"""The widgets as a reader uses them: a lasso, a click or a slider reaches Python, and its effect is seen."""

from __future__ import annotations

import csv
import re

import numpy as np
import pytest
from jupyter_page import WAIT_MS, choice, click_on, expect, in_kernel, playing, show

EDGE_PX = 26  # as in space_canvas.js


@pytest.fixture
def space(open_notebook):
    """The page of notebook 05, at the map."""
    page = open_notebook("05_shared_space")
    show(page, ".zsar-space-canvas")
    return page


@pytest.fixture
def errors(open_notebook):
    """The page of notebook 06, at its widget."""
    page = open_notebook("06_class_errors")
    show(page, ".zsar-class-errors")
    return page


def places_px(page, space: str = "space") -> tuple[np.ndarray, np.ndarray]:
    """Where space_canvas.js draws the clips and signs of a map, a variable of the notebook, on the page."""
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
    """Click on the clip of a map that is farthest from all else; then it alone is selected, in Python too."""
    canvas = show(page, ".zsar-space-canvas")
    canvas.get_by_role("button", name="none").click()  # so that what is said below is said of this click
    expect(page.locator(".zsar-space")).to_contain_text("No clip is selected", timeout=WAIT_MS)
    clips_px, signs_px = places_px(page, space)
    apart = np.linalg.norm(clips_px[:, None] - np.concatenate([clips_px, signs_px])[None], axis=-1)
    np.fill_diagonal(apart, np.inf)
    alone = int(apart.min(1).argmax())
    assert apart[alone].min() > 4
    page.mouse.click(*map(float, clips_px[alone]))
    expect(page.locator(".zsar-space")).to_contain_text("1 clip is selected", timeout=WAIT_MS)
    assert in_kernel(page, "list(explorer.selected_ids)") == in_kernel(page, f"[{space}.ids[{alone}]]")


def beside(page, left: str, right: str) -> bool:
    """Whether two parts of a widget stand beside each other, at both widths."""
    found = []
    for width in (900, 1400):
        page.set_viewport_size({"width": width, "height": 1000})
        page.wait_for_timeout(700)
        a, b = (page.locator(selector).first.bounding_box() for selector in (left, right))
        found.append(b["x"] >= a["x"] + a["width"] - 1 and abs(b["y"] - a["y"]) < 250)
    return all(found)


def test_a_lasso_and_a_click_on_the_map_open_their_clips(space, picture):
    box = space.locator(".zsar-space")
    clips_px, signs_px = places_px(space)
    middle, size = (clips_px.min(0) + clips_px.max(0)) / 2, np.ptp(clips_px, axis=0)
    low, high = middle - 0.35 * size, middle + 0.35 * size
    inside = int(((clips_px > low) & (clips_px < high)).all(1).sum())
    assert inside > 20  # else the lasso says nothing
    draw_lasso(space, rectangle(low, high))
    expect(box).to_contain_text(f"{inside} clips are selected", timeout=WAIT_MS)
    assert len(in_kernel(space, "list(explorer.selected_ids)")) == inside
    found, advancing = playing(space, ".zsar-space .zsar-clips")
    assert found >= 20 and advancing >= 1

    for fitted_on, name in (("all clips", "space"), ("seen classes", "of_seen")):
        choice(box, "fitted on").select_option(label=fitted_on)
        expect(box).to_contain_text(
            f"trustworthiness {in_kernel(space, f'{name}.trustworthiness'):.2f}", timeout=WAIT_MS
        )
        click_a_lone_clip(space, name)
        assert playing(space, ".zsar-space .zsar-clips") == (1, 1)
    choice(box, "fitted on").select_option(label="all clips")

    show(space, ".zsar-space-canvas")
    clips_px, _ = places_px(space)
    corner = clips_px.max(0) - 3
    assert (np.linalg.norm(clips_px - corner, axis=1) > 30).all()
    draw_lasso(space, rectangle(corner - 15, corner + 15))
    expect(box).to_contain_text("No clip is selected", timeout=WAIT_MS)
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
        re.compile(r"\d+ clips? (is|are) selected:"), timeout=WAIT_MS
    )
    assert playing(space, ".zsar-space .zsar-clips")[0] >= 1
    picture(space, ".zsar-space", ".zsar-space-canvas", "map")


def test_the_map_and_the_sliders_are_moved_by_keyboard(space, picture):
    box, n_cells = space.locator(".zsar-space"), space.locator(".jp-Cell").count()
    canvas = box.locator("canvas").nth(1)
    canvas.focus()
    for key in ("ArrowRight", "ArrowDown", "b"):  # the last one would make a new cell
        space.keyboard.press(key)
    expect(box.get_by_role("status")).to_contain_text("\n")
    space.keyboard.press("Enter")
    expect(box).to_contain_text(re.compile(r"clips? (is|are) selected"), timeout=WAIT_MS)
    assert playing(space, ".zsar-space .zsar-clips")[0] >= 1
    assert beside(space, ".zsar-space-canvas canvas", ".zsar-space .zsar-grid")
    choice(box, "class").select_option(index=1)
    first = box.locator(".zsar-grid figure").first
    first.locator("video").click()
    expect(first).to_contain_text("score", timeout=WAIT_MS)
    assert first.locator("video").first.bounding_box()["width"] > 250
    canvas.focus()
    space.keyboard.press("Escape")
    expect(box).to_contain_text("No clip is selected", timeout=WAIT_MS)
    assert space.locator(".jp-Cell").count() == n_cells
    explorer = ".zsar-transfer-explorer"
    assert beside(space, f"{explorer} .noUi-target", f"{explorer} .js-plotly-plot >> nth=1")

    box = show(space, explorer)
    before = box.inner_text()
    assert "looking at test accuracy" in before
    bars = "document.querySelector('.zsar-transfer-explorer .js-plotly-plot')._fullData[0].y.join()"
    drawn = space.evaluate(bars)
    box.locator(".noUi-handle").first.focus()
    for _ in range(24):
        space.keyboard.press("ArrowLeft")
    expect(box.locator(".zsar-summary")).to_contain_text("Now: k 8,", timeout=WAIT_MS)
    space.wait_for_function(f"{bars} != {drawn!r}", timeout=WAIT_MS)
    assert box.inner_text() != before
    picture(space, explorer, f"{explorer} .js-plotly-plot >> nth=0", "transfer_explorer")


def test_a_bar_and_a_cell_open_the_clips_of_their_class(errors, picture):
    box = errors.locator(".zsar-class-errors")
    bars, cells = box.locator(".js-plotly-plot").nth(0), box.locator(".js-plotly-plot").nth(1)
    names = [
        name.replace("<b>", "").replace("</b>", "")
        for name in bars.evaluate("figure => figure.layout.xaxis.ticktext")
    ]
    click_on(errors, bars, 4, 50)
    expect(box).to_contain_text(f"of “{names[4]}”", timeout=WAIT_MS)
    expect(box).to_contain_text(f"True class: {names[4]}", timeout=WAIT_MS)

    counts = np.array(cells.evaluate("figure => figure._fullData[0].customdata.map(row => [...row])"))
    wrong = counts - np.diag(np.diag(counts))
    true, named = (int(place) for place in np.unravel_index(wrong.argmax(), wrong.shape))
    labels = [
        name.replace("<b>", "").replace("</b>", "")
        for name in cells.evaluate("figure => figure.layout.xaxis.ticktext")
    ]
    click_on(errors, cells, named, true)
    said = re.compile(
        f"{wrong.max()} (clips )?of “{re.escape(labels[true])}” predicted as “{re.escape(labels[named])}”"
    )
    expect(box).to_contain_text(said, timeout=WAIT_MS)
    expect(choice(box, "class").locator("option:checked")).to_contain_text(labels[true], timeout=WAIT_MS)
    found, advancing = playing(errors, ".zsar-class-errors .zsar-clips")
    assert found == min(24, wrong.max()) and advancing >= 1
    picture(errors, ".zsar-class-errors", ".zsar-class-errors .js-plotly-plot >> nth=1", "class_errors")


def test_a_clip_is_enlarged_explained_and_tagged(errors, lab):
    box, path = errors.locator(".zsar-class-errors"), lab.folder / "notebooks" / "tags.csv"
    assert beside(errors, ".zsar-class-errors .js-plotly-plot", ".zsar-class-errors .zsar-grid")
    clips, n_cells = box.locator(".zsar-grid > .zsar-clips > figure"), errors.locator(".jp-Cell").count()
    clip = clips.nth(2).get_attribute("aria-label").split(":")[0]
    clips.nth(2).locator("video").first.click()
    expect(box).to_contain_text(f"Tag {clip}:", timeout=WAIT_MS)
    expect(clips.nth(2)).to_contain_text("its transfer score", timeout=WAIT_MS)
    video = clips.nth(2).locator("video").first
    assert video.bounding_box()["width"] > 250 and video.evaluate("video => video.controls")
    box.get_by_role("button", name="label wrong").click()
    box.get_by_placeholder("why").fill("it <b>stands</b> still")
    box.get_by_role("button", name="Tag", exact=True).click()
    expect(box).to_contain_text("1 clip tagged", timeout=WAIT_MS)
    expect(box.locator(".zsar-clips").first).to_contain_text("⚑ label wrong", timeout=WAIT_MS)
    (row,) = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
    found = row["clip"], row["kind"], row["note"], row["split"]
    assert found == (clip, "label wrong", "it <b>stands</b> still", "stratified-0")
    box.get_by_role("button", name="Remove tag").click()
    expect(box).to_contain_text("No clip is tagged", timeout=WAIT_MS)
    assert len(path.read_text(encoding="utf-8").splitlines()) == 1

    clips.nth(2).focus()
    for key in ("Escape", "b", "ArrowRight", "Enter"):  # "b" would make a new cell, Enter edit this one
        errors.keyboard.press(key)
    expect(clips.nth(3)).to_contain_text("its transfer score", timeout=WAIT_MS)
    assert errors.locator(".jp-Cell").count() == n_cells
    assert errors.evaluate("document.activeElement.className") == "zsar-large"
    errors.emulate_media(reduced_motion="reduce")
    box.get_by_role("button", name="later").focus()
    errors.keyboard.press("Enter")  # on the last page this button is disabled
    expect(box).to_contain_text("Clips 25 to", timeout=WAIT_MS)
    assert playing(errors, ".zsar-class-errors .zsar-grid")[1] == 0  # each shows its first picture
    assert errors.evaluate("document.activeElement.closest('.zsar-class-errors') !== null")


def test_figures_are_as_wide_as_their_box(errors):
    fits = """() => [...document.querySelectorAll('.zsar-class-errors .js-plotly-plot')].every(
        figure => figure.clientWidth > 300
            && Math.abs(figure.clientWidth - figure.querySelector('.main-svg').clientWidth) <= 1)"""
    errors.wait_for_function(fits, timeout=WAIT_MS)
    for width in (1000, 700, 1400):
        errors.set_viewport_size({"width": width, "height": 1000})
        errors.wait_for_timeout(600)
        errors.wait_for_function(fits, timeout=WAIT_MS)
    errors.evaluate("window.jupyterapp.commands.execute('application:toggle-left-area')")
    errors.wait_for_timeout(600)
    errors.wait_for_function(fits, timeout=WAIT_MS)
