"""Hubness reductions: each is fitted on a query bank, the scores of other clips for the same classes.

A class that is near to many clips whatever they show (a hub) takes predictions from the others; the bank tells which
classes are. csls, inverted_softmax, qb_norm and local_scaling change a clip's order of classes through one figure a
class, globally_corrected and mutual_proximity through the class's whole distribution of scores over the bank. A bank
that holds a clip to score holds its scores too.

Shapes: B clips to score, N bank clips, C candidate classes, D width. Scores are similarities, larger is nearer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zsar_lab.methods.clips import INDUCTIVE, TRANSDUCTIVE, ClipGroup, Fitted, SplitClips, nearest_scores
from zsar_lab.methods.metrics import top_k_accuracy
from zsar_lab.text.relatedness import unit

KS, BETAS = (1, 3, 5, 10), (1.0, 5.0, 10.0, 20.0, 50.0)
LARGEST = 1e100  # of a score in size, so that no sum, square or product of scores leaves float64
COSINE_ROUNDING = 1e-4  # float32 cosines may leave -1..1 by less
LEAST_SCALE = 1e-6  # of a distance in local scaling, so that coinciding points divide by no zero


@dataclass(frozen=True, eq=False)
class QueryBank:
    """Scores of clips for the candidate classes, checked when made; `make_query_bank` finds its setting.

    Attributes:
        scores_NC: float64, by the method whose hubs are reduced; classes in the order of the scores to change.
        ids: of the clips.
        setting: "transductive" when it holds a clip that is scored or of the test set, else "inductive".
        n_test: how many of its clips are of the test set.

    Raises:
        ValueError: no clip or no class, a score that is not finite, other numbers of ids, or a setting that does not fit.
    """

    scores_NC: np.ndarray
    ids: tuple[str, ...]
    setting: str
    n_test: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "scores_NC", checked_rows("the scores of a query bank", self.scores_NC))
        if not self.scores_NC.size or len(self.ids) != len(self.scores_NC):
            raise ValueError(
                f"a query bank needs a clip, a class, and an id for each clip, got {self.scores_NC.shape} scores and"
                f" {len(self.ids)} ids"
            )
        allowed = (TRANSDUCTIVE,) if self.n_test else (INDUCTIVE, TRANSDUCTIVE)
        if self.setting not in allowed:
            raise ValueError(
                f"a query bank with {self.n_test} test clips must be {' or '.join(allowed)}, got {self.setting!r}"
            )


def make_query_bank(
    scores_NC: np.ndarray,
    ids: Sequence[str],
    scored_ids: Collection[str],
    test_ids: Collection[str],
    inductive_only: bool = False,
) -> QueryBank:
    """A bank whose setting follows from its clips.

    Args:
        scores_NC: see `QueryBank`.
        ids: of the N clips.
        scored_ids: the clips whose scores will be changed (validation clips when settings are chosen).
        test_ids: all clips of the test set; under a generalised protocol the held-out clips of seen classes too.
        inductive_only: refuse a transductive bank.

    Raises:
        ValueError: `inductive_only` and it is transductive, no scored clip is named, or as `QueryBank`.
    """
    if not len(scored_ids):
        raise ValueError("a query bank must be told which clips are scored, got none")
    test, scored = set(test_ids), set(scored_ids)
    looked_at = [clip for clip in ids if clip in test or clip in scored]
    if inductive_only and looked_at:
        raise ValueError(
            f"an inductive query bank must hold no clip that is scored or tested, got {len(looked_at)}, such as {looked_at[0]!r}"
        )
    setting = TRANSDUCTIVE if looked_at else INDUCTIVE
    return QueryBank(scores_NC, tuple(ids), setting, sum(clip in test for clip in looked_at))


@dataclass(frozen=True, eq=False)
class FittedReduction:
    """A hubness reduction fitted on a query bank.

    Attributes:
        name: its identifier.
        setting: the bank's.
        settings: k or beta; empty where there is none.
        apply: from scores [B, C] to reduced ones, finite float64 [B, C], larger is nearer; ValueError when they are not
            finite or not of as many classes as the bank's.
    """

    name: str
    setting: str
    settings: dict[str, Any]
    apply: Callable[[np.ndarray], np.ndarray]


def csls(bank: QueryBank, k: int = 10) -> FittedReduction:
    """Cross-domain similarity local scaling: 2 s(v, c) - r_C(v) - r_B(c).

    r_C(v) is the mean of the k best similarities of the clip over the classes, r_B(c) that of the class over
    the bank. Only r_B changes a clip's order of classes: half of it is subtracted from s, so half of what a
    class has too much of everywhere stays.

    Raises:
        ValueError: k is not in 1..min(C, N).

    Source: Conneau et al., Word Translation Without Parallel Data, ICLR 2018. There r_B is over all queries,
    which makes it transductive; here over whatever the bank holds.
    """
    _check_k(k, bank)
    near_C = _best(bank.scores_NC.T, k).mean(1)

    def reduce(scores_BC: np.ndarray) -> np.ndarray:
        return 2 * scores_BC - _best(scores_BC, k).mean(1, keepdims=True) - near_C

    return _fitted("csls", bank, {"k": k}, reduce)


def globally_corrected(bank: QueryBank) -> FittedReduction:
    """Minus the rank of the clip among the bank for each class: -(1 + #{v' in B: s(v', c) > s(v, c)}) + #{c': s(v, c') < s(v, c)} / C.

    The last term, below 1, settles ties of rank by s. A class's scores are replaced by their places in its
    bank, which never reverses the order of clips but differs from class to class.

    Source: Dinu, Lazaridou and Baroni, Improving Zero-Shot Learning by Mitigating the Hubness Problem, ICLR
    workshop 2015. There ties are settled by subtracting the cosine from the rank, which can outweigh a rank
    as cosines differ by up to 2; ours cannot.
    """
    sorted_CN = _sorted_by_class(bank)

    def reduce(scores_BC: np.ndarray) -> np.ndarray:
        nearer_BC = sorted_CN.shape[1] - _places(sorted_CN, scores_BC, "right")
        return _lower_classes(scores_BC) / len(sorted_CN) - 1 - nearer_BC

    return _fitted("globally_corrected", bank, {}, reduce)


def inverted_softmax(bank: QueryBank, beta: float) -> FittedReduction:
    """The log of exp(beta s(v, c)) / sum over v' in B of exp(beta s(v', c)); the log keeps the order, and small shares do not vanish.

    A clip's order of classes changes by a constant a class: s less a soft maximum of the class over the bank.

    Raises:
        ValueError: beta is not above 0, or over 1e100.

    Source: Smith et al., Offline Bilingual Word Vectors, Orthogonal Transformations and the Inverted Softmax,
    ICLR 2017. There a normaliser makes each query's shares sum to 1; a constant of a clip, left out here.
    """
    _check_beta(beta)
    soft_C = _soft_maximum(bank.scores_NC, beta)
    n_bank = len(bank.scores_NC)
    return _fitted(
        "inverted_softmax",
        bank,
        {"beta": beta},
        lambda scores_BC: beta * (scores_BC - soft_C) - np.log(n_bank),
    )


def qb_norm(bank: QueryBank, beta: float) -> FittedReduction:
    """Querybank normalisation: the inverted softmax for the clips whose own best class some bank clip ranks first; other clips keep s.

    For those clips s(v, c) - (h_c - mean of h over the classes), h_c = 1/beta log sum over v' in B of
    exp(beta s(v', c)): the log of the inverted softmax, divided by beta and moved by a constant, so that it
    keeps its order of the classes while all clips stay on the scale of s. A clip is corrected for all classes
    or for none, so its own scores are always of one kind. Ties for the first place go to the first class.

    Raises:
        ValueError: beta is not above 0, or over 1e100.

    Source: Bogolin et al., Cross Modal Retrieval with Querybank Normalisation, CVPR 2022 (beta = 20, and the
    classes ranked first alone, as here). There the corrected clips hold shares and the others similarities,
    two scales that cannot be put together.
    """
    _check_beta(beta)
    activated_C = np.zeros(bank.scores_NC.shape[1], dtype=bool)
    activated_C[bank.scores_NC.argmax(1)] = True
    soft_C = _soft_maximum(bank.scores_NC, beta)
    surplus_C = soft_C - soft_C.mean()

    def reduce(scores_BC: np.ndarray) -> np.ndarray:
        return np.where(activated_C[scores_BC.argmax(1)][:, None], scores_BC - surplus_C, scores_BC)

    return _fitted("qb_norm", bank, {"beta": beta}, reduce)


def local_scaling(bank: QueryBank, k: int) -> FittedReduction:
    """Local scaling as a similarity, log(1 - LS) = -d^2 / (sig_v sig_c), of the distance LS = 1 - exp(-d^2 / (sig_v sig_c)); at most 0.

    d is the Euclidean distance of unit vectors, d^2 = 2 - 2 s, so the scores must be cosines; sig_v is the
    distance of the clip to its k-th nearest class, sig_c that of the class to its k-th nearest bank clip,
    each at least 1e-6. The log keeps the order of LS where exp would give 0 to many. Only sig_c changes a
    clip's order of classes: a factor on d^2 a class.

    Raises:
        ValueError: k is not in 1..min(C, N), or scores (the bank's here, the others when it is applied) leave
            -1..1.

    Source: Zelnik-Manor and Perona, Self-Tuning Spectral Clustering, 2004; against hubs Schnitzer et al.,
    Local and Global Scaling Reduce Hubs in Space, JMLR 2012. There both neighbourhoods are in one set of
    points; here classes and bank clips.
    """
    _check_k(k, bank)
    scale_C = _scale(_squared_distances(bank.scores_NC).T, k)

    def reduce(scores_BC: np.ndarray) -> np.ndarray:
        squared_BC = _squared_distances(scores_BC)
        return -squared_BC / (_scale(squared_BC, k)[:, None] * scale_C)

    return _fitted("local_scaling", bank, {"k": k}, reduce)


def mutual_proximity(bank: QueryBank) -> FittedReduction:
    """P(X > d) P(Y > d), empirical, X over the distances of the clip to the C classes, Y over those of the class to the N bank clips.

    As only the order of distances matters, P(X > d) = a / C with a = #{c': s(v, c') < s(v, c)} and P(Y > d) =
    b / N with b = #{v' in B:
    s(v', c) < s(v, c)}. What is given is (a b + a / C) / (C N), 0..1: the second term, below one step of the
    first, settles ties by s.

    Source: Schnitzer et al., Local and Global Scaling Reduce Hubs in Space, JMLR 2012. There both are points
    of one set and P is of both at once; here X is over classes and Y over clips, so that only the product
    (their independent form) is there.
    """
    sorted_CN = _sorted_by_class(bank)
    n_classes = len(sorted_CN)

    def reduce(scores_BC: np.ndarray) -> np.ndarray:
        lower_BC = _lower_classes(scores_BC)
        return lower_BC * (_places(sorted_CN, scores_BC, "left") + 1 / n_classes) / sorted_CN.size

    return _fitted("mutual_proximity", bank, {}, reduce)


FITS: dict[str, Callable[..., FittedReduction]] = {
    fit.__name__: fit
    for fit in (csls, globally_corrected, inverted_softmax, qb_norm, local_scaling, mutual_proximity)
}


@dataclass(frozen=True, eq=False)
class ReducedScores:
    """A method's scores of the test clips under one reduction, and what validation chose for it."""

    reduction: str
    setting: str
    settings: dict[str, Any]
    validation_top1: float
    scores_BC: np.ndarray


def reduced_scores(
    fitted: Fitted, split: SplitClips, grids: Mapping[str, Callable[[int], list[dict[str, Any]]]]
) -> Iterator[ReducedScores]:
    """The test clips' scores centred, then under each of FITS with an inductive bank, then with a transductive one.

    Inductive: the bank is the training clips' scores for the candidate classes; transductive: those of the clips
    themselves, all at once. Settings are chosen in the same way on the clips of the validation classes.

    Args:
        fitted: a method that compares clips with a point of each class, by cosine.
        split: its clips.
        grids: of each reduction, from the largest k possible to the settings tried.

    Raises:
        ValueError: the method has no points, or as `Fitted.scores`.
    """
    if fitted.points is None:
        raise ValueError(
            f"hubness is reduced for a method that compares clips with points, {fitted.method!r} has none"
        )
    groups, mean_D = (split.validation, split.test), split.train.embedding_BD.mean(0)
    on_validation, on_test = (
        nearest_scores(*centred(group.embedding_BD, fitted.points(group.names), mean_D)) for group in groups
    )
    top1 = top_k_accuracy(on_validation, split.validation.targets, 1)
    yield ReducedScores("centring", INDUCTIVE, fitted.settings, top1, on_test)
    on_validation, on_test = (fitted.scores(group) for group in groups)
    for setting in (INDUCTIVE, TRANSDUCTIVE):
        validation_bank, test_bank = (_bank(fitted, split, group, setting) for group in groups)
        most = min(*validation_bank.scores_NC.shape, *test_bank.scores_NC.shape)
        for name, fit in FITS.items():
            given = validation_bank, on_validation, split.validation.targets
            chosen, top1 = choose_reduction(fit, grids[name](most), *given)
            settings = fitted.settings | {f"{name}_{key}": value for key, value in chosen.items()}
            yield ReducedScores(name, setting, settings, top1, fit(test_bank, **chosen).apply(on_test))


def _bank(fitted: Fitted, split: SplitClips, group: ClipGroup, setting: str) -> QueryBank:
    """The training clips' scores for the classes of a group, or those of its own clips."""
    if setting == TRANSDUCTIVE:
        return make_query_bank(fitted.scores(group), group.ids, group.ids, split.test.ids)
    train = split.train
    scores_NC = fitted.scores(ClipGroup(group.names, train.ids, train.embedding_BD, train.targets))
    return make_query_bank(scores_NC, train.ids, group.ids, split.test.ids, inductive_only=True)


def choose_reduction(
    fit: Callable[..., FittedReduction],
    grid: Iterable[Mapping[str, Any]],
    bank: QueryBank,
    scores_BC: np.ndarray,
    targets: np.ndarray,
) -> tuple[dict[str, Any], float]:
    """Choose a reduction's settings on clips of the validation classes.

    Args:
        fit: one of FITS.
        grid: the settings to try, for example [{"k": 1}, {"k": 5}].
        bank: scores of its clips for the validation classes; it may not hold a test clip.
        scores_BC: of the validation clips for these classes.
        targets: the clips' classes, 0..C - 1.

    Returns:
        The settings with the best top-1, the first of equals, and that top-1, 0..1.

    Raises:
        ValueError: an empty grid, a bank with test clips, or settings out of range.
    """
    if bank.n_test:
        raise ValueError(
            f"settings must be chosen without test clips, got a query bank with {bank.n_test} of them"
        )
    top1 = [
        (dict(settings), top_k_accuracy(fit(bank, **settings).apply(scores_BC), targets, 1))
        for settings in grid
    ]
    if not top1:
        raise ValueError("the grid must hold settings to choose from, got none")
    return max(top1, key=lambda pair: pair[1])


def centred(
    embedding_BD: np.ndarray, class_CD: np.ndarray, mean_D: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Centring: subtract the training clips' mean from clips and visual prototypes, and make unit rows; for `nearest_scores`, inductive.

    It needs no bank. What all clips share no longer counts in a cosine, and a class near to what they share
    is a hub no more.

    Args:
        embedding_BD: clips; class_CD: visual prototypes, in the same space.
        mean_D: mean of the training clips' embeddings.

    Returns:
        Clips and prototypes, float64, unit rows; a row equal to the mean becomes zeros.

    Raises:
        ValueError: widths differ, or a value is not finite or over 1e100 in size.

    Source: Suzuki et al., Centering Similarity Measures to Reduce Hubs, EMNLP 2013. There the mean is of the
    data searched; here of the training clips, so that no test clip is looked at.
    """
    mean_1D = checked_rows("the mean of the training clips", np.asarray(mean_D)[None])
    groups = (("the clips to centre", embedding_BD), ("the prototypes to centre", class_CD))
    clips, classes = (
        unit(checked_rows(what, rows, mean_1D.shape[1], "take embeddings of the mean's width") - mean_1D)
        for what, rows in groups
    )
    return clips, classes


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


def _fitted(
    name: str, bank: QueryBank, settings: dict[str, Any], reduce: Callable[[np.ndarray], np.ndarray]
) -> FittedReduction:
    n_classes = bank.scores_NC.shape[1]

    def apply(scores_BC: np.ndarray) -> np.ndarray:
        return reduce(
            checked_rows(
                "the scores to reduce", scores_BC, n_classes, "take the classes of the bank, in its order"
            )
        )

    return FittedReduction(name, bank.setting, settings, apply)


def _check_k(k: int, bank: QueryBank) -> None:
    most = min(bank.scores_NC.shape)
    if not 1 <= k <= most:
        n_bank, n_classes = bank.scores_NC.shape
        raise ValueError(
            f"k must be in 1..{most} (there are {n_classes} classes and {n_bank} bank clips), got {k}"
        )


def _check_beta(beta: float) -> None:
    if not 0 < beta <= LARGEST:
        raise ValueError(f"beta must be above 0 and at most {LARGEST:g}, got {beta}")


def _best(scores_XY: np.ndarray, k: int) -> np.ndarray:
    """The k largest of each row, in no order, [X, k]."""
    n = scores_XY.shape[1]
    return np.partition(scores_XY, n - k, axis=1)[:, n - k :]


def _soft_maximum(scores_NC: np.ndarray, beta: float) -> np.ndarray:
    """1/beta log mean over the bank of exp(beta s), [C]: the mean for a small beta, the maximum for a large one."""
    largest_C = scores_NC.max(0)
    return largest_C + np.log1p(np.expm1(beta * (scores_NC - largest_C)).mean(0)) / beta


def _squared_distances(cosines: np.ndarray) -> np.ndarray:
    """2 - 2 s of cosines, 0..4; ValueError for other scores."""
    outside = cosines[np.abs(cosines) > 1 + COSINE_ROUNDING]
    if outside.size:
        raise ValueError(
            f"local scaling needs cosines, in -1..1, got {outside[0]:g}; take mutual_proximity, which works for any scores"
        )
    return 2 - 2 * np.clip(cosines, -1, 1)


def _scale(squared_XY: np.ndarray, k: int) -> np.ndarray:
    """Distance to the k-th nearest of each row, [X]."""
    return np.maximum(np.sqrt(np.partition(squared_XY, k - 1, axis=1)[:, k - 1]), LEAST_SCALE)


def _sorted_by_class(bank: QueryBank) -> np.ndarray:
    return np.sort(np.ascontiguousarray(bank.scores_NC.T), axis=1)


def _places(sorted_CN: np.ndarray, scores_BC: np.ndarray, side: str) -> np.ndarray:
    """How many bank clips score below ("left"), or below or the same ("right"), for each class, [B, C].

    Scores are looked up in about rising order: one is then found near the one before, which takes a third of
    the time, sorting included.
    """
    places_CB = np.empty(scores_BC.shape[::-1], dtype=np.int32)
    for ordered_N, scores_B, places_B in zip(sorted_CN, np.ascontiguousarray(scores_BC.T), places_CB):
        order = _about_rising(scores_B)
        places_B[order] = np.searchsorted(ordered_N, scores_B[order], side)
    return places_CB.T


def _about_rising(scores_B: np.ndarray) -> np.ndarray:
    """An order of the scores by 65,536 steps from the least to the largest: small whole numbers are sorted in half the time."""
    least, largest = scores_B.min(initial=0.0), scores_B.max(initial=0.0)
    step = max((largest - least) / 65_535, 1e-300)
    return np.argsort(((scores_B - least) / step).astype(np.uint16), kind="stable")


def _lower_classes(scores_BC: np.ndarray) -> np.ndarray:
    """How many classes score strictly lower with the same clip, [B, C]."""
    n_clips, n_classes = scores_BC.shape
    order = (
        np.argsort(scores_BC, axis=1) + n_classes * np.arange(n_clips)[:, None]
    )  # places in all scores one after another
    ordered = scores_BC.take(order)
    place = np.broadcast_to(np.arange(n_classes, dtype=np.int32), order.shape)
    tied = ordered[:, 1:] == ordered[:, :-1]
    if tied.any():
        place = place.copy()
        place[:, 1:][tied] = 0
        place = np.maximum.accumulate(place, axis=1)
    lower = np.empty(order.size, dtype=np.int32)
    lower[order.ravel()] = place.ravel()
    return lower.reshape(order.shape)
