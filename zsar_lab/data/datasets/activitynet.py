"""The official annotation file of ActivityNet v1.3: one json with segments of videos."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zsar_lab.data.catalog import shown
from zsar_lab.data.datasets.annotations import Row, video_id_fault
from zsar_lab.files import read_text

OFFICIAL_NAME = "activity_net.v1-3.min.json"
SPLITS = {"training": "train", "validation": "val", "testing": "test"}


def read_activitynet(files: list[Path], unit: str) -> tuple[Iterator[Row], dict[str, int]]:
    """Every segment, or every video as a whole, with its class, video (the group) and subset.

    Without a file of the official name, the one json that has a "database" is read. Videos without an
    annotation (the testing subset) have no class. A whole video of several classes gets the first and is
    ruled out, as is a segment that does not end after its start. Ids are `<class>/<video>#<n>`, n counting
    the video's annotations from 0, or `<class>/<video>`.
    """
    path, database = _read_database(files)
    return _rows(path, database, unit), {}


def _rows(path: Path, database: dict[str, Any], unit: str) -> Iterator[Row]:
    for video_id, entry in database.items():
        split, labels, segments = _parse(video_id, entry, path)
        whole = Row(None, video_id, [f"v_{video_id}", video_id], f"youtube:{shown(video_id)}", split)
        whole = whole._replace(fault=video_id_fault(video_id, video_id))
        named = list(dict.fromkeys(labels))
        if not labels:
            yield whole
        elif unit == "video":
            reason = f"a whole video must be of one class, got {len(named)}: {', '.join(named)}"
            yield whole._replace(class_name=named[0], reason=reason * (len(named) > 1))
        else:
            seen: dict[tuple, int] = {}
            for number, (label, segment) in enumerate(zip(labels, segments, strict=True)):
                start_s, end_s, reason = _bounds(segment)
                earlier = seen.setdefault((label, start_s, end_s), number)
                if not reason and earlier != number:
                    reason = f"the annotation lists the same segment as #{earlier} again"
                name = f"{video_id}#{number}"
                yield whole._replace(class_name=label, name=name, start_s=start_s, end_s=end_s, reason=reason)


def _bounds(segment: Any) -> tuple[float, float, str]:
    """Start and end (s) of a segment, and why it is no stretch of video ("" if it is one)."""
    numbers = segment if isinstance(segment, list) and len(segment) == 2 else [math.nan]
    if not all(type(bound) in (int, float) and math.isfinite(bound) for bound in numbers):
        reason = f"a segment must be a start and an end in seconds, got {shown(str(segment))[:60]}"
        return math.nan, math.nan, reason
    start_s, end_s = map(float, numbers)
    reason = f"a segment must start at 0 s or later and end after its start, got {start_s:g} to {end_s:g} s"
    return start_s, end_s, "" if 0 <= start_s < end_s else reason


def _parse(video_id: str, entry: Any, path: Path) -> tuple[str, list[str], list[Any]]:
    """The split of a video, and the label and the segment of each of its annotations."""
    where = f"the video '{shown(video_id)}' in '{path}'"
    subset = entry.get("subset") if isinstance(entry, dict) else None
    if not isinstance(subset, str) or subset not in SPLITS:
        raise ValueError(f"{where} must have a subset of {', '.join(SPLITS)}, got {shown(str(subset))[:60]}")
    found = entry.get("annotations", [])
    if not isinstance(found, list) or not all(
        isinstance(one, dict) and isinstance(one.get("label"), str) for one in found
    ):
        raise ValueError(f"{where} must have a list of labelled annotations, got {shown(str(found))[:60]}")
    return SPLITS[subset], [one["label"].strip() for one in found], [one.get("segment") for one in found]


def _read_database(files: list[Path]) -> tuple[Path, dict[str, Any]]:
    official = [path for path in files if path.name == OFFICIAL_NAME][:1]
    contents = {path: _read_json(path) for path in official or files}
    found = [
        path
        for path, content in contents.items()
        if isinstance(content, dict) and isinstance(content.get("database"), dict)
    ]
    if len(found) > 1:
        raise ValueError(f"there must be one json with a \"database\", got '{found[0]}' and '{found[1]}'")
    if not found:
        raise ValueError(f"'{files[0]}' must have \"database\" with an entry a video, but it has none")
    version = contents[found[0]].get("version", "1.3")
    if "1.3" not in str(version):
        raise ValueError(f"'{found[0]}' must be ActivityNet version 1.3, got '{shown(str(version))[:60]}'")
    return found[0], contents[found[0]]["database"]


def _read_json(path: Path) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(whole := dict(pairs)) != len(pairs):
            twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
            raise ValueError(f"'{path}' must name each video once, got '{shown(twice)}' more than once")
        return whole

    text = read_text(path)
    try:
        return json.loads(text, object_pairs_hook=once)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"'{path}' must be whole json, it is damaged or cut short ({error})") from error
