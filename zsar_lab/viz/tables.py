"""Tables of scores for reading, and sentences made of their numbers, so that words cannot contradict them."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable

import numpy as np
import pandas as pd

from zsar_lab.data.catalog import Catalog
from zsar_lab.methods.table import LABELS
from zsar_lab.results.ablation import NOT_TESTED, Ablation, claims_against_findings
from zsar_lab.results.conventions import ConventionTable
from zsar_lab.results.hubness import occurrence_table
from zsar_lab.results.predictions import KEY, Predictions
from zsar_lab.results.summary import COMPARED, Results, settings_as_text
from zsar_lab.results.tables import (
    DIFFERENCE,
    TABLES,
    TOP1,
    detectable_as_text,
    interval_as_text,
    p_as_text,
    readable,
)
from zsar_lab.text.prompts import label

WIDTH = 110


def score_table(
    results: Results,
    kind: str = "methods",
    family: str | None = None,
    method: str | None = None,
    baseline: str | None = None,
) -> pd.DataFrame:
    """A table of scores as text: shares in percent, differences in points, "" where there is no number.

    Intervals are 95 % over classes; p is adjusted for all that are compared (Holm); `detectable` is the
    smallest true difference found in 80 % of such studies; hubness measures are means over splits. `kind` is
    one of TABLES; `method` and `baseline` are of "prompts", None for `Results.baseline` and the label.

    Raises:
        KeyError: no such kind or family, or the baseline was not scored.
    """
    part, columns = TABLES[kind]
    rows, usual = results.part(part, family), results.baseline(family)
    if part == "prompts":
        rows = rows[rows["method"] == (method or usual)].drop(columns=[*COMPARED, "claimed"], errors="ignore")
        rows = rows.merge(results.against(baseline, part, method, family), on=list(KEY))
        n_splits = _splits(len(results.splits(family)))
        chosen = [f"{len(numbers)} of {n_splits}" for numbers in rows.pop("chosen_in")]
        rows = rows.assign(label=rows["prompt"], chosen=chosen)
    elif kind == "reductions":
        alone = results.part("methods", family).drop(columns=[*COMPARED], errors="ignore")
        rows = pd.concat([alone[alone["method"] == usual], rows])
    elif kind == "methods":
        ends = {"label": "chance", "top1": results.chance(family)}
        bound = {"label": LABELS["upper_bound"], "top1": results.upper_bound(family)}
        scored = [bound] if bound["top1"] == bound["top1"] else []
        rows = pd.concat([pd.DataFrame([ends]), rows, pd.DataFrame(scored)], ignore_index=True)
    if kind == "confidence":
        rows["error"] = 1 - rows["top1"]
    return readable(rows, columns).set_axis(rows["label"].tolist())


def settings_table(results: Results, family: str | None = None) -> pd.DataFrame:
    """What was chosen on validation classes: a row a method, a column a split."""
    methods = results.part("methods", family)
    columns = {
        split.split: [
            settings_as_text(split.find(method).settings) or "nothing to choose"
            for method in methods["method"]
        ]
        for split in results.splits(family)
    }
    return pd.DataFrame(columns, index=methods["label"].tolist())


def report_as_text(results: Results, family: str | None = None) -> str:
    """The zero-shot table as text, headed by what it was scored on; and the generalised one, if any."""
    splits, row = results.splits(family), results.part("methods", family).iloc[0]
    protocol, seen = splits[0].protocol, results.seen_top1(family)
    counts = (
        f"{len(protocol.seen)} seen, {len(protocol.validation)} validation, {len(protocol.unseen)} unseen"
    )
    lines = [
        f"Zero-shot top-1: {results.title(family)}",
        f"protocol {row['fingerprint_protocol']}, {row['n_clips']} test clips, {counts} classes a split",
        *([f"seen-class top-1 on held-out clips: {100 * seen:.1f} %"] if seen == seen else []),
        "",
        score_table(results, family=family).to_string(),
    ]
    if len(results.part("generalised", family)):
        table = score_table(results, "generalised", family)
        lines += ["", "Seen and unseen classes as candidates", "", table.to_string()]
    return "\n".join(lines)


def differences_as_text(
    results: Results,
    part: str = "methods",
    baseline: str | None = None,
    method: str | None = None,
    family: str | None = None,
) -> str:
    """What `Results.against` finds, a sentence a row; of prompts also what validation's choice scores.

    The arguments are as for `Results.against`.

    Raises:
        KeyError: the baseline was not scored.
    """
    method = method or results.baseline(family)
    compared = results.against(baseline, part, method, family)
    scores = results.part(part, family)[[*KEY, "label", "top1", "top1_low", "top1_high", "n_clips"]]
    rows, zero = compared.merge(scores, on=list(KEY)), compared["compared_with"].dropna()
    zero = LABELS.get(zero.iloc[0], zero.iloc[0]) if len(zero) else ""
    splits, prompts = results.splits(family), part == "prompts"
    under = f"method {LABELS[method]}, " if prompts else ""
    lines = [f"{results.title(family)}: top-1, {under}the same {rows['n_clips'].iloc[0]} clips."]
    for _, row in rows.iterrows():
        name = row["prompt"] if prompts else row["label"]
        name += ", transductive" if row["setting"] == "transductive" else ""
        score = f"- {name} {100 * row['top1']:.1f} % {interval_as_text((row['top1_low'], row['top1_high']))}"
        if pd.isna(row["p"]):
            lines.append(f"{score}: what the others are compared with.")
            continue
        better = name if row["difference"] > 0 else zero
        claim = f"{better} is better" if row["claimed"] else "no difference can be claimed"
        lines.append(f"{score}: difference to {zero} {_difference(row)}: {claim}.")
    if prompts:
        best = {number: row["prompt"] for _, row in rows.iterrows() for number in row["chosen_in"]}
        right = [(splits[n].rows(method, prompt=name)["rank"] == 1).mean() for n, name in best.items()]
        counts, n_splits = Counter(best.values()).most_common(), _splits(len(splits))
        chosen = ", ".join(f"{name} in {n} of {n_splits}" for name, n in counts)
        lines.append(
            f"- A prompt is chosen by validation classes, never by unseen ones: {chosen}. Chosen so, top-1 is"
            f" {100 * np.mean(right):.1f} %. The models were trained with {splits[0].prompt}."
        )
    return wrapped(lines)


def hub_table(
    predictions: Predictions, catalog: Catalog, method: str = "transfer", **where: str
) -> pd.DataFrame:
    """A row an unseen class, the largest hub first: clips, N_1, N_1 a clip, its kind, top-1 in percent.

    `where` as for `Predictions.scores`, such as `reduction="csls"`.

    Raises:
        KeyError: it was not scored.
    """
    scores_BC = predictions.scores(method, **where)
    table = occurrence_table(scores_BC, predictions.targets(), predictions.names())
    content = {
        "clips": table["clips"],
        "N_1": table["occurrence"],
        "N_1 / clips": table["answers_per_clip"].map("{:.2f}".format),
        "": np.select([table["is_hub"], table["is_antihub"]], ["hub", "anti-hub"], ""),
        "top1_%": (100 * table["top1"]).map("{:.1f}".format),
    }
    labels = dict(zip(catalog.classes["name"], label(catalog.classes)))
    return pd.DataFrame(content).set_axis(table["class"].map(labels).tolist())


# conventions and ablation


def convention_table(conventions: ConventionTable) -> pd.DataFrame:
    """A row a convention: percentages with one decimal, the difference to the reference in points."""
    rows = conventions.table.copy()
    rows.loc[0, "difference"] = None
    columns = {"candidates": "{candidates:g}", "clips": "{clips:g}", "splits": "{n_splits}"}
    columns |= {"chance_%": "{chance:.1f}"} | TOP1 | {"std": "{std:.1f}"}
    columns |= {"above chance_%": "{above_chance:.1f}", "difference": "{difference:+.1f}"}
    return readable(rows, columns).set_index([rows["aspect"].rename(None), rows["name"].rename(None)])


def conventions_as_text(conventions: ConventionTable) -> str:
    """What each convention scores, what could not be scored, and how far they move the number."""
    lines = [f"- {row.aspect}, {row.name}: {row.scored}." for row in conventions.table.itertuples()]
    lines += [f"- Not scored: {words}." for words in conventions.left_out]
    return f"{wrapped(lines)}\n\n{wrapped([conventions.sentence()])}"


def ablation_table(ablation: Ablation) -> pd.DataFrame:
    """A row a variant, after the whole system: top-1 in percent, differences in points, p alone and by Holm.

    `detectable` is the smallest true difference whose p is at most 0.05 with 80 % chance; Holm's p asks for
    more.
    """
    rows = ablation.table.copy()
    rows.loc[rows["p"].isna(), ["difference", "difference_low", "difference_high", "min_detectable"]] = None
    same = [f"{n:g} of {_splits(ablation.n_splits)}" if n else "" for n in rows["same_in"]]
    rows["same"] = ["", *same[1:]]
    columns = TOP1 | {"chosen in": "{same}"} | DIFFERENCE
    return readable(rows, columns).set_index([rows["aspect"].rename(None), rows["variant"].rename(None)])


def claims_as_text(ablation: Ablation) -> str:
    """What the abstract's parts add in this reconstruction, with the differences of each verdict."""
    tested = ablation.table[ablation.table["p"].notna()]
    compared = {row: f"{one['variant']} {_difference(one)}" for row, one in tested.iterrows()}
    lines = [
        f"The parts that the paper's abstract names, in this reconstruction, over"
        f" {_splits(ablation.n_splits)}, {ablation.n_clips} clips of {ablation.n_classes} unseen classes:"
    ]
    for claim in claims_against_findings(ablation).itertuples():
        rows = "; ".join(compared[row] for row in claim.rows)
        rows = "no such training was given" if claim.verdict == NOT_TESTED else rows
        beside = "".join(f" Beside it, {compared[row]}." for row in claim.beside)
        lines.append(f"- {claim.claim} This {claim.verdict}: {rows}.{beside}".replace("This not", "Not"))
    lines.append(
        "- Differences are to transfer. A true one as large as is named detectable has p <= 0.05 with 80 %"
        " chance, Holm's p less often."
    )
    return wrapped(lines)


def _difference(row: pd.Series) -> str:
    """What is known of a difference: "+0.8 points [-7.5, +7.8], Holm's p = 1.00, detectable 10.2"."""
    ends = interval_as_text((row["difference_low"], row["difference_high"]), "+")
    p, detectable = p_as_text(row["p_holm"]), detectable_as_text(row["min_detectable"])
    p = p if p.startswith("<") else f"= {p}"
    found = f"{100 * row['difference']:+.1f} points {ends}, Holm's p {p}"
    return found + (f", detectable {detectable}" if detectable else "")


def _splits(number: int) -> str:
    return f"{number} split{'s' * (number > 1)}"


def wrapped(lines: Iterable[str]) -> str:
    """The lines cut at WIDTH; what begins with "- " goes on indented."""
    return "\n".join(
        textwrap.fill(line, WIDTH, subsequent_indent="  " if line.startswith("-") else "") for line in lines
    )
