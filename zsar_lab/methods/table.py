"""METHODS: what a split is scored with, by identifier; adding a method is one entry here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from zsar_lab.methods.clips import Fitted
from zsar_lab.methods.direct import fit_direct, fit_match
from zsar_lab.methods.fusion import MATCH_WEIGHTS, N_RERANKED, fit_fused, fit_reranked
from zsar_lab.methods.hubness_reduction import REDUCTIONS
from zsar_lab.methods.kernel_ridge import KERNEL_PENALTIES, fit_kernel_ridge
from zsar_lab.methods.ridge import PENALTIES, fit_ridge
from zsar_lab.methods.transfer import TAUS, fit_transfer


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


fit_ridge_centred = partial(fit_ridge, centred=True)
METHODS = {
    method.name: method
    for method in (  # a fit reads those above it
        Method("direct", "direct", fit_direct, generalised=True),
        Method("ridge", "direct, ridge", fit_ridge, "texts", generalised=True),
        Method("ridge_centred", "direct, ridge centred", fit_ridge_centred, "texts", generalised=True),
        Method("transfer", "transfer", fit_transfer, "texts", generalised=True),
        Method("kernel_ridge", "kernel ridge", fit_kernel_ridge, "texts", generalised=True),
        Method("match", "match", fit_match),
        Method("transfer_match", "transfer + match", fit_fused),
        Method("direct_reranked", "direct, best by match", partial(fit_reranked, base="direct")),
        Method("transfer_reranked", "transfer, best by match", fit_reranked),
    )
}
GRIDS = {  # of settings, as `Fitted.settings` names them; transfer's k, from 1 to all, has no edge
    "penalty": PENALTIES,
    "kernel_penalty": KERNEL_PENALTIES,
    "tau": TAUS,
    "match_weight": MATCH_WEIGHTS,
    "m": N_RERANKED,
} | {f"{name}_{reduction.key}": reduction.grid for name, reduction in REDUCTIONS.items() if reduction.key}
# nothing lies below their least: off, or one neighbour
FROM_THE_LEAST = ("match_weight", "m", "csls_k", "local_scaling_k")
TEXT_METHODS = tuple(name for name, method in METHODS.items() if method.needs == "texts")
UPPER_BOUND, SEEN = "upper_bound", "seen"  # scored beside the methods; not zero-shot
LABELS = {name: method.label for name, method in METHODS.items()} | {
    UPPER_BOUND: "upper bound (true prototypes, not zero-shot)",
    SEEN: "nearest seen prototype",
}


def at_edge(setting: str, value: Any) -> bool:
    """Whether a value is an end of its setting's grid, beyond which a better one might lie."""
    grid = GRIDS.get(setting, ())
    return value in (grid[-1:] if setting in FROM_THE_LEAST else grid[:1] + grid[-1:])
