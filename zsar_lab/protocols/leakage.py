"""Leakage audit: training classes that are test classes under another name, by words and by texts' distance.

Shapes: S training (seen) classes, U test (unseen) classes, F width of the pooled embeddings.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from zsar_lab.files import fingerprint, write_json
from zsar_lab.names import same
from zsar_lab.shown import Shown
from zsar_lab.text.class_lists import label, normalised
from zsar_lab.text.relatedness import unit

if TYPE_CHECKING:
    from zsar_lab.text.encoder_files import EncoderFiles
    from zsar_lab.text.prompts import Prompt

# from the strongest to the weakest; all but the last look at words, it at the distance of the texts
RULES = ("exact", "normalised", "reordered", "contained", "embedding")
NAME_RULES, SAME_NAME, REORDERED = RULES[:4], RULES[:2], RULES[2]
FEWEST_CONTAINED = 2
DECIMALS = 6  # finer differences are rounding errors of float32 embeddings
PAIR_COLUMNS = ["train", "test", "train_label", "test_label", "rule", "distance"]


class LeakageError(ValueError):
    """A seen class is an unseen class under another name."""


@dataclass(frozen=True)
class Removal:
    """The training classes left out (sorted), with all that decided it: a file that a protocol can name.

    `rules` are the name rules that removed; `threshold` is the cosine distance to a test class's text under
    which a class was removed, or None; `encoder` is the fingerprint of what the distances come from.
    """

    removed: tuple[str, ...]
    rules: tuple[str, ...]
    threshold: float | None
    encoder: str
    train_names: tuple[str, ...]
    test_names: tuple[str, ...]

    @property
    def hash(self) -> str:
        """Hash of all fields."""
        return fingerprint("removal", asdict(self))

    @property
    def rule_text(self) -> str:
        """What removed, in words that fit `Protocol.removed_rule`."""
        why = f"same name as a test class by the rules {' and '.join(self.rules)}"
        if self.threshold is None:
            return why
        near = f"class text under cosine distance {self.threshold:g} of a test class's"
        return f"{why}, or {near}, encoder {self.encoder[:12] or 'not named'}"

    def save(self, path: Path) -> None:
        """Write the list with its hash as json."""
        write_json(path, asdict(self) | {"hash": self.hash})


@dataclass(frozen=True, eq=False, repr=False)
class LeakageAudit(Shown):
    """Two lists of classes compared, by `audit`.

    `table` has a row for each pair of them, in their order: train, test, train_label, test_label, rule (the
    strongest of `RULES` that holds), distance (cosine, 0..2, of `encoder`; NaN without embeddings).
    """

    train_names: tuple[str, ...]
    test_names: tuple[str, ...]
    table: pd.DataFrame
    encoder: str = ""

    def _facts(self) -> dict[str, Any]:
        return {"training classes": len(self.train_names), "test classes": len(self.test_names)}

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """The pairs that a name rule finds, and each training class with its nearest test class."""
        listed = self.table["rule"] != "embedding"
        if self.distances_SU is not None:
            starts = np.arange(len(self.train_names)) * len(self.test_names)
            listed.iloc[starts + self.distances_SU.argmin(1)] = True
        found = self.table[listed]
        found = found.assign(strength=found["rule"].map(RULES.index))
        found = found.sort_values(["distance", "strength", "train", "test"], ignore_index=True)
        return found.drop(columns="strength")

    @property
    def distances_SU(self) -> np.ndarray | None:
        """Distances, float64 to six decimals; None without embeddings."""
        distances = self.table["distance"].to_numpy()
        return None if np.isnan(distances).any() else distances.reshape(-1, len(self.test_names))

    def removed(self, threshold: float | None = None, rules: Sequence[str] = SAME_NAME) -> tuple[str, ...]:
        """The training classes, sorted, that a name rule finds or with min_u d(s, u) < threshold.

        `threshold` is a cosine distance, 0..2; None asks the rules (of `NAME_RULES`) alone.
        """
        return tuple(sorted(set(self._found(threshold, rules)["train"])))

    def curve(self, rules: Sequence[str] = ()) -> pd.DataFrame:
        """How many training classes a threshold removes: n(t) = #{s: a rule finds s, or min_u d(s, u) < t}.

        Columns threshold (0, every distance up to 1 after which n grows, 1) and n_removed; a number holds
        from just above the threshold before it.
        """
        found = np.isin(self.train_names, list(self.removed(0.0, rules)))
        nearest = np.where(found, -1.0, self.table.groupby("train", sort=False)["distance"].min())
        thresholds = np.unique([0.0, 1.0, *nearest[(nearest >= 0) & (nearest <= 1)]])
        counts = np.searchsorted(np.sort(nearest), thresholds, side="left")
        return pd.DataFrame({"threshold": thresholds, "n_removed": counts})

    def nearest(self, n: int) -> pd.DataFrame:
        """The n pairs with the smallest distances; columns as `table`."""
        if n < 1:
            raise ValueError(f"n must be at least 1 pair, got {n}")
        self._found(0.0, ())
        return self.table.sort_values("distance", kind="stable", ignore_index=True).head(n)

    def decide(self, threshold: float | None = None) -> Removal:
        """What `removed` gives, with all that it depends on, to be saved; Raises as `removed`."""
        removed, chosen = self.removed(threshold), None if threshold is None else float(threshold)
        return Removal(removed, SAME_NAME, chosen, self.encoder, self.train_names, self.test_names)

    def refuse(
        self,
        seen: Sequence[str],
        unseen: Sequence[str],
        threshold: float | None = None,
        strict: bool = True,
        split: str = "the split",
    ) -> pd.DataFrame:
        """The pairs of a seen and an unseen class that have the same name or are under the threshold.

        Where `strict` such pairs are a LeakageError. `threshold` as of `removed`. Names of the
        same words in another order are often opposites ("sit to stand"): where nothing else finds such a
        pair, there is a warning of it.
        """
        unknown = sorted({*seen} - {*self.train_names}) + sorted({*unseen} - {*self.test_names})
        if unknown:
            raise ValueError(f"every class must be in the audit, {unknown[0]!r} is not")
        both = self.table["train"].isin(list(seen)) & self.table["test"].isin(list(unseen))
        found = self._found(threshold, SAME_NAME)
        found = found[both[found.index]]
        turned = self.table[both & (self.table["rule"] == REORDERED)].drop(index=found.index, errors="ignore")
        found = found.sort_values("distance", kind="stable", ignore_index=True)
        if strict and len(found):
            cure = "leave classes out, or allow them (--allow-leakage, Evaluation(strict=False))"
            got = f"{len(found)} are, {_pairs(found)}"
            raise LeakageError(f"no seen class of {split} may be an unseen one, {got}; {cure}")
        if len(turned):
            same_words = f"{len(turned)} seen and unseen classes of {split} have the same words"
            warnings.warn(
                f"{same_words} in another order, {_pairs(turned)}; are they one class?", stacklevel=2
            )
        return found

    def _found(self, threshold: float | None, rules: Sequence[str]) -> pd.DataFrame:
        """The pairs that one of the name rules finds, or that are nearer than the threshold."""
        odd = [rules] if isinstance(rules, str) else [rule for rule in rules if rule not in NAME_RULES]
        if odd:
            raise ValueError(f"rules must be a list out of {', '.join(NAME_RULES)}, got {odd[0]!r}")
        wanted = self.table["rule"].isin(list(rules))
        if threshold is not None and self.distances_SU is None:
            raise ValueError("a distance threshold needs embeddings, this audit has none; use audit_classes")
        if threshold is not None and not 0 <= threshold <= 2:
            raise ValueError(f"a threshold must be a cosine distance of 0 to 2, got {threshold}")
        return self.table[wanted if threshold is None else wanted | (self.table["distance"] < threshold)]


def audit(
    train_classes: pd.DataFrame,
    test_classes: pd.DataFrame,
    embeddings: tuple[np.ndarray, np.ndarray] | None = None,
    encoder: str = "",
) -> LeakageAudit:
    """Compare training classes with test classes, of two datasets or the seen and unseen ones of one.

    - exact: name or label equal without case, spaces, underscores and hyphens;
    - normalised: the same word stems in one order (`normalised`);
    - reordered: the same word stems. Such names are the same ("throwing discus", "discus throw") or opposites
      ("sit to stand", "stand to sit"), which the texts' distance does not tell apart either (.033 and .036 by
      all-MiniLM-L6-v2): they are listed, and remove only when asked;
    - contained: all stems of one are in the other, at least two of them ("front crawl", "swimming front
      crawl"). It also finds pairs that differ ("petting cat", "petting animal (not cat)"), so it is listed
      and removes only when asked;
    - embedding: none of these. distance = `1 - <a, b> / (|a| |b|)` to six decimals; a threshold goes with its
      encoder and class text.

    The tables have one row a class: the column name, and label where there is one. `embeddings` are of both
    sides, float [S, F] and [U, F], by `encoder` (its fingerprint or name); None: names alone.

    Source: Brattoli et al., CVPR 2020, remove training classes under cosine distance 0.05 of averaged
    word2vec; ours adds the name rules and keeps the list.
    """
    labels = _labels(train_classes, "training"), _labels(test_classes, "test")
    words = [
        [(set(map(same, pair)), set(map(normalised, pair))) for pair in of_side.items()] for of_side in labels
    ]
    pairs = [(*a, *b) for a in labels[0].items() for b in labels[1].items()]
    table = pd.DataFrame(pairs, columns=["train", "train_label", "test", "test_label"])
    table["rule"] = [_name_rule(*a, *b) for a in words[0] for b in words[1]]
    table["distance"] = np.nan
    if embeddings is not None:
        distances_SU = _distances(embeddings, (len(labels[0]), len(labels[1])))
        table["distance"] = distances_SU.ravel().round(DECIMALS)
    return LeakageAudit(tuple(labels[0]), tuple(labels[1]), table[PAIR_COLUMNS], encoder)


def audit_classes(
    train_classes: pd.DataFrame,
    test_classes: pd.DataFrame,
    files: EncoderFiles | None = None,
    prompt: Prompt = label,
    folder: Path | None = None,
) -> LeakageAudit:
    """As `audit`, with the classes' texts embedded by a sentence encoder (looked for when `files` is None).

    The tables have the columns that the prompt needs; `folder` keeps the embeddings for the next time.
    """
    from zsar_lab.text.embeddings import embed_class_text
    from zsar_lab.text.encoder_files import find_encoder
    from zsar_lab.text.prompts import class_text

    files = find_encoder() if files is None else files
    tables = (train_classes, test_classes)
    train_CF, test_CF = (
        embed_class_text(class_text(table, prompt), files, folder).pooled_CF for table in tables
    )
    return audit(*tables, (train_CF, test_CF), files.revision)


def contamination(unseen: pd.DataFrame, training_sets: Sequence[str]) -> tuple[str, dict[str, list[str]]]:
    """Which unseen classes (as for `audit`) a model's training sets name: in words, and by training set.

    Of those whose class list is shipped, such as Kinetics-400; names are the same by the rules exact and
    normalised. Without training sets they are unknown.
    """
    from zsar_lab.data.datasets import PUBLIC, class_list

    if not training_sets:
        return "training data unknown", {}
    found, said = {}, []
    for name in training_sets:
        said.append(name)
        if same(name) in PUBLIC:
            pairs = audit(class_list(same(name)), unseen).table
            found[name] = sorted({*pairs["test"][pairs["rule"].isin(SAME_NAME)]})
            said[-1] += f" ({len(found[name])} of {len(unseen)} unseen classes have a name of it)"
    return f"trained on {', '.join(said)}{', of which no class list is known' * (not found)}", found


def _labels(table: pd.DataFrame, side: str) -> dict[str, str]:
    """The label of each class by its name."""
    if "name" not in table or not len(table):
        raise ValueError(f"the {side} classes must be a table of at least one class with a column 'name'")
    twice = table["name"][table["name"].duplicated()]
    if len(twice):
        raise ValueError(f"each of the {side} classes must be given once, got {twice.iloc[0]!r} twice")
    return dict(zip(table["name"], label(table), strict=True))


def _name_rule(
    plain_a: set[str], stems_a: set[tuple[str, ...]], plain_b: set[str], stems_b: set[tuple[str, ...]]
) -> str:
    """The strongest rule for two classes, by the letters and the stems of their names and labels."""
    if plain_a & plain_b:
        return "exact"
    if stems_a & stems_b:
        return "normalised"
    pairs = [(frozenset(x), frozenset(y)) for x in stems_a for y in stems_b]
    if any(x == y for x, y in pairs):
        return REORDERED
    within = any(min(len(x), len(y)) >= FEWEST_CONTAINED and (x <= y or y <= x) for x, y in pairs)
    return "contained" if within else "embedding"


def _pairs(found: pd.DataFrame) -> str:
    """The first pairs in words."""
    pairs = [f"{row.train!r} and {row.test!r} ({row.rule})" for row in found.head(3).itertuples()]
    return "; ".join(pairs) + "; ..." * (len(found) > 3)


def _distances(embeddings: tuple[np.ndarray, np.ndarray], n_classes: Sequence[int]) -> np.ndarray:
    """1 - cosine of all rows of the first with all of the second, 0..2."""
    units = []
    for rows, n, side in zip(embeddings, n_classes, ("training", "test"), strict=True):
        rows = np.asarray(rows, dtype=np.float64)
        if (
            rows.shape != (n, np.shape(embeddings[0])[-1])
            or not np.isfinite(rows).all()
            or not rows.any(1).all()
        ):
            got = f"{n} rows, finite, not zero and of one width, got shape {rows.shape}"
            raise ValueError(f"the {side} embeddings must be {got}")
        units.append(unit(rows))
    return np.clip(1 - units[0] @ units[1].T, 0, 2)
