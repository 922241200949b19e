"""zsar_lab.results.ablation: one part changed at a time, each variant written out once more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import reference
from two_splits import MEANING, model_of, texts_of

from zsar_lab.methods import transfer
from zsar_lab.methods.clips import SplitClips
from zsar_lab.results import ablation as room
from zsar_lab.results.ablation import Ablation, ablate, claims_against_findings
from zsar_lab.results.statistics import accuracy, compare, holm, interval


@pytest.fixture(scope="module")
def classifiers(splits):
    return [transfer.classifier_weights(model_of(len(split.protocol.seen))) for split in splits]


@pytest.fixture(scope="module")
def ablation(splits, noisy, good, classifiers):
    return ablate(splits, noisy, good, classifiers, {"as it was": splits})


def row_of(found: Ablation, aspect: str, variant: str) -> pd.Series:
    rows = found.of(aspect)
    return rows[rows["variant"] == variant].iloc[0]


def right_of(split, embedded, good, prototypes_SD, settings: transfer.TransferSettings) -> np.ndarray:
    """Transfer written out once more: by plain loops where the reference has them (centred relatedness)."""
    names = split.protocol.unseen, split.protocol.seen
    unseen, seen = (good.pooled_CF[good.rows(of)].astype(float) for of in names)
    if settings.relatedness == "centred":
        related = reference.relatedness(unseen, seen)
        weights = reference.transfer_weights(related, settings.k, settings.tau)
    else:
        weights = transfer.weights_by_text(unseen, seen, settings)
    composed, right = transfer.compose_prototypes(weights, prototypes_SD), []
    for clip, target in zip(split.ids(), split.targets(), strict=True):
        cosine_U = (composed * embedded.embedding_ND[embedded.ids.index(clip)]).sum(1)
        right.append((cosine_U >= cosine_U[target]).sum() == 1)  # a tie is wrong
    return np.array(right)


def test_the_whole_system_is_transfer_as_it_was_scored(ablation, splits):
    row, rows = ablation.table.iloc[0], pd.concat([split.rows("transfer") for split in splits])
    assert (row["aspect"], row["difference"], row["claimed"]) == (room.WHOLE, 0, False) and np.isnan(row["p"])
    assert (row["top1"], row["top1_low"], row["top1_high"]) == (accuracy(rows), *interval(rows))
    counts = ablation.n_clips, ablation.n_classes, ablation.n_splits, ablation.n_trainings
    assert counts == (58, 11, 2, 1)
    # some variants differ, some are what validation chose, and there are 8 seen classes
    assert (ablation.of(room.NEIGHBOURS)["difference"] != 0).any() and (
        ablation.table["same_in"][1:] == 2
    ).any()
    assert "k = 10" not in set(ablation.table["variant"])


@pytest.mark.parametrize(
    ("aspect", "changes"),
    [
        (room.NEIGHBOURS, {"all of them (dense)": {"k": 8}, **{f"k = {k}": {"k": k} for k in (1, 3, 5)}}),
        (room.TEMPERATURE, {f"tau = {tau:g}": {"tau": tau} for tau in (0.05, 0.1, 0.2, 0.3)}),
        (room.RELATEDNESS, {kind: {"relatedness": kind} for kind in ("plain", "centred", "whitened")}),
    ],
)
def test_one_setting_is_given_and_the_others_stay(ablation, splits, noisy, good, aspect, changes):
    assert ablation.of(aspect)["variant"].tolist() == list(changes)
    chosen = [transfer.TransferSettings(**split.find("transfer").settings) for split in splits]
    for variant, change in changes.items():
        row, given = row_of(ablation, aspect, variant), [replace(own, **change) for own in chosen]
        right = [
            right_of(split, of_split, good, split.prototypes("seen"), settings)
            for split, of_split, settings in zip(splits, noisy, given, strict=True)
        ]
        assert row["top1"] == pytest.approx(np.concatenate(right).mean())
        assert row["same_in"] == sum(a == b for a, b in zip(given, chosen, strict=True))
        assert np.isnan(row["p"]) == np.isnan(row["min_detectable"]) == (row["same_in"] == 2)
        if row["same_in"] == 2:
            assert (row["difference"], row["top1"]) == (0, ablation.table.loc[0, "top1"])


def test_every_row_is_a_paired_comparison_adjusted_over_all(ablation, splits):
    whole = pd.concat([split.rows("transfer") for split in splits])
    for aspect, method, where in (
        (room.WITHOUT, "direct", {}),
        (room.JOINT, "match", {}),
        (room.JOINT, "transfer_match", {}),
        (room.TEXT, "transfer", {"prompt": "vague"}),
        (room.REDUCTION, "transfer", {"reduction": "csls"}),
    ):
        rows = pd.concat([split.rows(method, **where) for split in splits])
        labels = {"transfer_match": "transfer + match"}
        variant = {room.TEXT: "vague", room.REDUCTION: "with CSLS, inductive"}.get(
            aspect, labels.get(method, method)
        )
        row, pair = row_of(ablation, aspect, variant), compare(rows, whole)
        assert row["top1"] == accuracy(rows)
        found = row[["difference", "difference_low", "difference_high", "p", "min_detectable"]]
        assert tuple(found) == (pair.difference, pair.low, pair.high, pair.p, pair.min_detectable)
    compared = ablation.table[ablation.table["p"].notna()]
    assert compared["p_holm"].tolist() == holm(compared["p"]).tolist()
    assert len(compared) < len(ablation.table) - 1
    assert (ablation.table["claimed"] == (ablation.table["p_holm"] <= 0.05)).all()
    variants = ["direct", "direct, ridge", "direct, ridge centred"]
    assert ablation.of(room.WITHOUT)["variant"].tolist() == variants


def test_classifier_weights_as_prototypes_have_settings_of_their_own(
    ablation, splits, noisy, good, classifiers
):
    right = []
    for split, of_split, weights_SD in zip(splits, noisy, classifiers, strict=True):
        names = split.protocol.validation, split.protocol.seen
        texts = [good.pooled_CF[good.rows(of)].astype(float) for of in names]
        clips_V = SplitClips.of(of_split, split.protocol).validation
        grid = transfer.settings_grid(len(weights_SD))
        chosen, _ = transfer.choose_settings(clips_V.embedding_BD, clips_V.targets, *texts, weights_SD, grid)
        right.append(right_of(split, of_split, good, weights_SD, chosen))
    top1 = np.concatenate(right).mean()
    assert row_of(ablation, room.SOURCE, "classifier weights")["top1"] == pytest.approx(top1)


def test_a_training_is_compared_clip_by_clip_whatever_the_order_of_its_clips(splits, noisy, good):
    class Shuffled:
        """The predictions of another training: a third of the clips wrong, in another order."""

        def __init__(self, split):
            self.split, self.protocol, self.about = split.split, split.protocol, split.about
            rows = split.rows("transfer")
            rank = np.where(np.arange(len(rows)) < len(rows) // 3, 9, rows["rank"])
            self.shuffled = rows.assign(rank=rank).sample(frac=1, random_state=0)

        def rows(self, method):
            return self.shuffled

    others = [Shuffled(split) for split in splits]
    found = ablate(splits, noisy, good, losses={"as it was": splits, "no alignment": others})
    same, less = (row_of(found, room.LOSSES, name) for name in ("as it was", "no alignment"))
    assert (same["difference"], same["p"]) == (0, 1)
    pair = compare(*(pd.concat([of.rows("transfer") for of in both]) for both in (others, splits)))
    assert (less["difference"], less["p"]) == (pair.difference, pair.p) and less["difference"] < -0.1
    assert found.of(room.SOURCE).empty  # no classifier weights were given


def test_what_does_not_go_together_is_refused(splits, noisy, good, classifiers):
    class Other:
        """Predictions with other class texts."""

        def __init__(self, split):
            self.split, self.protocol = split.split, split.protocol
            self.about = {"fingerprints": split.about["fingerprints"] | {"class_text": "x"}}

    for changes, words in (
        ({"texts": texts_of("vague", MEANING)}, "'good'.*got 'vague'"),
        ({"classifiers": classifiers[:1]}, "all 2 splits or none, got 1"),
        ({"losses": {"no alignment": splits[:1]}}, "'no alignment' must have the same 2 splits, got 1"),
        ({"losses": {"no alignment": splits[::-1]}}, "'no alignment' must share the protocol of 'split 0'"),
        ({"losses": {"no alignment": [Other(s) for s in splits]}}, "the class text of 'split 0', .*, got x"),
        ({"splits": [], "clips": []}, "got 0 splits and 0"),
    ):
        with pytest.raises(ValueError, match=words):
            ablate(**{"splits": splits, "clips": noisy, "texts": good} | changes)


# claims

VARIANTS = {room.WITHOUT: "direct", room.LOSSES: "no alignment", room.JOINT: "transfer + match"}


def verdicts(rows: list[tuple], n_trainings: int = 3) -> list[str]:
    """Of planted rows: aspect, variant, difference, Holm's p."""
    table = pd.DataFrame(
        [(room.WHOLE, "", 0.0, np.nan), *rows], columns=["aspect", "variant", "difference", "p_holm"]
    )
    table["claimed"] = table["p_holm"] <= 0.05
    return claims_against_findings(Ablation(table, 900, 24, 3, n_trainings))["verdict"].tolist()


@pytest.mark.parametrize(
    ("rows", "verdict"),
    [
        ([(-0.1, 0.01), (-0.2, 0.05)], room.HOLDS),
        ([(-0.1, 0.01), (-0.2, 0.06)], room.OPEN),  # one cannot be claimed
        ([(0.1, 0.01), (-0.2, 0.06)], room.HOLDS_NOT),
        ([(0.1, 0.01), (-0.2, 0.01)], room.OPEN),  # one for it, one against it
        ([(-0.3, 0.2), (0.3, 0.2)], room.OPEN),
        ([], room.NOT_TESTED),
    ],
)
@pytest.mark.parametrize(("aspect", "number"), [(room.WITHOUT, 0), (room.LOSSES, 1)])
def test_a_claim_holds_when_all_that_speak_to_it_are_for_it(rows, verdict, aspect, number):
    found = verdicts([(aspect, VARIANTS[aspect], *row) for row in rows])
    assert found.pop(number) == verdict and found == [room.NOT_TESTED] * 2


@pytest.mark.parametrize(
    ("row", "verdict"), [((0.1, 0.01), room.HOLDS), ((-0.1, 0.01), room.HOLDS_NOT), ((0.1, 0.5), room.OPEN)]
)
def test_joint_encoding_is_judged_by_what_it_adds_and_two_trainings_claim_nothing(row, verdict):
    assert (
        verdicts([(room.JOINT, "match", -0.3, 0.001), (room.JOINT, "transfer + match", *row)])[2] == verdict
    )
    of_training = (room.LOSSES, "no alignment", -0.2, 0.01)
    assert [verdicts([of_training], n)[1] for n in (2, 3)] == [room.OPEN, room.HOLDS]


def test_verdicts_name_the_rows_that_they_rest_on(ablation):
    of_transfer, losses, joint = claims_against_findings(ablation).itertuples()
    assert of_transfer.rows == ablation.of(room.WITHOUT).index.tolist()
    assert losses.rows == ablation.of(room.LOSSES).index.tolist() and losses.verdict == room.OPEN
    beside = ["transfer + match", "match", "direct, best by match", "transfer, best by match"]
    assert ablation.table.loc[joint.rows + joint.beside, "variant"].tolist() == beside
