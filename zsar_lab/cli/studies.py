"""Commands that make and carry out studies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zsar_lab.data.catalog import Catalog
    from zsar_lab.data.sampling import FrameSettings
    from zsar_lab.study import Data

DEMO = Path("runs/demo")


@dataclass(frozen=True)
class Asked:
    """What a study asks beside its videos.

    Attributes:
        prompt: label, template, templates, description, label_and_description, structure or
            description_and_parts; templates such as 'a video of {label}'; or a csv file (name, text).
        encoder: the text encoder, a folder or a hub name; without it all-MiniLM-L6-v2.
        text_layers: last layers of the text encoder that are trained too; 0 is frozen.
        preset: demo, rest18, rest101, rest_r3d18 or rest_r2plus1d18.
        epochs: of each training; without it the preset's, 25 of demo, 150 of the others.
        set: settings of the preset, such as batch_size=32 model.dropout=0.2.
        views: test-time views a clip, 1 or 25.
        allow_leakage: train also where a seen class is an unseen one under another name.
        frames: frames a clip.
        fps: their rate (1/s); a clip is its middle frames/fps seconds.
        size: height and width of a frame (pixels).
        workers: processes for decoding, and trainings side by side.
    """

    prompt: tuple[str, ...] = ()
    encoder: str | None = None
    text_layers: int = 0
    preset: str = "demo"
    epochs: int | None = None
    set: tuple[str, ...] = ()
    views: int = 1
    allow_leakage: bool = False
    frames: int = 24
    fps: float = 12.0
    size: int = 64
    workers: int = 2


def demo(
    *,
    workspace: Path = DEMO,
    protocol: tuple[str, ...] = ("stratified-0..2", "random-0"),
    clips_per_class: int = 30,
    asked: Asked = Asked(prompt=("description_and_parts",)),
) -> None:
    """Make the demo videos, train one model a split, and print the zero-shot table.

    Args:
        workspace: folder that holds everything; run again to go on.
        protocol: protocols, such as random-0..2; the first family is the main one.
        clips_per_class: of the generated videos.
        asked: class texts, model, training, evaluation and frames.
    """
    from zsar_lab.study import Data

    _carry_out(workspace, Data(clips_per_class=clips_per_class, frames=_frames(asked)), protocol, asked)


def study(
    videos: Path,
    /,
    *,
    workspace: Path | None = None,
    protocol: tuple[str, ...] = (),
    splits: Path | None = None,
    asked: Asked = Asked(),
) -> None:
    """Make a study of your own folder: splits, a training each, the zero-shot table and a report.

    Without --protocol and --prompt they follow from what is there: family-stratified splits where
    classes.csv has families, else random ones; descriptions where every class has one, else labels.

    Args:
        videos: a folder of class folders with videos, or one made by the prepare command.
        workspace: folder that holds everything, run again to go on; without it one of the same name in runs.
        protocol: protocols, such as random-0..2, folds-5 or truze; the first family is the main one.
        splits: a file with the unseen classes of a split a line, for the protocols file-1, file-2, ...
        asked: class texts, model, training, evaluation and frames.
    """
    from zsar_lab.data.datasets.folders import list_class_folders
    from zsar_lab.data.prepare import open_prepared
    from zsar_lab.study import Data, fitting

    is_prepared = (videos / "catalog" / "catalog.json").is_file()
    if is_prepared:
        classes = open_prepared("videos", videos).catalog.classes
    else:
        classes = list_class_folders(videos)[1]
    folder = None if is_prepared else str(videos), str(videos) if is_prepared else None
    given = str(splits) if splits else None
    data = Data(folder[0], prepared=folder[1], splits=given, frames=_frames(asked))
    protocols, prompt = fitting(classes)
    asked = replace(asked, prompt=asked.prompt or (prompt,))
    _carry_out(workspace or Path("runs") / videos.resolve().name, data, protocol or protocols, asked)


def _frames(asked: Asked) -> FrameSettings:
    from zsar_lab.data.sampling import FrameSettings

    return FrameSettings(asked.frames, asked.fps, asked.size)


def _carry_out(folder: Path, data: Data, protocols: tuple[str, ...], asked: Asked) -> None:
    """Carry out a study, and say what was found, where it is, and what to do next."""
    from zsar_lab.study import Evaluation, Study, Text, Training
    from zsar_lab.train.config import read_overrides
    from zsar_lab.viz.tables import report_as_text
    from zsar_lab.workspace import Workspace

    text = Text(asked.prompt[0] if len(asked.prompt) == 1 else asked.prompt, asked.encoder, asked.text_layers)
    training = Training(asked.preset, asked.epochs, read_overrides(asked.set))
    evaluation = Evaluation(asked.views, strict=not asked.allow_leakage)
    workspace = Workspace(folder, Study(data, protocols, text, training, evaluation), asked.workers)
    videos = data.videos or data.prepared or "generated demo videos"
    print(f"Videos: {videos}. Splits: {', '.join(workspace.study.splits)}. Class text: {text.prompt}.")
    print(f"Everything is saved in {folder}.", flush=True)
    workspace.begin()
    excluded = workspace.catalog.excluded[["path", "status", "reason"]]
    if len(excluded):
        print(f"{len(excluded)} files are left out:\n{excluded.to_string(index=False)}")
    if workspace.catalog.empty_classes:
        print(f"Classes without a usable clip, in no split: {', '.join(workspace.catalog.empty_classes)}")
    results = workspace.report()
    print("\n" + "\n\n".join(report_as_text(results, family) for family in results.families))
    seconds = ", ".join(f"{step} {spent:.0f}" for step, spent in workspace.seconds.items())
    print(f"\nSeconds: {seconds}\n\n{results.sentence()}")
    print(f"The report is {folder / 'report.html'} (also json, csv, tex). Next:")
    print("  look closer   zsar-lab notebooks my_notebooks, and name this folder in their second cell")
    print(f"  new videos    zsar-lab classify VIDEO --names NAME NAME --model {folder}")


def prepare(
    dataset: str,
    /,
    *,
    videos: Path,
    out: Path,
    annotations: Path | None = None,
    unit: str = "segment",
    frames: int = 24,
    fps: float = 12.0,
    size: int = 64,
    jpeg_quality: int | None = None,
    workers: int = 2,
    timeout: float = 60.0,
    memory: int = 2000,
) -> None:
    """Catalog downloaded videos by their annotation files, decode every usable clip, and report what is bad.

    Args:
        dataset: ucf101, hmdb51, kinetics400, kinetics600, kinetics700, activitynet, or folder.
        videos: the folder above the class folders.
        out: folder that holds everything; run again to go on.
        annotations: the folder of the official annotation files (not for 'folder').
        unit: a clip of ActivityNet: segment or video.
        frames: frames a clip.
        fps: their rate (1/s); a clip is its middle frames/fps seconds.
        size: height and width of a frame (pixels).
        jpeg_quality: 1..100, for JPEG images, a tenth of the size; without it raw pixels.
        workers: processes that decode at the same time.
        timeout: seconds that a file, or a part of a long one, may take.
        memory: MB that a worker may use.
    """
    from zsar_lab.data.prepare import Source, summary
    from zsar_lab.data.prepare import prepare as make
    from zsar_lab.data.sampling import FrameSettings
    from zsar_lab.data.workers import Limits

    source = Source(dataset, str(videos), str(annotations or ""), unit)
    limits = Limits(workers, timeout, memory)
    print(f"Memory: at most {workers} x {memory} MB for decoding, and about 3 kB a clip.", flush=True)
    was_there = (out / "catalog" / "catalog.json").is_file()
    made = make(source, out, FrameSettings(frames, fps, size, jpeg_quality), limits)
    by_class = _write_overview(made.catalog, out / "catalog_report.html")
    print("\n" + summary(made))
    if was_there:
        again = f"delete {out / 'catalog' / 'catalog.json'} and {out / 'frames'}"
        print(f"The catalog was there already; to look at the folders again, {again}.")
    print(f"By class: {by_class}. Clips without frames, and why: {out / 'bad_clips.csv'}")


def _write_overview(catalog: Catalog, page: Path) -> str:
    """Write the figure of clips by class where plotly is there; what was written, in words."""
    try:
        from zsar_lab.viz.figures import write_page
        from zsar_lab.viz.figures.data import class_overview
    except ModuleNotFoundError as error:
        return f"{page.with_suffix('.csv')} ({error})"
    write_page([class_overview(catalog)], page)
    return f"{page} and .csv"


def train(split: str, /, *, workspace: Path = DEMO) -> None:
    """Train one split of a workspace, or go on with it, and embed every clip; by torchrun on several ranks.

    Args:
        split: for example stratified-0.
        workspace: a folder made by the demo command or a notebook.
    """
    from zsar_lab.train.distributed import is_first, started_ranks
    from zsar_lab.workspace import Workspace

    with started_ranks():
        study = Workspace.open(workspace)
        checkpoint = study.train(split)
        study.embeddings(split)
        if is_first():
            print(
                f"trained: {checkpoint.path}, {checkpoint.step} steps, fingerprint {checkpoint.fingerprint}"
            )


def ablate(*, workspace: Path = DEMO) -> None:
    """Train a study again without each of its losses, and print what every part of the system is worth.

    Args:
        workspace: a folder made by the demo command or a notebook.
    """
    from zsar_lab.study_ablation import ablate_study, without_losses
    from zsar_lab.viz.tables import ablation_table, claims_as_text
    from zsar_lab.workspace import Workspace

    study = Workspace.open(workspace)
    for name, other in without_losses(study).items():
        print(f"{name}: in {other.folder}", flush=True)
        other.train_all()
    ablation = ablate_study(study)
    print("\n" + ablation_table(ablation).to_string() + "\n\n" + claims_as_text(ablation))


def notebooks(folder: Path, /) -> None:
    """Copy the notebooks into a folder of yours, to be opened in JupyterLab.

    Args:
        folder: made if it is not there; a notebook that is there already is left as it is.
    """
    import shutil

    from zsar_lab.files import make_folder, shipped

    ours, there = (
        sorted(shipped("notebooks").glob("*.ipynb")),
        {path.name for path in make_folder(folder).iterdir()},
    )
    for path in ours:
        if path.name not in there:
            shutil.copyfile(path, folder / path.name)
    left = [path.name for path in ours if path.name in there]
    print(f"{len(ours) - len(left)} notebooks written to {folder}; open them with: jupyter lab {folder}")
    if left:
        print(f"Left as they are: {', '.join(left)}")
