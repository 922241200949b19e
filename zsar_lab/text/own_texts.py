"""A user's own class texts, from a csv file."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

KNOWN_COLUMNS = ("dataset", "name", "label", "text")


@dataclass(frozen=True)
class TextsFromFile:
    """A scheme that reads a csv file with the columns name and text, one row a class; `dataset` and `label` may be there and are not read.

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
        missing = [name for name in names if name not in set(table["name"])]
        if missing:
            raise ValueError(
                f"a file of class texts must have a row for every class, '{self.path}' lacks {len(missing)} of {len(names)}"
                f" ({_some(missing)}); add them"
            )
        more = sorted(set(table["name"]) - set(names))
        if more:
            warnings.warn(f"'{self.path}' has texts of {len(more)} classes that the data have not ({_some(more)}); they are not read", stacklevel=2)
        text_of = dict(zip(table["name"], table["text"], strict=True))
        return [text_of[name] for name in names]

    def _table(self) -> pd.DataFrame:
        if not Path(self.path).is_file():
            raise FileNotFoundError(f"a file of class texts must be there, '{self.path}' is not; write it with the columns name and text")
        try:
            table = pd.read_csv(self.path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        except (ValueError, pd.errors.ParserError, pd.errors.EmptyDataError, OSError) as error:
            raise ValueError(
                f"a file of class texts must be a UTF-8 csv table, '{self.path}' is not ({str(error).strip()}); save it as"
                " one"
            ) from error
        if not isinstance(table.index, pd.RangeIndex):  # pandas takes what stands before the named columns for row names
            raise ValueError(
                f"a file of class texts must be a UTF-8 csv table, '{self.path}' is not (a row has more values than the"
                " first); quote texts with commas"
            )
        lacking = [column for column in ("name", "text") if column not in table]
        unknown = [column for column in table if column not in KNOWN_COLUMNS]
        if lacking or unknown:
            what = f"has no {lacking[0]!r}" if lacking else f"has {_some(unknown)} too"
            raise ValueError(
                f"a file of class texts must have the columns name and text (dataset, label at will), '{self.path}'"
                f" {what}; mend its first row"
            )
        table = table.assign(name=table["name"].str.strip(), text=table["text"].str.strip())
        twice = table["name"][table["name"].duplicated()]
        if len(twice):
            raise ValueError(
                f"a file of class texts must have one row a class, '{self.path}' has {_some(sorted(set(twice)))} more than"
                " once; delete rows"
            )
        empty = table["name"][[not text or not all(line.strip() for line in text.split("\n")) for text in table["text"]]]
        if len(empty):
            raise ValueError(
                f"a file of class texts must have a text in every row and line, '{self.path}' has none for"
                f" {_some(list(empty))}; write it"
            )
        return table


def _some(names: list[str]) -> str:
    return ", ".join(map(repr, names[:3])) + (", ..." if len(names) > 3 else "")
