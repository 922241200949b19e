"""Tags on clips whose label, picture or class text is at fault, kept in a csv file; and a score without the tagged clips, which says so."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from zsar_lab.files import held, make_folder, writing
from zsar_lab.methods.metrics import mean_over_classes
from zsar_lab.results.predictions import Predictions

LABEL_WRONG, AMBIGUOUS, TEXT_WRONG = "label wrong", "ambiguous", "text wrong"
KINDS = (LABEL_WRONG, AMBIGUOUS, TEXT_WRONG)
COLUMNS = ("clip", "class", "split", "method", "kind", "note", "time")


@dataclass(frozen=True)
class Tag:
    """What someone found wrong with a clip.

    Attributes:
        clip: id of the catalog.
        class_name: the class it has there.
        split, method: where it was looked at; the tag holds for all.
        kind: "label wrong", "ambiguous" or "text wrong".
        note: one line; white space is made single.
        time: UTC, ISO 8601, to the second; the present when "".

    Raises:
        ValueError: no clip, or no such kind.
    """

    clip: str
    class_name: str
    split: str
    method: str
    kind: str
    note: str = ""
    time: str = ""

    def __post_init__(self) -> None:
        if not self.clip:
            raise ValueError("a tag must name a clip, got none; choose one first")
        if self.kind not in KINDS:
            raise ValueError(f"a tag must be one of {', '.join(KINDS)}, got {self.kind!r}")


class Tags:
    """The tags of a study, one a clip, in one csv file that its splits share.

    The file is read at every call, so that two notebooks see each other's tags; it need not be there before
    the first.

    Args:
        path: of the file, for example workspace.folder / "tags.csv"; its columns are clip, class, split,
            method, kind, note, time.

    Raises:
        ValueError: the path does not end in .csv.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() != ".csv":
            raise ValueError(f"a file of tags must end in .csv, got '{self.path}'; rename it")

    def table(self) -> pd.DataFrame:
        """All tags, a row each, text in every column; no row where there is no file.

        Raises:
            ValueError: the file is not such a table; one sentence.
        """
        if not self.path.is_file():
            return pd.DataFrame(columns=list(COLUMNS), dtype=str)
        try:
            table = pd.read_csv(self.path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValueError(self._must("be a UTF-8 csv table", str(error))) from error
        except (ValueError, OSError) as error:
            raise ValueError(self._must("be a csv table", str(error).strip())) from error
        if tuple(table.columns) != COLUMNS or not isinstance(table.index, pd.RangeIndex):
            raise ValueError(
                self._must(f"have the columns {', '.join(COLUMNS)}", ", ".join(map(str, table.columns)))
            )
        unknown = sorted(set(table["kind"]) - set(KINDS))
        if unknown:
            raise ValueError(self._must(f"have kinds among {', '.join(KINDS)}", repr(unknown[0])))
        twice = table["clip"][table["clip"].duplicated() | (table["clip"] == "")]
        if len(twice):
            raise ValueError(self._must("name each clip once", f"{twice.iloc[0]!r} again or without a name"))
        return table

    def kinds(self) -> dict[str, str]:
        """The kind of each tagged clip, by its id; Raises as `table`."""
        table = self.table()
        return dict(zip(table["clip"], table["kind"], strict=True))

    def add(self, tag: Tag) -> None:
        """Save a tag at once; it replaces an earlier one of the clip.

        Raises:
            ValueError: as `table`; nothing is written then.
            OSError: the file cannot be written.
        """
        time = tag.time or datetime.now(UTC).isoformat(timespec="seconds")
        row = asdict(replace(tag, note=" ".join(tag.note.split()), time=time))
        row["class"] = row.pop("class_name")
        with held(make_folder(self.path.parent)):
            kept = self.table()
            self._write(
                pd.concat(
                    [kept[kept["clip"] != tag.clip], pd.DataFrame([row], columns=list(COLUMNS), dtype=str)]
                )
            )

    def remove(self, clip: str) -> None:
        """Take the tag of a clip away.

        Raises:
            ValueError: the clip is not tagged, or as `table`.
        """
        with held(make_folder(self.path.parent)):
            kept = self.table()
            if clip not in set(kept["clip"]):
                raise ValueError(
                    f"a tag can be removed from one of the {len(kept)} tagged clips, got {clip!r}"
                )
            self._write(kept[kept["clip"] != clip])

    def _write(self, table: pd.DataFrame) -> None:
        with writing(self.path) as temporary:
            table.to_csv(temporary, index=False, encoding="utf-8", lineterminator="\n")

    def _must(self, method: str, got: str) -> str:
        return f"a file of tags must {method}, got {got} in '{self.path}'; mend it, or move it away to begin anew"


@dataclass(frozen=True)
class ScoreWithout:
    """A method's top-1 on all clips of a split and on those left after tagged ones were taken out.

    Attributes:
        method: its name.
        average: of the protocol: "micro" over clips, or "mean_class" over the classes that have clips left.
        n_clips, top1: of all clips (0..1).
        n_kept, top1_kept: of those left; None where none is.
        left_out: clips taken out, by kind of tag, only kinds that are there.
        n_wrong_left_out: how many of them the method had named wrongly.
    """

    method: str
    average: str
    n_clips: int
    top1: float
    n_kept: int
    top1_kept: float | None
    left_out: dict[str, int]
    n_wrong_left_out: int

    def sentence(self) -> str:
        """Both figures, what was left out, and what they are not good for."""
        mean = " (mean over classes)" if self.average == "mean_class" else ""
        whole = f"{self.method} {100 * self.top1:.1f} %{mean} on {self.n_clips} clips"
        n_out = self.n_clips - self.n_kept
        if not n_out:
            return f"{whole}; none of them is left out."
        by_kind = f"{n_out} left out: {', '.join(f'{n} {kind}' for kind, n in self.left_out.items())}"
        if self.top1_kept is None:
            return f"{whole}; no clip is left to score ({by_kind})."
        return (
            f"{whole}; {100 * self.top1_kept:.1f} % on the {self.n_kept} not tagged ({by_kind}): not comparable with published numbers."
            f" Of those left out {self.n_wrong_left_out} were named wrongly; a score rises by leaving such out."
        )


def score_without(
    predictions: Predictions, method: str, kind_of: Mapping[str, str], kinds: Collection[str] = KINDS
) -> ScoreWithout:
    """Score a split's clips again without those tagged.

    Args:
        predictions: of the split.
        method: whose predictions.
        kind_of: the kind of tag by clip id (`Tags.kinds`); clips of other splits play no part.
        kinds: of tags whose clips are left out.

    Raises:
        KeyError: the method was not scored.
        ValueError: no such kind.
    """
    unknown = sorted(set(kinds) - set(KINDS))
    if unknown:
        raise ValueError(f"kinds of tags to leave out must be among {', '.join(KINDS)}, got {unknown[0]!r}")
    rows, average = predictions.rows(method), predictions.protocol.average
    found = [kind_of.get(clip, "") for clip in rows["clip"]]
    kept = np.array([kind not in kinds for kind in found], dtype=bool)
    right, targets = (rows["rank"] == 1).to_numpy(), pd.factorize(rows["label"])[0]

    def top1(chosen: np.ndarray) -> float:
        return (
            mean_over_classes(right[chosen], targets[chosen])
            if average == "mean_class"
            else float(right[chosen].mean())
        )

    counts = {kind: found.count(kind) for kind in KINDS if kind in kinds and kind in found}
    top1_kept = top1(kept) if kept.any() else None
    return ScoreWithout(
        method,
        average,
        len(found),
        top1(np.ones_like(kept)),
        int(kept.sum()),
        top1_kept,
        counts,
        int((~right[~kept]).sum()),
    )
