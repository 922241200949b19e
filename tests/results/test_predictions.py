"""zsar_lab.results.predictions: the table against plain loops, and what is written and found again."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pandas as pd
import pytest
from small_results import GAMMAS, N_CLASSES, TARGETS, UNSEEN, small_predictions

from zsar_lab.results.predictions import COLUMNS, Predictions, halves


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
