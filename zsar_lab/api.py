"""The few functions a person wants at a prompt, as `zl.classify` and so on after `import zsar_lab as zl`.

The examples are run by the tests, in a folder that holds a small trained study in `runs/demo` and a video
`walk.mp4`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from zsar_lab.data.datasets import list_datasets as list_datasets
from zsar_lab.data.sampling import WindowSettings
from zsar_lab.data.workers import Limits
from zsar_lab.embed.outside import Embeddings as Embeddings
from zsar_lab.evaluation import embed_dataset as embed_dataset
from zsar_lab.evaluation import evaluate as evaluate
from zsar_lab.infer.export import export_split
from zsar_lab.infer.model import VideoModel, load_model
from zsar_lab.infer.predictions import Paths
from zsar_lab.infer.search import search as search
from zsar_lab.infer.shared import SharedModel
from zsar_lab.methods.table import METHODS
from zsar_lab.models.public import ANY, MODELS, checkpoints
from zsar_lab.protocols.splits import list_protocols as list_protocols
from zsar_lab.study import Study as Study
from zsar_lab.text.answers import read_answers as read_answers
from zsar_lab.text.class_lists import Classes, read_classes
from zsar_lab.text.written import ask_for_texts as ask_for_texts
from zsar_lab.text.written import read_texts as read_texts
from zsar_lab.workspace import Workspace as Workspace


def classify(
    paths: Paths,
    classes: Classes,
    model: str | Path | Workspace | VideoModel | None = None,
    *,
    method: str | None = None,
    prompt: str | None = None,
    min_precision: float = 0.8,
    allow_bias: bool = False,
    coverage: float | None = None,
    windows: WindowSettings = WindowSettings(),
    limits: Limits = Limits(),
) -> pd.DataFrame:
    """Predict the actions in videos by classes of your own; none of them need have been trained on.

    Examples:
        >>> import zsar_lab as zl
        >>> table = zl.classify("walk.mp4", ["walking", "jumping", "sitting down"], "runs/demo")
        >>> list(table.columns)[:7]
        ['path', 'start_s', 'end_s', 'prediction', 'confidence', 'unsure', 'why']
        >>> list(table.columns)[7:]
        ['score', 'trained', 'best', 'label', 'remark']
        >>> table["prediction"][0] in ("walking", "jumping", "sitting down")
        True

    A video of up to ten seconds is one row; a longer one is cut into overlapping windows of the length that
    the model looks at. Names that the model was trained on would win too often beside new ones: gamma is
    taken off their scores (calibrated stacking), chosen for each list on clips and classes it was not
    trained on.

    Args:
        paths: video files, folders of them, a csv file with the columns path and label, or a txt file with
            "file id" lines.
        classes: names; or a mapping from names to descriptions, a table, or a file of one, see
            `read_classes`.
        model: what `load_model` takes, or gives; None for the demo's.
        method: "transfer" or "direct" ("direct" alone for a public model); None for the model's usual one.
        prompt: of the class texts; None for one that reads all that the classes say.
        min_precision: the share of predictions called sure that must be right, on held-out clips.
        allow_bias: leave the scores of trained names as they are.
        coverage: such as 0.9: a column `set` of all names that may be right, see `prediction_sets`.
        windows: how long videos are cut.
        limits: processes that decode, and the time and memory that each may take for a file.

    Returns:
        A row a window, see `zsar_lab.infer.predictions.predict`; what could not be read has a row that says
        why.

    Raises:
        FileNotFoundError: no such model, file of classes, or video at all.
        ValueError: fewer than two classes, names that occur twice, texts that the model cannot read, or a
            coverage that it has too few validation classes for.
    """
    asked: dict[str, Any] = {"method": method, "prompt": prompt, "min_precision": min_precision}
    asked |= {"allow_bias": allow_bias, "coverage": coverage, "windows": windows, "limits": limits}
    table = read_classes(classes)  # before the model is opened
    return load_model(model).predict(paths, table, **asked)


def list_methods() -> pd.DataFrame:
    """METHODS: what clips are scored by; a method of "texts" alone takes any prompt.

    Examples:
        >>> import zsar_lab as zl
        >>> zl.list_methods().loc["transfer", "needs"]
        'texts'
    """
    rows = [(method.label, method.needs, method.generalised) for method in METHODS.values()]
    return pd.DataFrame(rows, index=list(METHODS), columns=["label", "needs", "generalised"])


def list_models() -> pd.DataFrame:
    """The public models that `load_model` takes: MODELS, their kinds, then `checkpoints`, published ones.

    Examples:
        >>> import zsar_lab as zl
        >>> models = zl.list_models()
        >>> models.loc["xclip", "label"], models.loc["xclip", "frames"]
        ('X-CLIP', 'its own')
        >>> models.loc["microsoft/xclip-base-patch32", ["kind", "frames", "training_sets"]].tolist()
        ['xclip', '8', 'WIT 400M image-text pairs; Kinetics-400']

    Returns:
        A row a kind, by the model_type of config.json, and a row a checkpoint, by its name in the hub:
        label, kind, revision (the commit that `load_model` opens; "" for main), licence, training_sets,
        frames (that it reads: a number, "its own", or "any"), source. A kind has label, kind and frames.
    """
    kinds = [(name, one.label, name, "its own" if one.own_frames else ANY) for name, one in MODELS.items()]
    table = pd.DataFrame(kinds, columns=["name", "label", "kind", "frames"]).set_index("name")
    listed = checkpoints().assign(label=checkpoints()["kind"].map(table["label"]))
    return pd.concat([table, listed])[["label", *checkpoints().columns]].fillna("")


class Figures(dict[str, Any]):
    """Plotly figures by name, of which a prompt shows the names."""

    def __repr__(self) -> str:
        return f"Figures({', '.join(self)})"


def figures(workspace: Workspace | str | Path, split: str | None = None) -> Figures:
    """The plotly figures of a study's report and of one split, by name.

    Examples:
        >>> import zsar_lab as zl
        >>> sorted(zl.figures(zl.Workspace("runs/demo")))
        ['confusion', 'hubness', 'methods', 'per class', 'transfer weights']

    Save one for a paper with `zsar_lab.viz.figures.save_figure`.
    """
    from zsar_lab.viz.figures import classes, scores

    workspace = _opened(workspace)
    split = workspace.study.splits[0] if split is None else split
    results, predictions, catalog = workspace.report(), workspace.predictions(split), workspace.catalog
    drawn = {
        "methods": scores.method_scores(results),
        "per class": classes.per_class(predictions, "transfer", catalog),
        "confusion": classes.confusion(predictions, "transfer", catalog),
        "hubness": scores.hubness_bars(predictions, catalog),
        "transfer weights": classes.transfer_weights(predictions, catalog),
    }
    return Figures(drawn)


def export(
    workspace: Workspace | str | Path, split: str | None = None, folder: str | Path | None = None
) -> SharedModel:
    """Write the trained model of a split as a folder that `load_model` opens elsewhere.

    Examples:
        >>> import zsar_lab as zl
        >>> shared = zl.export(zl.Workspace("runs/demo"), folder="shared/mine")
        >>> zl.load_model("shared/mine").fingerprint == shared.fingerprint
        True

    Args and Raises: as `export_split`.
    """
    return export_split(_opened(workspace), split, folder)


def _opened(workspace: Workspace | str | Path) -> Workspace:
    return workspace if isinstance(workspace, Workspace) else Workspace.open(workspace)
