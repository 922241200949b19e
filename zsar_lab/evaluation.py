"""Score a model on a dataset under a protocol, in one call: frames, embeddings and predictions are saved."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zsar_lab.data.catalog import Catalog
from zsar_lab.data.datasets import DATASETS, FOLDER
from zsar_lab.data.frames import FrameStore
from zsar_lab.data.prepare import Source, open_prepared, prepare
from zsar_lab.files import fingerprint
from zsar_lab.infer.model import VideoModel, load_model
from zsar_lab.methods.clips import ClassPoints
from zsar_lab.names import match_names
from zsar_lab.protocols.protocol import Protocol, ProtocolError
from zsar_lab.protocols.splits import ProtocolData, ProtocolName, protocol_named
from zsar_lab.results.evaluate import evaluate_points
from zsar_lab.results.summary import Results
from zsar_lab.study import expand
from zsar_lab.text.class_lists import read_classes
from zsar_lab.text.embeddings import check_differ, embed_class_text
from zsar_lab.text.prompts import texts_of
from zsar_lab.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

TEXT_COLUMNS = ("name", "label", "description", "structure")
PLOTS = ("methods", "differences", "classes", "confusion", "hubness")


class Evaluated(Results):
    """The scores of a model: `table`, `compare`, `against`, `sentence`, `save` of Results, and figures."""

    catalog: Catalog

    @staticmethod
    def of(results: Results, catalog: Catalog) -> Evaluated:
        """The same scores, with the catalog that their clips are in."""
        found = Evaluated.__new__(Evaluated)
        vars(found).update(vars(results))
        found.catalog = catalog
        return found

    def plot(self, kind: str = "methods", method: str | None = None, split: int = 0) -> Any:
        """A plotly figure, one of PLOTS; of classes, confusion and hubness that of one split, by number."""
        from zsar_lab.viz.figures import classes, scores

        method, predictions = method or self.baseline(), self.splits()[split]
        if kind not in PLOTS:
            raise ValueError(f"kind must be one of {', '.join(PLOTS)}, got {kind!r}")
        if kind == "methods":
            return scores.method_scores(self)
        if kind == "differences":
            return scores.differences(self)
        if kind == "hubness":
            return scores.hubness_bars(predictions, self.catalog)
        make = classes.per_class if kind == "classes" else classes.confusion
        return make(predictions, method, self.catalog)


def evaluate(
    model: str | Path | Workspace | VideoModel,
    dataset: str | Path | None = None,
    protocol: str | Sequence[str] = (),
    *,
    annotations: str | Path | None = None,
    videos: str | Path | None = None,
    methods: Sequence[str] | None = None,
    prompts: Sequence[str] | None = None,
    allow_leakage: bool = False,
    folder: str | Path = "runs/evaluated",
) -> Evaluated:
    """Score a model on a dataset under a protocol; a second call only reads what the first one saved.

    Examples:
        >>> import zsar_lab as zl
        >>> results = zl.evaluate("runs/demo")  # a study's own splits
        >>> results.compare("transfer", "direct").difference <= 1
        True

    A protocol that crosses datasets (half-N, all, official-N) scores the model as it is: it was trained
    elsewhere. One within a dataset (random-N, stratified-N, intra-N, truze) scores ridge and transfer from
    embeddings of the dataset's seen classes too, their settings chosen on its validation classes.

    Args:
        model: what `load_model` takes, or gives.
        dataset: a folder of class folders; one that `prepare` made; a workspace, for its clips; the name of a
            public dataset, with `videos`. None: the splits of the study that `model` is.
        protocol: names of protocols, such as "half-0..9"; those of the first family are the main ones.
        annotations: the folder of a public dataset's official annotation files.
        videos: the folder of a public dataset's videos.
        methods: names of METHODS; None for all that need no training.
        prompts: of the class texts, the main one first; None for one that reads all that the classes say.
        allow_leakage: score also where the model was trained on a class that counts as unseen.
        folder: where frames and embeddings are saved, in a folder each dataset.

    Raises:
        ValueError: no protocol, one that the data do not allow (ProtocolError), the model was trained on an
            unseen class, or as `load_model`, `prepare` and `evaluate_points`.
    """
    if dataset is None:
        workspace = model if isinstance(model, Workspace) else Workspace.open(str(model))
        if protocol or methods or prompts or videos or annotations:
            raise ValueError("a study is scored by its own protocols and methods; name a dataset for others")
        return Evaluated.of(workspace.report(), workspace.catalog)
    names = [
        one for given in ([protocol] if isinstance(protocol, str) else protocol) for one in expand(given)
    ]
    if not names:
        raise ValueError("protocol must name one or more, such as half-0..9 or random-0, got none")
    opened = load_model(model)
    catalog, store, place = _clips_of(dataset, videos, annotations, opened, Path(folder))
    clips = opened.embed_store(store, place / "embeddings")
    table = read_classes(catalog.classes[[name for name in TEXT_COLUMNS if name in catalog.classes]])
    prompts = list(prompts or [opened.usual_prompt(table)])
    texts = [embed_class_text(texts_of(table, one), opened.encoder, place / "class_text") for one in prompts]
    check_differ(texts[0])
    usable = catalog.usable[catalog.usable["id"].isin(set(store.ids))]
    families: dict[str, list[Any]] = {}
    for name in names:
        asked = ProtocolName.of(name)
        elsewhere = opened.about if asked.is_cross_dataset else ""
        data = ProtocolData(usable, catalog.classes, catalog.name, train_name=elsewhere)
        made = protocol_named(name, data)
        _refuse_trained(opened, made, allow_leakage)
        taking_part = table[table["name"].isin({*made.seen, *made.validation, *made.unseen})]
        ready = _ready_points(opened, taking_part, made, prompts, methods)
        given = clips, made, ready, texts, methods, place / "predictions"
        key = fingerprint(name, opened.fingerprint, prompts, list(methods or ()))
        families.setdefault(asked.family, []).append(evaluate_points(*given, split=f"{name}-{key[:8]}"))
    titles = {
        name: f"{name}, {len(of)} splits, {catalog.name}, by {opened.name}" for name, of in families.items()
    }
    about = {"catalog": catalog.fingerprint, "frames": store.fingerprint, "model": opened.fingerprint}
    return Evaluated.of(Results(families, about, titles, place / "predictions"), catalog)


def _clips_of(
    dataset: str | Path,
    videos: str | Path | None,
    annotations: str | Path | None,
    model: VideoModel,
    folder: Path,
) -> tuple[Catalog, FrameStore, Path]:
    """The clips of a dataset, their frames, and the folder for what is made of them."""
    path = Path(dataset)
    if str(dataset) in DATASETS and str(dataset) != FOLDER:
        if videos is None or annotations is None:
            raise ValueError(
                f"{dataset} needs its folders: videos and annotations, got {videos}, {annotations}"
            )
        source = Source(str(dataset), str(videos), str(annotations))
    elif videos is not None or annotations is not None:
        known = ", ".join(name for name in DATASETS if name != FOLDER)
        raise ValueError(f"videos and annotations are of {known}, got the dataset {str(dataset)!r}")
    elif (path / "study.json").is_file():
        workspace = Workspace.open(path)
        store = workspace.frames
        return workspace.test_catalog, store, folder / f"{path.resolve().name}-{store.fingerprint[:8]}"
    elif (path / "catalog" / "catalog.json").is_file():
        made = open_prepared("dataset", path)
        return made.catalog, made.frames, folder / f"{path.resolve().name}-{made.frames.fingerprint[:8]}"
    else:
        source = Source(FOLDER, str(path))
    key = fingerprint("clips to score", source.inputs, vars(model.frames))
    place = folder / f"{path.resolve().name}-{key[:8]}"
    made = prepare(source, place, model.frames)
    return made.catalog, made.frames, place


def _refuse_trained(model: VideoModel, protocol: Protocol, allow: bool) -> None:
    """Refuse to score a class as unseen that the model was trained on."""
    found = match_names(protocol.unseen, model.seen["name"]).class_of
    if found and not allow:
        pairs = ", ".join(f"{name} ({seen})" for name, seen in list(found.items())[:5])
        raise ProtocolError(
            f"{len(found)} unseen classes of {protocol.name!r} were trained on: {pairs}; allow_leakage"
            " (--allow-leakage) scores them nevertheless"
        )


def _ready_points(
    model: VideoModel,
    table: pd.DataFrame,
    protocol: Protocol,
    prompts: Sequence[str],
    methods: Sequence[str] | None,
) -> list[ClassPoints]:
    """The model's own points of classes; a method that does not read a prompt is left out.

    Where the dataset has seen classes, transfer composes their prototypes, not those of the model's training.
    """
    own = [name for name in model.methods if name == "direct" or not protocol.seen]
    found, refused = [], None
    for prompt in prompts:
        for method in own:
            if methods is not None and method not in methods:
                continue
            try:
                made = model.classifier(table, method, prompt, allow_bias=True)
            except ValueError as error:
                refused = error
                warnings.warn(f"{method} with {prompt} is not scored: {error}", stacklevel=3)
                continue
            given = method, prompt, made.names, made.weights_CD, made.temperature
            found.append(ClassPoints(*given))
    if refused is not None and not found and not protocol.seen:
        raise refused
    return found
