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

from zsar_lab import __version__
from zsar_lab.infer.shared import SharedModel, SharedModelError, load_shared, save_shared
from zsar_lab.methods.clips import SplitClips
from zsar_lab.methods.metrics import top_k_accuracy
from zsar_lab.protocols.protocol import Protocol
from zsar_lab.results.calibration import choose_temperature
from zsar_lab.results.predictions import Predictions
from zsar_lab.results.statistics import accuracy, interval
from zsar_lab.text.prompts import label
from zsar_lab.train.checkpoint import Checkpoint
from zsar_lab.workspace import Workspace

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
    """Seen prototypes, and methods as validation classes chose them.

    transfer is chosen for each prompt that a user may fill; direct has that of its label head's training.
    """
    predictions, encoder = workspace.predictions(split), workspace.encoder
    embedded = {predictions.prompt: workspace.class_embeddings()}
    for prompt in USERS_PROMPTS:
        with suppress(ValueError):  # no descriptions, or too long ones
            embedded.setdefault(prompt, workspace.class_embeddings(prompt))
    targets = predictions.targets("validation")
    arrays = {"prototypes": predictions.prototypes("seen").astype(np.float32), "targets": targets}
    texts, methods = {}, []

    def add(method: str, prompt: str, settings: dict[str, Any], scores_BV: np.ndarray) -> None:
        arrays[f"validation.{method}.{prompt}"] = scores_BV.astype(np.float32)
        chosen: dict[str, Any] = {"method": method, "prompt": prompt, "settings": settings}
        chosen["temperature"] = choose_temperature(scores_BV, targets)
        methods.append(chosen | {"validation_top1": top_k_accuracy(scores_BV, targets, 1)})

    gathered = SplitClips.of(workspace.embeddings(split), protocol)
    for prompt, one in embedded.items():
        rows, text = one.rows(protocol.seen), one.class_text
        arrays[f"text.{prompt}"] = one.pooled_CF[rows]
        of_seen = {name: text.texts[row] for name, row in zip(protocol.seen, rows, strict=True)}
        texts[prompt] = {"averaged": text.averaged, "texts": of_seen}
        fitted = gathered.fit(one, "transfer")
        add("transfer", prompt, fitted.settings, fitted.scores(gathered.validation))
    add("direct", predictions.prompt, {}, predictions.scores("direct", candidates="validation"))
    seen = workspace.catalog.classes.set_index("name").loc[list(protocol.seen)].reset_index()
    described = seen["description"].fillna("") if "description" in seen else ""
    config = {
        "frames": asdict(workspace.frames.settings),
        "encoder": encoder.name,
        "encoder_revision": encoder.revision,
        "prompt": predictions.prompt,
        "seen": seen[["name"]].assign(label=label(seen), description=described).to_dict("records"),
        "methods": methods,
        "about": _about(workspace, protocol, checkpoint, predictions),
    }
    return SharedModel(checkpoint, config, texts, arrays)


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
