"""zsar_lab.methods.hubness_reduction: every reduction by a plain loop, by hand or a property."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import reference

from zsar_lab.methods import hubness_reduction as reductions
from zsar_lab.methods.clips import nearest_scores
from zsar_lab.methods.hubness_reduction import BETAS, FITS, QueryBank, choose_reduction
from zsar_lab.methods.metrics import top_k_accuracy
from zsar_lab.results.hubness import k_occurrence

SETTINGS = {
    "csls": {"k": 3},
    "globally_corrected": {},
    "inverted_softmax": {"beta": 5.0},
    "qb_norm": {"beta": 5.0},
    "local_scaling": {"k": 3},
    "mutual_proximity": {},
}
RANDOM = np.random.default_rng(0)
N_CLASSES = 6


def points(n: int) -> np.ndarray:
    """Points in space with something in common, as embeddings have."""
    return RANDOM.normal(size=(n, 12)) + 0.7


CLASSES = points(N_CLASSES)
SCORES, BANK_SCORES = nearest_scores(points(40), CLASSES), nearest_scores(points(25), CLASSES)


def bank_of(scores: np.ndarray) -> QueryBank:
    return QueryBank(scores, [f"train{n}" for n in range(len(scores))], ["test0"], ["test0", "test1"], True)


def reduced(name: str, scores: np.ndarray = SCORES, bank: np.ndarray = BANK_SCORES, **settings) -> np.ndarray:
    return FITS[name](bank_of(bank), **(settings or SETTINGS[name]))(scores)


@pytest.mark.parametrize(
    ("name", "settings", "as_plain"),
    [
        *(("csls", {"k": k}, lambda found: found) for k in (1, 3, N_CLASSES)),
        ("globally_corrected", {}, lambda found: found),
        *(("inverted_softmax", {"beta": beta}, np.exp) for beta in (0.1, 5.0, 50.0)),
        *(("qb_norm", {"beta": beta}, lambda found: found) for beta in (0.1, 5.0, 50.0)),
        *(("local_scaling", {"k": k}, lambda found: 1 - np.exp(found)) for k in (1, 3, N_CLASSES)),
        ("mutual_proximity", {}, lambda found: found),
    ],
)
@pytest.mark.parametrize("digits", [15, 1])  # rounded scores tie often
def test_each_equals_its_plain_loop(name, settings, as_plain, digits):
    scores, bank = SCORES.round(digits), BANK_SCORES.round(digits)
    if name == "qb_norm":  # so few that not all classes are ranked first
        bank = bank[:4]
        assert 0 < np.isin(scores.argmax(1), bank.argmax(1)).sum() < len(scores)
    plain = getattr(reference, name)(scores, bank, *settings.values())
    if name == "mutual_proximity":
        step = 1 / (N_CLASSES * len(bank))  # of P(X > d) P(Y > d); less than a step settles ties by s
        farther = np.array([[sum(other < s for other in row) / N_CLASSES for s in row] for row in scores])
        plain = plain + farther * step
    np.testing.assert_allclose(as_plain(reduced(name, scores, bank, **settings)), plain, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "settings", "scores", "bank", "expected"),
    [
        # two best: of the clip 0.9 0.5; of the classes over the bank 0.8 0.6, 0.2 0.0
        ("csls", {"k": 2}, [0.9, 0.5], [[0.8, 0.2], [0.6, 0.0], [-0.5, -0.2]], [1.8 - 1.4, 1 - 0.7 - 0.1]),
        # a rank outweighs every cosine: by these alone the second class is 2 behind
        ("globally_corrected", {}, [0.99, -0.99], [[1.0, -1.0]] * 5, [-6 + 1 / 2, -1]),
        # exp(log 2 s) is 2^s: 2^1 / (2^1 + 2^2 + 2^1), 2^0 / (2^0 + 2^0 + 2^1)
        ("inverted_softmax", {"beta": np.log(2)}, [1, 0], [[1, 0], [2, 0], [1, 1]], np.log([2 / 8, 1 / 4])),
        # d^2 = 2 - 2 s: the clip's nearest class lies at 1, the classes' nearest clips at 2 and 1
        ("local_scaling", {"k": 1}, [0.5, 0.0], [[-1.0, 0.5], [-1.0, -1.0]], [-1 / 2, -2 / 1]),
        ("local_scaling", {"k": 1}, [1.00001, 1.0], [[1.0, 1.0]], [0, 0]),  # rounding, coinciding points
        # classes farther than each: 1, 0 of 2; bank clips farther from the class: 1 and 2 of 2
        ("mutual_proximity", {}, [0.9, 0.1], [[0.8, 0.0], [0.95, 0.0]], [1 * 1 / 4 + 1 / 8, 0]),
    ],
)
def test_each_by_hand(name, settings, scores, bank, expected):
    found = FITS[name](bank_of(np.array(bank)), **settings)(np.array([scores]))
    np.testing.assert_allclose(found, [expected], atol=1e-12)


@pytest.mark.parametrize("name", FITS)
def test_clips_and_classes_are_read_alone_and_in_any_order(name):
    clips, classes = RANDOM.permutation(len(SCORES)), RANDOM.permutation(N_CLASSES)
    bank = BANK_SCORES[RANDOM.permutation(len(BANK_SCORES))]
    whole, kept = reduced(name), SCORES.copy()
    moved = reduced(name, SCORES[clips][:, classes], bank[:, classes])
    np.testing.assert_allclose(moved, whole[clips][:, classes], atol=1e-12)
    np.testing.assert_allclose(reduced(name, SCORES[7:8]), whole[7:8], atol=1e-12)
    short = SCORES.astype(np.float32), BANK_SCORES.astype(np.float32)  # read as float64
    of_short = reduced(name, *short)
    np.testing.assert_array_equal(of_short, reduced(name, *(rows.astype(float) for rows in short)))
    assert of_short.dtype == np.float64
    twins = reduced(name, np.repeat(SCORES, 2, 1), np.repeat(BANK_SCORES, 2, 1))
    np.testing.assert_array_equal(twins[:, ::2], twins[:, 1::2])  # classes alike stay tied
    np.testing.assert_array_equal(SCORES, kept)


@pytest.mark.parametrize("name", FITS)
def test_finite_scores_give_finite_scores(name):
    largest = 1.0 if name == "local_scaling" else 1e100
    values = np.array([-largest, -1.0, -1e-300, 0.0, 1e-300, 1.0, largest])
    mixed = RANDOM.choice(values, size=(60, 4))
    spread = np.broadcast_to(values[[0, 3, 4, 6]], (20, 4))
    extreme = mixed, spread, np.zeros((5, 4)), np.full((5, 4), largest)
    key = next(iter(SETTINGS[name]), None)
    tried = {"k": [{"k": 1}, {"k": 4}], "beta": [{"beta": b} for b in (1e-100, 5.0, 1e100)]}.get(key, [{}])
    for scores, bank in itertools.product(extreme, extreme):
        for settings in tried:
            found = FITS[name](bank_of(bank), **settings)(scores)
            assert found.shape == scores.shape and np.isfinite(found).all()
    for b, n, c in ((40, 1, N_CLASSES), (40, 25, 1), (1, 1, 1), (0, 25, N_CLASSES)):
        found = FITS[name](bank_of(BANK_SCORES[:n, :c]), **tried[0])(SCORES[:b, :c])
        assert found.shape == (b, c) and np.isfinite(found).all()


def test_the_first_of_the_best_settings_is_chosen_without_test_clips():
    targets, bank = SCORES.argmax(1), bank_of(BANK_SCORES)
    tried = {beta: top_k_accuracy(FITS["qb_norm"](bank, beta)(SCORES), targets, 1) for beta in BETAS}
    best = max(tried, key=tried.__getitem__)
    found = choose_reduction("qb_norm", 6, bank, SCORES, targets)
    assert len(set(tried.values())) > 1 and found == ({"beta": best}, tried[best])
    given = bank_of(np.zeros((9, N_CLASSES))), SCORES, targets
    assert choose_reduction("csls", 6, *given) == ({"k": 1}, 1.0)  # all are as good; k up to 6
    ids = [f"c{n}" for n in range(25)]
    with pytest.raises(ValueError, match="2 of them"):
        choose_reduction("csls", 6, QueryBank(BANK_SCORES, ids, ["v0"], ["c3", "c4"]), SCORES, targets)
    # a transductive bank of validation clips holds no test clips
    assert choose_reduction("csls", 6, QueryBank(BANK_SCORES, ids, ids, ["t"]), SCORES, targets)[0]


def test_centring_equals_cosines_of_differences_and_frees_a_hub():
    by_hand = np.array([[4.0, 1.0], [1.0, 1.0]]), np.array([[1.0, 3.0]], dtype=np.float32)
    clips, classes = reductions.centred(*by_hand, np.array([1.0, 1.0]))
    assert (clips.tolist(), classes.tolist()) == ([[1, 0], [0, 0]], [[0, 1]])
    random = np.random.default_rng(1)
    mean, classes = np.full(12, 3.0), 3.0 + random.normal(size=(5, 12))
    classes[0] = 3.0 + 0.01 * random.normal(size=12)  # near to what all clips share
    clips = 3.0 + random.normal(size=(200, 12))
    scores = nearest_scores(*reductions.centred(clips, classes, mean))
    plain = [reference.cosine(clip - mean, classes[2] - mean) for clip in clips[:4]]
    np.testing.assert_allclose(scores[:4, 2], plain, atol=1e-12)
    before, after = k_occurrence(nearest_scores(clips, classes), 1)[0], k_occurrence(scores, 1)[0]
    assert before > 100 and 20 < after < 60


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        *((name, {"scores": SCORES[:, :5]}, "6 columns, got .40, 5") for name in FITS),
        *((name, {"k": k}, rf"1\.\.6 .*got {k}") for name in ("csls", "local_scaling") for k in (0, 7)),
        ("csls", {"k": 4, "bank": BANK_SCORES[:3]}, r"1\.\.3 .*got 4"),
        *(("qb_norm", {"beta": beta}, f"beta .*{beta}") for beta in (0.0, -1.0, np.nan, np.inf)),
        ("inverted_softmax", {"beta": 0.0}, "beta .*0"),
        *(("local_scaling", {side: np.full((9, N_CLASSES), 2.5)}, "got 2.5") for side in ("bank", "scores")),
        *(
            ("csls", {side: np.where(np.eye(9, N_CLASSES)[::-1] > 0, bad, 0)}, "6 are not")
            for side in ("bank", "scores")
            for bad in (np.nan, np.inf, -np.inf, 1e101)
        ),
    ],
)
def test_what_cannot_be_reduced_is_refused(name, changes, message):
    with pytest.raises(ValueError, match=message):
        reduced(name, **changes)


@pytest.mark.parametrize(
    ("function", "given", "message"),
    [
        (reductions.centred, (points(3), np.zeros((4, 5)), np.zeros(12)), "12 columns, got .4, 5"),
        (reductions.centred, (np.array([[np.inf, 0]]), np.zeros((4, 2)), np.zeros(2)), "1 are not"),
        (reductions.centred, (np.zeros(12), np.zeros((4, 12)), np.zeros(12)), "two axes"),
        (QueryBank, (np.zeros((1, 2)), ["a"], [], ["x"]), "query bank"),
        (QueryBank, (np.zeros((3, 2)), ["a", "b"], ["x"], ["x"]), "query bank"),
        (QueryBank, (np.zeros(3), ["a", "b", "c"], ["x"], ["x"]), "query bank"),
        (QueryBank, (np.zeros((0, 4)), [], ["x"], ["x"]), "query bank"),
        (QueryBank, (np.zeros((1, 0)), ["a"], ["x"], ["x"]), "query bank"),
        (QueryBank, (np.zeros((3, 2)), [*"abc"], ["x", "b"], ["y"], True), "got 1, such as 'b'"),
        (QueryBank, (np.zeros((3, 2)), [*"abc"], ["x"], {"c", "a"}, True), "got 2, such as 'a'"),
    ],
)
def test_points_and_banks_that_do_not_fit_are_refused(function, given, message):
    with pytest.raises(ValueError, match=message):
        function(*given)
    assert QueryBank(np.zeros((3, 2)), [*"abc"], ["x"], ["x", "y"]).looked_at == []
