"""A real JupyterLab in a headless Chromium, on a copy of the notebooks beside the finished demo study. `make test-browser` runs these tests."""

from __future__ import annotations

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

ROOT = Path(__file__).parents[2]
STUDY, SHOTS = ROOT / "runs" / "demo", ROOT / "executed" / "screenshots"
NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
)  # fmt: skip
IDLE = "window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.status == 'idle'"
WIDTH, HEIGHT = 1400, 1000


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without the variable these tests are skipped: they need a browser and the finished demo, and take minutes."""
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
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -e '.[browser]'")
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
    """JupyterLab with settings of its own, in a folder with the notebooks and the demo study."""
    if not (STUDY / "report.json").is_file():
        pytest.skip("the demo study is not there: make demo")
    folder, own, token = tmp_path_factory.mktemp("lab"), tmp_path_factory.mktemp("jupyter"), secrets.token_hex(8)
    shutil.copytree(ROOT / "notebooks", folder / "notebooks", ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    (folder / "runs").symlink_to(ROOT / "runs")
    settings = own / "config" / "lab" / "user-settings" / "@jupyterlab"
    _write(settings / "apputils-extension" / "themes.jupyterlab-settings", {"theme": f"JupyterLab {theme.capitalize()}"})
    _write(settings / "apputils-extension" / "notification.jupyterlab-settings", {"fetchNews": "false", "checkForUpdates": False})
    environment = os.environ | {f"JUPYTER_{kind.upper()}_DIR": str(own / kind) for kind in ("config", "data", "runtime")} | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--port=0", "--allow-root", f"--IdentityProvider.token={token}"]
    command += ["--LabApp.expose_app_in_browser=True", f"--ServerApp.root_dir={folder}"]
    with open(own / "log.txt", "w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield Lab(_address(own, server), token, folder)
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture
def open_notebook(lab: Lab, browser, theme: str) -> Iterator[Callable]:
    """A function from a notebook's name to its page, with all cells run; it fails where a cell or the page did."""
    pages = []

    def opened(name: str):
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        pages.append((page, faults))
        page.goto(f"{lab.url}lab/workspaces/{secrets.token_hex(4)}/tree/notebooks/{name}.ipynb?token={lab.token}")
        page.wait_for_function(IDLE, timeout=90_000)
        page.evaluate("window.jupyterapp.commands.execute('application:toggle-left-area')")
        assert page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')"), f"a cell of {name} failed"
        page.wait_for_timeout(2000)
        return page

    yield opened
    for page, faults in pages:
        page.evaluate("window.jupyterapp.serviceManager.sessions.shutdownAll()")
        page.close()
        assert not faults, faults


@pytest.fixture
def keep(theme: str, request: pytest.FixtureRequest) -> Callable:
    """A function that keeps screenshots of an element at 1400 and at 1000 pixels' width, in executed/screenshots."""

    def kept(page, selector: str, name: str) -> None:
        SHOTS.mkdir(parents=True, exist_ok=True)
        for width in (1000, WIDTH):
            page.set_viewport_size({"width": width, "height": HEIGHT})
            page.wait_for_timeout(700)
            page.locator(selector).first.scroll_into_view_if_needed()
            page.evaluate("selector => document.querySelector(selector).scrollIntoView()", selector)
            page.wait_for_timeout(900)
            page.screenshot(path=str(SHOTS / f"{name}_{theme}_{width}.png"))

    return kept


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
