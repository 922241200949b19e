"""The report: every method over all splits, with intervals, chance and upper bound, and the fingerprints of what it came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from zsar_lab.files import fingerprint
from zsar_lab.methods.metrics import mean_class_accuracy, top_k_accuracy, truth_rank
from zsar_lab.results.calibration import calibration
from zsar_lab.results.evaluate import TRANSFER, MethodScores, SplitResult
from zsar_lab.results.generalised_rows import GeneralisedRow, generalised_row
from zsar_lab.results.hubness import Hubness, hubness, hubness_interval, k_occurrence
from zsar_lab.results.statistics import (
    CLAIM_LEVEL,
    PairedComparison,
    class_bootstrap,
    compare_by_class,
    holm,
)
from zsar_lab.results.summary import settings_as_text  # noqa: F401


@dataclass(frozen=True)
class MethodRow:
    """One method with one prompt of class text over several splits. Accuracies are fractions, 0..1.

    Attributes:
        method, setting, class_text: what was scored; setting is "inductive" or "transductive".
        top1, top5, mean_class: means over splits.
        std: of top1 over splits (ddof 0), as the literature prints it.
        ci95: class-bootstrap interval of top1 over all splits' clips.
        validation_top1: mean over splits, of the settings chosen.
        hubness: of N_1 over the candidate classes, mean over splits of each measure; hubness_ci95: their
            bootstrap intervals.
        confidence: mean over splits of calibration_error (equal width), negative_log_likelihood, aurc and
            error_at_80, see `calibration`; empty where no temperature was chosen.
        splits: top1 of each split.
        settings: what validation chose in each split.
        per_class: of each split, by class: (right clips, clips).
    """

    method: str
    setting: str
    class_text: str
    top1: float
    top5: float
    mean_class: float
    std: float
    ci95: tuple[float, float]
    validation_top1: float
    hubness: dict[str, float]
    hubness_ci95: dict[str, tuple[float, float]]
    confidence: dict[str, float]
    splits: tuple[float, ...]
    settings: tuple[dict[str, Any], ...]
    per_class: tuple[dict[str, tuple[int, int]], ...]


@dataclass(frozen=True)
class TextRow:
    """One prompt of class text beside a baseline prompt: the same method on the same clips of the same splits. Accuracies are fractions, 0..1.

    Attributes:
        class_text: the prompt.
        top1: mean over splits; ci95: its class-bootstrap interval; splits: top1 of each split.
        validation_top1: mean over splits, of the settings chosen.
        chosen_in: numbers of the splits whose validation classes score best with this prompt.
        difference: top-1 less the baseline's, clip by clip; difference_ci95: its class-bootstrap interval;
            both 0 for the baseline itself.
        p: of "no difference", see `paired_p_value`; None for the baseline.
        p_holm: p adjusted by `holm` over all prompts compared; None for the baseline.
        detectable: the smallest true difference that such a study would find, see `PairedComparison`; None
            for the baseline.
    """

    class_text: str
    top1: float
    ci95: tuple[float, float]
    splits: tuple[float, ...]
    validation_top1: float
    chosen_in: tuple[int, ...]
    difference: float
    difference_ci95: tuple[float, float]
    p: float | None
    p_holm: float | None
    detectable: float | None

    @property
    def claimed(self) -> bool:
        """True when a difference to the baseline can be claimed: the adjusted p is at most 0.05."""
        return self.p_holm is not None and self.p_holm <= CLAIM_LEVEL


@dataclass(frozen=True)
class CorrectionRow:
    """A method under a correction of hubness beside the method without one, on the same clips of the same splits.

    Attributes:
        row: its scores.
        difference: top-1 less that without correction, clip by clip; difference_ci95: its class-bootstrap
            interval.
        p, p_holm: of "no difference", alone and adjusted for all corrections of the same setting.
        detectable: the smallest true difference that such a study would find, see `PairedComparison`.
    """

    row: MethodRow
    difference: float
    difference_ci95: tuple[float, float]
    p: float
    p_holm: float
    detectable: float

    @property
    def claimed(self) -> bool:
        """True when a difference can be claimed: the adjusted p is at most 0.05."""
        return self.p_holm <= CLAIM_LEVEL


def method_row(results: Sequence[SplitResult], scored: Sequence[MethodScores]) -> MethodRow:
    """Put one method's scores of several splits together.

    Args:
        results: the splits.
        scored: that method's scores of each, in the same order.

    Raises:
        ValueError: no split, or the scores are of different methods.
    """
    if not scored or len({(s.method, s.class_text, s.setting) for s in scored}) != 1:
        raise ValueError(
            f"a row needs one method scored in at least one split, got {sorted({s.method for s in scored})}"
        )
    pairs = [(s.scores_BC, r.targets) for r, s in zip(results, scored)]
    top1 = [top_k_accuracy(*pair, 1) for pair in pairs]
    occurrences = [k_occurrence(scores, 1) for scores, _ in pairs]
    return MethodRow(
        method=scored[0].method,
        setting=scored[0].setting,
        class_text=scored[0].class_text,
        top1=float(np.mean(top1)),
        top5=float(np.mean([top_k_accuracy(*pair, min(5, pair[0].shape[1])) for pair in pairs])),
        mean_class=float(np.mean([mean_class_accuracy(*pair) for pair in pairs])),
        std=float(np.std(top1)),
        ci95=class_bootstrap(_correct(pairs), _classes(results)),
        validation_top1=float(np.mean([s.validation_top1 for s in scored])),
        hubness=_mean_measures([hubness(occurrence, 1) for occurrence in occurrences]),
        hubness_ci95=hubness_interval(occurrences, 1),
        confidence=_confidence(results, scored),
        splits=tuple(top1),
        settings=tuple(s.settings for s in scored),
        per_class=tuple(_per_class(s.scores_BC, r) for r, s in zip(results, scored)),
    )


@dataclass(frozen=True, repr=False)
class Report:
    """Scores of several splits of one kind of protocol.

    Attributes:
        name: the kind of protocol and the data it was scored on.
        results: the splits.
        rows: one a method, with the training's class text.
        text_rows: transfer and ridge methods with each prompt of class text.
        correction_rows: transfer under each correction of hubness, inductive and transductive.
        generalised_rows: direct, ridge and transfer with seen and unseen classes as candidates.
        catalog_fingerprint, frames_fingerprint: of the data.
    """

    name: str
    results: tuple[SplitResult, ...]
    rows: tuple[MethodRow, ...]
    text_rows: tuple[MethodRow, ...]
    catalog_fingerprint: str
    frames_fingerprint: str
    correction_rows: tuple[MethodRow, ...] = ()
    generalised_rows: tuple[GeneralisedRow, ...] = ()

    def __repr__(self) -> str:
        return (
            f"Report({self.name!r}: "
            + ", ".join(f"{row.method} {100 * row.top1:.1f} %" for row in self.rows)
            + ")"
        )

    @property
    def chance(self) -> float:
        """Mean over splits of 1 / number of candidate classes."""
        return float(np.mean([1 / len(r.protocol.unseen) for r in self.results]))

    @property
    def upper_bound(self) -> float:
        """Mean over splits of top-1 by the nearest true prototype of the unseen classes (leave-one-out)."""
        return float(np.mean([top_k_accuracy(r.upper_bound_BC, r.targets, 1) for r in self.results]))

    @property
    def seen_top1(self) -> float:
        """Mean over splits of top-1 on held-out clips of seen classes."""
        return float(np.mean([r.seen_top1 for r in self.results]))

    def row(self, method: str) -> MethodRow:
        """The row of that method; ValueError when there is none."""
        for row in self.rows:
            if row.method == method:
                return row
        raise ValueError(f"a method must be one of {', '.join(r.method for r in self.rows)}, got {method!r}")

    def table(self) -> pd.DataFrame:
        """The zero-shot table: a row a method, between chance and the upper bound; accuracies in percent."""
        upper = [(r.upper_bound_BC, r.targets) for r in self.results]
        bound = {"method": "upper bound (true prototypes, not zero-shot)", "top1_%": 100 * self.upper_bound}
        bound |= {"std": _shown_std([top_k_accuracy(*pair, 1) for pair in upper])}
        chance = {"method": "chance", "top1_%": 100 * self.chance}
        return pd.DataFrame([chance, *[_shown(row) for row in self.rows], bound]).round(3)

    def compare(self, method_a: str, method_b: str) -> PairedComparison:
        """Two methods' top-1 on the same clips, the first less the second; ValueError when there is no such method."""
        return compare_by_class(self.row(method_a).per_class, self.row(method_b).per_class)

    def compare_texts(self, method: str = TRANSFER, baseline: str = "label") -> tuple[TextRow, ...]:
        """Every prompt of class text under one method, each against a baseline prompt on the same clips of the same splits.

        A prompt must be chosen by its validation accuracy, split by split (`chosen_in`), never by its
        accuracy on unseen classes; and not by a mean over splits either, for a validation class of one split
        may be an unseen one of another.

        Args:
            method: one scored with every prompt: transfer or a ridge method.
            baseline: the prompt that the others are compared with.

        Returns:
            A row a prompt, in the order scored. Of prompts that tie on validation the first is chosen.

        Raises:
            ValueError: the method was not scored with several prompts, or the baseline was not scored.
        """
        rows = {row.class_text: row for row in self.text_rows if row.method == method}
        if not rows:
            raise ValueError(
                f"a method scored by class text must be one of {'; '.join(dict.fromkeys(r.method for r in self.text_rows))}, got {method!r}"
            )
        if baseline not in rows:
            raise ValueError(
                f"the baseline must be a prompt that was scored, one of {', '.join(rows)}, got {baseline!r}"
            )
        scored = {name: [_text_scores(result, method, name) for result in self.results] for name in rows}
        best = [
            max(rows, key=lambda name: scored[name][split].validation_top1)
            for split in range(len(self.results))
        ]
        pairs = {
            name: compare_by_class(row.per_class, rows[baseline].per_class) for name, row in rows.items()
        }
        others = [name for name in rows if name != baseline]
        p_holm = dict(zip(others, holm([pairs[name].p for name in others]).tolist()))
        found = []
        for name, row in rows.items():
            pair, chosen_in = pairs[name], tuple(split for split, chosen in enumerate(best) if chosen == name)
            tested = (None, None, None) if name == baseline else (pair.p, p_holm[name], pair.detectable)
            found.append(
                TextRow(
                    name,
                    row.top1,
                    row.ci95,
                    row.splits,
                    row.validation_top1,
                    chosen_in,
                    pair.difference,
                    pair.ci95,
                    *tested,
                )
            )
        return tuple(found)

    def compare_corrections(self) -> tuple[CorrectionRow, ...]:
        """Transfer under each correction of hubness against transfer alone; p is adjusted among the inductive and among the transductive ones."""
        alone, found = self.row(TRANSFER).per_class if self.correction_rows else (), []
        for setting in dict.fromkeys(row.setting for row in self.correction_rows):
            rows = [row for row in self.correction_rows if row.setting == setting]
            pairs = [compare_by_class(row.per_class, alone) for row in rows]
            p_holm = holm([pair.p for pair in pairs]).tolist()
            of_setting = zip(rows, pairs, p_holm, strict=True)
            found += [
                CorrectionRow(row, pair.difference, pair.ci95, pair.p, adjusted, pair.detectable)
                for row, pair, adjusted in of_setting
            ]
        return tuple(found)

    @property
    def protocol_hash(self) -> str:
        """Of all splits, in their order."""
        return fingerprint("splits", [r.protocol.hash for r in self.results])

    def fingerprints(self, row: MethodRow) -> dict[str, str | None]:
        """What a row came from, by name; checkpoints and method are hashed over the draws whatever their order.

        Returns:
            protocol (of all splits), catalog, frames, class_text (of the row's own prompt; None where the
            splits do not tell), encoder, checkpoints, and method (its name, setting, and what was chosen in
            each split).
        """
        splits = [
            (r.protocol.hash, r.fingerprints["checkpoint"], settings)
            for r, settings in zip(self.results, row.settings)
        ]
        splits.sort(key=lambda split: split[0])
        return {
            "protocol": self.protocol_hash,
            "catalog": self.catalog_fingerprint,
            "frames": self.frames_fingerprint,
            "class_text": self._text_fingerprint(row.class_text),
            "encoder": self.results[0].fingerprints["encoder"],
            "checkpoints": fingerprint(
                "checkpoints", [[split, checkpoint] for split, checkpoint, _ in splits]
            ),
            "method": fingerprint(
                "method", row.method, row.setting, [[split, settings] for split, _, settings in splits]
            ),
        }

    def _text_fingerprint(self, prompt: str) -> str | None:
        first = self.results[0]
        return ({first.class_text.prompt: first.fingerprints["class_text"]} | first.text_fingerprints).get(
            prompt
        )


def make_report(
    name: str, results: Sequence[SplitResult], catalog_fingerprint: str, frames_fingerprint: str
) -> Report:
    """Put the splits' results together; methods and class texts are those that every split scored."""
    rows = tuple(
        method_row(results, [r.method(method) for r in results])
        for method in (s.method for s in results[0].methods)
    )
    texts = tuple(method_row(results, same) for same in zip(*(r.texts for r in results)))
    corrected = tuple(method_row(results, same) for same in zip(*(r.corrected for r in results)))
    protocols = [r.protocol for r in results]
    of_all = tuple(generalised_row(protocols, same) for same in zip(*(r.generalised for r in results)))
    return Report(
        name, tuple(results), rows, texts, catalog_fingerprint, frames_fingerprint, corrected, of_all
    )


def _correct(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    return np.concatenate([truth_rank(scores, targets) == 1 for scores, targets in pairs])


def _per_class(scores_BC: np.ndarray, result: SplitResult) -> dict[str, tuple[int, int]]:
    names, right = result.protocol.unseen, truth_rank(scores_BC, result.targets) == 1
    counts = (
        np.bincount(result.targets[chosen], minlength=len(names)).tolist() for chosen in (right, slice(None))
    )
    return dict(zip(names, zip(*counts)))


def _text_scores(result: SplitResult, method: str, prompt: str) -> MethodScores:
    return next(scored for scored in result.texts if (scored.method, scored.class_text) == (method, prompt))


def _classes(results: Sequence[SplitResult]) -> list[str]:
    return [r.protocol.unseen[target] for r in results for target in r.targets]


def _mean_measures(measures: Sequence[Hubness]) -> dict[str, float]:
    return {name: float(np.mean([getattr(m, name) for m in measures])) for name in asdict(measures[0])}


def _confidence(results: Sequence[SplitResult], scored: Sequence[MethodScores]) -> dict[str, float]:
    if any(s.temperature is None for s in scored):
        return {}
    found = [calibration(s.scores_BC, r.targets, s.temperature) for r, s in zip(results, scored)]
    of_splits = {
        "calibration_error": [c.equal_width.error for c in found],
        "negative_log_likelihood": [c.negative_log_likelihood for c in found],
        "aurc": [c.risk_coverage.aurc for c in found],
        "error_at_80": [c.risk_coverage.error_at_80 for c in found],
    }
    return {name: float(np.mean(values)) for name, values in of_splits.items()}


def _shown(row: MethodRow) -> dict[str, Any]:
    return {
        "method": row.method,
        "class text": row.class_text,
        "setting": row.setting,
        "top1_%": 100 * row.top1,
        "std": _shown_std(row.splits),
        "ci95_low": 100 * row.ci95[0],
        "ci95_high": 100 * row.ci95[1],
        "top5_%": 100 * row.top5,
        "mean_class_%": 100 * row.mean_class,
        "validation_%": 100 * row.validation_top1,
        "N1_skewness": row.hubness["skewness"],
    }


def _shown_std(splits: Sequence[float]) -> float:
    """Standard deviation over splits in percent (ddof 0); no number for a single split, where 0 would look like agreement."""
    return 100 * float(np.std(splits)) if len(splits) > 1 else float("nan")
