"""The transfer explorer: sliders for the settings of transfer, and what they do to accuracy, hubness and the prototypes on the map."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import ipywidgets
import numpy as np

from zsar_lab.data.catalog import Catalog
from zsar_lab.methods.transfer import TransferSettings
from zsar_lab.results.explorer import (
    CORRECTION_CHOICES,
    N_NEAREST,
    NO_CORRECTION,
    Choice,
    Explorer,
    Outcome,
    places_on_map,
)
from zsar_lab.results.report import settings_as_text
from zsar_lab.text.relatedness import KINDS
from zsar_lab.viz.clips import TEXT, message_box
from zsar_lab.viz.figures.explorer import (
    accuracy_dots,
    accuracy_traces,
    class_bars,
    class_traces,
    map_traces,
    move,
    moving_map,
)
from zsar_lab.viz.figures.style import redraw
from zsar_lab.viz.projection import SpaceMap
from zsar_lab.viz.widgets import visibly
from zsar_lab.viz.widgets_figures import FigureFitter, as_widget

TAUS = (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0)  # those of settings_grid among them
WARNING = "You are looking at test accuracy: settings are chosen on validation classes; one chosen here must not be reported."
EARLIER = "The figures below are of earlier settings."
CELL = "padding:1px 14px 1px 0;text-align:left"
NUMBER = "padding:1px 14px 1px 0;text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums"


def transfer_explorer(
    catalog: Catalog, explorers: Mapping[str, Explorer], maps: Mapping[str, SpaceMap] | None = None
) -> ipywidgets.VBox:
    """Move k, tau and the other settings of transfer; see at once what they do, beside what validation chose.

    What validation chose is for the class text and the seen prototypes shown, without a correction.
    `box.outcome` is what the settings score; it can be read in a later cell. A failure is written into the
    box, and raised. While a setting is being scored, the browser keeps only the last place of a slider, so
    moves do not queue up.

    Args:
        catalog: gives the labels.
        explorers: by split; all take their settings from the same choices, as far as they have them.
        maps: of the same splits, of projection.shared_space_map; the first class text of an explorer is taken
            for that of its map.

    Raises:
        ValueError: no split, maps of other splits, or a map of other classes than its split's.
    """
    if not explorers:
        raise ValueError("there must be at least one split to explore, got none; give {split: Explorer(...)}")
    if maps and maps.keys() != explorers.keys():
        raise ValueError(
            f"maps must be of the same splits as the explorers ({', '.join(explorers)}) or none, got {', '.join(maps)}"
        )
    for split, space in (maps or {}).items():
        if space.unseen != explorers[split].protocol.unseen:
            raise ValueError(
                f"a map must be of its split's unseen classes, that of {split!r} is not; make it from the result of that split"
            )
    return _Sliders(catalog, dict(explorers), dict(maps or {})).box


class _Sliders:
    """The widgets and their state: the split and the settings shown."""

    def __init__(self, catalog: Catalog, explorers: dict[str, Explorer], maps: dict[str, SpaceMap]) -> None:
        self._catalog, self._explorers, self._maps = catalog, explorers, maps
        self._places: dict[str, _Places] = {}
        self._setting = False
        self._make_choices()
        self._list_choices()
        self._set(self._explorer.chosen(self._text.value, self._source.value))
        self._figures = [as_widget(figure) for figure in self._empty()]
        self._make_box()
        self._show()

    def _make_choices(self) -> None:
        def dropdown(options: list[str], description: str, width: str) -> ipywidgets.Dropdown:
            return ipywidgets.Dropdown(
                options=options,
                description=description,
                style={"description_width": "80px"},
                layout={"width": width},
            )

        wide, style = {"width": "min(430px, 100%)"}, {"description_width": "80px"}
        self._split = dropdown(list(self._explorers), "split", "240px")
        self._text, self._source = dropdown([], "class text", "280px"), dropdown([], "prototypes", "260px")
        self._kind, self._correction = (
            dropdown(list(KINDS), "relatedness", "220px"),
            dropdown(list(CORRECTION_CHOICES), "correction", "280px"),
        )
        self._k = ipywidgets.IntSlider(min=1, max=1, description="k", style=style, layout=wide)
        self._tau = ipywidgets.SelectionSlider(options=TAUS, description="tau", style=style, layout=wide)
        self._back = ipywidgets.Button(description="What validation chose", layout={"width": "190px"})
        self._warning = ipywidgets.HTML(message_box(WARNING), layout={"width": "98%"})
        self._message, self._summary, self._note = (
            ipywidgets.HTML(layout={"width": "98%"}) for _ in range(3)
        )

    def _make_box(self) -> None:
        wrap = {"flex_flow": "row wrap"}
        rows = (
            [self._split, self._text, self._source],
            [self._kind, self._correction],
            [self._k, self._tau, self._back],
        )
        shown = [self._summary, *self._figures, *([self._note] if self._maps else []), FigureFitter()]
        self.box = ipywidgets.VBox(
            [self._warning, *(ipywidgets.HBox(row, layout=wrap) for row in rows), self._message, *shown]
        )
        self.box.add_class("zsar-transfer-explorer")
        self._split.observe(lambda _: self._attempt(self._on_split), "value")
        for widget in (self._text, self._source, self._kind, self._correction, self._k, self._tau):
            widget.observe(self._on_choice, "value")
        self._back.on_click(lambda _: self._attempt(self._on_back))

    # what happens

    def _attempt(self, action: Callable[[], Any]) -> None:
        def or_say_so() -> None:
            try:
                action()
            except Exception:
                self._summary.value = f'<div style="{TEXT}">{EARLIER}</div>'
                raise

        visibly(or_say_so, self._message)

    def _on_split(self) -> None:
        self._list_choices()
        for widget, figure in zip(self._figures, self._empty(), strict=True):
            redraw(widget, figure)
        self._show()

    def _on_choice(self, _: Any) -> None:
        if not self._setting:
            self._attempt(self._show)

    def _on_back(self) -> None:
        self._set(self._explorer.chosen(self._text.value, self._source.value))
        self._show()

    def _list_choices(self) -> None:
        """What the split has to choose from; what was chosen stays where it can."""
        explorer = self._explorer
        self._setting = True
        try:
            for widget, options in ((self._text, explorer.class_texts), (self._source, explorer.sources)):
                kept = widget.value
                widget.options = options
                widget.value = kept if kept in options else options[0]
            self._k.max = len(explorer.protocol.seen)
        finally:
            self._setting = False

    def _set(self, choice: Choice) -> None:
        """Put the widgets where a choice is, as one change."""
        self._setting = True
        try:
            self._k.value, self._tau.value, self._kind.value = (
                choice.transfer.k,
                choice.transfer.tau,
                choice.transfer.relatedness,
            )
            self._correction.value = choice.correction
        finally:
            self._setting = False

    # what is shown

    def _show(self) -> None:
        outcome, chosen = self._outcomes()
        protocol = self._explorer.protocol
        moved = [accuracy_traces(outcome, chosen), class_traces(outcome, chosen, protocol, self._catalog)]
        if self._maps:
            places = self._places_of(self._split.value)
            moved.append(map_traces(places.space, self._catalog, places.of(outcome), places.of(chosen)))
            self._note.value = places.note
        for figure, traces in zip(self._figures, moved, strict=True):
            move(figure, traces)
        self._summary.value = summary_html(outcome, chosen)
        self.box.outcome = outcome

    def _outcomes(self) -> tuple[Outcome, Outcome]:
        """Of the settings, and of what validation chose."""
        explorer = self._explorer
        transfer = TransferSettings(self._k.value, self._tau.value, self._kind.value)
        choice = Choice(transfer, self._text.value, self._source.value, self._correction.value)
        return explorer.score(choice), explorer.score(explorer.chosen(choice.class_text, choice.source))

    def _empty(self) -> list[Any]:
        """The figures of a split before anything is put in its place."""
        split, explorer = self._split.value, self._explorer
        given = explorer.protocol, self._catalog
        maps = [moving_map(self._maps[split], self._catalog)] if self._maps else []
        return [accuracy_dots(*given), class_bars(explorer.clips_C, *given), *maps]

    def _places_of(self, split: str) -> _Places:
        if split not in self._places:
            self._places[split] = _Places(self._explorers[split], self._maps[split])
        return self._places[split]

    @property
    def _explorer(self) -> Explorer:
        return self._explorers[self._split.value]


class _Places:
    """Where prototypes lie on one split's map."""

    def __init__(self, explorer: Explorer, space: SpaceMap) -> None:
        self.space, self._shown_ND = space, explorer.embeddings_of(space.ids)
        own = explorer.score(explorer.chosen(explorer.class_texts[0]))
        apart = np.linalg.norm(self.of(own) - space.composed_xy, axis=1)
        self.note = note_html(apart, float(np.linalg.norm(np.ptp(space.clips_xy, axis=0))))

    def of(self, outcome: Outcome) -> np.ndarray:
        return places_on_map(outcome.prototypes_UD, self._shown_ND, self.space.clips_xy)


def summary_html(outcome: Outcome, chosen: Outcome) -> str:
    """Html: the settings now and those that validation chose, and a table of accuracies and hubness of both with their differences."""
    named = ((outcome, "Now"), (chosen, "Chosen on validation classes"))
    lines = "".join(f"<div><b>{name}</b>: {_settings(shown)}</div>" for shown, name in named)
    pairs = zip(_accuracies(outcome).items(), _accuracies(chosen).values(), strict=True)
    rows = [
        (name, f"{100 * now:.1f} %", f"{100 * then:.1f} %", f"{100 * (now - then):+.1f} points")
        for (name, now), then in pairs
    ]
    for name, measure, form in (
        ("skewness of N_1, unseen", "skewness", "+.2f"),
        ("Robin Hood of N_1, unseen", "robin_hood", ".2f"),
    ):
        now, before, then = (
            float(getattr(scored.hubness, measure))
            for scored in (outcome.unseen, outcome.uncorrected, chosen.unseen)
        )
        uncorrected = f" (uncorrected {before:{form}})" if outcome.choice.correction != NO_CORRECTION else ""
        rows.append((name, f"{now:{form}}{uncorrected}", f"{then:{form}}", f"{now - then:+.2f}"))
    table = "".join((_row("th", ("", "now", "chosen", "difference")), *(_row("td", row) for row in rows)))
    style = f"font-size:13px;line-height:1.4;overflow-wrap:anywhere;{TEXT}"
    return f'<div class="zsar-summary" style="{style}">{lines}<table style="font-size:13px;line-height:1.4">{table}</table></div>'


def note_html(apart_U: np.ndarray, across: float) -> str:
    """Html: how the places of prototypes on the map were found, and how far off they are where UMAP laid them itself.

    Args:
        apart_U: distance on the map of each composed prototype's place to where UMAP laid it.
        across: the map's diagonal, in the same unit.
    """
    share = 100 * apart_U / max(across, 1e-12)
    text = (
        f"Composed prototypes stand at the mean place of their {N_NEAREST} nearest clips shown: an approximation, as UMAP takes a minute to place new"
        f" points. At the settings that the map was made with, this is off by {np.median(share):.1f} % of the map's diagonal from where UMAP laid"
        f" them (median over {len(share)} classes; at most {share.max():.1f} %)."
    )
    return f'<div class="zsar-note" style="font-size:13px;line-height:1.4;{TEXT}">{text}</div>'


def _accuracies(outcome: Outcome) -> dict[str, float]:
    groups = (("unseen", outcome.unseen), ("validation", outcome.validation))
    return {
        f"{name}, {group}": value
        for group, of in groups
        for name, value in (("top-1", of.top1), ("top-1, mean of classes", of.mean_class))
    }


def _settings(outcome: Outcome) -> str:
    choice = outcome.choice
    correction = f"{choice.correction} {settings_as_text(outcome.correction_settings)}".strip()
    parts = (
        settings_as_text(asdict(choice.transfer)),
        choice.source,
        choice.class_text,
        f"correction {correction}",
    )
    return html.escape(", ".join(parts))


def _row(cell: str, values: tuple[str, ...]) -> str:
    cells = [
        f'<{cell} style="{NUMBER if place else CELL}">{value}</{cell}>' for place, value in enumerate(values)
    ]
    return f"<tr>{''.join(cells)}</tr>"
