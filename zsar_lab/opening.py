"""Open whatever can name videos: a shared folder, a study's workspace, a model of the hub, or a public model."""

from __future__ import annotations

from pathlib import Path

from zsar_lab.infer.classifier import NamingModel, naming_model
from zsar_lab.infer.hub import fetch_shared
from zsar_lab.infer.shared_model import is_shared, load_shared
from zsar_lab.study_export import export_split
from zsar_lab.workspace import Workspace

DEMO = "runs/demo"


def open_model(
    checkpoint: str | Path | Workspace | None = None, split: str | None = None, device: str | None = None
) -> NamingModel:
    """Open a model that names videos.

    >>> import zsar_lab as zl
    >>> model = zl.open_model("runs/demo")
    >>> candidates = model.candidates(zl.read_classes(["walking", "jumping"]))
    >>> candidates.names, candidates.points_CD.shape
    (('walking', 'jumping'), (2, 128))

    Args:
        checkpoint: a folder that `export` left; a workspace, or one of its trainings
            (`runs/demo/trainings/stratified-0`); a folder or hub name of CLIP, SigLIP or X-CLIP; the hub name
            of a shared model. None: the demo's workspace, `runs/demo`.
        split: of a workspace; its first when None. One that is not trained is trained.
        device: "cpu", "cuda", or None to choose.

    Raises:
        FileNotFoundError: it is none of these.
        ValueError: it is damaged, of another version, or a split is given for what has none or another one.
    """
    if isinstance(checkpoint, Workspace):
        checkpoint = checkpoint.folder
    path = Path(DEMO if checkpoint is None else checkpoint)
    if path.is_file():
        path = path.parent  # checkpoint.safetensors of a training, or a file of a shared model
    workspace, split = _workspace_of(path, split)
    if workspace is not None:
        return naming_model(export_split(workspace, split), device, workspace.folder / "class_text")
    if split is not None:
        raise ValueError(
            f"only a workspace has splits, '{path}' is none, got the split {split!r}; leave it out"
        )
    if is_shared(path):
        return naming_model(load_shared(path), device)
    if checkpoint is None:
        raise FileNotFoundError(
            f"without a checkpoint the demo's is taken, but '{path}' holds no study; run 'make demo' first, or give a checkpoint"
        )
    return _elsewhere(str(checkpoint), device)


def _workspace_of(path: Path, split: str | None) -> tuple[Workspace | None, str | None]:
    """The workspace that a path means, and the split."""
    if (path / "study.json").is_file():
        return Workspace.open(path), split
    of_training = path.parent.name == "trainings" and (path.parent.parent / "study.json").is_file()
    if not of_training:
        return None, split
    if split not in (None, path.name):
        raise ValueError(
            f"the split of a training must be its own, '{path}' is of {path.name!r}, got {split!r}; leave the split out, or give the workspace"
        )
    return Workspace.open(path.parent.parent), path.name


def _elsewhere(name: str, device: str | None) -> NamingModel:
    """A public model's folder, or a model of the hub of either kind."""
    from zsar_lab.infer.public_classifier import public_naming_model

    if Path(name).is_file():
        raise ValueError(
            f"a checkpoint must be a folder, or a file in a workspace or a shared model, '{name}' is a file by itself; give the folder"
        )
    if Path(name).is_dir():
        if not (Path(name) / "config.json").is_file():
            raise FileNotFoundError(
                f"a checkpoint must be a folder that export left, a workspace, or a model's folder, '{name}' holds none of config.json and study.json;"
                " mend the path"
            )
        return public_naming_model(name, device=device)
    folder = fetch_shared(name)
    return (
        public_naming_model(name, device=device)
        if folder is None
        else naming_model(load_shared(folder), device)
    )
