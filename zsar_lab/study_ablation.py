"""The ablation of a study: its own trainings, and the study trained again without each loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from zsar_lab.methods.transfer import classifier_weights
from zsar_lab.models.losses import LOSSES
from zsar_lab.results.ablation import Ablation, ablate
from zsar_lab.results.predictions import Predictions
from zsar_lab.study import Data, Study
from zsar_lab.train.config import ablations, config_of, merged
from zsar_lab.workspace import Workspace


def ablate_study(workspace: Workspace) -> Ablation:
    """Change one part of the system at a time, over the splits of the study's first protocol, see `ablate`.

    Losses are compared where the trainings of `without_losses` are there; what is missing of the study itself
    is made.
    """
    splits = next(iter(workspace.study.families.values()))
    predictions = [workspace.predictions(split) for split in splits]
    clips = [workspace.embeddings(split) for split in splits]
    classifiers = [classifier_weights(workspace.train(split).model()) for split in splits]
    losses = predictions_without_losses(workspace)
    return ablate(predictions, clips, workspace.class_embeddings(), classifiers, losses)


def without_losses(workspace: Workspace) -> dict[str, Workspace]:
    """A workspace without each loss that the study trains with, in `<folder>/ablations/no_<loss>`.

    Clips, splits, texts and seeds are the same; they share the study's frames, and the splits are those of
    its first protocol. Nothing is trained by this call: `train_all` of each does that. Where a study trains
    with one loss alone there is none.

    Returns:
        Workspaces by name: "no classification", "no alignment", "no matching".

    Raises:
        ValueError: a folder holds another study.
    """
    training = workspace.study.training
    changes = ablations(config_of(training.preset, training.overrides))
    workspace.frames  # noqa: B018  (the others open what is made here)
    folder, n_workers = workspace.folder / "ablations", workspace.workers
    return {
        name: Workspace(folder / name.replace(" ", "_"), _changed(workspace, change), n_workers)
        for name, change in changes.items()
        if name.removeprefix("no ") in LOSSES
    }


def predictions_without_losses(workspace: Workspace) -> dict[str, list[Predictions]]:
    """The splits of those workspaces of `without_losses` in which all are trained; it trains nothing."""
    if not (workspace.folder / "ablations").is_dir():
        return {}
    return {
        name: [other.predictions(split) for split in other.study.splits]
        for name, other in without_losses(workspace).items()
        if all(other.is_trained(split) for split in other.study.splits)
    }


def _changed(workspace: Workspace, change: Mapping[str, Any]) -> Study:
    study = workspace.study
    return replace(
        study,
        data=Data(prepared=study.data.prepared or str(workspace.folder), train_on=study.data.train_on),
        protocols=next(iter(study.families.values())),
        training=replace(study.training, overrides=merged(study.training.overrides, change)),
    )
