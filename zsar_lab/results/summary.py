"""Results: the predictions of a study's splits, summed up in one table for each family of splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from zsar_lab.files import fingerprint, writing
from zsar_lab.methods.hubness_reduction import REDUCTIONS
from zsar_lab.methods.table import LABELS, SEEN, UPPER_BOUND, at_edge
from zsar_lab.results.calibration import reliability, risk_coverage
from zsar_lab.results.generalised import generalised_figures
from zsar_lab.results.hubness import hubness, hubness_interval
from zsar_lab.results.prediction_sets import split_sets
from zsar_lab.results.predictions import KEY, Predictions, Scored
from zsar_lab.results.statistics import (
    DIFFERENCES,
    QUANTITIES,
    Comparison,
    accuracy,
    compare,
    differences,
    interval,
)
from zsar_lab.results.tables import TABLES, readable
from zsar_lab.shown import Shown

PARTS = {
    "methods": "Methods",
    "prompts": "Class texts",
    "reductions": "On top of a method: hubness reductions of transfer, label propagation",
    "generalised": "Seen and unseen classes as candidates",
}
BASELINE, BASELINE_PROMPT = "transfer", "label"
COMPARED = ("compared_with", *DIFFERENCES)
CACHE_VERSION = 2


class Results(Shown):
    """The scores of a study: tables over the splits of each family (of one kind of protocol).

    Args:
        families: the splits' predictions by the name of their family, the main one first.
        data: fingerprints of what was embedded, such as catalog and frames.
        titles: of the families, where they are not just their names.
        cache: a folder in which tables are kept, and found again by their fingerprint.
    """

    leakage: dict[str, Any] | None = None  # the remark on a model's training sets, and unseen classes by set

    def __init__(
        self,
        families: Mapping[str, Sequence[Predictions]],
        data: Mapping[str, str] | None = None,
        titles: Mapping[str, str] | None = None,
        cache: Path | None = None,
    ) -> None:
        if not families or not all(families.values()):
            raise ValueError(f"every family of results needs a split, got {dict(families)}")
        self._families = {name: tuple(splits) for name, splits in families.items()}
        self.data, self._titles, self._cache = dict(data or {}), dict(titles or {}), cache
        self._tables: dict[str, pd.DataFrame] = {}
        self._tallies: dict[Any, pd.DataFrame] = {}

    def _facts(self) -> dict[str, Any]:
        return {name: ", ".join(splits) for name, splits in self.families.items()}

    def _repr_html_(self) -> str:
        table = readable(self.part("methods"), {"method": "{label}"} | TABLES["methods"][1])
        return table.to_html(index=False) + f"<p>{escape(self.sentence())}</p>"

    @property
    def families(self) -> dict[str, tuple[str, ...]]:
        """Names of the splits of each family; where a method takes a family, None is the first."""
        return {name: tuple(one.split for one in splits) for name, splits in self._families.items()}

    def splits(self, family: str | None = None) -> tuple[Predictions, ...]:
        """The predictions of a family's splits; KeyError when there is no such family."""
        return self._families[self._name(family)]

    def title(self, family: str | None = None) -> str:
        """What a table of this family is headed by."""
        return self._titles.get(self._name(family), self._name(family))

    def _name(self, family: str | None) -> str:
        return next(iter(self._families)) if family is None else family

    def rows(self, method: str, family: str | None = None, **where: Any) -> pd.DataFrame:
        """The rows of one method in all splits of a family; `where` as for `Predictions.rows`."""
        return pd.concat([one.rows(method, **where) for one in self.splits(family)], ignore_index=True)

    def _tally(self, family: str | None, where: Mapping[str, Any], role: str | None = None) -> pd.DataFrame:
        """Right clips and clips of each class over a family's splits: `per_class` of `rows`."""
        splits = self.splits(family)
        ones = [split.find(**where) for split in splits]
        key = self._name(family), ones[0].key, role
        if key not in self._tallies:
            counts = [split.tally(one, role) for split, one in zip(splits, ones, strict=True)]
            names = [name for split, one in zip(splits, ones) for name in split.names(one.candidates)]
            codes, labels = pd.factorize(np.array(names, dtype=object), sort=True)
            total = np.zeros((len(labels), 2), dtype=np.int64)
            np.add.at(total, codes, np.concatenate([np.stack(of, 1) for of in counts]))
            table = pd.DataFrame(total, pd.Index(labels, name="label"), ["right", "clips"])
            self._tallies[key] = table[table["clips"] > 0]
        return self._tallies[key]

    def chance(self, family: str | None = None) -> float:
        """Mean over splits of 1 / number of unseen classes."""
        return float(np.mean([1 / len(one.protocol.unseen) for one in self.splits(family)]))

    def upper_bound(self, family: str | None = None) -> float:
        """Top-1 by the nearest true prototype of the unseen classes (leave-one-out); nan if not scored."""
        return self._accuracy_of(UPPER_BOUND, "unseen", family)

    def seen_top1(self, family: str | None = None) -> float:
        """Top-1 on held-out clips of seen classes, the seen ones being candidates; nan if not scored."""
        return self._accuracy_of(SEEN, "seen", family)

    def _accuracy_of(self, method: str, candidates: str, family: str | None) -> float:
        if any(method not in {one.method for one in split.scored} for split in self.splits(family)):
            return float("nan")
        return accuracy(self._tally(family, {"method": method, "candidates": candidates}))

    def baseline(self, family: str | None = None) -> str:
        """The method that others are compared with: transfer where it was scored, else the first."""
        methods = [one.method for one in self._scored("methods", family)]
        return BASELINE if BASELINE in methods else methods[0]

    def sentence(self, family: str | None = None) -> str:
        """What was found: top-1 of the baseline, chance and bound; and which methods a test tells from it."""
        name, bound, chance = self.baseline(family), self.upper_bound(family), self.chance(family)
        rows = self._tally(family, {"method": name})
        top1, (low, high) = accuracy(rows), interval(rows)
        said = (
            f"{LABELS[name].capitalize()} names {100 * top1:.1f} % of the clips of"
            f" {len(rows)} different unseen classes right (95 % interval over classes"
            f" {100 * low:.0f} to {100 * high:.0f} %); chance is {100 * chance:.1f} %"
        )
        if bound == bound:
            said += f", and true prototypes reach {'only ' * (bound < top1)}{100 * bound:.1f} %"
        said += ". That is not above chance for sure." if low <= chance else "."
        others = self.against(family=family)
        if len(others) < 2:
            return said
        claimed = others[others["claimed"].eq(True)]
        sides = (("better", claimed["difference"] > 0), ("worse", claimed["difference"] < 0))
        told = [
            f"{', '.join(claimed['method'][side].map(LABELS))} {word}" for word, side in sides if side.any()
        ]
        if not told:
            return f"{said} No other method can be told apart from it."
        return f"{said} A test tells from it: {'; '.join(told)}."

    @cached_property
    def fingerprint(self) -> str:
        """Of all predictions and data."""
        of = [(name, [one.about["fingerprint"] for one in splits]) for name, splits in self._families.items()]
        return fingerprint("results", CACHE_VERSION, of, self._titles, self.data)

    def table(self, family: str | None = None) -> pd.DataFrame:
        """A row for everything scored. Accuracies and differences are fractions, 0..1.

        top1 is the share of right clips of all splits, mean_class the mean over classes of theirs; each has
        its own 95 % interval over classes.

        Returns:
            part ("methods", "prompts", "reductions", "generalised": all classes are candidates; the
            training's own prompt is in the first two), label, method, prompt, reduction, setting, candidates;
            top1, mean_class and their _low and _high; top5; std (of top1 over splits, ddof 0; none for one
            split), splits_top1 (text); validation_top1 (mean over splits), settings (text); hubness_* of N_1
            (mean over splits) with _low and _high; calibration_error, negative_log_likelihood, aurc,
            error_at_80 where there is a temperature; of "generalised" seen, unseen, harmonic, harmonic_low,
            harmonic_high, ausuc, harmonic_upper_bound; what `compare` gives for difference in top1 (to
            transfer, or to the label under the same method); chance, upper_bound, seen_top1, n_splits,
            n_clips, n_classes, and fingerprint_*.
        """
        name = self._name(family)
        if name not in self._tables:
            path = self._cache and Path(self._cache) / f"table_{fingerprint(self.fingerprint, name)}.parquet"
            if path and path.is_file():
                self._tables[name] = pd.read_parquet(path)
            else:
                self._tables[name] = self._make_table(name)
                if path:
                    with writing(path) as temporary:
                        self._tables[name].to_parquet(temporary, index=False)
        return self._tables[name].copy()

    def part(self, part: str, family: str | None = None) -> pd.DataFrame:
        """The rows of `table` of one of PARTS, without the columns that it leaves empty."""
        table = self.table(family)
        return table[table["part"] == part].dropna(axis=1, how="all").reset_index(drop=True)

    def compare(
        self, a: str, b: str, *, family: str | None = None, quantity: str = "top1", **where: Any
    ) -> Comparison:
        """Two methods on the same clips: `a` less `b` in top1 or mean_class, its interval and p.

        `where` is of both, as for `Predictions.rows`: prompt, reduction, setting, candidates. KeyError when
        one was not scored.
        """
        of_a, of_b = (self._tally(family, where | {"method": name}) for name in (a, b))
        return compare(of_a, of_b, quantity)

    def against(
        self,
        baseline: str | None = None,
        part: str = "methods",
        method: str | None = None,
        family: str | None = None,
        quantity: str = "top1",
    ) -> pd.DataFrame:
        """Everything of a part against one baseline on the same clips; p_holm is adjusted for all of them.

        Args:
            baseline: a method, or of "prompts" a prompt; None for `baseline`, or the label.
            part: "methods"; "prompts": each prompt under `method`; "reductions": a method under each
                reduction against it alone (or the baseline named), adjusted for each setting apart.
            method: whose prompts are compared; None for `baseline`.
            family: of the splits.
            quantity: "top1" or "mean_class", of which differences, intervals and p values are.

        Returns:
            A row for each: method, prompt, reduction, setting, candidates, compared_with, difference,
            difference_low, difference_high, p, p_holm, min_detectable (the smallest true difference found in
            80 % of such studies), claimed (p_holm <= 0.05); no numbers for the baseline itself. Of prompts
            also chosen_in: the splits whose validation classes score best with it; a prompt is chosen by
            these, never by its accuracy on unseen classes.

        Raises:
            KeyError: the baseline was not scored.
        """
        prompts = part == "prompts"
        usual = self.baseline(family)
        base = {"prompt": baseline or BASELINE_PROMPT} if prompts else {"method": baseline or usual}
        base = {"method": method or usual} | base
        base_key = self.splits(family)[0].find(**base).key
        ones = [one for one in self._scored(part, family) if not prompts or one.method == base["method"]]
        alone = part == "reductions" and baseline is None
        bases = [{"method": one.method} if alone else base for one in ones]
        pairs = [
            None if one.key == base_key else tuple(self._tally(family, of) for of in (one.where, zero))
            for one, zero in zip(ones, bases)
        ]
        table = pd.DataFrame([one.where for one in ones])
        with_what = [zero["prompt" if prompts else "method"] for zero in bases]
        table["compared_with"] = [of if pair else None for of, pair in zip(with_what, pairs)]
        table = table.join(differences(pairs, table["setting"].tolist(), quantity))
        if prompts:
            best = [
                max(ones, key=lambda one: split.find(**one.where).validation_top1 or 0.0).prompt
                for split in self.splits(family)
            ]
            table["chosen_in"] = [[n for n, one in enumerate(best) if one == own] for own in table["prompt"]]
        return table

    def sets(
        self, method: str | None = None, coverage: float = 0.9, family: str | None = None
    ) -> pd.DataFrame:
        """For each test clip the classes that may be its own, see `prediction_sets` for what is guaranteed.

        Calibrated on each split's validation classes, 9 for 0.9. The method is one whose score of a class
        depends on no other (direct, ridge, transfer and the like), with the own prompt; None for `baseline`.
        CoverageError for another, and as `prediction_sets`.

        Returns:
            A row a clip: split, clip, label, set (names), size, covered (whether it holds the label).
        """
        name = method or self.baseline(family)
        return pd.concat([split_sets(one, name, coverage) for one in self.splits(family)], ignore_index=True)

    def save(self, folder: Path, **more: Any) -> None:
        """Write report.json, .csv, .tex and .html, each whole or not at all; `more` goes into report.json."""
        from zsar_lab.results.report_files import write_files  # which reads this class

        write_files(self, Path(folder), more)

    def _scored(self, part: str, family: str | None) -> list[Scored]:
        """What every split of the family scored, of one part."""
        splits = self.splits(family)
        keys = [{one.key for one in split.scored} for split in splits[1:]]
        ones = [one for one in splits[0].scored if all(one.key in found for found in keys)]
        zero_shot = [one for one in ones if one.candidates == "unseen" and one.method != UPPER_BOUND]
        if part == "generalised":
            return [one for one in ones if one.candidates == "all"]
        if part == "reductions":
            return [one for one in zero_shot if one.reduction != "none"]
        alone = [one for one in zero_shot if one.reduction == "none"]
        if part == "methods":
            return [one for one in alone if one.prompt == splits[0].prompt]
        several = {one.method for one in alone if one.prompt != splits[0].prompt}
        return [one for one in alone if one.method in several]

    def _make_table(self, family: str) -> pd.DataFrame:
        splits, parts = self.splits(family), []
        shared = {"chance": self.chance(family), "upper_bound": self.upper_bound(family)}
        shared |= {"seen_top1": self.seen_top1(family), "n_splits": len(splits)}
        for part in PARTS:
            ones = self._scored(part, family)
            if not ones:
                continue
            rows = pd.DataFrame([{"part": part} | self._figures(one, family) | shared for one in ones])
            if part == "generalised":  # with other candidates the bound of unseen classes bounds nothing
                among_all = float(np.mean([1 / len(one.names("all")) for one in splits]))
                rows = rows.assign(chance=among_all, upper_bound=np.nan)
            methods = [self.baseline(family)] if part in ("methods", "reductions") else []
            if part == "prompts" and any(one.prompt == BASELINE_PROMPT for one in ones):
                methods = list(dict.fromkeys(one.method for one in ones))
            if methods:
                compared = pd.concat([self.against(None, part, method, family) for method in methods])
                rows = rows.merge(compared.drop(columns="chosen_in", errors="ignore"), on=list(KEY))
            parts.append(rows)
        table = pd.concat(parts, ignore_index=True)
        return table.assign(claimed=table["claimed"].eq(True)) if "claimed" in table else table

    def _figures(self, one: Scored, family: str) -> dict[str, Any]:
        """The row of one method, prompt and reduction."""
        splits, rows = self.splits(family), self._tally(family, one.where)
        found = [split.find(**one.where) for split in splits]
        ranks = [split.judged(each).rank_B for split, each in zip(splits, found, strict=True)]
        right, n_clips = [(of_split == 1).mean() for of_split in ranks], int(rows["clips"].sum())
        reduction = "" if one.reduction == "none" else f", {REDUCTIONS[one.reduction].label}"
        figures: dict[str, Any] = {"label": LABELS[one.method] + reduction} | one.where
        for quantity in QUANTITIES:
            low, high = interval(rows, quantity)
            figures |= {quantity: accuracy(rows, quantity), f"{quantity}_low": low, f"{quantity}_high": high}
        figures |= {"top5": sum(int((of_split <= 5).sum()) for of_split in ranks) / n_clips}
        figures |= {"std": float(np.std(right)) if len(splits) > 1 else None}
        figures |= {"splits_top1": "; ".join(f"{share:.6g}" for share in right)}
        if found[0].validation_top1 is not None:
            figures |= {"validation_top1": float(np.mean([each.validation_top1 for each in found]))}
        figures |= {"settings": "; ".join(settings_as_text(each.settings) for each in found).strip("; ")}
        if one.candidates == "all":
            sides = (self._tally(family, one.where, role) for role in ("seen_test", "test"))
            figures |= generalised_figures(splits, one, *sides)
        else:
            figures |= self._hubness_and_calibration(one, family)
        figures |= {"n_clips": n_clips, "n_classes": len(rows)}
        prints = self.fingerprints(one, family).items()
        return figures | {f"fingerprint_{name}": value for name, value in prints}

    def _hubness_and_calibration(self, one: Scored, family: str) -> dict[str, Any]:
        """Means over splits; intervals of the hubness measures by resampling classes."""
        splits = self.splits(family)
        occurrences = [split.judged(split.find(**one.where)).occurrence_C for split in splits]
        figures: dict[str, Any] = {}
        for name, (low, high) in hubness_interval(occurrences, 1).items():
            mean = float(np.mean([getattr(hubness(counts, 1), name) for counts in occurrences]))
            figures |= {f"hubness_{name}": mean, f"hubness_{name}_low": low, f"hubness_{name}_high": high}
        if any(split.find(**one.where).temperature is None for split in splits):
            return figures
        return figures | pd.DataFrame([_confidence(split, one) for split in splits]).mean().to_dict()

    def fingerprints(self, one: Scored, family: str | None = None) -> dict[str, Any]:
        """What a row came from, whatever the order of the splits; method with what was chosen in each."""
        splits = sorted(self.splits(family), key=lambda split: split.protocol.hash)
        hashes = [split.protocol.hash for split in splits]
        chosen = [split.find(**one.where) for split in splits]
        checkpoints = [split.about["fingerprints"]["checkpoint"] for split in splits]
        settings = [[each.settings, each.gammas] for each in chosen]
        return self.data | {
            "protocol": fingerprint("splits", hashes, one.candidates),
            "class_text": splits[0].about["text_fingerprints"].get(one.prompt),
            "encoder": splits[0].about["fingerprints"]["encoder"],
            "checkpoints": fingerprint("checkpoints", hashes, checkpoints),
            "method": fingerprint("method", one.method, one.reduction, one.setting, hashes, settings),
        }


def _confidence(split: Predictions, one: Scored) -> dict[str, float]:
    """How far the confidences of one split can be believed."""
    judged = split.judged(split.find(**one.where))
    confidence, right = judged.confidence_B, judged.rank_B == 1
    curve = risk_coverage(confidence, right)
    return {
        "calibration_error": reliability(confidence, right).error,
        "negative_log_likelihood": judged.log_loss,
        "aurc": curve.aurc,
        "error_at_80": curve.error_at_80,
    }


def settings_as_text(settings: Mapping[str, Any]) -> str:
    """What was chosen, for reading: "k 5, tau 0.3 (edge of its grid), centred"; "" where nothing was."""
    return ", ".join(
        (f"{name.replace('_', ' ')} {value:g}" if isinstance(value, (int, float)) else str(value))
        + " (edge of its grid)" * at_edge(name, value)
        for name, value in settings.items()
    )
