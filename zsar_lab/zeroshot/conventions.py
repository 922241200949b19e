"""The conventions table: one rule on the same embeddings under every convention that papers score by, and how far that alone moves top-1.

Accuracies are fractions, 0..1.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from zsar_lab.data.protocols.draws import class_order
from zsar_lab.text.classtext import label
from zsar_lab.zeroshot.answers import FEWEST_TO_HALVE, Answers, ScoredDraw
from zsar_lab.zeroshot.bank import TRANSDUCTIVE
from zsar_lab.zeroshot.embed import ClipEmbeddings
from zsar_lab.zeroshot.evaluate import FUSED, TRANSFER, DrawResult
from zsar_lab.zeroshot.metrics import top_k_accuracy
from zsar_lab.zeroshot.statistics import class_bootstrap

REFERENCE, CLIPS, DRAWS, ORDER = "reference", "clips scored", "draws", "class order"
TEXT, VIEWS, AVERAGE, CANDIDATES, LOOKS = "class text", "views", "average", "candidates", "looking at the test clips"
UNSEEN_ALONE, ALL = "all with unseen candidates alone", "the whole table"
N_SEEDS, MANY_SEEDS = 10, 50


@dataclass(frozen=True)
class Convention:
    """One way to score the same embeddings.

    Attributes:
        aspect: what it changes in the reference; "reference" for that itself.
        name: of the convention.
        scored: what is scored, in words.
        n_draws: how many draws `top1` is a mean of: the study's, times the halves or lists that each is scored by.
        candidates, clips: means over draws of the number of candidate classes and of clips scored.
        chance: mean over draws of 1 / candidates.
        top1: mean over draws.
        std: of top1 over draws (ddof 0), as the literature prints it; no number for a single draw.
        ci95: class-bootstrap interval over the clips of all draws (of the classes' shares where classes are averaged).
        difference: top1 less the reference's. There is no p value: the two are different quantities.
    """

    aspect: str
    name: str
    scored: str
    n_draws: int
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
        above_chance: the same of accuracies rescaled above chance, whose lowest and highest may be other conventions.
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
    """The same embeddings and rule under every convention.

    Attributes:
        rule: the rule scored.
        rows: the reference first, then the others by aspect.
        rules: top1 of each rule by the reference convention.
        left_out: sentences on what could not be scored.
    """

    rule: str
    rows: tuple[Convention, ...]
    rules: Mapping[str, float]
    left_out: tuple[str, ...]

    @property
    def reference(self) -> Convention:
        return self.rows[0]

    def spreads(self) -> tuple[Spread, ...]:
        """The spread of each aspect, of all rows whose candidates are the unseen classes alone, and of the whole table."""
        by_aspect: dict[str, list[Convention]] = {}
        for row in self.rows[1:]:
            by_aspect.setdefault(row.aspect, []).append(row)
        changed = {ORDER: by_aspect.get(DRAWS, [])[:1]}
        of_aspects = (Spread.of(aspect, [*changed.get(aspect, self.rows[:1]), *rows]) for aspect, rows in by_aspect.items())
        return (*of_aspects, Spread.of(UNSEEN_ALONE, [row for row in self.rows if row.aspect != CANDIDATES]), Spread.of(ALL, self.rows))

    def sentence(self) -> str:
        """How far the conventions alone move top-1, with chance at both ends, beside how far the rules differ."""
        spread = self.spreads()[-2]
        low, high = (f"{_percent(row.top1)} ({row.aspect}: {row.name}; chance {_percent(row.chance)})" for row in (spread.lowest, spread.highest))
        worst, best = (pick(self.rules, key=lambda rule: self.rules[rule]) for pick in (min, max))
        generalised = [row for row in self.rows if row.aspect == CANDIDATES]
        return (
            f"The conventions alone move top-1 of {self.rule} from {low} to {high}, by {100 * spread.top1:.1f} points, and by"
            f" {100 * spread.above_chance:.1f} when each is rescaled above its chance; by the reference convention it is"
            f" {_percent(self.reference.top1)}. The rules differ there by {100 * (self.rules[best] - self.rules[worst]):.1f} points, from"
            f" {_percent(self.rules[worst])} ({worst}) to {_percent(self.rules[best])} ({best})."
            + "".join(f" With seen classes among the candidates it is {_percent(row.top1)} (chance {_percent(row.chance)})." for row in generalised)
        )


def conventions_of(
    results: Sequence[DrawResult],
    clips: Sequence[ClipEmbeddings],
    rule: str = TRANSFER,
    orders: Mapping[str, Sequence[str]] | None = None,
    official: Mapping[str, Collection[str]] | None = None,
    views: Sequence[Mapping[str, ClipEmbeddings]] = (),
) -> ConventionTable:
    """Score the same embeddings by one rule under every convention.

    The reference has all unseen classes as candidates, all their clips, the micro average, the training's class text and the study's views,
    and looks at one clip at a time; every other row changes one of these. The rule's settings are those chosen on validation classes for
    the reference; only another class text or a correction has settings of its own, chosen in the same way.

    Args:
        results: the draws of one kind of protocol.
        clips: what each was scored from, in the same order.
        rule: any but "transfer + match", whose score of a class depends on which others are candidates. Views, candidates and corrections
            are scored for "transfer" alone.
        orders: other orders of the classes to draw halves by, each with all unseen classes, see `class_orders`.
        official: ids of the clips in each official test list, see `official_test_lists`; without them a third of each class's clips.
        views: for each draw embeddings of its test clips by the same checkpoint under other test views, the same names in each draw. Seen
            prototypes stay those of the study's views.

    Raises:
        ValueError: no draw, embeddings of another checkpoint or lacking a clip, views for another rule than transfer, an order that lacks a
            class, a list without a clip of a draw, or the rule cannot be scored.
    """
    check_same_embeddings(results, clips)
    if rule == FUSED:
        raise ValueError(f"halves of the classes cannot be cut from scores that depend on the other candidates, got rule {rule!r}; take {TRANSFER!r}")
    if views and rule != TRANSFER:
        raise ValueError(f"other views are scored by the prototypes of {TRANSFER!r} alone, got rule {rule!r}; leave the views out")
    draws = _gather(results, clips, rule)
    left_out: list[str] = []
    aspects = [*_clips_scored(draws, official or {}), *_halves(draws, orders or {}, left_out), *_texts(draws, rule, left_out)]
    if rule == TRANSFER:
        words = "generalised: the unseen classes' clips; seen classes are candidates too, by their own prototypes, nothing taken off their scores"
        aspects.append((CANDIDATES, "seen and unseen classes", words, [draw.among_all() for draw in draws]))
        aspects += [*_views(draws, views, left_out), *_corrections(draws, left_out)]
    reference, scored = [draw.answers() for draw in draws], draws[0].scored
    aspects.append((AVERAGE, "mean of classes", "mean over classes of the share of their clips that are right", [a.by_class() for a in reference]))
    words = f"all unseen classes are candidates, all their clips; micro average; class text {scored.class_text}; the study's views; {scored.setting}"
    first = _row(REFERENCE, "reference", words, reference, None)
    return ConventionTable(rule, (first, *(_row(*aspect, first) for aspect in aspects)), _top1_of_rules(results), tuple(left_out))


def class_orders(classes: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """Other orders of the same classes that a seed may be counted by, for `conventions_of`.

    Args:
        classes: of a catalog, columns `name` and optionally `label` and `family`; its own order is the reference's, by code point.

    Returns:
        Class names by their names and by their readable labels, both without regard to case (as many annotation files count), and by
        their families where there are any.
    """
    keys = pd.DataFrame({"names without regard to case": classes["name"], "readable labels": label(classes)}).map(str.casefold)
    if "family" in classes:
        keys["families, then names"] = classes["family"]
    return {order: tuple(name for _, name in sorted(zip(keys[order], classes["name"], strict=True))) for order in keys}


def official_test_lists(clips: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """Ids of the clips in each official test list, for `conventions_of`; {} where the dataset has none.

    Args:
        clips: of a catalog, columns `id` and `splits` (a word an official list, "train test train").
    """
    table = clips["splits"].str.split(expand=True).set_axis(clips["id"])
    lists = {f"official test list {number + 1}": tuple(table.index[table[number] == "test"]) for number in table}
    return {name: ids for name, ids in lists.items() if ids}


def check_same_embeddings(results: Sequence[DrawResult], clips: Sequence[ClipEmbeddings]) -> None:
    """Check that these embeddings are those that the draws were scored from, in the same order.

    Raises:
        ValueError: no draw, another number of embeddings, or another fingerprint.
    """
    if not results or len(results) != len(clips):
        raise ValueError(f"every draw needs the embeddings it was scored from, got {len(results)} draws and {len(clips)}; give one of each")
    for result, embedded in zip(results, clips, strict=True):
        if result.fingerprints["embeddings"] != embedded.fingerprint:
            raise ValueError(
                f"a draw must come with the embeddings it was scored from, {result.protocol.name!r} with {result.fingerprints['embeddings']}, got"
                f" {embedded.fingerprint}; give both in the same order"
            )


_Aspect = tuple[str, str, str, list[Answers]]  # aspect, name, what is scored, answers of each draw


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _gather(results: Sequence[DrawResult], clips: Sequence[ClipEmbeddings], rule: str) -> list[ScoredDraw]:
    number = {name: n for n, name in enumerate(class_order({name for result in results for name in result.protocol.unseen}))}
    return [
        ScoredDraw(result, embedded, result.rule(rule), np.array([number[name] for name in result.protocol.unseen]))
        for result, embedded in zip(results, clips, strict=True)
    ]


def _top1_of_rules(results: Sequence[DrawResult]) -> dict[str, float]:
    names = [scored.rule for scored in results[0].rules]
    return {name: float(np.mean([top_k_accuracy(r.rule(name).scores_BC, r.targets, 1) for r in results])) for name in names}


def _row(aspect: str, name: str, scored: str, answers: Sequence[Answers], reference: Convention | None) -> Convention:
    top1 = [of_draw.top1 for of_draw in answers]
    mean = float(np.mean(top1))
    return Convention(
        aspect, name, scored, len(answers),
        candidates=float(np.mean([of_draw.n_candidates for of_draw in answers])),
        clips=float(np.mean([of_draw.n_clips for of_draw in answers])),
        chance=float(np.mean([1 / of_draw.n_candidates for of_draw in answers])),
        top1=mean,
        std=float(np.std(top1)) if len(top1) > 1 else float("nan"),
        ci95=class_bootstrap(np.concatenate([a.right for a in answers]), np.concatenate([a.classes for a in answers])),
        difference=mean - reference.top1 if reference else 0.0,
    )  # fmt: skip


def _clips_scored(draws: Sequence[ScoredDraw], official: Mapping[str, Collection[str]]) -> Iterator[_Aspect]:
    """The clips of the official test lists, or without lists a third of each class's clips."""
    if not official:
        words = "the last third of each class's clips in the order of their ids, for want of official lists"
        yield CLIPS, "a third of the clips", words, [draw.last_third() for draw in draws]
        return
    lists = {name: [draw.listed(name, frozenset(ids)) for draw in draws] for name, ids in official.items()}
    for name, answers in lists.items():
        yield CLIPS, name, "only the clips of that list", answers
    if len(lists) > 1:
        pooled = [of_draw for answers in lists.values() for of_draw in answers]
        yield CLIPS, f"mean of {len(lists)} official lists", "each list's clips, then the mean over lists", pooled


def _halves(draws: Sequence[ScoredDraw], orders: Mapping[str, Sequence[str]], left_out: list[str]) -> Iterator[_Aspect]:
    """Halves of the unseen classes by the published seeds, in the published order of the classes and in others."""
    fewest = min(len(draw.numbers) for draw in draws)
    if fewest < FEWEST_TO_HALVE:
        left_out.append(f"{DRAWS} and {ORDER}: halves need {FEWEST_TO_HALVE} unseen classes or more in every draw, one has {fewest}")
        return
    halves = [draw.halves(class_order(draw.result.protocol.unseen), MANY_SEEDS) for draw in draws]
    by_seed = [[of_draw[seed] for of_draw in halves] for seed in range(N_SEEDS)]
    top1 = [np.mean([half.top1 for half in of_seed]) for of_seed in by_seed]
    words = f"np.random.seed(s); np.random.permutation(n)[:n//2] over the sorted names of the unseen classes, s = 0..{N_SEEDS - 1}"
    yield DRAWS, f"halves, {N_SEEDS} seeds", words, [half for of_draw in halves for half in of_draw[:N_SEEDS]]
    yield DRAWS, f"halves, {MANY_SEEDS} seeds", f"the same with s = 0..{MANY_SEEDS - 1}", [half for of_draw in halves for half in of_draw]
    for what, seed in (("best", int(np.argmax(top1))), ("worst", int(np.argmin(top1)))):
        yield DRAWS, f"one half, the {what} of {N_SEEDS}", f"seed {seed} alone, known to be the {what} only from the result", by_seed[seed]
    for name, order in orders.items():
        yield _other_order(draws, name, order)
    if not orders:
        left_out.append(f"{ORDER}: no other order was given")


def _other_order(draws: Sequence[ScoredDraw], name: str, order: Sequence[str]) -> _Aspect:
    place = {of_class: n for n, of_class in enumerate(order)}
    answers, same = [], True
    for draw in draws:
        unseen = draw.result.protocol.unseen
        lacking = [of_class for of_class in unseen if of_class not in place]
        if lacking:
            raise ValueError(f"an order of classes must hold every unseen class, {name!r} lacks {lacking[0]!r}; give all class names of the catalog")
        ordered = sorted(unseen, key=lambda of_class: place[of_class])
        same = same and ordered == class_order(unseen)
        answers += draw.halves(ordered, N_SEEDS)
    words = f"the same {N_SEEDS} seeds, counted over another order: " + ("here it is the same, and so are the halves" if same else "other halves")
    return ORDER, name, words, answers


def _texts(draws: Sequence[ScoredDraw], rule: str, left_out: list[str]) -> Iterator[_Aspect]:
    by_scheme = [{s.class_text: s for s in draw.result.texts if s.rule == rule and s.class_text != draw.scored.class_text} for draw in draws]
    schemes = [scheme for scheme in by_scheme[0] if all(scheme in scored for scored in by_scheme)]
    if not schemes:
        left_out.append(f"{TEXT}: no other scheme was scored under {rule}")
    for scheme in schemes:
        answers = [draw.answers(scored[scheme].scores_BC) for draw, scored in zip(draws, by_scheme, strict=True)]
        yield TEXT, scheme, f"class text {scheme}, settings chosen for it on validation classes", answers


def _views(draws: Sequence[ScoredDraw], views: Sequence[Mapping[str, ClipEmbeddings]], left_out: list[str]) -> Iterator[_Aspect]:
    if not views:
        left_out.append(f"{VIEWS}: no embeddings under other views were given")
        return
    if len(views) != len(draws) or any(views[0].keys() != given.keys() for given in views):
        got = "; ".join(", ".join(given) or "none" for given in views)
        raise ValueError(f"other views must be given under the same names for each of {len(draws)} draws, got {got}; embed them for every draw")
    for name in views[0]:
        answers = [draw.seen_by(name, given[name]) for draw, given in zip(draws, views, strict=True)]
        yield VIEWS, name, f"test clips embedded under {name}; prototypes stay those of the study's views", answers


def _corrections(draws: Sequence[ScoredDraw], left_out: list[str]) -> Iterator[_Aspect]:
    found = [{s.rule: s for s in draw.result.corrected if s.setting == TRANSDUCTIVE} for draw in draws]
    names = [name for name in found[0] if all(name in scored for scored in found)]
    if not names:
        left_out.append(f"{LOOKS}: no transductive correction was scored")
    for name in names:
        words = "transductive: fitted on the test clips themselves, so that every clip's answer depends on the others"
        answers = [draw.answers(scored[name].scores_BC) for draw, scored in zip(draws, found, strict=True)]
        yield LOOKS, name.removeprefix(f"{TRANSFER}, "), words, answers
