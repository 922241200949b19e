"""zsar_lab.viz.widgets.figures: one copy of plotly, figures that fit and are clicked, curves in place."""

from __future__ import annotations

import plotly.graph_objects as go

from zsar_lab.viz.figures.style import NO_BUTTONS, new_figure
from zsar_lab.viz.widgets import figures
from zsar_lab.viz.widgets.figures import CODE, LiveCurves, as_widget


def test_figures_share_one_copy_of_plotlys_code():
    first, second = (as_widget(go.Figure(go.Bar(y=[n]))) for n in (1, 2))
    states = [figure.get_state() for figure in (first, second)]
    assert all(len(state["_esm"]) < 5000 for state in states) and states[0]["_esm"] == states[1]["_esm"]
    assert first._code == second._code != "" and CODE.stat().st_size > 1_000_000
    code = figures._code()
    assert code.model_id == first._code and code.value == CODE.read_text(encoding="utf-8")
    # every message that FigureWidget sends is one that the browser's side repeats when plotly is there
    sent = {name.removeprefix("_py2js_") for name in first.traits() if name.startswith("_py2js_")}
    assert sent and all(f'"{name}"' in states[0]["_esm"] for name in sent)


def test_a_widget_follows_its_window_and_sends_nothing_away():
    widget = as_widget(new_figure("title", "about", "x", "y"))
    assert widget._config["responsive"] is True and widget.layout.autosize is True
    assert widget.layout.height == 420
    assert "sendChartToCloud" in NO_BUTTONS and set(widget.layout.modebar.remove) == set(NO_BUTTONS)


def test_live_curves_are_shown_once_and_then_updated_in_place(monkeypatch):
    shown, updates = [], []
    handle = type("Handle", (), {"update": lambda self, bundle, raw: updates.append(bundle)})()
    monkeypatch.setattr(figures, "display", lambda bundle, **_: shown.append(bundle) or handle)
    curves = LiveCurves("data")
    history = [{"epoch": 1, "step": 3, "classification": 2.0, "alignment": 1.0, "clips_per_s": 9.0}]
    for _ in range(3):
        curves.update(history)
        history = [*history, history[0] | {"epoch": len(history) + 1, "step": 3 * len(history) + 3}]
    assert len(shown) == 1 and len(updates) == 4
    # a second figure in the same place is ignored unless something else is there in between
    assert ["application/vnd.plotly.v1+json" in bundle for bundle in updates] == [False, True, False, True]
    curves = LiveCurves("data")
    curves.update({"stratified-0": history, "stratified-1": history})
    assert len(shown) == 2
