"""From a scored draw to a shared model: what its rules chose on validation classes, with the texts that any user can write."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
import torch

from zsar_lab import __version__
from zsar_lab.data.protocols.protocol import Protocol
from zsar_lab.data.sampling import FrameSettings
from zsar_lab.sharing.shared_model import NamingRule, SeenTexts, SharedModel
from zsar_lab.text.classtext import label
from zsar_lab.text.embeddings import ClassEmbeddings
from zsar_lab.text.encoder_files import EncoderFiles
from zsar_lab.training.checkpoint import Checkpoint
from zsar_lab.training.loop import text_inputs
from zsar_lab.training.text_tail import class_embeddings_of
from zsar_lab.zeroshot.calibration import choose_temperature
from zsar_lab.zeroshot.embed import ClipEmbeddings
from zsar_lab.zeroshot.evaluate import DIRECT, DrawResult
from zsar_lab.zeroshot.metrics import top_k_accuracy, truth_rank
from zsar_lab.zeroshot.rules import label_embeddings, nearest_scores
from zsar_lab.zeroshot.statistics import class_bootstrap
from zsar_lab.zeroshot.text_rules import TRANSFER, TextRules

NAMING_RULES = (TRANSFER, DIRECT)


def shared_model(
    checkpoint: Checkpoint,
    clips: ClipEmbeddings,
    protocol: Protocol,
    texts: Mapping[str, ClassEmbeddings],
    classes: pd.DataFrame,
    frames: FrameSettings,
    encoder: EncoderFiles,
    about: Mapping[str, Any],
) -> SharedModel:
    """Gather what names clips of any classes: prototypes of the seen classes, and both rules with what validation classes chose for them.

    transfer is chosen for each scheme of class texts, so that a user may write labels alone or descriptions too; direct has the scheme of the
    training alone, for its label head was trained on that.

    Args:
        checkpoint: a complete training.
        clips: its embeddings of the catalog.
        protocol: the draw, with validation classes.
        texts: embedded class texts of seen and validation classes, by scheme; those of the training are among them.
        classes: of the catalog.
        frames: of the frame store.
        encoder: that all texts were embedded with.
        about: where the model comes from, see `origin`.

    Raises:
        ValueError: the protocol has no validation clips, the training is not finished, or protocol, clips or texts are not its own, or as
            `TextRules.of`.
    """
    check_can_be_shared(protocol)
    _check_of_one_training(checkpoint, clips, protocol)
    scheme = next((name for name, embedded in texts.items() if embedded.fingerprint == checkpoint.inputs.class_embeddings), None)
    if scheme is None:
        raise ValueError(f"the class texts of the training must be among those shared, got {', '.join(texts) or 'none'}; add the study's own")
    trained = class_embeddings_of(checkpoint, texts[scheme].class_text, encoder) if checkpoint.config.text_layers else texts[scheme]
    gathered = TextRules.of(clips, protocol)
    rules = {(TRANSFER, name): _transfer(gathered, embedded, name) for name, embedded in texts.items()}
    rules[DIRECT, scheme] = _direct(checkpoint, gathered, trained, scheme)
    rows = classes.set_index("name").loc[list(protocol.seen)].reset_index()
    described = rows["description"].fillna("") if "description" in rows else ""
    return SharedModel(
        checkpoint=checkpoint,
        frames=frames,
        seen=pd.DataFrame({"name": rows["name"], "label": label(rows), "description": described}),
        prototypes_SD=gathered.seen_prototypes.astype(np.float32),
        encoder=encoder.name,
        encoder_revision=encoder.revision,
        scheme=scheme,
        texts={name: _seen(embedded, protocol.seen) for name, embedded in texts.items()},
        rules=rules,
        targets_B=gathered.validation.targets,
        about=about,
    )


def check_can_be_shared(protocol: Protocol) -> None:
    """Check that a protocol has validation clips; it needs no training for that.

    Raises:
        ValueError: it has none.
    """
    if not protocol.validation_clips:
        raise ValueError(
            f"a model is shared with settings that validation classes chose, protocol {protocol.name!r} has none; make it with n_validation of 2"
            " or more and train on it"
        )


def _check_of_one_training(checkpoint: Checkpoint, clips: ClipEmbeddings, protocol: Protocol) -> None:
    if not checkpoint.complete:
        raise ValueError(
            f"a shared model needs a finished training, '{checkpoint.path}' is at step {checkpoint.step} of {checkpoint.total_steps}; train on"
        )
    if checkpoint.inputs.protocol != protocol.training_hash:
        raise ValueError(
            f"a model is shared with the protocol that it was trained on, of training side {checkpoint.inputs.protocol}, got {protocol.name!r} of"
            f" {protocol.training_hash}; take the draw's own"
        )
    if clips.about.get("checkpoint") != checkpoint.fingerprint:
        raise ValueError(
            f"embeddings must be those of the checkpoint shared, {checkpoint.fingerprint}, got embeddings of"
            f" {clips.about.get('checkpoint', 'no checkpoint')}; take embed_clips"
        )


def origin(
    data: str, generated: bool, protocol: Protocol, result: DrawResult, counts: Mapping[str, int], fingerprints: Mapping[str, str]
) -> dict[str, Any]:
    """Where a shared model comes from, ready for json: data, protocol, classes, scores on unseen classes, fingerprints, versions.

    Args:
        data: the catalog's name.
        generated: the videos were rendered by this library.
        protocol, result: the draw and what was scored of it.
        counts: numbers to state, such as epochs and parameters.
        fingerprints: of catalog and frames; those of the result are added.
    """
    versions = {"zsar_lab": __version__, "torch": torch.__version__, "transformers": version("transformers"), "python": platform.python_version()}
    return {
        "data": data,
        "generated": generated,
        "protocol": {"name": protocol.name, "hash": protocol.hash, "seen": list(protocol.seen), "validation": list(protocol.validation)}
        | {"unseen": list(protocol.unseen), "train_clips": len(protocol.train_clips), "test_clips": len(protocol.test_clips)}
        | {"views": protocol.views},
        "scores": {"chance": 1 / len(protocol.unseen), "upper_bound": top_k_accuracy(result.upper_bound_BC, result.targets, 1)}
        | {"seen_top1": result.seen_top1, "rules": [_score(result, rule) for rule in NAMING_RULES]},
        "counts": dict(counts),
        "fingerprints": dict(fingerprints) | result.fingerprints,
        "versions": versions,
    }


def _transfer(gathered: TextRules, texts: ClassEmbeddings, scheme: str) -> NamingRule:
    fitted = gathered.fit(texts, TRANSFER)
    return _rule(TRANSFER, scheme, fitted.settings, fitted.scores(gathered.validation), gathered.validation.targets)


def _direct(checkpoint: Checkpoint, gathered: TextRules, texts: ClassEmbeddings, scheme: str) -> NamingRule:
    inputs = text_inputs(texts, gathered.validation.names, checkpoint.config.model.n_label_tokens, "cpu")
    scores_BV = nearest_scores(gathered.validation.embedding_BD, label_embeddings(checkpoint.model(), inputs))
    return _rule(DIRECT, scheme, {}, scores_BV, gathered.validation.targets)


def _rule(rule: str, scheme: str, settings: dict[str, Any], scores_BV: np.ndarray, targets: np.ndarray) -> NamingRule:
    top1 = top_k_accuracy(scores_BV, targets, 1)
    return NamingRule(rule, scheme, settings, choose_temperature(scores_BV, targets), top1, scores_BV.astype(np.float32))


def _seen(embedded: ClassEmbeddings, seen: tuple[str, ...]) -> SeenTexts:
    rows, text = embedded.rows(seen), embedded.class_text
    return SeenTexts(type(text)(text.scheme, seen, tuple(text.texts[row] for row in rows), text.averaged), embedded.pooled_CF[rows])


def _score(result: DrawResult, rule: str) -> dict[str, Any]:
    scored = result.rule(rule)
    right = truth_rank(scored.scores_BC, result.targets) == 1  # a tie is not right, as in the report
    names = [result.protocol.unseen[target] for target in result.targets]
    return {"rule": rule, "class_text": scored.class_text, "top1": float(right.mean()), "ci95": list(class_bootstrap(right, names))}
