"""What the catalog and the protocols leave out, as tables for reading."""

from __future__ import annotations

import pandas as pd
from pandas.io.formats.style import Styler

from zsar_lab.data.catalog import Catalog

MOST_ROWS = 200


def left_out_table(catalog: Catalog, most: int = MOST_ROWS) -> Styler:
    """Every clip and file that cannot be used, with its whole reason: path, class, status, reason; of many, the first of each status.

    Args:
        catalog: of any dataset.
        most: rows shown; a line above says how many there are. All of them are in `catalog.excluded`.
    """
    rows = catalog.excluded[["path", "class", "status", "reason"]]
    each = max(1, most // max(1, rows["status"].nunique()))
    shown = rows if len(rows) <= most else rows.groupby("status").head(each)
    words = f"{len(rows):,} clips and files" + (
        f", {len(shown):,} of them shown" if len(shown) < len(rows) else ""
    )
    left = [
        {"selector": "th, td", "props": "text-align: left; white-space: normal; overflow-wrap: anywhere;"}
    ]
    left.append(
        {"selector": ".col1, .col2", "props": "overflow-wrap: normal; white-space: nowrap;"}
    )  # class and status stay whole
    left.append({"selector": "caption", "props": "caption-side: top; text-align: left;"})
    return shown.style.hide(axis="index").format(escape="html").set_caption(words).set_table_styles(left)


def left_out_reasons(accounts: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """How many clips each protocol leaves out, by reason: a row a reason, a column a protocol.

    Args:
        accounts: of `account`, by the protocol's name. Reasons that name a file count as their status alone.
    """
    columns = {}
    for name, table in accounts.items():
        reasons = table["reason"][table["role"] == "left out"]
        columns[name] = reasons.map(lambda reason: reason.split(":")[0]).value_counts()
    return pd.DataFrame(columns).fillna(0).astype(int).rename_axis(index=None)
