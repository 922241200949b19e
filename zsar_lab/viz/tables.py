"""Tables for reading, and sentences made of their numbers, so that words cannot contradict them."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from zsar_lab.data.catalog import Catalog
from zsar_lab.methods.table import LABELS, REDUCTIONS
from zsar_lab.protocols.leakage import SAME_NAME, LeakageAudit
from zsar_lab.protocols.protocol import Protocol
from zsar_lab.results.hubness import occurrence_table
from zsar_lab.results.predictions import KEY, Predictions
from zsar_lab.results.summary import COMPARED, Results, settings_as_text
from zsar_lab.results.wording import detectable_as_text, interval_as_text, p_as_text
from zsar_lab.text.prompts import label

MOST_ROWS = 200
WIDTH = 110
BASELINE, DIRECT_FORMS = "transfer", ("direct", "ridge", "ridge_centred")
# what the prompts of the usual question hold: is a class better told by its name, a description, or both
HELD = {
    "label": "names (label)",
    "description": "descriptions (description)",
    "label_and_description": "both (label_and_description)",
}


# scores

Column = tuple[
    str, tuple[str, ...], Callable[..., str]
]  # title, columns of `Results.table`, and how to write them


def _percent(title: str, column: str) -> Column:
    return title, (column,), lambda share: f"{100 * share:.1f}"


def _interval(title: str, column: str, sign: str = "") -> Column:
    return title, (f"{column}_low", f"{column}_high"), lambda *ends: interval_as_text(ends, sign)


def _measure(title: str, column: str) -> Column:
    ends = f"{column}_low", f"{column}_high"
    return title, (column, *ends), lambda value, low, high: f"{value:.2f} [{low:.2f}, {high:.2f}]"


def _number(title: str, column: str, decimals: int = 3) -> Column:
    return title, (column,), lambda value: f"{value:.{decimals}f}"


DIFFERENCE: tuple[Column, ...] = (
    ("difference", ("difference",), lambda share: f"{100 * share:+.1f}"),
    _interval("its interval", "difference", "+"),
    ("p", ("p",), p_as_text),
    ("p (Holm)", ("p_holm",), p_as_text),
    ("detectable", ("min_detectable",), detectable_as_text),
)
TOP1 = (_percent("top1_%", "top1"), _interval("interval", "top1"))
TABLES: dict[str, tuple[str, tuple[Column, ...]]] = {  # the part of `Results.table`, and the columns shown
    "methods": (
        "methods",
        (
            *TOP1,
            _percent("std", "std"),
            _percent("mean_class_%", "mean_class"),
            _interval("its interval of classes", "mean_class"),
            _percent("top5_%", "top5"),
            _percent("validation_%", "validation_top1"),
            _number("N1_skewness", "hubness_skewness", 2),
            *DIFFERENCE,
        ),
    ),
    "prompts": (
        "prompts",
        (*TOP1, _percent("validation_%", "validation_top1"), ("chosen in", ("chosen in",), str), *DIFFERENCE),
    ),
    "reductions": (
        "reductions",
        (
            ("setting", ("setting",), str),
            *TOP1,
            _percent("validation_%", "validation_top1"),
            _number("N1_skewness", "hubness_skewness", 2),
            *DIFFERENCE,
        ),
    ),
    "generalised": (
        "generalised",
        (
            _percent("S_%", "seen"),
            _percent("U_%", "unseen"),
            _percent("H_%", "harmonic"),
            _interval("its interval", "harmonic"),
            _number("AUSUC", "ausuc"),
            _percent("best H on the curve_%", "harmonic_upper_bound"),
        ),
    ),
    "hubness": (
        "methods",
        (
            _measure("skewness", "hubness_skewness"),
            _measure("Robin Hood", "hubness_robin_hood"),
            _measure("Gini", "hubness_gini"),
            _measure("Atkinson", "hubness_atkinson"),
            _measure("anti-hubs", "hubness_antihubs"),
            _measure("hub occurrence", "hubness_hub_occurrence"),
        ),
    ),
    "confidence": (
        "methods",
        (
            _percent("calibration error", "calibration_error"),
            ("error_%", ("top1",), lambda share: f"{100 * (1 - share):.1f}"),
            _percent("error_% of the surest 80 %", "error_at_80"),
            _number("area under risk-coverage", "aurc"),
            _number("negative log-likelihood", "negative_log_likelihood"),
        ),
    ),
}


def score_table(
    results: Results,
    kind: str = "methods",
    family: str | None = None,
    method: str = BASELINE,
    baseline: str | None = None,
) -> pd.DataFrame:
    """A table of scores as text: shares in percent, differences in points, "" where there is no number.

    Intervals are 95 % intervals over classes; p is adjusted for all that are compared (Holm); `detectable` is the
    smallest true difference found in 80 % of such studies; hubness measures are means over splits.

    Args:
        results: of a study.
        kind: one of TABLES.
        family: of splits; None for the first.
        method: whose prompts are shown.
        baseline: of the differences; None for transfer, or the label.

    Raises:
        KeyError: no such kind or family, or the baseline was not scored.
    """
    part, columns = TABLES[kind]
    rows = results.part(part, family)
    if part == "prompts":
        rows = rows[rows["method"] == method].drop(columns=[*COMPARED, "claimed"], errors="ignore")
        rows = rows.merge(results.compare(baseline, part, method, family), on=list(KEY))
        rows["chosen in"] = [
            f"{len(chosen)} of {_splits(len(results.splits(family)))}" for chosen in rows["chosen_in"]
        ]
        rows["label"] = rows["prompt"]
    elif kind == "reductions":
        alone = results.part("methods", family)
        rows = pd.concat(
            [alone[alone["method"] == BASELINE].drop(columns=[*COMPARED], errors="ignore"), rows]
        )
    elif kind == "methods":
        ends = {"label": "chance", "top1": results.chance(family)}
        bound = {"label": LABELS["upper_bound"], "top1": results.upper_bound(family)}
        rows = pd.concat([pd.DataFrame([ends]), rows, pd.DataFrame([bound])], ignore_index=True)
    return readable(rows, columns).set_axis(rows["label"].tolist())


def readable(rows: pd.DataFrame, columns: Iterable[Column]) -> pd.DataFrame:
    """The rows as text, a column each; "" where a number is missing."""
    found = {}
    for title, sources, write in columns:
        values = rows.reindex(columns=list(sources)).itertuples(index=False, name=None)
        found[title] = ["" if any(pd.isna(one) for one in row) else write(*row) for row in values]
    return pd.DataFrame(found)


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
    """The zero-shot table as text, headed by what it was scored on; and the generalised one, if there is one."""
    splits, row = results.splits(family), results.part("methods", family).iloc[0]
    protocol = splits[0].protocol
    counts = (
        f"{len(protocol.seen)} seen, {len(protocol.validation)} validation, {len(protocol.unseen)} unseen"
    )
    lines = [
        f"Zero-shot top-1: {results.title(family)}",
        f"protocol {row['fingerprint_protocol']}, {row['n_clips']} test clips, {counts} classes a split",
        f"seen-class top-1 on held-out clips: {100 * results.seen_top1(family):.1f} %",
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
    method: str = BASELINE,
    family: str | None = None,
    only: Collection[str] | None = None,
) -> str:
    """What `Results.compare` finds, a sentence a row; of prompts also what a choice by validation would score.

    Args:
        results: of a study.
        part: "methods", "prompts" or "reductions".
        baseline: a method, or of "prompts" a prompt; None for transfer, or the label.
        method: whose prompts are compared.
        family: of splits; None for the first.
        only: the methods that are told of; None for all.

    Raises:
        KeyError: the baseline was not scored.
    """
    compared = results.compare(baseline, part, method, family)
    scores = results.part(part, family)[[*KEY, "label", "top1", "top1_low", "top1_high", "n_clips"]]
    rows, zero = compared.merge(scores, on=list(KEY)), compared["compared_with"].dropna()
    zero = LABELS.get(zero.iloc[0], zero.iloc[0]) if len(zero) else ""
    splits, prompts = results.splits(family), part == "prompts"
    heads = f"{rows['n_clips'].iloc[0]} clips of {_splits(len(splits))}"
    lines = [
        f"{results.title(family)}: top-1, {f'method {LABELS[method]}, ' if prompts else ''}the same {heads}."
    ]
    for _, row in rows.iterrows():
        if only is not None and row["method"] not in only:
            continue
        name = HELD.get(row["prompt"], row["prompt"]) if prompts else row["label"]
        name += ", transductive" if row["setting"] == "transductive" else ""
        score = f"- {name} {100 * row['top1']:.1f} % {interval_as_text((row['top1_low'], row['top1_high']))}"
        if pd.isna(row["p"]):
            lines.append(f"{score}: what the others are compared with.")
            continue
        better = name if row["difference"] > 0 else zero
        claim = f"{better} is better" if row["claimed"] else "no difference can be claimed"
        p, detectable = p_as_text(row["p_holm"]), detectable_as_text(row["min_detectable"])
        difference = f"{100 * row['difference']:+.1f} points"
        interval = interval_as_text((row["difference_low"], row["difference_high"]), "+")
        numbers = f"{interval}, Holm's p {p if p.startswith('<') else f'= {p}'}"
        numbers += f", detectable {detectable}" if detectable else ""
        lines.append(f"{score}: difference to {zero} {difference} {numbers}: {claim}.")
    if prompts:
        best = {number: row["prompt"] for _, row in rows.iterrows() for number in row["chosen_in"]}
        right = [
            (splits[number].rows(method, prompt=name)["rank"] == 1).mean() for number, name in best.items()
        ]
        chosen = ", ".join(
            f"{name} in {n} of {_splits(len(splits))}" for name, n in Counter(best.values()).most_common()
        )
        lines.append(
            f"- A prompt is chosen by validation classes, never by unseen ones: {chosen}. Chosen so, top-1 is"
            f" {100 * np.mean(right):.1f} %. The models were trained with {splits[0].prompt}, which may profit."
        )
    return _wrapped(lines)


def findings_as_text(results: Results) -> str:
    """What results show, in sentences: transfer against direct, class texts, hubness, classes never right."""
    chance, bound = 100 * results.chance(), 100 * results.upper_bound()
    lines = [f"{results.title()}: chance {chance:.1f} %, upper bound {bound:.1f} %."]
    texts = results.part("prompts")
    if len(texts):
        texts = texts[texts["method"] == BASELINE].sort_values("top1")
        worst, best = (f"{100 * one.top1:.1f} % ({one.prompt})" for one in texts.iloc[[0, -1]].itertuples())
        lines.append(f"- Class text, under transfer: from {worst} to {best}.")
    rows = results.part("methods")
    skewness = "; ".join(f"{row.label} {row.hubness_skewness:+.2f}" for row in rows.itertuples())
    lines.append(f"- Hubness, N_1 skewness (mean over splits; noisy with few classes): {skewness}.")
    found = results.rows(BASELINE)
    right = (found["rank"] == 1).groupby([found["split"], found["label"]]).sum()
    never = ", ".join(f"{name} ({split})" for split, name in right.index[right == 0])
    lines.append(f"- Classes of which transfer got no clip right: {never or 'none'}.")
    for family in list(results.families)[1:]:
        top1 = results.part("methods", family).set_index("method")["top1"]
        scores = ", ".join(f"{LABELS[name]} {100 * top1[name]:.1f} %" for name in (BASELINE, "ridge_centred"))
        bound = 100 * results.upper_bound(family)
        lines.append(f"- Beside it, {results.title(family)}: {scores}, upper bound {bound:.1f} %.")
    compared = differences_as_text(results, only=DIRECT_FORMS).partition("\n")[2]
    return "\n".join([_wrapped(lines), compared])


# one split


def prototype_table(predictions: Predictions, guess: str = "composed") -> pd.DataFrame:
    """A row an unseen class: cosine of where it is expected to its own true prototype, and to the others'.

    Args:
        predictions: of the split.
        guess: "composed", its composed prototype, or "unseen_text", its class text (the direct method).

    Returns:
        Columns class, own, others_mean, nearest_other, nearest_other_cosine, own_rank (1: its own true
        prototype is the nearest).
    """
    names = predictions.names()
    cosine_UU = predictions.prototypes(guess) @ predictions.prototypes("true").T
    own, others = np.diag(cosine_UU), np.where(np.eye(len(names), dtype=bool), np.nan, cosine_UU)
    nearest = np.nanargmax(others, axis=1)
    content = {
        "class": names,
        "own": own,
        "others_mean": np.nanmean(others, axis=1),
        "nearest_other": [names[i] for i in nearest],
        "nearest_other_cosine": others[np.arange(len(names)), nearest],
        "own_rank": (cosine_UU >= own[:, None]).sum(1),
    }
    return pd.DataFrame(content).round(3)


def hub_table(predictions: Predictions, catalog: Catalog, method: str = BASELINE) -> pd.DataFrame:
    """A row an unseen class, the largest hub first: clips, N_1, N_1 a clip, hub or anti-hub, top-1 in percent.

    Raises:
        KeyError: the method was not scored.
    """
    table = occurrence_table(predictions.scores(method), predictions.targets(), predictions.names())
    content = {
        "clips": table["clips"],
        "N_1": table["occurrence"],
        "N_1 / clips": table["answers_per_clip"].map("{:.2f}".format),
        "": np.select([table["is_hub"], table["is_antihub"]], ["hub", "anti-hub"], ""),
        "top1_%": (100 * table["top1"]).map("{:.1f}".format),
    }
    return pd.DataFrame(content).set_axis(table["class"].map(_labels(catalog)).tolist())


def hubs_by_name(predictions: Predictions, catalog: Catalog) -> pd.DataFrame:
    """The classes predicted most and least often, by name: direct, transfer, and transfer with each reduction.

    All hubs are named (twice the expected N_1 or more), or the class predicted most often where there is none;
    all anti-hubs (N_1 of 0), or the class predicted least often.
    """
    labels, content = _labels(catalog), []

    def named(table: pd.DataFrame, kind: str) -> str:
        return ", ".join(
            f"{labels[name]} ({n}{kind})" for name, n in zip(table["class"], table["occurrence"])
        )

    for one in predictions.scored:
        own = one.candidates == "unseen" and one.prompt == predictions.prompt
        if not own or one.method not in ("direct", "transfer"):
            continue
        scores_BC = predictions.scores(**dict(zip(KEY, one.key)))
        table = occurrence_table(scores_BC, predictions.targets(), predictions.names())
        right = predictions.rows(**dict(zip(KEY, one.key)))["rank"] == 1
        reduced = one.reduction != "none"
        content.append(
            {
                "method": f"+ {REDUCTIONS[one.reduction].label}" if reduced else LABELS[one.method],
                "setting": one.setting,
                "top1_%": f"{100 * right.mean():.1f}",
                "N_1 expected": f"{len(right) / len(table):.1f}",
                "most predicted (N_1)": named(table[table["is_hub"]], ", hub") or named(table.head(1), ""),
                "least predicted (N_1)": named(table[table["is_antihub"]], ", anti-hub")
                or named(table.tail(1), ""),
            }
        )
    return pd.DataFrame(content).set_index("method").rename_axis(None)


# data and protocols


def left_out_table(catalog: Catalog, most: int = MOST_ROWS) -> Styler:
    """Every clip and file that cannot be used, with its whole reason; of more than `most`, the first of each status.

    All of them are in `catalog.excluded`.
    """
    rows = catalog.excluded[["path", "class", "status", "reason"]]
    each = max(1, most // max(1, rows["status"].nunique()))
    shown = rows if len(rows) <= most else rows.groupby("status").head(each)
    caption = f"{len(rows):,} clips and files"
    caption += f", {len(shown):,} of them shown" if len(shown) < len(rows) else ""
    styles = [
        {"selector": "th, td", "props": "text-align: left; white-space: normal; overflow-wrap: anywhere;"},
        {"selector": ".col1, .col2", "props": "overflow-wrap: normal; white-space: nowrap;"},
        {"selector": "caption", "props": "caption-side: top; text-align: left;"},
    ]
    return shown.style.hide(axis="index").format(escape="html").set_caption(caption).set_table_styles(styles)


def left_out_reasons(accounts: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """How many clips each protocol leaves out: a row a reason (without file names), a column a protocol.

    Args:
        accounts: of `account`, by the protocol's name.
    """
    columns = {}
    for name, table in accounts.items():
        reasons = table.loc[table["role"] == "left out", "reason"]
        columns[name] = reasons.str.split(":").str[0].value_counts()
    return pd.DataFrame(columns).fillna(0).astype(int).rename_axis(index=None)


def protocol_table(protocols: Mapping[str, Protocol]) -> pd.DataFrame:
    """A row a split: how many classes and clips of each kind, and its hash."""
    rows = {
        split: {
            "seen": len(p.seen),
            "validation": len(p.validation),
            "unseen": len(p.unseen),
            "train clips": len(p.train_clips),
            "held-out seen clips": len(p.seen_test_clips),
            "validation clips": len(p.validation_clips),
            "test clips": len(p.test_clips),
            "hash": p.hash,
        }
        for split, p in protocols.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def held_out_classes(protocols: Mapping[str, Protocol], catalog: Catalog) -> pd.DataFrame:
    """A column a split: the labels of its unseen, then of its validation classes, by family."""
    labels, classes = _labels(catalog), catalog.classes
    order = classes.sort_values(["family", "name"] if "family" in classes else ["name"])["name"]
    columns = {}
    for split, protocol in protocols.items():
        held = {}
        for kind in ("unseen", "validation"):
            names = [name for name in order if name in getattr(protocol, kind)]
            held |= {f"{kind} {number}": labels[name] for number, name in enumerate(names, start=1)}
        columns[split] = held
    return pd.DataFrame(columns).fillna("")


def leakage_table(
    audit: LeakageAudit, threshold: float | None = None, rules: Iterable[str] = SAME_NAME
) -> pd.DataFrame:
    """The pairs of a training and a test class that overlap, those that remove the training class first.

    Args:
        audit: of `audit` or `audit_classes`.
        threshold: cosine distance under which a training class is removed; None: the name rules alone.
        rules: the name rules that remove.

    Returns:
        A row for each pair that a name rule finds, and for each training class under the threshold with its
        nearest test class: labels, rule, distance (not without embeddings), removed ("yes", "no").

    Raises:
        ValueError: as `LeakageAudit.removed`.
    """
    removed = set(audit.removed(threshold, tuple(rules)))
    near = audit.pairs["distance"] < (0.0 if threshold is None else threshold)
    pairs = audit.pairs[(audit.pairs["rule"] != "embedding") | near]
    columns = {
        "training class": pairs["train_label"],
        "test class": pairs["test_label"],
        "rule": pairs["rule"],
    }
    if audit.distances_SU is not None:
        columns["distance"] = pairs["distance"].round(3)
    columns["removed"] = ["yes" if name in removed else "no" for name in pairs["train"]]
    return pd.DataFrame(columns).sort_values("removed", ascending=False, kind="stable", ignore_index=True)


def flags_as_text(flags: pd.DataFrame, n_classes: int) -> str:
    """The flags of `flags_of` as sentences, headed by how many of the texts have one."""
    n_flagged = flags["name"].nunique()
    share = f"{n_flagged} of {n_classes} class texts flagged ({100 * n_flagged / n_classes:.1f} %)"
    sentences = [f"- {name}: {sentence}." for name, sentence in zip(flags["name"], flags["sentence"])]
    return _wrapped([share + (":" if n_flagged else "."), *sentences])


def _labels(catalog: Catalog) -> dict[str, str]:
    return dict(zip(catalog.classes["name"], label(catalog.classes)))


def _splits(number: int) -> str:
    return f"{number} split{'s' * (number > 1)}"


def _wrapped(lines: Iterable[str]) -> str:
    """The lines cut at WIDTH; what begins with "- " goes on indented."""
    return "\n".join(
        textwrap.fill(line, WIDTH, subsequent_indent="  " if line.startswith("-") else "") for line in lines
    )
