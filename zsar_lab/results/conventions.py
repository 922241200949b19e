"""The conventions table: one method on the same embeddings under every convention that papers score by.

Accuracies are fractions, 0..1. Shapes: B test clips, C candidate classes, D width of the shared space.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
import pandas as pd

from zsar_lab.embed.embeddings import ClipEmbeddings
from zsar_lab.methods.clips import TRANSDUCTIVE, nearest_scores
from zsar_lab.methods.hubness_reduction import REDUCTIONS
from zsar_lab.methods.table import LABELS
from zsar_lab.protocols.build import class_order, half_split
from zsar_lab.results.predictions import Predictions
from zsar_lab.results.statistics import accuracy, interval
from zsar_lab.text.prompts import label

REFERENCE, CLIPS, SPLITS, ORDER = "reference", "clips scored", "splits", "class order"
TEXT, VIEWS, AVERAGE, CANDIDATES = "class text", "views", "average", "candidates"
LOOKS, UNSEEN_ALONE, ALL = "looking at the test clips", "all with unseen candidates alone", "the whole table"
N_SEEDS, MANY_SEEDS, FEWEST_TO_HALVE = 10, 50, 4
# methods whose score of a class depends on the other candidates
RELATIVE = ("transfer_match", "direct_reranked", "transfer_reranked")


@dataclass(frozen=True, eq=False)
class ConventionTable:
    """The same embeddings and method under every convention.

    Attributes:
        method: the method scored.
        table: the reference first, then the others by aspect; columns aspect (what is changed in the
            reference), name, scored (in words), n_splits (the study's, times the halves or lists that each is
            scored by), candidates and clips (means over splits), chance (mean over splits of 1 / candidates),
            top1 (of the clips of all splits; of "average" the mean over classes) with top1_low and top1_high,
            std (of top1 over splits, ddof 0; NaN for one), above_chance ((top1 - chance) / (1 - chance)),
            difference (to the reference; without a p value, for the two are different quantities).
        methods: top1 of each method under the reference convention.
        left_out: sentences on what could not be scored.
    """

    method: str
    table: pd.DataFrame
    methods: Mapping[str, float]
    left_out: tuple[str, ...]

    def spreads(self) -> pd.DataFrame:
        """How far the conventions of an aspect lie apart: its rows and the reference (or the halves).

        Returns:
            A row for each aspect, for all rows whose candidates are the unseen classes alone, and for the
            whole table: aspect, lowest and highest (rows of `table`), top1 (highest less lowest), and
            above_chance (the same of that column, whose extremes may be other rows).
        """
        table, found = self.table, []
        halves = table.index[table["aspect"] == SPLITS].tolist()[:1]
        groups = {
            aspect: [*(halves if aspect == ORDER else [0]), *rows.index]
            for aspect, rows in table[1:].groupby("aspect", sort=False)
        }
        groups |= {UNSEEN_ALONE: table.index[table["aspect"] != CANDIDATES], ALL: table.index}
        for aspect, rows in groups.items():
            top1, above = table.loc[rows, "top1"], table.loc[rows, "above_chance"]
            ends = {"aspect": aspect, "lowest": top1.idxmin(), "highest": top1.idxmax()}
            found.append(ends | {"top1": np.ptp(top1), "above_chance": np.ptp(above)})
        return pd.DataFrame(found)

    def sentence(self) -> str:
        """How far the conventions alone move top-1, with chance at both ends, beside the methods."""
        table, spread = self.table, self.spreads().iloc[-2]
        low, high = (
            f"{_percent(row.top1)} ({row.aspect}: {row['name']}; chance {_percent(row.chance)})"
            for row in (table.loc[spread.lowest], table.loc[spread.highest])
        )
        worst, best = (pick(self.methods, key=lambda method: self.methods[method]) for pick in (min, max))
        apart = self.methods[best] - self.methods[worst]
        words = " With seen classes among the candidates it is"
        generalised = [
            f"{words} {_percent(row.top1)} (chance {_percent(row.chance)})."
            for row in table[table["aspect"] == CANDIDATES].itertuples()
        ]
        return (
            f"The conventions alone move top-1 of {LABELS[self.method]} from {low} to {high}, by"
            f" {100 * spread.top1:.1f} points, and by {100 * spread.above_chance:.1f} when each is rescaled"
            f" above its chance; by the reference convention it is {_percent(table.loc[0, 'top1'])}. The"
            f" methods differ there by {100 * apart:.1f} points, from {_percent(self.methods[worst])}"
            f" ({LABELS[worst]}) to {_percent(self.methods[best])} ({LABELS[best]})."
        ) + "".join(generalised)


class _Scored(NamedTuple):
    """Clips of one split (or of half of its classes) under a convention: rows with label and rank."""

    rows: pd.DataFrame
    n_candidates: int


_Aspect = tuple[str, str, str, list[_Scored]]  # aspect, name, what is scored, the splits


def conventions_of(
    splits: Sequence[Predictions],
    clips: Sequence[ClipEmbeddings],
    method: str = "transfer",
    orders: Mapping[str, Sequence[str]] | None = None,
    official: Mapping[str, Collection[str]] | None = None,
    views: Sequence[Mapping[str, ClipEmbeddings]] = (),
) -> ConventionTable:
    """Score the same embeddings by one method under every convention.

    The reference has all unseen classes as candidates, all their clips, the micro average, the training's
    class text and the study's views, and looks at one clip at a time; every other row changes one of these.
    The method's settings are those chosen on validation classes for the reference; only another class text or
    a hubness reduction has settings of its own, chosen in the same way.

    Args:
        splits: the predictions of one kind of protocol.
        clips: what each was scored from, in the same order.
        method: one whose score of a class does not depend on the other candidates. Views, candidates and
            reductions are scored for "transfer" alone.
        orders: other orders of the classes to split halves by, each with all unseen classes, see
            `class_orders`.
        official: ids of the clips in each official test list, see `official_test_lists`; without them a third
            of each class's clips.
        views: for each split embeddings of its test clips by the same checkpoint under other test-time
            views, the same names in each split. Seen prototypes stay those of the study's views.

    Raises:
        ValueError: no split, embeddings of another checkpoint or lacking a clip, views for another method
            than transfer, an order that lacks a class, a list without a clip of a split, or the method cannot
            be scored.
    """
    check_same_embeddings(splits, clips)
    if method in RELATIVE:
        raise ValueError(f"a method must score each class by itself to be cut into halves, got {method!r}")
    if views and method != "transfer":
        raise ValueError(f"other views are scored by transfer alone, got method {method!r}")
    left_out: list[str] = []
    reference = _scored_by(splits, method)
    words = "all unseen classes are candidates, all their clips; micro average; class text"
    words += f" {splits[0].prompt}; the study's views; inductive"
    aspects: list[_Aspect] = [(REFERENCE, "reference", words, reference)]
    aspects += _clips_scored(splits, reference, official or {})
    aspects += _halves(splits, method, orders or {}, left_out)
    keys = set.intersection(*({one.key for one in split.scored} for split in splits))
    common = [one for one in splits[0].scored if one.key in keys and one.method == method]
    alone = [one for one in common if (one.reduction, one.candidates) == ("none", "unseen")]
    words = "class text {}, settings chosen for it on validation classes"
    prompts = [one.prompt for one in alone if one.prompt != splits[0].prompt]
    aspects += [(TEXT, one, words.format(one), _scored_by(splits, method, prompt=one)) for one in prompts]
    if not prompts:
        left_out.append(f"{TEXT}: no other prompt was scored under {LABELS[method]}")
    if method == "transfer":
        words = "generalised: the unseen classes' clips; seen classes are candidates too, by their own"
        words += " prototypes, nothing taken off their scores"
        among_all = _scored_by(splits, method, candidates="all", role="test")
        aspects.append((CANDIDATES, "seen and unseen classes", words, among_all))
        aspects += _views(splits, views, left_out)
        words = "transductive: fitted on the test clips themselves, so that each prediction depends on others"
        for one in (one for one in common if one.setting == TRANSDUCTIVE):
            aspects.append((LOOKS, REDUCTIONS[one.reduction].label, words, _scored_by(splits, **one.where)))
        if aspects[-1][0] != LOOKS:
            left_out.append(f"{LOOKS}: no transductive reduction was scored")
    words = "mean over classes of the share of their clips that are right"
    aspects.append((AVERAGE, "mean of classes", words, reference))
    table = pd.DataFrame([_row(*of) for of in aspects])
    table["above_chance"] = (table["top1"] - table["chance"]) / (1 - table["chance"])
    table["difference"] = table["top1"] - table.loc[0, "top1"]
    own = [one for one in splits[0].scored if (one.prompt, one.reduction) == (splits[0].prompt, "none")]
    names = [one.method for one in own if one.candidates == "unseen" and one.method != "upper_bound"]
    methods = {name: accuracy(_pooled(_scored_by(splits, name))) for name in names}
    return ConventionTable(method, table, methods, tuple(left_out))


def class_orders(classes: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """Other orders of a catalog's classes that a seed may be counted by, for `conventions_of`.

    By their names and by their readable labels, both without regard to case (as many annotation files count),
    and by their families where there are any. The reference's own order is by code point.
    """
    keys = pd.DataFrame({"names without regard to case": classes["name"], "readable labels": label(classes)})
    keys = keys.map(str.casefold)
    if "family" in classes:
        keys["families, then names"] = classes["family"]
    return {
        order: tuple(name for _, name in sorted(zip(keys[order], classes["name"], strict=True)))
        for order in keys
    }


def official_test_lists(clips: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """Ids of a catalog's clips in each official test list, for `conventions_of`; {} where there is none."""
    table = clips["splits"].str.split(expand=True).set_axis(clips["id"])
    lists = {f"official test list {n + 1}": tuple(table.index[table[n] == "test"]) for n in table}
    return {name: ids for name, ids in lists.items() if ids}


def check_same_embeddings(splits: Sequence[Predictions], clips: Sequence[ClipEmbeddings]) -> None:
    """Raise ValueError unless these are the embeddings that the splits were scored from, in order."""
    if not splits or len(splits) != len(clips):
        got = f"{len(splits)} splits and {len(clips)}"
        raise ValueError(f"every split needs the embeddings it was scored from, got {got}")
    for split, embedded in zip(splits, clips, strict=True):
        own = split.about["fingerprints"]["embeddings"]
        if own != embedded.fingerprint:
            got = f"{own}, got {embedded.fingerprint}"
            raise ValueError(f"{split.split!r} must come with the embeddings it was scored from, {got}")


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _pooled(scored: Sequence[_Scored]) -> pd.DataFrame:
    return pd.concat([one.rows[["label", "rank"]] for one in scored], ignore_index=True)


def _row(aspect: str, name: str, words: str, scored: Sequence[_Scored]) -> dict[str, object]:
    quantity = "mean_class" if aspect == AVERAGE else "top1"
    pooled, n_candidates = _pooled(scored), [one.n_candidates for one in scored]
    low, high = interval(pooled, quantity)
    top1 = [accuracy(one.rows, quantity) for one in scored]
    found = {"aspect": aspect, "name": name, "scored": words, "n_splits": len(scored)}
    found |= {"candidates": np.mean(n_candidates), "clips": len(pooled) / len(scored)}
    found |= {"chance": np.mean(1 / np.array(n_candidates)), "top1": accuracy(pooled, quantity)}
    return found | {"top1_low": low, "top1_high": high, "std": np.std(top1) if len(top1) > 1 else np.nan}


def _scored_by(splits: Sequence[Predictions], method: str, **where: str) -> list[_Scored]:
    candidates = where.get("candidates", "unseen")
    return [_Scored(split.rows(method, **where), len(split.names(candidates))) for split in splits]


def _clips_scored(
    splits: Sequence[Predictions], reference: Sequence[_Scored], official: Mapping[str, Collection[str]]
) -> list[_Aspect]:
    """The clips of the official test lists; without them the last third of each class's clips."""
    if not official:
        words = "the last third of each class's clips in the order of their ids, for want of official lists"
        thirds = []
        for rows, n_candidates in reference:
            in_order = rows.sort_values("clip").groupby("label")["clip"]
            last = in_order.cumcount(ascending=False) < (in_order.transform("size") // 3).clip(lower=1)
            thirds.append(_Scored(rows[last.sort_index()], n_candidates))
        return [(CLIPS, "a third of the clips", words, thirds)]
    lists: list[_Aspect] = []
    for name, ids in official.items():
        kept = [_Scored(rows[rows["clip"].isin(list(ids))], n) for rows, n in reference]
        empty = [split.split for split, one in zip(splits, kept, strict=True) if one.rows.empty]
        if empty:
            raise ValueError(f"official list {name!r} must hold clips of every split, none of {empty[0]!r}")
        lists.append((CLIPS, name, "only the clips of that list", kept))
    if len(lists) > 1:
        pooled = [one for *_, scored in lists for one in scored]
        words = "the clips of all lists, a clip once a list"
        lists.append((CLIPS, f"all {len(lists)} official lists", words, pooled))
    return lists


def _halves(
    splits: Sequence[Predictions], method: str, orders: Mapping[str, Sequence[str]], left_out: list[str]
) -> list[_Aspect]:
    """Halves of the unseen classes by the published seeds, counted in the published and in other orders."""
    fewest = min(len(split.protocol.unseen) for split in splits)
    if fewest < FEWEST_TO_HALVE:
        need = f"halves need {FEWEST_TO_HALVE} unseen classes or more in every split"
        left_out.append(f"{SPLITS} and {ORDER}: {need}, one has {fewest}")
        return []

    def halved(ordered: Sequence[Sequence[str]], n_seeds: int) -> list[list[_Scored]]:
        """Of each seed half of the classes of each split, counted in this order of them."""
        columns = [np.array([split.names().index(name) for name in of]) for split, of in zip(splits, ordered)]
        scores = [split.scores(method) for split in splits]
        return [
            [
                _Scored(split.rescored(s, c[half_split(len(c), seed)]), len(c) // 2)
                for split, s, c in zip(splits, scores, columns)
            ]
            for seed in range(n_seeds)
        ]

    published = [class_order(split.protocol.unseen) for split in splits]
    by_seed = halved(published, MANY_SEEDS)
    words = "np.random.seed(s); np.random.permutation(n)[:n//2] over the sorted names of the unseen classes"
    words, many = f"{words}, s = 0..{N_SEEDS - 1}", f"the same with s = 0..{MANY_SEEDS - 1}"
    aspects: list[_Aspect] = [
        (SPLITS, f"halves, {N_SEEDS} seeds", words, [*chain(*by_seed[:N_SEEDS])]),
        (SPLITS, f"halves, {MANY_SEEDS} seeds", many, [*chain(*by_seed)]),
    ]
    top1 = [accuracy(_pooled(of_seed)) for of_seed in by_seed[:N_SEEDS]]
    for what, seed in (("best", int(np.argmax(top1))), ("worst", int(np.argmin(top1)))):
        words = f"seed {seed} alone, known to be the {what} only from the result"
        aspects.append((SPLITS, f"one half, the {what} of {N_SEEDS}", words, by_seed[seed]))
    for name, order in orders.items():
        place = {of_class: number for number, of_class in enumerate(order)}
        lacking = [one for split in splits for one in split.protocol.unseen if one not in place]
        if lacking:
            raise ValueError(f"order {name!r} must hold every unseen class, it lacks {lacking[0]!r}")
        ordered = [sorted(split.protocol.unseen, key=place.__getitem__) for split in splits]
        same = "here it is the same, and so are the halves" if ordered == published else "other halves"
        words = f"the same {N_SEEDS} seeds, counted over another order: {same}"
        aspects.append((ORDER, name, words, [*chain(*halved(ordered, N_SEEDS))]))
    if not orders:
        left_out.append(f"{ORDER}: no other order was given")
    return aspects


def _views(
    splits: Sequence[Predictions], views: Sequence[Mapping[str, ClipEmbeddings]], left_out: list[str]
) -> list[_Aspect]:
    """The clips embedded under other views, by their nearest composed prototype."""
    if not views:
        left_out.append(f"{VIEWS}: no embeddings under other views were given")
        return []
    if len(views) != len(splits) or any(views[0].keys() != given.keys() for given in views):
        got = "; ".join(", ".join(given) or "none" for given in views)
        raise ValueError(f"other views must have the same names for each of {len(splits)} splits, got {got}")
    aspects: list[_Aspect] = []
    for name in views[0]:
        scored = []
        for split, given in zip(splits, views, strict=True):
            own, other = split.about["fingerprints"]["checkpoint"], given[name].about.get("checkpoint")
            if other != own:
                raise ValueError(f"views must be of the split's checkpoint {own}, {name!r} is of {other}")
            rows = given[name].embedding_ND[given[name].rows(split.ids())]
            other_rows = split.rescored(nearest_scores(rows, split.prototypes("composed")))
            scored.append(_Scored(other_rows, len(split.names())))
        words = f"test clips embedded under {name}; prototypes stay those of the study's views"
        aspects.append((VIEWS, name, words, scored))
    return aspects
