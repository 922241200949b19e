"""The class lists of public datasets, shipped with the package: each class's own name, its readable label and our description."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

DATASETS = ("ucf101", "hmdb51", "activitynet", "kinetics400", "kinetics600", "kinetics700")


def class_list(dataset: str) -> pd.DataFrame:
    """The classes of a public dataset.

    Args:
        dataset: one of `DATASETS`.

    Returns:
        One row a class, sorted by name (code points): name (the dataset's own id), label (its readable form)
        and description (one or two sentences on what is seen, written for this project). The Kinetics
        datasets share the texts of names they share.

    Raises:
        ValueError: there is no list of that dataset.
        FileNotFoundError: the package is not whole.
    """
    if dataset not in DATASETS:
        raise ValueError(
            f"a class list is shipped for {', '.join(DATASETS)}, got {dataset!r}; choose one of these or read your own classes.csv"
        )
    table = pd.read_csv(classes_path(dataset), encoding="utf-8", dtype=str, keep_default_na=False)
    return table[["name", "label", "description"]]


def classes_path(dataset: str) -> Path:
    """A shipped class table: `data/<dataset>/classes.csv` of the repository, or its copy inside an installed package.

    Raises:
        FileNotFoundError: it is in neither place.
    """
    package = Path(__file__).parents[1]
    places = (
        package.parent / "data" / dataset / "classes.csv",
        package / "shipped" / dataset / "classes.csv",
    )
    for place in places:
        if place.is_file():
            return place
    raise FileNotFoundError(
        f"the class table of '{dataset}' must be at '{places[0]}' or '{places[1]}'; install the package again"
    )
