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
from zsar_lab.embed.checkpoint import embedded, embedding_model
from zsar_lab.infer.shared_model import NamingMethod, SharedModel
from zsar_lab.infer.unsure import Thresholds, choose_thresholds
from zsar_lab.methods.fitted import TRANSFER
from zsar_lab.methods.scores import label_embeddings
from zsar_lab.methods.transfer import TransferSettings, compose_prototypes, weights_by_text
from zsar_lab.text.class_lists import prompt_of, texts_of
from zsar_lab.text.embeddings import ClassEmbeddings, check_differ, embed_class_text
from zsar_lab.text.encoder_files import EncoderFiles, find_encoder
from zsar_lab.text.prompts import ClassText
from zsar_lab.train.loop import choose_device, cpu_threads, text_inputs
from zsar_lab.train.text_tail import class_embeddings_of


@dataclass(frozen=True, eq=False)
class Candidates:
    """Classes that clips can be named by.

    Attributes:
        table: as `read_classes` gives it.
        class_text: the exact texts that were read.
        method: by which classes became points.
        points_CD: unit rows in the space of the clips; a clip's score is its cosine to them.
        temperature: of the softmax that turns scores into confidences.
        thresholds: of "unsure"; None where none could be chosen.
        weights_CS: of transfer, over the model's seen classes; None of other methods.
    """

    table: pd.DataFrame
    class_text: ClassText
    method: str
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
        candidates: from a table of classes, and any of method, class_text (a prompt) and least_right, to
            `Candidates`.
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
            return np.concatenate(
                [
                    embedding
                    for embedding, _ in embedded(
                        network, frames_VTHWC, np.arange(len(frames_VTHWC)), config.view
                    )
                ]
            )

    def candidates(
        table: pd.DataFrame, method: str = TRANSFER, class_text: str | None = None, least_right: float = 0.8
    ) -> Candidates:
        return _candidates(shared, files, cache, table, method, class_text, least_right)

    protocol = shared.about["protocol"]
    about = f"trained on {shared.about['data']}, {len(shared.seen)} seen classes ({protocol['name']}), checkpoint {shared.fingerprint}"
    return NamingModel(
        shared.checkpoint.path.parent.name,
        shared.fingerprint,
        shared.frames,
        embed,
        candidates,
        about,
        shared.seen,
    )


def _candidates(
    shared: SharedModel,
    files: EncoderFiles,
    cache: Path | None,
    table: pd.DataFrame,
    method: str,
    prompt: str | None,
    least_right: float,
) -> Candidates:
    chosen = _method(shared, table, method, prompt)
    texts = embed_class_text(_texts(table, chosen), files, cache)
    check_differ(texts)
    if method == TRANSFER:
        weights_CS = _weights(shared, chosen, texts)
        points_CD = compose_prototypes(weights_CS, shared.prototypes_SD.astype(float))
    else:
        weights_CS, points_CD = None, _label_points(shared, texts, files)
    thresholds = choose_thresholds(
        chosen.scores_BV, shared.targets_B, chosen.temperature, len(table), least_right
    )
    return Candidates(table, texts.class_text, method, points_CD, chosen.temperature, thresholds, weights_CS)


def _method(shared: SharedModel, table: pd.DataFrame, method: str, prompt: str | None) -> NamingMethod:
    """The method with the prompt asked for, or that reads all that the table says."""
    of_method = [name for other, name in shared.methods if other == method]
    if not of_method:
        raise ValueError(
            f"a method must be one of {' or '.join(dict.fromkeys(other for other, _ in shared.methods))}, got {method!r}"
        )
    wanted = prompt or (_fitting(shared, table, of_method) if method == TRANSFER else shared.prompt)
    if wanted not in of_method:
        cure = (
            "leave the descriptions out"
            if prompt is None and wanted == prompt_of(table) != "label"
            else "choose one of those"
        )
        raise ValueError(
            f"{method} of this model reads class texts by {', '.join(of_method)}, got {wanted}; {cure}"
        )
    return shared.methods[method, wanted]


def _fitting(shared: SharedModel, table: pd.DataFrame, of_method: list[str]) -> str:
    """The prompt that reads all that a table says, as far as the model has one."""
    n_structures = int((table["structure"] != "").sum()) if "structure" in table else 0
    if not n_structures:
        return prompt_of(table)
    if n_structures < len(table):
        raise ValueError(
            f"every class must have a structure, or none, got {n_structures} of {len(table)}; write the others, or drop the column"
        )
    if (table["description"] != "").all():
        return shared.prompt
    if "structure" not in of_method:
        raise ValueError(
            "structures are read by this model beside a description of every class, and some have none; write them, or drop the structures"
        )
    return "structure"


def _texts(table: pd.DataFrame, chosen: NamingMethod) -> ClassText:
    try:
        return texts_of(table, chosen.class_text)
    except ValueError as error:
        if chosen.method == TRANSFER:
            raise
        what = str(error).partition(";")[0]
        raise ValueError(
            f"direct reads class texts as in training, by {chosen.class_text}, but {what}; write it, or take transfer"
        ) from error


def _weights(shared: SharedModel, chosen: NamingMethod, texts: ClassEmbeddings) -> np.ndarray:
    seen_SF = shared.texts[chosen.class_text].pooled_SF.astype(float)
    if texts.pooled_CF.shape[1] != seen_SF.shape[1]:
        raise ValueError(
            f"texts by {chosen.class_text} must have as many lines as the model's, which gives {seen_SF.shape[1]} numbers, got"
            f" {texts.pooled_CF.shape[1]}; write one line a class, or leave the column text out"
        )
    return weights_by_text(texts.pooled_CF.astype(float), seen_SF, TransferSettings(**chosen.settings))


def _label_points(shared: SharedModel, texts: ClassEmbeddings, files: EncoderFiles) -> np.ndarray:
    """Of the direct method: label embeddings by the trained head, of the text as the training's last layers read it where it trained some."""
    config = shared.checkpoint.config
    if texts.pooled_CF.shape[1] != config.model.text_width:
        raise ValueError(
            f"direct needs texts as in training, {shared.prompt}, of {config.model.text_width} numbers, got {texts.pooled_CF.shape[1]}; take transfer"
        )
    read = class_embeddings_of(shared.checkpoint, texts.class_text, files) if config.text_layers else texts
    return label_embeddings(
        shared.checkpoint.model(), text_inputs(read, read.names, config.model.n_label_tokens, "cpu")
    )
