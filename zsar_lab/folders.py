"""What a folder of ours holds, in a few lines: a study, a training, a prepared dataset or a shared model."""

from __future__ import annotations

from pathlib import Path

from zsar_lab.data.prepare import open_prepared, summary
from zsar_lab.files import read_json
from zsar_lab.infer.export import info
from zsar_lab.infer.hub import fetch_shared
from zsar_lab.infer.shared import is_shared, load_shared
from zsar_lab.methods.table import LABELS
from zsar_lab.train.checkpoint import load_checkpoint
from zsar_lab.workspace import Workspace


def describe(folder: str | Path) -> str:
    """Tell what a folder holds; the name of a shared model in the hub will do too.

    Raises:
        ValueError, FileNotFoundError: it is none of ours, or damaged.
    """
    path = Path(folder)
    if (path / "study.json").is_file():
        return _study(Workspace.open(path))
    if path.parent.name == "trainings" and path.is_dir():
        return _training(path)
    if is_shared(path):
        return info(load_shared(path))
    if (path / "catalog" / "catalog.json").is_file():
        return summary(open_prepared("the folder", path))
    if path.exists():
        ours = "a study, a training, and what prepare and export leave"
        next_step = f"; make one of a folder of class folders: zsar-lab study {path}" if path.is_dir() else ""
        raise ValueError(f"info knows {ours}; '{path}' is none of these{next_step}")
    fetched = fetch_shared(str(folder))
    if fetched is None:
        raise ValueError(f"info reads models written by export, '{folder}' is another kind")
    return info(load_shared(fetched))


def _study(workspace: Workspace) -> str:
    study, report = workspace.study, workspace.folder / "report.json"
    data, trained = study.data, [split for split in study.splits if workspace.is_trained(split)]
    lines = [
        f"A study of {data.videos or data.prepared or 'generated demo videos'}: splits"
        f" {', '.join(study.splits)}; {len(trained)} trained.",
        f"Class text {study.text.prompt}, text encoder {study.text.encoder or 'all-MiniLM-L6-v2'}, preset"
        f" {study.training.preset}, {study.training.epochs} epochs.",
    ]
    if not report.is_file():
        return "\n".join([*lines, "It has no report yet; run the command that made it again to go on."])
    content = read_json(report)
    top1 = "; ".join(f"{LABELS.get(name, name)} {100 * share:.1f}" for name, share in content["top1"].items())
    bound = content["upper_bound"]
    lines += [
        f"Top-1 in percent, {content['protocol']['name']}: {top1}; chance {100 * content['chance']:.1f}"
        + (f", upper bound {100 * bound:.1f}." if bound is not None else "."),
        f"The report is {report.with_suffix('.html')}.",
        f"Next: zsar-lab classify VIDEO --names NAME NAME --model {workspace.folder}, or zsar-lab search TEXT"
        f" --workspace {workspace.folder}",
    ]
    return "\n".join(lines)


def _training(folder: Path) -> str:
    found = load_checkpoint(folder)
    state = "finished" if found.complete else "not finished; run zsar-lab train to go on"
    return (
        f"The training of {folder.name} in '{folder.parent.parent}': step {found.step} of"
        f" {found.total_steps}, {state}. Fingerprint {found.fingerprint}."
    )
