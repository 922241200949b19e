"""zsar_lab.viz.projection: maps fitted on a part, and how far a map can be trusted."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import pytest
from seven_classes import LABELS
from sklearn.manifold import trustworthiness

from zsar_lab.viz import projection
from zsar_lab.viz.figures.space import kept_table, shared_space
from zsar_lab.viz.projection import shared_space_map, trust, warning_of


@pytest.fixture
def laid_out(monkeypatch) -> list:
    """In place of umap: the first two coordinates; what was asked for is noted."""
    calls = []

    def first_two(points, seed):
        calls.append("all")
        return points[:, :2].astype(float)

    def of_part(points, fitted, seed):
        calls.append(fitted)
        return points[:, :2].astype(float)

    monkeypatch.setattr(projection, "_umap", first_two)
    monkeypatch.setattr(projection, "_umap_of_part", of_part)
    return calls


def test_a_map_fitted_on_seen_classes_is_another_one(predictions, embeddings, tmp_path, laid_out):
    space = shared_space_map(predictions, embeddings, tmp_path)
    of_seen = shared_space_map(predictions, embeddings, tmp_path, fitted_on="seen")
    assert space.path != of_seen.path and (space.fitted_on, of_seen.fitted_on) == ("all", "seen")
    in_fit = [group == "seen" for group in of_seen.groups]
    # seen, composed, true, seen text, unseen text
    assert laid_out[1].tolist() == in_fit + [True] * 2 + [False] * 6 + [True] * 2 + [False] * 3
    shared_space_map(predictions, embeddings, tmp_path, fitted_on="seen")
    assert len(laid_out) == 2 and space.about == "split 0, all 28 clips"
    few = shared_space_map(predictions, embeddings, tmp_path, max_clips=15)
    assert few.about == "split 0, 14 of 28 clips (2 a class, at most 15 in all)" and len(few.ids) == 14
    with pytest.raises(ValueError, match="fitted_on must be 'all' or 'seen', got 'unseen'"):
        shared_space_map(predictions, embeddings, tmp_path, fitted_on="unseen")


def test_neighbours_kept_by_a_plain_loop():
    random = np.random.default_rng(0)
    points = random.normal(size=(40, 5)).astype(np.float32)
    xy = points[:, :2] + 0.2 * random.normal(size=(40, 2))
    rows = points / np.linalg.norm(points, axis=1, keepdims=True)
    wanted = []
    for i in range(40):
        others = [j for j in range(40) if j != i]
        near = sorted(others, key=lambda j: -(rows[i] @ rows[j]))[:10]
        on_map = sorted(others, key=lambda j: np.linalg.norm(xy[i] - xy[j]))[:10]
        wanted.append(len(set(near) & set(on_map)) / 10)
    np.testing.assert_allclose(trust(points, xy)["kept"], wanted)


def test_a_true_map_keeps_all_neighbours_and_a_map_at_random_those_of_chance():
    angle = np.sort(np.random.default_rng(0).uniform(0, 1, 300))
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    true = trust(circle.astype(np.float32), circle)
    # on an arc, chords and cosines have one order, but for rounding
    assert true["kept"].min() >= 0.8 and true["trustworthiness"] > 0.999
    chance = trust(circle.astype(np.float32), np.random.default_rng(1).normal(size=(300, 2)))
    assert chance["kept"].mean() == pytest.approx(10 / 299, abs=0.02)
    assert chance["trustworthiness"] == pytest.approx(0.5, abs=0.05)


def test_trustworthiness_of_all_points_in_blocks_is_that_of_scikit_learn_and_a_sample_is_near_it(monkeypatch):
    random = np.random.default_rng(0)
    points = random.normal(size=(300, 6)).astype(np.float32)
    xy = points[:, :2] + 0.1 * random.normal(size=(300, 2))
    wanted = trustworthiness(points, xy, n_neighbors=10, metric="cosine")
    assert float(trust(points, xy)["trustworthiness"]) == pytest.approx(wanted, abs=1e-12)
    monkeypatch.setattr(projection, "ALL_RANKED", 100)
    monkeypatch.setattr(projection, "RANKED_AT_ONCE", 64)
    monkeypatch.setattr(projection, "N_RANKED", 300)
    assert float(trust(points, xy)["trustworthiness"]) == pytest.approx(wanted, abs=1e-6)
    monkeypatch.setattr(projection, "N_RANKED", 150)
    assert float(trust(points, xy)["trustworthiness"]) == pytest.approx(wanted, abs=0.02)


@pytest.mark.parametrize(
    ("trusted", "kept", "words"),
    [
        (0.9, 0.5, ""),
        (0.7, 0.5, "its trustworthiness is 0.70, below 0.85. Read"),
        (0.7, 0.1, "below 0.85, and of a clip's 10 nearest it keeps 10 %, below 25 %."),
        (0.9, 0.1, "which clips of a group are nearest to each other: of a clip's 10 nearest it keeps 10 %"),
    ],
)
def test_the_warning_names_what_is_low(space, trusted, kept, words):
    warning = warning_of(dataclasses.replace(space, trustworthiness=trusted, kept=np.full(28, kept)))
    assert words in warning and bool(warning) == bool(words)


def test_the_table_of_neighbours_kept_has_a_row_a_class_the_worst_first(catalog, space):
    kept = np.array([{"A": 0.1, "S1": 0.9}.get(name, 0.5) for name in space.classes])
    table = kept_table(dataclasses.replace(space, kept=kept), catalog)
    assert table.index[0] == LABELS["A"] and table.iloc[0].tolist() == ["unseen", 10.0]
    assert table.index[-1] == "stand" and table.iloc[-1].tolist() == ["seen", 90.0] and len(table) == 7


def test_the_figure_is_coloured_by_right_and_wrong_and_by_hubness(catalog, predictions, space):
    figure = shared_space(space, catalog, "right", predictions=predictions)
    counts = {trace.name: len(trace.x) for trace in figure.data}
    assert (counts["not scored"], counts["right (transfer)"], counts["wrong (transfer)"]) == (16, 5, 7)
    figure = shared_space(space, catalog, "hubness", predictions=predictions)
    counts = {trace.name: len(trace.x) for trace in figure.data}
    # B has ten predictions, A and C one each
    assert counts["2 x the mean or more: a hub"] == 10
    assert counts["N_1 of the prediction below half the mean"] == 2
    assert "predicted as" in str(figure.data[1].customdata) and "<img" not in figure.to_json()
    with pytest.raises(ValueError, match="'right' needs the predictions"):
        shared_space(space, catalog, "right")


def test_a_subset_is_even_over_classes_and_seeded():
    labels, names = tuple("aaaabbbbcccc"), ("a", "b", "c")
    rows, again, other = (projection.even_subset(labels, names, 7, seed).tolist() for seed in (0, 0, 1))
    assert [labels[row] for row in rows] == list("aabbcc") and rows == again != other
    with pytest.raises(ValueError, match=r"\(3\), got 2"):
        projection.even_subset(labels, names, 2, seed=0)


def test_a_map_is_laid_out_once_a_seed_and_holds_the_prototypes(predictions, embeddings, tmp_path, laid_out):
    space, again, other = (
        shared_space_map(predictions, embeddings, tmp_path, seed=seed) for seed in (0, 0, 1)
    )
    assert laid_out == ["all", "all"] and again.path == space.path != other.path
    np.testing.assert_array_equal(again.clips_xy, space.clips_xy)
    shapes = [xy.shape for xy in (space.clips_xy, space.seen_xy, space.composed_xy, space.true_xy)]
    assert shapes == [(28, 2), (2, 2), (3, 2), (3, 2)] and 0 <= space.trustworthiness <= 1
    np.testing.assert_allclose(space.true_xy, predictions.prototypes("true")[:, :2], atol=1e-6)
    foreign = dataclasses.replace(embeddings, fingerprint="other")
    with pytest.raises(ValueError, match="print, got other"):
        shared_space_map(predictions, foreign, tmp_path)


@pytest.mark.parametrize("colour_by", ["group", "class"])
@pytest.mark.parametrize(
    ("guess", "drawn"), [("composed", "composed unseen prototypes"), ("text", "texts of unseen classes")]
)
def test_the_map_draws_clips_and_prototypes_and_lines_to_the_true_ones(
    catalog, predictions, space, colour_by, guess, drawn
):
    figure = shared_space(space, catalog, colour_by, guess)
    traces = {trace.name: trace for trace in figure.data}
    assert {"seen prototypes", "true unseen prototypes", drawn} <= set(
        traces
    ) and "<img" not in figure.to_json()
    points, line = traces[drawn], traces[f"{guess} to true"]
    kind = "unseen_text" if guess == "text" else "composed"
    places = np.stack([points.x, points.y], axis=1)
    np.testing.assert_allclose(places, predictions.prototypes(kind)[:, :2], atol=1e-6)
    assert line.x[:3] == (points.x[0], pytest.approx(predictions.prototypes("true")[0, 0]), None)
    with pytest.raises(ValueError, match="got 'label'"):
        shared_space(space, catalog, guess="label")
    with pytest.raises(ValueError, match="'group', 'class', 'right', 'hubness', got 'colour'"):
        shared_space(space, catalog, "colour")


@pytest.mark.skipif(
    "ZSAR_LAB_SLOW" not in os.environ, reason="umap compiles for a minute; set ZSAR_LAB_SLOW to run it"
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ImportWarning", "ignore::FutureWarning")
def test_points_put_in_do_not_move_those_that_were_fitted():
    points = np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32)
    fitted = np.arange(60) < 40
    xy = projection._umap_of_part(points, fitted, 0)
    assert np.isfinite(xy).all()
    np.testing.assert_array_equal(xy[fitted], projection._umap(points[fitted], 0))
    np.testing.assert_array_equal(xy, projection._umap_of_part(points, fitted, 0))
