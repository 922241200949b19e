"""A split of a study as a folder to share, and what is told of it: the model card and `info`."""

from __future__ import annotations

import json
import platform
import re
import shlex
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from zsar_lab import __version__
from zsar_lab.embed.checkpoint import embedded, embedding_model
from zsar_lab.embed.embeddings import ClipEmbeddings
from zsar_lab.infer.classifier import distances
from zsar_lab.infer.patterns import patterns_of
from zsar_lab.infer.shared import SharedModel, SharedModelError, load_shared, save_shared
from zsar_lab.methods.clips import ClipGroup, SplitClips, nearest_scores
from zsar_lab.methods.direct import label_embeddings
from zsar_lab.methods.metrics import top_k_accuracy
from zsar_lab.models.rest import ResT
from zsar_lab.protocols.protocol import Protocol
from zsar_lab.results.calibration import choose_temperature
from zsar_lab.results.predictions import Predictions
from zsar_lab.results.statistics import accuracy, interval
from zsar_lab.text.embeddings import ClassEmbeddings
from zsar_lab.text.encoder_files import EncoderFiles
from zsar_lab.text.prompts import label
from zsar_lab.train.checkpoint import Checkpoint
from zsar_lab.train.config import TrainConfig
from zsar_lab.train.device import choose_device, cpu_threads
from zsar_lab.train.text_tail import class_embeddings_of, text_inputs
from zsar_lab.workspace import Workspace

MOST_HELD_OUT, N_PATTERNS = 2000, 12  # clips that names are calibrated by, and patterns of a kind
USERS_PROMPTS = ("label", "description", "label_and_description")  # what a user's own class table can fill
# what means something in Markdown, HTML or a formula; an underscore within a word does not
MARKUP = re.compile(r"[\\`*\[\]<>&|~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


def export_split(
    workspace: Workspace, split: str | None = None, folder: str | Path | None = None
) -> SharedModel:
    """Write the trained model of a split as a folder that loads elsewhere; trains it if it is not.

    Args:
        workspace: of the study.
        split: its name; the study's first when None.
        folder: where to; None for `<workspace>/shared/<split>`, opened if it is of the same checkpoint.

    Raises:
        ValueError: no such split, no validation classes, or the folder holds other files.
    """
    split = workspace.study.splits[0] if split is None else split
    protocol = workspace.protocol(split)
    if not protocol.validation_clips:  # before hours of training
        raise ValueError(f"sharing needs settings chosen on validation classes, {protocol.name!r} has none")
    checkpoint = workspace.train(split)
    target = workspace.folder / "shared" / split if folder is None else Path(folder)
    if folder is None:
        with suppress(FileNotFoundError, SharedModelError):
            there, wanted = load_shared(target), (checkpoint.fingerprint, protocol.hash)
            if (there.fingerprint, there.about["protocol"]["hash"]) == wanted:
                return there
    shared = _shared(workspace, split, protocol, checkpoint)
    return load_shared(save_shared(shared, target, model_card(shared, target.name)))


def _shared(workspace: Workspace, split: str, protocol: Protocol, checkpoint: Checkpoint) -> SharedModel:
    """Seen prototypes, methods as validation classes chose them, and held-out clips to calibrate names by.

    transfer is chosen for each prompt that a user may fill; direct has that of its label head's training.
    """
    predictions, encoder, clips = workspace.predictions(split), workspace.encoder, workspace.embeddings(split)
    by_prompt = {predictions.prompt: workspace.class_embeddings()}
    for prompt in USERS_PROMPTS:
        with suppress(ValueError):  # no descriptions, or too long ones
            by_prompt.setdefault(prompt, workspace.class_embeddings(prompt))
    gathered, groups = SplitClips.of(clips, protocol), (protocol.seen, protocol.validation)
    prototypes_SD = gathered.seen_prototypes
    arrays = _held_out(workspace, protocol, checkpoint, clips)
    arrays["prototypes"] = prototypes_SD.astype(np.float32)
    texts, methods = {}, []

    def add(method: str, prompt: str, settings: dict[str, Any], points_KD: np.ndarray) -> None:
        arrays[f"points.{method}.{prompt}"] = points_KD.astype(np.float32)
        validation, of_class = gathered.validation, by_prompt[prompt]
        scores_BV = nearest_scores(validation.embedding_BD, points_KD[len(protocol.seen) :])
        text_SF, text_VF = (of_class.pooled_CF[of_class.rows(names)] for names in groups)
        chosen: dict[str, Any] = {"method": method, "prompt": prompt, "settings": settings}
        chosen["temperature"] = choose_temperature(scores_BV, validation.targets)
        chosen["validation_top1"] = top_k_accuracy(scores_BV, validation.targets, 1)
        chosen["near"] = float(distances(text_VF, text_SF).min())  # validation classes count as new
        methods.append(chosen)

    for prompt, one in by_prompt.items():
        rows, text = one.rows(protocol.seen), one.class_text
        arrays[f"text.{prompt}"] = one.pooled_CF[rows]
        of_seen = {name: text.texts[row] for name, row in zip(protocol.seen, rows, strict=True)}
        texts[prompt] = {"averaged": text.averaged, "texts": of_seen}
        fitted = gathered.fit(one, "transfer")
        assert fitted.points
        points_KD = np.concatenate([prototypes_SD, fitted.points(protocol.validation)])
        add("transfer", prompt, fitted.settings, points_KD)
    own = by_prompt[predictions.prompt]
    rows = own.rows(protocol.seen + protocol.validation)
    add("direct", predictions.prompt, {}, label_points(checkpoint, own, encoder)[rows])
    seen = workspace.catalog.classes.set_index("name").loc[list(protocol.seen)].reset_index()
    described = seen["description"].fillna("") if "description" in seen else ""
    config = {
        "chosen_for": checkpoint.fingerprint,
        "frames": asdict(workspace.frames.settings),
        "encoder": encoder.name,
        "encoder_revision": encoder.revision,
        "prompt": predictions.prompt,
        "seen": seen[["name"]].assign(label=label(seen), description=described).to_dict("records"),
        "methods": methods,
        "about": _about(workspace, protocol, checkpoint, predictions),
    }
    return SharedModel(checkpoint, config, texts, arrays)


def _held_out(
    workspace: Workspace, protocol: Protocol, checkpoint: Checkpoint, clips: ClipEmbeddings
) -> dict[str, np.ndarray]:
    """What `HeldOut` is made of: as many clips of each class, and patterns, some from validation clips."""
    names, validation = protocol.seen + protocol.validation, list(protocol.validation_clips)
    found = ClipGroup.of(clips, protocol.seen_test_clips + protocol.validation_clips, names)
    earlier = pd.Series(found.targets).groupby(found.targets).cumcount()
    rows = np.flatnonzero(earlier < max(1, MOST_HELD_OUT // len(names)))
    stills = workspace.frames.rows(validation[:: max(1, len(validation) // N_PATTERNS)][:N_PATTERNS])
    shown = patterns_of(np.stack([workspace.frames.frames[int(row)] for row in stills]))
    network = embedding_model(checkpoint, choose_device(None))
    patterns_PD = embed_frames(network, checkpoint.config, shown)
    embedding_ED = found.embedding_BD[rows].astype(np.float16)
    return {"held_out": embedding_ED, "targets": found.targets[rows], "patterns": patterns_PD}


def embed_frames(network: ResT, config: TrainConfig, frames_VTHWC: np.ndarray) -> np.ndarray:
    """Frames as a study's clips, the mean of the centre view and its mirror: float16 [V, D], unit rows."""
    rows = np.arange(len(frames_VTHWC))
    with cpu_threads(config.cpu_threads):
        batches = embedded(network, frames_VTHWC, rows, config.view)
        return np.concatenate([embedding_BD for embedding_BD, _ in batches])


def label_points(checkpoint: Checkpoint, texts: ClassEmbeddings, encoder: EncoderFiles) -> np.ndarray:
    """Embeddings of classes by the trained label head, [C, D], of their texts as the training reads them."""
    if checkpoint.config.text_layers:
        texts = class_embeddings_of(checkpoint, texts.class_text, encoder)
    inputs = text_inputs(texts, texts.names, checkpoint.config.model.n_label_tokens, "cpu")
    return label_embeddings(checkpoint.model(), inputs)


def _about(
    workspace: Workspace, protocol: Protocol, checkpoint: Checkpoint, predictions: Predictions
) -> dict[str, Any]:
    """Where a shared model comes from, ready for json."""
    config, scores = checkpoint.config, []
    for method in ("transfer", "direct"):
        rows = predictions.rows(method)
        figures = {"top1": accuracy(rows), "ci95": list(interval(rows))}
        scores.append({"method": method, "prompt": predictions.prompt, **figures})
    keys = ("name", "hash", "seen", "validation", "unseen", "views")
    n_parameters = sum(weight.numel() for weight in checkpoint.model().parameters())
    counts = {"parameters": n_parameters, "epochs": config.epochs, "steps": checkpoint.step}
    counts["clips a step"] = config.batch_size * config.accumulate
    fingerprints = {"catalog": workspace.catalog.fingerprint, "frames": workspace.frames.fingerprint}
    versions = {name: version(name) for name in ("torch", "transformers")}
    n_clips = {"train_clips": len(protocol.train_clips), "test_clips": len(protocol.test_clips)}
    return {
        "data": workspace.catalog.name,
        "generated": workspace.study.data.is_generated,
        "protocol": {key: getattr(protocol, key) for key in keys} | n_clips,
        "scores": {
            "chance": 1 / len(protocol.unseen),
            "upper_bound": accuracy(predictions.rows("upper_bound")),
            "seen_top1": accuracy(predictions.rows("seen", candidates="seen")),
            "methods": scores,
        },
        "counts": counts,
        "fingerprints": fingerprints | predictions.about["fingerprints"],
        "versions": {"zsar_lab": __version__, **versions, "python": platform.python_version()},
    }


def model_card(shared: SharedModel, name: str) -> str:
    """The card as Markdown, with the front matter that model hubs read; `name` is that of the folder.

    What comes from the data (names of classes, prompts, the catalog) is shown letter by letter, whatever
    markup it holds.
    """
    return _rendered("model_card.md.jinja", _literal, shared, name)


def info(shared: SharedModel) -> str:
    """The same as plain lines, for a terminal."""
    return _rendered("info.txt.jinja", _printable, shared)


def _rendered(template: str, clean: Callable[[Any], str], shared: SharedModel, name: str = "") -> str:
    """A template with every value of it cleaned, but for those quoted for a shell or for Python."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__, ""),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=template.endswith(".md.jinja"),
        finalize=lambda value: value if isinstance(value, Markup) else clean(value),
    )
    environment.filters["percent"] = lambda share: f"{100 * share:.1f} %"
    environment.filters["in_shell"] = lambda text: Markup(_printable(shlex.quote(text)))
    environment.filters["in_python"] = lambda text: Markup(_printable(json.dumps(text, ensure_ascii=False)))
    given = {**shared.config, **shared.about, "name": name}
    return environment.get_template(template).render(shared=shared, checkpoint=shared.checkpoint, **given)


def _printable(text: Any) -> str:
    """On one line, without signs that steer a terminal."""
    return "".join(sign if sign.isprintable() else " " for sign in str(text))


def _literal(text: Any) -> str:
    """Text as Markdown that shows just that text: a character reference never begins markup."""
    return MARKUP.sub(lambda sign: f"&#{ord(sign.group())};", _printable(text))
