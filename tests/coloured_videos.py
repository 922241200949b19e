"""Tiny real videos of plain colours, and a hand-made model that names them by the colours in a class's text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from zsar_lab.data.sampling import FrameSettings
from zsar_lab.data.video_writing import write_mp4
from zsar_lab.data.windows import WindowSettings
from zsar_lab.data.workers import Limits
from zsar_lab.own_videos.naming_model import Candidates, NamingModel
from zsar_lab.own_videos.naming_session import NamingSession
from zsar_lab.own_videos.unsure import Thresholds
from zsar_lab.text.class_table import texts_of
from zsar_lab.zeroshot.calibration import risk_coverage

COLOURS = {"red": (220, 20, 20), "green": (20, 220, 20), "blue": (20, 20, 220)}
FPS, SIZE = 8, 32
EVIL = ("<img src=x onerror=alert(1)>", "</script><b>red</b>")


def write_video(path: Path, colours: Sequence[str], seconds: float = 1.0) -> Path:
    """A video that shows each colour for so long; "red+blue" is their mixture."""
    mixed = [np.mean([COLOURS[part] for part in colour.split("+")], axis=0) for colour in colours]
    frames = np.concatenate([np.full((round(seconds * FPS), SIZE, SIZE, 3), colour, dtype=np.uint8) for colour in mixed])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_mp4(path, frames, FPS)
    return path


def write_folder(folder: Path) -> Path:
    """a red, b green, c blue, d between red and blue, e broken, long: twelve seconds of red, then blue."""
    for name, colour in (("a", "red"), ("b", "green"), ("c", "blue"), ("d", "red+blue")):
        write_video(folder / f"{name}.mp4", [colour])
    (folder / "e.mp4").write_bytes(b"this is no video")
    write_video(folder / "long.mp4", ["red", "blue"], seconds=6)
    return folder


def colour_model() -> NamingModel:
    """Its seen classes are the three colours; a class lies between the colours that its label or description names, and must name one."""

    def embed(frames_VTHWC: np.ndarray) -> np.ndarray:
        return _unit(frames_VTHWC.reshape(len(frames_VTHWC), -1, 3).mean(1)).astype(np.float16)

    def candidates(table: pd.DataFrame, rule: str = "transfer", class_text: str | None = None, least_right: float = 0.8) -> Candidates:
        texts = table["label"] + " " + table["description"]
        weights_CS = np.array([[float(colour in text) for colour in COLOURS] for text in texts])
        if rule not in ("transfer", "direct"):
            raise ValueError(f"a rule must be one of transfer or direct, got {rule!r}")
        if not weights_CS.any(1).all():
            raise ValueError(f"a class must name a colour, {table['name'][int(np.argmin(weights_CS.any(1)))]!r} names none; describe it")
        weights_CS /= weights_CS.sum(1, keepdims=True)
        curve = risk_coverage(np.array([0.9, 0.8]), np.array([True, False]))
        thresholds = Thresholds(0.8, 0.7, least_right, 0.5, 2, 0.7, 0.3, curve)
        weights = weights_CS if rule == "transfer" else None
        read = texts_of(table, class_text or "label_and_description" if (table["description"] != "").any() else "label")
        return Candidates(table, read, rule, _unit(weights_CS @ _unit(np.array(list(COLOURS.values())))), 0.1, thresholds, weights)

    seen = pd.DataFrame({"name": list(COLOURS), "label": list(COLOURS), "description": ""})
    return NamingModel("colours", "print", FrameSettings(4, 4.0, 16), embed, candidates, "made by hand for a test", seen)


def colour_session() -> NamingSession:
    """Videos of over 4 s are cut into windows of 2 s that do not overlap."""
    return NamingSession(colour_model(), WindowSettings(window_s=2.0, stride_s=2.0, whole_up_to_s=4.0), Limits(workers=1))


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
