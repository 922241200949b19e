"""One draw's evaluation: every rule on the same clips, its settings chosen on validation classes.

Shapes: B test clips, C candidate (unseen) classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from zsar_lab.data.protocols.protocol import Protocol, plain
from zsar_lab.model.rest import ResT
from zsar_lab.text.classtext import ClassText
from zsar_lab.text.embeddings import ClassEmbeddings
from zsar_lab.training.checkpoint import Checkpoint
from zsar_lab.training.loop import TextInputs, text_inputs
from zsar_lab.zeroshot import rules
from zsar_lab.zeroshot.calibration import choose_temperature
from zsar_lab.zeroshot.corrected import corrected_scores
from zsar_lab.zeroshot.embed import ClipEmbeddings
from zsar_lab.zeroshot.generalised_draw import GeneralisedScores, score_generalised, with_seen
from zsar_lab.zeroshot.metrics import top_k_accuracy
from zsar_lab.zeroshot.rules import RuleScores
from zsar_lab.zeroshot.text_rules import RIDGE, RIDGE_CENTRED, TEXT_RULES, TRANSFER, ClipGroup, FittedRule, TextRules
from zsar_lab.zeroshot.transfer import TransferSettings, class_means, compose_prototypes

DIRECT, MATCH, FUSED = "direct", "match", "transfer + match"
RULES = (DIRECT, RIDGE, RIDGE_CENTRED, TRANSFER, MATCH, FUSED)
RERANKED = {base: f"{base}, best by match" for base in (DIRECT, TRANSFER)}
ALL_RULES = (*RULES, *RERANKED.values())
MATCH_WEIGHTS = (0.25, 0.5, 1.0)
N_RERANKED = (2, 3, 5, 10)


@dataclass(frozen=True)
class DrawResult:
    """Everything scored for one draw.

    Attributes:
        protocol: the draw, as it is with unseen candidates alone.
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
        generalised: direct, ridge and transfer with seen and unseen classes as candidates. (match would read every clip with every class.)
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
    generalised: tuple[GeneralisedScores, ...] = ()
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
    """Score every rule on the unseen classes of a draw, and some with its seen classes as candidates too.

    Every setting (k, tau, ridge penalty, weight of matching, number of classes put in order by it) is chosen by top-1 on the clips of the
    validation classes; the temperature of confidences by their likelihood.

    Args:
        checkpoint: trained on this protocol with the class texts `classes`.
        clips: the checkpoint's embeddings of the catalog.
        protocol: the draw; of a generalised one too, the rules are scored with unseen candidates alone, and the same ones generalised.
        classes: the class texts of the training.
        other_texts: further schemes for the comparison of class texts.
        trained_text: `classes` as the language model reads them after a training of its last layers; direct and match read it. Relatedness and ridge
            stay with the frozen model, so that they are comparable over class texts. None where it was frozen.

    Raises:
        ValueError: checkpoint, embeddings, class texts and protocol are not of one training, a clip of the protocol was not embedded, a class has no
            text, or as `check_can_be_scored`.
    """
    check_can_be_scored(protocol)
    if (checkpoint.inputs.protocol, checkpoint.inputs.class_embeddings) != (protocol.training_hash, classes.fingerprint):
        raise ValueError(
            f"a checkpoint is scored under protocols that train as it was trained, and with its class text, '{checkpoint.path}' is of training side"
            f" {checkpoint.inputs.protocol} and text {checkpoint.inputs.class_embeddings}, got {protocol.training_hash} and {classes.fingerprint}"
        )
    wanted = f"{classes.encoder}+{checkpoint.fingerprint}" if checkpoint.config.text_layers else None
    if clips.about.get("checkpoint") != checkpoint.fingerprint:
        raise ValueError(
            f"embeddings must be those of the checkpoint scored, {checkpoint.fingerprint}, got embeddings of"
            f" {clips.about.get('checkpoint', 'no checkpoint')}; take embed_clips"
        )
    if clips.n_views != protocol.views:
        raise ValueError(
            f"embeddings must be of as many views a clip as the protocol says, {protocol.name!r} says {protocol.views}, got {clips.n_views}; embed with"
            " VIEWS_OF[protocol.views]"
        )
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
    own = {name: _of_text(text_rules, fitted) for name, fitted in fits.items()}
    model, read = checkpoint.model(), classes if trained_text is None else trained_text
    n_label_tokens = checkpoint.config.model.n_label_tokens
    inputs = {names: text_inputs(read, names, n_label_tokens, "cpu") for names in (protocol.seen, validation.names, test.names)}
    labels = {names: rules.label_embeddings(model, inputs[names]) for names in inputs}
    direct, match = _from_model(model, inputs, labels, clips, (validation, test), classes.class_text.scheme)
    transfer = own[TRANSFER]
    by_name = {DIRECT: direct, **own, MATCH: match, FUSED: _fused(transfer, match, validation)}
    by_name |= {name: _reranked(name, by_name[base], match, validation) for base, name in RERANKED.items()}
    of_all = {name: with_seen(fitted, text_rules) for name, fitted in fits.items()} | {DIRECT: _by_labels(labels, len(protocol.seen))}
    weights = text_rules.weights(classes, protocol.unseen, TransferSettings(**transfer.test.settings))
    of_others = ({name: text_rules.fit(texts, name) for name in TEXT_RULES} for texts in other_texts)
    by_text = [own, *({name: _of_text(text_rules, fitted) for name, fitted in of_text.items()} for of_text in of_others)]
    return DrawResult(
        protocol=plain(protocol),
        ids=test.ids,
        targets=test.targets,
        rules=tuple(by_name[name].test for name in ALL_RULES),
        texts=tuple(scored.test for of_text in by_text for scored in of_text.values()),
        upper_bound_BC=rules.true_prototype_scores(test.embedding_BD, test.targets, len(test.names)),
        seen_top1=top_k_accuracy(rules.nearest_scores(seen_test.embedding_BD, seen_prototypes), seen_test.targets, 1),
        prototypes={
            "seen": seen_prototypes,
            "composed": compose_prototypes(weights, seen_prototypes),
            "true": class_means(test.embedding_BD, test.targets, len(test.names)),
            "seen text": labels[protocol.seen],
            "unseen text": labels[test.names],
        },
        weights_US=weights,
        fingerprints={"checkpoint": checkpoint.fingerprint, "embeddings": clips.fingerprint, "class_text": classes.class_text.fingerprint}
        | {"encoder": classes.encoder}
        | ({"trained_text": trained_text.fingerprint} if trained_text else {}),
        class_text=classes.class_text,
        corrected=corrected_scores(fits[TRANSFER], text_rules),
        generalised=tuple(score_generalised(of_all[name], by_name[name].test, clips, protocol) for name in RULES if name in of_all),
        text_fingerprints={texts.class_text.scheme: texts.class_text.fingerprint for texts in (*other_texts, classes)},
    )


def check_can_be_scored(protocol: Protocol, clips: pd.DataFrame | None = None) -> None:
    """Check that `evaluate_draw` can score a protocol; it needs no training for that.

    Args:
        protocol: the draw.
        clips: of the catalog, with columns id and class; None to leave out what only they tell.

    Raises:
        ValueError: it has no validation clips, fewer than two held-out seen clips, or an unseen class with fewer than two clips.
    """
    if clips is not None:
        counts = clips["class"][clips["id"].isin(protocol.test_clips)].value_counts()
        few = [name for name in protocol.unseen if counts.get(name, 0) < 2]
        if few:
            raise ValueError(
                f"every unseen class needs 2 test clips (the upper bound leaves one out), {len(few)} of {protocol.name!r} have fewer, the first"
                f" {few[0]!r} has {int(counts.get(few[0], 0))}; add videos, or leave the class out of the catalog"
            )
    for what, ids, least, cure in (
        ("clips of validation classes (settings are chosen on them)", protocol.validation_clips, 1, "n_validation of 2 or more"),
        ("held-out clips of seen classes", protocol.seen_test_clips, 2, "a larger seen_test_share"),
    ):
        if len(ids) < least:
            raise ValueError(
                f"scoring a draw needs {least} or more {what}, protocol {protocol.name!r} has {len(ids)}; make the protocol with {cure} and train on it"
            )


@dataclass(frozen=True)
class _Scored:
    """A rule's scores of validation clips beside its result on the test clips."""

    validation_BV: np.ndarray
    test: RuleScores


def _scored(
    name: str, scheme: str, settings: dict[str, Any], validation_BV: np.ndarray, test_BC: np.ndarray, validation: ClipGroup, top1: float | None = None
) -> _Scored:
    """Put a rule's scores together; `top1` on validation where it is not the micro average."""
    top1 = top_k_accuracy(validation_BV, validation.targets, 1) if top1 is None else top1
    temperature = choose_temperature(validation_BV, validation.targets)
    return _Scored(validation_BV, RuleScores(name, scheme, settings, top1, test_BC, temperature=temperature))


def _of_text(text_rules: TextRules, fitted: FittedRule) -> _Scored:
    """A rule that needs only clip embeddings and class texts: ridge raw or centred, transfer."""
    on_validation, on_test = (fitted.scores(group) for group in (text_rules.validation, text_rules.test))
    return _scored(fitted.rule, fitted.class_text, fitted.settings, on_validation, on_test, text_rules.validation, fitted.validation_top1)


def _from_model(
    model: ResT, inputs: dict[tuple[str, ...], TextInputs], labels: dict[tuple[str, ...], np.ndarray], clips: ClipEmbeddings,
    groups: tuple[ClipGroup, ClipGroup], scheme: str,
) -> tuple[_Scored, _Scored]:  # fmt: skip
    """The rules that need the trained model: direct by its label head, match by its cross-modal encoder; on validation and test clips."""
    direct = [rules.nearest_scores(group.embedding_BD, labels[group.names]) for group in groups]
    match = [rules.match_scores(model, clips.tokens_NPD, clips.rows(group.ids), inputs[group.names]) for group in groups]
    return tuple(_scored(name, scheme, {}, *scores, groups[0]) for name, scores in ((DIRECT, direct), (MATCH, match)))


def _by_labels(labels: dict[tuple[str, ...], np.ndarray], n_seen: int) -> Callable[[ClipGroup], np.ndarray]:
    """Direct with seen classes before the others among the candidates."""

    def scores(group: ClipGroup) -> np.ndarray:
        return rules.nearest_scores(group.embedding_BD, np.concatenate([labels[group.names[:n_seen]], labels[group.names[n_seen:]]]))

    return scores


def _fused(transfer: _Scored, match: _Scored, validation: ClipGroup) -> _Scored:
    """z(transfer) + weight z(match), the weight by validation."""
    on_validation = {w: rules.fused_scores(transfer.validation_BV, match.validation_BV, w) for w in MATCH_WEIGHTS}
    best = max(MATCH_WEIGHTS, key=lambda w: top_k_accuracy(on_validation[w], validation.targets, 1))
    scores = rules.fused_scores(transfer.test.scores_BC, match.test.scores_BC, best)
    return _scored(FUSED, transfer.test.class_text, {**transfer.test.settings, "match_weight": best}, on_validation[best], scores, validation)


def _reranked(name: str, base: _Scored, match: _Scored, validation: ClipGroup) -> _Scored:
    """The m best classes of a rule in the order of match, m by validation."""
    most = min(base.validation_BV.shape[1], base.test.scores_BC.shape[1])
    on_validation = {m: rules.reranked_scores(base.validation_BV, match.validation_BV, m) for m in N_RERANKED if m <= most}
    best = max(on_validation, key=lambda m: top_k_accuracy(on_validation[m], validation.targets, 1))
    scores = rules.reranked_scores(base.test.scores_BC, match.test.scores_BC, best)
    return _scored(name, base.test.class_text, {**base.test.settings, "m": best}, on_validation[best], scores, validation)
