"""zsar_lab.results.conventions and answers: the same embeddings under every convention, each figure counted a second way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from test_rescore import CLIPS_A_CLASS, MEANING, NAMES, TEXT_WIDTH, WIDTH, ids_of, texts_of

from zsar_lab.embed.checkpoint import ClipEmbeddings
from zsar_lab.methods.metrics import mean_class_accuracy, top_k_accuracy
from zsar_lab.methods.query_bank import TRANSDUCTIVE
from zsar_lab.methods.transfer import unit
from zsar_lab.models.rest import ModelConfig, ResT
from zsar_lab.protocols.protocol import Protocol
from zsar_lab.results.conventions import (
    ALL,
    AVERAGE,
    CANDIDATES,
    CLIPS,
    LOOKS,
    ORDER,
    REFERENCE,
    SPLITS,
    TEXT,
    UNSEEN_ALONE,
    VIEWS,
    Convention,
    ConventionTable,
    class_orders,
    conventions_of,
    official_test_lists,
)
from zsar_lab.results.evaluate import DIRECT, FUSED, TRANSFER, SplitResult, evaluate_split, split_result
from zsar_lab.results.report import method_row

PARTS = (
    ((0, 8), (8, 12), (12, 17)),
    ((9, 17), (0, 3), (3, 9)),
)  # of NAMES: seen, validation and unseen classes of two splits
CHECKPOINT = "c"


def clips_of(noise: float, seed: int = 1, checkpoint: str = CHECKPOINT) -> ClipEmbeddings:
    """Clips that lie, with much noise, where a linear map puts the meaning of their class."""
    random = np.random.default_rng(1)
    centres = unit(MEANING @ random.normal(size=(TEXT_WIDTH, WIDTH)))
    noise_ND = np.random.default_rng(seed).normal(size=(len(NAMES) * CLIPS_A_CLASS, WIDTH))
    rows = unit(np.repeat(centres, CLIPS_A_CLASS, 0) + noise * noise_ND).astype(np.float32)
    labels = tuple(name for name in NAMES for _ in range(CLIPS_A_CLASS))
    tokens = random.normal(size=(len(labels), 2, WIDTH)).astype(np.float16)
    return ClipEmbeddings(
        ids_of(NAMES), labels, rows, tokens, f"print {noise} {seed}", {"checkpoint": checkpoint}
    )


def protocol_of(number: int) -> Protocol:
    """Classes of unequal numbers of test clips: the first has 2, the others 6."""
    seen, validation, unseen = (NAMES[start:end] for start, end in PARTS[number])
    tests = (*ids_of(unseen[:1], range(2)), *ids_of(unseen[1:]))
    return Protocol(
        f"split {number}",
        seen,
        validation,
        unseen,
        ids_of(seen, range(1, CLIPS_A_CLASS)),
        ids_of(seen, range(1)),
        ids_of(validation),
        tests,
    )


def model_of(n_seen: int) -> ResT:
    torch.manual_seed(0)
    return ResT(
        ModelConfig(
            n_frames=3,
            backbone_widths=(8, 8),
            width=WIDTH,
            depth=1,
            heads=2,
            feedforward=24,
            text_width=TEXT_WIDTH,
            word_width=7,
            n_label_tokens=2,
            n_seen=n_seen,
        )
    ).eval()


def scored_split(number: int, clips: ClipEmbeddings) -> SplitResult:
    """A split as `evaluate_split` scores it, by a model that was never trained."""
    protocol, good = protocol_of(number), texts_of("good", MEANING)
    vague = texts_of("vague", MEANING + 2 * np.random.default_rng(2).normal(size=MEANING.shape))
    model = model_of(len(protocol.seen))
    config = SimpleNamespace(model=model.config, text_layers=0)
    inputs = SimpleNamespace(protocol=protocol.training_hash, class_embeddings=good.fingerprint)
    checkpoint = SimpleNamespace(
        inputs=inputs, path=Path("x"), fingerprint=CHECKPOINT, config=config, model=lambda: model
    )
    return split_result(evaluate_split(checkpoint, clips, protocol, good, (vague,)))


@pytest.fixture(scope="module")
def clips() -> list[ClipEmbeddings]:
    return [clips_of(0.45)] * 2


@pytest.fixture(scope="module")
def results(clips) -> list[SplitResult]:
    return [scored_split(number, of_split) for number, of_split in enumerate(clips)]


@pytest.fixture(scope="module")
def table(results, clips) -> ConventionTable:
    backwards = {"names backwards": tuple(sorted(NAMES, reverse=True)), "names": tuple(sorted(NAMES))}
    return conventions_of(results, clips, orders=backwards, views=[{"noisy views": clips_of(0.6, 5)}] * 2)


def row_of(table: ConventionTable, aspect: str, name: str) -> Convention:
    return next(row for row in table.rows if (row.aspect, row.name) == (aspect, name))


def halved(result: SplitResult, names: list[str], seed: int) -> tuple[float, int]:
    """Written out once more, with NumPy's global state as publications have it: top-1 of a half split, and its clips."""
    kept_state = np.random.get_state()
    np.random.seed(seed)
    half = [names[i] for i in np.random.permutation(len(names))[: len(names) // 2]]
    np.random.set_state(kept_state)
    columns = [result.protocol.unseen.index(name) for name in half]
    right = [
        scores[target] > max(scores[c] for c in columns if c != target)
        for scores, target in zip(result.method(TRANSFER).scores_BC, result.targets, strict=True)
        if target in columns
    ]
    return float(np.mean(right)), len(right)


def test_the_reference_is_the_row_of_the_report(table, results):
    row, wanted = table.reference, method_row(results, [result.method(TRANSFER) for result in results])
    assert (row.aspect, row.top1, row.std, row.difference) == (
        REFERENCE,
        wanted.top1,
        wanted.std,
        0,
    ) and 0.3 < row.top1 < 0.95
    assert (
        row.ci95 == wanted.ci95 and row.n_splits == 2 and row.candidates == 5.5 and row.clips == (26 + 32) / 2
    )
    assert row.chance == pytest.approx((1 / 5 + 1 / 6) / 2)
    assert table.methods == pytest.approx(
        {
            s.method: method_row(results, [r.method(s.method) for r in results]).top1
            for s in results[0].methods
        }
    )


def test_a_third_of_the_clips_by_a_plain_loop(table, results):
    top1 = []
    for result in results:
        of_class: dict[int, list[tuple[str, bool]]] = {}
        for clip, target, scores in zip(
            result.ids, result.targets, result.method(TRANSFER).scores_BC, strict=True
        ):
            of_class.setdefault(int(target), []).append((clip, scores.argmax() == target))
        assert sorted(map(len, of_class.values()))[:2] == [2, 6]
        top1.append(
            np.mean(
                [
                    right
                    for clips in of_class.values()
                    for _, right in sorted(clips)[-(1 if len(clips) == 2 else 2) :]
                ]
            )
        )
    row = row_of(table, CLIPS, "a third of the clips")
    assert (
        row.top1 == pytest.approx(np.mean(top1))
        and row.clips == (1 + 2 * 4 + 1 + 2 * 5) / 2
        and row.candidates == 5.5
    )


def test_official_lists_are_scored_one_by_one_and_as_their_mean(results, clips):
    lists = {"list 1": ids_of(NAMES, range(3)), "list 2": ids_of(NAMES, range(1, 6))}
    table = conventions_of(results, clips, official=lists)
    means = []
    for name, ids in lists.items():
        kept = [[clip in ids for clip in result.ids] for result in results]
        top1 = [
            top_k_accuracy(r.method(TRANSFER).scores_BC[k], r.targets[k], 1)
            for r, k in zip(results, kept, strict=True)
        ]
        assert row_of(table, CLIPS, name).top1 == pytest.approx(np.mean(top1))
        means.append(np.mean(top1))
    mean = row_of(table, CLIPS, "mean of 2 official lists")
    assert mean.top1 == pytest.approx(np.mean(means)) and mean.n_splits == 4
    assert not [row for row in table.rows if row.name == "a third of the clips"]
    with pytest.raises(
        ValueError,
        match="test list must hold clips of every split, 'other' has none of 'split 0'; give ids of this catalog",
    ):
        conventions_of(results, clips, official={"other": ("a", "b")})


@pytest.mark.parametrize(("name", "n_seeds"), [("halves, 10 seeds", 10), ("halves, 50 seeds", 50)])
def test_halves_are_the_published_splits(table, results, name, n_seeds):
    row = row_of(table, SPLITS, name)
    found = [
        halved(result, sorted(result.protocol.unseen), seed) for result in results for seed in range(n_seeds)
    ]
    assert row.top1 == pytest.approx(np.mean([top1 for top1, _ in found])) and row.std == pytest.approx(
        np.std([top1 for top1, _ in found])
    )
    assert row.clips == pytest.approx(np.mean([n for _, n in found])) and row.n_splits == 2 * n_seeds
    assert (row.candidates, row.chance) == (2.5, pytest.approx((1 / 2 + 1 / 3) / 2))
    assert row.above_chance == pytest.approx((row.top1 - 5 / 12) / (7 / 12))


def test_one_seed_is_the_best_or_the_worst_of_ten(table, results):
    of_seeds = [
        np.mean([halved(result, sorted(result.protocol.unseen), seed)[0] for result in results])
        for seed in range(10)
    ]
    best, worst = (row_of(table, SPLITS, f"one half, the {what} of 10") for what in ("best", "worst"))
    assert (best.top1, worst.top1) == (
        pytest.approx(max(of_seeds)),
        pytest.approx(min(of_seeds)),
    ) and best.top1 > worst.top1
    assert best.scored.startswith(f"seed {int(np.argmax(of_seeds))} alone") and best.n_splits == 2


def test_another_order_of_the_classes_gives_other_halves(table, results):
    found = [
        halved(result, sorted(result.protocol.unseen, reverse=True), seed)[0]
        for result in results
        for seed in range(10)
    ]
    other, same = row_of(table, ORDER, "names backwards"), row_of(table, ORDER, "names")
    assert other.top1 == pytest.approx(np.mean(found)) and other.scored.endswith("other halves")
    halves = row_of(table, SPLITS, "halves, 10 seeds")
    assert (same.top1, same.std, same.ci95) == (
        halves.top1,
        halves.std,
        halves.ci95,
    ) and same.scored.endswith("and so are the halves")
    assert other.top1 != halves.top1


def test_texts_and_corrections_are_those_of_the_splits(table, results, clips):
    texts = [next(s for s in r.texts if (s.method, s.class_text) == (TRANSFER, "vague")) for r in results]
    assert [row.name for row in table.rows if row.aspect == TEXT] == ["vague"]
    assert row_of(table, TEXT, "vague").top1 == pytest.approx(method_row(results, texts).top1)
    for number, scored in enumerate(results[0].corrected):
        if scored.setting == TRANSDUCTIVE:
            wanted = method_row(results, [r.corrected[number] for r in results])
            row = row_of(table, LOOKS, scored.method.removeprefix("transfer, "))
            assert (row.top1, row.ci95) == (wanted.top1, wanted.ci95) and "transductive" in row.scored
    reordered = conventions_of([replace(r, corrected=r.corrected[::-1]) for r in results], clips)
    assert {row for row in reordered.rows if row.aspect == LOOKS} == {
        row for row in table.rows if row.aspect == LOOKS
    }
    assert sum(row.aspect == LOOKS for row in table.rows) == 6


def test_the_mean_of_classes_counts_a_small_class_as_a_large_one(table, results):
    row = row_of(table, AVERAGE, "mean of classes")
    assert row.top1 == pytest.approx(
        np.mean([mean_class_accuracy(r.method(TRANSFER).scores_BC, r.targets) for r in results])
    )
    assert row.top1 != table.reference.top1 and row.clips == table.reference.clips
    # its interval by resampling the classes' shares
    names = [name for r in results for name in r.protocol.unseen]
    shares = [
        (r.method(TRANSFER).scores_BC.argmax(1) == r.targets)[r.targets == c].mean()
        for r in results
        for c in range(len(r.protocol.unseen))
    ]
    different = sorted(set(names))
    chosen = np.random.default_rng(0).integers(len(different), size=(2000, len(different)))
    drawn = [
        np.mean([s for c in sample for s, name in zip(shares, names, strict=True) if name == different[c]])
        for sample in chosen
    ]
    assert row.ci95 == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])))


def test_with_seen_candidates_a_clip_has_more_rivals(table, results, clips):
    top1 = []
    for result, embedded in zip(results, clips, strict=True):
        right = []
        for clip, target in zip(result.ids, result.targets, strict=True):
            v = embedded.embedding_ND[embedded.ids.index(clip)]
            cosines = {("composed", n): v @ p for n, p in enumerate(result.prototypes["composed"])}
            cosines |= {("seen", n): v @ p for n, p in enumerate(result.prototypes["seen"])}
            right.append(max(cosines, key=cosines.get) == ("composed", target))
        top1.append(np.mean(right))
    row = row_of(table, CANDIDATES, "seen and unseen classes")
    assert (
        row.top1 == pytest.approx(np.mean(top1))
        and row.top1 <= table.reference.top1
        and row.candidates == (13 + 14) / 2
    )


def test_other_views_are_scored_by_the_same_prototypes(table, results, clips):
    same = conventions_of(results, clips, views=[{"again": embedded} for embedded in clips])
    assert (
        row_of(same, VIEWS, "again").top1 == same.reference.top1
        and row_of(same, VIEWS, "again").ci95 == same.reference.ci95
    )
    noisy = clips_of(0.6, 5)
    top1 = [
        np.mean(
            [
                (result.prototypes["composed"] @ noisy.embedding_ND[noisy.ids.index(i)]).argmax() == t
                for i, t in zip(result.ids, result.targets)
            ]
        )
        for result in results
    ]
    assert row_of(table, VIEWS, "noisy views").top1 == pytest.approx(np.mean(top1))
    with pytest.raises(
        ValueError, match="embedded by the split's own checkpoint, c, 'other' is of d; embed them with it"
    ):
        conventions_of(results, clips, views=[{"other": clips_of(0.6, 5, "d")}] * 2)
    with pytest.raises(
        ValueError, match="the same names for each of 2 splits, got a; b; embed them for every split"
    ):
        conventions_of(results, clips, views=[{"a": noisy}, {"b": noisy}])


def test_differences_and_spreads_by_hand(table):
    assert all(row.difference == row.top1 - table.reference.top1 for row in table.rows)
    spreads = {spread.aspect: spread for spread in table.spreads()}
    aspects = [CLIPS, SPLITS, ORDER, TEXT, CANDIDATES, VIEWS, LOOKS, AVERAGE]
    assert list(spreads) == [*aspects, UNSEEN_ALONE, ALL]
    beside = {ORDER: row_of(table, SPLITS, "halves, 10 seeds")}
    for aspect in aspects:
        rows = [beside.get(aspect, table.reference), *(row for row in table.rows if row.aspect == aspect)]
        assert spreads[aspect].top1 == max(row.top1 for row in rows) - min(row.top1 for row in rows)
        assert spreads[aspect].above_chance == max(row.above_chance for row in rows) - min(
            row.above_chance for row in rows
        )
    assert spreads[ALL].lowest.top1 == min(row.top1 for row in table.rows) and spreads[
        ALL
    ].highest.top1 == max(row.top1 for row in table.rows)
    assert spreads[UNSEEN_ALONE].lowest.top1 == min(
        row.top1 for row in table.rows if row.aspect != CANDIDATES
    )


def test_the_sentence_is_made_of_the_numbers(table):
    spread, words = table.spreads()[-2], table.sentence()
    for figure in (
        spread.lowest.top1,
        spread.lowest.chance,
        spread.highest.top1,
        spread.highest.chance,
        table.reference.top1,
    ):
        assert f"{100 * figure:.1f} %" in words
    assert f"by {100 * spread.top1:.1f} points, and by {100 * spread.above_chance:.1f} when each" in words
    low, high = min(table.methods.values()), max(table.methods.values())
    assert f"The methods differ there by {100 * (high - low):.1f} points, from {100 * low:.1f} %" in words


def test_another_method_and_what_cannot_be_scored(results, clips):
    direct = conventions_of(results, clips, DIRECT)
    assert direct.reference.top1 == method_row(results, [r.method(DIRECT) for r in results]).top1
    assert {row.aspect for row in direct.rows} == {REFERENCE, CLIPS, SPLITS, AVERAGE}
    assert direct.left_out == (
        "class order: no other order was given",
        "class text: no other prompt was scored under direct",
    )
    bare = conventions_of([replace(r, corrected=()) for r in results], clips)
    assert bare.left_out[1] == "views: no embeddings under other views were given"
    assert bare.left_out[2] == "looking at the test clips: no transductive correction was scored"
    single = conventions_of(results[:1], clips[:1])
    assert np.isnan(single.reference.std) and np.isnan(row_of(single, SPLITS, "one half, the best of 10").std)


def test_a_split_of_three_classes_is_not_halved(results, clips):
    result = results[0]
    kept = result.targets < 3
    small = replace(
        result.protocol,
        unseen=result.protocol.unseen[:3],
        test_clips=tuple(i for i, k in zip(result.ids, kept, strict=True) if k),
    )
    methods = tuple(replace(s, scores_BC=s.scores_BC[kept][:, :3]) for s in result.methods)
    fewer = {
        "targets": result.targets[kept],
        "prototypes": result.prototypes | {"composed": result.prototypes["composed"][:3]},
    }
    shrunk = replace(
        result, protocol=small, ids=small.test_clips, methods=methods, texts=(), corrected=(), **fewer
    )
    table = conventions_of([shrunk], clips[:1])
    assert (
        table.left_out[0]
        == "splits and class order: halves need 4 unseen classes or more in every split, one has 3"
    )
    assert not [row for row in table.rows if row.aspect in (SPLITS, ORDER)]


def test_inputs_that_do_not_go_together_are_refused(results, clips):
    with pytest.raises(
        ValueError,
        match="every split needs the embeddings it was scored from, got 2 splits and 1; give one of each",
    ):
        conventions_of(results, clips[:1])
    with pytest.raises(
        ValueError, match=r"'split 0' with print 0\.45 1, got print 0\.6 5; give both in the same order"
    ):
        conventions_of(results, [clips_of(0.6, 5)] * 2)
    with pytest.raises(
        ValueError,
        match=r"from scores that depend on the other candidates, got method 'transfer \+ match'; take 'transfer'",
    ):
        conventions_of(results, clips, FUSED)
    with pytest.raises(
        ValueError,
        match="other views are scored by the prototypes of 'transfer' alone, got method 'direct'; leave the views out",
    ):
        conventions_of(results, clips, DIRECT, views=[{"a": clips[0]}] * 2)
    with pytest.raises(
        ValueError,
        match="an order of classes must hold every unseen class, 'short' lacks 'new2'; give all class names",
    ):
        conventions_of(results, clips, orders={"short": ("new0", "new1")})


def test_orders_of_a_catalog():
    classes = pd.DataFrame(
        {"name": ["HammerThrow", "Hammering", "JumpRope", "JumpingJack"], "family": ["b", "a", "a", "b"]}
    )
    classes["label"] = ["throwing a hammer", "hammering", "Jump rope", ""]
    assert class_orders(classes) == {
        "names without regard to case": ("Hammering", "HammerThrow", "JumpingJack", "JumpRope"),
        "readable labels": (
            "Hammering",
            "JumpRope",
            "JumpingJack",
            "HammerThrow",
        ),  # "jump rope" < "jumping jack", a space before a letter
        "families, then names": ("Hammering", "JumpRope", "HammerThrow", "JumpingJack"),
    }
    assert "families, then names" not in class_orders(classes.drop(columns="family"))


def test_official_lists_of_a_catalog():
    clips = pd.DataFrame(
        {
            "id": ["a", "b", "c", "d"],
            "splits": ["train test train", "test train train", "", "test test train"],
        }
    )
    assert official_test_lists(clips) == {
        "official test list 1": ("b", "d"),
        "official test list 2": ("a", "d"),
    }
    assert official_test_lists(clips.assign(splits="")) == {} and official_test_lists(clips[:0]) == {}
