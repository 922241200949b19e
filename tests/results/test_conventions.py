"""zsar_lab.results.conventions: the same embeddings under every convention, each counted a second way."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from two_splits import NAMES, clips_of, ids_of

from zsar_lab.methods.metrics import mean_class_accuracy
from zsar_lab.results import conventions as room
from zsar_lab.results.conventions import ConventionTable, class_orders, conventions_of, official_test_lists
from zsar_lab.results.statistics import accuracy, interval


@pytest.fixture(scope="module")
def found(splits, noisy) -> ConventionTable:
    orders = {"names backwards": tuple(sorted(NAMES, reverse=True)), "names": tuple(sorted(NAMES))}
    return conventions_of(splits, noisy, orders=orders, views=[{"noisy views": clips_of(0.6, 5)}] * 2)


def row_of(found: ConventionTable, aspect: str, name: str) -> pd.Series:
    table = found.table
    return table[(table["aspect"] == aspect) & (table["name"] == name)].iloc[0]


def halved(split, names: list[str], seed: int) -> np.ndarray:
    """Which clips of a half are right, written out once more."""
    random = np.random.RandomState(seed)  # what np.random.seed, as publications have it, sets up
    half = [names[i] for i in random.permutation(len(names))[: len(names) // 2]]
    columns = [split.names().index(name) for name in half]
    return np.array(
        [
            scores[target] > max(scores[c] for c in columns if c != target)
            for scores, target in zip(split.scores("transfer"), split.targets(), strict=True)
            if target in columns
        ]
    )


def test_the_reference_is_the_predictions_table_with_its_interval(found, splits):
    row, rows = found.table.iloc[0], pd.concat([split.rows("transfer") for split in splits])
    assert (row["aspect"], row["difference"], row["n_splits"]) == (room.REFERENCE, 0, 2)
    assert row["top1"] == accuracy(rows) == (rows["label"] == rows["prediction"]).mean()
    assert (row["top1_low"], row["top1_high"]) == interval(rows) and 0.3 < row["top1"] < 0.95
    assert row["std"] == pytest.approx(np.std([accuracy(split.rows("transfer")) for split in splits]))
    assert (row["candidates"], row["clips"]) == (5.5, (26 + 32) / 2)
    assert row["chance"] == pytest.approx((1 / 5 + 1 / 6) / 2)
    for method, top1 in found.methods.items():
        assert top1 == accuracy(pd.concat([split.rows(method) for split in splits]))
    assert {"transfer", "direct", "match"} <= set(found.methods)


def test_a_third_of_the_clips_by_a_plain_loop(found, splits):
    right = []
    for split in splits:
        of_class: dict[str, list[tuple[str, bool]]] = {}
        for row in split.rows("transfer").itertuples():
            of_class.setdefault(row.label, []).append((row.clip, row.label == row.prediction))
        assert sorted(map(len, of_class.values()))[:2] == [2, 6]
        for of_clips in of_class.values():
            right += [one for _, one in sorted(of_clips)[-(1 if len(of_clips) == 2 else 2) :]]
    row = row_of(found, room.CLIPS, "a third of the clips")
    assert row["top1"] == pytest.approx(np.mean(right))
    assert (row["clips"], row["candidates"]) == ((1 + 2 * 4 + 1 + 2 * 5) / 2, 5.5)


def test_official_lists_are_scored_one_by_one_and_together(splits, noisy):
    lists = {"list 1": ids_of(NAMES, range(3)), "list 2": ids_of(NAMES, range(1, 6))}
    found, kept = conventions_of(splits, noisy, official=lists), []
    for name, ids in lists.items():
        kept.append(
            pd.concat([rows[rows["clip"].isin(ids)] for rows in (split.rows("transfer") for split in splits)])
        )
        assert row_of(found, room.CLIPS, name)["top1"] == accuracy(kept[-1])
    both = row_of(found, room.CLIPS, "all 2 official lists")
    assert both["top1"] == accuracy(pd.concat(kept)) and both["n_splits"] == 4
    assert "a third of the clips" not in set(found.table["name"])


@pytest.mark.parametrize(("name", "n_seeds"), [("halves, 10 seeds", 10), ("halves, 50 seeds", 50)])
def test_halves_are_the_published_splits(found, splits, name, n_seeds):
    row = row_of(found, room.SPLITS, name)
    halves = [halved(split, sorted(split.names()), seed) for split in splits for seed in range(n_seeds)]
    assert row["top1"] == pytest.approx(np.concatenate(halves).mean())
    assert row["std"] == pytest.approx(np.std([half.mean() for half in halves]))
    assert row["clips"] == pytest.approx(np.mean([len(half) for half in halves]))
    assert (row["n_splits"], row["candidates"]) == (2 * n_seeds, 2.5)
    assert row["chance"] == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert row["above_chance"] == pytest.approx((row["top1"] - 5 / 12) / (7 / 12))


def test_one_seed_is_the_best_or_the_worst_of_ten_and_another_order_gives_other_halves(found, splits):
    def of_seed(seed: int, reverse: bool = False) -> np.ndarray:
        ordered = [sorted(split.names(), reverse=reverse) for split in splits]
        return np.concatenate([halved(split, names, seed) for split, names in zip(splits, ordered)])

    top1 = [of_seed(seed).mean() for seed in range(10)]
    best, worst = (row_of(found, room.SPLITS, f"one half, the {what} of 10") for what in ("best", "worst"))
    assert (best["top1"], worst["top1"]) == pytest.approx((max(top1), min(top1))) and best["n_splits"] == 2
    assert best["scored"].startswith(f"seed {int(np.argmax(top1))} alone")
    other, same = (row_of(found, room.ORDER, name) for name in ("names backwards", "names"))
    assert other["top1"] == pytest.approx(np.concatenate([of_seed(n, True) for n in range(10)]).mean())
    figures = ["top1", "std", "top1_low", "top1_high"]
    assert (same[figures] == row_of(found, room.SPLITS, "halves, 10 seeds")[figures]).all()
    assert other["scored"].endswith("other halves") and same["scored"].endswith("and so are the halves")
    assert other["top1"] != same["top1"]


def test_texts_and_reductions_are_those_of_the_splits(found, splits):
    rows = pd.concat([split.rows("transfer", "vague") for split in splits])
    assert found.table["name"][found.table["aspect"] == room.TEXT].tolist() == ["vague"]
    assert row_of(found, room.TEXT, "vague")["top1"] == accuracy(rows)
    for name, reduction in (("CSLS", "csls"), ("QB-Norm", "qb_norm")):
        where = {"reduction": reduction, "setting": "transductive"}
        rows = pd.concat([split.rows("transfer", **where) for split in splits])
        row = row_of(found, room.LOOKS, name)
        assert (row["top1"], row["top1_low"], row["top1_high"]) == (accuracy(rows), *interval(rows))
    assert (found.table["aspect"] == room.LOOKS).sum() == 8


def test_the_mean_of_classes_counts_a_small_class_as_a_large_one(found, splits, noisy):
    row, rows = (
        row_of(found, room.AVERAGE, "mean of classes"),
        pd.concat([s.rows("transfer") for s in splits]),
    )
    shares = (rows["label"] == rows["prediction"]).groupby(rows["label"]).mean()
    assert row["top1"] == pytest.approx(shares.mean()) and row["top1"] != found.table.loc[0, "top1"]
    assert (row["top1_low"], row["top1_high"]) == interval(rows, "mean_class")
    alone = row_of(conventions_of(splits[:1], noisy[:1]), room.AVERAGE, "mean of classes")
    scores, targets = splits[0].scores("transfer"), splits[0].targets()
    assert alone["top1"] == pytest.approx(mean_class_accuracy(scores, targets)) and np.isnan(alone["std"])


def test_with_seen_candidates_a_clip_has_more_rivals(found, splits, noisy):
    right = []
    for split, embedded in zip(splits, noisy, strict=True):
        for clip, target in zip(split.ids(), split.targets(), strict=True):
            vector = embedded.embedding_ND[embedded.ids.index(clip)]
            cosines = {("composed", n): vector @ p for n, p in enumerate(split.prototypes("composed"))}
            cosines |= {("seen", n): vector @ p for n, p in enumerate(split.prototypes("seen"))}
            right.append(max(cosines, key=cosines.get) == ("composed", target))
    row = row_of(found, room.CANDIDATES, "seen and unseen classes")
    assert row["top1"] == pytest.approx(np.mean(right)) and row["top1"] <= found.table.loc[0, "top1"]
    assert row["candidates"] == (13 + 14) / 2


def test_other_views_are_scored_by_the_same_prototypes(found, splits, noisy):
    same = conventions_of(splits, noisy, views=[{"again": embedded} for embedded in noisy])
    figures = ["top1", "top1_low", "top1_high"]
    assert (row_of(same, room.VIEWS, "again")[figures] == same.table.loc[0, figures]).all()
    noisy, right = clips_of(0.6, 5), []
    for split in splits:
        rows = noisy.embedding_ND[[noisy.ids.index(clip) for clip in split.ids()]]
        right += ((rows @ split.prototypes("composed").T).argmax(1) == split.targets()).tolist()
    assert row_of(found, room.VIEWS, "noisy views")["top1"] == pytest.approx(np.mean(right))


def test_spreads_by_hand(found):
    table, spreads = found.table, found.spreads().set_index("aspect")
    aspects = [
        room.CLIPS,
        room.SPLITS,
        room.ORDER,
        room.TEXT,
        room.CANDIDATES,
        room.VIEWS,
        room.LOOKS,
        room.AVERAGE,
    ]
    assert spreads.index.tolist() == [*aspects, room.UNSEEN_ALONE, room.ALL]
    for aspect in aspects:
        beside = row_of(found, room.SPLITS, "halves, 10 seeds") if aspect == room.ORDER else table.loc[0]
        rows = pd.concat([beside.to_frame().T, table[table["aspect"] == aspect]])
        for figure in ("top1", "above_chance"):
            assert spreads.loc[aspect, figure] == rows[figure].max() - rows[figure].min()
    lowest = table.loc[spreads.loc[room.UNSEEN_ALONE, "lowest"], "top1"]
    assert lowest == table["top1"][table["aspect"] != room.CANDIDATES].min()
    assert table.loc[spreads.loc[room.ALL, "highest"], "top1"] == table["top1"].max()
    words = found.sentence()
    assert f"{100 * lowest:.1f} %" in words
    assert f"reference convention it is {100 * table.loc[0, 'top1']:.1f} %" in words


def test_what_cannot_be_scored_is_said(splits, noisy, monkeypatch):
    monkeypatch.setattr(room, "MANY_SEEDS", 10)
    found = conventions_of(splits, noisy, "ridge")
    assert {room.CANDIDATES, room.VIEWS, room.LOOKS}.isdisjoint(found.table["aspect"]) and found.left_out == (
        "class order: no other order was given",
    )
    found = conventions_of(splits, noisy, "match")
    assert any("no other prompt" in words for words in found.left_out)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"clips": [clips_of(0.45)]}, "2 splits and 1"),
        ({"clips": [clips_of(0.6, 5)] * 2}, "print 0.6 5"),
        ({"method": "transfer_match"}, "transfer_match"),
        ({"method": "match", "views": [{"a": clips_of(0.45)}] * 2}, "'match'"),
        ({"orders": {"short": NAMES[:4]}}, "'short'.*'new0'"),
        ({"official": {"other": ("a", "b")}}, "'other'.*'split 0'"),
        ({"views": [{"a": clips_of(0.45)}, {"b": clips_of(0.45)}]}, "got a; b"),
        ({"views": [{"far": clips_of(0.6, 5, "d")}] * 2}, "'far' is of d"),
    ],
)
def test_what_does_not_go_together_is_refused(splits, noisy, changes, words):
    with pytest.raises(ValueError, match=words):
        conventions_of(**{"splits": splits, "clips": noisy} | changes)


def test_orders_of_a_catalog_and_its_official_lists():
    classes = pd.DataFrame({"name": ["Beta", "alpha", "Gamma"], "label": ["z", "y", "x"]})
    orders = class_orders(classes)
    assert orders["names without regard to case"] == ("alpha", "Beta", "Gamma")
    assert orders["readable labels"] == ("Gamma", "alpha", "Beta")
    assert class_orders(classes.assign(family=["1", "2", "1"]))["families, then names"] == (
        ("Beta", "Gamma", "alpha")
    )
    clips = pd.DataFrame({"id": ["a", "b", "c"], "splits": ["train test", "test train", "test test"]})
    lists = {"official test list 1": ("b", "c"), "official test list 2": ("a", "c")}
    assert official_test_lists(clips) == lists and official_test_lists(clips.assign(splits="")) == {}
