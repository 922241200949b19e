"""zsar_lab.infer.public_classifier: real CLIP, SigLIP and X-CLIP code with tiny random weights names real files."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from test_public_models import KINDS, folders  # noqa: F401  (folders is a fixture)

import zsar_lab as zl
from zsar_lab.data.video import write_mp4
from zsar_lab.methods.scores import nearest_scores
from zsar_lab.models.public import load_public_tower
from zsar_lab.opening import open_model
from zsar_lab.text.embeddings import embed_class_text
from zsar_lab.text.encoder_files import find_encoder

CLASSES = {"walk": "a person walks", "jump": "a person jumps high", "sit": ""}


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("videos") / "noise.mp4"
    write_mp4(path, np.random.default_rng(0).integers(0, 256, (24, 48, 64, 3), dtype=np.uint8), fps=12)
    return str(path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_public_model_names_by_its_own_texts_and_temperature(folders, video, kind):  # noqa: F811
    model = open_model(folders[kind])
    table = zl.classify(video, CLASSES, model, limits=zl.api.Limits(1))
    assert (
        not table["unsure"][0]
        and table["why"][0] == ""
        and "not rigorous" in model.about
        and model.seen.empty
    )
    candidates, tower = model.candidates(zl.read_classes(CLASSES)), load_public_tower(folders[kind])
    assert candidates.method == "direct" and candidates.thresholds is None
    frames = np.random.default_rng(1).integers(
        0, 256, (2, model.frames.n_frames, model.frames.size_px, model.frames.size_px, 3), dtype=np.uint8
    )
    expected = nearest_scores(
        tower(torch.from_numpy(frames)).numpy(),
        embed_class_text(candidates.class_text, find_encoder(folders[kind])).pooled_CF,
    )
    np.testing.assert_allclose(
        nearest_scores(model.embed(frames).astype(float), candidates.points_CD), expected, atol=2e-3
    )
    assert candidates.temperature == pytest.approx(1 / float(tower.network.logit_scale.exp()))


def test_other_methods_are_refused(folders):  # noqa: F811
    with pytest.raises(
        ValueError, match="a public model names by the direct method, got 'transfer'; leave the method out"
    ):
        open_model(folders["clip"]).candidates(zl.read_classes(CLASSES), method="transfer")


def test_several_lines_of_a_text_are_averaged(folders):  # noqa: F811
    model = open_model(folders["clip"])
    two = pd.DataFrame({"name": ["a", "b"], "text": ["a walk\na stroll", "a jump\na leap"]})
    points = model.candidates(zl.read_classes(two)).points_CD
    alone = (
        pd.DataFrame({"name": ["a", "b"], "text": texts})
        for texts in (["a walk", "a jump"], ["a stroll", "a leap"])
    )
    mean = sum(model.candidates(zl.read_classes(table)).points_CD for table in alone)
    np.testing.assert_allclose(points, mean / np.linalg.norm(mean, axis=1, keepdims=True), atol=1e-6)
