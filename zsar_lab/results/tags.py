"""Tags on clips whose label, picture or class text is at fault, in a csv file; a score without them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
from filelock import FileLock

from zsar_lab.files import make_folder, writing
from zsar_lab.methods.table import LABELS
from zsar_lab.results.predictions import Predictions
from zsar_lab.results.statistics import accuracy, is_right

LABEL_WRONG, AMBIGUOUS, TEXT_WRONG = "label wrong", "ambiguous", "text wrong"
KINDS = (LABEL_WRONG, AMBIGUOUS, TEXT_WRONG)
COLUMNS = ("clip", "class", "split", "method", "kind", "note", "time")


class Tags:
    """The tags of a study, one a clip, in one csv file that its splits share.

    The file is read at every call, so that two notebooks see each other's tags; it need not be there before
    the first. `path` must end in .csv, such as workspace.folder / "tags.csv" (ValueError else).
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() != ".csv":
            raise ValueError(f"a file of tags must end in .csv, got '{self.path}'")

    def table(self) -> pd.DataFrame:
        """All tags: a row a clip with COLUMNS, all text; ValueError when the file is not such a table."""
        if not self.path.is_file():
            return pd.DataFrame(columns=list(COLUMNS), dtype=str)
        try:
            table = pd.read_csv(self.path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        except (ValueError, OSError) as error:
            raise self._wrong("be a csv table in UTF-8", str(error).strip()) from error
        if tuple(table.columns) != COLUMNS or not isinstance(table.index, pd.RangeIndex):
            raise self._wrong(f"have the columns {', '.join(COLUMNS)}", ", ".join(map(str, table.columns)))
        unknown = sorted(set(table["kind"]) - set(KINDS))
        if unknown:
            raise self._wrong(f"have kinds among {', '.join(KINDS)}", repr(unknown[0]))
        twice = table["clip"][table["clip"].duplicated() | (table["clip"] == "")]
        if len(twice):
            raise self._wrong("name each clip once", f"{twice.iloc[0]!r} again or without a name")
        return table

    def kinds(self) -> dict[str, str]:
        """The kind of each tagged clip, by its id; Raises as `table`."""
        table = self.table()
        return dict(zip(table["clip"], table["kind"], strict=True))

    def add(self, clip: str, class_name: str, split: str, method: str, kind: str, note: str = "") -> None:
        """Save a tag at once; it replaces an earlier one of the clip.

        Args:
            clip: id of the catalog.
            class_name: the class it has there.
            split: where it was looked at; the tag holds for all splits.
            method: by which it was looked at.
            kind: "label wrong", "ambiguous" or "text wrong".
            note: one line; white space is made single.

        Raises:
            ValueError: no clip or no such kind, or as `table`; nothing is written then.
            OSError: the file cannot be written.
        """
        if not clip or kind not in KINDS:
            raise ValueError(f"a tag needs a clip and one of {', '.join(KINDS)}, got {clip!r} and {kind!r}")
        time = datetime.now(UTC).isoformat(timespec="seconds")
        row = (clip, class_name, split, method, kind, " ".join(note.split()), time)
        with self._locked():
            table = self.table()
            added = pd.DataFrame([row], columns=list(COLUMNS), dtype=str)
            self._write(pd.concat([table[table["clip"] != clip], added]))

    def remove(self, clip: str) -> None:
        """Take the tag of a clip away; ValueError when it has none, or as `table`."""
        with self._locked():
            table = self.table()
            if clip not in set(table["clip"]):
                raise ValueError(f"{clip!r} must be one of the {len(table)} tagged clips to lose its tag")
            self._write(table[table["clip"] != clip])

    def _locked(self) -> FileLock:
        return FileLock(make_folder(self.path.parent) / f".{self.path.name}.lock")

    def _write(self, table: pd.DataFrame) -> None:
        with writing(self.path) as temporary:
            table.to_csv(temporary, index=False, encoding="utf-8", lineterminator="\n")

    def _wrong(self, must: str, got: str) -> ValueError:
        return ValueError(f"'{self.path}' must {must}, got {got}; mend it or move it away")


@dataclass(frozen=True)
class ScoreWithout:
    """A method's score on all clips of a split and on those left after tagged ones were taken out.

    Attributes:
        method: its identifier.
        quantity: by the protocol, "top1" or "mean_class".
        n_clips, top1: of all clips (0..1).
        n_kept, top1_kept: of those left; None where none is.
        left_out: clips taken out, by kind of tag, only kinds that are there.
        n_wrong_left_out: how many of them the method had predicted wrongly.
    """

    method: str
    quantity: str
    n_clips: int
    top1: float
    n_kept: int
    top1_kept: float | None
    left_out: dict[str, int]
    n_wrong_left_out: int

    def sentence(self) -> str:
        """Both figures, what was left out, and what they are not good for."""
        mean = " (mean over classes)" if self.quantity == "mean_class" else ""
        whole = f"{LABELS[self.method]} {100 * self.top1:.1f} %{mean} on {self.n_clips} clips"
        if not self.left_out:
            return f"{whole}; none of them is left out."
        kinds = ", ".join(f"{number} {kind}" for kind, number in self.left_out.items())
        by_kind = f"{self.n_clips - self.n_kept} left out: {kinds}"
        if self.top1_kept is None:
            return f"{whole}; no clip is left to score ({by_kind})."
        return (
            f"{whole}; {100 * self.top1_kept:.1f} % on the {self.n_kept} not tagged ({by_kind}): not"
            f" comparable with published numbers. Of those left out {self.n_wrong_left_out} were predicted"
            " wrongly; a score rises by leaving such out."
        )


def score_without(
    predictions: Predictions, method: str, kind_of: Mapping[str, str], kinds: Collection[str] = KINDS
) -> ScoreWithout:
    """Score a split's test clips again without those tagged.

    `kind_of` has the kind of tag by clip id (`Tags.kinds`); clips of other splits play no part. Clips with a
    tag among `kinds` are left out. ValueError when there is no such kind, KeyError as `Predictions.rows`.
    """
    unknown = sorted(set(kinds) - set(KINDS))
    if unknown:
        raise ValueError(f"kinds of tags must be among {', '.join(KINDS)}, got {unknown[0]!r}")
    quantity = "mean_class" if predictions.protocol.average == "mean_class" else "top1"
    rows = predictions.rows(method)
    kind = rows["clip"].map(kind_of)
    out = kind.isin(list(kinds))
    kept, counts = rows[~out], kind[out].value_counts()
    left_out = {name: int(counts[name]) for name in KINDS if name in counts}
    top1, top1_kept = accuracy(rows, quantity), accuracy(kept, quantity) if len(kept) else None
    n_wrong = int((~is_right(rows[out])).sum())
    return ScoreWithout(method, quantity, len(rows), top1, len(kept), top1_kept, left_out, n_wrong)
