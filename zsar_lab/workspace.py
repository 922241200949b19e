"""The folder a study lives in: each artefact is made when first asked for, and opened the next time."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from zsar_lab.data.catalog import Catalog, join_catalogs
from zsar_lab.data.frames import FrameStore, check_joinable, check_settings, join_frames, make_frame_store
from zsar_lab.data.prepare import Prepared, make_catalog, open_prepared
from zsar_lab.data.workers import Limits
from zsar_lab.demo import DemoSettings, make_demo_videos
from zsar_lab.embed.checkpoint import VIEWS_OF, ClipEmbeddings, Views, embed_clips
from zsar_lab.files import make_folder, read_json, write_json
from zsar_lab.protocols.leakage import LeakageAudit, Removal, audit, audit_classes
from zsar_lab.protocols.protocol import Protocol
from zsar_lab.protocols.splits import ProtocolData, ProtocolName, protocol_named
from zsar_lab.results.evaluate import check_can_be_scored, evaluate_split
from zsar_lab.results.predictions import Predictions
from zsar_lab.results.summary import Results
from zsar_lab.shown import Shown
from zsar_lab.study import Study, StudyError, difference
from zsar_lab.text.embeddings import ClassEmbeddings, check_differ, embed_class_text
from zsar_lab.text.encoder import TextTooLong
from zsar_lab.text.encoder_files import EncoderFiles, find_encoder
from zsar_lab.text.prompts import PROMPTS, ClassText, TextsFromFile, class_text, kept_text, prompt_named
from zsar_lab.train.checkpoint import Checkpoint, load_checkpoint
from zsar_lab.train.config import TrainConfig, check_frames, config_of
from zsar_lab.train.distributed import rank_zero_first
from zsar_lab.train.loop import train
from zsar_lab.train.processes import on_ranks, train_in_processes
from zsar_lab.train.text_tail import TextTail, class_embeddings_of

History = list[dict[str, Any]]  # a row an epoch
FAMILY_TITLES = {"stratified": "family-stratified", "random": "random classes"}


class Workspace(Shown):
    """A study's artefacts in one folder; every method makes what is missing, with a bar.

    >>> import zsar_lab as zl
    >>> zl.Workspace("runs/demo").study.splits
    ('random-0',)

    Args:
        folder: where everything is saved; made if absent.
        study: what is asked; None for the study in the folder, or the demo.
        workers: processes for decoding and for trainings side by side.

    Raises:
        ValueError: the folder holds another study, or workers is below 1.
        PermissionError: the folder cannot be written to.
    """

    def __init__(
        self, folder: str | Path = "runs/demo", study: Study | None = None, workers: int = 2
    ) -> None:
        if workers < 1:
            raise ValueError(f"workers must be 1 or more, got {workers}")
        self.folder = make_folder(Path(folder)).resolve()
        self.workers = workers
        self.seconds: dict[str, float] = {}
        self._is_begun = False
        self._protocols: dict[str, Protocol] = {}
        self._leaks: dict[str, pd.DataFrame] = {}
        self._class_embeddings: dict[ClassText, ClassEmbeddings] = {}
        path = self.folder / "study.json"
        saved = Study.read(path) if path.is_file() else None
        self.study = study or saved or Study()
        if saved is not None and saved != self.study:
            got = difference(saved.as_json(), self.study.as_json())
            raise StudyError(f"'{self.folder}' holds a study with {got}; choose another folder")

    def _facts(self) -> dict[str, Any]:
        return {"folder": self.folder, "splits": ", ".join(self.study.splits)}

    @staticmethod
    def open(folder: str | Path) -> Workspace:
        """Open a folder with the study it holds; FileNotFoundError when it holds none."""
        if not (Path(folder) / "study.json").is_file():
            raise FileNotFoundError(f"'{folder}' holds no study; make one with zsar-lab demo or Workspace")
        return Workspace(folder)

    @cached_property
    def test_catalog(self) -> Catalog:
        """The catalog tested on (and trained on, within one dataset); demo videos are made first."""
        data, videos = self.study.data, self.folder / "videos"
        if self._prepared is not None:
            return self._prepared.catalog
        if data.is_generated:
            with self._timed("videos"):
                make_demo_videos(videos, DemoSettings(data.clips_per_class, data.seed), self.workers)
        with self._timed("catalog"):
            return make_catalog(data.source(str(videos)), self.folder, Limits(self.workers))

    @cached_property
    def train_catalog(self) -> Catalog | None:
        """The catalog of the other dataset that is trained on; None without one."""
        return None if self._train_data is None else self._train_data.catalog

    @cached_property
    def catalog(self) -> Catalog:
        """The catalog of all clips, trained on and tested on.

        Raises:
            ValueError, FileNotFoundError: as `make_catalog`, or `prepared` or `train_on` is not prepared.
        """
        if self.train_catalog is None:
            return self.test_catalog
        return join_catalogs(self.train_catalog, self.test_catalog)

    def begin(self) -> None:
        """Check that the study can be carried out, and save it; a refused study leaves the folder free."""
        if self._is_begun:
            return
        study = self.study
        config = config_of(study.training.preset, study.training.overrides)
        settings = study.data.frames if self._prepared is None else self._prepared.frames.settings
        check_frames(config, settings)  # this and the encoder before any video is opened
        if self._prepared is None:
            check_settings(self.folder / "frames", settings)
        if self._train_data is not None:
            check_joinable(self._train_data.frames.settings, settings)
        encoder = self.encoder
        if study.text.trained_layers:
            TextTail(encoder, study.text.trained_layers)  # refuses what cannot be trained
        prompt = prompt_named(study.text.prompt)
        if (self.folder / "study.json").is_file():
            self._is_begun = True
            return
        if isinstance(prompt, TextsFromFile):
            prompt.check()
        text = class_text(self.catalog.classes, prompt)
        for catalog in filter(None, (self.test_catalog, self.train_catalog)):  # namesakes of two are removed
            check_differ(self.embed(text), tuple(catalog.classes["name"]))
        for split in study.splits:
            self._make_protocol(split, None)
        if self.train_catalog is not None:
            self._removal.save(self.folder / "leakage.json")
        text.save(self.folder / "class_text.json")
        write_json(self.folder / "study.json", study.as_json())
        self._is_begun = True

    @cached_property
    def frames(self) -> FrameStore:
        """Every usable clip decoded once."""
        self.begin()
        if self._prepared:
            made = self._prepared.frames
        else:
            with self._timed("frames"):
                folder, settings = self.folder / "frames", self.study.data.frames
                made = make_frame_store(self.test_catalog, folder, settings, Limits(self.workers))
        return made if self._train_data is None else join_frames(self._train_data.frames, made)

    @cached_property
    def _prepared(self) -> Prepared | None:
        return open_prepared("prepared", self.study.data.prepared) if self.study.data.prepared else None

    @cached_property
    def _train_data(self) -> Prepared | None:
        return open_prepared("train_on", self.study.data.train_on) if self.study.data.train_on else None

    def protocol(self, split: str) -> Protocol:
        """The protocol of a split, for example "stratified-0"; saved in protocols/."""
        if split not in self.study.splits:
            raise ValueError(f"a split must be one of {', '.join(self.study.splits)}, got {split!r}")
        self.begin()
        if split not in self._protocols:
            protocol = self._make_protocol(split, set(self.frames.ids))
            path = self.folder / "protocols" / f"{split}.json"
            if not path.is_file() or Protocol.load(path) != protocol:
                protocol.save(path)
            self._protocols[split] = protocol
        return self._protocols[split]

    def _make_protocol(self, split: str, decoded: set[str] | None) -> Protocol:
        def clips(catalog: Catalog) -> pd.DataFrame:  # the usable ones, or those that were decoded
            return catalog.usable if decoded is None else catalog.usable[catalog.usable["id"].isin(decoded)]

        test, train = self.test_catalog, self.train_catalog
        data = ProtocolData(clips(test), test.classes, test.name, split_file=self.study.data.splits or "")
        removed = {}
        if train is not None:
            data = replace(data, train_clips=clips(train), train_name=train.name)
            removed = {"removed": self._removal.removed, "removed_rule": self._removal.rule_text}
        return protocol_named(split, data, views=self.study.evaluation.views, **removed)

    def leakage(self, split: str) -> LeakageAudit:
        """Training classes compared with test classes: of both datasets, or of a split within one."""
        if self.train_catalog is not None:
            return self._audit
        return audit_classes(*self._sides(split), self.encoder, folder=self.folder / "class_text")

    def _sides(self, split: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The rows of the seen and of the unseen classes of a split."""
        protocol, classes = self.protocol(split), self.catalog.classes
        return classes[classes["name"].isin(protocol.seen)], classes[classes["name"].isin(protocol.unseen)]

    @cached_property
    def _audit(self) -> LeakageAudit:
        train = self.train_catalog or self.test_catalog
        sides = train.classes, self.test_catalog.classes
        return audit_classes(*sides, self.encoder, folder=self.folder / "class_text")

    @cached_property
    def _removal(self) -> Removal:
        return self._audit.decide(self.study.evaluation.leakage_distance)

    def refuse_leakage(self, split: str) -> pd.DataFrame:
        """Pairs of a seen and an unseen class that are one class by the study's leakage rule.

        Raises:
            ValueError: there are such pairs, and the study is strict.
        """
        if split not in self._leaks:
            protocol, asked = self.protocol(split), self.study.evaluation
            found = audit(*self._sides(split)) if asked.leakage_distance is None else self.leakage(split)
            given = protocol.seen, protocol.unseen, asked.leakage_distance
            self._leaks[split] = found.refuse(*given, strict=asked.strict, split=split)
        return self._leaks[split]

    @cached_property
    def encoder(self) -> EncoderFiles:
        """The text encoder of the study; Raises as `find_encoder`."""
        return find_encoder(self.study.text.encoder)

    def class_text(self, prompt: str | tuple[str, ...] | None = None) -> ClassText:
        """The class text of every class, by the study's own prompt or another one (see `prompt_named`).

        Raises:
            ValueError: the study's own texts changed since it began, or as `class_text`.
        """
        return self._own_text if prompt is None else class_text(self.catalog.classes, prompt_named(prompt))

    @cached_property
    def _own_text(self) -> ClassText:
        self.begin()
        classes, prompt = self.catalog.classes, self.study.text.prompt
        return kept_text(self.folder / "class_text.json", lambda: class_text(classes, prompt_named(prompt)))

    def embed(self, text: ClassText) -> ClassEmbeddings:
        """Class texts through the study's encoder; each text is read once and saved in the folder."""
        return embed_class_text(text, self.encoder, self.folder / "class_text")

    def class_embeddings(self, prompt: str | tuple[str, ...] | None = None) -> ClassEmbeddings:
        """Embedded class texts of every class; prompt as for `class_text`."""
        text = self.class_text(prompt)
        if text not in self._class_embeddings:
            self._class_embeddings[text] = self.embed(text)
        return self._class_embeddings[text]

    def train_config(self, split: str) -> TrainConfig:
        """The configuration of a split's training."""
        texts, asked = self.class_embeddings(), self.study.training
        sizes = len(self.protocol(split).seen), texts.pooled_CF.shape[1], texts.words_CLE.shape[2]
        seed, layers = ProtocolName.of(self._trained_as(split)).number or 0, self.study.text.trained_layers
        decided = {"seed": seed, "epochs": asked.n_epochs, "text_layers": layers}
        return config_of(asked.preset, asked.overrides, *sizes, **decided)

    def run_folder(self, split: str) -> Path:
        """The folder of a split's training; splits that train alike, such as half-0 and half-3, share it."""
        return self.folder / "trainings" / self._trained_as(split)

    def _trained_as(self, split: str) -> str:
        name = ProtocolName.of(split).training
        return next((other for other in self.study.splits if ProtocolName.of(other).training == name), split)

    def train(
        self, split: str, on_epoch: Callable[[History], None] | None = None, processes: int = 1
    ) -> Checkpoint:
        """Train a split, or open its finished checkpoint; refused where classes leak, see `refuse_leakage`.

        Args:
            split: its name.
            on_epoch: called with the history after each epoch.
            processes: 1, this one; above 1, that many ranks by torchrun, a GPU each.
        """
        if processes < 1:
            raise ValueError(f"processes must be 1 or more, got {processes}")
        folder = self.run_folder(split)
        with rank_zero_first():
            self.refuse_leakage(split)
            texts, config = self.class_embeddings(), self.train_config(split)
            given = self.frames, self.protocol(split), texts, config, folder
        if processes > 1 and not self.is_trained(split):
            followed = (lambda histories: on_epoch(histories[split])) if on_epoch else None
            command, epochs = on_ranks(self._command(split), processes), self.study.training.n_epochs
            train_in_processes({split: make_folder(folder)}, lambda _: command, epochs, 1, followed)
        return train(*given, on_epoch=on_epoch, files=self.encoder)

    def train_all(
        self, on_epoch: Callable[[dict[str, History]], None] | None = None
    ) -> dict[str, Checkpoint]:
        """Train every split that is not trained yet, `workers` at a time, each in a process of its own.

        Args:
            on_epoch: called with the history of each split after every epoch of any.

        Returns:
            The complete checkpoint of each split; splits that are trained alike have the same one.
        """
        self.frames, self.class_embeddings()
        for split in self.study.splits:
            self.refuse_leakage(split)
        once = dict.fromkeys(self._trained_as(split) for split in self.study.splits)
        waiting = {split: make_folder(self.run_folder(split)) for split in once if not self.is_trained(split)}
        with self._timed("training"):
            epochs = self.study.training.n_epochs
            train_in_processes(waiting, self._command, epochs, self.workers, on_epoch)
        checkpoints = {split: load_checkpoint(self.run_folder(split)) for split in self.study.splits}
        if on_epoch:
            on_epoch({split: checkpoints[split].history for split in once})
        return checkpoints

    def _command(self, split: str) -> list[str]:
        return [sys.executable, "-m", "zsar_lab", "train", split, "--workspace", str(self.folder)]

    def is_trained(self, split: str) -> bool:
        """Whether the split's training is finished."""
        try:
            return load_checkpoint(self.run_folder(split)).complete
        except FileNotFoundError:
            return False

    def embeddings(self, split: str, views: Views | None = None) -> ClipEmbeddings:
        """Every clip through the split's checkpoint.

        Args:
            split: its name.
            views: test-time views a clip; None for the study's. 25 of them are read from the videos.
        """
        checkpoint, asked = self.train(split), views or VIEWS_OF[self.study.evaluation.views]
        with self._timed("embedding"):
            folder = self.run_folder(split)
            return embed_clips(checkpoint, self.frames, folder, views=asked, catalog=self.catalog)

    def predictions(self, split: str) -> Predictions:
        """Every method on the split's clips, scored once and then read from predictions/."""
        embeddings, checkpoint, trained = self.embeddings(split), self.train(split), None
        if self.study.text.trained_layers:
            trained = class_embeddings_of(checkpoint, self.class_text(), self.encoder)
        texts = self.class_embeddings(), tuple(self._other_texts.values()), trained
        with self._timed("evaluation"):
            given = checkpoint, embeddings, self.protocol(split), *texts
            return evaluate_split(*given, folder=self.folder / "predictions", split=split)

    def report(self) -> Results:
        """The scores of all splits, by family; written to report.json, .csv, .tex and .html too.

        Raises:
            ValueError: a protocol cannot be scored (before anything is trained), or as `train_all`.
        """
        for split in self.study.splits:
            check_can_be_scored(self.protocol(split), self.catalog.clips)
        self.train_all()
        families, titles = {}, {}
        for name, splits in self.study.families.items():
            families[name] = [self.predictions(split) for split in splits]
            number = f"{len(splits)} split{'s' if len(splits) > 1 else ''}"
            titles[name] = f"{FAMILY_TITLES.get(name, name)}, {number}, {self.catalog.name}"
        data = {"catalog": self.catalog.fingerprint, "frames": self.frames.fingerprint}
        results = Results(families, data, titles, self.folder / "predictions")
        path = self.folder / "report.json"
        earlier = read_json(path)["seconds"] if path.is_file() else {}  # a step that is opened takes none
        self.seconds |= {step: max(self.seconds.get(step, 0.0), spent) for step, spent in earlier.items()}
        results.save(self.folder, seconds=self.seconds)
        return results

    @cached_property
    def _other_texts(self) -> dict[str, ClassEmbeddings]:
        """The prompts compared with the study's: those its classes and its encoder allow."""
        texts, too_long = {}, []
        own = self.study.text.prompt, "parts_or_description"
        for prompt in (name for name in PROMPTS if name not in own):
            try:
                texts[prompt] = self.embed(self.class_text(prompt))
            except TextTooLong:
                too_long.append(prompt)
            except ValueError:  # no description, no structure
                continue
        if too_long:
            said = f"prompts longer than the encoder reads are not compared: {', '.join(too_long)}"
            warnings.warn(said, stacklevel=2)
        return texts

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[step] = self.seconds.get(step, 0.0) + round(time.perf_counter() - started, 2)
