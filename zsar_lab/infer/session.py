"""A session of own videos: read once, predict by any classes, accept or correct, save labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from zsar_lab.data.catalog import Catalog, complete_clips, probe_files
from zsar_lab.data.datasets.folders import LISTED_COLUMNS
from zsar_lab.data.prepare import Prepared, prepare_catalog
from zsar_lab.data.sampling import FrameSettings, WindowSettings
from zsar_lab.data.workers import Limits
from zsar_lab.files import fingerprint, make_folder, read_json, write_json
from zsar_lab.infer.classifier import ZeroShotClassifier
from zsar_lab.infer.model import VideoModel
from zsar_lab.infer.predictions import NO_PREDICTION, Paths, embed_videos, predict
from zsar_lab.text.class_lists import Classes

NAME, ABOUT = "own videos", "labelled.json"  # of the catalog; what a folder's frames are of


class VideoSession:
    """Videos, classes, predictions and accepted labels: what notebook 07's widget does, without a browser.

    What cannot be read, is no class or no row is a ValueError or FileNotFoundError, and changes nothing.

    Args:
        model: that predicts.
        cut: how long videos are cut into windows; limits: of the processes that decode.
        min_precision, allow_bias: as of `zl.classify`.

    Attributes:
        windows: embedded windows, see `embed_windows`; None before `read_videos`.
        classifier: of the classes; None before `use_classes`.
        table: the predictions, see `predict`; None until there are videos and classes.
        changed: rows whose prediction the last change of classes changed.
        accepted: the label that a person gave to a row, by row number; saved: those that were saved last.
    """

    def __init__(
        self,
        model: VideoModel,
        cut: WindowSettings = WindowSettings(),
        limits: Limits = Limits(),
        min_precision: float = 0.8,
        allow_bias: bool = False,
    ) -> None:
        self.model, self.cut, self.limits = model, cut, limits
        self.asked: dict[str, Any] = {"min_precision": min_precision, "allow_bias": allow_bias}
        self.windows: pd.DataFrame | None = None
        self.classifier: ZeroShotClassifier | None = None
        self.table: pd.DataFrame | None = None
        self.changed: list[int] = []
        self.accepted: dict[int, str] = {}
        self.saved: dict[int, str] = {}

    def read_videos(self, paths: Paths) -> None:
        """Embed these videos, in the place of earlier ones, whose accepted labels are forgotten."""
        self.windows = embed_videos(paths, self.model, self.cut, self.limits)
        self.table, self.changed, self.accepted, self.saved = None, [], {}, {}
        self._predict()

    def use_classes(self, classes: Classes, method: str | None = None) -> None:
        """Predict by these classes, reading nothing again; accepted labels that are none are forgotten."""
        self.classifier = self.model.classifier(classes, method, **self.asked)
        names = self.classifier.names
        self.accepted = {row: label for row, label in self.accepted.items() if label in names}
        self._predict()

    def _predict(self) -> None:
        if self.windows is None or self.classifier is None:
            return
        before, self.table = self.table, predict(self.windows, self.classifier)
        if before is not None:
            differ = before["prediction"] != self.table["prediction"]
            self.changed = self.table.index[differ].tolist()

    def accept(self, rows: Iterable[int] | None = None) -> int:
        """Accept the predictions of these rows; None: all sure ones not yet labelled. Returns how many."""
        table, _ = self._predicted()
        if rows is None:
            rows = [row for row in table.index[~table["unsure"].astype(bool)] if row not in self.accepted]
        labels = {self._checked(row): table["prediction"][row] for row in rows}
        self.accepted |= labels
        return len(labels)

    def correct(self, row: int, label: str) -> None:
        """Give a row a label of the classes; "" takes an accepted one back."""
        _, classifier = self._predicted()
        self._checked(row)
        if label == NO_PREDICTION:
            self.accepted.pop(row, None)
        elif label not in classifier.names:
            raise ValueError(f"a label must be one of the {len(classifier.names)} classes, got {label!r}")
        else:
            self.accepted[row] = label

    def catalog(self) -> Catalog:
        """A catalog of every window that was read, to play them, in the order of `table`."""
        table, _ = self._predicted()
        shown = table[table["prediction"] != NO_PREDICTION]
        return self._catalog({row: self.accepted.get(row, name) for row, name in shown["prediction"].items()})

    def save(self, folder: str | Path) -> Prepared:
        """Save the accepted labels as a prepared dataset, see `save_labelled`; ValueError without any."""
        self._predicted()
        if not self.accepted:
            raise ValueError("there must be accepted labels to save, got none")
        catalog = self._catalog(dict(sorted(self.accepted.items())))
        prepared = save_labelled(catalog, folder, self.model.frames, self.limits)
        self.saved = dict(self.accepted)
        return prepared

    def _catalog(self, labels: dict[int, str]) -> Catalog:
        """Of labelled rows, without bounds where a window is the whole of its video."""
        assert self.windows is not None and self.classifier is not None
        windows = self.windows.loc[list(labels)]
        whole = (windows["start_s"] == 0) & (windows["end_s"] == windows["duration_s"])
        clips = windows.assign(**{name: windows[name].mask(whole) for name in ("start_s", "end_s")})
        return catalog_of(clips, list(labels.values()), self.classifier.classes, self.limits)

    def _predicted(self) -> tuple[pd.DataFrame, ZeroShotClassifier]:
        if self.table is None or self.classifier is None:
            raise ValueError("there are no predictions yet; read videos and give classes first")
        return self.table, self.classifier

    def _checked(self, row: int) -> int:
        table, _ = self._predicted()
        if row not in table.index:
            raise ValueError(f"a row must be one of 0..{len(table) - 1}, got {row}")
        if table["prediction"][row] == NO_PREDICTION:
            raise ValueError(f"row {row}, '{table['path'][row]}', has no prediction ({table['why'][row]})")
        return row


def catalog_of(
    clips: pd.DataFrame, labels: Sequence[str], classes: pd.DataFrame, limits: Limits = Limits()
) -> Catalog:
    """A catalog of labelled clips; its root is "/", for the videos may lie anywhere.

    `clips` has path, start_s and end_s (seconds; nan for the whole video); a clip's id is its place in it and
    its file's name, its group the video. Each has one of the classes as its label.
    """
    paths = [str(Path(path).resolve()) for path in clips["path"]]
    digits = len(str(len(clips) - 1))
    ids = [f"{number:0{digits}d} {Path(path).name}" for number, path in enumerate(paths)]
    empty, bounds = [""] * len(clips), (clips["start_s"].tolist(), clips["end_s"].tolist())
    rows = zip(ids, paths, labels, paths, empty, *bounds, empty, empty, strict=True)
    listed, probed = (
        pd.DataFrame(rows, columns=LISTED_COLUMNS),
        probe_files(Path("/"), sorted({*paths}), limits),
    )
    known = classes.drop(columns=["text", "id"], errors="ignore").sort_values("name", ignore_index=True)
    return Catalog(NAME, Path("/"), complete_clips(listed, probed), known)


def save_labelled(
    catalog: Catalog, folder: str | Path, frames: FrameSettings, limits: Limits = Limits()
) -> Prepared:
    """Save a catalog of labelled clips as a prepared dataset, which a study and so every notebook takes.

    Leaves what `prepare` leaves and labels.csv with path, label, start_s and end_s of each clip; the videos
    stay where they are. ValueError unless the folder is empty, or that of the same clips, labels and videos.
    """
    files = {}
    for path in map(catalog.root.joinpath, catalog.clips["path"]):
        files[str(path)] = (path.stat().st_size, path.stat().st_mtime_ns) if path.is_file() else None
    rows = catalog.clips[["id", "path", "class", "start_s", "end_s"]].to_numpy().tolist()
    about = {"clips": fingerprint("labelled clips", rows, list(files.items()))}
    folder = Path(folder)
    there = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    if there and ABOUT not in there:
        raise ValueError(f"labels are saved in an empty folder, '{folder}' holds {there[0]!r}")
    if set(there) - {ABOUT} and read_json(folder / ABOUT) != about:
        raise ValueError(f"'{folder}' holds other clips, labels or videos; choose another folder")
    write_json(make_folder(folder) / ABOUT, about)
    prepared = prepare_catalog(catalog, folder, frames, limits)
    catalog.save(folder / "catalog")
    labels = catalog.usable.rename(columns={"class": "label"})[["path", "label", "start_s", "end_s"]]
    labels.assign(path="/" + labels["path"].str.removeprefix("/")).to_csv(folder / "labels.csv", index=False)
    return prepared
