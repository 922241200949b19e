"""The official annotation file of ActivityNet v1.3: one json with segments of videos."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from zsar_lab.data.datasets.annotations import (
    AnnotatedClip,
    Annotations,
    annotation_files,
    annotations_of,
    family_of,
    path_fault,
    read_text,
    shown,
)

OFFICIAL_NAME = "activity_net.v1-3.min.json"
UNITS = ("segment", "video")
SPLITS = {"training": "train", "validation": "val", "testing": "test"}


def read_activitynet(folder: Path, unit: str) -> Annotations:
    """Read the annotation json: every segment, or every video as a whole, with its class, video (the group) and subset.

    Videos without an annotation (the testing subset) are counted in `unlabelled`. A whole video whose
    annotations name more than one class keeps the first as its class and is ruled out, as is a segment that
    does not end after its start.

    Args:
        folder: the folder of activity_net.v1-3.min.json, or up to two levels above it; without a file of that
            name, the one json that has a "database" is read.
        unit: "segment" (id `<class>/<video>#<n>`, n counting the video's annotations from 0) or "video"
            (`<class>/<video>`).

    Raises:
        FileNotFoundError: no such folder, or no json in it.
        NotADirectoryError: it is a file.
        ValueError: an unknown unit, another dataset's folder, a file that is not UTF-8 or no whole json, no
            "database" or several, another version, or an entry of another form.
    """
    if unit not in UNITS:
        raise ValueError(
            f"the unit of ActivityNet must be one of {UNITS}, got {unit!r}; say what one clip is"
        )
    path, database = _read_database(folder)
    rows: list[AnnotatedClip] = []
    class_names, unlabelled = set(), 0
    for video_id, entry in database.items():
        split, labels, segments = _parse(video_id, entry, path)
        class_names |= set(labels)
        unlabelled += not labels
        if labels:
            rows += (
                _segments(video_id, split, labels, segments)
                if unit == "segment"
                else [_whole_video(video_id, split, labels)]
            )
    return annotations_of("activitynet", unit, rows, class_names, unlabelled, source=path)


def _whole_video(video_id: str, split: str, labels: list[str]) -> AnnotatedClip:
    named = list(dict.fromkeys(labels))
    reason = (
        f"a whole video must be of one class, got {len(named)}: {', '.join(named)}" if len(named) > 1 else ""
    )
    return _clip(video_id, f"{named[0]}/{shown(video_id)}", named[0], split, (np.nan, np.nan), reason)


def _segments(video_id: str, split: str, labels: list[str], segments: list[Any]) -> list[AnnotatedClip]:
    rows, seen = [], {}
    for number, (label, segment) in enumerate(zip(labels, segments, strict=True)):
        start_s, end_s, reason = _bounds(segment)
        earlier = seen.setdefault((label, start_s, end_s), number)
        if not reason and earlier != number:
            reason = f"the annotation lists the same segment as #{earlier} again"
        rows.append(
            _clip(video_id, f"{label}/{shown(video_id)}#{number}", label, split, (start_s, end_s), reason)
        )
    return rows


def _clip(
    video_id: str, clip_id: str, label: str, split: str, bounds_s: tuple[float, float], reason: str
) -> AnnotatedClip:
    fault = path_fault(video_id)
    if not fault and ("/" in video_id or "\\" in video_id):
        fault = f"a video id must name a file, got '{video_id}'"
    stems = [] if fault else [f"v_{video_id}", video_id]
    return AnnotatedClip(
        clip_id, label, f"youtube:{shown(video_id)}", split, *bounds_s, stems, fault or reason
    )


def _bounds(segment: Any) -> tuple[float, float, str]:
    """Start and end (s) of a segment, and why it is no stretch of video ("" if it is one)."""
    is_pair = isinstance(segment, list) and len(segment) == 2
    if not is_pair or not all(
        type(bound) in (int, float) and -math.inf < bound < math.inf for bound in segment
    ):
        return (
            np.nan,
            np.nan,
            f"a segment must be a start and an end in seconds, got {shown(str(segment))[:60]}",
        )
    start_s, end_s = map(float, segment)
    if not 0 <= start_s < end_s:
        return (
            start_s,
            end_s,
            f"a segment must start at 0 s or later and end after its start, got {start_s:g} to {end_s:g} s",
        )
    return start_s, end_s, ""


def _parse(video_id: str, entry: Any, path: Path) -> tuple[str, list[str], list[Any]]:
    """The split of a video, and the label and the segment of each of its annotations."""
    where = f"the video '{shown(video_id)}' in '{path}'"
    subset = entry.get("subset") if isinstance(entry, dict) else None
    if not isinstance(subset, str) or subset not in SPLITS:
        raise ValueError(
            f"{where} must have a subset, one of {tuple(SPLITS)}, got {shown(str(subset))[:60]}; get the file again"
        )
    found = entry.get("annotations", [])
    if not isinstance(found, list) or not all(
        isinstance(one, dict) and isinstance(one.get("label"), str) for one in found
    ):
        raise ValueError(
            f"{where} must have a list of annotations with a label each, got {shown(str(found))[:60]}; get the file again"
        )
    return SPLITS[subset], [one["label"].strip() for one in found], [one.get("segment") for one in found]


def _read_database(folder: Path) -> tuple[Path, dict[str, Any]]:
    files = annotation_files(folder, "ActivityNet")
    official = [path for path in files if path.name == OFFICIAL_NAME]
    contents = {path: _read_json(path) for path in official[:1] or files}
    with_database = [
        path
        for path, content in contents.items()
        if isinstance(content, dict) and isinstance(content.get("database"), dict)
    ]
    if len(with_database) > 1:
        raise ValueError(
            f"there must be one json with a \"database\", got '{with_database[0]}' and '{with_database[1]}'; give the folder of one"
        )
    if not with_database:
        other = family_of(Path(folder), but="ActivityNet")
        hint = f" (the folder looks like the annotations of {other})" if other else ""
        raise ValueError(
            f"'{files[0]}' must have \"database\" with an entry a video, but it has none{hint}; get {OFFICIAL_NAME}"
        )
    path = with_database[0]
    version = contents[path].get("version", "1.3")
    if "1.3" not in str(version):
        raise ValueError(
            f"'{path}' must be version 1.3 of ActivityNet, got '{shown(str(version))[:60]}'; get {OFFICIAL_NAME}"
        )
    return path, contents[path]["database"]


def _read_json(path: Path) -> Any:
    try:
        return json.loads(read_text(path), object_pairs_hook=lambda pairs: _object(pairs, path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(
            f"'{path}' must be a whole json file, but {error}; it is damaged or cut short, so get it again"
        ) from error


def _object(pairs: list[tuple[str, Any]], path: Path) -> dict[str, Any]:
    whole = dict(pairs)
    if len(whole) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(
            f"'{path}' must name each video once, got '{shown(twice)}' more than once; get the file again"
        )
    return whole
