"""One split's evaluation: every method on the same clips, its settings chosen on validation classes.

Shapes: B test clips, C candidate (unseen) classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from zsar_lab.embed.embeddings import ClipEmbeddings
from zsar_lab.files import fingerprint
from zsar_lab.methods import scores as methods
from zsar_lab.methods.fitted import (
    RIDGE,
    RIDGE_CENTRED,
    TEXT_METHODS,
    TRANSFER,
    ClipGroup,
    FittedMethod,
    TextMethods,
)
from zsar_lab.methods.metrics import top_k_accuracy
from zsar_lab.methods.reduced import corrected_scores
from zsar_lab.methods.scores import MethodScores, nearest_scores, true_prototype_scores
from zsar_lab.methods.table import LABELS, REDUCTIONS, SEEN, UPPER_BOUND
from zsar_lab.methods.table import METHODS as METHODS_TABLE
from zsar_lab.methods.transfer import TransferSettings, class_means, compose_prototypes
from zsar_lab.models.rest import ResT
from zsar_lab.protocols.protocol import Protocol, plain
from zsar_lab.results.calibration import choose_temperature
from zsar_lab.results.generalised_split import AVERAGE_OF, GeneralisedScores, score_generalised, with_seen
from zsar_lab.results.predictions import KEY, PROTOTYPES, Predictions, Scored, halves
from zsar_lab.text.embeddings import ClassEmbeddings
from zsar_lab.text.prompts import ClassText
from zsar_lab.train.checkpoint import Checkpoint
from zsar_lab.train.text_tail import TextInputs, text_inputs

DIRECT, MATCH, FUSED = "direct", "match", "transfer + match"
METHODS = (DIRECT, RIDGE, RIDGE_CENTRED, TRANSFER, MATCH, FUSED)
RERANKED = {base: f"{base}, best by match" for base in (DIRECT, TRANSFER)}
ALL_METHODS = (*METHODS, *RERANKED.values())
MATCH_WEIGHTS = (0.25, 0.5, 1.0)
N_RERANKED = (2, 3, 5, 10)
NAMES = {method.label: name for name, method in METHODS_TABLE.items()}
REDUCTION_NAMES = {reduction.label: name for name, reduction in REDUCTIONS.items()}


@dataclass(frozen=True)
class SplitResult:
    """Everything scored for one split.

    Attributes:
        protocol: the split, as it is with unseen candidates alone.
        ids, targets: test clips and the index of each one's class in `protocol.unseen`.
        methods: the methods with the training's own class text.
        texts: transfer and both ridge methods with each prompt of class text.
        upper_bound_BC: scores by the true prototypes of the unseen classes, leave-one-out.
        seen_top1: top-1 on held-out clips of seen classes, 0..1.
        prototypes: unit rows in the order of the protocol's classes, per kind: "seen", "composed", "true"
            (visual prototypes), "seen text" and "unseen text" (semantic embeddings by the trained label
            head).
        weights_US: transfer weights that composed the unseen prototypes.
        fingerprints: of checkpoint, embeddings, class texts and text encoder, and of the trained text where
            there is one.
        class_text: that of the training, which the methods read.
        corrected: transfer under each correction of hubness, inductive and transductive.
        generalised: direct, ridge and transfer with seen and unseen classes as candidates. (match would read
            every clip with every class.)
        text_fingerprints: of the class text of each prompt.
    """

    protocol: Protocol
    ids: tuple[str, ...]
    targets: np.ndarray
    methods: tuple[MethodScores, ...]
    texts: tuple[MethodScores, ...]
    upper_bound_BC: np.ndarray
    seen_top1: float
    prototypes: dict[str, np.ndarray]
    weights_US: np.ndarray
    fingerprints: dict[str, str]
    class_text: ClassText
    corrected: tuple[MethodScores, ...] = ()
    generalised: tuple[GeneralisedScores, ...] = ()
    text_fingerprints: dict[str, str] = field(default_factory=dict)

    def method(self, name: str) -> MethodScores:
        """The scores of the method of that name; ValueError when it was not scored."""
        for scored in self.methods:
            if scored.method == name:
                return scored
        raise ValueError(f"a method must be one of {', '.join(r.method for r in self.methods)}, got {name!r}")


def evaluate_split(
    checkpoint: Checkpoint,
    clips: ClipEmbeddings,
    protocol: Protocol,
    classes: ClassEmbeddings,
    other_texts: tuple[ClassEmbeddings, ...] = (),
    trained_text: ClassEmbeddings | None = None,
    folder: Path | None = None,
    split: str | None = None,
) -> Predictions:
    """Score every method on the unseen classes of a split, and some with its seen classes as candidates too.

    Every setting (k, tau, ridge penalty, weight of matching, number of classes put in order by it) is chosen
    by top-1 on the clips of the validation classes; the temperature of confidences by their likelihood.

    Args:
        checkpoint: trained on this protocol with the class texts `classes`.
        clips: the checkpoint's embeddings of the catalog.
        protocol: the split; of a generalised one too, the methods are scored with unseen candidates alone,
            and the same ones generalised.
        classes: the class texts of the training.
        other_texts: further prompts for the comparison of class texts.
        trained_text: `classes` as the language model reads them after a training of its last layers; direct
            and match read it. Relatedness and ridge stay with the frozen model, so that they are comparable
            over class texts. None where it was frozen.
        folder: of the predictions: they are read from there when they are of these inputs, else written.
        split: its name; None for the protocol's.

    Raises:
        ValueError: checkpoint, embeddings, class texts and protocol are not of one training, a clip of the
            protocol was not embedded, a class has no text, or as `check_can_be_scored`.
    """
    check_can_be_scored(protocol)
    if (checkpoint.inputs.protocol, checkpoint.inputs.class_embeddings) != (
        protocol.training_hash,
        classes.fingerprint,
    ):
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
    if (trained_text and (trained_text.encoder, trained_text.class_text)) != (
        wanted and (wanted, classes.class_text)
    ):
        got = f"that of {trained_text.encoder} ({trained_text.class_text.prompt})" if trained_text else "none"
        raise ValueError(
            f"trained_text must be the class text read by this checkpoint's trained layers ({wanted or 'it trained none'}), got"
            f" {got}; take class_embeddings_of"
        )
    split, about = (
        split or protocol.name,
        _about(checkpoint, clips, protocol, classes, other_texts, trained_text),
    )
    if folder is not None:
        with suppress(FileNotFoundError):
            return Predictions.read(folder, split, about["fingerprint"])
    text_methods = TextMethods.of(clips, protocol)
    validation, test, seen_prototypes = (
        text_methods.validation,
        text_methods.test,
        text_methods.seen_prototypes,
    )
    seen_test = ClipGroup.of(clips, protocol.seen_test_clips, protocol.seen)

    fits = {name: text_methods.fit(classes, name) for name in TEXT_METHODS}
    own = {name: _of_text(text_methods, fitted) for name, fitted in fits.items()}
    model, read = checkpoint.model(), classes if trained_text is None else trained_text
    n_label_tokens = checkpoint.config.model.n_label_tokens
    inputs = {
        names: text_inputs(read, names, n_label_tokens, "cpu")
        for names in (protocol.seen, validation.names, test.names)
    }
    labels = {names: methods.label_embeddings(model, inputs[names]) for names in inputs}
    direct, match = _from_model(model, inputs, labels, clips, (validation, test), classes.class_text.prompt)
    transfer = own[TRANSFER]
    by_name = {DIRECT: direct, **own, MATCH: match, FUSED: _fused(transfer, match, validation)}
    by_name |= {name: _reranked(name, by_name[base], match, validation) for base, name in RERANKED.items()}
    of_all = {name: with_seen(fitted, text_methods) for name, fitted in fits.items()} | {
        DIRECT: _by_labels(labels, len(protocol.seen))
    }
    weights = text_methods.weights(classes, protocol.unseen, TransferSettings(**transfer.test.settings))
    of_others = ({name: text_methods.fit(texts, name) for name in TEXT_METHODS} for texts in other_texts)
    by_text = [
        own,
        *(
            {name: _of_text(text_methods, fitted) for name, fitted in of_text.items()}
            for of_text in of_others
        ),
    ]
    generalised = [
        score_generalised(of_all[name], by_name[name].test, clips, protocol)
        for name in METHODS
        if name in of_all
    ]
    scored: list[Scored] = []
    arrays: dict[str, np.ndarray] = {}

    def add(scores_BC: np.ndarray, *key: str, **chosen: Any) -> None:
        arrays[f"scores_{len(arrays):02d}"] = scores_BC
        scored.append(Scored(*key, matrix=len(arrays) - 1, **chosen))

    def add_test(one: MethodScores, name: str, reduction: str = "none") -> None:
        chosen = {"settings": one.settings, "validation_top1": one.validation_top1}
        add(
            one.scores_BC, name, one.class_text, reduction, one.setting, temperature=one.temperature, **chosen
        )

    prompt = classes.class_text.prompt
    for name in ALL_METHODS:
        add_test(by_name[name].test, NAMES[name])
    for texts in by_text[1:]:
        for one in texts.values():
            add_test(one.test, NAMES[one.test.method])
    for one in corrected_scores(fits[TRANSFER], text_methods):
        add_test(one, "transfer", REDUCTION_NAMES[one.method.removeprefix("transfer, ")])
    for one in generalised:
        key = NAMES[one.method], one.class_text
        add(one.scores_BC, *key, candidates="all", settings=one.settings)
        stacked = {"settings": one.settings, "gammas": one.constants, "matrix": len(arrays) - 1}
        scored.append(Scored(*key, "calibrated_stacking", candidates="all", **stacked))
    for name in ALL_METHODS:
        add(by_name[name].validation_BV, NAMES[name], prompt, candidates="validation")
    add(true_prototype_scores(test.embedding_BD, test.targets, len(test.names)), UPPER_BOUND, prompt)
    add(nearest_scores(seen_test.embedding_BD, seen_prototypes), SEEN, prompt, candidates="seen")
    arrays |= {"weights": weights, "prototypes_seen": seen_prototypes}
    arrays |= {"prototypes_composed": compose_prototypes(weights, seen_prototypes)}
    arrays |= {"prototypes_true": class_means(test.embedding_BD, test.targets, len(test.names))}
    arrays |= {"prototypes_seen_text": labels[protocol.seen], "prototypes_unseen_text": labels[test.names]}
    arrays |= {f"targets_{group}": of.targets for group, of in (("unseen", test), ("validation", validation))}
    arrays |= {"targets_seen": seen_test.targets}
    arrays |= {"targets_all": np.append(seen_test.targets, len(protocol.seen) + test.targets)}
    found = Predictions(plain(protocol), split, about, classes.class_text, scored, arrays)
    if folder is not None:
        found.save(folder)
    return found


def _about(
    checkpoint: Checkpoint,
    clips: ClipEmbeddings,
    protocol: Protocol,
    classes: ClassEmbeddings,
    other_texts: Sequence[ClassEmbeddings],
    trained_text: ClassEmbeddings | None,
) -> dict[str, Any]:
    """The fingerprints of what predictions are made from."""
    fingerprints = {
        "checkpoint": checkpoint.fingerprint,
        "embeddings": clips.fingerprint,
        "class_text": classes.class_text.fingerprint,
        "encoder": classes.encoder,
    } | ({"trained_text": trained_text.fingerprint} if trained_text else {})
    texts = {one.class_text.prompt: one.class_text.fingerprint for one in (*other_texts, classes)}
    ordered = [plain(protocol).hash, protocol.training_hash, protocol.unseen, protocol.test_clips]
    everything = fingerprint("predictions", ordered, protocol.average, fingerprints, list(texts.items()))
    return {"fingerprint": everything, "fingerprints": fingerprints, "text_fingerprints": texts}


def split_result(predictions: Predictions) -> SplitResult:
    """Predictions as the object of before; for readers that do not read the table yet."""
    protocol, prompt = predictions.protocol, predictions.prompt

    def old(one: Scored, reduction: str = "") -> MethodScores:
        scores_BC = predictions.scores(**dict(zip(KEY, one.key)))
        name, chosen = LABELS[one.method] + reduction, (one.settings, one.validation_top1, scores_BC)
        return MethodScores(name, one.prompt, *chosen, one.setting, one.temperature)

    plain_ones = [
        one
        for one in predictions.scored
        if (one.candidates, one.reduction) == ("unseen", "none") and one.method in METHODS_TABLE
    ]
    corrected = [one for one in predictions.scored if one.candidates == "unseen" and one.reduction != "none"]
    of_all = [
        GeneralisedScores(
            LABELS[one.method],
            one.prompt,
            one.settings,
            predictions.names("all"),
            len(protocol.seen),
            predictions.scores(one.method, candidates="all"),
            predictions.targets("all"),
            one.gammas,
            halves(predictions.targets("all")),
            AVERAGE_OF[protocol.average],
        )
        for one in predictions.scored
        if one.gammas is not None
    ]
    return SplitResult(
        protocol=protocol,
        ids=predictions.ids(),
        targets=predictions.targets(),
        methods=tuple(old(one) for one in plain_ones if one.prompt == prompt),
        texts=tuple(old(one) for one in plain_ones if LABELS[one.method] in TEXT_METHODS),
        upper_bound_BC=predictions.scores(UPPER_BOUND),
        seen_top1=float((predictions.rows(SEEN, candidates="seen")["rank"] == 1).mean()),
        prototypes={kind.replace("_", " "): predictions.prototypes(kind) for kind in PROTOTYPES},
        weights_US=predictions.weights(),
        fingerprints=predictions.about["fingerprints"],
        class_text=predictions.class_text,
        corrected=tuple(old(one, f", {REDUCTIONS[one.reduction].label}") for one in corrected),
        generalised=tuple(of_all),
        text_fingerprints=predictions.about["text_fingerprints"],
    )


def check_can_be_scored(protocol: Protocol, clips: pd.DataFrame | None = None) -> None:
    """Check that `evaluate_split` can score a protocol; it needs no training for that.

    Args:
        protocol: the split.
        clips: of the catalog, with columns id and class; None to leave out what only they tell.

    Raises:
        ValueError: it has no validation clips, fewer than two held-out seen clips, or an unseen class with
            fewer than two clips.
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
        (
            "clips of validation classes (settings are chosen on them)",
            protocol.validation_clips,
            1,
            "n_validation of 2 or more",
        ),
        ("held-out clips of seen classes", protocol.seen_test_clips, 2, "a larger seen_test_share"),
    ):
        if len(ids) < least:
            raise ValueError(
                f"scoring a split needs {least} or more {what}, protocol {protocol.name!r} has {len(ids)}; make the protocol with {cure} and train on it"
            )


@dataclass(frozen=True)
class _Scored:
    """A method's scores of validation clips beside its result on the test clips."""

    validation_BV: np.ndarray
    test: MethodScores


def _scored(
    name: str,
    prompt: str,
    settings: dict[str, Any],
    validation_BV: np.ndarray,
    test_BC: np.ndarray,
    validation: ClipGroup,
    top1: float | None = None,
) -> _Scored:
    """Put a method's scores together; `top1` on validation where it is not the micro average."""
    top1 = top_k_accuracy(validation_BV, validation.targets, 1) if top1 is None else top1
    temperature = choose_temperature(validation_BV, validation.targets)
    return _Scored(
        validation_BV, MethodScores(name, prompt, settings, top1, test_BC, temperature=temperature)
    )


def _of_text(text_methods: TextMethods, fitted: FittedMethod) -> _Scored:
    """A method that needs only clip embeddings and class texts: ridge raw or centred, transfer."""
    on_validation, on_test = (fitted.scores(group) for group in (text_methods.validation, text_methods.test))
    return _scored(
        fitted.method,
        fitted.class_text,
        fitted.settings,
        on_validation,
        on_test,
        text_methods.validation,
        fitted.validation_top1,
    )


def _from_model(
    model: ResT,
    inputs: dict[tuple[str, ...], TextInputs],
    labels: dict[tuple[str, ...], np.ndarray],
    clips: ClipEmbeddings,
    groups: tuple[ClipGroup, ClipGroup],
    prompt: str,
) -> tuple[_Scored, _Scored]:
    """The methods that need the trained model: direct by its label head, match by its cross-modal encoder; on validation and test clips."""
    direct = [methods.nearest_scores(group.embedding_BD, labels[group.names]) for group in groups]
    match = [
        methods.match_scores(model, clips.tokens_NPD, clips.rows(group.ids), inputs[group.names])
        for group in groups
    ]
    return tuple(
        _scored(name, prompt, {}, *scores, groups[0]) for name, scores in ((DIRECT, direct), (MATCH, match))
    )


def _by_labels(labels: dict[tuple[str, ...], np.ndarray], n_seen: int) -> Callable[[ClipGroup], np.ndarray]:
    """Direct with seen classes before the others among the candidates."""

    def scores(group: ClipGroup) -> np.ndarray:
        return methods.nearest_scores(
            group.embedding_BD, np.concatenate([labels[group.names[:n_seen]], labels[group.names[n_seen:]]])
        )

    return scores


def _fused(transfer: _Scored, match: _Scored, validation: ClipGroup) -> _Scored:
    """z(transfer) + weight z(match), the weight by validation."""
    on_validation = {
        w: methods.fused_scores(transfer.validation_BV, match.validation_BV, w) for w in MATCH_WEIGHTS
    }
    best = max(MATCH_WEIGHTS, key=lambda w: top_k_accuracy(on_validation[w], validation.targets, 1))
    scores = methods.fused_scores(transfer.test.scores_BC, match.test.scores_BC, best)
    return _scored(
        FUSED,
        transfer.test.class_text,
        {**transfer.test.settings, "match_weight": best},
        on_validation[best],
        scores,
        validation,
    )


def _reranked(name: str, base: _Scored, match: _Scored, validation: ClipGroup) -> _Scored:
    """The m best classes of a method in the order of match, m by validation."""
    most = min(base.validation_BV.shape[1], base.test.scores_BC.shape[1])
    on_validation = {
        m: methods.reranked_scores(base.validation_BV, match.validation_BV, m)
        for m in N_RERANKED
        if m <= most
    }
    best = max(on_validation, key=lambda m: top_k_accuracy(on_validation[m], validation.targets, 1))
    scores = methods.reranked_scores(base.test.scores_BC, match.test.scores_BC, best)
    return _scored(
        name, base.test.class_text, {**base.test.settings, "m": best}, on_validation[best], scores, validation
    )
