"""The conventions table: one method on the same embeddings under every convention that papers score by, and how far that alone moves top-1.

Accuracies are fractions, 0..1.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from zsar_lab.embed.embeddings import ClipEmbeddings
from zsar_lab.methods.metrics import top_k_accuracy
from zsar_lab.methods.query_bank import TRANSDUCTIVE
from zsar_lab.protocols.splits import class_order
from zsar_lab.results.answers import FEWEST_TO_HALVE, Answers, ScoredSplit
from zsar_lab.results.evaluate import FUSED, TRANSFER, SplitResult
from zsar_lab.results.statistics import class_bootstrap
from zsar_lab.text.prompts import label

REFERENCE, CLIPS, SPLITS, ORDER = "reference", "clips scored", "splits", "class order"
TEXT, VIEWS, AVERAGE, CANDIDATES, LOOKS = (
    "class text",
    "views",
    "average",
    "candidates",
    "looking at the test clips",
)
UNSEEN_ALONE, ALL = "all with unseen candidates alone", "the whole table"
N_SEEDS, MANY_SEEDS = 10, 50


@dataclass(frozen=True)
class Convention:
    """One way to score the same embeddings.

    Attributes:
        aspect: what it changes in the reference; "reference" for that itself.
        name: of the convention.
        scored: what is scored, in words.
        n_splits: how many splits `top1` is a mean of: the study's, times the halves or lists that each is
            scored by.
        candidates, clips: means over splits of the number of candidate classes and of clips scored.
        chance: mean over splits of 1 / candidates.
        top1: mean over splits.
        std: of top1 over splits (ddof 0), as the literature prints it; no number for a single split.
        ci95: class-bootstrap interval over the clips of all splits (of the classes' shares where classes are
            averaged).
        difference: top1 less the reference's. There is no p value: the two are different quantities.
    """

    aspect: str
    name: str
    scored: str
    n_splits: int
    candidates: float
    clips: float
    chance: float
    top1: float
    std: float
    ci95: tuple[float, float]
    difference: float

    @property
    def above_chance(self) -> float:
        """(top1 - chance) / (1 - chance): 0 at chance, 1 where all is right, so that other numbers of candidates can be compared."""
        return (self.top1 - self.chance) / (1 - self.chance)


@dataclass(frozen=True)
class Spread:
    """How far the conventions of one aspect lie apart, what they change among them: the reference, or for the class order the ten halves.

    Attributes:
        aspect: the aspect, "all with unseen candidates alone" or "the whole table".
        lowest, highest: by top1.
        top1: highest less lowest.
        above_chance: the same of accuracies rescaled above chance, whose lowest and highest may be other
            conventions.
    """

    aspect: str
    lowest: Convention
    highest: Convention
    top1: float
    above_chance: float

    @staticmethod
    def of(aspect: str, rows: Sequence[Convention]) -> Spread:
        lowest, highest = (best(rows, key=lambda row: row.top1) for best in (min, max))
        rescaled = [row.above_chance for row in rows]
        return Spread(aspect, lowest, highest, highest.top1 - lowest.top1, max(rescaled) - min(rescaled))


@dataclass(frozen=True)
class ConventionTable:
    """The same embeddings and method under every convention.

    Attributes:
        method: the method scored.
        rows: the reference first, then the others by aspect.
        methods: top1 of each method by the reference convention.
        left_out: sentences on what could not be scored.
    """

    method: str
    rows: tuple[Convention, ...]
    methods: Mapping[str, float]
    left_out: tuple[str, ...]

    @property
    def reference(self) -> Convention:
        return self.rows[0]

    def spreads(self) -> tuple[Spread, ...]:
        """The spread of each aspect, of all rows whose candidates are the unseen classes alone, and of the whole table."""
        by_aspect: dict[str, list[Convention]] = {}
        for row in self.rows[1:]:
            by_aspect.setdefault(row.aspect, []).append(row)
        changed = {ORDER: by_aspect.get(SPLITS, [])[:1]}
        of_aspects = (
            Spread.of(aspect, [*changed.get(aspect, self.rows[:1]), *rows])
            for aspect, rows in by_aspect.items()
        )
        return (
            *of_aspects,
            Spread.of(UNSEEN_ALONE, [row for row in self.rows if row.aspect != CANDIDATES]),
            Spread.of(ALL, self.rows),
        )

    def sentence(self) -> str:
        """How far the conventions alone move top-1, with chance at both ends, beside how far the methods differ."""
        spread = self.spreads()[-2]
        low, high = (
            f"{_percent(row.top1)} ({row.aspect}: {row.name}; chance {_percent(row.chance)})"
            for row in (spread.lowest, spread.highest)
        )
        worst, best = (pick(self.methods, key=lambda method: self.methods[method]) for pick in (min, max))
        generalised = [row for row in self.rows if row.aspect == CANDIDATES]
        return (
            f"The conventions alone move top-1 of {self.method} from {low} to {high}, by {100 * spread.top1:.1f} points, and by"
            f" {100 * spread.above_chance:.1f} when each is rescaled above its chance; by the reference convention it is"
            f" {_percent(self.reference.top1)}. The methods differ there by {100 * (self.methods[best] - self.methods[worst]):.1f} points, from"
            f" {_percent(self.methods[worst])} ({worst}) to {_percent(self.methods[best])} ({best})."
            + "".join(
                f" With seen classes among the candidates it is {_percent(row.top1)} (chance {_percent(row.chance)})."
                for row in generalised
            )
        )


def conventions_of(
    results: Sequence[SplitResult],
    clips: Sequence[ClipEmbeddings],
    method: str = TRANSFER,
    orders: Mapping[str, Sequence[str]] | None = None,
    official: Mapping[str, Collection[str]] | None = None,
    views: Sequence[Mapping[str, ClipEmbeddings]] = (),
) -> ConventionTable:
    """Score the same embeddings by one method under every convention.

    The reference has all unseen classes as candidates, all their clips, the micro average, the training's
    class text and the study's views, and looks at one clip at a time; every other row changes one of these.
    The method's settings are those chosen on validation classes for the reference; only another class text or
    a correction has settings of its own, chosen in the same way.

    Args:
        results: the splits of one kind of protocol.
        clips: what each was scored from, in the same order.
        method: any but "transfer + match", whose score of a class depends on which others are candidates.
            Views, candidates and corrections are scored for "transfer" alone.
        orders: other orders of the classes to split halves by, each with all unseen classes, see
            `class_orders`.
        official: ids of the clips in each official test list, see `official_test_lists`; without them a third
            of each class's clips.
        views: for each split embeddings of its test clips by the same checkpoint under other test views, the
            same names in each split. Seen prototypes stay those of the study's views.

    Raises:
        ValueError: no split, embeddings of another checkpoint or lacking a clip, views for another method
            than transfer, an order that lacks a class, a list without a clip of a split, or the method cannot
            be scored.
    """
    check_same_embeddings(results, clips)
    if method == FUSED:
        raise ValueError(
            f"halves of the classes cannot be cut from scores that depend on the other candidates, got method {method!r}; take {TRANSFER!r}"
        )
    if views and method != TRANSFER:
        raise ValueError(
            f"other views are scored by the prototypes of {TRANSFER!r} alone, got method {method!r}; leave the views out"
        )
    splits = _gather(results, clips, method)
    left_out: list[str] = []
    aspects = [
        *_clips_scored(splits, official or {}),
        *_halves(splits, orders or {}, left_out),
        *_texts(splits, method, left_out),
    ]
    if method == TRANSFER:
        words = "generalised: the unseen classes' clips; seen classes are candidates too, by their own prototypes, nothing taken off their scores"
        aspects.append(
            (CANDIDATES, "seen and unseen classes", words, [split.among_all() for split in splits])
        )
        aspects += [*_views(splits, views, left_out), *_corrections(splits, left_out)]
    reference, scored = [split.answers() for split in splits], splits[0].scored
    aspects.append(
        (
            AVERAGE,
            "mean of classes",
            "mean over classes of the share of their clips that are right",
            [a.by_class() for a in reference],
        )
    )
    words = f"all unseen classes are candidates, all their clips; micro average; class text {scored.class_text}; the study's views; {scored.setting}"
    first = _row(REFERENCE, "reference", words, reference, None)
    return ConventionTable(
        method,
        (first, *(_row(*aspect, first) for aspect in aspects)),
        _top1_of_methods(results),
        tuple(left_out),
    )


def class_orders(classes: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """Other orders of the same classes that a seed may be counted by, for `conventions_of`.

    Args:
        classes: of a catalog, columns `name` and optionally `label` and `family`; its own order is the
            reference's, by code point.

    Returns:
        Class names by their names and by their readable labels, both without regard to case (as many
        annotation files count), and by their families where there are any.
    """
    keys = pd.DataFrame(
        {"names without regard to case": classes["name"], "readable labels": label(classes)}
    ).map(str.casefold)
    if "family" in classes:
        keys["families, then names"] = classes["family"]
    return {
        order: tuple(name for _, name in sorted(zip(keys[order], classes["name"], strict=True)))
        for order in keys
    }


def official_test_lists(clips: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """Ids of the clips in each official test list, for `conventions_of`; {} where the dataset has none.

    Args:
        clips: of a catalog, columns `id` and `splits` (a word an official list, "train test train").
    """
    table = clips["splits"].str.split(expand=True).set_axis(clips["id"])
    lists = {
        f"official test list {number + 1}": tuple(table.index[table[number] == "test"]) for number in table
    }
    return {name: ids for name, ids in lists.items() if ids}


def check_same_embeddings(results: Sequence[SplitResult], clips: Sequence[ClipEmbeddings]) -> None:
    """Check that these embeddings are those that the splits were scored from, in the same order.

    Raises:
        ValueError: no split, another number of embeddings, or another fingerprint.
    """
    if not results or len(results) != len(clips):
        raise ValueError(
            f"every split needs the embeddings it was scored from, got {len(results)} splits and {len(clips)}; give one of each"
        )
    for result, embedded in zip(results, clips, strict=True):
        if result.fingerprints["embeddings"] != embedded.fingerprint:
            raise ValueError(
                f"a split must come with the embeddings it was scored from, {result.protocol.name!r} with {result.fingerprints['embeddings']}, got"
                f" {embedded.fingerprint}; give both in the same order"
            )


_Aspect = tuple[str, str, str, list[Answers]]  # aspect, name, what is scored, answers of each split


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _gather(
    results: Sequence[SplitResult], clips: Sequence[ClipEmbeddings], method: str
) -> list[ScoredSplit]:
    number = {
        name: n
        for n, name in enumerate(class_order({name for result in results for name in result.protocol.unseen}))
    }
    return [
        ScoredSplit(
            result,
            embedded,
            result.method(method),
            np.array([number[name] for name in result.protocol.unseen]),
        )
        for result, embedded in zip(results, clips, strict=True)
    ]


def _top1_of_methods(results: Sequence[SplitResult]) -> dict[str, float]:
    names = [scored.method for scored in results[0].methods]
    return {
        name: float(np.mean([top_k_accuracy(r.method(name).scores_BC, r.targets, 1) for r in results]))
        for name in names
    }


def _row(
    aspect: str, name: str, scored: str, answers: Sequence[Answers], reference: Convention | None
) -> Convention:
    top1 = [of_split.top1 for of_split in answers]
    mean = float(np.mean(top1))
    return Convention(
        aspect,
        name,
        scored,
        len(answers),
        candidates=float(np.mean([of_split.n_candidates for of_split in answers])),
        clips=float(np.mean([of_split.n_clips for of_split in answers])),
        chance=float(np.mean([1 / of_split.n_candidates for of_split in answers])),
        top1=mean,
        std=float(np.std(top1)) if len(top1) > 1 else float("nan"),
        ci95=class_bootstrap(
            np.concatenate([a.right for a in answers]), np.concatenate([a.classes for a in answers])
        ),
        difference=mean - reference.top1 if reference else 0.0,
    )


def _clips_scored(
    splits: Sequence[ScoredSplit], official: Mapping[str, Collection[str]]
) -> Iterator[_Aspect]:
    """The clips of the official test lists, or without lists a third of each class's clips."""
    if not official:
        words = "the last third of each class's clips in the order of their ids, for want of official lists"
        yield CLIPS, "a third of the clips", words, [split.last_third() for split in splits]
        return
    lists = {name: [split.listed(name, frozenset(ids)) for split in splits] for name, ids in official.items()}
    for name, answers in lists.items():
        yield CLIPS, name, "only the clips of that list", answers
    if len(lists) > 1:
        pooled = [of_split for answers in lists.values() for of_split in answers]
        yield (
            CLIPS,
            f"mean of {len(lists)} official lists",
            "each list's clips, then the mean over lists",
            pooled,
        )


def _halves(
    splits: Sequence[ScoredSplit], orders: Mapping[str, Sequence[str]], left_out: list[str]
) -> Iterator[_Aspect]:
    """Halves of the unseen classes by the published seeds, in the published order of the classes and in others."""
    fewest = min(len(split.numbers) for split in splits)
    if fewest < FEWEST_TO_HALVE:
        left_out.append(
            f"{SPLITS} and {ORDER}: halves need {FEWEST_TO_HALVE} unseen classes or more in every split, one has {fewest}"
        )
        return
    halves = [split.halves(class_order(split.result.protocol.unseen), MANY_SEEDS) for split in splits]
    by_seed = [[of_split[seed] for of_split in halves] for seed in range(N_SEEDS)]
    top1 = [np.mean([half.top1 for half in of_seed]) for of_seed in by_seed]
    words = f"np.random.seed(s); np.random.permutation(n)[:n//2] over the sorted names of the unseen classes, s = 0..{N_SEEDS - 1}"
    yield (
        SPLITS,
        f"halves, {N_SEEDS} seeds",
        words,
        [half for of_split in halves for half in of_split[:N_SEEDS]],
    )
    yield (
        SPLITS,
        f"halves, {MANY_SEEDS} seeds",
        f"the same with s = 0..{MANY_SEEDS - 1}",
        [half for of_split in halves for half in of_split],
    )
    for what, seed in (("best", int(np.argmax(top1))), ("worst", int(np.argmin(top1)))):
        yield (
            SPLITS,
            f"one half, the {what} of {N_SEEDS}",
            f"seed {seed} alone, known to be the {what} only from the result",
            by_seed[seed],
        )
    for name, order in orders.items():
        yield _other_order(splits, name, order)
    if not orders:
        left_out.append(f"{ORDER}: no other order was given")


def _other_order(splits: Sequence[ScoredSplit], name: str, order: Sequence[str]) -> _Aspect:
    place = {of_class: n for n, of_class in enumerate(order)}
    answers, same = [], True
    for split in splits:
        unseen = split.result.protocol.unseen
        lacking = [of_class for of_class in unseen if of_class not in place]
        if lacking:
            raise ValueError(
                f"an order of classes must hold every unseen class, {name!r} lacks {lacking[0]!r}; give all class names of the catalog"
            )
        ordered = sorted(unseen, key=lambda of_class: place[of_class])
        same = same and ordered == class_order(unseen)
        answers += split.halves(ordered, N_SEEDS)
    words = f"the same {N_SEEDS} seeds, counted over another order: " + (
        "here it is the same, and so are the halves" if same else "other halves"
    )
    return ORDER, name, words, answers


def _texts(splits: Sequence[ScoredSplit], method: str, left_out: list[str]) -> Iterator[_Aspect]:
    by_prompt = [
        {
            s.class_text: s
            for s in split.result.texts
            if s.method == method and s.class_text != split.scored.class_text
        }
        for split in splits
    ]
    prompts = [prompt for prompt in by_prompt[0] if all(prompt in scored for scored in by_prompt)]
    if not prompts:
        left_out.append(f"{TEXT}: no other prompt was scored under {method}")
    for prompt in prompts:
        answers = [
            split.answers(scored[prompt].scores_BC) for split, scored in zip(splits, by_prompt, strict=True)
        ]
        yield TEXT, prompt, f"class text {prompt}, settings chosen for it on validation classes", answers


def _views(
    splits: Sequence[ScoredSplit], views: Sequence[Mapping[str, ClipEmbeddings]], left_out: list[str]
) -> Iterator[_Aspect]:
    if not views:
        left_out.append(f"{VIEWS}: no embeddings under other views were given")
        return
    if len(views) != len(splits) or any(views[0].keys() != given.keys() for given in views):
        got = "; ".join(", ".join(given) or "none" for given in views)
        raise ValueError(
            f"other views must be given under the same names for each of {len(splits)} splits, got {got}; embed them for every split"
        )
    for name in views[0]:
        answers = [split.seen_by(name, given[name]) for split, given in zip(splits, views, strict=True)]
        yield (
            VIEWS,
            name,
            f"test clips embedded under {name}; prototypes stay those of the study's views",
            answers,
        )


def _corrections(splits: Sequence[ScoredSplit], left_out: list[str]) -> Iterator[_Aspect]:
    found = [{s.method: s for s in split.result.corrected if s.setting == TRANSDUCTIVE} for split in splits]
    names = [name for name in found[0] if all(name in scored for scored in found)]
    if not names:
        left_out.append(f"{LOOKS}: no transductive correction was scored")
    for name in names:
        words = "transductive: fitted on the test clips themselves, so that every clip's answer depends on the others"
        answers = [split.answers(scored[name].scores_BC) for split, scored in zip(splits, found, strict=True)]
        yield LOOKS, name.removeprefix(f"{TRANSFER}, "), words, answers
