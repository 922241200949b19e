"""The scores of a model with the figures and widgets of its clips."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zsar_lab.data.catalog import Catalog
from zsar_lab.embed.embeddings import ClipEmbeddings
from zsar_lab.results.predictions import Predictions
from zsar_lab.results.summary import Results

if TYPE_CHECKING:
    import pandas as pd

    from zsar_lab.embed.outside import Embeddings
    from zsar_lab.protocols.protocol import Protocol

PLOTS = ("methods", "differences", "classes", "confusion", "hubness", "map")


class Evaluated(Results):
    """The scores of a model: as Results, and figures and widgets of the clips."""

    catalog: Catalog
    remark = ""
    clips: Callable[[str], ClipEmbeddings]
    folder: Path

    @staticmethod
    def of(
        results: Results,
        catalog: Catalog,
        clips: Callable[[str], ClipEmbeddings],
        folder: Path,
        remark: str = "",
        leakage: dict[str, list[str]] | None = None,
    ) -> Evaluated:
        """The same scores, with what must be said of them, and unseen classes trained on by training set.

        `clips` gives the embeddings that a split was scored on; maps are saved in the folder.
        """
        found = Evaluated.__new__(Evaluated)
        vars(found).update(vars(results))
        found.catalog, found.clips, found.folder, found.remark = catalog, clips, folder, remark
        found.leakage = None if leakage is None else {"remark": remark, "classes": leakage}
        return found

    def sentence(self, family: str | None = None) -> str:
        """As of Results, after the remark."""
        return f"{self.remark[:1].upper()}{self.remark[1:]}. " * bool(self.remark) + super().sentence(family)

    def plot(self, kind: str = "methods", method: str | None = None, split: int = 0) -> Any:
        """A plotly figure, one of PLOTS; from classes on that of one split, by number."""
        from zsar_lab.viz.figures import classes, scores, space

        method, predictions = method or self.baseline(), self.splits()[split]
        if kind not in PLOTS:
            raise ValueError(f"kind must be one of {', '.join(PLOTS)}, got {kind!r}")
        if kind in ("methods", "differences"):
            return scores.method_scores(self) if kind == "methods" else scores.differences(self)
        if kind == "map":
            mapped = self._map(predictions)
            return space.shared_space(mapped, self.catalog, "group", "text", predictions, method)
        if kind == "hubness":
            return scores.hubness_bars(predictions, self.catalog)
        make = classes.per_class if kind == "classes" else classes.confusion
        return make(predictions, method, self.catalog)

    def errors(self) -> Any:
        """The widget of class errors on every split; clips play where their videos are known."""
        from zsar_lab.viz.widgets.class_errors import ClassErrors

        predictions = {one.split: one for one in self.splits()}
        clips = {split: self.clips(split) for split in predictions}
        return ClassErrors(self.catalog, predictions, self.baseline(), clips)

    def map(self, split: int = 0, find: Callable[[str], pd.DataFrame] | None = None) -> Any:
        """The widget of the clips on a map, of one split, by number; `find` as of `SpaceExplorer`."""
        from zsar_lab.viz.widgets.space import SpaceExplorer

        predictions = self.splits()[split]
        return SpaceExplorer(self._map(predictions), self.catalog, predictions, self.baseline(), find)

    def _map(self, predictions: Predictions) -> Any:
        from zsar_lab.viz.projection import shared_space_map

        return shared_space_map(predictions, self.clips(predictions.split), self.folder)


def how_asked(made: Protocol, given: Embeddings) -> str:
    """What a protocol asks for, and what the embeddings say of themselves."""
    said = {"prompt": "not said", "frames": "not said"} | given.provenance
    return (
        f"{made.name}: ties go to the first class; prompt {made.prompt!r} (the texts': {said['prompt']});"
        f" frames {made.frames} (the clips': {said['frames']})"
    )
