"""Figures of zero-shot scores over the splits of a study: methods, differences, confidences, hubness."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from zsar_lab.data.catalog import Catalog
from zsar_lab.methods.clips import INDUCTIVE, TRANSDUCTIVE
from zsar_lab.methods.hubness_reduction import REDUCTIONS
from zsar_lab.methods.table import LABELS, METHODS
from zsar_lab.results.ablation import Ablation
from zsar_lab.results.calibration import EQUAL_MASS, reliability, risk_coverage
from zsar_lab.results.conventions import ConventionTable
from zsar_lab.results.generalised import curve_of
from zsar_lab.results.hubness import hubness, k_occurrence
from zsar_lab.results.predictions import KEY, Predictions
from zsar_lab.results.statistics import LEVEL, accuracy
from zsar_lab.results.summary import Results
from zsar_lab.viz.figures import style

# those drawn by class or clip, each with its colour; the reranked ones are in the tables
DRAWN = tuple(METHODS)[:6]
COLOURS = {method: style.PALETTE[place] for place, method in enumerate(DRAWN)}
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
N_BINS = 8
MEASURES = {"skewness": "skewness", "robin_hood": "Robin Hood", "antihubs": "share of anti-hubs"}
SETTING_LOOKS = {  # legend, colour, symbol, and shift in rows
    INDUCTIVE: ("inductive: fitted on training clips", style.BLUE, "circle", -0.14),
    TRANSDUCTIVE: ("transductive: fitted on the test clips", style.ORANGE, "diamond", 0.14),
}


# accuracies


def method_scores(results: Results, families: Sequence[str] | None = None) -> go.Figure:
    """Top-1 of each method with its 95 % interval over classes, beside chance; dotted: the upper bound.

    Families of splits are side by side; the upper bound is that of the first.
    """
    families = list(results.families if families is None else families)
    bound, middle = 100 * results.upper_bound(families[0]), (len(families) - 1) / 2
    rows, looks = [], {}
    for number, family in enumerate(families):
        table = results.part("methods", family)
        rows.append(_top1(table).assign(name=table["label"], look=family))
        title, colour = results.title(family).partition(",")[0], style.PALETTE[number % len(style.PALETTE)]
        legend, shift = f"{title}, all splits, 95 % interval", 0.3 * (number - middle)
        looks[family] = legend, colour, style.SYMBOLS[number % len(style.SYMBOLS)], shift
    first, *beside = families
    about = f"{results.title(first)}; dotted: upper bound {bound:.1f} % (true prototypes)"
    about += "".join(f"; beside it {results.title(family).partition(',')[0]}" for family in beside)
    title = "Zero-shot top-1 of each method"
    table = pd.concat(rows, ignore_index=True)
    return _from_0_to_100(style.interval_rows(title, about, style.ACCURACY, table, looks, bound, ".1f", " %"))


def prompt_scores(results: Results, family: str | None = None) -> go.Figure:
    """Top-1 by prompt of the class texts, a colour a method, with 95 % intervals; of the same embeddings."""
    rows, own = results.part("prompts", family), results.splits(family)[0].prompt
    methods = [method for method in METHODS if method in set(rows["method"])]
    middle = (len(methods) - 1) / 2
    looks = {
        method: (LABELS[method], COLOURS[method], style.SYMBOLS[n % len(style.SYMBOLS)], 0.2 * (n - middle))
        for n, method in enumerate(methods)
    }
    table = _top1(rows).assign(name=rows["prompt"], look=rows["method"])
    table["note"] = ["trained with" if prompt == own else "" for prompt in rows["prompt"]]
    title, chance = "Zero-shot top-1 by class text", 100 * results.chance(family)
    about = f"{results.title(family)}; dotted: chance {chance:.1f} %"
    given = title, about, style.ACCURACY, table.drop(columns="chance"), looks, chance, ".1f", " %"
    return _from_0_to_100(style.interval_rows(*given))


def differences(
    results: Results,
    part: str = "methods",
    baseline: str | None = None,
    method: str = "transfer",
    family: str | None = None,
) -> go.Figure:
    """Top-1 less a baseline's on the same clips, with 95 % intervals; filled where it can be claimed.

    `part` is "methods", "prompts" (under `method`) or "reductions"; the rest as for `Results.against`.

    Raises:
        KeyError: as `Results.against`.
    """
    compared = results.against(baseline, part, method, family)
    rows = compared.merge(results.part(part, family)[[*KEY, "top1"]], on=list(KEY))
    rows = rows[rows["p"].notna()]
    usual = results.baseline(family)
    reductions = [
        f"{LABELS[row.method]}, " * (row.method != usual) + REDUCTIONS[row.reduction].label
        for row in rows.itertuples()
    ]
    words, names = {
        "methods": ("method", rows["method"].map(LABELS)),
        "prompts": ("class text", rows["prompt"]),
        "reductions": ("what sits on top of a method", reductions),
    }[part]
    hover = [f"top-1 {100 * row.top1:.1f} %, Holm's p {row.p_holm:.2g}" for row in rows.itertuples()]
    shown = style.in_percent(rows, "difference").assign(name=names, look=rows["setting"], hover=hover)
    shown["open"] = ~rows["claimed"].astype(bool)
    about = f"{results.title(family)}; the same clips; filled: Holm's p at most {LEVEL:g}"
    if part == "prompts":
        n_splits = len(results.splits(family))
        shown["note"] = [f"chosen in {len(chosen)} of {n_splits} splits" for chosen in rows["chosen_in"]]
        shown, about = shown.sort_values("value", ascending=False), f"{about}; method {LABELS[method]}"
    zero = baseline or {"prompts": "label", "reductions": "the method alone"}.get(part, "transfer")
    title = f"Top-1 by {words}, difference to {LABELS.get(zero, zero)}"
    one = {INDUCTIVE: ("difference, 95 % interval", style.BLUE, "circle", 0.0)}
    looks = SETTING_LOOKS if part == "reductions" else one
    return style.interval_rows(title, about, "difference of top-1 (points)", shown, looks)


def convention_dots(conventions: ConventionTable) -> go.Figure:
    """Top-1 under each convention with its 95 % interval, beside its chance; the line is the reference."""
    table = conventions.table
    reference = table.iloc[0]
    hover = [
        f"{style.plain(row.scored)}<br>{row.candidates:g} candidates, {row.clips:g} clips a split,"
        f" {row.n_splits} splits; {100 * row.difference:+.1f} points to the reference"
        for row in table.itertuples()
    ]
    rows = _top1(table).assign(hover=hover, name=table["name"])
    rows["look"] = table["candidates"] == reference["candidates"]
    rows["group"] = ["", *table["aspect"].iloc[1:]]
    looks = {
        True: ("candidates as in the reference", style.BLUE, "circle", 0.0),
        False: ("another number of candidates", style.ORANGE, "diamond", 0.0),
    }
    counts = f"{reference['candidates']:g} unseen classes and {reference['clips']:g} clips a split"
    about = f"method {LABELS[conventions.method]}, {counts}; 95 % intervals; dotted: the reference"
    title, line = "The same embeddings under every convention", 100 * reference["top1"]
    return _from_0_to_100(style.interval_rows(title, about, style.ACCURACY, rows, looks, line, ".1f", " %"))


def ablation_differences(ablation: Ablation) -> go.Figure:
    """Top-1 of each variant less the whole system's, with 95 % intervals; filled where it can be claimed."""
    whole, table = ablation.table.iloc[0], ablation.table.iloc[1:].reset_index(drop=True)
    hover = [
        f"{style.plain(row.variant)}: top-1 {100 * row.top1:.1f} %; validation chose it in {row.same_in} of"
        f" {ablation.n_splits} splits<br>Holm's p {row.p_holm:.2g}, {100 * row.min_detectable:.1f} detectable"
        for row in table.itertuples()
    ]
    rows = style.in_percent(table, "difference").assign(
        name=table["variant"], group=table["aspect"], hover=hover
    )
    rows["look"] = np.select([table["p"].isna(), table["p_holm"] <= LEVEL], ["chosen", "claimed"], "open")
    claim = f"a difference can be claimed (Holm's p at most {LEVEL:g})"
    looks = {
        "claimed": (claim, style.BLUE, "circle", 0.0),
        "open": ("no difference can be claimed", style.ORANGE, "circle-open", 0.0),
        "chosen": ("what validation chose in every split", style.GREY, "x-thin-open", 0.0),
    }
    counts = f"{ablation.n_splits} splits, the same {ablation.n_clips} clips"
    about = f"{counts}; the whole system: {100 * whole['top1']:.1f} %; 95 % intervals over classes"
    title = "One part changed at a time, difference to the whole system"
    return style.interval_rows(title, about, "difference of top-1 to the whole system (points)", rows, looks)


def seen_unseen_curves(results: Results, family: str | None = None) -> go.Figure:
    """Accuracy on unseen against seen classes as gamma is taken off the seen scores, a panel a split.

    Open circles are the scores as they are; filled ones are calibrated, with the gamma chosen on validation.
    """
    splits, methods = results.splits(family), results.part("generalised", family)["method"].unique()
    about = f"{results.title(family)}; open: as they are, filled: gamma chosen on validation classes"
    axes = [(f"seen classes (%), {split.split}", "unseen classes (%)") for split in splits]
    title, height = "Seen against unseen classes, all of them candidates", 150 + 300 * -(-len(axes) // 3)
    figure = style.new_panels(title, about, axes, height)
    for number, split in enumerate(splits):
        row, column = style.panel(number)
        quantity = "mean_class" if split.protocol.average == "mean_class" else "top1"
        for nth, method in enumerate(methods):
            curve, label = curve_of(split, method), LABELS[method]
            look = {"legendgroup": method, "row": row, "col": column}
            hover = f"seen %{{x:.1f}} %, unseen %{{y:.1f}} %, AUSUC {curve.area:.3f}"
            line = {"color": COLOURS[method], "dash": DASHES[nth % len(DASHES)]}
            style.curve(figure, curve.seen, curve.unseen, label, hover, line, **look, showlegend=number == 0)
            for reduction, symbol in (("none", "circle-open"), ("calibrated_stacking", "circle")):
                rows = split.rows(method, reduction=reduction, candidates="all")
                sides = [rows[rows["role"] == role] for role in ("seen_test", "test")]
                seen, unseen = ([accuracy(side, quantity)] for side in sides)
                hover = f"{REDUCTIONS[reduction].label}: S %{{x:.1f}}, U %{{y:.1f}} %"
                marker = {"symbol": symbol, "size": 10, "color": line["color"]}
                point = {"mode": "markers", "marker": marker, "showlegend": False}
                style.curve(figure, seen, unseen, label, hover, line, **look | point)
    figure.update_xaxes(range=[0, 101])
    figure.update_yaxes(range=[0, 101])
    figure.update_layout(legend=style.legend_below(-0.36), margin_b=140)
    return figure


# confidence


def confidence_curves(results: Results, family: str | None = None) -> go.Figure:
    """Error as the least confident clips are left out; accuracy against confidence in bins of equal size.

    The confidence of a clip is the softmax of its scores at a temperature chosen on each split's validation
    classes.
    """
    about = f"{results.title(family)}; dotted: confidence is accuracy"
    axes = [("clips predicted (%)", "error among them (%)"), ("confidence (%)", "accuracy (%)")]
    figure = style.new_panels("Are the confident predictions the right ones?", about, axes, 430, per_row=2)
    scored = set(results.part("methods", family)["method"])
    for number, method in enumerate(method for method in DRAWN if method in scored):
        rows = results.rows(method, family)
        if rows["confidence"].isna().any():
            continue
        confidence, right = rows["confidence"].to_numpy(), (rows["rank"] == 1).to_numpy()
        curve = risk_coverage(confidence, right)
        bins = reliability(confidence, right, EQUAL_MASS, N_BINS).table
        hover, line = "%{x:.0f} % predicted: %{y:.1f} % wrong", {"color": COLOURS[method]}
        look: style.Look = {"legendgroup": method, "row": 1}
        style.curve(figure, curve.coverage, curve.risk, LABELS[method], hover, line, **look, col=1)
        look |= {"mode": "lines+markers", "customdata": bins["clips"].tolist(), "showlegend": False}
        look |= {"marker": {"symbol": style.SYMBOLS[number % len(style.SYMBOLS)], "size": 8}}
        hover = "confidence %{x:.1f} %, right %{y:.1f} % of %{customdata} clips"
        style.curve(figure, bins["confidence"], bins["accuracy"], LABELS[method], hover, line, **look, col=2)
    dotted = {"color": style.GREY, "dash": "dot"}
    figure.add_shape(type="line", x0=0, y0=0, x1=100, y1=100, line=dotted, row=1, col=2)
    figure.update_layout(legend=style.legend_below(-0.2), margin_b=110)
    return figure


# hubness


def hubness_bars(predictions: Predictions, catalog: Catalog) -> go.Figure:
    """N_1 of each unseen class under each method: how many clips have it as their nearest."""
    names, labels = predictions.names(), style.labels_of(catalog)
    order, expected = style.by_family(names, catalog), len(predictions.ids()) / len(names)
    about = f"{predictions.protocol.name}, {catalog.name}; dotted: every class equally often ({expected:.1f})"
    title = "How often each unseen class is the nearest"
    figure = style.new_figure(title, about, "", "N_1 (clips)", height=480)
    scored = {one.method for one in predictions.scored}
    for method in (method for method in DRAWN if method in scored):
        occurrence = k_occurrence(predictions.scores(method), 1)
        hover = [f"{LABELS[method]}: {count} clips" for count in occurrence[order]]
        name = f"{LABELS[method]} (skewness {hubness(occurrence, 1).skewness:+.2f})"
        places, marker = range(len(order)), {"color": COLOURS[method]}
        style.bars(figure, occurrence[order].tolist(), places, name, hover, marker, lying=False)
    figure.add_hline(y=expected, line={"color": style.GREY, "dash": "dot", "width": 2})
    style.name_ticks(figure, "x", [labels[names[i]] for i in order], range=[-0.6, len(names) - 0.4])
    figure.update_layout(barmode="group", bargap=0.25, legend=style.legend_below(-0.5), margin_b=190)
    return figure


def hubness_before_after(results: Results, measure: str = "skewness", family: str | None = None) -> go.Figure:
    """A measure of the hubness of N_1 (0: even): direct, transfer, and transfer with each reduction.

    `measure` is one of MEASURES; means over splits with 95 % bootstrap intervals over the candidate classes.

    Raises:
        KeyError: no such measure.
    """
    table = pd.concat([results.part("methods", family), results.part("reductions", family)])
    table = table[table["method"].isin(["direct", "transfer"])]
    alone = table["reduction"] == "none"
    reductions = {name: f"+ {one.label}" for name, one in REDUCTIONS.items()}
    names = table["method"].map(LABELS).where(alone, table["reduction"].map(reductions))
    ends = {
        f"hubness_{measure}{end}": name for end, name in (("", "value"), ("_low", "low"), ("_high", "high"))
    }
    rows = table[list(ends)].rename(columns=ends)
    rows = rows.assign(name=names, look=table["setting"].where(~alone, "none"), hover="")
    looks = {"none": ("no reduction", style.GREY, "square", 0.0)} | SETTING_LOOKS
    title, about = f"{MEASURES[measure]} of N_1, before and after", f"{results.title(family)}; 95 % intervals"
    return style.interval_rows(title, about, MEASURES[measure], rows, looks, 0.0, ".2f", "")


def _top1(table: pd.DataFrame) -> pd.DataFrame:
    """Top-1 and chance of a table's rows for `interval_rows`; hovering tells the splits and the settings."""
    rows = style.in_percent(table, "top1").assign(chance=100 * table["chance"])
    if "splits_top1" not in table:
        return rows
    splits = [[100 * float(share) for share in text.split("; ")] for text in table["splits_top1"]]
    shown = ["splits: " + ", ".join(f"{share:.1f}" for share in shares) for shares in splits]
    chosen = [
        f"<br>chosen on validation classes: {style.plain(text or 'nothing')}" for text in table["settings"]
    ]
    return rows.assign(hover=[first + second for first, second in zip(shown, chosen)])


def _from_0_to_100(figure: go.Figure) -> go.Figure:
    return figure.update_xaxes(range=[0, 104])
