"""The notebooks as a reader sees them: run in JupyterLab, clicked, looked at."""

from __future__ import annotations

import pytest

PLAYING = """async () => {
    const videos = [...document.querySelectorAll('SELECTOR video')], before = videos.map(video => video.currentTime);
    await new Promise(resolve => setTimeout(resolve, 800));
    return [videos.length, videos.filter((video, i) => video.currentTime != before[i]).length];
}"""


def playing(page, selector: str) -> tuple[int, int]:
    """How many videos there are below an element, and of how many the time advances."""
    page.evaluate("selector => document.querySelector(selector).scrollIntoView()", selector)
    page.wait_for_timeout(1500)
    return tuple(page.evaluate(PLAYING.replace("SELECTOR", selector)))


PANEL = "[...document.querySelectorAll('.jp-WindowedPanel-outer')].sort((a, b) => b.scrollHeight - a.scrollHeight)[0]"
TITLES = "[...document.querySelectorAll('.js-plotly-plot .gtitle')].map(title => title.textContent)"


@pytest.mark.parametrize(("name", "figures"), [("01_prepare_data", 2), ("02_train", 2), ("03_zero_shot_evaluation", 12), ("04_shared_space", 5)])
def test_a_notebook_runs_and_shows_its_figures(open_notebook, keep, name, figures):
    page, seen = open_notebook(name), set()
    for y in range(0, page.evaluate(f"{PANEL}.scrollHeight"), 700):  # JupyterLab draws what is in view
        page.evaluate(f"{PANEL}.scrollTop = {y}")
        page.wait_for_timeout(300)
        seen |= set(page.evaluate(TITLES))
    assert len(seen) >= figures, seen
    keep(page, ".js-plotly-plot", name)


def test_clips_of_the_first_notebook_play(open_notebook):
    page = open_notebook("01_prepare_data")
    found, advancing = playing(page, ".zsar-clips")
    assert found >= 20 and advancing >= 1


def test_the_map_and_the_sliders(open_notebook, keep):
    page = open_notebook("04_shared_space")
    box = page.locator(".zsar-transfer-explorer")
    page.evaluate("document.querySelector('.zsar-transfer-explorer').scrollIntoView()")
    page.wait_for_timeout(1500)
    before = box.inner_text()
    handle = box.locator(".noUi-handle").first
    handle.focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(2500)
    assert box.inner_text() != before and "looking at test accuracy" in before
    keep(page, ".zsar-transfer-explorer", "04_explorer")
    keep(page, ".zsar-space", "04_map")


def test_class_errors_answer_and_play(open_notebook, keep):
    page = open_notebook("05_class_errors")
    found, advancing = playing(page, ".zsar-class-errors .zsar-clips")
    assert found >= 10 and advancing >= 1
    box = page.locator(".zsar-class-errors")
    before = box.inner_text()
    box.locator("select").nth(2).select_option(index=2)
    page.wait_for_timeout(3000)
    assert box.inner_text() != before
    keep(page, ".zsar-class-errors", "05_class_errors")
