"""The folder a study lives in: each artefact is made when first asked for, kept, and opened the next time."""

from __future__ import annotations


import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from zsar_lab.artefacts import make_folder, read_json, write_json
from zsar_lab.data.catalog import Catalog, catalog_folder
from zsar_lab.data.frames import FrameSettings, FrameStore, make_frame_store
from zsar_lab.data.protocols import Protocol, family_stratified_draw, random_draw
from zsar_lab.data.synthetic import DemoSettings, make_demo_videos
from zsar_lab.progress import progress
from zsar_lab.text.classtext import SCHEMES, class_text, scheme_named
from zsar_lab.text.encoder import ClassEmbeddings, cached_class_embeddings, find_encoder
from zsar_lab.training import presets
from zsar_lab.training.checkpoint import Checkpoint, load_checkpoint
from zsar_lab.training.loop import train
from zsar_lab.zeroshot.embed import ClipEmbeddings, embed_clips
from zsar_lab.zeroshot.evaluate import DrawResult, evaluate_draw
from zsar_lab.zeroshot.report import Report, make_report, save_report

DEMO_NAME = "generated demo videos"


@dataclass(frozen=True)
class Study:
    """What a study asks.

    Attributes:
        videos: a folder of class folders; None for the generated demo videos.
        clips_per_class: of the demo videos.
        stratified_draws: family-stratified draws of unseen classes, the main protocol.
        random_draws: plain random draws, reported beside it.
        class_text: scheme of the class texts trained with.
        epochs: of each training.
        seed: of the demo videos; a draw's number is the seed of its classes and its training.

    Raises:
        ValueError: a number is out of range, there is no draw, or there is no such scheme.
    """

    videos: str | None = None
    clips_per_class: int = 30
    stratified_draws: int = 3
    random_draws: int = 1
    class_text: str = "description_and_parts"
    epochs: int = 25
    seed: int = 0

    def __post_init__(self) -> None:
        scheme_named(self.class_text)
        for name, least in (("clips_per_class", 1), ("stratified_draws", 0), ("random_draws", 0), ("epochs", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be {least} or more, got {getattr(self, name)}")
        if not self.draws:
            raise ValueError("a study needs at least one draw, got stratified_draws 0 and random_draws 0; set one of them")

    @property
    def draws(self) -> tuple[str, ...]:
        """Names of the draws: stratified-0, ..., random-0, ..."""
        stratified = [f"stratified-{n}" for n in range(self.stratified_draws)]
        return (*stratified, *(f"random-{n}" for n in range(self.random_draws)))


class Workspace:
    """A study's artefacts in one folder. Every method makes what is missing, with a bar, and says what it is doing.

    Args:
        folder: where everything is kept; made if absent.
        study: what is asked; a folder that holds another study is refused.
        workers: processes for decoding and for trainings side by side.

    Raises:
        ValueError: the folder holds another study, or workers is below 1.
        PermissionError: the folder cannot be written to.
    """

    def __init__(self, folder: str | Path = "runs/demo", study: Study = Study(), workers: int = 2) -> None:
        if workers < 1:
            raise ValueError(f"workers must be 1 or more, got {workers}")
        self.folder = make_folder(Path(folder)).resolve()
        self.study, self.workers = study, workers
        self.seconds: dict[str, float] = {}
        path = self.folder / "study.json"
        if path.is_file() and read_json(path) != asdict(study):
            kept = read_json(path)
            key = next(key for key, value in asdict(study).items() if kept.get(key) != value)
            raise ValueError(
                f"'{self.folder}' holds a study with {key} = {kept.get(key)!r}, got {asdict(study)[key]!r};"
                " choose another folder, or delete it to start anew"
            )

    def __repr__(self) -> str:
        return f"Workspace({str(self.folder)!r}, {self.study})"

    @staticmethod
    def open(folder: str | Path) -> Workspace:
        """Open a folder with the study it holds; FileNotFoundError when it holds none."""
        if not (Path(folder) / "study.json").is_file():
            raise FileNotFoundError(f"'{folder}' must hold a study, but it has no study.json; make one with the demo command or Workspace(folder, Study(...))")
        return Workspace(folder, Study(**read_json(Path(folder) / "study.json")))

    @property
    def is_generated(self) -> bool:
        """True when the clips are the generated demo videos."""
        return self.study.videos is None

    @cached_property
    def catalog(self) -> Catalog:
        """The catalog of all clips; the demo videos are generated first.

        Raises:
            ValueError: the study cannot be carried out on these clips; the folder then keeps no study, and another can be tried.
        """
        if self.is_generated:
            settings = DemoSettings(self.study.clips_per_class, self.study.seed)
            videos = self._timed("videos", lambda: make_demo_videos(self.folder / "videos", settings, self.workers))
        else:
            videos = Path(self.study.videos)
        catalog = self._kept_catalog(videos)
        if catalog is None:
            name = DEMO_NAME if self.is_generated else videos.name
            catalog = self._timed("catalog", lambda: catalog_folder(videos, name, self.workers))
            catalog.save(self.folder / "catalog")
        class_text(catalog.classes, scheme_named(self.study.class_text))
        for draw in self.study.draws:
            _draw(draw, catalog.usable, catalog)
        # only now, so that a study that was refused does not hold the folder
        if not (self.folder / "study.json").is_file():
            write_json(self.folder / "study.json", asdict(self.study))
        return catalog

    def _kept_catalog(self, videos: Path) -> Catalog | None:
        """The catalog made before, if it is of this folder of videos."""
        if not (self.folder / "catalog" / "catalog.json").is_file():
            return None
        kept = Catalog.load(self.folder / "catalog")
        return kept if Path(kept.root).resolve() == videos.resolve() else None

    @cached_property
    def frames(self) -> FrameStore:
        """Every usable clip decoded once."""
        catalog = self.catalog
        return self._timed("frames", lambda: make_frame_store(catalog, self.folder / "frames", FrameSettings(), self.workers))

    def protocol(self, draw: str) -> Protocol:
        """The protocol of a draw, for example "stratified-0"; saved as json beside its training."""
        if draw not in self.study.draws:
            raise ValueError(f"a draw must be one of {', '.join(self.study.draws)}, got {draw!r}")
        clips = self.catalog.usable
        clips = clips[clips["id"].isin(set(self.frames.ids))]
        protocol = _draw(draw, clips, self.catalog)
        path = self.run_folder(draw) / "protocol.json"
        if not path.is_file() or Protocol.load(path) != protocol:
            protocol.save(path)
        return protocol

    def class_embeddings(self, scheme: str | None = None) -> ClassEmbeddings:
        """Embedded class texts of every class, by the study's scheme or the one named."""
        text = class_text(self.catalog.classes, scheme_named(scheme or self.study.class_text))
        return cached_class_embeddings(text, find_encoder(), self.folder / "class_text")

    def train_config(self, draw: str) -> presets.TrainConfig:
        """The configuration of a draw's training."""
        width = self.class_embeddings().pooled_CF.shape[1]
        return presets.demo(len(self.protocol(draw).seen), width, seed=int(draw.partition("-")[2]), epochs=self.study.epochs)

    def run_folder(self, draw: str) -> Path:
        return self.folder / "trainings" / draw

    def train(self, draw: str, on_epoch: Callable[[list[dict[str, Any]]], None] | None = None) -> Checkpoint:
        """Train a draw in this process, or open its finished checkpoint."""
        config = self.train_config(draw)
        return train(self.frames, self.protocol(draw), self.class_embeddings(), config, self.run_folder(draw), on_epoch=on_epoch)

    def train_all(self, on_epoch: Callable[[dict[str, list[dict[str, Any]]]], None] | None = None) -> dict[str, Checkpoint]:
        """Train every draw that is not trained yet, `workers` at a time, each in a process of its own.

        Args:
            on_epoch: called with the history of each draw after every epoch of any, for live figures; once where all are trained.

        Returns:
            The complete checkpoint of each draw.
        """
        self.frames, self.class_embeddings()
        self._timed("training", lambda: _train_in_processes(self, [d for d in self.study.draws if not self.is_trained(d)], on_epoch))
        checkpoints = {draw: load_checkpoint(self.run_folder(draw)) for draw in self.study.draws}
        if on_epoch:
            on_epoch({draw: checkpoint.history for draw, checkpoint in checkpoints.items()})
        return checkpoints

    def is_trained(self, draw: str) -> bool:
        try:
            return load_checkpoint(self.run_folder(draw)).complete
        except FileNotFoundError:
            return False

    def embeddings(self, draw: str) -> ClipEmbeddings:
        """Every clip through the draw's checkpoint."""
        checkpoint = self.train(draw)
        return self._timed("embedding", lambda: embed_clips(checkpoint, self.frames, self.run_folder(draw)))

    def result(self, draw: str) -> DrawResult:
        """Every rule on the draw's unseen classes."""
        others = [scheme.__name__ for scheme in SCHEMES if scheme.__name__ != self.study.class_text and self._has_text(scheme.__name__)]
        embeddings = self.embeddings(draw)
        texts = tuple(self.class_embeddings(scheme) for scheme in others)
        return self._timed(
            "evaluation",
            lambda: evaluate_draw(self.train(draw), embeddings, self.protocol(draw), self.class_embeddings(), texts),
        )

    def report(self) -> tuple[Report, Report | None]:
        """The main report over the family-stratified draws and the one over random draws (None without any).

        Also written to report.json in the workspace.
        """
        self.train_all()
        data = self.catalog.fingerprint, self.frames.fingerprint
        reports: dict[str, Report] = {}
        for kind, name in (("stratified", "family-stratified"), ("random", "random classes")):
            draws = [draw for draw in self.study.draws if draw.startswith(kind)]
            if draws:
                title = f"{name}, {len(draws)} draw{'s' if len(draws) > 1 else ''}, {self.catalog.name}"
                reports[kind] = make_report(title, [self.result(draw) for draw in draws], *data)
        main = reports.get("stratified") or reports["random"]
        beside = reports.get("random") if "stratified" in reports else None
        self.seconds = self._kept_seconds()
        save_report(self.folder / "report.json", main, [beside] if beside else [], self.seconds)
        return main, beside

    def _has_text(self, scheme: str) -> bool:
        try:
            class_text(self.catalog.classes, scheme_named(scheme))
        except ValueError:
            return False
        return True

    def _timed(self, step: str, make: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        made = make()
        self.seconds[step] = self.seconds.get(step, 0.0) + round(time.perf_counter() - started, 2)
        return made

    def _kept_seconds(self) -> dict[str, float]:
        """The most seconds each step took: of an earlier report where a step was only opened this time."""
        path = self.folder / "report.json"
        earlier = read_json(path)["seconds"] if path.is_file() else {}
        return {step: max(self.seconds.get(step, 0.0), earlier.get(step, 0.0)) for step in earlier | self.seconds}


def _draw(draw: str, clips: pd.DataFrame, catalog: Catalog) -> Protocol:
    kind, _, number = draw.partition("-")
    return family_stratified_draw(clips, catalog.classes, int(number)) if kind == "stratified" else random_draw(clips, int(number))


def _train_in_processes(
    workspace: Workspace, draws: list[str], on_epoch: Callable[[dict[str, list[dict[str, Any]]]], None] | None
) -> None:
    """`python -m zsar_lab train` for each draw, with one bar over all of them that follows their logs."""
    if not draws:
        return
    configs = {draw: workspace.train_config(draw) for draw in draws}
    waiting, running = list(draws), {}
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    bar = progress(what=f"training {', '.join(draws)}", unit="epoch", total=sum(c.epochs for c in configs.values()))
    try:
        while waiting or running:
            while waiting and len(running) < workspace.workers:
                draw = waiting.pop(0)
                log = open(workspace.run_folder(draw) / "training.txt", "w", encoding="utf-8")
                command = [sys.executable, "-m", "zsar_lab", "train", draw, "--workspace", str(workspace.folder)]
                running[draw] = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
                log.close()
            time.sleep(0.5)
            for draw, process in list(running.items()):
                if process.poll() is not None:
                    del running[draw]
                    _check_end(workspace, draw, process.returncode)
            histories = {draw: _history(workspace, draw) for draw in draws}
            n_new = sum(len(history) for history in histories.values()) - bar.n
            bar.update(n_new)
            if n_new and on_epoch:
                on_epoch(histories)
    finally:
        for process in running.values():
            process.send_signal(signal.SIGINT)
        for process in running.values():
            process.wait()
        bar.close()


def _history(workspace: Workspace, draw: str) -> list[dict[str, Any]]:
    log = workspace.run_folder(draw) / "log.csv"
    rows = pd.read_csv(log).to_dict("records") if log.is_file() else []
    return [{key: value for key, value in row.items() if pd.notna(value)} for row in rows]


def _check_end(workspace: Workspace, draw: str, code: int) -> None:
    if code:
        lines = (workspace.run_folder(draw) / "training.txt").read_text(encoding="utf-8").strip().splitlines()
        raise RuntimeError(f"training {draw} ended with status {code}: {lines[-1] if lines else 'it said nothing'}; run it again to go on from its checkpoint")
