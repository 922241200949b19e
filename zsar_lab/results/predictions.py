"""The predictions table of a split: one row a clip and method; every figure, table and report is made of it.

Shapes: B clips, C candidate classes, S seen and U unseen classes, D width of the shared space.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from zsar_lab.files import make_folder, read_json, write_json, writing
from zsar_lab.methods.clips import INDUCTIVE
from zsar_lab.methods.metrics import truth_rank
from zsar_lab.methods.table import METHODS
from zsar_lab.protocols.protocol import Protocol
from zsar_lab.results.judged import MOST_SCORES, Blocks, Judged, judge
from zsar_lab.results.prediction_sets import CoverageError
from zsar_lab.shown import Shown
from zsar_lab.text.prompts import ClassText

SCHEMA_VERSION = 3
KEY = ("method", "prompt", "reduction", "setting", "candidates")
COLUMNS = ("split", "role", "clip", *KEY, "label", "prediction", "rank", "margin", "confidence")
ROLES = {  # of the clips that are scored against these candidates
    "unseen": ("test",),
    "seen": ("seen_test",),
    "validation": ("validation",),
    "all": ("seen_test", "test"),
}


class ScoresNotSaved(LookupError):
    """A score matrix was too large to be saved; the rows of the table are there."""


@dataclass(frozen=True)
class Scored:
    """A method with one prompt and reduction against some candidates, and what validation chose for it.

    Attributes:
        settings: chosen on validation classes.
        validation_top1: of those settings on clips of the validation classes, 0..1; None where nothing was
            chosen.
        temperature: of the softmax that turns scores into confidences; None where none was chosen.
        gammas: of calibrated stacking, one for each half of the clips (see `halves`).
        matrix: number of the score matrix; calibrated stacking has that of the scores without it.
    """

    method: str
    prompt: str
    reduction: str = "none"
    setting: str = INDUCTIVE
    candidates: str = "unseen"
    settings: dict[str, Any] = field(default_factory=dict)
    validation_top1: float | None = None
    temperature: float | None = None
    gammas: tuple[float, float] | None = None
    matrix: int = 0

    @property
    def where(self) -> dict[str, str]:
        """The values of KEY by name, as `Predictions.rows`, `scores` and `find` take them."""
        return {name: getattr(self, name) for name in KEY}

    @property
    def key(self) -> tuple[str, ...]:
        """The values of KEY."""
        return tuple(self.where.values())


class Predictions(Shown):
    """Everything scored for one split with one checkpoint.

    Attributes:
        protocol: the split, not generalised (seen and unseen classes together are candidates "all").
        about: fingerprint (of all inputs), fingerprints (checkpoint, embeddings, class_text, encoder and,
            where there is one, trained_text), text_fingerprints by prompt.
        split: its name.
        class_text: that of the training; its prompt is the one that `rows` and `scores` take by default.
        scored: what was scored, in the order of the table.

    `again` scores the split once more, for a score matrix that was not kept (see `let_go`).
    """

    def __init__(
        self,
        protocol: Protocol,
        split: str,
        about: Mapping[str, Any],
        class_text: ClassText,
        scored: Sequence[Scored],
        arrays: Mapping[str, np.ndarray] | Path,
        table: pd.DataFrame | None = None,
        again: Callable[[], Predictions] | None = None,
    ) -> None:
        self.protocol, self.split, self.about = protocol, split, dict(about)
        self.class_text, self.scored, self._arrays = class_text, tuple(scored), arrays
        self._by_key = {one.key: one for one in self.scored}
        self._judged: dict[tuple[str, ...], Judged] = {}
        self.curves: dict[tuple[str, str], tuple[float, float]] = {}  # of `area_and_bound`, once asked for
        self._again = again
        if table is not None:
            self.table = table

    def _facts(self) -> dict[str, Any]:
        return {"split": self.split, "scored": len(self.scored), "test clips": len(self.ids())}

    @property
    def prompt(self) -> str:
        """The prompt of the training's class texts."""
        return self.class_text.prompt

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a clip and what was scored, with COLUMNS.

        A tie with another class counts as wrong: rank counts tied classes as better, and prediction is one of
        them; a protocol whose `ties` is "first" predicts the first. margin is the best score less the second
        best; confidence is NaN without a temperature.
        """
        return pd.concat([self._rows(one) for one in self.scored], ignore_index=True)[list(COLUMNS)]

    def rows(
        self, method: str, prompt: str | None = None, role: str | None = None, **where: str
    ) -> pd.DataFrame:
        """The rows of one method, in the order of `ids(candidates, role)`; the other arguments as for `find`.

        Args:
            method: a name of METHODS, or "upper_bound" or "seen".
            prompt: of the class texts; None for the training's own.
            role: where all classes are candidates, only the clips that are "seen_test" or "test".
            where: reduction, setting, candidates.

        Raises:
            KeyError: it was not scored.
        """
        one = self.find(method, prompt, **where)
        is_made = "table" in vars(self)
        rows = self.table.iloc[self._spans[one.key]] if is_made else self._rows(one)[list(COLUMNS)]
        return rows[self._of_role(one.candidates, role)].reset_index(drop=True)

    def scores(
        self, method: str, prompt: str | None = None, role: str | None = None, **where: str
    ) -> np.ndarray:
        """The scores of one method, [B, C], columns as `names(candidates)`; otherwise as `rows`.

        A matrix of more than 2^25 scores is not saved (ScoresNotSaved), one that was only let go of is made
        again.
        """
        one = self.find(method, prompt, **where)
        kept = self._of_role(one.candidates, role)
        scores_BC = self._stacked(one, self._array(f"scores_{one.matrix:02d}"))
        return scores_BC if kept.all() else scores_BC[kept]

    def judged(self, one: Scored) -> Judged:
        """What the scores of `one` say, of all clips scored against its candidates."""
        if one.key not in self._judged:
            self._judged[one.key] = self._judge(one)
        return self._judged[one.key]

    def tally(self, one: Scored, role: str | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Right clips and clips of each candidate class, int64 [C] each, as `per_class` counts them."""
        names, targets = self.names(one.candidates), self.targets(one.candidates, role)
        right = self.judged(one).rank_B[self._of_role(one.candidates, role)] == 1
        return np.bincount(targets[right], minlength=len(names)), np.bincount(targets, minlength=len(names))

    def let_go(self, most: float) -> None:
        """Judge everything, then let go of the score matrices of more than `most` scores."""
        assert not isinstance(self._arrays, Path), "predictions that were read are let go of"
        large = {
            name
            for name, array in self._arrays.items()
            if name.startswith("scores_") and (isinstance(array, Blocks) or array.size > most)
        }
        kept = {name: array for name, array in self._arrays.items() if name not in large}
        for number, one in enumerate(self.scored):
            judged = self.judged(one)
            if f"scores_{one.matrix:02d}" in large:
                kept |= {f"occurrence_{number:02d}": judged.occurrence_C}
                kept |= {f"log_loss_{number:02d}": np.array(judged.log_loss)}
        self._arrays = kept

    def rescored(self, scores_BC: np.ndarray, columns: np.ndarray | None = None) -> pd.DataFrame:
        """The test clips by other scores of the unseen classes, or by those of some `columns` alone.

        Returns:
            split, clip, label, rank of the clips of these classes.
        """
        columns = np.arange(scores_BC.shape[1]) if columns is None else np.sort(columns)
        kept = np.isin(self.targets(), columns)
        place = np.searchsorted(columns, self.targets()[kept])
        rank = truth_rank(scores_BC[np.ix_(kept, columns)], place, self.protocol.ties)
        clips, labels = (np.array(of, dtype=object) for of in (self.ids(), self.names()))
        rows = {"split": self.split, "clip": clips[kept], "label": labels[columns[place]], "rank": rank}
        return pd.DataFrame(rows)

    def find(
        self,
        method: str,
        prompt: str | None = None,
        reduction: str = "none",
        setting: str = INDUCTIVE,
        candidates: str = "unseen",
    ) -> Scored:
        """What validation chose: settings, validation_top1, temperature, gammas; KeyError when not scored.

        Args:
            method: see `rows`.
            prompt: see `rows`.
            reduction: a name of REDUCTIONS.
            setting: "inductive" or "transductive".
            candidates: "unseen" (of test clips), "seen" (of held-out clips of seen classes), "validation", or
                "all": seen and unseen classes, of held-out seen clips and then test clips.
        """
        key = (method, self.prompt if prompt is None else prompt, reduction, setting, candidates)
        if key not in self._by_key:
            methods = list(dict.fromkeys(one.method for one in self.scored))
            of_method = [one.key for one in self.scored if one.method == method]
            raise KeyError(f"{key} was not scored in {self.split!r}, but {of_method or methods}")
        return self._by_key[key]

    def ids(self, candidates: str = "unseen", role: str | None = None) -> tuple[str, ...]:
        """Ids of the clips scored against these candidates: by default the test clips."""
        clips, roles = _clips(self.protocol), ROLES[candidates]
        return sum((clips[one] for one in roles if role in (None, one)), ())

    def names(self, candidates: str = "unseen") -> tuple[str, ...]:
        """The candidate classes: by default the unseen ones; of "all" the seen ones come first."""
        protocol = self.protocol
        return protocol.seen + protocol.unseen if candidates == "all" else getattr(protocol, candidates)

    def targets(self, candidates: str = "unseen", role: str | None = None) -> np.ndarray:
        """Index of each clip's class in `names(candidates)`, int64 [B]."""
        return self._array(f"targets_{candidates}")[self._of_role(candidates, role)]

    def prototypes(self, kind: str) -> np.ndarray:
        """Unit rows, [C, D]: "seen", "composed", "true" (of unseen classes), "seen_text" or "unseen_text".

        No row where the method that they are of was not scored.
        """
        with suppress(KeyError, FileNotFoundError):
            return self._array(f"prototypes_{kind}")
        return np.zeros((0, 0))

    def calibration(self, method: str) -> np.ndarray:
        """Scores of the validation clips to validation and then unseen classes, [B, C]; of the own prompt."""
        if not METHODS[method].generalised or not self.protocol.validation:
            raise CoverageError(
                f"sets need validation classes, and scores that no rival moves; not {method!r}"
            )
        return self._array(f"calibration_{method}")

    def weights(self) -> np.ndarray:
        """Transfer weights that composed the prototypes of the unseen classes, [U, S]; rows sum to 1.

        Zeros where transfer was not scored.
        """
        with suppress(KeyError, FileNotFoundError):
            return self._array("weights")
        return np.zeros((len(self.protocol.unseen), len(self.protocol.seen)))

    def save(self, folder: Path) -> None:
        """Write `<split>.parquet`, the arrays in `<split>/`, and last `<split>.json`, which is looked for.

        Score matrices are written up to 2^25 scores each (256 MB).
        """
        path, arrays = Path(folder) / f"{self.split}.json", Path(folder) / self.split
        path.unlink(missing_ok=True)
        shutil.rmtree(arrays, ignore_errors=True)
        make_folder(arrays)
        assert not isinstance(self._arrays, Path), "predictions that were read are saved"
        for name, array in self._arrays.items():
            np.save(arrays / f"{name}.npy", array)
        self.protocol.save(arrays / "protocol.json")
        self.class_text.save(arrays / "class_text.json")
        with writing(path.with_suffix(".parquet")) as temporary:
            self.table.to_parquet(temporary, index=False)
        scored = [asdict(one) for one in self.scored]
        write_json(path, {"schema_version": SCHEMA_VERSION, **self.about, "scored": scored})

    @staticmethod
    def read(folder: Path, split: str, fingerprint: str | None = None) -> Predictions:
        """Read what `save` wrote of a split; score matrices are mapped into memory when they are asked for.

        Raises:
            FileNotFoundError: there is none of these inputs (`fingerprint`, None for any) and this version.
            ValueError: a file is damaged.
        """
        path, arrays = Path(folder) / f"{split}.json", Path(folder) / split
        about = read_json(path)
        if not isinstance(about, dict):
            raise ValueError(f"'{path}' is damaged; delete it and evaluate again")
        made = {"schema_version": SCHEMA_VERSION, "fingerprint": fingerprint or about.get("fingerprint")}
        if not made.items() <= about.items():
            raise FileNotFoundError(f"'{path}' holds no predictions of these inputs; evaluate the split")
        try:
            found = about.pop("scored")
            scored = [Scored(**one | {"gammas": one["gammas"] and tuple(one["gammas"])}) for one in found]
            table = pd.read_parquet(path.with_suffix(".parquet"))[list(COLUMNS)]
        except (KeyError, TypeError, OSError, ValueError) as error:
            raise ValueError(f"'{path}' is damaged ({error}); delete it and evaluate again") from error
        about.pop("schema_version")
        protocol, text = Protocol.load(arrays / "protocol.json"), ClassText.load(arrays / "class_text.json")
        return Predictions(protocol, split, about, text, scored, arrays, table)

    def _array(self, name: str) -> np.ndarray:
        if isinstance(self._arrays, Path):
            path = self._arrays / f"{name}.npy"
            if name.startswith("scores_") and not path.is_file():
                raise ScoresNotSaved(
                    f"{name} of {self.split!r} is not saved, it has over {MOST_SCORES} scores"
                )
            return np.load(path, mmap_mode="r")
        if name.startswith("scores_") and name not in self._arrays and self._again:
            self._arrays = dict(self._again()._arrays) | dict(self._arrays)  # type: ignore[arg-type]
        return self._arrays[name]

    def _stacked(self, one: Scored, scores_BC: np.ndarray, rows: slice = slice(None)) -> np.ndarray:
        """The scores of these rows, gamma taken off the seen classes under calibrated stacking."""
        if one.gammas is None:
            return scores_BC
        gamma_B = np.array(one.gammas)[halves(self.targets(one.candidates))][rows]
        is_seen_C = np.arange(scores_BC.shape[1]) < len(self.protocol.seen)
        return np.where(is_seen_C, scores_BC - gamma_B[:, None], scores_BC)

    def _judge(self, one: Scored) -> Judged:
        targets, name = self.targets(one.candidates), f"scores_{one.matrix:02d}"
        try:
            scores = self._array(name)
        except ScoresNotSaved:
            rows = self.table.iloc[self._spans[one.key]]
            columns = (rows[name].to_numpy() for name in ("rank", "margin", "confidence"))
            predicted_B = pd.Index(self.names(one.candidates)).get_indexer(rows["prediction"])
            number = self.scored.index(one)
            occurrence_C, loss = (self._array(f"{of}_{number:02d}") for of in ("occurrence", "log_loss"))
            rank_B, margin_B, confidence_B = columns
            return Judged(predicted_B, rank_B, margin_B, confidence_B, occurrence_C, float(loss))
        blocks = scores.parts() if isinstance(scores, Blocks) else [(slice(None), scores)]
        parts = [
            judge(self._stacked(one, scores_BC, rows), targets[rows], one.temperature, self.protocol.ties)
            for rows, scores_BC in blocks
        ]
        if len(parts) == 1:
            return parts[0]
        *of_clips, occurrences, losses = zip(*parts, strict=True)
        predicted_B, rank_B, margin_B, confidence_B = map(np.concatenate, of_clips)
        mean = float(np.average(losses, weights=[len(part.rank_B) for part in parts]))
        return Judged(predicted_B, rank_B, margin_B, confidence_B, np.sum(occurrences, axis=0), mean)

    @cached_property
    def _spans(self) -> dict[tuple[str, ...], slice]:
        """Where the rows of each key are in the table."""
        ends = np.cumsum([0] + [len(self.ids(one.candidates)) for one in self.scored]).tolist()
        return {one.key: slice(*span) for one, span in zip(self.scored, zip(ends, ends[1:]))}

    def _of_role(self, candidates: str, role: str | None) -> np.ndarray:
        """Which of the clips of these candidates are of the role."""
        clips, roles = _clips(self.protocol), ROLES[candidates]
        return np.repeat([role in (None, one) for one in roles], [len(clips[one]) for one in roles])

    def _rows(self, one: Scored) -> pd.DataFrame:
        clips, names = _clips(self.protocol), np.array(self.names(one.candidates), dtype=object)
        judged, targets = self.judged(one), self.targets(one.candidates)
        roles = [role for role in ROLES[one.candidates] for _ in clips[role]]
        found: dict[str, Any] = {"split": self.split, "role": roles, "clip": self.ids(one.candidates)}
        found |= one.where | {"label": names[targets], "prediction": names[judged.predicted_B]}
        found |= {"rank": judged.rank_B, "confidence": judged.confidence_B, "margin": judged.margin_B}
        return pd.DataFrame(found)


def _clips(protocol: Protocol) -> dict[str, tuple[str, ...]]:
    return {role: getattr(protocol, f"{role}_clips") for role in ("test", "seen_test", "validation")}


def halves(targets: np.ndarray) -> np.ndarray:
    """0 or 1 for each clip, in turn class by class, so that every class is halved, int64 [B]."""
    half_B = np.empty(len(targets), dtype=np.int64)
    half_B[np.argsort(targets, kind="stable")] = np.arange(len(targets)) % 2
    return half_B
