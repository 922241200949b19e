"""One draw's evaluation: every rule on the same clips, its settings chosen on validation classes.

Shapes: B test clips, C candidate (unseen) classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from zsar_lab.data.protocols.protocol import Protocol
from zsar_lab.model.rest import ResT
from zsar_lab.text.classtext import ClassText
from zsar_lab.text.embeddings import ClassEmbeddings
from zsar_lab.training.checkpoint import Checkpoint
from zsar_lab.training.loop import TextInputs, text_inputs
from zsar_lab.zeroshot import rules
from zsar_lab.zeroshot.corrected import corrected_scores
from zsar_lab.zeroshot.embed import ClipEmbeddings
from zsar_lab.zeroshot.metrics import top_k_accuracy
from zsar_lab.zeroshot.rules import RuleScores
from zsar_lab.zeroshot.text_rules import RIDGE, RIDGE_CENTRED, TEXT_RULES, TRANSFER, ClipGroup, FittedRule, TextRules
from zsar_lab.zeroshot.transfer import TransferSettings, class_means, compose_prototypes

DIRECT, MATCH, FUSED = "direct", "match", "transfer + match"
RULES = (DIRECT, RIDGE, RIDGE_CENTRED, TRANSFER, MATCH, FUSED)
MATCH_WEIGHTS = (0.25, 0.5, 1.0)


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
        prototypes: unit rows in the order of the protocol's classes, per kind: "seen", "composed", "true" (visual prototypes), "seen text" and
            "unseen text" (semantic embeddings by the trained label head).
        weights_US: transfer weights that composed the unseen prototypes.
        fingerprints: of checkpoint, embeddings, class texts and text encoder, and of the trained text where there is one.
        class_text: that of the training, which the rules read.
        corrected: transfer under each correction of hubness, inductive and transductive.
        text_fingerprints: of the class text of each scheme.
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
    class_text: ClassText
    corrected: tuple[RuleScores, ...] = ()
    text_fingerprints: dict[str, str] = field(default_factory=dict)

    def rule(self, name: str) -> RuleScores:
        """The scores of the rule of that name; ValueError when it was not scored."""
        for scored in self.rules:
            if scored.rule == name:
                return scored
        raise ValueError(f"a rule must be one of {', '.join(r.rule for r in self.rules)}, got {name!r}")


def evaluate_draw(
    checkpoint: Checkpoint,
    clips: ClipEmbeddings,
    protocol: Protocol,
    classes: ClassEmbeddings,
    other_texts: tuple[ClassEmbeddings, ...] = (),
    trained_text: ClassEmbeddings | None = None,
) -> DrawResult:
    """Score every rule on the unseen classes of a draw.

    Every setting (k, tau, ridge penalty, weight of matching) is chosen by top-1 on the clips of the validation classes.

    Args:
        checkpoint: trained on this protocol with the class texts `classes`.
        clips: the checkpoint's embeddings of the catalog.
        protocol: the draw.
        classes: the class texts of the training.
        other_texts: further schemes for the comparison of class texts.
        trained_text: `classes` as the language model reads them after a training of its last layers; direct and match read it. Relatedness and ridge
            stay with the frozen model, so that they are comparable over class texts. None where it was frozen.

    Raises:
        ValueError: checkpoint, class texts and protocol are not of one training, or as `check_can_be_scored`.
    """
    check_can_be_scored(protocol)
    if (checkpoint.inputs.protocol, checkpoint.inputs.class_embeddings) != (protocol.hash, classes.fingerprint):
        raise ValueError(
            f"a checkpoint is scored under the protocol and class text it was trained with, '{checkpoint.path}' is of protocol"
            f" {checkpoint.inputs.protocol} and text {checkpoint.inputs.class_embeddings}, got {protocol.hash} and {classes.fingerprint}"
        )
    wanted = f"{classes.encoder}+{checkpoint.fingerprint}" if checkpoint.config.text_layers else None
    if (trained_text and (trained_text.encoder, trained_text.class_text)) != (wanted and (wanted, classes.class_text)):
        got = f"that of {trained_text.encoder} ({trained_text.class_text.scheme})" if trained_text else "none"
        raise ValueError(
            f"trained_text must be the class text read by this checkpoint's trained layers ({wanted or 'it trained none'}), got"
            f" {got}; take class_embeddings_of"
        )
    text_rules = TextRules.of(clips, protocol)
    validation, test, seen_prototypes = text_rules.validation, text_rules.test, text_rules.seen_prototypes
    seen_test = ClipGroup.of(clips, protocol.seen_test_clips, protocol.seen)

    fits = {name: text_rules.fit(classes, name) for name in TEXT_RULES}
    own = _from_text(text_rules, fits)
    model, read = checkpoint.model(), classes if trained_text is None else trained_text
    n_label_tokens = checkpoint.config.model.n_label_tokens
    inputs = {names: text_inputs(read, names, n_label_tokens, "cpu") for names in (protocol.seen, validation.names, test.names)}
    direct, match = _from_model(model, inputs, clips, (validation, test), classes.class_text.scheme)
    transfer = own[TRANSFER]
    by_name = {DIRECT: direct, **own, MATCH: match, FUSED: _fused(transfer, match, validation)}
    weights = text_rules.weights(classes, protocol.unseen, TransferSettings(**transfer.test.settings))
    of_others = ({name: text_rules.fit(texts, name) for name in TEXT_RULES} for texts in other_texts)
    by_text = [own, *(_from_text(text_rules, of_text) for of_text in of_others)]
    return DrawResult(
        protocol=protocol,
        ids=test.ids,
        targets=test.targets,
        rules=tuple(by_name[name].test for name in RULES),
        texts=tuple(scored.test for of_text in by_text for scored in of_text.values()),
        upper_bound_BC=rules.true_prototype_scores(test.embedding_BD, test.targets, len(test.names)),
        seen_top1=top_k_accuracy(rules.nearest_scores(seen_test.embedding_BD, seen_prototypes), seen_test.targets, 1),
        prototypes={
            "seen": seen_prototypes,
            "composed": compose_prototypes(weights, seen_prototypes),
            "true": class_means(test.embedding_BD, test.targets, len(test.names)),
            "seen text": rules.label_embeddings(model, inputs[protocol.seen]),
            "unseen text": rules.label_embeddings(model, inputs[test.names]),
        },
        weights_US=weights,
        fingerprints={"checkpoint": checkpoint.fingerprint, "embeddings": clips.fingerprint, "class_text": classes.class_text.fingerprint}
        | {"encoder": classes.encoder}
        | ({"trained_text": trained_text.fingerprint} if trained_text else {}),
        class_text=classes.class_text,
        corrected=corrected_scores(fits[TRANSFER], text_rules),
        text_fingerprints={texts.class_text.scheme: texts.class_text.fingerprint for texts in (*other_texts, classes)},
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


def _from_text(text_rules: TextRules, fits: dict[str, FittedRule]) -> dict[str, _Scored]:
    """The rules that need only clip embeddings and class texts: ridge raw and centred, transfer."""
    scored = {}
    for name, fitted in fits.items():
        on_test = RuleScores(name, fitted.class_text, fitted.settings, fitted.validation_top1, fitted.scores(text_rules.test))
        scored[name] = _Scored(fitted.scores(text_rules.validation), on_test)
    return scored


def _from_model(
    model: ResT, inputs: dict[tuple[str, ...], TextInputs], clips: ClipEmbeddings, groups: tuple[ClipGroup, ClipGroup], scheme: str
) -> tuple[_Scored, _Scored]:
    """The rules that need the trained model: direct by its label head, match by its cross-modal encoder; on validation and test clips."""

    def scores(group: ClipGroup) -> tuple[np.ndarray, np.ndarray]:
        direct = rules.nearest_scores(group.embedding_BD, rules.label_embeddings(model, inputs[group.names]))
        return direct, rules.match_scores(model, clips.tokens_NPD[clips.rows(group.ids)], inputs[group.names])

    on_validation, on_test = (scores(group) for group in groups)
    return tuple(
        _Scored(v, RuleScores(name, scheme, {}, top_k_accuracy(v, groups[0].targets, 1), t))
        for name, v, t in zip((DIRECT, MATCH), on_validation, on_test)
    )


def _fused(transfer: _Scored, match: _Scored, validation: ClipGroup) -> _Scored:
    on_validation = {w: rules.fused_scores(transfer.validation_BV, match.validation_BV, w) for w in MATCH_WEIGHTS}
    best = max(MATCH_WEIGHTS, key=lambda w: top_k_accuracy(on_validation[w], validation.targets, 1))
    accuracy = top_k_accuracy(on_validation[best], validation.targets, 1)
    scores = rules.fused_scores(transfer.test.scores_BC, match.test.scores_BC, best)
    settings = {**transfer.test.settings, "match_weight": best}
    return _Scored(on_validation[best], RuleScores(FUSED, transfer.test.class_text, settings, accuracy, scores))
