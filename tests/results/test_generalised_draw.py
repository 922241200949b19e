"""zsar_lab.results: a split with seen and unseen classes as candidates, by hand and by plain loops, and its rows over splits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from zsar_lab.methods.scores import MethodScores
from zsar_lab.results.generalised_rows import generalised_row, harmonic_interval
from zsar_lab.results.generalised_split import GeneralisedScores, halves, score_generalised, with_seen

from zsar_lab.embed.checkpoint import ClipEmbeddings
from zsar_lab.methods.clips import INDUCTIVE, ClipGroup, Fitted, SplitClips
from zsar_lab.protocols.protocol import Protocol
from zsar_lab.results.generalised import harmonic_mean, seen_unseen_curve
from zsar_lab.text.relatedness import unit

SEEN, VALIDATION, UNSEEN = (
    tuple(f"{kind}{n}" for n in range(count)) for kind, count in (("seen", 5), ("val", 3), ("new", 4))
)
NAMES = SEEN + VALIDATION + UNSEEN


def ids_of(names: tuple[str, ...], numbers: range) -> tuple[str, ...]:
    return tuple(f"{name}/{n}" for name in names for n in numbers)


PROTOCOL = Protocol(
    "split 0",
    SEEN,
    VALIDATION,
    UNSEEN,
    ids_of(SEEN, range(4, 8)),
    ids_of(SEEN, range(4)),
    ids_of(VALIDATION, range(8)),
    ids_of(UNSEEN, range(8)),
)
ABOUT = MethodScores("a method", "label", {"k": 2}, 0.5, np.zeros((1, 1)), INDUCTIVE)


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    return unit(np.random.default_rng(3).normal(size=(len(NAMES), 6)))


@pytest.fixture(scope="module")
def clips(points) -> ClipEmbeddings:
    random = np.random.default_rng(5)
    labels = tuple(name for name in NAMES for _ in range(8))
    embedding = unit(np.repeat(points, 8, 0) + 0.45 * random.normal(size=(len(labels), 6)))
    return ClipEmbeddings(
        ids_of(NAMES, range(8)), labels, embedding, np.zeros((len(labels), 0, 6), np.float16), "f"
    )


@pytest.fixture(scope="module")
def scores_of(points):
    """Cosine to each class's point, with seen classes favoured, as they are after training."""

    def scores(group: ClipGroup) -> np.ndarray:
        return group.embedding_BD @ points[[NAMES.index(name) for name in group.names]].T + 0.4 * np.array(
            [name in SEEN for name in group.names]
        )

    return scores


@pytest.fixture(scope="module")
def scored(scores_of, clips) -> GeneralisedScores:
    return score_generalised(scores_of, ABOUT, clips, PROTOCOL)


def test_candidates_clips_and_what_was_scored(scored, scores_of, clips):
    assert (scored.method, scored.class_text, scored.settings, scored.average) == (
        "a method",
        "label",
        {"k": 2},
        "micro",
    )
    assert (
        scored.names == SEEN + UNSEEN
        and scored.n_seen == 5
        and scored.is_seen_C.tolist() == [True] * 5 + [False] * 4
    )
    assert [scored.names[target] for target in scored.targets] == [
        name for name in SEEN for _ in range(4)
    ] + [name for name in UNSEEN for _ in range(8)]
    rows = clips.rows(PROTOCOL.seen_test_clips + PROTOCOL.test_clips)
    group = ClipGroup(scored.names, (), clips.embedding_ND[rows], scored.targets)
    np.testing.assert_array_equal(scored.scores_BC, scores_of(group))


def test_every_class_is_halved():
    assert halves(np.array([0, 0, 1, 1, 1, 2])).tolist() == [0, 1, 0, 1, 0, 1]
    assert halves(np.array([1, 0, 1, 0])).tolist() == [0, 0, 1, 1]
    targets = np.random.default_rng(0).integers(9, size=300)
    counts = np.array([np.bincount(targets[halves(targets) == half], minlength=9) for half in (0, 1)])
    assert np.abs(counts[0] - counts[1]).max() <= 1 and abs(counts.sum(1)[0] - counts.sum(1)[1]) <= 1


def test_a_constant_is_chosen_on_validation_classes_and_the_other_half(scored, scores_of, clips):
    """A plain search over many constants finds none that is better on the very clips a constant was chosen with."""
    names, half = SEEN + VALIDATION, halves(np.repeat(np.arange(5), 4))
    for number, constant in enumerate(scored.constants):
        seen = [
            clip for clip, of_half in zip(PROTOCOL.seen_test_clips, half, strict=True) if of_half != number
        ]
        rows = clips.rows((*seen, *PROTOCOL.validation_clips))
        targets = np.array([names.index(clips.labels[row]) for row in rows])
        values = scores_of(ClipGroup(names, (), clips.embedding_ND[rows], targets))

        def h(taken: float) -> float:
            right = (values - taken * (np.arange(8) < 5)).argmax(1) == targets  # noqa: B023
            s, u = right[targets < 5].mean(), right[targets >= 5].mean()  # noqa: B023
            return 2 * s * u / (s + u) if s + u else 0.0

        assert h(constant) == pytest.approx(max(h(taken) for taken in np.linspace(-1, 2, 3001)))
        assert h(constant) > h(0)


def test_calibrated_scores_by_a_plain_loop(scored):
    right = {True: [], False: []}
    for row, target, half in zip(scored.scores_BC, scored.targets, scored.half_B, strict=True):
        shifted = [
            value - (scored.constants[half] if c < scored.n_seen else 0) for c, value in enumerate(row)
        ]
        right[bool(target < scored.n_seen)].append(max(range(len(row)), key=lambda c: shifted[c]) == target)  # noqa: B023
    s, u = np.mean(right[True]), np.mean(right[False])
    found = scored.calibrated
    assert (found.seen, found.unseen, found.harmonic) == pytest.approx((s, u, 2 * s * u / (s + u)))
    assert found.harmonic > scored.plain.harmonic and scored.plain.unseen < scored.plain.seen
    curve = seen_unseen_curve(scored.scores_BC, scored.targets, scored.is_seen_C, "micro")
    assert scored.curve.area == curve.area and scored.plain.harmonic <= curve.harmonic_upper_bound


def test_the_average_is_the_protocols(scores_of, clips, scored):
    fewer = replace(PROTOCOL, average="mean_class", test_clips=PROTOCOL.test_clips[:-7])
    found = score_generalised(scores_of, ABOUT, clips, fewer)
    right = (found.scores_BC.argmax(1) == found.targets)[found.targets >= 5]
    of_class = [right[found.targets[found.targets >= 5] == c].mean() for c in range(5, 9)]
    assert found.average == "mean class" and found.plain.unseen == pytest.approx(
        np.mean(of_class)
    ) != pytest.approx(right.mean())


def test_too_few_held_out_clips_are_refused(scores_of, clips):
    with pytest.raises(
        ValueError,
        match="needs 2 held-out clips of seen classes .*, protocol 'split 0' has 1; make the protocol with a larger seen_test_share",
    ):
        score_generalised(
            scores_of, ABOUT, clips, replace(PROTOCOL, seen_test_clips=PROTOCOL.seen_test_clips[:1])
        )


def test_seen_classes_stand_at_their_measured_prototypes_under_transfer(clips):
    text_methods = SplitClips.of(clips, PROTOCOL)
    group = ClipGroup.of(clips, PROTOCOL.test_clips, UNSEEN)
    of_unseen = np.random.default_rng(1).normal(size=(len(group.ids), 4))
    asked = []

    def scores(clips_of: ClipGroup) -> np.ndarray:
        asked.append(clips_of.names)
        return of_unseen[:, : len(clips_of.names)]

    both = replace(group, names=SEEN + UNSEEN)
    found = with_seen(Fitted("transfer", "label", {}, 0.5, scores), text_methods)(both)
    means = [unit(clips.embedding_ND[clips.rows(ids_of((name,), range(4, 8)))].mean(0)) for name in SEEN]
    np.testing.assert_allclose(found[:, :5], group.embedding_BD @ np.array(means).T, atol=1e-6)
    np.testing.assert_array_equal(found[:, 5:], of_unseen)
    assert asked == [UNSEEN]
    ridge = Fitted("direct, ridge", "label", {}, 0.5, scores)
    assert with_seen(ridge, text_methods) is scores


# rows


def test_a_row_is_the_mean_of_its_splits(scored):
    other = replace(scored, constants=(0.0, 0.0))
    row = generalised_row(
        [PROTOCOL, replace(PROTOCOL, seen_test_clips=PROTOCOL.seen_test_clips[:-1])], [scored, other]
    )
    assert (row.method, row.class_text, row.average, row.constants) == (
        "a method",
        "label",
        "micro",
        (scored.constants, (0.0, 0.0)),
    )
    assert row.splits == (scored.calibrated.harmonic, scored.plain.harmonic)
    assert row.calibrated_harmonic == pytest.approx(np.mean(row.splits)) and row.seen == scored.plain.seen
    assert row.harmonic == pytest.approx(scored.plain.harmonic) and row.calibrated_seen == pytest.approx(
        (scored.calibrated.seen + scored.plain.seen) / 2
    )
    assert row.area == pytest.approx(scored.curve.area) and row.harmonic_upper_bound >= row.harmonic
    low, high = row.harmonic_ci95
    assert 0 < low < row.calibrated_harmonic < high < 1
    one = generalised_row([PROTOCOL], [scored])
    assert (
        one.protocol not in (row.protocol, PROTOCOL.hash)
        and one.protocol == generalised_row([replace(PROTOCOL, name="other")], [scored]).protocol
    )


def test_rows_of_different_methods_are_refused(scored):
    with pytest.raises(
        ValueError,
        match="one method, class text and average scored in at least one split, got .*'a method'.*'another'",
    ):
        generalised_row([PROTOCOL] * 2, [scored, replace(scored, method="another")])
    with pytest.raises(ValueError, match=r"in at least one split, got \[\]"):
        generalised_row([], [])


@pytest.mark.parametrize("average", ["micro", "mean class"])
def test_the_interval_of_h_by_a_plain_loop(scored, average):
    scored = replace(scored, average=average)
    shorter = replace(
        scored, scores_BC=scored.scores_BC[3:-2], targets=scored.targets[3:-2], half_B=scored.half_B[3:-2]
    )
    random, sides = np.random.default_rng(0), []
    for names in (SEEN, UNSEEN):
        cells = {name: [] for name in names}
        for split in (scored, shorter):
            answers = split.calibrated_BC.argmax(1)
            for name in names:
                of_class = split.targets == split.names.index(name)
                cells[name].append((answers[of_class] == split.targets[of_class]).tolist())
        values = []
        for _ in range(200):
            drawn = [cells[sorted(names)[c]] for c in random.integers(len(names), size=len(names))]
            if average == "micro":
                values.append(
                    np.mean([right for of_class in drawn for of_split in of_class for right in of_split])
                )
            else:
                values.append(
                    np.mean([np.mean(of_split) for of_class in drawn for of_split in of_class if of_split])
                )
        sides.append(values)
    wanted = np.percentile(harmonic_mean(np.array(sides[0]), np.array(sides[1])), [2.5, 97.5])
    # the library splits all resamples of a side at once, in the same order
    assert harmonic_interval([scored, shorter], n_resamples=200) == pytest.approx(tuple(wanted))


def test_an_interval_needs_two_classes_a_side(scored):
    few = scored.targets < 6
    lacking = replace(
        scored, scores_BC=scored.scores_BC[few], targets=scored.targets[few], half_B=scored.half_B[few]
    )
    with pytest.raises(ValueError, match="at least 2 unseen classes with clips, got 1"):
        harmonic_interval([lacking])
