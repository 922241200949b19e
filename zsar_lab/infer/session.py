"""Naming one's videos step by step: read once, name by any classes, accept or correct, keep. What notebook 06's widget does, without a browser."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from zsar_lab.data.catalog import Catalog
from zsar_lab.data.prepare import Prepared
from zsar_lab.data.sampling import WindowSettings
from zsar_lab.data.workers import Limits
from zsar_lab.infer.answers import NO_NAME, answers
from zsar_lab.infer.classifier import Candidates, NamingModel
from zsar_lab.infer.classify import Paths, embed_videos
from zsar_lab.infer.embedding import WindowEmbeddings
from zsar_lab.infer.labelled import catalog_of, save_labelled
from zsar_lab.text.class_lists import Classes, read_classes


class NamingSession:
    """Videos, classes, answers and accepted names.

    Args:
        model: that names.
        windows: how long videos are cut.
        limits: of the processes that decode.
        least_right: share of sure answers that must be right on validation classes.

    Attributes:
        read: the embedded windows; None before `read_videos`.
        candidates: the classes as points; None before `name_by`.
        table: the answers, as `answers` gives them; None until there are videos and classes.
        moved: rows whose name the last change of classes changed.
        accepted: the name that a person gave to a row, by row number.
        saved: of the names accepted, those that were saved last.
    """

    def __init__(
        self,
        model: NamingModel,
        windows: WindowSettings = WindowSettings(),
        limits: Limits = Limits(),
        least_right: float = 0.8,
    ) -> None:
        self.model, self.windows, self.limits, self.least_right = model, windows, limits, least_right
        self.read: WindowEmbeddings | None = None
        self.candidates: Candidates | None = None
        self.table: pd.DataFrame | None = None
        self.moved: list[int] = []
        self.accepted: dict[int, str] = {}
        self.saved: dict[int, str] = {}

    def read_videos(self, paths: Paths) -> None:
        """Embed these videos, in the place of earlier ones; names that were accepted for those are forgotten.

        Raises:
            FileNotFoundError, ValueError: as `embed_videos`; what was there before is kept.
        """
        self.read = embed_videos(paths, self.model, self.windows, self.limits)
        self.table, self.moved, self.accepted, self.saved = None, [], {}, {}
        self._answer()

    def name_by(self, classes: Classes, method: str | None = None) -> None:
        """Name the videos by these classes; nothing is read again.

        Accepted names that are no class any more are forgotten.

        Raises:
            FileNotFoundError, ValueError: as `read_classes` and `model.candidates`; what was there before is
                kept.
        """
        table = read_classes(classes)
        chosen = {} if method is None else {"method": method}
        self.candidates = self.model.candidates(table, least_right=self.least_right, **chosen)
        self.accepted = {row: name for row, name in self.accepted.items() if name in self.candidates.names}
        self._answer()

    def _answer(self) -> None:
        if self.read is None or self.candidates is None:
            return
        before, self.table = self.table, answers(self.read, self.candidates)
        self.moved = [] if before is None else self.table.index[before["name"] != self.table["name"]].tolist()

    def accept(self, rows: Iterable[int] | None = None) -> int:
        """Take the model's names for these rows; for all that are sure and not yet named when None. Returns how many were taken.

        Raises:
            ValueError: there are no answers yet, or no such row, or one that could not be read.
        """
        table = self._answered()
        rows = (
            [row for row in table.index[~table["unsure"].astype(bool)] if row not in self.accepted]
            if rows is None
            else list(rows)
        )
        self.accepted |= {self._checked(row): table["name"][row] for row in rows}
        return len(rows)

    def correct(self, row: int, name: str) -> None:
        """Give a row a name of the classes; "" takes an accepted one back.

        Raises:
            ValueError: there are no answers yet, no such row or class, or the row could not be read.
        """
        self._checked(row)
        if name == NO_NAME:
            self.accepted.pop(row, None)
        elif name not in self.candidates.names:
            raise ValueError(
                f"a name must be one of the {len(self.candidates.names)} classes, got {name!r}; add the class first"
            )
        else:
            self.accepted[row] = name

    def catalog(self) -> Catalog:
        """A catalog of every window that was read, to play them, each of the class accepted or named; its clips stand in the order of `table`.

        Raises:
            ValueError: there are no answers yet, or no video could be read.
        """
        table = self._as_clips()
        shown = table[table["name"] != NO_NAME]
        names = [self.accepted.get(row, table["name"][row]) for row in shown.index]
        return catalog_of(shown, names, self.candidates.table, self.limits)

    def save(self, folder: str | Path) -> Prepared:
        """Keep the accepted names as a labelled, prepared dataset, see `save_labelled`.

        Raises:
            ValueError: no name is accepted yet, or as `save_labelled`.
        """
        table = self._as_clips()
        if not self.accepted:
            raise ValueError(
                "there must be accepted names to save, got none; accept the sure ones, or name clips yourself"
            )
        rows = sorted(self.accepted)
        catalog = catalog_of(
            table.loc[rows], [self.accepted[row] for row in rows], self.candidates.table, self.limits
        )
        prepared = save_labelled(catalog, folder, self.model.frames, self.limits)
        self.saved = dict(self.accepted)
        return prepared

    def _answered(self) -> pd.DataFrame:
        if self.table is None:
            raise ValueError("there are no answers yet; read videos and give classes first")
        return self.table

    def _as_clips(self) -> pd.DataFrame:
        """The table, without bounds where a window is the whole of its video."""
        table, read = self._answered(), self.read.table
        whole = (read["start_s"] == 0) & (read["end_s"] == read["duration_s"])
        return table.assign(start_s=table["start_s"].mask(whole), end_s=table["end_s"].mask(whole))

    def _checked(self, row: int) -> int:
        table = self._answered()
        if row not in table.index:
            raise ValueError(f"a row must be one of 0..{len(table) - 1}, got {row}")
        if table["name"][row] == NO_NAME:
            raise ValueError(
                f"a video that could not be read has no name, row {row} is '{table['path'][row]}' ({table['why'][row]})"
            )
        return row
