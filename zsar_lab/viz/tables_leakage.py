"""The leakage audit as a table for reading."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from zsar_lab.protocols.leakage import SAME_NAME, LeakageAudit


def leakage_table(
    audit: LeakageAudit, threshold: float | None = None, rules: Sequence[str] = SAME_NAME
) -> pd.DataFrame:
    """The pairs of a training and a test class that overlap, those that remove the training class first.

    Args:
        audit: of `audit` or `audit_classes`.
        threshold: cosine distance under which a training class is removed; None: the name rules alone.
        rules: the name rules that remove.

    Returns:
        A row for each pair that a name rule finds, and for each training class under the threshold with its
        nearest test class; training class, test class (labels), rule, distance (three decimals; no column
        without embeddings), removed ("yes", "no").

    Raises:
        ValueError: as `LeakageAudit.removed`.
    """
    removed = set(audit.removed(threshold, rules))
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
