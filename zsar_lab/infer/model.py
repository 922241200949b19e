"""A model that embeds videos and class texts into one space, opened from wherever it is.

Shapes: V windows, T frames, H W pixels, D width of the shared space, C candidate classes, S seen classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from zsar_lab.data.sampling import FrameSettings, WindowSettings
from zsar_lab.data.workers import Limits
from zsar_lab.embed.checkpoint import embed_clips, embedding_model
from zsar_lab.embed.embeddings import CLIPS_A_BATCH, Batches, ClipEmbeddings, make_embeddings
from zsar_lab.embed.outside import Embeddings
from zsar_lab.embed.public_models import embed_whole_videos, embed_with_public_model
from zsar_lab.files import fingerprint
from zsar_lab.infer.calibrate import calibrated, rehearse
from zsar_lab.infer.classifier import (
    NOT_KNOWN,
    ZeroShotClassifier,
    distances,
    is_trained,
    names_trained_on,
)
from zsar_lab.infer.export import embed_frames, export_split, label_points
from zsar_lab.infer.hub import fetch_shared
from zsar_lab.infer.predictions import Paths, embed_videos, predict
from zsar_lab.infer.shared import SharedModel, is_shared, load_shared
from zsar_lab.methods.transfer import TransferSettings, compose_prototypes, weights_by_text
from zsar_lab.models.public import SEPARATOR, checkpoints, load_public_tower
from zsar_lab.names import match_names
from zsar_lab.shown import Shown
from zsar_lab.text.class_lists import Classes, read_classes
from zsar_lab.text.embeddings import check_differ, embed_class_text
from zsar_lab.text.encoder_files import EncoderFiles, find_encoder
from zsar_lab.text.prompts import IN_PARTS, prompt_of, texts_of
from zsar_lab.text.relatedness import unit
from zsar_lab.train.device import choose_device, mixed_precision
from zsar_lab.workspace import Workspace

if TYPE_CHECKING:
    from zsar_lab.data.frames import FrameStore
    from zsar_lab.protocols.protocol import Protocol

DEMO = "runs/demo"


class VideoModel(Shown, ABC):
    """A model ready to predict.

    Args:
        name: of its folder.
        fingerprint: of its weights.
        frames: how a window of a video becomes frames for it.
        about: one sentence on where it comes from.
        seen: a row a class that it was trained on: name, label, description; none of a public model.

    `training_sets` are the names of what a public model was trained on, () where that is not known, and may
    be set; None where `seen` says it.
    """

    training_sets: tuple[str, ...] | None = None

    def __init__(
        self, name: str, fingerprint: str, frames: FrameSettings, about: str, seen: pd.DataFrame
    ) -> None:
        self.name, self.fingerprint, self.frames = name, fingerprint, frames
        self.about, self.seen = about, seen

    def _facts(self) -> dict[str, Any]:
        return {"name": self.name, "about": self.about}

    @abstractmethod
    def embed(self, frames_VTHWC: np.ndarray) -> np.ndarray:
        """From uint8 [V, T, H, W, 3] to float16 [V, D], unit rows."""

    methods: tuple[str, ...] = ("direct",)  # that `classifier` takes, the usual one first

    @property
    def encoder(self) -> EncoderFiles:
        """What reads class texts; ValueError where nothing does."""
        raise ValueError(f"{self.name!r} has no text encoder")

    def usual_prompt(self, table: pd.DataFrame) -> str:
        """The prompt that reads all that a table of `read_classes` says."""
        return prompt_of(table)

    def embed_store(self, store: FrameStore, folder: Path) -> ClipEmbeddings:
        """Every clip of a frame store, saved in the folder; made by `embed`."""
        key = fingerprint("clip embeddings of a model", self.fingerprint, store.fingerprint)

        def batches(rows: np.ndarray) -> Batches:
            for start in range(0, len(rows), CLIPS_A_BATCH):
                few = rows[start : start + CLIPS_A_BATCH]
                found_BD = self.embed(np.stack([store.frames[row] for row in few.tolist()]))
                yield found_BD, np.zeros((len(found_BD), 0, found_BD.shape[1]), np.float16)

        return make_embeddings(folder, key, store, {"model": self.name}, batches)

    def encode_text(
        self, classes: Classes, method: str | None = None, prompt: str | None = None
    ) -> np.ndarray:
        """Points of classes in the space of the clips, float32 [C, D], unit rows; as of `zl.classify`.

        A row of `encode_video` times a row of this is the score of the class, its cosine.
        """
        found = self.classifier(classes, method, prompt, allow_bias=True)
        return unit(found.weights_CD).astype(np.float32)

    def point_of(self, text: str, method: str | None = None, prompt: str | None = None) -> np.ndarray:
        """One text, read as it is, in the space of the clips: float32 [D], a unit row."""
        table = pd.DataFrame([{"name": text, "label": text, "description": "", "text": ""}])
        found = self._classifier(table, method or "", prompt or "", 0.8, True)
        return unit(found.weights_CD)[0].astype(np.float32)

    def encode_video(
        self, paths: Paths, windows: WindowSettings = WindowSettings(), limits: Limits = Limits()
    ) -> np.ndarray:
        """Videos in the space of the model, float32 [N, D], unit rows in the order of `find_videos(paths)`.

        A video of several windows (see `zl.classify`) is the mean of theirs. ValueError where one cannot be
        read.
        """
        table = embed_videos(paths, self, windows, limits)
        bad = table[table["reason"] != ""]
        if len(bad):
            first = f"'{bad['path'].iloc[0]}': {bad['reason'].iloc[0]}"
            raise ValueError(
                f"every video must be readable, {bad['path'].nunique()} are not, such as {first}"
            )
        by_video = table.groupby("path", sort=False)["embedding"]
        return unit(np.stack([np.stack(rows.to_list()).mean(0) for _, rows in by_video])).astype(np.float32)

    @abstractmethod
    def _classifier(
        self, table: pd.DataFrame, method: str, prompt: str, min_precision: float, allow_bias: bool
    ) -> ZeroShotClassifier:
        """Class weights for a table of `read_classes`; method and prompt are "" for the usual ones."""

    def classifier(
        self,
        classes: Classes,
        method: str | None = None,
        prompt: str | None = None,
        min_precision: float = 0.8,
        allow_bias: bool = False,
    ) -> ZeroShotClassifier:
        """Class weights for these classes, balanced and with thresholds; arguments as of `zl.classify`."""
        return self._classifier(read_classes(classes), method or "", prompt or "", min_precision, allow_bias)

    def predict(
        self,
        paths: Paths,
        classes: Classes,
        *,
        windows: WindowSettings = WindowSettings(),
        limits: Limits = Limits(),
        coverage: float | None = None,
        **asked: Any,
    ) -> pd.DataFrame:
        """As `zl.classify` by this model; `asked` is method, prompt, min_precision and allow_bias."""
        classifier = self.classifier(classes, **asked)
        if coverage is not None:  # refused before a video is read
            classifier.sets(np.zeros((0, len(classifier.names))), coverage)
        return predict(embed_videos(paths, self, windows, limits), classifier, coverage)


class TrainedModel(VideoModel):
    """A shared model on a device; `cache` is a folder of embedded class texts.

    FileNotFoundError or ValueError where its text encoder is not to be found, or of another revision.
    """

    methods = ("transfer", "direct")

    def __init__(self, shared: SharedModel, device: str | None = None, cache: Path | None = None) -> None:
        encoder, revision = find_encoder(shared.config["encoder"]), shared.config["encoder_revision"]
        if encoder.revision != revision:
            raise ValueError(f"the text encoder must be of revision {revision}, got {encoder}")
        self._shared, self._encoder, self._cache = shared, encoder, cache
        self.network = embedding_model(shared.checkpoint, choose_device(device))
        known = f"{len(shared.seen)} seen classes ({shared.about['protocol']['name']})"
        about = f"trained on {shared.about['data']}, {known}, checkpoint {shared.fingerprint}"
        name = shared.checkpoint.path.parent.name
        super().__init__(name, shared.fingerprint, shared.frames, about, shared.seen)

    def embed(self, frames_VTHWC: np.ndarray) -> np.ndarray:
        """As the clips of a study: the mean of the centre view and its mirror."""
        return embed_frames(self.network, self._shared.checkpoint.config, frames_VTHWC)

    def embed_store(self, store: FrameStore, folder: Path) -> ClipEmbeddings:
        """Every clip of a frame store, of frames such as the training's; saved in the folder."""
        if store.settings != self.frames:
            raise ValueError(f"frames must be as of the training, {self.frames}, got {store.settings}")
        return embed_clips(self._shared.checkpoint, store, folder)

    def usual_prompt(self, table: pd.DataFrame) -> str:
        """Among those that transfer has settings for."""
        prompts = [prompt for method, prompt in self._shared.methods if method == "transfer"]
        return fitting_prompt(table, self._shared.config["prompt"], prompts)

    @property
    def encoder(self) -> EncoderFiles:
        """That of the training."""
        return self._encoder

    def _classifier(
        self, table: pd.DataFrame, method: str, prompt: str, min_precision: float, allow_bias: bool
    ) -> ZeroShotClassifier:
        """A name with the text that it was trained with stands at the prototype of its own clips."""
        shared, method = self._shared, method or "transfer"
        prompts = [name for other, name in shared.methods if other == method]
        if not prompts:
            known = " or ".join(dict.fromkeys(other for other, _ in shared.methods))
            raise ValueError(f"method must be {known}, got {method!r}")
        prompt = prompt or (self.usual_prompt(table) if method == "transfer" else shared.config["prompt"])
        if prompt not in prompts:
            raise ValueError(f"the prompt of {method} must be one of {', '.join(prompts)}, got {prompt!r}")
        chosen, seen_SF = shared.methods[method, prompt], shared.arrays[f"text.{prompt}"].astype(float)
        try:
            class_text = texts_of(table, prompt)
        except ValueError as error:
            raise ValueError(f"{method} reads {prompt}: {error}") from error
        texts = embed_class_text(class_text, self._encoder, self._cache)
        check_differ(texts)
        wanted, got = seen_SF.shape[1], texts.pooled_CF.shape[1]
        if got != wanted:
            raise ValueError(f"texts need as many lines as {prompt}: {wanted} numbers embedded, got {got}")
        known = names_trained_on(table, shared.seen, distances(texts.pooled_CF, seen_SF), chosen["near"])
        weights_CS = None
        if method == "transfer":
            settings, prototypes_SD = TransferSettings(**chosen["settings"]), shared.arrays["prototypes"]
            weights_CS = weights_by_text(texts.pooled_CF.astype(float), seen_SF, settings)
            as_trained = shared.texts[prompt]["texts"]
            for row, (name, text) in enumerate(zip(known["seen"], class_text.texts, strict=True)):
                if text == as_trained.get(name):
                    weights_CS[row] = shared.seen["name"] == name
            weights_CD = compose_prototypes(weights_CS, prototypes_SD.astype(float))
        else:
            weights_CD = label_points(shared.checkpoint, texts, self._encoder)
        held_out, is_trained_C, temperature = shared.held_out, is_trained(known), chosen["temperature"]
        validation = match_names(table["name"], held_out.names[held_out.n_seen :]).class_of
        of_class = [seen or validation.get(name, "") for seen, name in zip(known["seen"], table["name"])]
        rehearsal = rehearse(held_out, chosen["points_KD"], weights_CD, of_class, is_trained_C)
        given = held_out, rehearsal, is_trained_C, temperature, min_precision, allow_bias
        gamma, thresholds = calibrated(*given)
        of_names = table, class_text, method, weights_CD, temperature, known
        calibration = held_out.new_clips(chosen["points_KD"], of_class)
        return ZeroShotClassifier(*of_names, gamma, thresholds, held_out, weights_CS, calibration)


def fitting_prompt(table: pd.DataFrame, own: str, prompts: list[str]) -> str:
    """The prompt among a model's that reads all that a table of classes says; its `own` reads structures."""
    n_structures = int((table["structure"] != "").sum()) if "structure" in table else 0
    if not n_structures:
        in_parts = "posture" in table and (table["posture"] != "").any()
        return own if in_parts and own in IN_PARTS else prompt_of(table)
    if n_structures < len(table):
        raise ValueError(f"every class needs a structure, or none, got {n_structures} of {len(table)}")
    if (table["description"] != "").all():
        return own
    if "structure" not in prompts:
        raise ValueError("this model reads structures beside a description of every class; some have none")
    return "structure"


class PublicModel(VideoModel):
    """A model of one of the kinds in MODELS, as transformers saves it, by its folder or its name in the hub.

    It has the direct method alone, and nothing is sure: no classes are known that it did not see. Its scores
    are not those of the rigorous setting. An image tower reads windows of `n_frames` at `fps`.
    """

    def __init__(
        self,
        folder: str | Path,
        n_frames: int = 8,
        fps: float = 4.0,
        device: str | None = None,
        revision: str | None = None,
    ) -> None:
        files, self._device = find_encoder(folder, revision), choose_device(device)
        self._files, self._tower = files, load_public_tower(files.folder, n_frames).to(self._device)
        pixels = self._tower.preprocessing
        size_px = max(pixels.resized_px or pixels.crop_px or (0,))
        frames = FrameSettings(self._tower.n_frames, fps, size_px)
        sets = checkpoints()["training_sets"].get(files.name, "")
        self.training_sets = tuple(sets.split(SEPARATOR) if sets else ())
        about = f"the public model {files}, trained on {sets or 'unknown data'}: not rigorous"
        none = pd.DataFrame({"name": [], "label": [], "description": []}, dtype=str)
        super().__init__(files.name, files.revision, frames, about, none)

    @torch.inference_mode()
    def embed(self, frames_VTHWC: np.ndarray) -> np.ndarray:
        """By its image or video tower."""
        with mixed_precision(self._device):
            return self._tower(torch.from_numpy(frames_VTHWC).to(self._device)).half().cpu().numpy()

    def embed_store(self, store: FrameStore, folder: Path) -> ClipEmbeddings:
        """Every clip of a frame store, saved in the folder."""
        trained_on = SEPARATOR.join(self.training_sets or ())
        return embed_with_public_model(self._files, store, folder, trained_on, self._tower.n_frames)

    def embed_asked(
        self, clips: pd.DataFrame, table: pd.DataFrame, asked: Protocol, root: Path, folder: Path
    ) -> Embeddings:
        """Clips of a catalog, read whole (`embed_whole_videos`), and class texts by a protocol's prompt."""
        about: dict[str, Any] = {"model": self.name, "revision": self.fingerprint}
        whole = embed_whole_videos(self._tower, clips, root, folder, about)
        texts = self.classifier(table, "direct", asked.prompt)
        about |= {"prompt": asked.prompt, "frames": asked.frames}
        about["training_sets"] = list(self.training_sets or ())
        about |= {} if texts.temperature is None else {"temperature": str(texts.temperature)}
        return Embeddings(whole.clips, whole.vectors, texts.names, texts.weights_CD, about)

    @property
    def encoder(self) -> EncoderFiles:
        """Its own text tower."""
        return self._files

    def _classifier(
        self, table: pd.DataFrame, method: str, prompt: str, min_precision: float, allow_bias: bool
    ) -> ZeroShotClassifier:
        if method not in ("", "direct"):
            raise ValueError(f"the method of a public model must be direct, got {method!r}")
        texts = embed_class_text(texts_of(table, prompt or prompt_of(table)), self._files)
        check_differ(texts)
        n_lines = 1 if texts.class_text.averaged else texts.class_text.texts[0].count("\n") + 1
        weights_CD = unit(texts.pooled_CF.reshape(len(table), n_lines, -1).sum(1))  # lines are averaged
        known = pd.DataFrame({"name": table["name"], "trained": NOT_KNOWN, "seen": ""})
        given = table, texts.class_text, "direct", weights_CD, self._tower.temperature
        return ZeroShotClassifier(*given, known)


def load_model(
    model: str | Path | Workspace | VideoModel | None = None,
    split: str | None = None,
    device: str | None = None,
    *,
    revision: str | None = None,
) -> VideoModel:
    """Open a model.

    >>> import zsar_lab as zl
    >>> model = zl.load_model("runs/demo")
    >>> classifier = model.classifier(["walking", "jumping"])
    >>> classifier.names, classifier.weights_CD.shape
    (('walking', 'jumping'), (2, 128))

    Args:
        model: a folder that `export` left; a workspace or one of its trainings; a folder or hub name of a
            public model (`zl.list_models()`); the hub name of a shared model; an open one. None: the demo's
            workspace. FileNotFoundError or ValueError for what is none of these, damaged, of another version,
            or wants code of its own run.
        split: of a workspace; its first when None. One that is not trained is trained.
        device: "cpu", "cuda", or None to choose.
        revision: commit, branch or tag of a model in the hub; None for the one in `zl.list_models()`, or
            main. FileNotFoundError where it is not there.
    """
    if isinstance(model, VideoModel):
        return model
    given = model.folder if isinstance(model, Workspace) else Path(DEMO if model is None else model)
    path = given.parent if given.is_file() else given  # a file of a training or of a shared model
    if revision is not None and (model is None or path.exists()):
        raise ValueError(f"only models of the hub have revisions, '{path}' is a folder, got {revision!r}")
    if path.parent.name == "trainings" and (path.parent.parent / "study.json").is_file():
        if split not in (None, path.name):
            raise ValueError(f"the split of '{path}' is {path.name!r}, got {split!r}")
        path, split = path.parent.parent, path.name
    if (path / "study.json").is_file():
        workspace = Workspace.open(path)
        return TrainedModel(export_split(workspace, split), device, workspace.folder / "class_text")
    if split is not None:
        raise ValueError(f"only a workspace has splits, '{path}' is none, got {split!r}")
    if is_shared(path):
        return TrainedModel(load_shared(path), device)
    if model is None:
        raise FileNotFoundError(f"there is no study in '{path}'; run 'make demo' first, or name a model")
    if given.is_file():
        raise ValueError(f"a model must be a folder or of one, got the file '{given}' by itself")
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise FileNotFoundError(f"a model's folder holds config.json or study.json, '{path}' neither")
        return PublicModel(path, device=device)
    revision = revision or checkpoints()["revision"].get(str(model)) or None
    if folder := fetch_shared(str(model), revision):
        return TrainedModel(load_shared(folder), device)
    return PublicModel(str(model), device=device, revision=revision)
