"""What a notebook shows and lets one choose. The owner of ipywidgets and IPython; what is shown is computed elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets
from IPython.display import HTML, display

from zsar_lab.data.catalog import Catalog
from zsar_lab.text.classtext import label
from zsar_lab.views import explanations
from zsar_lab.views.clips import message_box
from zsar_lab.views.figures import taken_for_bars
from zsar_lab.views.figures_style import as_widget, mime_bundle, redraw
from zsar_lab.views.figures_training import draw_curves, loss_curves
from zsar_lab.zeroshot.evaluate import TRANSFER, DrawResult


def show_clips(grid: str) -> None:
    """Show a clip grid (html of clips.clip_grid) below the cell; the clips stay in the saved notebook."""
    display(HTML(grid))


class LiveCurves:
    """Curves that are redrawn in place below the cell while a training runs, and stay there as an ordinary figure.

    Args:
        about: the line below the title.
        chance: top-1 of a guess, as `chance_levels` gives it; of several draws only where it is the same for all.
    """

    def __init__(self, about: str = "", chance: Mapping[str, float] | None = None) -> None:
        self._about, self._chance = about, chance
        self._shown: Any = None

    def update(self, history: Sequence[dict[str, Any]] | dict[str, Sequence[dict[str, Any]]]) -> None:
        """Draw the history of one draw or of several; made for `on_epoch` of `workspace.train` and `workspace.train_all`."""
        figure = (draw_curves if isinstance(history, dict) else loss_curves)(history, self._about, self._chance)
        bundle = mime_bundle(figure)
        if self._shown is None:
            self._shown = display(bundle, raw=True, display_id=True)
        else:
            # plotly's JupyterLab extension ignores a second figure in the same place: something else stands there in between
            self._shown.update({"text/html": f"<div style='height: {figure.layout.height}px'></div>"}, raw=True)
            self._shown.update(bundle, raw=True)


def class_errors(catalog: Catalog, results: dict[str, DrawResult], rule: str = TRANSFER) -> ipywidgets.VBox:
    """Choose a draw, a rule and an unseen class; see what it was taken for, both class texts and prototypes, and its clips playing.

    A failure while showing is written into the box, and raised.

    Args:
        catalog: of the clips.
        results: the draws by name, as workspace.result gives them.
        rule: the one chosen at first.

    Raises:
        ValueError: no draw, or no such rule.
    """
    if not results:
        raise ValueError("there must be at least one draw to choose from, got none; give {draw: workspace.result(draw)}")
    first = next(iter(results.values()))
    style = {"description_width": "50px"}
    draws = ipywidgets.Dropdown(options=list(results), description="draw", style=style, layout={"width": "200px"})
    names = [scored.rule for scored in first.rules]
    rules = ipywidgets.Dropdown(options=names, value=first.rule(rule).rule, description="rule", style=style, layout={"width": "240px"})
    classes = ipywidgets.Dropdown(description="class", style=style, layout={"width": "360px"})
    message, texts, clips = ipywidgets.HTML(), ipywidgets.HTML(), ipywidgets.HTML()

    def list_classes() -> None:
        options = class_options(catalog, results[draws.value], rules.value)
        kept = classes.value
        classes.options = options
        classes.value = kept if kept in dict(options).values() else options[0][1]

    def bars() -> Any:
        counts = explanations.taken_for(results[draws.value], rules.value, classes.value)
        return taken_for_bars(counts, classes.value, catalog, f"rule {rules.value}, {results[draws.value].protocol.name}, {catalog.name}")

    list_classes()
    figure = as_widget(bars())

    def show() -> None:
        result = results[draws.value]
        redraw(figure, bars())
        texts.value = explanations.texts_and_parts(catalog, result, rules.value, classes.value)
        clips.value = explanations.error_clips(catalog, result, rules.value, classes.value)

    def on_class(_: Any) -> None:
        visibly(show, message)

    def on_list(_: Any) -> None:
        classes.unobserve(on_class, "value")
        visibly(lambda: (list_classes(), show()), message)
        classes.observe(on_class, "value")

    draws.observe(on_list, "value")
    rules.observe(on_list, "value")
    classes.observe(on_class, "value")
    show()
    choices = ipywidgets.HBox([draws, rules, classes], layout={"flex_flow": "row wrap"})
    box = ipywidgets.VBox([choices, message, figure, texts, clips])
    box.add_class("zsar-class-errors")
    return box


def class_options(catalog: Catalog, result: DrawResult, rule: str) -> list[tuple[str, str]]:
    """What the class dropdown offers: "<label> (<top-1> %)" and the class name, the worst class first; texts are made unlike."""
    labels = dict(zip(catalog.classes["name"], label(catalog.classes)))
    options: dict[str, str] = {}
    for name, top1 in explanations.worst_first(result, rule):
        text = f"{labels[name]} ({100 * top1:.0f} %)"
        options[text if text not in options else f"{text} [{name}]"] = name
    return list(options.items())


def visibly(action: Callable[[], Any], message: ipywidgets.HTML) -> None:
    """Run a callback; a failure is shown in the box, for JupyterLab hides what callbacks raise, and raised."""
    message.value = ""
    try:
        action()
    except Exception as error:
        message.value = message_box(f"{type(error).__name__}: {error}")
        raise
