"""Executed notebooks where nothing runs: as a page of nbconvert, and in JupyterLab without a kernel."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from jupyter_page import show
from nbconvert.exporters import HTMLExporter

EXECUTED = Path(__file__).parents[2] / "executed"
SHOTS = EXECUTED / "screenshots"
BAD = ("Traceback", "Error displaying widget", "Loading widget", "  0%|", "Box(children")
WIDGETS = {"05_shared_space": 3, "06_class_errors": 2, "07_your_own_videos": 1}
IMAGES = """[...document.querySelectorAll('img')]
    .map(image => [image.naturalWidth, image.getBoundingClientRect().right])"""


def executed() -> list[Path]:
    return sorted(EXECUTED.glob("[0-9]*.ipynb")) or [Path("none")]


@pytest.mark.parametrize("width", [900, 1400])
@pytest.mark.parametrize("path", executed(), ids=lambda path: path.stem)
def test_a_page_without_a_kernel_shows_pictures(browser, tmp_path, path, width):
    if not path.is_file():
        pytest.skip("no notebook was executed: make demo")
    content, _ = HTMLExporter().from_filename(str(path))
    (tmp_path / "page.html").write_text(content, encoding="utf-8")
    page = browser.new_page(viewport={"width": width, "height": 1000}, offline=True)
    page.goto((tmp_path / "page.html").as_uri(), wait_until="domcontentloaded")
    page.wait_for_timeout(1500)
    text, images = page.locator("body").inner_text(), page.evaluate(IMAGES)
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(SHOTS / f"executed_{path.stem}_{width}.png"), full_page=True)
    page.close()
    assert "Finding:" in text and not [bad for bad in BAD if bad in text]
    assert text.count("run this cell to use it") == WIDGETS.get(path.stem, 0)
    assert images and all(natural > 0 and right <= width for natural, right in images)


@pytest.mark.parametrize("name", WIDGETS)
def test_jupyterlab_without_a_kernel_shows_pictures(open_notebook, lab, name):
    if not (EXECUTED / f"{name}.ipynb").is_file():
        pytest.skip("no notebook was executed: make demo")
    shutil.copy(EXECUTED / f"{name}.ipynb", lab.folder / "notebooks" / f"read_{name}.ipynb")
    page = open_notebook(f"read_{name}", run=False)
    picture = show(page, ".zsar-picture")
    page.screenshot(path=str(SHOTS / f"read_{name}.png"))
    assert picture.is_visible() and picture.locator("img").first.evaluate("image => image.naturalWidth") > 0
    assert not [bad for bad in BAD if bad in page.locator(".jp-Notebook").inner_text()]
