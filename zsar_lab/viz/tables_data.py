"""Tables for reading of splits, of the data and of class texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from zsar_lab.data.catalog import Catalog
from zsar_lab.methods.hubness_reduction import REDUCTIONS
from zsar_lab.methods.table import LABELS
from zsar_lab.protocols.leakage import SAME_NAME, LeakageAudit
from zsar_lab.protocols.protocol import Protocol
from zsar_lab.results.hubness import occurrence_table
from zsar_lab.results.predictions import KEY, Predictions
from zsar_lab.viz.figures.style import by_family, labels_of
from zsar_lab.viz.tables import wrapped

MOST_ROWS = 200


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


def hub_table(predictions: Predictions, catalog: Catalog, method: str = "transfer") -> pd.DataFrame:
    """A row an unseen class, the largest hub first: clips, N_1, N_1 a clip, its kind, top-1 in percent.

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
    return pd.DataFrame(content).set_axis(table["class"].map(labels_of(catalog)).tolist())


def hubs_by_name(predictions: Predictions, catalog: Catalog) -> pd.DataFrame:
    """The classes predicted most and least often: direct, transfer, and transfer with each reduction.

    All hubs are named (twice the expected N_1 or more) or, of none, the class predicted most often; all
    anti-hubs (N_1 of 0), or the class predicted least often.
    """
    labels, content = labels_of(catalog), []

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
    """Every clip and file that cannot be used, with its reason; of more than `most`, some of each status.

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
    """How many clips each protocol leaves out: a row a reason (without file names), a column a protocol."""
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
    labels, columns = labels_of(catalog), {}
    for split, protocol in protocols.items():
        columns[split] = {
            f"{kind} {number}": labels[names[place]]
            for kind, names in (("unseen", protocol.unseen), ("validation", protocol.validation))
            for number, place in enumerate(by_family(names, catalog), start=1)
        }
    return pd.DataFrame(columns).fillna("")


def leakage_table(
    audit: LeakageAudit, threshold: float | None = None, rules: Iterable[str] = SAME_NAME
) -> pd.DataFrame:
    """The pairs of a training and a test class that overlap, those that remove the training class first.

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
    return wrapped([share + (":" if n_flagged else "."), *sentences])
