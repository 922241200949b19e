"""The notebooks as a reader sees them: run in JupyterLab, clicked, looked at."""

from __future__ import annotations

import pytest
from jupyter_page import PANEL, WAIT_MS, choice, expect, options, playing

SEEN = {
    "05_shared_space": {
        ".zsar-transfer-explorer": "05_explorer",
        ".zsar-space": "05_map",
        ".zsar-class-texts": "05_class_texts",
    }
}
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
    for selector, shot in SEEN.get(name, {}).items():
        keep(page, selector, shot)
    if name == "01_prepare_data":
        found, advancing = playing(page, ".zsar-clips")
        assert found >= 20 and advancing >= 1


def test_class_errors_and_their_comparison_follow_choices_and_play(open_notebook, keep):
    page = open_notebook("06_class_errors")
    found, advancing = playing(page, ".zsar-class-errors .zsar-clips")
    assert found >= 10 and advancing >= 1
    expect(page.locator(".zsar-picture").first).to_be_hidden()  # beside a widget that works
    box = page.locator(".zsar-class-errors")
    name = options(choice(box, "class"))[2].rsplit(" (", 1)[0]
    choice(box, "class").select_option(index=2)
    expect(box).to_contain_text(f"True class: {name}", timeout=WAIT_MS)
    keep(page, ".zsar-class-errors", "06_class_errors")

    box = page.locator(".zsar-comparison")
    box.get_by_role("button", name="both wrong").click()
    expect(box).to_contain_text(": both wrong, those with", timeout=WAIT_MS)
    box.locator(".zsar-grid figure").first.click()
    expect(box.locator(".zsar-large")).to_contain_text("score", timeout=WAIT_MS)
    assert playing(page, ".zsar-comparison .zsar-grid")[1] >= 1
    keep(page, ".zsar-comparison", "06_comparison")
