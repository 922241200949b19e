"""zsar_lab.results.ablation and TextMethods.with_prototypes: variants written out once more, and verdicts from planted differences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import reference
from test_conventions import clips, model_of, results, scored_split  # noqa: F401  (fixtures)
from test_rescore import MEANING, texts_of

from zsar_lab.methods.fitted import TEXT_METHODS, TextMethods
from zsar_lab.methods.query_bank import INDUCTIVE
from zsar_lab.methods.transfer import (
    TransferSettings,
    choose_settings,
    classifier_weights,
    compose_prototypes,
    settings_grid,
    weights_by_text,
)
from zsar_lab.results.ablation import (
    CONTRADICTED,
    CORRECTION,
    FUSED,
    JOINT,
    KS,
    LOSSES,
    MATCH,
    NEIGHBOURS,
    NOT_TESTED,
    OPEN,
    RELATEDNESS,
    RERANKED,
    SOURCE,
    SUPPORTED,
    TEMPERATURE,
    TEXT,
    WITHOUT,
    Ablation,
    AblationRow,
    ablate,
    claims_against_findings,
)
from zsar_lab.results.evaluate import DIRECT, RIDGE, RIDGE_CENTRED, TRANSFER
from zsar_lab.results.report import method_row
from zsar_lab.results.statistics import holm, paired_difference, paired_p_value, smallest_detectable


@pytest.fixture(scope="module")
def good():
    return texts_of("good", MEANING)


@pytest.fixture(scope="module")
def classifiers(results):  # noqa: F811
    return [classifier_weights(model_of(len(result.protocol.seen))) for result in results]


@pytest.fixture(scope="module")
def ablation(results, clips, good, classifiers):  # noqa: F811
    return ablate(results, clips, good, classifiers, {"as it was": results})


def row_of(found: Ablation, aspect: str, variant: str) -> AblationRow:
    return next(row for row in found.of(aspect) if row.variant == variant)


def right_of(result, embedded, good, prototypes_SD, settings: TransferSettings) -> np.ndarray:
    """Transfer written out once more: by plain loops where the reference has them (centred relatedness)."""
    protocol = result.protocol
    unseen, seen = (
        good.pooled_CF[good.rows(names)].astype(float) for names in (protocol.unseen, protocol.seen)
    )
    weights = (
        reference.transfer_weights(reference.relatedness(unseen, seen), settings.k, settings.tau)
        if settings.relatedness == "centred"
        else weights_by_text(unseen, seen, settings)
    )
    composed = compose_prototypes(weights, prototypes_SD)
    right = []
    for clip, target in zip(result.ids, result.targets, strict=True):
        cosine_U = (composed * embedded.embedding_ND[embedded.ids.index(clip)]).sum(1)
        right.append(
            (cosine_U >= cosine_U[target]).sum() == 1
        )  # with k = 1 two classes may have one prototype: a tie, which is not right
    return np.array(right)


def test_the_whole_system_is_transfer_as_it_was_scored(ablation, results):  # noqa: F811
    row, wanted = ablation.whole, method_row(results, [result.method(TRANSFER) for result in results])
    assert (row.top1, row.splits, row.ci95) == (wanted.top1, wanted.splits, wanted.ci95)
    assert (row.difference, row.p, row.claimed) == (0, None, False)
    assert (ablation.n_clips, ablation.n_classes, ablation.n_trainings) == (58, 11, 1)


@pytest.mark.parametrize(
    ("aspect", "changes"),
    [
        (NEIGHBOURS, {"all of them (dense)": {"k": 8}, **{f"k = {k}": {"k": k} for k in (1, 3, 5)}}),
        (TEMPERATURE, {f"tau = {tau:g}": {"tau": tau} for tau in (0.05, 0.1, 0.2, 0.3)}),
        (RELATEDNESS, {kind: {"relatedness": kind} for kind in ("plain", "centred", "whitened")}),
    ],
)
def test_one_setting_is_given_and_the_others_stay(ablation, results, clips, good, aspect, changes):  # noqa: F811
    assert [row.variant for row in ablation.of(aspect)] == list(changes)
    for variant, change in changes.items():
        row, chosen = (
            row_of(ablation, aspect, variant),
            [TransferSettings(**r.method(TRANSFER).settings) for r in results],
        )
        given = [replace(settings, **change) for settings in chosen]
        right = [
            right_of(r, e, good, r.prototypes["seen"], s)
            for r, e, s in zip(results, clips, given, strict=True)
        ]
        assert row.splits == pytest.approx([of_split.mean() for of_split in right])
        assert row.same_in == sum(a == b for a, b in zip(given, chosen, strict=True))
        assert (row.p is None) == (row.same_in == 2) == (row.detectable is None)
        if row.same_in == 2:
            assert (row.difference, row.splits) == (0, ablation.whole.splits)


def test_some_variants_differ_and_some_are_what_validation_chose(ablation):
    assert any(row.same_in == 2 for row in ablation.rows) and any(
        row.difference != 0 for row in ablation.of(NEIGHBOURS)
    )
    assert 10 in KS and not [
        row for row in ablation.rows if row.variant == "k = 10"
    ]  # there are 8 seen classes


def test_every_row_is_a_paired_comparison_adjusted_over_all(ablation, results):  # noqa: F811
    classes = [name for r in results for name in np.array(r.protocol.unseen)[r.targets]]
    right = {
        name: np.concatenate([r.method(name).scores_BC.argmax(1) == r.targets for r in results])
        for name in (TRANSFER, DIRECT, MATCH, FUSED)
    }
    for aspect, name in ((WITHOUT, DIRECT), (JOINT, MATCH), (JOINT, FUSED)):
        row = row_of(ablation, aspect, name)
        assert (row.difference, row.difference_ci95) == paired_difference(
            right[name], right[TRANSFER], classes
        )
        assert row.p == paired_p_value(right[name], right[TRANSFER], classes)
        gained = {c: 0.0 for c in sorted(set(classes))}
        for c, one, other in zip(classes, right[name], right[TRANSFER], strict=True):
            gained[c] += (float(one) - float(other) - row.difference) * 11 / len(classes)
        assert row.detectable == pytest.approx(
            smallest_detectable(float(np.std(list(gained.values()), ddof=1)), 11)
        )
    compared = [row for row in ablation.rows if row.p is not None]
    assert [row.p_holm for row in compared] == holm([row.p for row in compared]).tolist() and len(
        compared
    ) < len(ablation.rows)
    assert [row.variant for row in ablation.of(WITHOUT)] == [DIRECT, RIDGE, RIDGE_CENTRED]


def test_text_and_correction_are_those_of_the_splits(ablation, results):  # noqa: F811
    for row, scored in (
        (
            row_of(ablation, TEXT, "vague"),
            [next(s for s in r.texts if (s.method, s.class_text) == (TRANSFER, "vague")) for r in results],
        ),
        (
            row_of(ablation, CORRECTION, "with CSLS, inductive"),
            [
                next(s for s in r.corrected if (s.method, s.setting) == ("transfer, CSLS", INDUCTIVE))
                for r in results
            ],
        ),
    ):
        assert row.top1 == method_row(results, scored).top1


def test_classifier_weights_as_prototypes_have_settings_of_their_own(
    ablation, results, clips, good, classifiers
):  # noqa: F811
    right = []
    for result, embedded, weights_SD in zip(results, clips, classifiers, strict=True):
        methods = TextMethods.of(embedded, result.protocol)
        text = [
            good.pooled_CF[good.rows(names)].astype(float)
            for names in (result.protocol.validation, result.protocol.seen)
        ]
        chosen, _ = choose_settings(
            methods.validation.embedding_BD,
            methods.validation.targets,
            *text,
            weights_SD,
            settings_grid(len(weights_SD)),
        )
        right.append(right_of(result, embedded, good, weights_SD, chosen))
    assert row_of(ablation, SOURCE, "classifier weights").splits == pytest.approx(
        [of_split.mean() for of_split in right]
    )


def test_the_class_means_given_as_prototypes_change_nothing(results, clips, good):  # noqa: F811
    methods = TextMethods.of(clips[0], results[0].protocol)
    again = methods.with_prototypes(3 * methods.seen_prototypes.astype(np.float32))  # of any length
    np.testing.assert_allclose(np.linalg.norm(again.seen_prototypes, axis=1), 1)
    for name in TEXT_METHODS:
        fits = [given.fit(good, name) for given in (methods, again)]
        assert fits[0].settings == fits[1].settings
        np.testing.assert_allclose(*(fitted.scores(methods.test) for fitted in fits), atol=1e-6)
    order = np.arange(8)[::-1]
    assert not np.allclose(
        methods.with_prototypes(methods.seen_prototypes[order]).fit(good, TRANSFER).scores(methods.test),
        fits[0].scores(methods.test),
    )


def test_prototypes_that_do_not_fit_are_refused(results, clips):  # noqa: F811
    methods = TextMethods.of(clips[0], results[0].protocol)
    for wrong in (methods.seen_prototypes[:-1], methods.seen_prototypes[:, :5], methods.seen_prototypes[0]):
        with pytest.raises(
            ValueError,
            match=r"seen prototypes must be \[8, 16\] \(seen classes, width of the clips\), got \[.*\]; take",
        ):
            methods.with_prototypes(wrong)
    for value in (0.0, np.nan, np.inf):
        broken = methods.seen_prototypes.copy()
        broken[2] = value
        with pytest.raises(
            ValueError,
            match=r"a seen prototype must be finite and not zero, 1 are not \(first 'seen2'\); look at the checkpoint",
        ):
            methods.with_prototypes(broken)


# other trainings


def test_a_training_is_compared_clip_by_clip_whatever_the_order_of_its_clips(results, clips, good):  # noqa: F811
    other = []
    for result in results:
        scores = result.method(TRANSFER).scores_BC.copy()
        scores[: len(scores) // 3] = 0  # a third of the clips is wrong, a tie of all classes
        order = np.random.default_rng(0).permutation(len(scores))
        methods = tuple(
            replace(s, scores_BC=(scores if s.method == TRANSFER else s.scores_BC)[order])
            for s in result.methods
        )
        other.append(
            replace(
                result,
                ids=tuple(result.ids[i] for i in order),
                targets=result.targets[order],
                methods=methods,
            )
        )
    found = ablate(results, clips, good, losses={"as it was": results, "no alignment": other})
    same, less = found.of(LOSSES)
    assert (same.variant, same.difference, same.p) == ("as it was", 0, 1.0)
    whole, fewer = [], []
    for result in results:
        right = result.method(TRANSFER).scores_BC.argmax(1) == result.targets
        whole, fewer = (
            [*whole, *right],
            [*fewer, *np.where(np.arange(len(right)) < len(right) // 3, False, right)],
        )
    classes = [name for r in results for name in np.array(r.protocol.unseen)[r.targets]]
    assert (less.difference, less.difference_ci95) == paired_difference(
        fewer, whole, classes
    ) and less.difference < -0.1
    assert found.left_out == ("seen prototypes: no classifier weights were given",)


def test_inputs_that_do_not_go_together_are_refused(results, clips, good, classifiers):  # noqa: F811
    with pytest.raises(
        ValueError,
        match=r"texts must be those of the training, 'good' \(.*\) for 'split 0', got 'vague' \(.*\); give",
    ):
        ablate(results, clips, texts_of("vague", MEANING))
    with pytest.raises(
        ValueError,
        match="classifier weights must be given for all 2 splits or for none, got 1; take each checkpoint's",
    ):
        ablate(results, clips, good, classifiers[:1])
    with pytest.raises(
        ValueError,
        match="without a loss must have the same 2 splits, 'no alignment' has 1; score all of them",
    ):
        ablate(results, clips, good, losses={"no alignment": results[:1]})
    with pytest.raises(
        ValueError,
        match="must share each split's protocol, .* for 'split 0', 'no alignment' has .*; train it with that",
    ):
        ablate(results, clips, good, losses={"no alignment": results[::-1]})
    other = [replace(r, fingerprints=r.fingerprints | {"class_text": "x"}) for r in results]
    with pytest.raises(
        ValueError,
        match="must share each split's class text, .* for 'split 0', 'no alignment' has x; train it with that",
    ):
        ablate(results, clips, good, losses={"no alignment": other})
    with pytest.raises(
        ValueError, match="every split needs the embeddings it was scored from, got 0 splits and 0"
    ):
        ablate([], [], good)
    bare = ablate([replace(r, corrected=(), texts=()) for r in results], clips, good)
    assert bare.left_out[1:3] == (
        "hubness correction: CSLS was not scored",
        "class text: no other prompt was scored",
    )


# claims


def planted(aspect: str, variant: str, difference: float, p_holm: float | None) -> AblationRow:
    ends = (difference - 0.1, difference + 0.1)
    return AblationRow(
        aspect,
        variant,
        0.5 + difference,
        (0.5 + difference,) * 3,
        (0.3, 0.7),
        difference,
        ends,
        0,
        p_holm,
        p_holm,
        0.08,
    )


def verdicts(rows: list[AblationRow], n_trainings: int = 3) -> list[str]:
    whole = planted("the whole system", "transfer", 0.0, None)
    return [
        finding.verdict
        for finding in claims_against_findings(Ablation(whole, tuple(rows), 900, 24, n_trainings, ()))
    ]


@pytest.mark.parametrize(
    ("rows", "verdict"),
    [
        ([(DIRECT, -0.1, 0.01), (RIDGE, -0.2, 0.05)], SUPPORTED),
        ([(DIRECT, -0.1, 0.01), (RIDGE, -0.2, 0.06)], OPEN),  # one cannot be claimed
        ([(DIRECT, 0.1, 0.01), (RIDGE, -0.2, 0.06)], CONTRADICTED),
        ([(DIRECT, 0.1, 0.01), (RIDGE, -0.2, 0.01)], OPEN),  # one for it, one against it
        ([(DIRECT, -0.3, 0.2), (RIDGE, 0.3, 0.2)], OPEN),
        ([], NOT_TESTED),
    ],
)
@pytest.mark.parametrize(("aspect", "number"), [(WITHOUT, 0), (LOSSES, 1)])
def test_a_claim_is_supported_when_all_that_speak_to_it_are_for_it(rows, verdict, aspect, number):
    found = verdicts([planted(aspect, *row) for row in rows])
    assert (
        found[number] == verdict
        and [other for n, other in enumerate(found) if n != number] == [NOT_TESTED] * 2
    )


def test_joint_encoding_is_judged_by_what_it_adds():
    for (difference, p), verdict in (
        ((0.1, 0.01), SUPPORTED),
        ((-0.1, 0.01), CONTRADICTED),
        ((0.1, 0.5), OPEN),
    ):
        assert (
            verdicts([planted(JOINT, MATCH, -0.3, 0.001), planted(JOINT, FUSED, difference, p)])[2] == verdict
        )


def test_two_trainings_claim_nothing_of_a_training_choice():
    rows = [planted(LOSSES, "no alignment", -0.2, 0.01)]
    assert (verdicts(rows, 2)[1], verdicts(rows, 3)[1]) == (OPEN, SUPPORTED)


def test_findings_name_only_the_abstracts_motives_and_their_rows(ablation):
    transfer, losses, joint = claims_against_findings(ablation)
    assert (
        "information loss, the semantic gap and hubness" in transfer.claim
        and "jointly, end to end" in joint.claim
    )
    assert transfer.rows == ablation.of(WITHOUT) and losses.rows == ablation.of(LOSSES)
    assert [row.variant for row in (*joint.rows, *joint.beside)] == [
        FUSED,
        MATCH,
        *RERANKED.values(),
    ] and losses.verdict == OPEN


def test_the_splits_of_the_fixture_are_scored_anew(results, clips):  # noqa: F811
    """The fixtures are shared by files: none of the tests may change them."""
    again = scored_split(0, clips[0])
    np.testing.assert_array_equal(again.method(TRANSFER).scores_BC, results[0].method(TRANSFER).scores_BC)
