"""The transfer explorer: sliders for settings, and what they do to accuracy, hubness and the map."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

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
from zsar_lab.viz.figures import explorer as figures
from zsar_lab.viz.figures.style import move, redraw
from zsar_lab.viz.projection import SpaceMap
from zsar_lab.viz.widgets import Panel, row, wide
from zsar_lab.viz.widgets.figures import FigureFitter, as_widget

TAUS = (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0)  # those of settings_grid among them
WARNING = (
    "You are looking at test accuracy: settings are chosen on validation classes; one chosen here must not be"
    " reported."
)


@dataclass(frozen=True)
class Settings:
    """The split, and the settings of transfer on it."""

    split: str
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
        explorers: by split; all take their settings from the same choices, as far as they have them.
        maps: of the same splits, of `shared_space_map`; the first class text of an explorer is taken for that
            of its map.

    Attributes:
        outcome: what the settings score.

    Raises:
        ValueError: no split, maps of other splits, or a map of other classes than its split's.
    """

    def __init__(
        self, catalog: Catalog, explorers: Mapping[str, Explorer], maps: Mapping[str, SpaceMap] | None = None
    ) -> None:
        if not explorers:
            raise ValueError("explorers must be of at least one split, got none")
        if maps and maps.keys() != explorers.keys():
            raise ValueError(f"maps must be of the splits {', '.join(explorers)}, got {', '.join(maps)}")
        for split, space in (maps or {}).items():
            if space.unseen != explorers[split].protocol.unseen:
                raise ValueError(f"a map must be of its split's unseen classes, that of {split!r} is not")
        super().__init__("zsar-transfer-explorer", Settings(next(iter(explorers))))
        self._catalog, self._explorers, self._maps = catalog, dict(explorers), dict(maps or {})
        self._places: dict[str, _Places] = {}
        self._drawn = self.state.split
        self.outcome: Outcome | None = None
        self.figures = [as_widget(figure) for figure in self._empty()]
        self._make()
        self.offer("split", list(self._explorers))
        explorer = self._explorers[self._drawn]
        self._choose_settings(explorer.chosen(explorer.class_texts[0], explorer.sources[0]))

    def _make(self) -> None:
        k = ipywidgets.IntSlider(min=1, max=1, description="k", **wide("430px", 80))
        tau = ipywidgets.SelectionSlider(options=TAUS, description="tau", **wide("430px", 80))
        rows = (
            row(
                self.dropdown("split", "split", "240px", 80),
                self.dropdown("class_text", "class text", "280px", 80),
                self.dropdown("source", "prototypes", "260px", 80),
            ),
            row(
                self.dropdown("relatedness", "relatedness", "220px", 80),
                self.dropdown("reduction", "reduction", "280px", 80),
            ),
            row(
                self.control("k", k),
                self.control("tau", tau),
                self.button("chosen", "What validation chose", self._on_chosen),
            ),
        )
        warning = ipywidgets.HTML(message_box(WARNING), layout={"width": "98%"})
        pages = {name: self.page(name) for name in ("message", "summary", "note")}
        shown = [pages["message"], pages["summary"], *self.figures, pages["note"], FigureFitter()]
        self.lay_out(warning, *rows, *shown)

    def _on_chosen(self) -> None:
        explorer = self._explorers[self.state.split]
        self._choose_settings(explorer.chosen(self.state.class_text, self.state.source))

    def _choose_settings(self, choice: Choice) -> None:
        settings = asdict(choice.transfer) | {"class_text": choice.class_text, "source": choice.source}
        self.choose(**settings, reduction=choice.reduction)

    def show(self) -> None:
        """Score the settings and move what the figures show."""
        explorer = self._explorers[self.state.split]
        self.offer("class_text", explorer.class_texts)
        self.offer("source", explorer.sources)
        self.offer("relatedness", KINDS)
        self.offer("reduction", REDUCTION_CHOICES)
        n_seen = len(explorer.protocol.seen)
        self.state = state = replace(self.state, k=min(self.state.k, n_seen))
        with self.quietly():
            self.controls["k"].max = n_seen
        transfer = TransferSettings(state.k, state.tau, state.relatedness)
        outcome = explorer.score(Choice(transfer, state.class_text, state.source, state.reduction))
        chosen = explorer.score(explorer.chosen(state.class_text, state.source))
        if self._drawn != state.split:
            for widget, figure in zip(self.figures, self._empty(), strict=True):
                redraw(widget, figure)
            self._drawn = state.split
        traces = [
            figures.accuracy_traces(outcome, chosen),
            figures.class_traces(outcome, chosen, explorer.protocol, self._catalog),
        ]
        if self._maps:
            if state.split not in self._places:
                self._places[state.split] = _Places(explorer, self._maps[state.split])
            places = self._places[state.split]
            both = places.of(outcome), places.of(chosen)
            traces.append(figures.map_traces(places.space, self._catalog, *both))
            self.html["note"].value = render("transfer_note.html", text=places.note)
        for widget, moved in zip(self.figures, traces, strict=True):
            move(widget, moved)
        self.html["summary"].value = summary_html(outcome, chosen)
        self.outcome = outcome

    def _empty(self) -> list[Any]:
        """The figures of a split before anything is put in its place."""
        split, catalog = self.state.split, self._catalog
        explorer = self._explorers[split]
        maps = [figures.moving_map(self._maps[split], catalog)] if self._maps else []
        bars = figures.class_bars(explorer.clips_C, explorer.protocol, catalog)
        return [figures.accuracy_dots(explorer.protocol, catalog), bars, *maps]


class _Places:
    """Where prototypes are on one split's map, and how far off that is where UMAP laid them itself."""

    def __init__(self, explorer: Explorer, space: SpaceMap) -> None:
        self.space, self._shown_ND = space, explorer.embeddings_of(space.ids)
        own = explorer.score(explorer.chosen(explorer.class_texts[0]))
        across = float(np.linalg.norm(np.ptp(space.clips_xy, axis=0)))
        share = 100 * np.linalg.norm(self.of(own) - space.composed_xy, axis=1) / max(across, 1e-12)
        self.note = (
            f"Composed prototypes are drawn amid their {N_NEAREST} nearest clips, an approximation:"
            f" at the map's settings it is off by {np.median(share):.1f} % of the diagonal (median over"
            f" {len(share)} classes; at most {share.max():.1f} %)."
        )

    def of(self, outcome: Outcome) -> np.ndarray:
        return places_on_map(outcome.prototypes_UD, self._shown_ND, self.space.clips_xy)


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
