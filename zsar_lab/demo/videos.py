"""The folder of generated demo videos: which clips it holds, and writing them on several cores."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from zsar_lab.data import datasets
from zsar_lab.data.video import write_mp4
from zsar_lab.data.workers import Limits, run_tasks
from zsar_lab.demo.clip import render_clip
from zsar_lab.files import fingerprint, make_folder, read_json, write_json, writing
from zsar_lab.progress import progress

# raise this whenever the same class and seed give other frames
RECIPE_VERSION = 1
WHAT = "generated demo videos"
CLIPS_A_TASK = 5
TIMEOUT_S = 600.0
ABOUT, BEGUN = "about.json", "begun.json"


@dataclass(frozen=True)
class DemoSettings:
    """How many clips of each class, and the seed that all of them derive from.

    Raises:
        ValueError: fewer than 1 clip a class, or a negative seed.
    """

    clips_per_class: int = 30
    seed: int = 0

    def __post_init__(self) -> None:
        if self.clips_per_class < 1:
            raise ValueError(f"clips_per_class must be at least 1, got {self.clips_per_class}")
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, got {self.seed}")


def classes_path() -> Path:
    """The demo's class table, in the repository or inside an installed package."""
    return datasets.classes_path("demo")


def demo_classes() -> pd.DataFrame:
    """The demo classes.

    Returns:
        One row a class: name (of its folder), label, family, description (one sentence), structure (posture;
        arms; legs; travel; prop).
    """
    return pd.read_csv(classes_path(), encoding="utf-8", dtype=str, keep_default_na=False)


def clip_name(class_name: str, index: int) -> str:
    """File name of a class's clip, index from 0."""
    return f"{class_name}_{index:03d}.mp4"


def clip_seed(settings: DemoSettings, class_name: str, index: int) -> int:
    """The seed of one clip, from the settings' seed, the class and the clip's index alone."""
    return int(fingerprint(settings.seed, class_name, index), 16) >> 1


def write_clips(task: dict) -> dict:
    """Render and write the clips (class name, index) of a task, in a worker process."""
    folder, settings = Path(task["path"]), DemoSettings(**task["settings"])
    for class_name, index in task["clips"]:
        frames, fps = render_clip(class_name, clip_seed(settings, class_name, index))
        write_mp4(folder / class_name / clip_name(class_name, index), frames, fps)
    return {"written": len(task["clips"])}


def make_demo_videos(folder: Path, settings: DemoSettings = DemoSettings(), workers: int = 2) -> Path:
    """Write the demo videos, one sub-folder a class, with classes.csv and, when all are there, about.json.

    A stopped run goes on where it stopped; a whole folder is left as it is.

    Args:
        folder: where to write; made if it is not there.
        settings: clips per class and seed.
        workers: processes, 1 or more.

    Returns:
        The folder.

    Raises:
        ValueError: fewer than 1 worker, or the folder holds demo videos of other settings.
        RuntimeError: a worker could not make its clips.
        PermissionError: the folder cannot be written to.
    """
    Limits(workers)  # checks the number before anything is made
    folder = make_folder(Path(folder))
    classes = demo_classes()
    names = classes["name"].tolist()
    identity = fingerprint(WHAT, RECIPE_VERSION, asdict(settings), classes.values.tolist())
    if is_whole(folder, identity):
        return folder
    about = {"generated": True, "what": WHAT, "settings": asdict(settings), "fingerprint": identity}
    # says whose clips these are if the run stops half way
    write_json(folder / BEGUN, about)
    # what a killed run left half written (see files.writing)
    for name in names:
        for leftover in (folder / name).glob(".*.mp4"):
            leftover.unlink()
    with writing(folder / "classes.csv") as temporary:
        temporary.write_bytes(classes_path().read_bytes())
    wanted = [(name, index) for index in range(settings.clips_per_class) for name in names]
    missing = [
        (name, index) for name, index in wanted if not (folder / name / clip_name(name, index)).is_file()
    ]
    render_missing(folder, settings, missing, len(wanted), workers)
    write_json(folder / ABOUT, about)
    (folder / BEGUN).unlink()
    return folder


def is_whole(folder: Path, identity: str) -> bool:
    """True if the folder holds all demo videos of this fingerprint, False if none or only some of them.

    Raises:
        ValueError: it holds demo videos of another fingerprint.
    """
    for name in (ABOUT, BEGUN):
        if (folder / name).is_file():
            found = read_json(folder / name)
            if found.get("fingerprint") != identity:
                raise ValueError(
                    f"'{folder}' holds demo videos of other settings: {found.get('settings')}, fingerprint"
                    f" {found.get('fingerprint')} instead of {identity}; choose another folder"
                )
            return name == ABOUT
    return False


def render_missing(
    folder: Path, settings: DemoSettings, missing: list[tuple[str, int]], total: int, workers: int
) -> None:
    """Render and write the missing clips, a few a task, with one progress bar over all `total` clips."""
    groups = [missing[first : first + CLIPS_A_TASK] for first in range(0, len(missing), CLIPS_A_TASK)]
    tasks = [{"path": str(folder), "settings": asdict(settings), "clips": group} for group in groups]
    bar = progress(what=WHAT, unit="clip", total=total, done=total - len(missing))
    with closing(run_tasks(write_clips, tasks, len(tasks), Limits(workers, TIMEOUT_S))) as answers, bar:
        for answer in answers:
            if answer.result is None:
                raise RuntimeError(f"a demo video could not be made: {answer.reason}; run again to go on")
            bar.update(answer.result["written"])
