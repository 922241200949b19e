"""A split of a study as a folder to share."""

from __future__ import annotations

from pathlib import Path

from zsar_lab.infer.export import check_can_be_shared, origin, shared_model
from zsar_lab.infer.model_card import model_card
from zsar_lab.infer.shared_model import SharedModel, is_shared, load_shared, save_shared
from zsar_lab.text.embeddings import ClassEmbeddings
from zsar_lab.workspace import Workspace

USERS_PROMPTS = ("label", "description", "label_and_description")  # what a user's own class table can fill


def export_split(
    workspace: Workspace, split: str | None = None, folder: str | Path | None = None
) -> SharedModel:
    """Write the trained model of a split, with all that names clips of any classes, as a folder that loads elsewhere; trains it if it is not.

    Args:
        workspace: of the study.
        split: its name; the study's first when None.
        folder: where to; `<workspace>/shared/<split>` when None, which is opened if it is of the same
            checkpoint.

    Raises:
        ValueError: no such split, no validation classes, or the folder holds other files.
    """
    split = workspace.study.splits[0] if split is None else split
    protocol = workspace.protocol(split)
    check_can_be_shared(protocol)  # before hours of training
    checkpoint = workspace.train(split)
    target = workspace.folder / "shared" / split if folder is None else Path(folder)
    kept = _kept(target) if folder is None else None
    if kept is not None and (kept.fingerprint, kept.about["protocol"]["hash"]) == (
        checkpoint.fingerprint,
        protocol.hash,
    ):
        return kept
    result, config = workspace.result(split), checkpoint.config
    n_parameters = sum(weight.numel() for weight in checkpoint.model().parameters())
    counts = {
        "parameters": n_parameters,
        "epochs": config.epochs,
        "steps": checkpoint.step,
        "clips a step": config.batch_size * config.accumulate,
    }
    data = {"catalog": workspace.catalog.fingerprint, "frames": workspace.frames.fingerprint}
    about = origin(workspace.catalog.name, workspace.study.data.is_generated, protocol, result, counts, data)
    trained = checkpoint, workspace.embeddings(split), protocol, _texts(workspace)
    shared = shared_model(
        *trained, workspace.catalog.classes, workspace.frames.settings, workspace.encoder, about
    )
    save_shared(shared, target, model_card(shared, target.name))
    return load_shared(target)


def _kept(folder: Path) -> SharedModel | None:
    """What an earlier export left; None where it is not whole or of another format, so that it is made again."""
    try:
        return load_shared(folder) if is_shared(folder) else None
    except ValueError:
        return None


def _texts(workspace: Workspace) -> dict[str, ClassEmbeddings]:
    """The study's own class texts, and those that any user can write, where the study's classes have them and the encoder reads them whole."""
    own = workspace.class_embeddings()
    texts = {own.class_text.prompt: own}
    for prompt in USERS_PROMPTS:
        try:
            texts.setdefault(prompt, workspace.class_embeddings(prompt))
        except ValueError:  # no descriptions, or too long ones
            continue
    return texts
