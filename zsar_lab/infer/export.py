"""From a scored split to a shared model: what its methods chose on validation classes, with the texts that any user can write."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
import torch

from zsar_lab import __version__
from zsar_lab.data.sampling import FrameSettings
from zsar_lab.embed.checkpoint import ClipEmbeddings
from zsar_lab.infer.shared_model import NamingMethod, SeenTexts, SharedModel
from zsar_lab.methods.fitted import TRANSFER, TextMethods
from zsar_lab.methods.metrics import top_k_accuracy, truth_rank
from zsar_lab.methods.scores import label_embeddings, nearest_scores
from zsar_lab.protocols.protocol import Protocol
from zsar_lab.results.calibration import choose_temperature
from zsar_lab.results.evaluate import DIRECT, SplitResult
from zsar_lab.results.statistics import class_bootstrap
from zsar_lab.text.embeddings import ClassEmbeddings
from zsar_lab.text.encoder_files import EncoderFiles
from zsar_lab.text.prompts import label
from zsar_lab.train.checkpoint import Checkpoint
from zsar_lab.train.loop import text_inputs
from zsar_lab.train.text_tail import class_embeddings_of

NAMING_METHODS = (TRANSFER, DIRECT)


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
    """Gather what names clips of any classes: prototypes of the seen classes, and both methods with what validation classes chose for them.

    transfer is chosen for each prompt of class texts, so that a user may write labels alone or descriptions
    too; direct has the prompt of the training alone, for its label head was trained on that.

    Args:
        checkpoint: a complete training.
        clips: its embeddings of the catalog.
        protocol: the split, with validation classes.
        texts: embedded class texts of seen and validation classes, by prompt; those of the training are among
            them.
        classes: of the catalog.
        frames: of the frame store.
        encoder: that all texts were embedded with.
        about: where the model comes from, see `origin`.

    Raises:
        ValueError: the protocol has no validation clips, the training is not finished, or protocol, clips or
            texts are not its own, or as `TextMethods.of`.
    """
    check_can_be_shared(protocol)
    _check_of_one_training(checkpoint, clips, protocol)
    prompt = next(
        (
            name
            for name, embedded in texts.items()
            if embedded.fingerprint == checkpoint.inputs.class_embeddings
        ),
        None,
    )
    if prompt is None:
        raise ValueError(
            f"the class texts of the training must be among those shared, got {', '.join(texts) or 'none'}; add the study's own"
        )
    trained = (
        class_embeddings_of(checkpoint, texts[prompt].class_text, encoder)
        if checkpoint.config.text_layers
        else texts[prompt]
    )
    gathered = TextMethods.of(clips, protocol)
    methods = {(TRANSFER, name): _transfer(gathered, embedded, name) for name, embedded in texts.items()}
    methods[DIRECT, prompt] = _direct(checkpoint, gathered, trained, prompt)
    rows = classes.set_index("name").loc[list(protocol.seen)].reset_index()
    described = rows["description"].fillna("") if "description" in rows else ""
    return SharedModel(
        checkpoint=checkpoint,
        frames=frames,
        seen=pd.DataFrame({"name": rows["name"], "label": label(rows), "description": described}),
        prototypes_SD=gathered.seen_prototypes.astype(np.float32),
        encoder=encoder.name,
        encoder_revision=encoder.revision,
        prompt=prompt,
        texts={name: _seen(embedded, protocol.seen) for name, embedded in texts.items()},
        methods=methods,
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
            f" {protocol.training_hash}; take the split's own"
        )
    if clips.about.get("checkpoint") != checkpoint.fingerprint:
        raise ValueError(
            f"embeddings must be those of the checkpoint shared, {checkpoint.fingerprint}, got embeddings of"
            f" {clips.about.get('checkpoint', 'no checkpoint')}; take embed_clips"
        )


def origin(
    data: str,
    generated: bool,
    protocol: Protocol,
    result: SplitResult,
    counts: Mapping[str, int],
    fingerprints: Mapping[str, str],
) -> dict[str, Any]:
    """Where a shared model comes from, ready for json: data, protocol, classes, scores on unseen classes, fingerprints, versions.

    Args:
        data: the catalog's name.
        generated: the videos were rendered by this library.
        protocol, result: the split and what was scored of it.
        counts: numbers to state, such as epochs and parameters.
        fingerprints: of catalog and frames; those of the result are added.
    """
    versions = {
        "zsar_lab": __version__,
        "torch": torch.__version__,
        "transformers": version("transformers"),
        "python": platform.python_version(),
    }
    return {
        "data": data,
        "generated": generated,
        "protocol": {
            "name": protocol.name,
            "hash": protocol.hash,
            "seen": list(protocol.seen),
            "validation": list(protocol.validation),
        }
        | {
            "unseen": list(protocol.unseen),
            "train_clips": len(protocol.train_clips),
            "test_clips": len(protocol.test_clips),
        }
        | {"views": protocol.views},
        "scores": {
            "chance": 1 / len(protocol.unseen),
            "upper_bound": top_k_accuracy(result.upper_bound_BC, result.targets, 1),
        }
        | {"seen_top1": result.seen_top1, "methods": [_score(result, method) for method in NAMING_METHODS]},
        "counts": dict(counts),
        "fingerprints": dict(fingerprints) | result.fingerprints,
        "versions": versions,
    }


def _transfer(gathered: TextMethods, texts: ClassEmbeddings, prompt: str) -> NamingMethod:
    fitted = gathered.fit(texts, TRANSFER)
    return _method(
        TRANSFER, prompt, fitted.settings, fitted.scores(gathered.validation), gathered.validation.targets
    )


def _direct(
    checkpoint: Checkpoint, gathered: TextMethods, texts: ClassEmbeddings, prompt: str
) -> NamingMethod:
    inputs = text_inputs(texts, gathered.validation.names, checkpoint.config.model.n_label_tokens, "cpu")
    scores_BV = nearest_scores(gathered.validation.embedding_BD, label_embeddings(checkpoint.model(), inputs))
    return _method(DIRECT, prompt, {}, scores_BV, gathered.validation.targets)


def _method(
    method: str, prompt: str, settings: dict[str, Any], scores_BV: np.ndarray, targets: np.ndarray
) -> NamingMethod:
    top1 = top_k_accuracy(scores_BV, targets, 1)
    return NamingMethod(
        method, prompt, settings, choose_temperature(scores_BV, targets), top1, scores_BV.astype(np.float32)
    )


def _seen(embedded: ClassEmbeddings, seen: tuple[str, ...]) -> SeenTexts:
    rows, text = embedded.rows(seen), embedded.class_text
    return SeenTexts(
        type(text)(text.prompt, seen, tuple(text.texts[row] for row in rows), text.averaged),
        embedded.pooled_CF[rows],
    )


def _score(result: SplitResult, method: str) -> dict[str, Any]:
    scored = result.method(method)
    right = truth_rank(scored.scores_BC, result.targets) == 1  # a tie is not right, as in the report
    names = [result.protocol.unseen[target] for target in result.targets]
    return {
        "method": method,
        "class_text": scored.class_text,
        "top1": float(right.mean()),
        "ci95": list(class_bootstrap(right, names)),
    }
