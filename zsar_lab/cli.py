"""The command line, thin: a command is one call of the library, its options are the function's parameters."""

from __future__ import annotations

import os
import runpy
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

DEMO = Path("runs/demo")
ABOUT = "Zero-shot action recognition, from video files to a zero-shot table."


def main(arguments: list[str] | None = None) -> int:
    """Run a command; a mistake ends in one sentence and status 2, an interrupt in one and 130."""
    import tyro

    commands = {command.__name__: command for command in COMMANDS}
    rank = os.environ.get("RANK", "0")
    who = f"rank {rank}: " if "RANK" in os.environ else ""
    try:
        _refuse_repeated(sys.argv[1:] if arguments is None else arguments)
        config = (tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes)
        subcommands = tyro.extras.subcommand_cli_from_dict
        subcommands(commands, prog="zsar-lab", description=ABOUT, args=arguments, config=config)
    except KeyboardInterrupt as interrupt:
        if rank == "0":
            said = str(interrupt) or "interrupted; what was finished is saved, run it again to go on"
            print(f"\n{who}{said}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has enough, as head has
        return 141
    except (ValueError, OSError, RuntimeError) as error:
        print(f"\n{who}{error}", file=sys.stderr)
        return 2
    return 0


def _refuse_repeated(arguments: list[str]) -> None:
    """Refuse an option that is given twice, of which the parser would take the last without a word."""
    options = [argument.split("=")[0] for argument in arguments if argument.startswith("--")]
    twice = [option for option in options if options.count(option) > 1]
    if twice:
        raise ValueError(f"{twice[0]} must be given once, with its values behind one another, got it again")


def demo(
    *,
    workspace: Path = DEMO,
    videos: Path | None = None,
    prepared: Path | None = None,
    protocol: tuple[str, ...] = ("stratified-0..2", "random-0"),
    prompt: tuple[str, ...] = ("description_and_parts",),
    encoder: str | None = None,
    text_layers: int = 0,
    preset: str = "demo",
    epochs: int | None = None,
    set: tuple[str, ...] = (),
    views: int = 1,
    allow_leakage: bool = False,
    frames: int = 24,
    fps: float = 12.0,
    size: int = 64,
    clips_per_class: int = 30,
    workers: int = 2,
) -> None:
    """Make the demo videos (or take your own), train one model a split, and print the zero-shot table.

    Args:
        workspace: folder that holds everything; run again to go on.
        videos: a folder of class folders with videos; without it demo videos are generated.
        prepared: instead of videos: a folder made by the prepare command.
        protocol: protocols, such as random-0..2, intra-0 or truze; the first family is the main one.
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
        clips_per_class: of the generated demo videos.
        workers: processes for decoding, and trainings side by side.
    """
    from zsar_lab.data.sampling import FrameSettings
    from zsar_lab.study import Data, Evaluation, Study, Text, Training
    from zsar_lab.train.config import read_overrides
    from zsar_lab.viz.tables import report_as_text
    from zsar_lab.workspace import Workspace

    settings = FrameSettings(frames, fps, size)
    source, ready = (None if path is None else str(path) for path in (videos, prepared))
    data = Data(source, prepared=ready, clips_per_class=clips_per_class, frames=settings)
    text = Text(prompt[0] if len(prompt) == 1 else prompt, encoder, text_layers)
    asked = text, Training(preset, epochs, read_overrides(set)), Evaluation(views, strict=not allow_leakage)
    study = Workspace(workspace, Study(data, protocol, *asked), workers)
    print(f"Videos: {source or ready or 'generated demo videos'}. Everything is saved in {workspace}.")
    study.begin()
    excluded = study.catalog.excluded[["path", "status", "reason"]]
    if len(excluded):
        print(f"{len(excluded)} files are left out:\n{excluded.to_string(index=False)}")
    if study.catalog.empty_classes:
        print(f"Classes without a usable clip, in no split: {', '.join(study.catalog.empty_classes)}")
    results = study.report()
    print("\n" + "\n\n".join(report_as_text(results, family) for family in results.families))
    seconds = ", ".join(f"{step} {spent:.0f}" for step, spent in study.seconds.items())
    print(f"\nWritten to {workspace / 'report.json'}. Seconds: {seconds}")


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
    from zsar_lab.viz.figures import write_page
    from zsar_lab.viz.figures.data import class_overview

    source = Source(dataset, str(videos), str(annotations or ""), unit)
    limits = Limits(workers, timeout, memory)
    print(f"Memory: at most {workers} x {memory} MB for decoding, and about 3 kB a clip.", flush=True)
    was_there = (out / "catalog" / "catalog.json").is_file()
    made = make(source, out, FrameSettings(frames, fps, size, jpeg_quality), limits)
    page = out / "catalog_report.html"
    write_page([class_overview(made.catalog)], page)
    print("\n" + summary(made))
    if was_there:
        again = f"delete {out / 'catalog' / 'catalog.json'} and {out / 'frames'}"
        print(f"The catalog was there already; to look at the folders again, {again}.")
    print(f"By class: {page} and .csv. Clips without frames, and why: {out / 'bad_clips.csv'}")


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


def evaluate(
    *,
    predictions: Path | None = None,
    classes: Path | None = None,
    compare: tuple[Path, Path] | None = None,
    json: Path | None = None,
) -> None:
    """Score predictions from elsewhere, or compare two reports of one protocol.

    Args:
        predictions: csv with the columns label and prediction, a row a clip.
        classes: file of all candidate classes, a name a line or a csv; without it those that occur.
        compare: two report.json (or folders with one), or two files written by --predictions --json.
        json: file for the figures.
    """
    from zsar_lab.files import write_json
    from zsar_lab.results.compare_reports import compare_reports, read_report
    from zsar_lab.results.outside import read_predictions, score_predictions

    if bool(predictions) == bool(compare) or (compare and classes):
        raise ValueError("give --compare alone, or --predictions and, if you like, --classes")
    read = [path for path in (predictions, classes, *(compare or ())) if path]
    read += [path / "report.json" for path in read]
    if json and (json.is_dir() or json.resolve() in {path.resolve() for path in read}):
        raise ValueError(f"--json must name a file of its own, got '{json}', a folder or what is read")
    if compare:
        found: Any = compare_reports(*map(read_report, compare))
        print(f"A: {compare[0]}\nB: {compare[1]}\n")
    else:
        assert predictions
        found = score_predictions(read_predictions(predictions, classes))
    print(found.text())
    if json:
        write_json(json, found.content())
        print(f"\nWritten to {json}.")


def classify(
    videos: tuple[Path, ...],
    /,
    *,
    classes: Path | None = None,
    names: tuple[str, ...] = (),
    model: str | None = None,
    split: str | None = None,
    method: str | None = None,
    prompt: str | None = None,
    min_precision: float = 0.8,
    allow_bias: bool = False,
    window: float | None = None,
    stride: float | None = None,
    json: bool = False,
    csv: bool = False,
    timeline: Path | None = None,
    workers: int = 2,
    timeout: float = 60.0,
    memory: int = 2000,
) -> None:
    """Name the actions in videos by classes of your own, a line a video, or a window of a long one.

    Args:
        videos: video files, folders of them, a csv with the columns path and label, or a txt of 'file id'.
        classes: csv (name, and any of label, description, text, id) or txt ('name' or 'name: description').
        names: instead of classes: the class names themselves.
        model: a folder of export, a workspace, or CLIP, SigLIP or X-CLIP (folder or hub name); runs/demo.
        split: of a workspace; without it its first.
        method: transfer or direct; without it the model's usual one.
        prompt: of the class texts; without it one that reads all that the classes say.
        min_precision: share of sure predictions that must be right on held-out clips, 0..1.
        allow_bias: leave the scores of names that the model was trained on as they are.
        window: seconds of a window; without it what the model looks at.
        stride: seconds between windows; without it half a window; without both up to 10 s are one window.
        json: print an object of json a line.
        csv: print a table.
        timeline: page (.html) with a timeline of each video.
        workers: processes that decode at the same time.
        timeout: seconds that a file, or a part of a long one, may take.
        memory: MB that a worker may use.
    """
    from zsar_lab.data.catalog import VIDEO_SUFFIXES
    from zsar_lab.data.datasets.folders import find_videos
    from zsar_lab.data.sampling import WindowSettings
    from zsar_lab.data.workers import Limits
    from zsar_lab.infer.model import load_model
    from zsar_lab.infer.predictions import COLUMNS, as_lines, embed_windows, predict, summary
    from zsar_lab.text.class_lists import read_classes
    from zsar_lab.viz.figures.own_videos import write_timelines

    if bool(classes) == bool(names) or (json and csv):
        raise ValueError("give either --classes or --names, and at most one of --json and --csv")
    if misplaced := [name for name in names if Path(name).suffix.lower() in VIDEO_SUFFIXES]:
        raise ValueError(f"a class name must be no video, got {misplaced[0]!r}; put videos before --names")
    page = timeline and timeline.resolve()
    if page and (page.suffix.lower() not in (".html", ".htm") or page.is_dir() or not page.parent.is_dir()):
        raise ValueError(f"--timeline must name an .html file in a folder that is there, got '{timeline}'")
    table, opened = read_classes(classes or list(names)), load_model(model, split)
    classifier = opened.classifier(table, method, prompt, min_precision, allow_bias)
    form, limits = "json" if json else "csv" if csv else "text", Limits(workers, timeout, memory)
    print(f"model: {opened.name}, {opened.about}", file=sys.stderr)
    if csv:
        print(",".join(COLUMNS), flush=True)
    started, tables = time.perf_counter(), []
    try:
        with closing(
            embed_windows(find_videos(videos), opened, WindowSettings(window, stride), limits)
        ) as parts:
            for part in parts:
                tables.append(predict(part, classifier))
                print(as_lines(tables[-1], form), end="", flush=True)
    except KeyboardInterrupt as interrupt:
        said = f"interrupted after {sum(map(len, tables))} windows, printed above"
        raise KeyboardInterrupt(said) from interrupt
    print(summary(tables, classifier, time.perf_counter() - started), file=sys.stderr)
    if timeline:
        print(write_timelines(tables, timeline, opened.about), file=sys.stderr)


def export(
    *,
    workspace: Path = DEMO,
    split: str | None = None,
    out: Path | None = None,
    push: str | None = None,
    public: bool = False,
) -> None:
    """Write the trained model of a split as a folder that loads elsewhere, with its model card.

    Args:
        workspace: a folder made by the demo command or a notebook.
        split: without it the study's first.
        out: an empty folder; without it `shared/<split>` in the workspace.
        push: name of a repository of the model hub, such as me/my-model, to push to.
        public: a repository that is made is public; without it private.
    """
    from zsar_lab.infer.export import export_split
    from zsar_lab.infer.export import info as about
    from zsar_lab.infer.hub import push_shared
    from zsar_lab.workspace import Workspace

    shared = export_split(Workspace.open(workspace), split, out)
    folder = shared.checkpoint.path.parent
    print(f"{about(shared)}\nWritten to {folder}.")
    if push:
        print(f"Pushed to {push_shared(folder, push, private=not public)}.")


def info(model: str, /) -> None:
    """Tell what a shared model is, where it comes from, and how good it is.

    Args:
        model: a folder written by export, or its name in the model hub.
    """
    from zsar_lab.infer.export import info as about
    from zsar_lab.infer.hub import fetch_shared
    from zsar_lab.infer.shared import load_shared

    folder = Path(model) if Path(model).is_dir() else fetch_shared(model)
    if folder is None:
        raise ValueError(f"info reads models written by export, '{model}' is another kind")
    print(about(load_shared(folder)))


def bench(
    *,
    preset: str = "demo",
    seconds: float = 30.0,
    tiny: bool = False,
    device: str | None = None,
    json: Path | None = None,
) -> None:
    """Time the training engine beside a bare hand-written loop, with batches in memory and from the loader.

    Args:
        preset: demo, rest18, rest101, rest_r3d18 or rest_r2plus1d18.
        seconds: of each side of a measurement, about.
        tiny: small sizes everywhere, to try all of it on a CPU.
        device: cpu or cuda; without it the first GPU if there is one.
        json: file for the figures.
    """
    from zsar_lab.files import write_json

    script = Path(__file__).parents[1] / "benchmarks" / "bench_engine.py"
    if not script.is_file():
        raise FileNotFoundError("bench needs a checkout of zsar_lab with benchmarks/bench_engine.py")
    measure = runpy.run_path(str(script))["bench"]
    found = measure(preset, seconds, tiny, device, lambda *said: print(*said, flush=True))
    if json:
        write_json(json, found)
        print(f"Written to {json}.")


COMMANDS = (demo, prepare, train, ablate, evaluate, classify, export, info, bench)
