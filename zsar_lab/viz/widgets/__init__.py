"""The widgets: each a `Panel`, a box around a state with controls; what is shown is computed elsewhere."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

try:
    import anywidget
    import ipywidgets
    import traitlets
    from IPython.display import HTML, display
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("widgets need anywidget: pip install 'zsar_lab[lab]'") from error
from markupsafe import Markup

from zsar_lab.viz.clips import message_box
from zsar_lab.viz.widgets.static import LeavesPicture, with_stills

WRAP = {"flex_flow": "row wrap"}
RESTARTED = "The kernel was restarted or is gone, so these choices do nothing; run this cell again."
BUSY = "The kernel is busy; what is chosen here follows when it is done."


def __getattr__(name: str) -> Any:
    """The module of that name, so that a notebook needs to import this folder alone."""
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{name}":
            raise
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None


def show_clips(grid: str) -> None:
    """Show html, such as a clip grid, below the cell; a saved notebook keeps clips, and stills of them."""
    display(HTML(with_stills(grid)))


def show_folded(title: str, *tables: pd.DataFrame | str) -> None:
    """Show tables and texts below the cell, folded: a click on the title opens them."""
    parts = [
        table.to_html() if isinstance(table, pd.DataFrame) else Markup("<pre>{}</pre>").format(table)
        for table in tables
    ]
    display(HTML(Markup("<details><summary>{}</summary>{}</details>").format(title, Markup("".join(parts)))))


class Guard(anywidget.AnyWidget):
    """What a panel needs of the browser: it says when the kernel does not reply, and keeps keys and focus.

    JupyterLab's shortcuts do not fire inside; a control that is redrawn or disabled hands its focus to the
    one in its place. What a user does asks the kernel for a sign; without one a sentence is shown.
    """

    _esm = Path(__file__).with_name("panel.js")
    gone = traitlets.Unicode(RESTARTED).tag(sync=True)
    busy = traitlets.Unicode(BUSY).tag(sync=True)
    patience_ms = traitlets.Int(4000).tag(sync=True)

    def __init__(self) -> None:
        super().__init__()
        self.on_msg(lambda *_: self.send({}))


class Panel(LeavesPicture, ipywidgets.VBox):
    """A box of controls around a state: what a user or a program chooses makes a new one, `show` draws it.

    Attributes:
        state: everything that is chosen, a frozen dataclass; changed by `choose`.
        controls: the widgets one chooses with, by name; those named as a field of the state show its value.
        html: the parts of the page, by name; "message" holds what was refused or failed.
    """

    def __init__(self, name: str, state: Any) -> None:
        super().__init__()
        self.add_class("zsar-panel")
        self.add_class(name)
        self.state = state
        self.controls: dict[str, Any] = {}
        self.html: dict[str, ipywidgets.HTML] = {}
        self._quiet = False

    def show(self) -> None:
        """Draw the state; may put values that are not offered right. Raises where a choice is refused."""
        raise NotImplementedError

    def lay_out(self, *parts: ipywidgets.Widget) -> None:
        """Put the parts below each other, and above them what is seen when the kernel is gone."""
        self.children = (Guard(), *parts)

    def choose(self, **changes: Any) -> None:
        """Change fields of the state and draw it; after a failure state and controls are as before."""
        before = self.state
        try:
            self.state = replace(before, **changes)
            self.show()
        except Exception:
            self.state = before
            raise
        finally:
            for name in self.controls.keys() & vars(self.state).keys():
                # a list that is not shown may offer nothing
                with self.quietly(), suppress(traitlets.TraitError):
                    self.controls[name].value = getattr(self.state, name)

    def attempt(self, action: Callable[[], Any], message: str = "message") -> None:
        """Do what a user asked; a refusal (ValueError, OSError) is shown, any other failure also raised."""
        said = self.html[message]
        said.value = ""
        try:
            action()
        except (ValueError, OSError) as error:
            said.value = message_box(str(error))
        except Exception as error:  # JupyterLab hides what callbacks raise
            said.value = message_box(f"{type(error).__name__}: {error}")
            raise

    @contextmanager
    def quietly(self) -> Iterator[None]:
        """Inside, controls may be set without acting."""
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before

    def offer(self, name: str, options: Sequence[Any]) -> None:
        """Give a list its options; a choice that is not among them becomes the first."""
        control, chosen = self.controls[name], getattr(self.state, name)
        values = [option[1] if isinstance(option, tuple) else option for option in options]
        self.state = replace(self.state, **{name: chosen if chosen in values else values[0]})
        with self.quietly():
            if tuple(control.options) != tuple(options):
                control.options = options
            control.value = getattr(self.state, name)

    def control(self, name: str, widget: Any, /, message: str = "message", **also: Any) -> Any:
        """A widget whose value is that field of the state; `also` is what a change sets besides."""

        def changed(change: Any) -> None:
            if not self._quiet:
                self.attempt(lambda: self.choose(**{name: change["new"]}, **also), message)

        self.controls[name] = widget
        widget.observe(changed, "value")
        return widget

    def dropdown(self, name: str, /, text: str, width: str, label_px: int = 60, **more: Any) -> Any:
        """A list to choose a field of the state from; `offer` gives it its options."""
        widget = ipywidgets.Dropdown(description=text, **wide(width, label_px))
        return self.control(name, widget, **more)

    def field(self, name: str, text: str, value: str, width: str, label_px: int = 60, **more: Any) -> Any:
        """A line of text, read when a button is pressed."""
        self.controls[name] = ipywidgets.Text(value, description=text, **wide(width, label_px), **more)
        return self.controls[name]

    def search_field(self, message: str, **also: Any) -> Any:
        """A line for the field `query` of the state, taken at Enter."""
        hint = "what is seen, such as “someone jumps”; then Enter"
        widget = ipywidgets.Text("", description="search", placeholder=hint, **wide("480px"))
        widget.continuous_update = False
        return self.control("query", widget, message, **also)

    def button(
        self, name: str, text: str, action: Callable[[], Any], message: str = "message", **more: Any
    ) -> Any:
        """A button that does something; `primary=True` for the one that matters most."""
        style = "primary" if more.pop("primary", False) else ""
        widget = self.controls[name] = ipywidgets.Button(description=text, button_style=style, **more)
        widget.layout.width = widget.layout.width or "max-content"
        widget.on_click(lambda _: self.attempt(action, message))
        return widget

    def page_buttons(self, message: str = "message") -> list[ipywidgets.Button]:
        """Two buttons that change the state's page by one."""
        back, on = (lambda by=by: self.choose(page=self.state.page + by) for by in (-1, 1))
        earlier = self.button("earlier", "◀ earlier", back, message)
        return [earlier, self.button("later", "later ▶", on, message)]

    def turn(self, n_clips: int, per_page: int) -> int:
        """Put the state's page into the range of so many clips; returns the place of its first clip."""
        last = max(0, -(-n_clips // per_page) - 1)
        page = min(max(self.state.page, 0), last)
        self.state = replace(self.state, page=page)
        self.controls["earlier"].disabled, self.controls["later"].disabled = page == 0, page == last
        return page * per_page

    def page(self, name: str, **layout: Any) -> ipywidgets.HTML:
        """A part of the page, empty at first."""
        self.html[name] = ipywidgets.HTML(layout={"width": "98%", "min_width": "0"} | layout)
        return self.html[name]


def wide(width: str, label_px: int = 60) -> dict[str, Any]:
    """Width of a control, at most that of the page, and of the text before it."""
    return {
        "layout": {"width": f"min({width}, 100%)"},
        "style": {"description_width": f"{label_px}px"},
    }


def row(*widgets: ipywidgets.Widget, **layout: Any) -> ipywidgets.HBox:
    """Widgets beside each other, below each other on a narrow page."""
    return ipywidgets.HBox(list(widgets), layout=WRAP | layout)


def sides(*columns: Sequence[ipywidgets.Widget]) -> ipywidgets.HBox:
    """Columns of widgets beside each other, as wide as each other, from 340 pixels on each."""
    layout = {"flex": "1 1 340px", "min_width": "0", "margin": "0 8px 0 0"}
    return row(
        *(ipywidgets.VBox(list(column), layout=layout) for column in columns), align_items="flex-start"
    )
