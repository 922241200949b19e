"""The transfer explorer: sliders for settings, and what they do to accuracy, hubness and the map."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import ipywidgets
import numpy as np

from zsar_lab.data.catalog import Catalog
from zsar_lab.methods.transfer import TransferSettings
from zsar_lab.results.explorer import (
    N_NEAREST,
    NO_REDUCTION,
    REDUCTION_CHOICES,
    Choice,
    Explorer,
    Outcome,
    places_on_map,
)
from zsar_lab.results.summary import settings_as_text
from zsar_lab.text.relatedness import KINDS
from zsar_lab.viz.clips import message_box, render
from zsar_lab.viz.figures.classes import bar_traces, moving_bars
from zsar_lab.viz.figures.space import map_traces, moving_map
from zsar_lab.viz.figures.style import move
from zsar_lab.viz.projection import SpaceMap
from zsar_lab.viz.widgets import Panel, row, sides, wide
from zsar_lab.viz.widgets.figures import as_widget, heading

TAUS = (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0)  # those of settings_grid among them
WARNING = (
    "You are looking at test accuracy: settings are chosen on validation classes; one chosen here must not be"
    " reported."
)


@dataclass(frozen=True)
class Settings:
    """The settings of transfer."""

    class_text: str = ""
    source: str = ""
    relatedness: str = KINDS[0]
    reduction: str = NO_REDUCTION
    k: int = 1
    tau: float = 0.1


class TransferExplorer(Panel):
    """Move k, tau and the other settings of transfer; see what they do, beside what validation chose.

    What validation chose is for the class text and the seen prototypes shown, without a hubness reduction.
    While a setting is being scored, the browser holds only the last place of a slider.

    Args:
        catalog: gives the labels.
        explorer: of the split.
        space: a map of the split, of `shared_space_map`, with the explorer's first class text.

    Attributes:
        outcome: what the settings score.

    Raises:
        ValueError: a map of other classes than the split's.
    """

    def __init__(self, catalog: Catalog, explorer: Explorer, space: SpaceMap | None = None) -> None:
        if space is not None and space.unseen != explorer.protocol.unseen:
            raise ValueError(f"the map must be of the split {explorer.protocol.name!r}, got {space.about!r}")
        super().__init__("zsar-transfer-explorer", Settings())
        self._catalog, self._explorer, self._map = catalog, explorer, space
        self.outcome: Outcome | None = None
        drawn = [moving_bars(explorer.clips_C, explorer.protocol, catalog)]
        drawn += [moving_map(space, catalog)] if space is not None else []
        headings = [ipywidgets.HTML(heading(figure)) for figure in drawn]
        self.figures = [as_widget(figure) for figure in drawn]
        self._make([[heading, figure] for heading, figure in zip(headings, self.figures)])
        if space is not None:
            self._shown_ND = explorer.embeddings_of(space.ids)
            self.html["note"].value = message_box(self._how_far_off(space), "transparent")
        self._choose_settings(explorer.chosen(explorer.class_texts[0], explorer.sources[0]))

    def _make(self, figures: list[list[ipywidgets.Widget]]) -> None:
        most = len(self._explorer.protocol.seen)
        k = ipywidgets.IntSlider(min=1, max=most, description="k", **wide("430px", 70))
        tau = ipywidgets.SelectionSlider(options=TAUS, description="tau", **wide("430px", 70))
        lists = {"class_text": "class text", "source": "prototypes"}
        lists |= {"relatedness": "relatedness", "reduction": "reduction"}
        chosen = self.button("chosen", "What validation chose", self._on_chosen)
        settings = [self.dropdown(name, text, "260px", 80) for name, text in lists.items()]
        controls = row(*settings, self.control("k", k), self.control("tau", tau), chosen)
        self.offer("class_text", self._explorer.class_texts)
        self.offer("source", self._explorer.sources)
        self.offer("relatedness", KINDS)
        self.offer("reduction", REDUCTION_CHOICES)
        warning = ipywidgets.HTML(message_box(WARNING), layout={"width": "98%"})
        left = [controls, self.page("message"), self.page("summary"), *sum(figures[:-1], [])]
        self.lay_out(warning, sides(left, [*figures[-1], self.page("note")]))

    def _on_chosen(self) -> None:
        self._choose_settings(self._explorer.chosen(self.state.class_text, self.state.source))

    def _choose_settings(self, choice: Choice) -> None:
        settings = asdict(choice.transfer) | {"class_text": choice.class_text, "source": choice.source}
        self.choose(**settings, reduction=choice.reduction)

    def show(self) -> None:
        """Score the settings and move what the figures show."""
        explorer, state, catalog = self._explorer, self.state, self._catalog
        transfer = TransferSettings(state.k, state.tau, state.relatedness)
        outcome = explorer.score(Choice(transfer, state.class_text, state.source, state.reduction))
        chosen = explorer.score(explorer.chosen(state.class_text, state.source))
        move(self.figures[0], bar_traces(outcome, chosen, explorer.protocol, catalog))
        if self._map is not None:
            places = (self._places(self._map, shown) for shown in (outcome, chosen))
            move(self.figures[1], map_traces(self._map, *places))
        self.html["summary"].value = summary_html(outcome, chosen)
        self.outcome = outcome

    def _places(self, space: SpaceMap, outcome: Outcome) -> np.ndarray:
        return places_on_map(outcome.prototypes_UD, self._shown_ND, space.clips_xy)

    def _how_far_off(self, space: SpaceMap) -> str:
        """How far places of prototypes are from where UMAP laid them itself."""
        own = self._explorer.score(self._explorer.chosen(self._explorer.class_texts[0]))
        across = float(np.linalg.norm(np.ptp(space.clips_xy, axis=0)))
        share = (
            100 * np.linalg.norm(self._places(space, own) - space.composed_xy, axis=1) / max(across, 1e-12)
        )
        return (
            f"Composed prototypes are drawn amid their {N_NEAREST} nearest clips, an approximation:"
            f" at the map's settings it is off by {np.median(share):.1f} % of the diagonal (median over"
            f" {len(share)} classes; at most {share.max():.1f} %)."
        )


def summary_html(outcome: Outcome, chosen: Outcome) -> str:
    """Html: the settings now and those that validation chose, and accuracies and hubness of both."""
    rows = []
    for group in ("unseen", "validation"):
        for name, figure in (("top-1", "top1"), ("top-1, mean of classes", "mean_class")):
            now, then = (100 * getattr(getattr(shown, group), figure) for shown in (outcome, chosen))
            values = f"{now:.1f} %", f"{then:.1f} %", f"{now - then:+.1f} points"
            rows.append((f"{name}, {group}", *values))
    for name, measure, form in (("skewness", "skewness", "+.2f"), ("Robin Hood", "robin_hood", ".2f")):
        scored = outcome.unseen, outcome.unreduced, chosen.unseen
        now, before, then = (float(getattr(of.hubness, measure)) for of in scored)
        without = "" if outcome.choice.reduction == NO_REDUCTION else f" (without {before:{form}})"
        rows.append(
            (f"{name} of N_1, unseen", f"{now:{form}}{without}", f"{then:{form}}", f"{now - then:+.2f}")
        )
    settings = {"Now": _settings(outcome), "Chosen on validation classes": _settings(chosen)}
    return render("transfer_summary.html", settings=settings, rows=rows)


def _settings(outcome: Outcome) -> str:
    choice = outcome.choice
    reduction = f"reduction {choice.reduction} {settings_as_text(outcome.reduction_settings)}".strip()
    return ", ".join((settings_as_text(asdict(choice.transfer)), choice.source, choice.class_text, reduction))
