"""zsar_lab.methods.hubness_reduction: every reduction by a plain loop, by hand or a property."""

from __future__ import annotations

import numpy as np
import pytest
import reference

from zsar_lab.methods import hubness_reduction as reductions
from zsar_lab.methods.clips import INDUCTIVE, TRANSDUCTIVE, nearest_scores
from zsar_lab.methods.hubness_reduction import FITS, QueryBank, choose_reduction, make_query_bank
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
    return make_query_bank(scores, [f"train{n}" for n in range(len(scores))], ["test0"], ["test0", "test1"])


def reduced(name: str, scores: np.ndarray = SCORES, bank: np.ndarray = BANK_SCORES, **settings) -> np.ndarray:
    return FITS[name](bank_of(bank), **(settings or SETTINGS[name]))(scores)


def order(scores: np.ndarray) -> np.ndarray:
    return scores.argsort(1, kind="stable")


def test_every_reduction_is_tested():
    assert FITS.keys() == SETTINGS.keys()


@pytest.mark.parametrize(
    ("name", "settings", "as_plain"),
    [
        *(("csls", {"k": k}, lambda found: found) for k in (1, 3, N_CLASSES)),
        ("globally_corrected", {}, lambda found: found),
        *(("inverted_softmax", {"beta": beta}, np.exp) for beta in (0.1, 5.0, 50.0)),
        *(("qb_norm", {"beta": beta}, lambda found: found) for beta in (0.1, 5.0, 50.0)),
        *(("local_scaling", {"k": k}, lambda found: 1 - np.exp(found)) for k in (1, 3, N_CLASSES)),
    ],
)
@pytest.mark.parametrize("digits", [15, 1])  # rounded scores tie often
def test_each_equals_its_plain_loop(name, settings, as_plain, digits):
    scores, bank = SCORES.round(digits), BANK_SCORES.round(digits)
    if name == "qb_norm":  # so few that not all classes are ranked first
        bank = bank[:4]
        assert 0 < np.isin(scores.argmax(1), bank.argmax(1)).sum() < len(scores)
    plain = getattr(reference, name)(scores, bank, *settings.values())
    np.testing.assert_allclose(as_plain(reduced(name, scores, bank, **settings)), plain, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("digits", [15, 1])
def test_mutual_proximity_equals_the_plain_loop(digits):
    scores, bank = SCORES.round(digits), BANK_SCORES.round(digits)
    found, plain = reduced("mutual_proximity", scores, bank), reference.mutual_proximity(scores, bank)
    step = 1 / (N_CLASSES * len(bank))  # of P(X > d) P(Y > d); less than a step settles ties by s
    farther = np.array([[sum(other < s for other in row) / N_CLASSES for s in row] for row in scores])
    np.testing.assert_allclose(found, plain + farther * step, atol=1e-12)
    nearer = plain[:, :, None] >= plain[:, None] + step / N_CLASSES
    assert (nearer <= (found[:, :, None] > found[:, None])).all()


@pytest.mark.parametrize(
    "values",
    [(-1e100, -1.0, 0.0, 1e-300, 1e100), (5.0, 5.0 + 1e-12, 5.0 + 2e-12), (-0.3, -0.2, -0.2), (7.0,)],
)
def test_places_in_a_bank_are_counted_one_by_one(values):
    random = np.random.default_rng(7)
    scores, bank = random.choice(values, (50, 3)), random.choice(values, (40, 3))
    for side, below in (("left", np.less), ("right", np.less_equal)):
        found = reductions._places(np.sort(bank.T, axis=1), scores, side)
        assert found.tolist() == [
            [sum(below(other, s) for other in bank[:, c]) for c, s in enumerate(row)] for row in scores
        ]


@pytest.mark.parametrize(
    ("name", "settings", "scores", "bank", "expected"),
    [
        # two best: of the clip 0.9 0.5; of the classes over the bank 0.8 0.6, 0.2 0.0, 0.4 0.1
        (
            "csls",
            {"k": 2},
            [0.9, 0.5, 0.3],
            [[0.8, 0.2, 0.1], [0.6, 0.0, 0.4], [-0.5, -0.2, -0.3]],
            [1.8 - 0.7 - 0.7, 1 - 0.7 - 0.1, 0.6 - 0.7 - 0.25],
        ),
        # of 3 bank clips 1, 0, 2 and 0 are nearer; the fourth class loses its tie by s
        (
            "globally_corrected",
            {},
            [0.9, 0.5, 0.3, 0.4],
            [[0.95, 0.1, 0.5, 0.0], [0.6, 0.0, 0.4, 0.0], [0.9, 0.2, 0.3, 0.0]],
            [-2 + 3 / 4, -1 + 2 / 4, -3 + 0 / 4, -1 + 1 / 4],
        ),
        # a rank outweighs every cosine: by these alone the second class is 2 behind
        ("globally_corrected", {}, [0.99, -0.99], [[1.0, -1.0]] * 5, [-6 + 1 / 2, -1]),
        # exp(log 2 s) is 2^s: 2^1 / (2^1 + 2^2 + 2^1), 2^0 / (2^0 + 2^0 + 2^1)
        (
            "inverted_softmax",
            {"beta": np.log(2)},
            [1.0, 0.0],
            [[1.0, 0.0], [2.0, 0.0], [1.0, 1.0]],
            np.log([2 / 8, 1 / 4]),
        ),
        # d^2 = 2 - 2 s: the clip's nearest class lies at 1, the classes' nearest clips at 2, 1, 1
        (
            "local_scaling",
            {"k": 1},
            [0.5, 0.0, -1.0],
            [[-1.0, 0.5, 0.5], [-1.0, -1.0, -1.0]],
            [-1 / 2, -2 / 1, -4 / 1],
        ),
        ("local_scaling", {"k": 1}, [1.00001, 1.0], [[1.0, 1.0]], [0, 0]),  # rounding, coinciding points
        # classes farther than each: 2, 1, 0 of 3; bank clips farther from the class: 1, 4, 4 of 4
        (
            "mutual_proximity",
            {},
            [0.9, 0.5, 0.1],
            [[0.8, 0.1, 0.0], [0.95, 0.2, 0.0], [0.96, 0.3, 0.0], [0.97, 0.4, 0.0]],
            [2 * 1 / 12 + 2 / 36, 1 * 4 / 12 + 1 / 36, 0],
        ),
    ],
)
def test_each_by_hand(name, settings, scores, bank, expected):
    found = FITS[name](bank_of(np.array(bank)), **settings)(np.array([scores]))
    np.testing.assert_allclose(found, [expected], atol=1e-12)


def _less_mean(scores: np.ndarray) -> np.ndarray:
    return scores - scores.mean(1, keepdims=True)


def test_what_a_class_is_given_too_much_csls_halves_and_the_inverted_softmax_removes():
    gift = np.array([0.3, 0, 0, 0, 0, -0.2])
    change = reduced("csls", SCORES + gift, BANK_SCORES + gift, k=1) / 2 - reduced("csls", k=1) / 2
    np.testing.assert_allclose(
        _less_mean(change), np.broadcast_to(_less_mean(gift[None]) / 2, change.shape), atol=1e-12
    )
    found = reduced("inverted_softmax", SCORES + gift, BANK_SCORES + gift)
    np.testing.assert_allclose(found, reduced("inverted_softmax"), atol=1e-12)


def test_inverted_softmax_subtracts_the_mean_with_a_small_beta_and_the_maximum_with_a_large_one():
    for beta, over_bank in ((1e-6, BANK_SCORES.mean(0)), (1e9, BANK_SCORES.max(0))):
        found = reduced("inverted_softmax", beta=beta) / beta
        np.testing.assert_allclose(
            found - found.mean(1, keepdims=True), _less_mean(SCORES - over_bank), atol=1e-6
        )


def test_qb_norm_orders_activated_clips_as_the_inverted_softmax_and_leaves_the_others():
    bank = BANK_SCORES[:4]
    activated = np.isin(SCORES.argmax(1), bank.argmax(1))
    found, softmax = reduced("qb_norm", bank=bank), reduced("inverted_softmax", bank=bank)
    np.testing.assert_array_equal(found[~activated], SCORES[~activated])
    np.testing.assert_array_equal(order(found[activated]), order(softmax[activated]))
    np.testing.assert_allclose(found.mean(1), SCORES.mean(1))  # all clips stay on the scale of s
    np.testing.assert_allclose(_less_mean(found[activated]), _less_mean(softmax[activated]) / 5.0, atol=1e-12)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_planted_hub_loses_its_surplus(name):
    def hub_scores(targets: np.ndarray) -> np.ndarray:
        """Cosines: noise, more for the true class, and more still for class 0 whatever the clip shows."""
        return random.normal(0, 0.12, (len(targets), 8)) + 0.25 * np.eye(8)[targets] + 0.25 * np.eye(8)[0]

    random = np.random.default_rng(3)
    targets = np.arange(400) % 8
    scores = hub_scores(targets)
    found = reduced(name, scores, hub_scores(np.arange(240) % 8))
    before, after = k_occurrence(scores, 1)[0], k_occurrence(found, 1)[0]
    left = 0.5 if name in ("csls", "mutual_proximity") else 0.25  # these two read s itself, and remove half
    assert before > 3 * 50 and abs(after - 50) < left * (before - 50)
    assert top_k_accuracy(found, targets, 1) > top_k_accuracy(scores, targets, 1) + 0.1


@pytest.mark.parametrize("name", SETTINGS)
def test_a_constant_bank_changes_no_order(name):
    for scores in (SCORES, SCORES.round(1)):
        found = reduced(name, scores, np.full((10, N_CLASSES), 0.2))
        np.testing.assert_array_equal(order(found.round(9)), order(scores))
    if name == "qb_norm":
        np.testing.assert_allclose(found, SCORES.round(1), atol=1e-12)


@pytest.mark.parametrize("name", SETTINGS)
def test_the_order_of_clips_and_classes_does_not_matter(name):
    clips, classes = RANDOM.permutation(len(SCORES)), RANDOM.permutation(N_CLASSES)
    bank = RANDOM.permutation(len(BANK_SCORES))
    found = reduced(name, SCORES[clips][:, classes], BANK_SCORES[bank][:, classes])
    np.testing.assert_allclose(found, reduced(name)[clips][:, classes], atol=1e-12)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_clip_is_scored_alone_and_float32_is_read_as_float64(name):
    scores, bank = SCORES.astype(np.float32), BANK_SCORES.astype(np.float32)
    kept = scores.copy(), bank.copy()
    found = reduced(name, scores, bank)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, reduced(name, scores.astype(float), bank.astype(float)))
    np.testing.assert_array_equal([*scores, *bank], [*kept[0], *kept[1]])
    np.testing.assert_allclose(reduced(name, SCORES[7:8]), reduced(name)[7:8], atol=1e-12)
    assert reduced(name, SCORES[:0]).shape == (0, N_CLASSES)


@pytest.mark.parametrize("name", SETTINGS)
def test_finite_scores_give_finite_scores(name):
    largest = 1.0 if name == "local_scaling" else 1e100
    values = np.array([-largest, -1.0, -1e-300, 0.0, 1e-300, 1.0, largest])
    mixed = RANDOM.choice(values, size=(60, 4))
    columns = np.broadcast_to(values[[0, 3, 4, 6]], (20, 4))
    for scores in (mixed, columns, np.zeros((5, 4)), np.full((5, 4), largest)):
        for bank in (mixed, columns, np.zeros((5, 4)), np.full((5, 4), largest)):
            for settings in (
                [{"k": 1}, {"k": 4}] if "k" in SETTINGS[name] else [{"beta": b} for b in (1e-100, 5.0, 1e100)]
            ):
                found = reduced(name, scores, bank, **(settings if SETTINGS[name] else {}))
                assert found.shape == scores.shape and np.isfinite(found).all()


@pytest.mark.parametrize("name", SETTINGS)
def test_one_clip_and_one_class_are_enough(name):
    settings = SETTINGS[name] | ({"k": 1} if "k" in SETTINGS[name] else {})
    for b, n, c in ((40, 1, N_CLASSES), (40, 25, 1), (1, 1, 1)):
        found = FITS[name](bank_of(BANK_SCORES[:n, :c]), **settings)(SCORES[:b, :c])
        assert found.shape == (b, c) and np.isfinite(found).all()


@pytest.mark.parametrize("name", SETTINGS)
def test_classes_alike_in_scores_and_bank_stay_tied(name):
    twice, bank = np.repeat(SCORES, 2, 1), np.repeat(BANK_SCORES, 2, 1)
    found = reduced(name, twice, bank)
    np.testing.assert_array_equal(found[:, ::2], found[:, 1::2])


def test_the_first_of_the_best_settings_is_chosen():
    targets, bank, fit = SCORES.argmax(1), bank_of(BANK_SCORES), FITS["inverted_softmax"]
    grid = [{"beta": beta} for beta in (0.5, 5.0, 50.0, 100.0)]
    top1 = [top_k_accuracy(fit(bank, **settings)(SCORES), targets, 1) for settings in grid]
    best = grid[int(np.argmax(top1))], max(top1)
    assert len(set(top1)) > 1 and choose_reduction(fit, iter(grid), bank, SCORES, targets) == best
    given = bank_of(np.zeros((9, N_CLASSES))), SCORES, targets
    assert choose_reduction(FITS["csls"], [{"k": 4}, {"k": 1}], *given) == ({"k": 4}, 1.0)
    with pytest.raises(ValueError, match="grid"):
        choose_reduction(FITS["csls"], [], *given)


def test_settings_are_not_chosen_on_test_clips():
    given = FITS["csls"], [{"k": 1}]
    test_clips = make_query_bank(BANK_SCORES, [f"c{n}" for n in range(25)], ["v0"], ["c3", "c4"])
    with pytest.raises(ValueError, match="2 of them"):
        choose_reduction(*given, test_clips, SCORES, SCORES.argmax(1))
    validation_clips = make_query_bank(SCORES, [f"v{n}" for n in range(40)], ["v0"], ["c3", "c4"])
    assert validation_clips.setting == TRANSDUCTIVE  # but not of test clips
    assert choose_reduction(*given, validation_clips, SCORES, SCORES.argmax(1))[0] == {"k": 1}


def test_centring_by_hand():
    clips, classes = reductions.centred(
        np.array([[4.0, 1.0], [1.0, 1.0]]), np.array([[1.0, 3.0]], dtype=np.float32), np.array([1.0, 1.0])
    )
    np.testing.assert_allclose(clips, [[1, 0], [0, 0]])
    np.testing.assert_allclose(classes, [[0, 1]])


def test_centring_equals_cosines_of_differences_and_frees_a_hub():
    random = np.random.default_rng(1)
    mean, classes = np.full(12, 3.0), 3.0 + random.normal(size=(5, 12))
    classes[0] = 3.0 + 0.01 * random.normal(size=12)  # near to what all clips share
    clips = 3.0 + random.normal(size=(200, 12))
    scores = nearest_scores(*reductions.centred(clips, classes, mean))
    np.testing.assert_allclose(
        scores[:4, 2], [reference.cosine(clip - mean, classes[2] - mean) for clip in clips[:4]], atol=1e-12
    )
    before, after = k_occurrence(nearest_scores(clips, classes), 1)[0], k_occurrence(scores, 1)[0]
    assert before > 100 and 20 < after < 60


def test_centring_refuses_other_widths_and_what_is_not_finite():
    with pytest.raises(ValueError, match="12 columns, got .4, 5"):
        reductions.centred(points(3), np.zeros((4, 5)), np.zeros(12))
    with pytest.raises(ValueError, match="1 are not"):
        reductions.centred(np.array([[np.inf, 0]]), np.zeros((4, 2)), np.zeros(2))
    with pytest.raises(ValueError, match="two axes"):
        reductions.centred(np.zeros(12), np.zeros((4, 12)), np.zeros(12))


@pytest.mark.parametrize("name", SETTINGS)
def test_scores_of_other_classes_are_refused(name):
    with pytest.raises(ValueError, match="6 columns, got .40, 5"):
        reduced(name, SCORES[:, :5])


@pytest.mark.parametrize("name", ["csls", "local_scaling"])
@pytest.mark.parametrize(
    ("k", "bank", "most"), [(0, BANK_SCORES, 6), (7, BANK_SCORES, 6), (4, BANK_SCORES[:3], 3)]
)
def test_k_out_of_range_is_refused(name, k, bank, most):
    with pytest.raises(ValueError, match=rf"1\.\.{most} .*got {k}"):
        reduced(name, bank=bank, k=k)


@pytest.mark.parametrize("name", ["inverted_softmax", "qb_norm"])
@pytest.mark.parametrize("beta", [0.0, -1.0, np.nan, np.inf])
def test_beta_out_of_range_is_refused(name, beta):
    with pytest.raises(ValueError, match=f"beta .*{beta}"):
        reduced(name, beta=beta)


@pytest.mark.parametrize("changed", ["bank", "scores"])
def test_local_scaling_refuses_what_is_no_cosine(changed):
    with pytest.raises(ValueError, match="got 2.5"):
        reduced("local_scaling", **{changed: np.full((9, N_CLASSES), 2.5)})


@pytest.mark.parametrize(
    ("scored", "test", "setting", "n_test"),
    [
        (["x"], ["x", "y"], INDUCTIVE, 0),
        (["x", "b"], ["y"], TRANSDUCTIVE, 0),
        (["x"], {"c", "a"}, TRANSDUCTIVE, 2),
    ],
)
def test_the_setting_follows_from_the_clips_of_a_bank(scored, test, setting, n_test):
    given = np.zeros((3, 2)), ["a", "b", "c"], scored, test
    bank = make_query_bank(*given)
    assert (bank.setting, bank.n_test, bank.ids) == (setting, n_test, ("a", "b", "c"))
    if setting == INDUCTIVE:
        assert make_query_bank(*given, inductive_only=True).setting == INDUCTIVE
    else:
        with pytest.raises(ValueError, match=f"got {n_test or 1}, such as"):
            make_query_bank(*given, inductive_only=True)


@pytest.mark.parametrize(("setting", "n_test"), [("both", 0), (INDUCTIVE, 3)])
def test_a_setting_that_does_not_fit_is_refused(setting, n_test):
    with pytest.raises(ValueError, match=f"{n_test} test clips .*{setting!r}"):
        QueryBank(np.zeros((3, 2)), ("a", "b", "c"), setting, n_test)


@pytest.mark.parametrize(
    ("scores", "ids", "scored", "words"),
    [
        (np.zeros((1, 2)), ["a"], [], "got none"),
        (np.zeros((3, 2)), ["a", "b"], ["x"], "3, 2.*, 2"),
        (np.zeros(3), ["a", "b", "c"], ["x"], "two axes"),
        (np.zeros((0, 4)), [], ["x"], "query bank"),
        (np.zeros((1, 0)), ["a"], ["x"], "query bank"),
    ],
)
def test_a_bank_that_does_not_fit_is_refused(scores, ids, scored, words):
    with pytest.raises(ValueError, match=words):
        make_query_bank(scores, ids, scored, ["x"])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e101])
def test_scores_that_are_not_finite_are_refused(value):
    bad = SCORES.copy()
    bad[3, 1] = bad[5, 0] = value
    with pytest.raises(ValueError, match="2 are not"):
        bank_of(bad)
    with pytest.raises(ValueError, match="2 are not"):
        reduced("csls", bad)
