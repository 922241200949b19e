"""zsar_lab.results.predictions: the table against plain loops, and what is written and found again."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from small_results import GAMMAS, N_CLASSES, TARGETS, UNSEEN, small_predictions

from zsar_lab.methods.clips import ClipGroup
from zsar_lab.methods.metrics import predicted_classes
from zsar_lab.results.judged import Blocks, judge
from zsar_lab.results.predictions import COLUMNS, Predictions, ScoresNotSaved, halves


@pytest.fixture(scope="module")
def predictions() -> Predictions:
    return small_predictions()


def test_the_table_by_a_plain_loop(predictions):
    rows = []
    for one in predictions.scored:
        key = one.where
        scores, names = predictions.scores(**key), predictions.names(one.candidates)
        for clip, own, of_clip in zip(
            predictions.ids(one.candidates), predictions.targets(one.candidates), scores
        ):
            others = [score for c, score in enumerate(of_clip) if c != own]
            rank = 1 + sum(score >= of_clip[own] for score in others)
            tied = [c for c, score in enumerate(of_clip) if score == max(of_clip) and c != own]
            confidence = np.nan
            if one.temperature:
                parts = np.exp(of_clip / one.temperature)
                confidence = max(parts) / parts.sum()
            margin = sorted(of_clip)[-1] - sorted(of_clip)[-2]
            prediction = names[own] if rank == 1 else names[tied[0]]
            rows.append((clip, *one.key, names[own], prediction, rank, margin, confidence))
    expected = pd.DataFrame(rows, columns=COLUMNS[2:])
    pd.testing.assert_frame_equal(predictions.table[list(COLUMNS[2:])], expected, check_dtype=False)
    assert set(predictions.table["split"]) == {"stratified-0"}
    roles = predictions.table.groupby("candidates")["role"].agg(set).to_dict()
    assert roles == {"unseen": {"test"}, "seen": {"seen_test"}, "all": {"seen_test", "test"}}


def test_a_tie_with_another_class_is_wrong():
    tied = small_predictions()
    tied._arrays["scores_03"] = np.zeros((len(TARGETS), N_CLASSES))
    rows = tied.rows("transfer")
    assert (rows["rank"] == N_CLASSES).all() and (rows["label"] != rows["prediction"]).all()
    assert (rows["margin"] == 0).all()


@pytest.mark.parametrize(("candidates", "role"), [*product(("unseen", "all"), (None, "test", "seen_test"))])
def test_rows_scores_ids_and_targets_are_in_one_order(predictions, candidates, role):
    rows = predictions.rows("transfer", candidates=candidates, role=role)
    ids, targets = predictions.ids(candidates, role), predictions.targets(candidates, role)
    scores = predictions.scores("transfer", candidates=candidates, role=role)
    assert tuple(rows["clip"]) == ids and len(scores) == len(ids)
    assert tuple(rows["label"]) == tuple(np.array(predictions.names(candidates))[targets])
    assert (rows["rank"] == (scores >= scores[np.arange(len(targets)), targets][:, None]).sum(1)).all()


def test_calibrated_stacking_takes_gamma_off_the_seen_classes(predictions):
    plain = predictions.scores("transfer", candidates="all")
    stacked = predictions.scores("transfer", candidates="all", reduction="calibrated_stacking")
    half = halves(predictions.targets("all"))
    for clip in range(len(plain)):
        assert (stacked[clip, :2] == plain[clip, :2] - GAMMAS[half[clip]]).all()
    assert (stacked[:, 2:] == plain[:, 2:]).all()
    side = predictions.scores("transfer", candidates="all", reduction="calibrated_stacking", role="test")
    assert (side == stacked[8:]).all()
    assert halves(np.array([0, 0, 1, 1, 1, 2])).tolist() == [0, 1, 0, 1, 0, 1]
    targets = np.random.default_rng(0).integers(9, size=300)
    counts = np.array([np.bincount(targets[halves(targets) == half], minlength=9) for half in (0, 1)])
    assert np.abs(counts[0] - counts[1]).max() <= 1 and counts.sum() == 300


def test_what_was_not_scored_is_a_key_error_that_names_what_was(predictions):
    with pytest.raises(KeyError, match="transductive"):
        predictions.rows("transfer", setting="transductive")
    with pytest.raises(KeyError, match="ridge_centred"):
        predictions.find("no such method")


def test_written_and_read_again_it_is_the_same(predictions, tmp_path):
    predictions.save(tmp_path)
    read = Predictions.read(tmp_path, "stratified-0", predictions.about["fingerprint"])
    pd.testing.assert_frame_equal(read.table, predictions.table)
    for name in ("scored", "protocol", "about"):
        assert getattr(read, name) == getattr(predictions, name)
    for one in predictions.scored:
        key = one.where
        assert (read.scores(**key) == predictions.scores(**key)).all()
        pd.testing.assert_frame_equal(read.rows(**key), predictions.rows(**key))
    assert (read.weights() == predictions.weights()).all() and read.names() == UNSEEN
    assert isinstance(read.scores("transfer"), np.memmap)


def test_other_inputs_another_version_and_half_written_ones_are_not_found(predictions, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(pd.DataFrame, "to_parquet", lambda *args, **kwargs: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            predictions.save(tmp_path)
    with pytest.raises(FileNotFoundError):
        Predictions.read(tmp_path, "stratified-0")
    predictions.save(tmp_path)
    with pytest.raises(FileNotFoundError, match="these inputs"):
        Predictions.read(tmp_path, "stratified-0", "others")
    path = tmp_path / "stratified-0.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": 0}))
    with pytest.raises(FileNotFoundError):
        Predictions.read(tmp_path, "stratified-0", predictions.about["fingerprint"])


@pytest.mark.parametrize(
    ("name", "content"),
    [("stratified-0.parquet", "no parquet"), ("stratified-0.json", "{"), ("stratified-0.json", "[3]")],
)
def test_a_damaged_file_is_named(predictions, tmp_path, name, content):
    predictions.save(tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match="stratified-0"):
        Predictions.read(tmp_path, "stratified-0", predictions.about["fingerprint"])


def test_blocks_say_what_the_whole_matrix_says(predictions):
    random, names = np.random.default_rng(1), tuple("abcde")
    rows = random.integers(0, 3, (400, 5)) / 2  # with many ties
    group = ClipGroup(names, tuple(map(str, range(400))), rows.astype(np.float16), random.integers(0, 5, 400))
    whole = judge(rows, group.targets, 0.5)
    own = rows[np.arange(400), group.targets]
    assert (whole.rank_B == (rows >= own[:, None]).sum(1)).all()
    assert (whole.predicted_B == predicted_classes(rows, group.targets)).all()
    ordered = np.sort(rows, 1)
    assert (whole.margin_B == ordered[:, -1] - ordered[:, -2]).all()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("zsar_lab.results.judged.SCORES_A_BLOCK", 64)
        one = replace(predictions.find("transfer"), matrix=99, temperature=0.5)
        lists = {"test_clips": group.ids, "seen_test_clips": (), "validation_clips": (), "seen": ()}
        protocol = SimpleNamespace(**lists, ties="wrong")
        arrays = {"scores_99": Blocks(lambda part: part.embedding_BD, group), "targets_unseen": group.targets}
        made = Predictions(protocol, "x", {}, predictions.class_text, [one], arrays)
        joined = made.judged(one)
    for found, expected in zip(joined, whole, strict=True):
        np.testing.assert_allclose(found, expected)
    made.let_go(0)
    assert "scores_99" not in made._arrays and (made.judged(one).rank_B == whole.rank_B).all()


def test_a_matrix_that_is_not_saved_is_said_and_its_figures_are_there(predictions, tmp_path):
    made = small_predictions()
    made.let_go(0)
    made.save(tmp_path)
    read = Predictions.read(tmp_path, "stratified-0")
    pd.testing.assert_frame_equal(read.table, predictions.table)
    with pytest.raises(ScoresNotSaved, match="stratified-0"):
        read.scores("transfer")
    for one in predictions.scored:
        for found, expected in zip(read.judged(one), predictions.judged(one), strict=True):
            np.testing.assert_array_equal(found, expected)
