"""A user's own class texts, from a csv file."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

KNOWN_COLUMNS = ("dataset", "name", "label", "text")


@dataclass(frozen=True)
class TextsFromFile:
    """A prompt that reads a csv file with the columns name and text, one row a class; `dataset` and `label` may be there and are not read.

    A text may have several lines, which are read one by one and set side by side.

    Attributes:
        path: of the file, UTF-8.
    """

    path: str

    @property
    def __name__(self) -> str:
        return Path(self.path).name

    def __call__(self, classes: pd.DataFrame) -> list[str]:
        """The text of each class of the table, in its order.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is no such table, a class is missing or given twice, or a text is empty.
        """
        table = self._table()
        names = list(classes["name"])
        more = sorted(set(table["name"]) - set(names))
        missing = [name for name in names if name not in set(table["name"])]
        if missing:
            beside = f", and has {len(more)} that the data have not ({_some(more)})" if more else ""
            raise ValueError(
                f"a file of class texts must have a row for every class, by the exact name, '{self.path}' lacks {len(missing)} of {len(names)}"
                f" ({_some(missing)}){beside}; add or rename them"
            )
        if more:
            classes_ = "class" if len(more) == 1 else "classes"
            warnings.warn(
                f"'{self.path}' has texts of {len(more)} {classes_} that the data have not ({_some(more)}); not read",
                stacklevel=2,
            )
        text_of = dict(zip(table["name"], table["text"], strict=True))
        return [text_of[name] for name in names]

    def check(self) -> None:
        """Check the file by itself, whatever the classes are; Raises as `__call__`."""
        self._table()

    def _table(self) -> pd.DataFrame:
        if not Path(self.path).is_file():
            raise FileNotFoundError(
                f"a file of class texts must be there, '{self.path}' is not; write it with the columns name and text"
            )
        try:
            table = pd.read_csv(self.path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"a file of class texts must be a UTF-8 csv table, '{self.path}' is not ({error}); save it as UTF-8"
            ) from error
        except (ValueError, OSError) as error:
            raise ValueError(self._no_table(str(error).strip())) from error
        if not isinstance(
            table.index, pd.RangeIndex
        ):  # pandas takes what stands before the named columns for row names
            raise ValueError(self._no_table("a row has more values than the first"))
        lacking = [column for column in ("name", "text") if column not in table]
        unknown = [column for column in table if column not in KNOWN_COLUMNS]
        if lacking or unknown:
            what = (
                f"has no {lacking[0]!r} (it has {_some(list(table))})"
                if lacking
                else f"has {_some(unknown)} too"
            )
            if len(table.columns) == 1 and any(mark in table.columns[0] for mark in ";\t"):
                what = "separates its columns by semicolons or tabs, not by commas"
            raise ValueError(
                f"a file of class texts must have the columns name and text, and may have dataset and label, '{self.path}' {what};"
                " mend its first row, or save it anew"
            )
        table = table.assign(name=table["name"].str.strip(), text=table["text"].str.strip())
        twice = table["name"][table["name"].duplicated()]
        if len(twice):
            raise ValueError(
                f"a file of class texts must have one row a class, '{self.path}' has {_some(sorted(set(twice)))} more than"
                " once; delete rows"
            )
        empty = table["name"][
            [not text or not all(line.strip() for line in text.split("\n")) for text in table["text"]]
        ]
        if len(empty):
            raise ValueError(
                f"a file of class texts must have a text in every row and line, '{self.path}' has none for"
                f" {_some(list(empty))}; write it"
            )
        return table

    def _no_table(self, why: str) -> str:
        return (
            f"a file of class texts must be a csv table with commas between the columns, '{self.path}' is not ({why});"
            " put texts with a comma in double quotes, or save it anew as csv"
        )


def _some(names: list[str]) -> str:
    return ", ".join(map(repr, names[:3])) + (", ..." if len(names) > 3 else "")
