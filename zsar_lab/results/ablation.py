"""The ablation: the whole system with one part changed at a time, on identical clips, and the paper's claims against what was found.

Accuracies are fractions, 0..1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from zsar_lab.embed.embeddings import ClipEmbeddings
from zsar_lab.methods.fitted import TextMethods
from zsar_lab.methods.hubness_reduction import CSLS
from zsar_lab.methods.metrics import truth_rank
from zsar_lab.methods.query_bank import INDUCTIVE
from zsar_lab.methods.scores import MethodScores, nearest_scores
from zsar_lab.methods.transfer import TransferSettings, compose_prototypes
from zsar_lab.results.conventions import check_same_embeddings
from zsar_lab.results.evaluate import (
    DIRECT,
    FUSED,
    MATCH,
    RERANKED,
    RIDGE,
    RIDGE_CENTRED,
    TRANSFER,
    SplitResult,
)
from zsar_lab.results.statistics import CLAIM_LEVEL, class_bootstrap, compare_by_class, holm
from zsar_lab.text.embeddings import ClassEmbeddings
from zsar_lab.text.relatedness import KINDS

WHOLE = "the whole system"
WITHOUT, NEIGHBOURS, TEMPERATURE, RELATEDNESS = (
    "without transfer",
    "seen classes used",
    "temperature",
    "relatedness",
)
SOURCE, CORRECTION, TEXT, JOINT, LOSSES = (
    "seen prototypes",
    "hubness correction",
    "class text",
    "joint encoder",
    "losses",
)
KS, TAUS = (1, 3, 5, 10), (0.05, 0.1, 0.2, 0.3)
SUPPORTED, CONTRADICTED, OPEN, NOT_TESTED = (
    "supported",
    "contradicted",
    "cannot be told from these splits",
    "not tested",
)
FEWEST_TRAININGS = 3  # for a claim about a training choice


@dataclass(frozen=True)
class AblationRow:
    """The system with one part changed, beside the whole one: transfer with all settings chosen on validation classes.

    Attributes:
        aspect, variant: what is changed, and to what.
        top1: mean over splits; splits: that of each; ci95: class-bootstrap interval over the clips of all
            splits.
        difference: top-1 of the variant less the whole system's, clip by clip; difference_ci95: its
            class-bootstrap interval.
        same_in: in how many splits validation chose this very variant, so that it is the whole system there.
        p: of "no difference", see `paired_p_value`; None for the whole system, and for a variant that is it
            in every split.
        p_holm: p adjusted by `holm` over all variants of the table that have one.
        detectable: the smallest true difference whose p, not adjusted, is at most 0.05 with 80 % chance, see
            `smallest_detectable`; None without p.
    """

    aspect: str
    variant: str
    top1: float
    splits: tuple[float, ...]
    ci95: tuple[float, float]
    difference: float
    difference_ci95: tuple[float, float]
    same_in: int
    p: float | None
    p_holm: float | None
    detectable: float | None

    @property
    def claimed(self) -> bool:
        """True when a difference to the whole system can be claimed: the adjusted p is at most 0.05."""
        return self.p_holm is not None and self.p_holm <= CLAIM_LEVEL


@dataclass(frozen=True)
class Ablation:
    """The whole system and every variant.

    Attributes:
        whole: the row of the whole system.
        rows: the variants, by aspect.
        n_clips: scored, over all splits; n_classes: different unseen classes; n_trainings: different
            checkpoints.
        left_out: sentences on what could not be scored.
    """

    whole: AblationRow
    rows: tuple[AblationRow, ...]
    n_clips: int
    n_classes: int
    n_trainings: int
    left_out: tuple[str, ...]

    def of(self, aspect: str) -> tuple[AblationRow, ...]:
        """The variants of an aspect, none where it was not scored."""
        return tuple(row for row in self.rows if row.aspect == aspect)


@dataclass(frozen=True)
class Finding:
    """A claim against what was found.

    Attributes:
        claim: what the paper does, and what would have to hold for it to help.
        verdict: "supported", "contradicted", "cannot be told from these splits" or "not tested".
        rows: the comparisons that the verdict rests on; beside: others that speak to it.
        gain: sign of the differences that would support it: -1 where the variant lacks the part, 1 where it
            adds it.
    """

    claim: str
    verdict: str
    rows: tuple[AblationRow, ...]
    beside: tuple[AblationRow, ...]
    gain: int


def ablate(
    results: Sequence[SplitResult],
    clips: Sequence[ClipEmbeddings],
    texts: ClassEmbeddings,
    classifiers: Sequence[np.ndarray] = (),
    losses: Mapping[str, Sequence[SplitResult]] | None = None,
) -> Ablation:
    """Change one part of the system at a time, and compare with the whole on the same clips of the same splits.

    k, tau and the kind of relatedness are given one by one with the other two as validation chose them;
    another source of seen prototypes and another class text have settings chosen for them, as the whole
    system has.

    Args:
        results: the splits of one kind of protocol.
        clips: what each was scored from, in the same order.
        texts: the class texts of the training, of all classes.
        classifiers: for each split the `classifier_weights` of its model, as seen prototypes; none to leave
            that out.
        losses: for each loss that was left out of the training ("no alignment") the same splits trained so,
            compared by their transfer.

    Raises:
        ValueError: no split, embeddings or class texts other than those of the splits, another number of
            classifiers or of splits of a training, another protocol than the split's, or as
            `TextMethods.with_prototypes`.
    """
    check_same_embeddings(results, clips)
    _check_inputs(results, texts, classifiers)
    methods = [
        TextMethods.of(embedded, result.protocol) for result, embedded in zip(results, clips, strict=True)
    ]
    left_out: list[str] = []
    variants = [
        *_of_methods(results, WITHOUT, (DIRECT, RIDGE, RIDGE_CENTRED)),
        *_of_settings(results, methods, texts),
        *_of_classifiers(results, methods, texts, classifiers, left_out),
        *_of_correction(results, left_out),
        *_of_texts(results, left_out),
        *_of_methods(results, JOINT, (MATCH, FUSED, *RERANKED.values())),
        *_of_losses(results, losses or {}, left_out),
    ]
    whole = [_right(result, result.method(TRANSFER)) for result in results]
    classes = np.concatenate([np.array(result.protocol.unseen)[result.targets] for result in results])
    alone = _row(
        WHOLE, "transfer, settings chosen on validation classes", whole, len(results), whole, classes
    )
    rows = _with_holm([_row(*variant, whole, classes) for variant in variants])
    n_trainings = len({result.fingerprints["checkpoint"] for result in results})
    return Ablation(alone, rows, len(classes), len(np.unique(classes)), n_trainings, tuple(left_out))


def claims_against_findings(ablation: Ablation) -> tuple[Finding, ...]:
    """What the paper's abstract says against what was found, each with a verdict from Holm's p and the sign of the differences.

    A claim is supported when every comparison it rests on can be claimed in its favour, contradicted when one
    can be claimed against it and none for it, and otherwise cannot be told, as is one on the training from
    fewer than three trainings. Of the paper only its abstract is known here: it composes unseen visual
    prototypes from seen ones by semantic relatedness (motives: information loss, semantic gap, hubness),
    learns visual representations together with visual-semantic associations, and encodes video and text
    labels jointly, end to end. It does not say what each part gains; that each should gain something is what
    an ablation asks.
    """
    joint = ablation.of(JOINT)
    fused, matched = (
        tuple(row for row in joint if (row.variant == FUSED) == is_fused) for is_fused in (True, False)
    )
    few = ablation.n_trainings < FEWEST_TRAININGS
    return (
        _finding(
            "The paper composes visual prototypes of unseen classes from those of seen ones, against information loss, the semantic gap and"
            " hubness. Then transfer should score above comparing clips with texts directly.",
            ablation.of(WITHOUT),
            -1,
        ),
        _finding(
            "The paper learns visual representations together with visual-semantic associations. Then leaving out a visual-semantic loss should"
            " cost.",
            ablation.of(LOSSES),
            -1,
            open_anyway=few,
        ),
        _finding(
            "The paper encodes video and text labels jointly, end to end. Then the joint encoder's score added to transfer's should score above"
            " transfer alone.",
            fused,
            1,
            matched,
        ),
    )


def _finding(
    claim: str,
    rows: tuple[AblationRow, ...],
    gain: int,
    beside: tuple[AblationRow, ...] = (),
    open_anyway: bool = False,
) -> Finding:
    signs = [np.sign(row.difference) * gain for row in rows if row.claimed]
    if not rows:
        verdict = NOT_TESTED
    elif open_anyway:
        verdict = OPEN
    elif signs.count(1) == len(rows):
        verdict = SUPPORTED
    else:
        verdict = CONTRADICTED if -1 in signs and 1 not in signs else OPEN
    return Finding(claim, verdict, rows, beside, gain)


# aspect, variant, which clips are right in each draw, in how many draws it is the whole system
_Variant = tuple[str, str, list[np.ndarray], int]


def _right(result: SplitResult, scored: MethodScores) -> np.ndarray:
    return truth_rank(scored.scores_BC, result.targets) == 1


def _row(
    aspect: str,
    variant: str,
    right: list[np.ndarray],
    same_in: int,
    whole: list[np.ndarray],
    classes: np.ndarray,
) -> AblationRow:
    """A variant beside the whole system, its p not yet adjusted."""
    of_variant, of_whole = np.concatenate(right), np.concatenate(whole)
    pair = compare_by_class([_by_class(of_variant, classes)], [_by_class(of_whole, classes)])
    p, detectable = (pair.p, pair.detectable) if same_in < len(whole) else (None, None)
    splits = tuple(float(of_split.mean()) for of_split in right)
    interval = class_bootstrap(of_variant, classes)
    return AblationRow(
        aspect,
        variant,
        float(np.mean(splits)),
        splits,
        interval,
        pair.difference,
        pair.ci95,
        same_in,
        p,
        None,
        detectable,
    )


def _by_class(right: np.ndarray, classes: np.ndarray) -> dict[str, tuple[int, int]]:
    """(right clips, clips) of each class."""
    names, group = np.unique(classes, return_inverse=True)
    return dict(
        zip(
            names.tolist(),
            zip(np.bincount(group, weights=right).astype(int).tolist(), np.bincount(group).tolist()),
        )
    )


def _with_holm(rows: list[AblationRow]) -> tuple[AblationRow, ...]:
    compared = [row for row in rows if row.p is not None]
    adjusted = iter(holm([row.p for row in compared]).tolist())
    return tuple(row if row.p is None else replace(row, p_holm=next(adjusted)) for row in rows)


def _of_methods(results: Sequence[SplitResult], aspect: str, names: tuple[str, ...]) -> Iterator[_Variant]:
    for name in names:
        yield aspect, name, [_right(result, result.method(name)) for result in results], 0


def _of_settings(
    results: Sequence[SplitResult], methods: Sequence[TextMethods], texts: ClassEmbeddings
) -> Iterator[_Variant]:
    """Each of k, tau and the kind of relatedness given, the two others as validation chose them."""
    fewest = min(len(result.protocol.seen) for result in results)
    changes: list[tuple[str, str, str, object]] = [(NEIGHBOURS, "all of them (dense)", "k", None)]
    changes += [(NEIGHBOURS, f"k = {k}", "k", k) for k in KS if k < fewest]
    changes += [(TEMPERATURE, f"tau = {tau:g}", "tau", tau) for tau in TAUS]
    changes += [(RELATEDNESS, kind, "relatedness", kind) for kind in KINDS]
    chosen = [TransferSettings(**result.method(TRANSFER).settings) for result in results]
    for aspect, variant, field, value in changes:
        given = [
            replace(own, **{field: len(r.protocol.seen) if value is None else value})
            for own, r in zip(chosen, results, strict=True)
        ]
        right = [
            _right_with(*of_split, texts, settings)
            for *of_split, settings in zip(results, methods, given, strict=True)
        ]
        yield (
            aspect,
            variant,
            right,
            sum(own == settings for own, settings in zip(chosen, given, strict=True)),
        )


def _right_with(
    result: SplitResult, methods: TextMethods, texts: ClassEmbeddings, settings: TransferSettings
) -> np.ndarray:
    """Which clips transfer with these settings names rightly."""
    prototypes = compose_prototypes(
        methods.weights(texts, methods.test.names, settings), methods.seen_prototypes
    )
    return truth_rank(nearest_scores(methods.test.embedding_BD, prototypes), result.targets) == 1


def _of_classifiers(
    results: Sequence[SplitResult],
    methods: Sequence[TextMethods],
    texts: ClassEmbeddings,
    classifiers: Sequence[np.ndarray],
    left_out: list[str],
) -> Iterator[_Variant]:
    if not classifiers:
        left_out.append(f"{SOURCE}: no classifier weights were given")
        return
    right = []
    for result, of_split, weights_SD in zip(results, methods, classifiers, strict=True):
        with_weights = of_split.with_prototypes(weights_SD)
        right.append(
            truth_rank(with_weights.fit(texts, TRANSFER).scores(with_weights.test), result.targets) == 1
        )
    yield SOURCE, "classifier weights", right, 0


def _of_correction(results: Sequence[SplitResult], left_out: list[str]) -> Iterator[_Variant]:
    found = [
        [s for s in result.corrected if (s.method, s.setting) == (f"{TRANSFER}, {CSLS}", INDUCTIVE)]
        for result in results
    ]
    if not all(found):
        left_out.append(f"{CORRECTION}: {CSLS} was not scored")
        return
    yield (
        CORRECTION,
        f"with {CSLS}, inductive",
        [_right(result, scored[0]) for result, scored in zip(results, found, strict=True)],
        0,
    )


def _of_texts(results: Sequence[SplitResult], left_out: list[str]) -> Iterator[_Variant]:
    own = results[0].method(TRANSFER).class_text
    by_prompt = [
        {s.class_text: s for s in result.texts if s.method == TRANSFER and s.class_text != own}
        for result in results
    ]
    prompts = [prompt for prompt in by_prompt[0] if all(prompt in scored for scored in by_prompt)]
    if not prompts:
        left_out.append(f"{TEXT}: no other prompt was scored")
    for prompt in prompts:
        yield (
            TEXT,
            prompt,
            [_right(r, scored[prompt]) for r, scored in zip(results, by_prompt, strict=True)],
            0,
        )


def _of_losses(
    results: Sequence[SplitResult], losses: Mapping[str, Sequence[SplitResult]], left_out: list[str]
) -> Iterator[_Variant]:
    if not losses:
        left_out.append(f"{LOSSES}: no training without one of them was given")
    for name, others in losses.items():
        if len(others) != len(results):
            raise ValueError(
                f"a training without a loss must have the same {len(results)} splits, {name!r} has {len(others)}; score all of them"
            )
        yield (
            LOSSES,
            name,
            [_right_of_other(name, result, other) for result, other in zip(results, others, strict=True)],
            0,
        )


def _right_of_other(name: str, result: SplitResult, other: SplitResult) -> np.ndarray:
    """Which clips the transfer of another training names rightly, in the order of the split's clips."""
    hashes = [(r.protocol.hash, r.fingerprints["class_text"]) for r in (result, other)]
    for what, own, its in zip(("protocol", "class text"), *hashes, strict=True):
        if own != its:
            split = result.protocol.name
            raise ValueError(
                f"a training without a loss must share each split's {what}, {own} for {split!r}, {name!r} has {its}; train it with that"
            )
    right = dict(zip(other.ids, _right(other, other.method(TRANSFER)), strict=True))
    return np.array([right[clip] for clip in result.ids])


def _check_inputs(
    results: Sequence[SplitResult], texts: ClassEmbeddings, classifiers: Sequence[np.ndarray]
) -> None:
    for result in results:
        if result.fingerprints["class_text"] != texts.class_text.fingerprint:
            own, given = (
                f"{text.prompt!r} ({text.fingerprint})" for text in (result.class_text, texts.class_text)
            )
            raise ValueError(
                f"the class texts must be those of the training, {own} for {result.protocol.name!r}, got {given}; give those"
            )
    if classifiers and len(classifiers) != len(results):
        raise ValueError(
            f"classifier weights must be given for all {len(results)} splits or for none, got {len(classifiers)}; take each checkpoint's"
        )
