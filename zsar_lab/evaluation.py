"""Score a model on a dataset under a protocol, in one call: frames, embeddings and predictions are saved."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zsar_lab.clips_to_score import clips_of, files_of
from zsar_lab.data.catalog import Catalog
from zsar_lab.data.frames import FrameStore
from zsar_lab.data.prepare import Source, make_catalog
from zsar_lab.embed.embeddings import ClipEmbeddings
from zsar_lab.embed.outside import GIVEN, Embeddings, EmbeddingsError
from zsar_lab.evaluated import Evaluated, how_asked
from zsar_lab.files import fingerprint
from zsar_lab.infer.model import PublicModel, VideoModel, load_model
from zsar_lab.methods.clips import ClassPoints
from zsar_lab.names import match_names
from zsar_lab.protocols.leakage import contamination
from zsar_lab.protocols.protocol import Protocol, ProtocolError
from zsar_lab.protocols.splits import PROTOCOLS, ProtocolData, ProtocolName, protocol_named
from zsar_lab.results.evaluate import evaluate_points
from zsar_lab.results.predictions import Predictions
from zsar_lab.results.summary import Results
from zsar_lab.study import expand
from zsar_lab.text.class_lists import TEXT_PARTS, read_classes
from zsar_lab.text.embeddings import ClassEmbeddings, check_differ, embed_class_text
from zsar_lab.text.prompts import texts_of
from zsar_lab.text.relatedness import unit
from zsar_lab.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

TEXT_COLUMNS = ("name", "label", "description", "structure", *TEXT_PARTS)


def evaluate(
    model: str | Path | Workspace | VideoModel | Embeddings,
    dataset: str | Path | None = None,
    protocol: str | Sequence[str] = (),
    *,
    annotations: str | Path | None = None,
    videos: str | Path | None = None,
    methods: Sequence[str] | None = None,
    prompts: Sequence[str] | None = None,
    allow_leakage: bool = False,
    revision: str | None = None,
    folder: str | Path = "runs/evaluated",
) -> Evaluated:
    """Score a model on a dataset under a protocol; a second call only reads what the first one saved.

    Examples:
        >>> import zsar_lab as zl
        >>> results = zl.evaluate("runs/demo")  # a study's own splits
        >>> results.compare("transfer", "direct").difference <= 1
        True

    A protocol that crosses datasets (half-N, all, official-N, mveb) scores the model as it is: it was trained
    elsewhere. One within a dataset (random-N, stratified-N, intra-N, truze) scores ridge and transfer from
    embeddings of the dataset's seen classes too, their settings chosen on its validation classes.

    What a public model was trained on is said beside its scores, with the number of unseen classes that have
    the name of a class of a labelled training set; so of `Embeddings` whose provenance has `training_sets`.

    Args:
        model: what `load_model` takes, or gives; or `Embeddings`, which need no videos.
        dataset: a folder of class folders; one that `prepare` made; a workspace, for its clips; the name of a
            public dataset, with `videos`. None: the splits of the study that `model` is.
        protocol: names of protocols, such as "half-0..9"; those of the first family are the main ones.
        annotations: the folder of a public dataset's official annotation files.
        videos: the folder of a public dataset's videos.
        methods: names of METHODS; None for all that need no training.
        prompts: of the class texts, the main one first; None for one that reads all that the classes say.
        allow_leakage: score also where the model was trained on a class that counts as unseen.
        revision: of a model in the hub, as of `load_model`.
        folder: where frames and embeddings are saved, in a folder each dataset.

    Raises:
        ValueError: no protocol, one that the data do not allow (ProtocolError), the model was trained on an
            unseen class, or as `load_model`, `prepare` and `evaluate_points`.
    """
    if dataset is None:
        return _own_splits(model, protocol or methods or prompts or videos or annotations or revision)
    names = [one for name in ([protocol] if isinstance(protocol, str) else protocol) for one in expand(name)]
    if not names:
        raise ValueError("protocol must name one or more, such as half-0..9 or random-0, got none")
    if revision is not None and not isinstance(model, (str, Path)):
        raise ValueError(f"only the name of a model in the hub has a revision, got {type(model).__name__}")
    alone = [name for name in names if PROTOCOLS[ProtocolName.of(name).kind].alone]
    if alone and (len(names) > 1 or prompts):
        raise ValueError(f"{alone[0]!r} is asked alone and by its own prompt, got {names} and {prompts}")
    if isinstance(model, Embeddings):
        if prompts:
            raise ValueError(f"the class texts are embedded already, got the prompts {', '.join(prompts)}")
        catalog, _, place = clips_of(dataset, videos, annotations, Path(folder), None)
        scored = _of_embeddings(model, names, catalog, place, allow_leakage)
    elif alone:
        given = _asked(load_model(model, revision=revision), alone[0], dataset, videos, annotations, folder)
        model, scored = given[0], _of_embeddings(given[0], names, *given[1:])
    else:
        model = load_model(model, revision=revision)
        made = clips_of(dataset, videos, annotations, Path(folder), model.frames)
        scored = _of_model(model, *made, prompts, methods, allow_leakage)
    families: dict[str, list[Predictions]] = {}
    unseen: set[str] = set()
    asked, catalog = "", scored.catalog
    for name, split in _protocols(names, scored.usable, catalog, scored.trained_on).items():
        texts, ready = scored.points(name, split)
        key = f"-{fingerprint(name, scored.key, list(methods or ()))[:8]}" if scored.cache else ""
        found = evaluate_points(scored.clips, split, ready, texts, methods, scored.cache, name + key)
        unseen |= {*split.unseen}
        families.setdefault(ProtocolName.of(name).family, []).append(found)
        asked = how_asked(split, model) if split.asked and isinstance(model, Embeddings) else asked
    remark, leakage = "", None
    if leaked := _trained_among(model, unseen):
        remark = f"NOT zero-shot: the model was trained on {len(leaked)} of the unseen classes"
        leakage = {catalog.name: sorted(leaked)}
    elif model.training_sets is not None:
        table = catalog.classes[catalog.classes["name"].isin(unseen)]
        remark, leakage = contamination(table, model.training_sets)
    told = f"{catalog.name}, by {scored.told}" + f"; {remark}" * bool(remark)
    titles = {name: f"{name}, {len(of)} split{'s' * (len(of) > 1)}, {told}" for name, of in families.items()}
    results = Results(families, scored.about, titles, scored.cache)
    evaluated = Evaluated.of(results, catalog, lambda _: scored.clips, scored.maps, remark, leakage)
    evaluated.remark = ". ".join(filter(None, (asked, remark)))
    return evaluated


def _own_splits(model: Any, asked: Any) -> Evaluated:
    """The splits of a study, by its own protocols and methods."""
    if isinstance(model, Embeddings):
        raise ValueError("embeddings are scored on a dataset, got None")
    if asked:
        raise ValueError("a study is scored by its own protocols and methods; name a dataset for others")
    workspace = model if isinstance(model, Workspace) else Workspace.open(str(model))
    maps = workspace.folder / "predictions"
    return Evaluated.of(workspace.report(), workspace.catalog, workspace.embeddings, maps)


@dataclass(frozen=True)
class _ToScore:
    """Embedded clips of a dataset, and what is said of them."""

    catalog: Catalog
    usable: pd.DataFrame  # the clips that take part
    clips: ClipEmbeddings
    points: Callable[[str, Protocol], tuple[list[ClassEmbeddings], list[ClassPoints]]]  # texts, ready points
    told: str  # by whom, in titles
    trained_on: str  # in words
    about: dict[str, str]  # fingerprints
    maps: Path
    cache: Path | None = None  # of predictions
    key: tuple[str, ...] = ()  # what they depend on, beside the methods


def _of_model(
    model: VideoModel,
    catalog: Catalog,
    store: FrameStore,
    place: Path,
    prompts: Sequence[str] | None,
    methods: Sequence[str] | None,
    allow_leakage: bool,
) -> _ToScore:
    """Clips and class texts by a model."""
    clips, table = model.embed_store(store, place / "embeddings"), _table(catalog)
    prompts = list(prompts or [model.usual_prompt(table)])
    texts = [embed_class_text(texts_of(table, one), model.encoder, place / "class_text") for one in prompts]
    check_differ(texts[0])

    def points(name: str, made: Protocol) -> tuple[list[ClassEmbeddings], list[ClassPoints]]:
        _refuse_trained(model, made, allow_leakage)
        taking_part = table[table["name"].isin({*made.seen, *made.validation, *made.unseen})]
        return texts, _ready_points(model, taking_part, made, prompts, methods)

    usable = catalog.usable[catalog.usable["id"].isin(set(store.ids))]
    about = {"catalog": catalog.fingerprint, "frames": store.fingerprint, "model": model.fingerprint}
    told, key = (model.name, model.about), (model.fingerprint, *prompts)
    return _ToScore(catalog, usable, clips, points, *told, about, place / "maps", place / "predictions", key)


def _trained_among(model: VideoModel | Embeddings, unseen: Iterable[str]) -> dict[str, str]:
    """The unseen classes that the model was trained on, and the names it knows them by."""
    trained = model.trained_classes if isinstance(model, Embeddings) else model.seen["name"]
    return match_names(unseen, trained).class_of


def _refuse_trained(model: VideoModel | Embeddings, protocol: Protocol, allow_leakage: bool) -> None:
    found = _trained_among(model, protocol.unseen)
    if found and not allow_leakage:
        pairs = ", ".join(f"{name} ({seen})" for name, seen in list(found.items())[:5])
        raise ProtocolError(
            f"{len(found)} unseen classes of {protocol.name!r} were trained on: {pairs}; allow_leakage"
            " (--allow-leakage) scores them nevertheless, and says so"
        )


def embed_dataset(
    model: str | Path | Workspace | VideoModel,
    dataset: str | Path,
    *,
    annotations: str | Path | None = None,
    videos: str | Path | None = None,
    method: str | None = None,
    prompt: str | None = None,
    provenance: Mapping[str, Any] | None = None,
    folder: str | Path = "runs/evaluated",
) -> Embeddings:
    """The clips and class texts of a dataset by a model, to be saved, searched, or scored elsewhere.

    Examples:
        >>> import zsar_lab as zl
        >>> made = zl.embed_dataset("runs/demo", "runs/demo")
        >>> zl.Embeddings.read(made.save("made.parquet")).fingerprint == made.fingerprint
        True

    `evaluate` scores them as it scores the model under the same prompt.

    Args:
        model: what `load_model` takes, or gives.
        dataset: this, annotations, videos and folder as of `evaluate`.
        annotations: see dataset.
        videos: see dataset.
        method: whose points the class texts are, "direct" or "transfer"; None for the model's usual one.
        prompt: of the class texts; None for one that reads all that the classes say.
        provenance: more than model, revision, training_sets, method, prompt, temperature, dataset and
            text_encoder, such as the licence.
        folder: see dataset.

    Raises:
        ValueError: as `evaluate`, or the method does not read the prompt.
    """
    model = load_model(model)
    catalog, store, place = clips_of(dataset, videos, annotations, Path(folder), model.frames)
    clips, table = model.embed_store(store, place / "embeddings"), _table(catalog)
    prompt = prompt or model.usual_prompt(table)
    texts = embed_class_text(texts_of(table, prompt), model.encoder, place / "class_text")
    check_differ(texts)
    made, sets = model.classifier(table, method, prompt, allow_bias=True), model.training_sets
    about: dict[str, Any] = {"model": model.name, "revision": model.fingerprint, "method": made.method}
    about["training_sets"] = [model.about.removeprefix("trained on ")] if sets is None else list(sets)
    about["trained_classes"] = model.seen["name"].tolist()
    about |= {} if made.temperature is None else {"temperature": str(made.temperature)}
    about |= {"prompt": prompt, "dataset": catalog.name, "text_encoder": texts.encoder}
    points, about = unit(made.weights_CD), about | dict(provenance or {})
    return Embeddings(
        clips.ids, clips.embedding_ND, made.names, points, about, language_vectors=texts.pooled_CF
    )


def _table(catalog: Catalog) -> pd.DataFrame:
    """The classes of a catalog as `read_classes` gives them."""
    return read_classes(catalog.classes[[name for name in TEXT_COLUMNS if name in catalog.classes]])


def _asked(
    model: VideoModel,
    name: str,
    dataset: str | Path,
    videos: str | Path | None,
    annotations: str | Path | None,
    folder: str | Path,
) -> tuple[Embeddings, Catalog, Path]:
    """Clips and class texts by a public model, with the prompt and the frames that a protocol names."""
    if not isinstance(model, PublicModel) or videos is None or annotations is None:
        got = f"got {model.name!r}, {videos} and {annotations}"
        raise ValueError(f"{name!r} needs Embeddings, or a public model with videos and annotations, {got}")
    source = Source(str(dataset), str(videos), str(annotations))
    place = Path(folder) / f"{name}-{fingerprint('clips asked', source.inputs, files_of(Path(videos)))[:8]}"
    catalog = make_catalog(source, place)
    made = _protocols([name], catalog.usable, catalog, model.about)[name]
    clips = catalog.usable[catalog.usable["id"].isin(set(made.test_clips))]
    table = read_classes(catalog.classes[catalog.classes["name"].isin(made.unseen)][["name"]])
    given = model.embed_asked(clips, table, made, catalog.root, place / "whole")
    return given, replace(catalog, clips=clips), place


def _of_embeddings(
    model: Embeddings, names: Sequence[str], catalog: Catalog, folder: Path, allow_leakage: bool = False
) -> _ToScore:
    """Embeddings from elsewhere; clips without one are said, and take no part."""
    listed = catalog.clips[catalog.clips["class"].isin(catalog.classes["name"])]
    told, clips = model.provenance.get("model", "embeddings from elsewhere"), model.of_clips(listed)
    if PROTOCOLS[ProtocolName.of(names[0]).kind].alone:  # others than its clips need no embedding
        made = _protocols(names, listed.drop(columns="status", errors="ignore"), catalog, told)[names[0]]
        listed = listed[listed["id"].isin(set(made.test_clips))]
    is_there = listed["id"].isin(set(clips.ids))
    usable, lacking = listed[is_there].drop(columns="status", errors="ignore"), listed["id"][~is_there]
    if len(lacking):
        such = f"{len(lacking)} of {len(listed)} clips have no embedding, such as {lacking.iloc[0]!r}"
        warnings.warn(f"{such}; they take no part", stacklevel=3)
    method = model.provenance.get("method", "direct")
    if method not in ("direct", "transfer"):
        raise EmbeddingsError(f"the method in the provenance must be direct or transfer, got {method!r}")
    temperature = model.provenance.get("temperature")

    def points(name: str, made: Protocol) -> tuple[list[ClassEmbeddings], list[ClassPoints]]:
        _refuse_trained(model, made, allow_leakage)
        texts = model.of_classes((*made.seen, *made.validation, *made.unseen))
        points_CD, warmth = model.points(texts.names), float(temperature) if temperature else None
        if points_CD is None and not made.seen:
            needed = "class texts in the clips' space (text_embedding)"
            raise EmbeddingsError(f"{name!r} needs {needed}, got none")
        if points_CD is None or (method != "direct" and made.seen):  # transfer is of other clips
            return [texts], []
        return [texts], [ClassPoints(method, GIVEN, texts.names, points_CD, warmth)]

    about = {"embeddings": model.fingerprint}
    return _ToScore(catalog, usable, clips, points, told, told, about, folder / "maps")


def _protocols(
    names: Sequence[str], usable: pd.DataFrame, catalog: Catalog, trained_on: str
) -> dict[str, Protocol]:
    """The protocols of these names; those that cross datasets are of a training elsewhere."""
    found, as_objects = {}, dict.fromkeys(("id", "class"), object)
    usable = usable.astype(as_objects)  # arrow's strings take five times as long to look up
    for name in names:
        elsewhere = trained_on if ProtocolName.of(name).is_cross_dataset else ""
        data = ProtocolData(usable, catalog.classes, catalog.name, train_name=elsewhere)
        found[name] = protocol_named(name, data)
    return found


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
    for prompt, method in product(prompts, [name for name in own if methods is None or name in methods]):
        try:
            made = model.classifier(table, method, prompt, allow_bias=True)
        except ValueError as error:
            refused = error
        else:
            found.append(ClassPoints(method, prompt, made.names, made.weights_CD, made.temperature))
    if refused is not None and not found and not protocol.seen:
        raise refused
    if refused is not None:
        warnings.warn(f"a method is not scored: {refused}", stacklevel=4)
    return found
