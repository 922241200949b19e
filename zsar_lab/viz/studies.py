"""What a notebook asks of a study in one call: accounts of clips, conventions, widgets, example videos."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from zsar_lab.data.frames import decoded_clips
from zsar_lab.data.video import write_mp4
from zsar_lab.embed.checkpoint import CENTRE, Views
from zsar_lab.infer.model import load_model
from zsar_lab.infer.search import search
from zsar_lab.methods.transfer import classifier_weights
from zsar_lab.protocols.build import account
from zsar_lab.results.conventions import ConventionTable, class_orders, conventions_of, official_test_lists
from zsar_lab.results.explorer import Explorer
from zsar_lab.results.rescore import Rescorer
from zsar_lab.results.tags import Tags
from zsar_lab.viz.projection import SpaceMap
from zsar_lab.viz.widgets.class_errors import ClassErrors
from zsar_lab.viz.widgets.class_texts import ClassTextInspector
from zsar_lab.viz.widgets.transfer_explorer import TransferExplorer
from zsar_lab.workspace import Workspace

CENTRE_ALONE: Mapping[str, Views] = {"centre alone": CENTRE}


def accounts(workspace: Workspace) -> dict[str, pd.DataFrame]:
    """What part each clip and file plays in each split, see `account`."""
    decoded = decoded_clips(workspace.catalog, workspace.frames)
    return {split: account(workspace.protocol(split), decoded) for split in workspace.study.splits}


def conventions(workspace: Workspace, views: Mapping[str, Views] = CENTRE_ALONE) -> ConventionTable:
    """Transfer under every convention of the literature, see `conventions_of`, on the first protocol.

    `views` are other test-time views than the study's, by name; `SPREAD_25` reads the videos again.
    """
    splits, catalog = next(iter(workspace.study.families.values())), workspace.catalog
    given = (
        [workspace.predictions(split) for split in splits],
        [workspace.embeddings(split) for split in splits],
    )
    orders, official = class_orders(catalog.classes), official_test_lists(catalog.clips)
    others = [{name: workspace.embeddings(split, one) for name, one in views.items()} for split in splits]
    return conventions_of(*given, orders=orders, official=official, views=others)


def transfer_explorer(workspace: Workspace, split: str, space: SpaceMap) -> TransferExplorer:
    """The explorer of transfer's settings, by the study's class text or labels, and classifier weights."""
    texts = {prompt: workspace.class_embeddings(prompt) for prompt in (None, "label")}
    by_prompt = {embedded.class_text.prompt: embedded for embedded in texts.values()}
    weights = {"classifier weights": classifier_weights(workspace.train(split).model())}
    explorer = Explorer(workspace.embeddings(split), workspace.protocol(split), by_prompt, weights)
    return TransferExplorer(workspace.catalog, explorer, space)


def text_search(workspace: Workspace, split: str) -> Callable[[str], pd.DataFrame]:
    """All clips by a text, the nearest first, as `search` by the model of a split, which is opened once."""
    model, n_clips = load_model(workspace, split), len(workspace.catalog.clips)
    return lambda text: search(text, workspace, n_clips, model=model, split=split)


def class_text_inspector(workspace: Workspace) -> ClassTextInspector:
    """The inspector of the study's class texts, which scores an edit on every split."""
    rescorers = {
        split: Rescorer(workspace.embeddings(split), workspace.protocol(split))
        for split in workspace.study.splits
    }
    given = workspace.class_text(), workspace.embed, workspace.encoder, rescorers
    return ClassTextInspector(workspace.catalog, *given)


def class_errors(workspace: Workspace, tags: Tags) -> ClassErrors:
    """The widget of class errors on every split, with the embeddings it was scored on."""
    workspace.train_all()
    predictions = {split: workspace.predictions(split) for split in workspace.study.splits}
    embeddings = {split: workspace.embeddings(split) for split in predictions}
    return ClassErrors(workspace.catalog, predictions, clips=embeddings, tags=tags)


def example_videos(workspace: Workspace, split: str, per_class: int = 4) -> tuple[Path, dict[str, str]]:
    """Videos of a split's unseen classes under names that say nothing, in a temporary folder.

    Beside them long.mp4, a clip of each class one after another, and broken.mp4, which is no video.

    Returns:
        The folder, deleted when the kernel ends, and the class of each clip by its file's name.
    """
    folder = Path(tempfile.mkdtemp(prefix="zsar_lab_example_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    catalog, frames = workspace.catalog, workspace.frames
    usable = catalog.usable[catalog.usable["class"].isin(workspace.protocol(split).unseen)]
    few = usable.groupby("class").head(per_class).sample(frac=1, random_state=0, ignore_index=True)
    names = [f"clip{number:02d}{Path(path).suffix}" for number, path in enumerate(few["path"])]
    for name, path in zip(names, few["path"], strict=True):
        shutil.copy(catalog.root / path, folder / name)
    (folder / "broken.mp4").write_bytes(b"this is no video")
    joined = few.drop_duplicates("class").sort_values("class")["id"].tolist()
    pictures = np.stack([frames.frames[row] for row in frames.rows(joined).tolist()])
    write_mp4(folder / "long.mp4", pictures.reshape(-1, *pictures.shape[2:]), fps=12)
    return folder, dict(zip(names, few["class"], strict=True))
