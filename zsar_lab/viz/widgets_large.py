"""A map of more points than our own canvas should draw, by jupyter-scatter. The owner of jscatter, the extra zsar_lab[large]."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets
import numpy as np
import pandas as pd

from zsar_lab.viz.map_points import Look, legend_html

HEIGHT_PX = 560


class LargeMap:
    """A scatter of clips, and of marks that cannot be selected, in a box: legend, plot, and a line on the clip that is pointed at.

    Args:
        clips_xy: float [N, 2].
        marks: of prototypes and texts: how they look, and float [M, 2] where they are.
        on_selected: called with the row numbers of the clips that a lasso or a click selected; of [] where
            nothing is.

    Raises:
        ImportError: jupyter-scatter is not installed.
    """

    def __init__(
        self,
        clips_xy: np.ndarray,
        marks: Sequence[tuple[Look, np.ndarray]],
        on_selected: Callable[[list[int]], None],
    ) -> None:
        try:
            import jscatter
        except ImportError as error:
            raise ImportError(
                f"a map of {len(clips_xy)} clips is drawn by jupyter-scatter, which is not installed; pip install 'zsar_lab[large]', or map fewer"
                " clips with max_clips"
            ) from error
        self._n_clips, self._marks, self._said = (
            len(clips_xy),
            [look for look, _ in marks],
            [""] * len(clips_xy),
        )
        self._mark_of = np.repeat(np.arange(len(marks)), [len(xy) for _, xy in marks])
        xy = np.concatenate([clips_xy, *(xy for _, xy in marks)])
        self._data = pd.DataFrame({"x": xy[:, 0], "y": xy[:, 1]})
        self.scatter = jscatter.Scatter("x", "y", self._data, height=HEIGHT_PX, axes=False, legend=False)
        self._legend, self._pointed = ipywidgets.HTML(), ipywidgets.HTML()
        self.box = ipywidgets.VBox([self._legend, self.scatter.show(), self._pointed])
        self.scatter.widget.observe(lambda change: on_selected(self._clips_in(change["new"])), "selection")
        self.scatter.widget.observe(self._on_pointed, "hovering")

    def close(self) -> None:
        """Let go of the scatter."""
        self.scatter.widget.unobserve_all()
        self.scatter.widget.close()
        self.box.close()

    def show(self, looks: Sequence[Look], look_N: np.ndarray, said: Sequence[str]) -> None:
        """Colour the clips by the number of their look, and say of each what stands in `said` when it is pointed at."""
        self._said = list(said)
        every = [*looks, *self._marks]
        number = np.concatenate([look_N, len(looks) + self._mark_of])
        # numbers for names, so that no text of the data reaches the plot; a new column, for the old one's
        # categories are remembered
        names, column = [str(n) for n in range(len(every))], f"look {len(self._data.columns)}"
        self._data[column] = pd.Categorical.from_codes(number, names)
        self.scatter.color(
            by=column, map={name: look.colour for name, look in zip(names, every, strict=True)}
        )
        self.scatter.size(by=column, map={name: look.size for name, look in zip(names, every, strict=True)})
        self._legend.value = legend_html(every, np.bincount(number, minlength=len(every)).tolist())

    def _clips_in(self, selection: Any) -> list[int]:
        return [int(row) for row in selection if row < self._n_clips] if selection is not None else []

    def _on_pointed(self, change: dict[str, Any]) -> None:
        row = change["new"]
        text = self._said[row] if row is not None and 0 <= row < self._n_clips else ""
        self._pointed.value = html.escape(text).replace("\n", ": ")
