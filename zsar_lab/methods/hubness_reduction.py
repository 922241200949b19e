"""REDUCTIONS of hubness: each is fitted on a query bank, the scores of other clips for the same classes.

A hub is a class near to many clips whatever they show; the bank tells which classes are. Shapes: B clips to
score, N bank clips, C candidate classes, D width; of scores larger is nearer. Each fit returns a function
from scores [B, C] to reduced ones, finite float64 [B, C], which raises ValueError for scores that are not
finite or of another number of classes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from zsar_lab.methods.clips import INDUCTIVE, TRANSDUCTIVE, ClipGroup, Fitted, SplitClips, nearest_scores
from zsar_lab.methods.metrics import top_k_accuracy
from zsar_lab.text.relatedness import unit

KS, BETAS = (1, 3, 5, 10), (1.0, 5.0, 10.0, 20.0, 50.0)
LARGEST = 1e100  # of a score in size, so that no sum, square or product of scores leaves float64
COSINE_ROUNDING = 1e-4  # float32 cosines may leave -1..1 by less
LEAST_SCALE = 1e-6  # of a distance in local scaling, so that coinciding points divide by no zero

Reduce = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class QueryBank:
    """Scores of clips for the candidate classes, by the method whose hubs are reduced.

    Attributes:
        scores_NC: kept as float64.
        ids: of the N clips.
        scored_ids: the clips whose scores will be changed (validation clips when settings are chosen).
        test_ids: all test clips; under a generalised protocol the held-out clips of seen classes too.
        inductive_only: refuse a bank that holds one of these clips.

    Raises:
        ValueError: no clip, class or scored clip, a score that is not finite, other numbers of ids, or
            `inductive_only` and it is transductive.
    """

    scores_NC: np.ndarray
    ids: Sequence[str]
    scored_ids: Collection[str]
    test_ids: Collection[str]
    inductive_only: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "scores_NC", checked_rows("the scores of a query bank", self.scores_NC))
        if not self.scores_NC.size or len(self.ids) != len(self.scores_NC) or not self.scored_ids:
            got = f"{self.scores_NC.shape}, {len(self.ids)} and {len(self.scored_ids)}"
            raise ValueError(f"a query bank needs clips, classes, an id a clip, and scored clips, got {got}")
        if self.inductive_only and self.looked_at:
            got = f"{len(self.looked_at)}, such as {self.looked_at[0]!r}"
            raise ValueError(f"an inductive query bank must hold no clip that is scored or tested, got {got}")

    @cached_property
    def sorted_CN(self) -> np.ndarray:
        """The scores of each class, upwards."""
        return np.sort(np.ascontiguousarray(self.scores_NC.T), axis=1)

    @cached_property
    def looked_at(self) -> list[str]:
        """Its clips that are scored or tested; with any of them it is transductive, else inductive."""
        looked_at = {*self.scored_ids, *self.test_ids}
        return [clip for clip in self.ids if clip in looked_at]


def csls(bank: QueryBank, k: int = 10) -> Reduce:
    """Cross-domain similarity local scaling: 2 s(v, c) - r_C(v) - r_B(c), r the mean of the k best.

    Source: Conneau et al., Word Translation Without Parallel Data, ICLR 2018 (there r_B is over all queries).
    """
    _check_k(k, bank)
    near_C = _best(bank.scores_NC.T, k).mean(1)

    def reduce(scores_BC: np.ndarray) -> np.ndarray:
        return 2 * scores_BC - _best(scores_BC, k).mean(1, keepdims=True) - near_C

    return _checked(bank, reduce)


def globally_corrected(bank: QueryBank) -> Reduce:
    """-(1 + #{v' in B: s(v', c) > s(v, c)}) + #{c': s(v, c') < s(v, c)} / C: the clip's rank among the bank.

    Source: Dinu, Lazaridou and Baroni, Improving Zero-Shot Learning by Mitigating the Hubness Problem, ICLR
    workshop 2015 (there ties are settled by subtracting the cosine, which can outweigh a rank).
    """
    sorted_CN = bank.sorted_CN

    def reduce(scores_BC: np.ndarray) -> np.ndarray:
        nearer_BC = sorted_CN.shape[1] - _places(sorted_CN, scores_BC, "right")
        return _lower_classes(scores_BC) / len(sorted_CN) - 1 - nearer_BC

    return _checked(bank, reduce)


def inverted_softmax(bank: QueryBank, beta: float) -> Reduce:
    """The log of exp(beta s(v, c)) / sum over v' in B of exp(beta s(v', c)).

    Source: Smith et al., Offline Bilingual Word Vectors, Orthogonal Transformations and the Inverted Softmax,
    ICLR 2017. There a normaliser makes each query's shares sum to 1; a constant of a clip, left out here.
    """
    _check_beta(beta)
    soft_C, n_bank = _soft_maximum(bank.scores_NC, beta), len(bank.scores_NC)
    return _checked(bank, lambda scores_BC: beta * (scores_BC - soft_C) - np.log(n_bank))


def qb_norm(bank: QueryBank, beta: float) -> Reduce:
    """The inverted softmax for the clips whose best class some bank clip ranks first; other clips keep s.

    For those clips s(v, c) - (h_c - mean of h over C), h_c = 1/beta log sum over v' in B of exp(beta s(v',
    c)): the log of the inverted softmax on the scale of s. Ties for the first place go to the first class.

    Source: Bogolin et al., Cross Modal Retrieval with Querybank Normalisation, CVPR 2022 (beta = 20; there
    the changed clips hold shares and the others similarities, two scales that cannot be put together).
    """
    _check_beta(beta)
    activated_C = np.zeros(bank.scores_NC.shape[1], dtype=bool)
    activated_C[bank.scores_NC.argmax(1)] = True
    soft_C = _soft_maximum(bank.scores_NC, beta)
    surplus_C = soft_C - soft_C.mean()

    def reduce(scores_BC: np.ndarray) -> np.ndarray:
        return np.where(activated_C[scores_BC.argmax(1)][:, None], scores_BC - surplus_C, scores_BC)

    return _checked(bank, reduce)


def local_scaling(bank: QueryBank, k: int) -> Reduce:
    """-d^2 / (sig_v sig_c), the log of 1 - LS with LS = 1 - exp(-d^2 / (sig_v sig_c)); at most 0.

    d^2 = 2 - 2 s is of unit vectors, so scores must be cosines (ValueError for others); sig_v is the distance
    of the clip to its k-th nearest class, sig_c that of the class to its k-th nearest bank clip, at least
    1e-6.

    Source: Zelnik-Manor and Perona, Self-Tuning Spectral Clustering, 2004; against hubs Schnitzer et al.,
    Local and Global Scaling Reduce Hubs in Space, JMLR 2012 (there both are points of one set).
    """
    _check_k(k, bank)
    scale_C = _scale(_squared_distances(bank.scores_NC).T, k)

    def reduce(scores_BC: np.ndarray) -> np.ndarray:
        squared_BC = _squared_distances(scores_BC)
        return -squared_BC / (_scale(squared_BC, k)[:, None] * scale_C)

    return _checked(bank, reduce)


def mutual_proximity(bank: QueryBank) -> Reduce:
    """(a b + a / C) / (C N), a = #{c': s(v, c') < s(v, c)}, b = #{v' in B: s(v', c) < s(v, c)}; 0..1.

    That is P(X > d) P(Y > d), X over the clip's distances to the classes, Y over the class's to the bank,
    with a / C to settle ties by s.

    Source: Schnitzer et al., Local and Global Scaling Reduce Hubs in Space, JMLR 2012 (there both are points
    of one set; here only the product, their independent form, is there).
    """
    sorted_CN = bank.sorted_CN

    def reduce(scores_BC: np.ndarray) -> np.ndarray:
        lower_BC = _lower_classes(scores_BC)
        return lower_BC * (_places(sorted_CN, scores_BC, "left") + 1 / len(sorted_CN)) / sorted_CN.size

    return _checked(bank, reduce)


@dataclass(frozen=True)
class Reduction:
    """What sits on top of a method: a hubness reduction with its grid, calibrated stacking, propagation."""

    name: str
    label: str
    fit: Callable[..., Reduce] | None = None
    key: str = ""
    grid: tuple[Any, ...] = ()

    def settings(self, most: int) -> list[dict[str, Any]]:
        """The settings tried: k up to `most`, the number of classes and clips there are."""
        grid = [value for value in self.grid if self.key != "k" or value <= most]
        return [{self.key: value} for value in grid] if self.key else [{}]


REDUCTIONS = {
    reduction.name: reduction
    for reduction in (
        Reduction("none", "none"),
        Reduction("centring", "centring"),
        Reduction("csls", "CSLS", csls, "k", KS),
        Reduction("globally_corrected", "globally corrected", globally_corrected),
        Reduction("inverted_softmax", "inverted softmax", inverted_softmax, "beta", BETAS),
        Reduction("qb_norm", "QB-Norm", qb_norm, "beta", BETAS),
        Reduction("local_scaling", "local scaling", local_scaling, "k", KS),
        Reduction("mutual_proximity", "mutual proximity", mutual_proximity),
        Reduction("calibrated_stacking", "calibrated stacking"),
        Reduction("label_propagation", "label propagation"),
        Reduction("label_propagation_balanced", "label propagation, classes of one size"),
    )
}
FITS = {name: reduction.fit for name, reduction in REDUCTIONS.items() if reduction.fit}  # those with a bank


@dataclass(frozen=True, eq=False)
class ReducedScores:
    """A method's scores of the test clips under one reduction, and what validation chose for it."""

    reduction: str
    setting: str
    settings: dict[str, Any]
    validation_top1: float
    scores_BC: np.ndarray


def reduced_scores(fitted: Fitted, split: SplitClips) -> Iterator[ReducedScores]:
    """The test clips' scores centred, then under each of FITS with an inductive, then a transductive bank.

    The inductive bank holds the training clips' scores for the candidate classes, the transductive one those
    of the clips themselves. Settings are chosen likewise on the clips of the validation classes. ValueError
    for a method without points.
    """
    if fitted.points is None:
        raise ValueError(f"hubness is reduced of cosines to points, {fitted.method!r} has none")
    groups, train = (split.validation, split.test), split.train
    mean_D = train.embedding_BD.mean(0)

    def bank(group: ClipGroup, setting: str) -> QueryBank:
        inductive = setting == INDUCTIVE
        clips = replace(train, names=group.names, parts=(train,)) if inductive else group
        return QueryBank(fitted.scores(clips), clips.ids, group.ids, split.test.ids, inductive)

    on_validation, on_test = (
        nearest_scores(*centred(group.embedding_BD, fitted.points(group.names), mean_D)) for group in groups
    )
    top1 = top_k_accuracy(on_validation, split.validation.targets, 1)
    yield ReducedScores("centring", INDUCTIVE, fitted.settings, top1, on_test)
    on_validation, on_test = (fitted.scores(group) for group in groups)
    for setting in (INDUCTIVE, TRANSDUCTIVE):
        validation_bank, test_bank = (bank(group, setting) for group in groups)
        most = min(*validation_bank.scores_NC.shape, *test_bank.scores_NC.shape)
        for name, fit in FITS.items():
            given = most, validation_bank, on_validation, split.validation.targets
            chosen, top1 = choose_reduction(name, *given)
            settings = fitted.settings | {f"{name}_{key}": value for key, value in chosen.items()}
            yield ReducedScores(name, setting, settings, top1, fit(test_bank, **chosen)(on_test))


def choose_reduction(
    name: str, most: int, bank: QueryBank, scores_BC: np.ndarray, targets: np.ndarray
) -> tuple[dict[str, Any], float]:
    """The settings of a reduction with the best top-1 on clips of the validation classes, and that top-1.

    Args:
        name: one of FITS, whose grid is tried; the first of equals is taken.
        most: the largest k there can be.
        bank: for the validation classes; ValueError when it holds test clips.
        scores_BC: of the validation clips for these classes.
        targets: their classes, 0..C - 1.
    """
    if tested := set(bank.test_ids).intersection(bank.looked_at):
        raise ValueError(f"settings must be chosen without test clips, got a bank with {len(tested)} of them")
    grid, fit = REDUCTIONS[name].settings(most), FITS[name]
    top1 = [(one, top_k_accuracy(fit(bank, **one)(scores_BC), targets, 1)) for one in grid]
    return max(top1, key=lambda pair: pair[1])


def centred(
    embedding_BD: np.ndarray, class_CD: np.ndarray, mean_D: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Clips and prototypes less the training clips' mean, unit rows; a row equal to the mean is zeros.

    Raises ValueError for other widths or a value that is not finite.

    Source: Suzuki et al., Centering Similarity Measures to Reduce Hubs, EMNLP 2013 (there the mean is of the
    data searched; here of the training clips, so that no test clip is looked at).
    """
    mean_1D = checked_rows("the mean of the training clips", np.asarray(mean_D)[None])
    groups = (("the clips to centre", embedding_BD), ("the prototypes to centre", class_CD))
    clips, classes = (unit(checked_rows(what, rows, mean_1D.shape[1]) - mean_1D) for what, rows in groups)
    return clips, classes


def checked_rows(what: str, rows: np.ndarray, width: int | None = None) -> np.ndarray:
    """The rows as float64 [any, width]; ValueError for another shape, or values not finite or over 1e100."""
    rows = np.asarray(rows, dtype=float)
    if rows.ndim != 2 or (width is not None and rows.shape[1] != width):
        raise ValueError(f"{what} must have two axes, {width or 'any number of'} columns, got {rows.shape}")
    bad = ~(np.abs(rows) <= LARGEST)
    if bad.any():
        raise ValueError(f"{what} must be finite and at most {LARGEST:g} in size, {int(bad.sum())} are not")
    return rows


def _checked(bank: QueryBank, reduce: Reduce) -> Reduce:
    n_classes = bank.scores_NC.shape[1]
    return lambda scores_BC: reduce(checked_rows("the scores to reduce", scores_BC, n_classes))


def _check_k(k: int, bank: QueryBank) -> None:
    n_bank, n_classes = bank.scores_NC.shape
    most = min(n_bank, n_classes)
    if not 1 <= k <= most:
        raise ValueError(f"k must be in 1..{most} ({n_classes} classes, {n_bank} bank clips), got {k}")


def _check_beta(beta: float) -> None:
    if not 0 < beta <= LARGEST:
        raise ValueError(f"beta must be above 0 and at most {LARGEST:g}, got {beta}")


def _best(scores_XY: np.ndarray, k: int) -> np.ndarray:
    """The k largest of each row, in no order, [X, k]."""
    n = scores_XY.shape[1]
    return np.partition(scores_XY, n - k, axis=1)[:, n - k :]


def _soft_maximum(scores_NC: np.ndarray, beta: float) -> np.ndarray:
    """1/beta log mean over the bank of exp(beta s), [C]: from the mean to the maximum as beta grows."""
    largest_C = scores_NC.max(0)
    return largest_C + np.log1p(np.expm1(beta * (scores_NC - largest_C)).mean(0)) / beta


def _squared_distances(cosines: np.ndarray) -> np.ndarray:
    """2 - 2 s of cosines, 0..4; ValueError for other scores."""
    outside = cosines[np.abs(cosines) > 1 + COSINE_ROUNDING]
    if outside.size:
        raise ValueError(f"local scaling needs cosines, in -1..1, got {outside[0]:g}")
    return 2 - 2 * np.clip(cosines, -1, 1)


def _scale(squared_XY: np.ndarray, k: int) -> np.ndarray:
    """Distance to the k-th nearest of each row, [X]."""
    return np.maximum(np.sqrt(np.partition(squared_XY, k - 1, axis=1)[:, k - 1]), LEAST_SCALE)


def _places(sorted_CN: np.ndarray, scores_BC: np.ndarray, side: Literal["left", "right"]) -> np.ndarray:
    """How many bank clips score below ("left"), or below or the same ("right"), for each class, [B, C]."""
    of_classes = zip(sorted_CN, scores_BC.T, strict=True)
    return np.stack([np.searchsorted(ordered_N, scores_B, side) for ordered_N, scores_B in of_classes], 1)


def _lower_classes(scores_BC: np.ndarray) -> np.ndarray:
    """How many classes score strictly lower with the same clip, [B, C]."""
    order_BC, columns = np.argsort(scores_BC, axis=1), np.arange(scores_BC.shape[1])
    sorted_BC = np.take_along_axis(scores_BC, order_BC, 1)
    lower_BC = np.where(sorted_BC[:, 1:] > sorted_BC[:, :-1], columns[1:], 0)  # where a value is there first
    np.maximum.accumulate(lower_BC, axis=1, out=lower_BC)
    found_BC = np.zeros(scores_BC.shape)
    np.put_along_axis(found_BC, order_BC[:, 1:], lower_BC, 1)
    return found_BC
