"""Notebooks with widgets that were saved and opened again, and kernels that were restarted."""

from __future__ import annotations

import json
import shutil

import pytest
from jupyter_page import IDLE, WAIT_MS, choice, expect, options, run_all, show

WIDGETS = {"05_shared_space": ".zsar-transfer-explorer", "06_class_errors": ".zsar-class-errors"}
KERNEL = "window.jupyterapp.shell.currentWidget.sessionContext.session.kernel"
DRAWN = "selector => [...document.querySelectorAll(`${selector} .js-plotly-plot .main-svg`)].length >= 3"
BAD = (
    "Traceback",
    "Error displaying widget",
    "Error creating widget",
    "[Open Browser Console for more detailed log",
)


def assert_no_error_is_shown(page) -> None:
    text = page.locator(".jp-Notebook").inner_text()
    assert not [bad for bad in BAD if bad in text]


@pytest.mark.parametrize("name", WIDGETS)
def test_a_saved_notebook_opens_again(open_notebook, lab, name):
    folder, widget = lab.folder / "notebooks", WIDGETS[name]
    saved = f"saved_{name}"
    shutil.copy(folder / f"{name}.ipynb", folder / f"{saved}.ipynb")
    page = open_notebook(saved)
    show(page, widget)
    page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    page.evaluate("window.jupyterapp.serviceManager.sessions.shutdownAll()")
    page.close()
    content = json.loads((folder / f"{saved}.ipynb").read_text(encoding="utf-8"))
    state = content["metadata"]["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    assert (
        sum(
            "plotly" in json.dumps(model)[:2_000_000] and len(json.dumps(model)) > 1_000_000
            for model in state.values()
        )
        <= 1
    )  # its code, once

    page = open_notebook(saved, run=False)
    show(page, widget)
    page.wait_for_function(DRAWN, arg=widget, timeout=WAIT_MS)
    assert_no_error_is_shown(page)
    run_all(page)
    show(page, widget)
    page.wait_for_function(DRAWN, arg=widget, timeout=WAIT_MS)
    assert_no_error_is_shown(page)


def test_a_restarted_kernel_is_said_and_all_can_be_run_again(open_notebook):
    page = open_notebook("06_class_errors")
    box = show(page, ".zsar-class-errors")
    expect(box.get_by_text("The kernel was restarted or is gone")).to_be_hidden()
    page.evaluate(f"{KERNEL}.restart()")
    page.wait_for_function(IDLE, timeout=WAIT_MS)
    expect(box.get_by_text("The kernel was restarted or is gone")).to_be_visible(timeout=WAIT_MS)
    choice(box, "class").select_option(index=2)
    page.wait_for_timeout(2000)
    assert_no_error_is_shown(page)
    run_all(page)
    box = show(page, ".zsar-class-errors")
    expect(box.get_by_text("The kernel was restarted or is gone")).to_be_hidden()
    name = options(choice(box, "class"))[2].rsplit(" (", 1)[0]
    choice(box, "class").select_option(index=2)
    expect(box).to_contain_text(f"True class: {name}", timeout=WAIT_MS)
    assert_no_error_is_shown(page)

    page.evaluate(f"{KERNEL}.requestExecute({{code: 'import os; os._exit(1)'}})")  # it starts anew by itself
    page.wait_for_timeout(4000)
    page.wait_for_function(IDLE, timeout=WAIT_MS)
    choice(box, "class").select_option(index=1)
    expect(box.get_by_text("The kernel was restarted or is gone")).to_be_visible(timeout=WAIT_MS)
