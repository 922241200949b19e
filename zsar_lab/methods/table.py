"""METHODS and REDUCTIONS: what a split is scored with, by identifier; adding a method is one entry here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from zsar_lab.methods.clips import Fitted
from zsar_lab.methods.direct import fit_direct, fit_match
from zsar_lab.methods.fusion import fit_fused, fit_reranked
from zsar_lab.methods.hubness_reduction import BETAS, FITS, KS
from zsar_lab.methods.ridge import fit_ridge
from zsar_lab.methods.transfer import fit_transfer


@dataclass(frozen=True)
class Method:
    """How clips are scored against classes.

    Attributes:
        name: its identifier in the predictions table.
        label: its name in tables and figures.
        fit: from the split's clips, the class texts and the methods fitted so far, by name, to a `Fitted`.
        needs: "texts" alone: it is scored with every prompt; "model": the trained model, with its own prompt.
        generalised: it is scored with seen and unseen classes as candidates too.
    """

    name: str
    label: str
    fit: Callable[[Any, Any, dict[str, Fitted]], Fitted]
    needs: str = "model"
    generalised: bool = False


@dataclass(frozen=True)
class Reduction:
    """What sits on top of a method: a hubness reduction with its grid, or calibrated stacking."""

    name: str
    label: str
    fit: Callable[..., Any] | None = None
    key: str = ""
    grid: tuple[Any, ...] = ()

    def settings(self, most: int) -> list[dict[str, Any]]:
        """The settings tried: k up to `most`, the number of classes and clips there are."""
        grid = [value for value in self.grid if self.key != "k" or value <= most]
        return [{self.key: value} for value in grid] if self.key else [{}]


fit_ridge_centred = partial(fit_ridge, centred=True)
METHODS = {
    method.name: method
    for method in (  # a fit reads those above it
        Method("direct", "direct", fit_direct, generalised=True),
        Method("ridge", "direct, ridge", fit_ridge, "texts", generalised=True),
        Method("ridge_centred", "direct, ridge centred", fit_ridge_centred, "texts", generalised=True),
        Method("transfer", "transfer", fit_transfer, "texts", generalised=True),
        Method("match", "match", fit_match),
        Method("transfer_match", "transfer + match", fit_fused),
        Method("direct_reranked", "direct, best by match", partial(fit_reranked, base="direct")),
        Method("transfer_reranked", "transfer, best by match", fit_reranked),
    )
}
REDUCTIONS = {
    reduction.name: reduction
    for reduction in (
        Reduction("none", "none"),
        Reduction("centring", "centring"),
        Reduction("csls", "CSLS", FITS["csls"], "k", KS),
        Reduction("globally_corrected", "globally corrected", FITS["globally_corrected"]),
        Reduction("inverted_softmax", "inverted softmax", FITS["inverted_softmax"], "beta", BETAS),
        Reduction("qb_norm", "QB-Norm", FITS["qb_norm"], "beta", BETAS),
        Reduction("local_scaling", "local scaling", FITS["local_scaling"], "k", KS),
        Reduction("mutual_proximity", "mutual proximity", FITS["mutual_proximity"]),
        Reduction("calibrated_stacking", "calibrated stacking"),
    )
}
TEXT_METHODS = tuple(name for name, method in METHODS.items() if method.needs == "texts")
UPPER_BOUND, SEEN = "upper_bound", "seen"  # scored beside the methods; not zero-shot
LABELS = {name: method.label for name, method in METHODS.items()} | {
    UPPER_BOUND: "upper bound (true prototypes, not zero-shot)",
    SEEN: "nearest seen prototype",
}
