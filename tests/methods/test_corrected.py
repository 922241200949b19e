"""A method under every correction of hubness: how it is scored, compared, and shown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from planted_splits import TARGETS, UNSEEN, scores_of, split_of
from test_rescore import PROTOCOL, clips, good  # noqa: F401  (fixtures)
from zsar_lab.results.report import make_report

from zsar_lab.methods.clips import INDUCTIVE, TRANSDUCTIVE, ClipGroup, SplitClips, nearest_scores
from zsar_lab.methods.hubness_reduction import BETAS, FITS, KS, make_query_bank, reduced_scores
from zsar_lab.methods.metrics import top_k_accuracy
from zsar_lab.methods.transfer import TransferSettings, compose_prototypes
from zsar_lab.results.evaluate import MethodScores
from zsar_lab.results.statistics import holm, paired_difference, paired_p_value


@pytest.fixture(scope="module")
def methods(clips) -> SplitClips:  # noqa: F811
    return SplitClips.of(clips, PROTOCOL)


@pytest.fixture(scope="module")
def fitted(methods, good):  # noqa: F811
    return methods.fit(good, "transfer")


@pytest.fixture(scope="module")
def corrected(methods, fitted) -> dict[tuple[str, str], MethodScores]:
    return {
        (scored.method.removeprefix("transfer, "), scored.setting): scored
        for scored in reduced_scores(fitted, methods)
    }


def test_each_correction_is_there_in_both_settings(corrected):
    banked = [(name, setting) for setting in (INDUCTIVE, TRANSDUCTIVE) for name in FITS]
    assert list(corrected) == [("centring", INDUCTIVE), *banked]
    assert all(
        scored.method.startswith("transfer, ") and scored.class_text == "good"
        for scored in corrected.values()
    )
    assert all(np.isfinite(scored.scores_BC).all() for scored in corrected.values())


def test_centring_takes_the_training_mean_off_clips_and_prototypes(corrected, methods, fitted, good):  # noqa: F811
    mean = np.mean([row for row in methods.train.embedding_BD], axis=0)
    prototypes = compose_prototypes(
        methods.weights(good, methods.test.names, TransferSettings(**fitted.settings)),
        methods.seen_prototypes,
    )
    wanted = [
        [
            (clip - mean) @ (p - mean) / np.linalg.norm(clip - mean) / np.linalg.norm(p - mean)
            for p in prototypes
        ]
        for clip in methods.test.embedding_BD
    ]
    found = corrected["centring", INDUCTIVE]
    np.testing.assert_allclose(found.scores_BC, wanted, atol=1e-6)
    assert found.settings == fitted.settings
    with pytest.raises(
        ValueError, match="compares clips with points, 'direct, ridge' has none; take transfer"
    ):
        reduced_scores(methods.fit(good, "ridge"), methods)


@pytest.mark.parametrize("setting", [INDUCTIVE, TRANSDUCTIVE])
@pytest.mark.parametrize(
    ("name", "key", "values"),
    [("csls", "k", KS), ("inverted_softmax", "beta", BETAS), ("globally_corrected", None, (None,))],
)
def test_settings_are_the_best_on_validation_classes_and_the_bank_is_as_said(
    name, key, values, setting, corrected, methods, good, fitted
):  # noqa: F811
    """Written out once more, from prototypes on."""
    transfer = TransferSettings(**fitted.settings)
    n_most = min(len(PROTOCOL.validation), len(PROTOCOL.unseen))

    def scores(group: ClipGroup, names: tuple[str, ...]) -> np.ndarray:
        return nearest_scores(
            group.embedding_BD,
            compose_prototypes(methods.weights(good, names, transfer), methods.seen_prototypes),
        )

    def correct(group: ClipGroup, value: float | None) -> np.ndarray:
        looked_at = methods.train if setting == INDUCTIVE else group
        bank = make_query_bank(scores(looked_at, group.names), looked_at.ids, group.ids, methods.test.ids)
        return FITS[name](bank, **({key: value} if key else {})).apply(scores(group, group.names))

    tried = [value for value in values if key != "k" or value <= n_most]
    top1 = [
        top_k_accuracy(correct(methods.validation, value), methods.validation.targets, 1) for value in tried
    ]
    best = tried[int(np.argmax(top1))]
    found = corrected[name, setting]
    assert found.settings == fitted.settings | (
        {f"{name} {key}": best} if key else {}
    ) and found.validation_top1 == max(top1)
    np.testing.assert_allclose(found.scores_BC, correct(methods.test, best), atol=1e-12)


def test_only_a_transductive_score_depends_on_the_other_test_clips(methods, fitted, corrected):
    test = methods.test
    half = replace(
        methods, test=ClipGroup(test.names, test.ids[::2], test.embedding_BD[::2], test.targets[::2])
    )
    changed = set()
    for scored in reduced_scores(fitted, half):
        whole = corrected[scored.method.removeprefix("transfer, "), scored.setting]
        if not np.allclose(scored.scores_BC, whole.scores_BC[::2], atol=1e-9):
            changed.add(scored.setting)
    assert changed == {TRANSDUCTIVE}


# the comparison


def planted(number: int, gain: float) -> tuple[MethodScores, ...]:
    """Under one correction some more clips are right, under the other nothing changes; and the same by looking at the test clips."""
    luck = np.random.default_rng(number).random(len(TARGETS))  # as in split_of
    more, same = scores_of(luck < 0.4 + gain), scores_of(luck < 0.4)
    return tuple(
        MethodScores(f"transfer, {name}", "description", {"CSLS k": 1}, 0.5, scores, setting)
        for setting in (INDUCTIVE, TRANSDUCTIVE)
        for name, scores in (("csls", more), ("globally_corrected", same))
    )


@pytest.fixture(scope="module")
def report():
    splits = [
        replace(split_of(n, {"description": (0.4, (0.5, 0.7))}), corrected=planted(n, 0.3)) for n in range(2)
    ]
    return make_report("stratified, 2 splits, data", splits, "c", "f")


def test_each_row_is_compared_with_transfer_alone_clip_by_clip(report):
    classes = [UNSEEN[target] for _ in range(2) for target in TARGETS]
    alone = np.concatenate([r.method("transfer").scores_BC.argmax(1) == TARGETS for r in report.results])
    rows = report.compare_corrections()
    assert [(row.row.method, row.row.setting) for row in rows] == [
        (s.method, s.setting) for s in report.results[0].corrected
    ]
    for start in (0, 2):
        p = []
        for place in range(2):
            right = np.concatenate(
                [r.corrected[start + place].scores_BC.argmax(1) == TARGETS for r in report.results]
            )
            assert (rows[start + place].difference, rows[start + place].difference_ci95) == paired_difference(
                right, alone, classes
            )
            p.append(paired_p_value(right, alone, classes))
        assert [row.p for row in rows[start : start + 2]] == p
        assert [row.p_holm for row in rows[start : start + 2]] == holm(
            p
        ).tolist()  # among those of one setting
    assert (
        [row.claimed for row in rows] == [True, False, True, False]
        and rows[0].difference > 0.2
        and rows[1].difference == 0
    )


def test_the_report_keeps_them(report):
    kept = report.content()["corrections"]
    assert [row["row"]["setting"] for row in kept] == [INDUCTIVE, INDUCTIVE, TRANSDUCTIVE, TRANSDUCTIVE]
    assert {"difference", "difference_ci95", "p", "p_holm"} <= set(kept[0])
    assert {row["setting"] for row in report.content()["methods"]} == {INDUCTIVE}
