"""The command line, thin: each command is one call of the library."""

from __future__ import annotations

import argparse
import functools
import os
import sys
import time
from pathlib import Path
from typing import Any


def main(arguments: list[str] | None = None) -> int:
    """Run a command; a mistake of the caller ends in one sentence and status 2, an interrupt in one sentence and status 130."""
    options = _parser().parse_args(arguments)
    rank = os.environ.get("RANK", "0")
    who = f"rank {rank}: " if "RANK" in os.environ else ""
    try:
        options.command(options)
    except KeyboardInterrupt as interrupt:
        # an exception without words is still true, so its words are asked for
        if rank == "0":
            print(
                f"\n{who}{str(interrupt) or 'interrupted; what was finished is kept, run it again to go on'}",
                file=sys.stderr,
            )
        return 130
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # whoever read the output has enough, as head has
        return 141
    except (ValueError, OSError, RuntimeError) as error:
        print(f"\n{who}{error}", file=sys.stderr)
        return 2
    return 0


def demo(options: argparse.Namespace) -> None:
    """From nothing to the zero-shot table."""
    from zsar_lab.data.sampling import FrameSettings
    from zsar_lab.study import Data, Evaluation, Study, Text, Training
    from zsar_lab.train.presets import read_changes
    from zsar_lab.viz.tables import report_as_text
    from zsar_lab.workspace import Workspace

    data = Data(
        videos=options.videos,
        prepared=options.prepared,
        clips_per_class=options.clips_per_class,
        frames=FrameSettings(options.frames, options.fps, options.size),
    )
    prompt = options.prompt[0] if len(options.prompt) == 1 else tuple(options.prompt)
    study = Study(
        data,
        tuple(options.protocol),
        Text(prompt, options.encoder, options.text_layers),
        Training(options.preset, options.epochs, read_changes(options.set)),
        Evaluation(options.views),
    )
    workspace = Workspace(options.workspace, study, options.workers)
    videos = "generated demo videos" if data.is_generated else options.videos or options.prepared
    print(f"Videos: {videos}. Everything is kept in {options.workspace}.")
    workspace.begin()
    excluded = workspace.catalog.excluded
    if len(excluded):
        print(f"{len(excluded)} files are left out:")
        print(excluded[["path", "status", "reason"]].to_string(index=False))
    if workspace.catalog.empty_classes:
        print(
            f"Classes without a usable clip, not part of any split: {', '.join(workspace.catalog.empty_classes)}"
        )
    main_report, beside = workspace.report()
    for report in (main_report, beside):
        if report:
            print("\n" + report_as_text(report))
    print(
        f"\nWritten to {options.workspace / 'report.json'}. Seconds: "
        + ", ".join(f"{k} {v:.0f}" for k, v in workspace.seconds.items())
    )


def prepare(options: argparse.Namespace) -> None:
    """From downloaded folders to a catalog, a frame store, and a report of what is there."""
    from zsar_lab.data.prepare import Source, summary
    from zsar_lab.data.prepare import prepare as make
    from zsar_lab.data.sampling import FrameSettings
    from zsar_lab.data.workers import Limits
    from zsar_lab.viz.figures.data import class_overview, status_overview, write_page

    source = Source(options.dataset, str(options.videos), str(options.annotations or ""), options.unit)
    settings = FrameSettings(options.frames, options.fps, options.size, options.jpeg_quality)
    limits = Limits(options.workers, options.timeout, options.memory)
    print(
        f"Memory: at most {limits.workers} x {limits.memory_mb} MB for decoding, beside the table of clips (about 3 kB a clip).",
        flush=True,
    )
    was_there = (options.out / "catalog" / "catalog.json").is_file()
    prepared = make(source, options.out, settings, limits)
    write_page(
        [status_overview(prepared.catalog), class_overview(prepared.catalog)],
        options.out / "catalog_report.html",
    )
    print("\n" + summary(prepared))
    if was_there:
        print(
            f"The catalog was there already; to look at the folders again, delete {options.out / 'catalog' / 'catalog.json'} and {options.out / 'frames'}."
        )
    print(
        f"By class: {options.out / 'catalog_report.csv'} and .html. Clips without frames, and why: {options.out / 'bad_clips.csv'}"
    )


def train(options: argparse.Namespace) -> None:
    """Train one split of a workspace, or go on with it, on one process or as one of those that torchrun started; and embed every clip."""
    from zsar_lab.train.ranks import started_ranks
    from zsar_lab.workspace import Workspace

    with started_ranks() as ranks:
        workspace = Workspace.open(options.workspace)
        checkpoint = workspace.train(options.split, ranks=ranks)
        workspace.embeddings(options.split, ranks)
    if ranks.is_first:
        print(f"trained: {checkpoint.path}, {checkpoint.step} steps, fingerprint {checkpoint.fingerprint}")


def ablate(options: argparse.Namespace) -> None:
    """Train a workspace's study again without each of its losses, and print the whole ablation."""
    from zsar_lab.study_ablation import ablate_study, without_losses
    from zsar_lab.viz.figures_ablation import ablation_table, claims_as_text
    from zsar_lab.workspace import Workspace

    workspace = Workspace.open(options.workspace)
    for name, other in without_losses(workspace).items():
        print(f"{name}: in {other.folder}", flush=True)
        other.train_all()
    ablation = ablate_study(workspace)
    print("\n" + ablation_table(ablation).to_string() + "\n\n" + claims_as_text(ablation))


def classify(options: argparse.Namespace) -> None:
    """Name the actions in videos by classes of the user's own, a line a window as they come."""
    from zsar_lab.data.windows import WindowSettings
    from zsar_lab.data.workers import Limits
    from zsar_lab.infer.classify import answers_as_they_come
    from zsar_lab.infer.written import head, lines, summary
    from zsar_lab.opening import open_model
    from zsar_lab.text.class_lists import read_classes
    from zsar_lab.viz.figures.own_videos import write_timelines

    _check_classify(options)
    table = read_classes(options.classes if options.classes else options.names)
    model = open_model(options.checkpoint, options.split)
    given = {"method": options.method, "class_text": options.class_text}
    candidates = model.candidates(
        table,
        least_right=options.least_right,
        **{name: value for name, value in given.items() if value is not None},
    )
    form = "json" if options.json else "csv" if options.csv else "text"
    windows, limits = (
        WindowSettings(options.window, options.stride),
        Limits(options.workers, options.timeout, options.memory),
    )
    print(f"model: {model.name}, {model.about}", file=sys.stderr)
    print(head(form), end="")
    started, parts = time.perf_counter(), []
    try:
        for part in answers_as_they_come(options.videos, candidates, model, windows, limits):
            print(lines(part, form), end="", flush=True)
            parts.append(part)
    except KeyboardInterrupt as interrupt:
        n_windows = sum(map(len, parts))
        raise KeyboardInterrupt(
            f"interrupted after {n_windows} windows, which stand above; the other videos were not named"
        ) from interrupt
    print(summary(parts, candidates, time.perf_counter() - started), file=sys.stderr)
    if options.timeline:
        print(write_timelines(parts, options.timeline, model.about), file=sys.stderr)


def _check_classify(options: argparse.Namespace) -> None:
    """What can be seen to go wrong before any video is read."""
    from zsar_lab.data.catalog import VIDEO_SUFFIXES

    videos = [name for name in options.names or () if Path(name).suffix.lower() in VIDEO_SUFFIXES]
    if videos:
        raise ValueError(
            f"a class name must not be a video file, got {videos[0]!r} after --names; put videos before --names"
        )
    page = options.timeline
    if page is not None and (
        page.suffix.lower() not in (".html", ".htm") or page.is_dir() or not page.resolve().parent.is_dir()
    ):
        raise ValueError(
            f"--timeline must name a page, a file that ends in .html in a folder that is there, got '{page}'; choose another name"
        )


def export(options: argparse.Namespace) -> None:
    """Write the trained model of a split as a folder that loads elsewhere, and push it to a hub where asked to."""
    from zsar_lab.infer.hub import push_shared
    from zsar_lab.infer.model_card import info as about
    from zsar_lab.study_export import export_split
    from zsar_lab.workspace import Workspace

    shared = export_split(Workspace.open(options.workspace), options.split, options.out)
    folder = shared.checkpoint.path.parent
    print(f"{about(shared)}\nWritten to {folder}.")
    if options.push:
        print(f"Pushed to {push_shared(folder, options.push, private=not options.public)}.")


def info(options: argparse.Namespace) -> None:
    """What a shared model is, where it comes from, and how good it is."""
    from zsar_lab.infer.hub import fetch_shared
    from zsar_lab.infer.model_card import info as about
    from zsar_lab.infer.shared_model import load_shared

    folder = Path(options.model) if Path(options.model).is_dir() else fetch_shared(options.model)
    if folder is None:
        raise ValueError(
            f"info tells of models that the export command wrote, '{options.model}' is another kind; give a shared model"
        )
    print(about(load_shared(folder)))


class _Given(argparse.Action):
    """Values given once or several times, together, in the place of the default."""

    def __call__(self, parser, namespace, values, option_string=None):
        before = getattr(namespace, self.dest)
        setattr(namespace, self.dest, list(values) if before is self.default else [*before, *values])


def bench(options: argparse.Namespace) -> None:
    """How fast the engine trains, beside a bare loop and with the loader."""
    from zsar_lab.files import write_json
    from zsar_lab.train.bench_report import bench as measure

    found = measure(
        options.preset, options.seconds, options.tiny, options.device, functools.partial(print, flush=True)
    )
    if options.json:
        write_json(options.json, found)
        print(f"Written to {options.json}.")


def evaluate(options: argparse.Namespace) -> None:
    """What predictions from elsewhere are worth, or how two reports of one protocol differ."""
    from zsar_lab.files import write_json

    if bool(options.predictions) == bool(options.compare):
        got = "both" if options.compare else "neither"
        raise ValueError(
            f"evaluate needs either --predictions FILE or --compare A B, got {got}; give one of them"
        )
    if options.compare and options.classes:
        raise ValueError(
            f"--classes goes with --predictions, got '{options.classes}' with --compare; leave it out"
        )
    read = [path for path in (options.predictions, options.classes, *(options.compare or ())) if path]
    read += [path / "report.json" for path in read]
    if options.json and (
        options.json.is_dir() or options.json.resolve() in {path.resolve() for path in read}
    ):
        raise ValueError(
            f"--json must name a file of its own, got '{options.json}', a folder or what is read; choose another name"
        )
    content, text = (
        _compared(*options.compare) if options.compare else _scored(options.predictions, options.classes)
    )
    if options.json:
        write_json(options.json, content)
    print(text)
    if options.json:
        print(f"\nWritten to {options.json}.")


def _scored(predictions: Path, classes: Path | None) -> tuple[dict[str, Any], str]:
    from zsar_lab.results.outside import read_predictions, score_predictions

    scores = score_predictions(read_predictions(predictions, classes))
    return scores.content(), scores.text()


def _compared(a: Path, b: Path) -> tuple[dict[str, Any], str]:
    from zsar_lab.results.compare_reports import compare_reports
    from zsar_lab.results.report_json import read_report

    comparison = compare_reports(read_report(a), read_report(b))
    return comparison.content(), f"A: {a}\nB: {b}\n\n{comparison.text()}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m zsar_lab",
        description="Zero-shot action recognition, from video files to a zero-shot table.",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    _add_demo(commands)
    _add_prepare(commands)
    about = "train one split of a workspace, or go on with it, and embed every clip"
    command = commands.add_parser(
        "train", help=about, description=about, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    command.add_argument("split", help="for example stratified-0")
    command.add_argument(
        "--workspace",
        type=Path,
        default=Path("runs/demo"),
        help="a folder made by the demo command or a notebook",
    )
    command.set_defaults(command=train)
    about = "train a workspace's study again without each of its losses, and print what every part of the system is worth"
    command = commands.add_parser(
        "ablate", help=about, description=about, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    command.add_argument(
        "--workspace",
        type=Path,
        default=Path("runs/demo"),
        help="a folder made by the demo command or a notebook",
    )
    command.set_defaults(command=ablate)
    _add_bench(commands)
    _add_evaluate(commands)
    _add_classify(commands)
    _add_sharing(commands)
    return parser


def _add_demo(commands: argparse._SubParsersAction) -> None:
    about = "make the demo videos (or take a folder of your own), train one model a split of unseen classes, and print the zero-shot table"
    command = commands.add_parser(
        "demo", help=about, description=about, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    command.add_argument(
        "--workspace",
        type=Path,
        default=Path("runs/demo"),
        help="folder that keeps everything; run again to go on",
    )
    command.add_argument(
        "--videos",
        type=Path,
        default=None,
        help="a folder of class folders with videos; without it demo videos are generated",
    )
    command.add_argument(
        "--prepared",
        type=Path,
        default=None,
        help="instead of videos: a folder that the prepare command left",
    )
    command.add_argument(
        "--views", type=int, default=1, help="test views a clip: 1, or 25 spread over the whole video"
    )
    command.add_argument(
        "--protocol",
        nargs="+",
        action=_Given,
        default=["stratified-0..2", "random-0"],
        metavar="NAME",
        help="protocols, such as random-0..2, intra-0 or truze; the first family is the main one",
    )
    command.add_argument("--clips-per-class", type=int, default=30, help="of the generated demo videos")
    prompts = (
        "label, template, templates, description, label_and_description, structure, description_and_parts"
    )
    texts = f"prompt of class texts: {prompts}; a template such as 'a video of {{label}}', or several; or a csv file with the columns name and text"
    command.add_argument(
        "--prompt",
        nargs="+",
        action=_Given,
        default=["description_and_parts"],
        metavar="TEXT",
        help=texts,
    )
    command.add_argument(
        "--encoder",
        default=None,
        help="the text encoder: a folder with a model, or a hub name; without it all-MiniLM-L6-v2",
    )
    command.add_argument(
        "--text-layers",
        type=int,
        default=0,
        help="last layers of the text encoder that are trained with the rest; 0 is frozen",
    )
    command.add_argument(
        "--preset",
        default="demo",
        help="the model and its training: demo, rest18, rest101, rest_r3d18 or rest_r2plus1d18",
    )
    change = "change a setting of the preset, such as batch_size=32 or model.dropout=0.2; may be given several times"
    command.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help=change)
    command.add_argument(
        "--epochs",
        type=int,
        default=None,
        help="of each training; without it the preset's: 25 of demo, 150 of the others",
    )
    _add_frames(command)
    command.add_argument(
        "--workers", type=int, default=2, help="processes for decoding, and trainings side by side"
    )
    command.set_defaults(command=demo)


def _add_frames(command: argparse.ArgumentParser) -> None:
    command.add_argument("--frames", type=int, default=24, help="frames kept of a clip")
    command.add_argument(
        "--fps", type=float, default=12.0, help="their rate (1/s): a clip is its middle frames/fps seconds"
    )
    command.add_argument("--size", type=int, default=64, help="height and width of a kept frame (pixels)")


def _add_prepare(commands: argparse._SubParsersAction) -> None:
    about = "catalog downloaded videos by their official annotation files, decode every usable clip once, and say what is missing or broken"
    command = commands.add_parser(
        "prepare", help=about, description=about, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    command.add_argument(
        "dataset",
        help="ucf101, hmdb51, kinetics400, kinetics600, kinetics700, activitynet, or folder (any folder of class folders)",
    )
    command.add_argument("--videos", type=Path, required=True, help="the folder above the class folders")
    command.add_argument(
        "--annotations",
        type=Path,
        default=None,
        help="the folder of the official annotation files (not for 'folder')",
    )
    command.add_argument(
        "--out", type=Path, required=True, help="folder that keeps everything; run again to go on"
    )
    command.add_argument(
        "--unit", default="segment", help="what one clip of ActivityNet is: segment or video"
    )
    _add_frames(command)
    command.add_argument(
        "--jpeg-quality",
        type=int,
        default=None,
        help="1..100: keep JPEG images, a tenth of the size; without it raw pixels",
    )
    _add_limits(command)
    command.set_defaults(command=prepare)


def _add_limits(command: argparse.ArgumentParser) -> None:
    command.add_argument("--workers", type=int, default=2, help="processes that decode at the same time")
    command.add_argument(
        "--timeout", type=float, default=60.0, help="seconds that a file, or a part of a long one, may take"
    )
    command.add_argument("--memory", type=int, default=2000, help="MB that a worker may use")


def _add_bench(commands: argparse._SubParsersAction) -> None:
    about = "time the training engine beside a bare hand-written loop, its batches in memory and through the loader; on a GPU the paper's sizes too"
    command = commands.add_parser(
        "bench", help=about, description=about, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    command.add_argument(
        "--preset", default="demo", help="demo, rest18, rest101, rest_r3d18 or rest_r2plus1d18"
    )
    command.add_argument("--seconds", type=float, default=30.0, help="of each side of a measurement, about")
    command.add_argument(
        "--tiny", action="store_true", help="small sizes everywhere, to try all of it on a CPU"
    )
    command.add_argument(
        "--device", default=None, help="cpu or cuda; without it the first GPU if there is one"
    )
    command.add_argument("--json", type=Path, default=None, help="file for the figures")
    command.set_defaults(command=bench)


def _add_evaluate(commands: argparse._SubParsersAction) -> None:
    about = "score predictions from elsewhere (accuracy, its interval over classes, hubness, table by class), or compare two reports of one protocol"
    command = commands.add_parser(
        "evaluate", help=about, description=about, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    command.add_argument(
        "--predictions",
        type=Path,
        default=None,
        help="csv with the columns label and prediction, a row a clip",
    )
    classes = "file of all candidate classes, one name a line or a csv with a column name; without it those that occur"
    command.add_argument("--classes", type=Path, default=None, help=classes)
    two = "two report.json (or folders with one), or two files that --predictions --json wrote"
    command.add_argument("--compare", type=Path, nargs=2, default=None, metavar=("A", "B"), help=two)
    command.add_argument("--json", type=Path, default=None, help="file for the figures")
    command.set_defaults(command=evaluate)


def _add_classify(commands: argparse._SubParsersAction) -> None:
    about = "name the actions in videos by classes of your own, with a trained model; a line a video, or a window of a long one, as they come"
    command = commands.add_parser(
        "classify", help=about, description=about, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    command.add_argument(
        "videos",
        nargs="+",
        type=Path,
        metavar="VIDEO",
        help="video files, folders of them, or a csv with the columns path and label",
    )
    which = command.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--classes",
        type=Path,
        help="csv with the column name, and any of label, description, text; or txt, 'name' or 'name: description' a line",
    )
    which.add_argument("--names", nargs="+", metavar="NAME", help="the class names themselves")
    models = "a folder that export left, a workspace, or CLIP, SigLIP or X-CLIP (folder or hub name); without it the demo's, runs/demo"
    command.add_argument("--checkpoint", default=None, help=models)
    command.add_argument("--split", default=None, help="of a workspace; without it its first")
    command.add_argument(
        "--method", default=None, choices=("transfer", "direct"), help="without it the model's usual one"
    )
    command.add_argument(
        "--class-text",
        default=None,
        help="prompt of the class texts; without it one that reads all that the classes say",
    )
    command.add_argument(
        "--least-right",
        type=float,
        default=0.8,
        help="share of sure answers that must be right on validation classes",
    )
    command.add_argument(
        "--window", type=float, default=None, help="seconds of a window; without it what the model looks at"
    )
    strides = "seconds from a window's start to the next one's; without it half a window; without both a video of up to 10 s is one window"
    command.add_argument("--stride", type=float, default=None, help=strides)
    form = command.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="an object of json a line")
    form.add_argument("--csv", action="store_true", help="a table")
    command.add_argument(
        "--timeline", type=Path, default=None, metavar="FILE.html", help="page with a timeline of each video"
    )
    _add_limits(command)
    command.set_defaults(command=classify)


def _add_sharing(commands: argparse._SubParsersAction) -> None:
    about = "write the trained model of a split as a folder that loads elsewhere: weights, class texts, provenance and a model card"
    command = commands.add_parser(
        "export", help=about, description=about, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    command.add_argument(
        "--workspace",
        type=Path,
        default=Path("runs/demo"),
        help="a folder made by the demo command or a notebook",
    )
    command.add_argument("--split", default=None, help="without it the study's first")
    command.add_argument(
        "--out", type=Path, default=None, help="an empty folder; without it shared/<split> in the workspace"
    )
    command.add_argument(
        "--push",
        default=None,
        metavar="NAME",
        help="of a repository of the model hub, such as me/my-model, that is pushed to",
    )
    command.add_argument(
        "--public", action="store_true", help="a repository that is made is public; without it private"
    )
    command.set_defaults(command=export)
    about = "tell what a shared model is, where it comes from, and how good it is"
    command = commands.add_parser("info", help=about, description=about)
    command.add_argument("model", help="a folder that export left, or its name in the model hub")
    command.set_defaults(command=info)


if __name__ == "__main__":
    sys.exit(main())
