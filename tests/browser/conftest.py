"""A real JupyterLab in headless Chromium, on a copy of the notebooks beside the demo: `make test-browser`."""

from __future__ import annotations

import io
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
STUDY, SHOTS = ROOT / "runs" / "demo", ROOT / "executed" / "screenshots"
NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # as with a mouse: without one plotly never hides its buttons
    "--blink-settings=primaryHoverType=2,availableHoverTypes=2,primaryPointerType=4,availablePointerTypes=4",
)
WIDTH, HEIGHT = 1400, 1000
# anywidget gives a model up after two seconds in which the browser was busy, as it is when the machine has
# other work
TOO_BUSY, TRIES = "[anywidget] Failed to initialize model", 3
LARGEST_PICTURE = 200_000  # bytes


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip these tests without the variable: they need a browser and the demo, and take minutes."""
    if not os.environ.get("ZSAR_LAB_BROWSER"):
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="needs a browser: make test-browser"))


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab: its address with the token, and the folder it serves."""

    url: str
    token: str
    folder: Path


@pytest.fixture(scope="session")
def browser() -> Iterator:
    """Chromium as it is installed, for playwright's own is another download."""
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install -e '.[browser]'"
    )
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip(f"no browser is installed ({', '.join(NAMES)}); install chromium")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield opened
        opened.close()


@pytest.fixture(scope="session", params=["light", "dark"])
def theme(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def lab(theme: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """JupyterLab with its own settings, on copied notebooks; it saves the state of widgets."""
    if not (STUDY / "report.json").is_file():
        pytest.skip("the demo study is not there: make demo")
    folder, own, token = (
        tmp_path_factory.mktemp("lab"),
        tmp_path_factory.mktemp("jupyter"),
        secrets.token_hex(8),
    )
    shutil.copytree(
        ROOT / "notebooks", folder / "notebooks", ignore=shutil.ignore_patterns(".ipynb_checkpoints")
    )
    (folder / "runs").symlink_to(ROOT / "runs")
    _keep_tags_out_of_the_study(folder / "notebooks" / "06_class_errors.ipynb")
    settings = own / "config" / "lab" / "user-settings"
    apputils = settings / "@jupyterlab" / "apputils-extension"
    _write(apputils / "themes.jupyterlab-settings", {"theme": f"JupyterLab {theme.capitalize()}"})
    _write(apputils / "notification.jupyterlab-settings", {"fetchNews": "false", "checkForUpdates": False})
    _write(
        settings / "@jupyter-widgets" / "jupyterlab-manager" / "plugin.jupyterlab-settings",
        {"saveState": True},
    )
    environment = (
        os.environ
        | {f"JUPYTER_{kind.upper()}_DIR": str(own / kind) for kind in ("config", "data", "runtime")}
        | {"OMP_NUM_THREADS": "1"}
    )
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--port=0",
        "--allow-root",
        f"--IdentityProvider.token={token}",
    ]
    command += ["--LabApp.expose_app_in_browser=True", f"--ServerApp.root_dir={folder}"]
    with open(own / "log.txt", "w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield Lab(_address(own, server), token, folder)
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture
def open_notebook(lab: Lab, browser) -> Iterator[Callable]:
    """A function from a notebook's name to its page, with all cells run; fails where a cell did."""
    pages, faults = [], []

    from jupyter_page import IDLE, run_all

    def opened(name: str, run: bool = True):
        for _ in range(TRIES - 1):
            page = once(name, run)
            if not [fault for fault in faults if TOO_BUSY in fault]:
                return page
            page.evaluate("window.jupyterapp.serviceManager.sessions.shutdownAll()")
            page.close()
            faults.clear()
        return once(name, run)

    def once(name: str, run: bool):
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        pages.append(page)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.goto(
            f"{lab.url}lab/workspaces/{secrets.token_hex(4)}/tree/notebooks/{name}.ipynb?token={lab.token}"
        )
        page.wait_for_function(IDLE, timeout=90_000)
        page.evaluate("window.jupyterapp.commands.execute('application:toggle-left-area')")
        if run:
            run_all(page)
        return page

    yield opened
    for page in pages:
        if not page.is_closed():
            page.evaluate("window.jupyterapp.serviceManager.sessions.shutdownAll()")
            page.close()
    faults = [
        fault for fault in faults if TOO_BUSY not in fault
    ]  # of a later run in a page; a widget that hears nothing fails its test
    assert not faults, faults


@pytest.fixture
def keep(theme: str, request: pytest.FixtureRequest) -> Callable:
    """A function that saves screenshots of an element, 1400 and 900 pixels wide, in executed/screenshots.

    Of a widget all text must be readable, and nothing wider than its box.
    """

    from jupyter_page import CONTRAST

    def kept(page, selector: str, name: str) -> None:
        SHOTS.mkdir(parents=True, exist_ok=True)
        for width in (900, WIDTH):
            page.set_viewport_size({"width": width, "height": HEIGHT})
            page.wait_for_timeout(700)
            page.locator(selector).first.scroll_into_view_if_needed()
            page.evaluate("selector => document.querySelector(selector).scrollIntoView()", selector)
            page.wait_for_timeout(900)
            page.screenshot(path=str(SHOTS / f"{name}_{theme}_{width}.png"))
            if selector.startswith(".zsar"):
                assert page.evaluate(CONTRAST, selector) == []
                wide = page.locator(selector).first.evaluate("box => box.scrollWidth - box.clientWidth")
                assert wide <= 1, f"{name} is {wide} pixels wider than its box, of {width}"

    return kept


@pytest.fixture
def picture(theme: str) -> Callable:
    """A function that saves a small picture from one element down to another, for README; in light only."""

    def kept(page, first: str, last: str, name: str) -> None:
        if theme != "light":
            return
        page.mouse.move(2, 2)
        page.set_viewport_size({"width": 1100, "height": 2600})
        page.wait_for_timeout(1000)
        page.locator(first).first.evaluate("element => element.scrollIntoView()")
        page.wait_for_timeout(2500)
        above, below = (page.locator(selector).first.bounding_box() for selector in (first, last))
        size = {"width": above["width"], "height": below["y"] + below["height"] - above["y"]}
        content = page.screenshot(clip={"x": above["x"], "y": above["y"]} | size)
        page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
        SHOTS.mkdir(parents=True, exist_ok=True)
        path = SHOTS / f"{name}.png"
        Image.open(io.BytesIO(content)).convert("RGB").quantize(
            256, Image.Quantize.MAXCOVERAGE, kmeans=2
        ).save(path, optimize=True)
        assert path.stat().st_size <= LARGEST_PICTURE, (
            f"{path.name} must be at most {LARGEST_PICTURE} bytes, got {path.stat().st_size}"
        )

    return kept


def _keep_tags_out_of_the_study(notebook: Path) -> None:
    """Let a copied notebook keep its tags beside itself."""
    source, in_study = (
        notebook.read_text(encoding="utf-8"),
        json.dumps('Tags(workspace.folder / "tags.csv")')[1:-1],
    )
    assert source.count(in_study) == 1
    notebook.write_text(source.replace(in_study, json.dumps('Tags("tags.csv")')[1:-1]), encoding="utf-8")


def _write(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def _address(own: Path, server: subprocess.Popen) -> str:
    """Where the server listens, when it does."""
    for _ in range(240):
        found = list((own / "runtime").glob("jpserver-*.json")) if (own / "runtime").is_dir() else []
        if found:
            return json.loads(found[0].read_text())["url"]
        assert server.poll() is None, (own / "log.txt").read_text()
        time.sleep(0.5)
    raise AssertionError(f"JupyterLab did not start: {(own / 'log.txt').read_text()}")
