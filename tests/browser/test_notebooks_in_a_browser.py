"""The notebooks as a reader sees them: run in JupyterLab, clicked, looked at."""

from __future__ import annotations

import pytest
from jupyter_page import PANEL, WAIT_MS, choice, expect, options, playing

TITLES = "[...document.querySelectorAll('.js-plotly-plot .gtitle')].map(title => title.textContent)"


@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("01_prepare_data", 2),
        ("02_train", 1),
        ("03_zero_shot_scores", 9),
        ("04_conventions_and_ablation", 2),
        ("05_shared_space", 4),
    ],
)
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


def test_the_widgets_of_the_shared_space_are_seen(open_notebook, keep):
    page = open_notebook("05_shared_space")
    for selector, name in (
        (".zsar-transfer-explorer", "05_explorer"),
        (".zsar-space", "05_map"),
        (".zsar-class-texts", "05_class_texts"),
    ):
        keep(page, selector, name)


def test_class_errors_follow_a_choice_and_play(open_notebook, keep):
    page = open_notebook("06_class_errors")
    found, advancing = playing(page, ".zsar-class-errors .zsar-clips")
    assert found >= 10 and advancing >= 1
    box = page.locator(".zsar-class-errors")
    name = options(choice(box, "class"))[2].rsplit(" (", 1)[0]
    choice(box, "class").select_option(index=2)
    expect(box).to_contain_text(f"True class: {name}", timeout=WAIT_MS)
    keep(page, ".zsar-class-errors", "06_class_errors")
