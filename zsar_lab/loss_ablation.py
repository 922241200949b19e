"""The same study without one of its losses: trained again on the same draws, in folders inside the study's."""

from __future__ import annotations

from dataclasses import replace

from zsar_lab.data.prepare import FOLDER
from zsar_lab.data.sampling import FrameSettings
from zsar_lab.study import Study
from zsar_lab.training import presets
from zsar_lab.workspace import Workspace

LOSSES = ("classification", "alignment", "matching")


def without_losses(workspace: Workspace) -> dict[str, Workspace]:
    """A workspace for each loss that the study trains with, in `<folder>/ablations/no_<loss>`: the same clips, draws, texts and seeds, without it.

    They share the study's frames, and the draws are those of its first kind of protocol. Nothing is trained by this call: `train_all` of
    each does that. A loss without which nothing would be learnt (the only one) is left out.

    Returns:
        Workspaces by name: "no classification", "no alignment", "no matching".

    Raises:
        ValueError: a folder holds another study.
    """
    study = workspace.study
    config = presets.config_of(study.preset, study.changes)
    used = [loss for loss in LOSSES if getattr(config, f"{loss}_weight")]
    workspace.frames  # noqa: B018  (the others open what is made here)
    return {
        f"no {loss}": Workspace(workspace.folder / "ablations" / f"no_{loss}", _without(study, loss, workspace), workspace.workers)
        for loss in used if len(used) > 1
    }  # fmt: skip


def _without(study: Study, loss: str, workspace: Workspace) -> Study:
    draws = next(iter(study.families.values()))
    changes = dict(study.changes) | {f"{loss}_weight": 0.0}
    return replace(
        study, videos=None, dataset=FOLDER, annotations=None, frames=FrameSettings(), prepared=study.prepared or str(workspace.folder), changes=changes,
        protocols=draws,
    )  # fmt: skip
