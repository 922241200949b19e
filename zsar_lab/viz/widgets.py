"""What a notebook shows and lets one choose. The owner of ipywidgets and IPython; what is shown is computed elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import ipywidgets
from IPython.display import HTML, display

from zsar_lab.viz.clips import message_box
from zsar_lab.viz.figures.style import mime_bundle
from zsar_lab.viz.figures.training import split_curves, loss_curves


def show_clips(grid: str) -> None:
    """Show a clip grid (html of clips.clip_grid) below the cell; the clips stay in the saved notebook."""
    display(HTML(grid))


class LiveCurves:
    """Curves that are redrawn in place below the cell while a training runs, and stay there as an ordinary figure.

    Args:
        about: the line below the title.
        chance: top-1 of a guess, as `chance_levels` gives it; of several splits only where it is the same for
            all.
    """

    def __init__(self, about: str = "", chance: Mapping[str, float] | None = None) -> None:
        self._about, self._chance = about, chance
        self._shown: Any = None

    def update(self, history: Sequence[dict[str, Any]] | dict[str, Sequence[dict[str, Any]]]) -> None:
        """Draw the history of one draw or of several; made for `on_epoch` of `workspace.train` and `workspace.train_all`."""
        figure = (split_curves if isinstance(history, dict) else loss_curves)(
            history, self._about, self._chance
        )
        bundle = mime_bundle(figure)
        if self._shown is None:
            self._shown = display(bundle, raw=True, display_id=True)
        else:
            # plotly's JupyterLab extension ignores a second figure in the same place: something else stands
            # there in between
            self._shown.update(
                {"text/html": f"<div style='height: {figure.layout.height}px'></div>"}, raw=True
            )
            self._shown.update(bundle, raw=True)


def visibly(action: Callable[[], Any], message: ipywidgets.HTML) -> None:
    """Run a callback; a failure is shown in the box, for JupyterLab hides what callbacks raise, and raised."""
    message.value = ""
    try:
        action()
    except Exception as error:
        message.value = message_box(f"{type(error).__name__}: {error}")
        raise


def said_or_shown(action: Callable[[], Any], message: ipywidgets.HTML) -> None:
    """As `visibly`, but what the user gave may be refused: a ValueError or OSError is said in its sentence and not raised."""

    def refused() -> None:
        try:
            action()
        except (ValueError, OSError) as error:
            message.value = message_box(str(error))

    visibly(refused, message)


class Quiet:
    """Lets a program set several choices at once without each calling what it means; that is shown after.

    Attributes:
        now: inside `with quiet():`, where what choices call must do nothing.
    """

    def __init__(self) -> None:
        self.now = False

    @contextmanager
    def __call__(self) -> Iterator[None]:
        before, self.now = self.now, True
        try:
            yield
        finally:
            self.now = before
