"""The command line, thin: each command is one call of the library."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main(arguments: list[str] | None = None) -> int:
    """Run a command; a mistake of the caller ends in one sentence and status 2, an interrupt in one sentence and status 130."""
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except KeyboardInterrupt as interrupt:
        # an exception without words is still true, so its words are asked for
        print(f"\n{str(interrupt) or 'interrupted; what was finished is kept, run it again to go on'}", file=sys.stderr)
        return 130
    except (ValueError, OSError, RuntimeError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 2
    return 0


def demo(options: argparse.Namespace) -> None:
    """From nothing to the zero-shot table."""
    from zsar_lab.views.tables import report_as_text
    from zsar_lab.workspace import Study, Workspace

    study = Study(
        videos=str(options.videos.resolve()) if options.videos else None,
        clips_per_class=options.clips_per_class,
        stratified_draws=options.draws,
        random_draws=options.random_draws,
        class_text=options.class_text,
        epochs=options.epochs,
    )
    workspace = Workspace(options.workspace, study, options.workers)
    print(f"Videos: {'generated demo videos' if workspace.is_generated else options.videos}. Everything is kept in {options.workspace}.")
    excluded = workspace.catalog.excluded
    if len(excluded):
        print(f"{len(excluded)} files are left out:")
        print(excluded[["path", "status", "reason"]].to_string(index=False))
    if workspace.catalog.empty_classes:
        print(f"Classes without a usable clip, not part of any draw: {', '.join(workspace.catalog.empty_classes)}")
    main_report, beside = workspace.report()
    for report in (main_report, beside):
        if report:
            print("\n" + report_as_text(report))
    print(f"\nWritten to {options.workspace / 'report.json'}. Seconds: " + ", ".join(f"{k} {v:.0f}" for k, v in workspace.seconds.items()))


def train(options: argparse.Namespace) -> None:
    """Train one draw of a workspace, or go on with it, and embed every clip."""
    from zsar_lab.workspace import Workspace

    workspace = Workspace.open(options.workspace)
    checkpoint = workspace.train(options.draw)
    workspace.embeddings(options.draw)
    print(f"trained: {checkpoint.path}, {checkpoint.step} steps, fingerprint {checkpoint.fingerprint}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m zsar_lab", description="Zero-shot action recognition, from video files to a zero-shot table.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    about = "make the demo videos (or take a folder of your own), train one model a draw of unseen classes, and print the zero-shot table"
    command = commands.add_parser("demo", help=about, description=about, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    command.add_argument("--workspace", type=Path, default=Path("runs/demo"), help="folder that keeps everything; run again to go on")
    command.add_argument("--videos", type=Path, default=None, help="a folder of class folders with videos; without it demo videos are generated")
    command.add_argument("--draws", type=int, default=3, help="family-stratified draws of unseen classes (needs a family in classes.csv)")
    command.add_argument("--random-draws", type=int, default=1, help="plain random draws reported beside them")
    command.add_argument("--clips-per-class", type=int, default=30, help="of the generated demo videos")
    command.add_argument("--class-text", default="description_and_parts", help="scheme of class texts: label, template, description, label_and_description, structure, description_and_parts")
    command.add_argument("--epochs", type=int, default=25, help="of each training")
    command.add_argument("--workers", type=int, default=2, help="processes for decoding, and trainings side by side")
    command.set_defaults(command=demo)

    about = "train one draw of a workspace, or go on with it, and embed every clip"
    command = commands.add_parser("train", help=about, description=about, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    command.add_argument("draw", help="for example stratified-0")
    command.add_argument("--workspace", type=Path, default=Path("runs/demo"), help="a folder made by the demo command or a notebook")
    command.set_defaults(command=train)
    return parser


if __name__ == "__main__":
    sys.exit(main())
