"""METHODS and REDUCTIONS: what a split is scored with, by identifier, and how each is called in tables and figures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Method:
    """How clips are scored against classes; `label` is its name in tables and figures."""

    name: str
    label: str


@dataclass(frozen=True)
class Reduction:
    """What sits on top of a method: a hubness reduction, or calibrated stacking."""

    name: str
    label: str


METHODS = {
    method.name: method
    for method in (
        Method("direct", "direct"),
        Method("ridge", "direct, ridge"),
        Method("ridge_centred", "direct, ridge centred"),
        Method("transfer", "transfer"),
        Method("match", "match"),
        Method("transfer_match", "transfer + match"),
        Method("direct_reranked", "direct, best by match"),
        Method("transfer_reranked", "transfer, best by match"),
    )
}
REDUCTIONS = {
    reduction.name: reduction
    for reduction in (
        Reduction("none", "none"),
        Reduction("centring", "centring"),
        Reduction("csls", "CSLS"),
        Reduction("globally_corrected", "globally corrected"),
        Reduction("inverted_softmax", "inverted softmax"),
        Reduction("qb_norm", "QB-Norm"),
        Reduction("local_scaling", "local scaling"),
        Reduction("mutual_proximity", "mutual proximity"),
        Reduction("calibrated_stacking", "calibrated stacking"),
    )
}
UPPER_BOUND, SEEN = "upper_bound", "seen"  # scored beside the methods; not zero-shot
LABELS = {name: method.label for name, method in METHODS.items()} | {
    UPPER_BOUND: "upper bound (true prototypes, not zero-shot)",
    SEEN: "nearest seen prototype",
}
