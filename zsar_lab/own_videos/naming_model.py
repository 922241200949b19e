"""What names clips: a model that embeds windows of videos, and from a table of classes to their points in the same space.

Shapes: V windows, T frames, H W pixels, D width of the shared space, C candidate classes, S seen classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from zsar_lab.data.sampling import FrameSettings
from zsar_lab.own_videos.unsure import Thresholds, choose_thresholds
from zsar_lab.sharing.shared_model import NamingRule, SharedModel
from zsar_lab.text.class_table import scheme_of, texts_of
from zsar_lab.text.classtext import ClassText
from zsar_lab.text.embeddings import ClassEmbeddings, check_differ, embed_class_text
from zsar_lab.text.encoder_files import EncoderFiles, find_encoder
from zsar_lab.training.loop import choose_device, cpu_threads, text_inputs
from zsar_lab.training.text_tail import class_embeddings_of
from zsar_lab.zeroshot.embed import embedded, embedding_model
from zsar_lab.zeroshot.rules import label_embeddings
from zsar_lab.zeroshot.text_rules import TRANSFER
from zsar_lab.zeroshot.transfer import TransferSettings, compose_prototypes, weights_by_text


@dataclass(frozen=True, eq=False)
class Candidates:
    """Classes that clips can be named by.

    Attributes:
        table: as `read_classes` gives it.
        class_text: the exact texts that were read.
        rule: by which classes became points.
        points_CD: unit rows in the space of the clips; a clip's score is its cosine to them.
        temperature: of the softmax that turns scores into confidences.
        thresholds: of "unsure"; None where none could be chosen.
        weights_CS: of transfer, over the model's seen classes; None of other rules.
    """

    table: pd.DataFrame
    class_text: ClassText
    rule: str
    points_CD: np.ndarray
    temperature: float
    thresholds: Thresholds | None
    weights_CS: np.ndarray | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.table["name"])


@dataclass(frozen=True, eq=False)
class NamingModel:
    """A model ready to name clips.

    Attributes:
        name: of its folder.
        fingerprint: of its weights.
        frames: how a window of a video becomes frames for it.
        embed: from uint8 [V, T, H, W, 3] to float16 [V, D], unit rows.
        candidates: from a table of classes, and any of rule, class_text (a scheme) and least_right, to `Candidates`.
        about: one sentence on where it comes from.
        seen: a row a class that it was trained on: name, label, description; none of a public model.
    """

    name: str
    fingerprint: str
    frames: FrameSettings
    embed: Callable[[np.ndarray], np.ndarray]
    candidates: Callable[..., Candidates]
    about: str
    seen: pd.DataFrame


def naming_model(shared: SharedModel, device: str | None = None, cache: Path | None = None) -> NamingModel:
    """Make a shared model ready.

    Args:
        shared: from `load_shared`.
        device: "cpu", "cuda", or None to choose.
        cache: folder that keeps embedded class texts; None keeps none.

    Raises:
        FileNotFoundError: its text encoder is not to be found.
        ValueError: the text encoder of that name is of another revision.
    """
    files = find_encoder(shared.encoder)
    if files.revision != shared.encoder_revision:
        raise ValueError(
            f"class texts must be read by the encoder that the model was trained with, {shared.encoder} of revision {shared.encoder_revision}, got"
            f" {files}; fetch that revision"
        )
    place, config = choose_device(device), shared.checkpoint.config
    network = embedding_model(shared.checkpoint, place)

    def embed(frames_VTHWC: np.ndarray) -> np.ndarray:
        with cpu_threads(config.cpu_threads):
            return np.concatenate([embedding for embedding, _ in embedded(network, frames_VTHWC, np.arange(len(frames_VTHWC)), config.view)])

    def candidates(table: pd.DataFrame, rule: str = TRANSFER, class_text: str | None = None, least_right: float = 0.8) -> Candidates:
        return _candidates(shared, files, cache, table, rule, class_text, least_right)

    protocol = shared.about["protocol"]
    about = f"trained on {shared.about['data']}, {len(shared.seen)} seen classes ({protocol['name']}), checkpoint {shared.fingerprint}"
    return NamingModel(shared.checkpoint.path.parent.name, shared.fingerprint, shared.frames, embed, candidates, about, shared.seen)


def _candidates(
    shared: SharedModel, files: EncoderFiles, cache: Path | None, table: pd.DataFrame, rule: str, scheme: str | None, least_right: float
) -> Candidates:
    chosen = _rule(shared, table, rule, scheme)
    texts = embed_class_text(_texts(table, chosen), files, cache)
    check_differ(texts)
    if rule == TRANSFER:
        weights_CS = _weights(shared, chosen, texts)
        points_CD = compose_prototypes(weights_CS, shared.prototypes_SD.astype(float))
    else:
        weights_CS, points_CD = None, _label_points(shared, texts, files)
    thresholds = choose_thresholds(chosen.scores_BV, shared.targets_B, chosen.temperature, len(table), least_right)
    return Candidates(table, texts.class_text, rule, points_CD, chosen.temperature, thresholds, weights_CS)


def _rule(shared: SharedModel, table: pd.DataFrame, rule: str, scheme: str | None) -> NamingRule:
    """The rule with the scheme asked for, or that reads all that the table says."""
    of_rule = [name for other, name in shared.rules if other == rule]
    if not of_rule:
        raise ValueError(f"a rule must be one of {' or '.join(dict.fromkeys(other for other, _ in shared.rules))}, got {rule!r}")
    wanted = scheme or (_fitting(shared, table, of_rule) if rule == TRANSFER else shared.scheme)
    if wanted not in of_rule:
        cure = "leave the descriptions out" if scheme is None and wanted == scheme_of(table) != "label" else "choose one of those"
        raise ValueError(f"{rule} of this model reads class texts by {', '.join(of_rule)}, got {wanted}; {cure}")
    return shared.rules[rule, wanted]


def _fitting(shared: SharedModel, table: pd.DataFrame, of_rule: list[str]) -> str:
    """The scheme that reads all that a table says, as far as the model has one."""
    n_structures = int((table["structure"] != "").sum()) if "structure" in table else 0
    if not n_structures:
        return scheme_of(table)
    if n_structures < len(table):
        raise ValueError(f"every class must have a structure, or none, got {n_structures} of {len(table)}; write the others, or drop the column")
    if (table["description"] != "").all():
        return shared.scheme
    if "structure" not in of_rule:
        raise ValueError("structures are read by this model beside a description of every class, and some have none; write them, or drop the structures")
    return "structure"


def _texts(table: pd.DataFrame, chosen: NamingRule) -> ClassText:
    try:
        return texts_of(table, chosen.class_text)
    except ValueError as error:
        if chosen.rule == TRANSFER:
            raise
        what = str(error).partition(";")[0]
        raise ValueError(f"direct reads class texts as in training, by {chosen.class_text}, but {what}; write it, or take transfer") from error


def _weights(shared: SharedModel, chosen: NamingRule, texts: ClassEmbeddings) -> np.ndarray:
    seen_SF = shared.texts[chosen.class_text].pooled_SF.astype(float)
    if texts.pooled_CF.shape[1] != seen_SF.shape[1]:
        raise ValueError(
            f"texts by {chosen.class_text} must have as many lines as the model's, which gives {seen_SF.shape[1]} numbers, got"
            f" {texts.pooled_CF.shape[1]}; write one line a class, or leave the column text out"
        )
    return weights_by_text(texts.pooled_CF.astype(float), seen_SF, TransferSettings(**chosen.settings))


def _label_points(shared: SharedModel, texts: ClassEmbeddings, files: EncoderFiles) -> np.ndarray:
    """Of the direct rule: label embeddings by the trained head, of the text as the training's last layers read it where it trained some."""
    config = shared.checkpoint.config
    if texts.pooled_CF.shape[1] != config.model.text_width:
        raise ValueError(
            f"direct needs texts as in training, {shared.scheme}, of {config.model.text_width} numbers, got {texts.pooled_CF.shape[1]}; take transfer"
        )
    read = class_embeddings_of(shared.checkpoint, texts.class_text, files) if config.text_layers else texts
    return label_embeddings(shared.checkpoint.model(), text_inputs(read, read.names, config.model.n_label_tokens, "cpu"))
