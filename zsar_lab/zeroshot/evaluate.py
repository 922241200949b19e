"""One draw's evaluation: every rule on the same clips, its settings chosen on validation classes.

Shapes: B test clips, C candidate (unseen) classes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from zsar_lab.data.protocols.protocol import Protocol
from zsar_lab.text.encoder import ClassEmbeddings
from zsar_lab.training.checkpoint import Checkpoint
from zsar_lab.training.loop import text_inputs
from zsar_lab.zeroshot import rules
from zsar_lab.zeroshot.embed import ClipEmbeddings
from zsar_lab.zeroshot.metrics import top_k_accuracy
from zsar_lab.zeroshot.transfer import (
    TransferSettings,
    choose_settings,
    class_means,
    compose_prototypes,
    settings_grid,
    weights_by_text,
)

DIRECT, RIDGE, RIDGE_CENTRED = "direct", "direct, ridge", "direct, ridge centred"
TRANSFER, MATCH, FUSED = "transfer", "match", "transfer + match"
RULES = (DIRECT, RIDGE, RIDGE_CENTRED, TRANSFER, MATCH, FUSED)
PENALTIES = (0.001, 0.01, 0.1)
MATCH_WEIGHTS = (0.25, 0.5, 1.0)


@dataclass(frozen=True)
class RuleScores:
    """One rule on the test clips of one draw.

    Attributes:
        rule: its name, one of RULES.
        class_text: scheme of the class texts it read.
        settings: what was chosen on validation classes.
        validation_top1: of those settings, on clips of the validation classes, 0..1.
        scores_BC: [test clips, unseen classes], larger is nearer.
    """

    rule: str
    class_text: str
    settings: dict[str, Any]
    validation_top1: float
    scores_BC: np.ndarray


@dataclass(frozen=True)
class DrawResult:
    """Everything scored for one draw.

    Attributes:
        protocol: the draw.
        ids, targets: test clips and the index of each one's class in `protocol.unseen`.
        rules: the rules with the training's own class text.
        texts: transfer and both ridge rules with each scheme of class text.
        upper_bound_BC: scores by the true prototypes of the unseen classes, leave-one-out.
        seen_top1: top-1 on held-out clips of seen classes, 0..1.
        prototypes: per kind ("seen", "composed", "true"), unit rows in the order of the protocol's classes.
        weights_US: transfer weights that composed the unseen prototypes.
        fingerprints: of checkpoint, embeddings and class texts.
    """

    protocol: Protocol
    ids: tuple[str, ...]
    targets: np.ndarray
    rules: tuple[RuleScores, ...]
    texts: tuple[RuleScores, ...]
    upper_bound_BC: np.ndarray
    seen_top1: float
    prototypes: dict[str, np.ndarray]
    weights_US: np.ndarray
    fingerprints: dict[str, str]

    def rule(self, name: str) -> RuleScores:
        """The scores of the rule of that name; ValueError when it was not scored."""
        for scored in self.rules:
            if scored.rule == name:
                return scored
        raise ValueError(f"a rule must be one of {', '.join(r.rule for r in self.rules)}, got {name!r}")


@dataclass(frozen=True)
class _Side:
    """Clips of one group of classes: embeddings, tokens, and the index of each clip's class."""

    names: tuple[str, ...]
    ids: tuple[str, ...]
    embedding_BD: np.ndarray
    tokens_BPD: np.ndarray
    targets: np.ndarray

    @staticmethod
    def of(clips: ClipEmbeddings, ids: tuple[str, ...], names: tuple[str, ...]) -> _Side:
        rows = clips.rows(ids)
        position = {name: index for index, name in enumerate(names)}
        targets = np.array([position[clips.labels[row]] for row in rows], dtype=np.int64)
        return _Side(names, ids, clips.embedding_ND[rows], clips.tokens_NPD[rows], targets)


def evaluate_draw(
    checkpoint: Checkpoint, clips: ClipEmbeddings, protocol: Protocol, classes: ClassEmbeddings, other_texts: tuple[ClassEmbeddings, ...] = ()
) -> DrawResult:
    """Score every rule on the unseen classes of a draw.

    Every setting (k, tau, ridge penalty, weight of matching) is the one with the best top-1 on the clips of the validation classes.

    Args:
        checkpoint: trained on this protocol with the class texts `classes`.
        clips: the checkpoint's embeddings of the catalog.
        protocol: the draw.
        classes: the class texts of the training.
        other_texts: further schemes for the comparison of class texts.

    Raises:
        ValueError: checkpoint, class texts and protocol are not of one training, or as `check_can_be_scored`.
    """
    check_can_be_scored(protocol)
    if (checkpoint.inputs.protocol, checkpoint.inputs.class_embeddings) != (protocol.hash, classes.fingerprint):
        raise ValueError(
            f"a checkpoint is scored under the protocol and class text it was trained with, '{checkpoint.path}' is of protocol"
            f" {checkpoint.inputs.protocol} and text {checkpoint.inputs.class_embeddings}, got {protocol.hash} and {classes.fingerprint}"
        )
    train = _Side.of(clips, protocol.train_clips, protocol.seen)
    seen_test = _Side.of(clips, protocol.seen_test_clips, protocol.seen)
    validation = _Side.of(clips, protocol.validation_clips, protocol.validation)
    test = _Side.of(clips, protocol.test_clips, protocol.unseen)
    seen_prototypes = class_means(train.embedding_BD, train.targets, len(protocol.seen))

    own = _from_text(classes, train, validation, test, seen_prototypes)
    direct, match = _from_model(checkpoint, classes, validation, test)
    transfer = own[TRANSFER]
    fused = _fused(transfer, match, validation, test)
    by_name = {DIRECT: direct, **own, MATCH: match, FUSED: fused}
    weights = _weights(classes, protocol.unseen, protocol.seen, TransferSettings(**transfer.test.settings))
    scored = tuple(by_name[name].test for name in RULES)
    return DrawResult(
        protocol=protocol,
        ids=test.ids,
        targets=test.targets,
        rules=scored,
        texts=tuple(
            pair.test for texts in (classes, *other_texts) for pair in _from_text(texts, train, validation, test, seen_prototypes).values()
        ),
        upper_bound_BC=rules.true_prototype_scores(test.embedding_BD, test.targets, len(test.names)),
        seen_top1=top_k_accuracy(rules.nearest_scores(seen_test.embedding_BD, seen_prototypes), seen_test.targets, 1),
        prototypes={
            "seen": seen_prototypes,
            "composed": compose_prototypes(weights, seen_prototypes),
            "true": class_means(test.embedding_BD, test.targets, len(test.names)),
        },
        weights_US=weights,
        fingerprints={"checkpoint": checkpoint.fingerprint, "embeddings": clips.fingerprint, "class_text": classes.class_text.fingerprint},
    )


def check_can_be_scored(protocol: Protocol) -> None:
    """Check that `evaluate_draw` can score a protocol; it needs no training for that.

    Raises:
        ValueError: it is generalised or of several views, or has no validation or no held-out seen clips.
    """
    if protocol.generalised or protocol.views != 1:
        kind = "a generalised one" if protocol.generalised else f"one of {protocol.views} views"
        raise ValueError(
            f"scoring is there for protocols with unseen candidates alone and 1 view a clip, {protocol.name!r} is {kind}; evaluation of "
            "generalised protocols and of 25 views is not there yet, so use the plain variant of the protocol"
        )
    for what, ids, cure in (
        ("validation classes (settings are chosen on them)", protocol.validation_clips, "n_validation of 2 or more"),
        ("held-out clips of seen classes", protocol.seen_test_clips, "seen_test_share above 0"),
    ):
        if not ids:
            raise ValueError(f"scoring a draw needs {what}, protocol {protocol.name!r} has none; make the protocol with {cure} and train on it")


@dataclass(frozen=True)
class _Scored:
    """A rule's scores of validation clips beside its result on the test clips."""

    validation_BV: np.ndarray
    test: RuleScores


def _from_text(
    texts: ClassEmbeddings, train: _Side, validation: _Side, test: _Side, seen_prototypes: np.ndarray
) -> dict[str, _Scored]:
    """The rules that need only clip embeddings and class texts: ridge raw and centred, transfer."""
    text = {side.names: texts.pooled_CF[texts.rows(side.names)].astype(float) for side in (train, validation, test)}
    scheme = texts.class_text.scheme
    scored: dict[str, _Scored] = {}
    maps = {penalty: rules.fit_ridge(train.embedding_BD, train.targets, text[train.names], penalty) for penalty in PENALTIES}
    for name, centred in ((RIDGE, False), (RIDGE_CENTRED, True)):
        on_validation = {p: ridge.scores(validation.embedding_BD, text[validation.names], centred) for p, ridge in maps.items()}
        best = max(PENALTIES, key=lambda p: top_k_accuracy(on_validation[p], validation.targets, 1))
        accuracy = top_k_accuracy(on_validation[best], validation.targets, 1)
        scores = maps[best].scores(test.embedding_BD, text[test.names], centred)
        scored[name] = _Scored(on_validation[best], RuleScores(name, scheme, {"penalty": best}, accuracy, scores))
    chosen, accuracies = choose_settings(
        validation.embedding_BD, validation.targets, text[validation.names], text[train.names], seen_prototypes, settings_grid(len(train.names))
    )

    def composed(side: _Side) -> np.ndarray:
        weights = _weights(texts, side.names, train.names, chosen)
        return rules.nearest_scores(side.embedding_BD, compose_prototypes(weights, seen_prototypes))

    scored[TRANSFER] = _Scored(composed(validation), RuleScores(TRANSFER, scheme, asdict(chosen), accuracies[chosen], composed(test)))
    return scored


def _from_model(checkpoint: Checkpoint, classes: ClassEmbeddings, validation: _Side, test: _Side) -> tuple[_Scored, _Scored]:
    """The rules that need the trained model: direct by its label head, match by its cross-modal encoder."""
    model, scheme = checkpoint.model(), classes.class_text.scheme

    def scores(side: _Side) -> tuple[np.ndarray, np.ndarray]:
        inputs = text_inputs(classes, side.names, checkpoint.config.model.n_label_tokens, "cpu")
        direct = rules.nearest_scores(side.embedding_BD, rules.label_embeddings(model, inputs))
        return direct, rules.match_scores(model, side.tokens_BPD, inputs)

    on_validation, on_test = scores(validation), scores(test)
    return tuple(
        _Scored(v, RuleScores(name, scheme, {}, top_k_accuracy(v, validation.targets, 1), t))
        for name, v, t in zip((DIRECT, MATCH), on_validation, on_test)
    )


def _fused(transfer: _Scored, match: _Scored, validation: _Side, test: _Side) -> _Scored:
    on_validation = {w: rules.fused_scores(transfer.validation_BV, match.validation_BV, w) for w in MATCH_WEIGHTS}
    best = max(MATCH_WEIGHTS, key=lambda w: top_k_accuracy(on_validation[w], validation.targets, 1))
    accuracy = top_k_accuracy(on_validation[best], validation.targets, 1)
    scores = rules.fused_scores(transfer.test.scores_BC, match.test.scores_BC, best)
    settings = {**transfer.test.settings, "match_weight": best}
    return _Scored(on_validation[best], RuleScores(FUSED, transfer.test.class_text, settings, accuracy, scores))


def _weights(texts: ClassEmbeddings, names: tuple[str, ...], seen: tuple[str, ...], settings: TransferSettings) -> np.ndarray:
    return weights_by_text(texts.pooled_CF[texts.rows(names)].astype(float), texts.pooled_CF[texts.rows(seen)].astype(float), settings)
