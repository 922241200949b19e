"""How often 95 % intervals hold the truth, and how often a difference is claimed where there is none.

    python benchmarks/simulate_statistics.py [--runs 5000] [--classes 5 10 24 50 101]

In each run the classes are new: their true accuracies, the effects of two methods on them, their clip
counts and which clips are right. Where all classes have as many clips, top1 and mean_class are the same. A
row gives, in percent, the lowest and the highest share over the populations below: "score" of
`score_interval`, "H" of `harmonic_interval` (as many seen as unseen classes), "difference" of the interval
of `class_comparison` (true differences of 0 and others), "claimed" of p <= 0.05 where the true difference
is 0, and "limits" of such claims under effects that the test does not allow for, see LIMITS.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
import pandas as pd

from zsar_lab.results.statistics import LEVEL, class_comparison, harmonic_interval, score_interval

CLASSES = (5, 10, 24, 50, 101)
SCORES = (
    (2, 2),
    (1, 3),
    (0.6, 1.4),
    (0.5, 0.5),
    (6, 2),
    (4, 6),
    (1.5, 3.5),
    (9, 1),
)  # beta(a, b) over classes
CLIPS = 30  # of every class, where equal
FEWEST, MOST = 10, 300  # log-uniform, where unequal
SHARED = 0.6  # of the clips are as hard for both methods, the others right or wrong independently


def expit(x):
    return 1 / (1 + np.exp(-x))


def alike(random, shape):
    """Both methods spread around the class's difficulty."""
    difficulty = random.normal(-0.5, 1.2, shape)
    return tuple(expit(difficulty + random.normal(0, 0.5, shape)) for _ in range(2))


def heavy_tailed(random, shape):
    """Few classes differ much, by a t distribution of 3 degrees of freedom, either way."""
    difficulty, effect = random.normal(-0.5, 1.2, shape), 0.6 * random.standard_t(3, shape)
    pair = expit(difficulty), expit(difficulty + effect)
    swapped = random.random(shape) < 0.5
    return np.where(swapped, *pair), np.where(swapped, *pair[::-1])


def unrelated(random, shape):
    """The accuracies of the two methods have nothing to do with each other."""
    return random.beta(1, 2, shape), random.beta(1, 2, shape)


def identical(random, shape):
    """The methods differ by the luck of the clips alone."""
    accuracy = random.beta(1, 2, shape)
    return accuracy, accuracy


def better(random, shape):
    """The first is better: beta(2, 2) against beta(1, 2)."""
    return random.beta(2, 2, shape), random.beta(1, 2, shape)


def slightly_better(random, shape):
    """The first is better by 0.4 on the logit scale, give or take 0.5."""
    difficulty = random.normal(-0.5, 1.2, shape)
    return expit(difficulty + random.normal(0.4, 0.5, shape)), expit(difficulty)


def one_in_four_loses(random, shape):
    """Three in four classes gain 6 points, the others lose 18: none on average, but not symmetric."""
    accuracy = 0.2 + 0.6 * random.beta(2, 2, shape)
    return accuracy, accuracy + np.where(random.random(shape) < 0.75, 0.06, -0.18)


NO_DIFFERENCE, DIFFERENCE, LIMITS = (
    (alike, heavy_tailed, unrelated, identical),
    (better, slightly_better),
    (one_in_four_loses,),
)


def draw_clips(random, n_classes, unequal):
    """Clip counts of the classes and their weights in top1."""
    clips = np.full(n_classes, CLIPS)
    if unequal:
        clips = np.exp(random.uniform(np.log(FEWEST), np.log(MOST), n_classes)).round().astype(int)
    return clips, clips / clips.sum()


def covered(n_classes, unequal, quantity, beta, runs, seed, of_harmonic=False):
    """Share of runs whose interval of a score (or of H) holds the truth."""
    random, n_held = np.random.default_rng(seed), 0
    truth = beta[0] / sum(beta)
    for _ in range(runs):
        sides = []
        for _ in range(1 + of_harmonic):
            clips, weights = draw_clips(random, n_classes, unequal)
            right = random.binomial(clips, random.beta(*beta, n_classes))
            sides.append((right, clips, weights if quantity == "top1" else np.full(n_classes, 1 / n_classes)))
        if of_harmonic:
            tables = [pd.DataFrame({"right": right, "clips": clips}) for right, clips, _ in sides]
            low, high = harmonic_interval(*tables, quantity)
        else:
            ((right, clips, weights),) = sides
            low, high = score_interval(right / clips, weights)
        n_held += low <= truth <= high
    return n_held / runs


def compared(n_classes, unequal, quantity, accuracies, runs, seed):
    """Share of runs whose interval of a difference holds the truth, and share with p <= 0.05."""
    random, n_held, n_claimed = np.random.default_rng(seed), 0, 0
    truth = 0.0
    if accuracies in DIFFERENCE:
        truth = float(np.subtract(*accuracies(np.random.default_rng(1), 2_000_000)).mean())
    for _ in range(runs):
        clips, weights = draw_clips(random, n_classes, unequal)
        a, b = accuracies(random, n_classes)
        shared = random.binomial(clips, SHARED)
        gained = np.sign(a - b) * random.binomial(shared, np.abs(a - b))
        gained = gained + random.binomial(clips - shared, a) - random.binomial(clips - shared, b)
        weights = weights if quantity == "top1" else np.full(n_classes, 1 / n_classes)
        found = class_comparison(gained / clips, weights)
        n_held += found.low <= truth <= found.high
        n_claimed += found.p <= LEVEL
    return n_held / runs, n_claimed / runs


def simulate(n_classes, unequal, quantity, runs):
    """A row of the table: lowest and highest share over the populations, in percent."""
    setting = n_classes, unequal, quantity
    scores = [covered(*setting, beta, runs, seed) for seed, beta in enumerate(SCORES)]
    harmonic = [covered(*setting, beta, runs, seed, True) for seed, beta in enumerate(SCORES[:3])]
    zero = [compared(*setting, accuracies, runs, seed) for seed, accuracies in enumerate(NO_DIFFERENCE)]
    other = [compared(*setting, accuracies, runs, seed) for seed, accuracies in enumerate(DIFFERENCE)]
    limits = [compared(*setting, accuracies, runs, seed) for seed, accuracies in enumerate(LIMITS)]
    shares = {
        "score": scores,
        "H": harmonic,
        "difference": [held for held, _ in zero + other],
        "claimed": [claimed for _, claimed in zero],
        "limits": [claimed for _, claimed in limits],
    }
    clips = f"{FEWEST}-{MOST}" if unequal else str(CLIPS)
    found = {name: f"{100 * min(values):.1f}-{100 * max(values):.1f}" for name, values in shares.items()}
    return {"classes": n_classes, "clips": clips, "quantity": quantity} | found


def main(arguments=None):
    """Print the table, a row as soon as it is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5000)
    parser.add_argument("--classes", type=int, nargs="+", default=CLASSES)
    given = parser.parse_args(arguments)
    cases = (False, "top1"), (True, "top1"), (True, "mean_class")
    for n_classes in given.classes:
        for unequal, quantity in cases:
            row = simulate(n_classes, unequal, quantity, given.runs)
            if n_classes == given.classes[0] and not unequal:
                print(" ".join(f"{name:>12}" for name in row))
            print(" ".join(f"{value:>12}" for value in row.values()), flush=True)


if __name__ == "__main__":
    sys.exit(main())
