"""A bank: the scores of other clips for the same classes, which a correction of hubness is fitted on (see `corrections`).

Shapes: N bank clips, C candidate classes.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

INDUCTIVE, TRANSDUCTIVE = "inductive", "transductive"
LARGEST = 1e100  # of a score in size, so that no sum, square or product of scores leaves float64


@dataclass(frozen=True, eq=False)
class Bank:
    """Scores of clips for the candidate classes, checked when made; `make_bank` finds its setting.

    Attributes:
        scores_NC: float64 [N, C], larger is nearer, by the method that is corrected; the classes in the order
            of the scores to correct.
        ids: of the clips.
        setting: "transductive" when it holds a clip that is scored or of the test set, else "inductive".
        n_test: how many of its clips are of the test set.

    Raises:
        ValueError: no clip or no class, a score that is not finite, another number of ids than of clips, or a
            setting that does not fit.
    """

    scores_NC: np.ndarray
    ids: tuple[str, ...]
    setting: str
    n_test: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "scores_NC", checked_rows("the scores of a bank", self.scores_NC))
        if not self.scores_NC.size:
            raise ValueError(
                f"a bank must hold at least one clip and one class, got shape {self.scores_NC.shape}; give it training clips"
            )
        if len(self.ids) != len(self.scores_NC):
            raise ValueError(
                f"a bank must have an id for each clip, got {len(self.ids)} ids and scores of {len(self.scores_NC)} clips"
            )
        allowed = (TRANSDUCTIVE,) if self.n_test else (INDUCTIVE, TRANSDUCTIVE)
        if self.setting not in allowed:
            method = f"the setting of a bank with {self.n_test} test clips must be {' or '.join(allowed)}"
            raise ValueError(f"{method}, got {self.setting!r}; take make_bank")


def make_bank(
    scores_NC: np.ndarray,
    ids: Sequence[str],
    scored_ids: Collection[str],
    test_ids: Collection[str],
    inductive_only: bool = False,
) -> Bank:
    """A bank whose setting follows from its clips: "transductive" when one of them is scored or of the test set, else "inductive".

    Args:
        scores_NC: [N, C], larger is nearer, by the method that is corrected; classes in the order of the
            scores to correct.
        ids: of the N clips.
        scored_ids: the clips whose scores will be corrected (validation clips when settings are chosen).
        test_ids: all clips of the test set; under a generalised protocol the held-out clips of seen classes
            too.
        inductive_only: refuse a transductive bank.

    Raises:
        ValueError: `inductive_only` and it is transductive, no scored clip is named, or as `Bank`.
    """
    if not len(scored_ids):
        raise ValueError("a bank must be told which clips are scored, got none; give their ids")
    test, scored = set(test_ids), set(scored_ids)
    looked_at = [clip for clip in ids if clip in test or clip in scored]
    if inductive_only and looked_at:
        raise ValueError(
            f"an inductive bank must hold no clip that is scored or of the test set, got {len(looked_at)} of them, the first"
            f" {looked_at[0]!r}; take training clips alone"
        )
    return Bank(
        scores_NC,
        tuple(ids),
        TRANSDUCTIVE if looked_at else INDUCTIVE,
        sum(clip in test for clip in looked_at),
    )


def checked_rows(what: str, rows: np.ndarray, width: int | None = None, cure: str = "") -> np.ndarray:
    """The rows as float64 [any, width]; `what` and `cure` are words for the messages.

    Raises:
        ValueError: not two axes, a value that is not finite or over 1e100 in size, or another width.
    """
    rows = np.asarray(rows, dtype=float)
    if rows.ndim != 2:
        raise ValueError(f"{what} must have two axes, clips or classes first, got shape {rows.shape}")
    if width is not None and rows.shape[1] != width:
        raise ValueError(f"{what} must have {width} columns, got {rows.shape[1]}; {cure}")
    bad = ~(np.abs(rows) <= LARGEST)
    if bad.any():
        raise ValueError(
            f"{what} must be finite and at most {LARGEST:g} in size, got {int(bad.sum())} that are not; look at the embeddings"
        )
    return rows
