"""Small videos that every browser plays, made of clips that browsers do not play, and kept."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from zsar_lab.data.catalog import Catalog
from zsar_lab.data.jobs import preview_clip
from zsar_lab.data.sampling import FrameSettings
from zsar_lab.data.video import UnreadableVideo, plays_in_browser
from zsar_lab.data.workers import Limits, run_tasks
from zsar_lab.files import fingerprint, make_folder
from zsar_lab.progress import progress

# four seconds around a clip's middle
PREVIEW = FrameSettings(n_frames=48, fps=12.0, size_px=128)
# of a preview; a larger file is shown as a preview too. A grid of 24 then stays below 2 MB of html (base64
# makes 4 bytes of 3)
MOST_BYTES = 60_000
FACTS = ["start_s", "end_s", "frames", "fps", "variable_rate"]


def preview_folder() -> Path:
    """Where previews are kept: zsar_lab/previews in the user's cache (XDG_CACHE_HOME, by default ~/.cache)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zsar_lab" / "previews"


def make_previews(
    catalog: Catalog, ids: Sequence[str], limits: Limits = Limits(timeout_s=20.0), folder: Path | None = None
) -> dict[str, Path | str]:
    """A file that browsers play for each clip: the video itself where it is one and the clip is all of it, else a preview.

    A preview is H.264 in mp4 without sound: up to four seconds around the clip's middle at 12 frames a
    second, the shorter side 128 pixels, as fine as 60 kB allow. It is made once, as long as the video does
    not change.

    Args:
        catalog: of the clips.
        ids: of usable clips.
        limits: of the workers that make them.
        folder: where previews are kept; `preview_folder()` when None.

    Returns:
        For each id a path, or a sentence that says why there is none.

    Raises:
        KeyError: an id is not in the catalog.
    """
    folder = preview_folder() if folder is None else Path(folder)
    clips = catalog.clips.set_index("id").loc[list(dict.fromkeys(ids)), ["path", *FACTS]]
    shown: dict[str, Path | str] = {}
    tasks = []
    for clip_id, clip in clips.to_dict("index").items():
        path = Path(catalog.root) / clip["path"]
        try:
            if _shows_itself(path, clip):
                shown[clip_id] = path
                continue
            target = folder / f"{_key(path, clip)}.mp4"
        except (OSError, UnreadableVideo) as error:
            shown[clip_id] = str(error)
            continue
        shown[clip_id] = target
        if not target.is_file():
            tasks.append(
                clip
                | {
                    "id": clip_id,
                    "path": str(path),
                    "target": str(target),
                    "settings": asdict(PREVIEW),
                    "most_bytes": MOST_BYTES,
                }
            )
    if tasks:
        try:
            make_folder(folder)
        except PermissionError as error:
            return shown | {task["id"]: str(error) for task in tasks}
        _make(tasks, limits, shown)
    return shown


def _make(tasks: list[dict], limits: Limits, shown: dict[str, Path | str]) -> None:
    bar = progress(what="previews", unit="clip", total=len(tasks))
    with closing(run_tasks(preview_clip, tasks, len(tasks), limits)) as answers, bar:
        for answer in answers:
            if answer.result is None:
                shown[tasks[answer.index]["id"]] = answer.reason
            bar.update(1)


def _shows_itself(path: Path, clip: dict) -> bool:
    """Whether the file can be shown as it is: small, all of it the clip, and of a kind that browsers play."""
    is_whole = clip["start_s"] == 0 and clip["end_s"] * clip["fps"] > clip["frames"] - 1
    return is_whole and path.stat().st_size <= MOST_BYTES and plays_in_browser(path)


def _key(path: Path, clip: dict) -> str:
    status = path.stat()
    made_of = str(path.absolute()), status.st_size, status.st_mtime_ns, clip["start_s"], clip["end_s"]
    return fingerprint("preview 2", *made_of, asdict(PREVIEW), MOST_BYTES)
