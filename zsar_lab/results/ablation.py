"""The ablation: this reconstruction with one part changed at a time, on the same clips; what each part adds.

Accuracies are fractions, 0..1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from zsar_lab.embed.embeddings import ClipEmbeddings
from zsar_lab.methods.clips import INDUCTIVE, SplitClips, nearest_scores
from zsar_lab.methods.table import LABELS
from zsar_lab.methods.transfer import TransferSettings, compose_prototypes, weights_of
from zsar_lab.results.conventions import check_same_embeddings
from zsar_lab.results.predictions import Predictions
from zsar_lab.results.statistics import accuracy, differences, interval
from zsar_lab.text.embeddings import ClassEmbeddings
from zsar_lab.text.relatedness import KINDS

WHOLE, WITHOUT = "the whole system", "without transfer"
NEIGHBOURS, TEMPERATURE = "seen classes used", "temperature"
RELATEDNESS, SOURCE, REDUCTION = "relatedness", "seen prototypes", "hubness reduction"
TEXT, JOINT, LOSSES = "class text", "joint encoder", "losses"
KS, TAUS = (1, 3, 5, 10), (0.05, 0.1, 0.2, 0.3)
WITHOUT_TRANSFER = ("direct", "ridge", "ridge_centred")
JOINTLY, FUSED = ("match", "transfer_match", "direct_reranked", "transfer_reranked"), "transfer_match"
HOLDS, HOLDS_NOT = "holds in this reconstruction", "does not hold in this reconstruction"
OPEN, NOT_TESTED = "cannot be told from these splits", "not tested"
FEWEST_TRAININGS = 3  # for a claim about a training choice


@dataclass(frozen=True, eq=False)
class Ablation:
    """The whole system (transfer, with all settings chosen on validation classes) and every variant.

    Attributes:
        table: the whole system first, then the variants by aspect, none of an aspect that was not scored;
            columns aspect, variant; top1 (share of the clips of all splits), top1_low, top1_high; difference
            (of top1, variant less whole), difference_low, difference_high; same_in (splits in which
            validation chose this very variant); p, p_holm (over all variants), min_detectable: NaN for the
            whole system and where a variant is it in every split; claimed (p_holm <= 0.05).
        n_clips: scored, over all splits; n_classes: different unseen classes; n_splits; n_trainings:
            different checkpoints.
    """

    table: pd.DataFrame
    n_clips: int
    n_classes: int
    n_splits: int
    n_trainings: int

    def of(self, aspect: str) -> pd.DataFrame:
        """The variants of an aspect, none where it was not scored."""
        return self.table[self.table["aspect"] == aspect]


def ablate(
    splits: Sequence[Predictions],
    clips: Sequence[ClipEmbeddings],
    texts: ClassEmbeddings,
    classifiers: Sequence[np.ndarray] = (),
    losses: Mapping[str, Sequence[Predictions]] | None = None,
) -> Ablation:
    """Change one part of the system at a time, and compare it with the whole on the same clips.

    k, tau and the kind of relatedness are given one by one with the other two as validation chose them;
    another source of seen prototypes and another class text have settings chosen for them, as the whole
    system has.

    Args:
        splits: the predictions of one kind of protocol.
        clips: what each was scored from, in the same order.
        texts: the class texts of the training, of all classes.
        classifiers: for each split the `classifier_weights` of its model, as seen prototypes; none to leave
            that out.
        losses: for each loss that was left out of the training ("no alignment") the same splits trained so,
            compared by their transfer.

    Raises:
        ValueError: no split, embeddings or class texts other than those of the splits, another number of
            classifiers or of splits of a training, another protocol than the split's, or as
            `SplitClips.with_prototypes`.
    """
    check_same_embeddings(splits, clips)
    given = texts.class_text
    for split in splits:
        own = split.about["fingerprints"]["class_text"]
        if own != given.fingerprint:
            got = f"{given.prompt!r} ({given.fingerprint})"
            raise ValueError(
                f"class texts must be those of the training, {split.prompt!r} ({own}), got {got}"
            )
    if classifiers and len(classifiers) != len(splits):
        raise ValueError(
            f"classifier weights must be of all {len(splits)} splits or none, got {len(classifiers)}"
        )
    methods = [SplitClips.of(embedded, split.protocol) for embedded, split in zip(clips, splits, strict=True)]
    variants = [_of_method(splits, WITHOUT, method) for method in WITHOUT_TRANSFER]
    variants += _of_settings(splits, methods, texts)
    if classifiers:
        rows = []
        for split, of_split, weights_SD in zip(splits, methods, classifiers, strict=True):
            fitted = of_split.with_prototypes(weights_SD).fit(texts, "transfer")
            rows.append(split.rescored(fitted.scores(of_split.test)))
        variants.append((SOURCE, "classifier weights", rows, 0))
    keys = set.intersection(*({one.key for one in split.scored} for split in splits))
    of_transfer = [one for one in splits[0].scored if one.method == "transfer" and one.key in keys]
    for one in (one for one in of_transfer if one.candidates == "unseen" and one.setting == INDUCTIVE):
        if one.prompt == splits[0].prompt and one.reduction == "csls":
            variants.append(_of_method(splits, REDUCTION, variant="with CSLS, inductive", **one.where))
        elif one.prompt != splits[0].prompt:
            variants.append(_of_method(splits, TEXT, variant=one.prompt, **one.where))
    variants += [_of_method(splits, JOINT, method) for method in JOINTLY]
    variants += [(LOSSES, name, _of_training(name, splits, of), 0) for name, of in (losses or {}).items()]

    whole = [split.rows("transfer") for split in splits]
    words = "transfer, settings chosen on validation classes"
    scored = [(WHOLE, words, whole, len(splits)), *variants]
    table = pd.DataFrame([_row(*of) for of in scored])
    rows_of = [pd.concat(rows) for _, _, rows, _ in scored]
    pairs = [None if n == len(splits) else (rows, rows_of[0]) for n, rows in zip(table["same_in"], rows_of)]
    table = table.join(differences(pairs))
    points = ["difference", "difference_low", "difference_high"]
    table[points] = table[points].fillna(0.0)  # where a variant is the whole system
    labels = pd.concat([rows["label"] for rows in whole])
    n_trainings = len({split.about["fingerprints"]["checkpoint"] for split in splits})
    return Ablation(table, len(labels), labels.nunique(), len(splits), n_trainings)


def claims_against_findings(ablation: Ablation) -> pd.DataFrame:
    """What each part that the paper's abstract names adds in this reconstruction, by Holm's p and the signs.

    A claim holds when every comparison it rests on can be claimed in its favour, does not hold when one can
    be claimed against it and none for it, and otherwise cannot be told, nor can one on the training from
    fewer than three trainings. Of the paper only its abstract is known here, which does not say what each
    part
    gains, and the rest of the system is our reconstruction: no verdict is one on the paper.

    Returns:
        A row a claim: claim, verdict ("holds in this reconstruction", "does not hold in this reconstruction",
        "cannot be told from these splits" or "not tested"), rows (of `ablation.table`, on which it rests),
        beside (others that speak to it).
    """
    joint, losses = ablation.of(JOINT), ablation.of(LOSSES)
    is_fused = joint["variant"] == LABELS[FUSED]
    none = joint[:0]
    claims = (
        (
            "The abstract composes visual prototypes of unseen classes from those of seen ones, against"
            " information loss, the semantic gap and hubness. Then transfer should score above comparing"
            " clips with texts directly.",
            *(ablation.of(WITHOUT), none, -1),
        ),
        (
            "The abstract learns visual representations together with visual-semantic associations. Then"
            " leaving out a visual-semantic loss should cost.",
            *(losses, none, -1),
        ),
        (
            "The abstract encodes video and text labels jointly, end to end. Then the joint encoder's score"
            " added to transfer's should score above transfer alone.",
            *(joint[is_fused], joint[~is_fused], 1),
        ),
    )
    found = []
    for claim, rows, beside, gain in claims:
        signs = (np.sign(rows["difference"]) * gain)[rows["claimed"]].tolist()
        verdict = HOLDS_NOT if -1 in signs and 1 not in signs else OPEN
        if signs.count(1) == len(rows):
            verdict = HOLDS
        if rows is losses and ablation.n_trainings < FEWEST_TRAININGS:
            verdict = OPEN
        found.append((claim, NOT_TESTED if rows.empty else verdict, [*rows.index], [*beside.index]))
    return pd.DataFrame(found, columns=["claim", "verdict", "rows", "beside"])


# aspect, variant, its rows in each split, in how many splits it is the whole system
_Variant = tuple[str, str, list[pd.DataFrame], int]


def _row(aspect: str, variant: str, rows: list[pd.DataFrame], same_in: int) -> dict[str, object]:
    of_variant = pd.concat(rows)
    low, high = interval(of_variant)
    found = {"aspect": aspect, "variant": variant, "top1": accuracy(of_variant)}
    return found | {"top1_low": low, "top1_high": high, "same_in": same_in}


def _of_method(
    splits: Sequence[Predictions], aspect: str, method: str, variant: str = "", **where: str
) -> _Variant:
    return aspect, variant or LABELS[method], [split.rows(method, **where) for split in splits], 0


def _of_settings(
    splits: Sequence[Predictions], methods: Sequence[SplitClips], texts: ClassEmbeddings
) -> list[_Variant]:
    """Each of k, tau and the kind of relatedness given, the two others as validation chose them."""
    chosen = [TransferSettings(**split.find("transfer").settings) for split in splits]
    n_seen = [len(split.protocol.seen) for split in splits]
    changes: list[tuple[str, str, list[dict[str, Any]]]] = [
        (NEIGHBOURS, "all of them (dense)", [{"k": n} for n in n_seen])
    ]
    changes += [(NEIGHBOURS, f"k = {k}", [{"k": k}] * len(splits)) for k in KS if k < min(n_seen)]
    changes += [(TEMPERATURE, f"tau = {tau:g}", [{"tau": tau}] * len(splits)) for tau in TAUS]
    changes += [(RELATEDNESS, kind, [{"relatedness": kind}] * len(splits)) for kind in KINDS]
    variants = []
    for aspect, variant, changed in changes:
        rows, same_in = [], 0
        for split, of_split, own, change in zip(splits, methods, chosen, changed, strict=True):
            settings = replace(own, **change)
            weights = weights_of(of_split, texts, of_split.test.names, settings)
            prototypes = compose_prototypes(weights, of_split.seen_prototypes)
            rows.append(split.rescored(nearest_scores(of_split.test.embedding_BD, prototypes)))
            same_in += own == settings
        variants.append((aspect, variant, rows, same_in))
    return variants


def _of_training(
    name: str, splits: Sequence[Predictions], others: Sequence[Predictions]
) -> list[pd.DataFrame]:
    """What the transfer of another training predicts on the same splits."""
    if len(others) != len(splits):
        raise ValueError(f"{name!r} must have the same {len(splits)} splits, got {len(others)}")
    for split, other in zip(splits, others, strict=True):
        for what, own, its in (
            ("protocol", split.protocol.hash, other.protocol.hash),
            ("class text", *(one.about["fingerprints"]["class_text"] for one in (split, other))),
        ):
            if own != its:
                raise ValueError(f"{name!r} must share the {what} of {split.split!r}, {own}, got {its}")
    return [other.rows("transfer").assign(split=split.split) for split, other in zip(splits, others)]
