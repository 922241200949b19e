"""zsar_lab.infer.model: which texts a model reads of a table of classes, and public models on real files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_encoders import PUBLIC_KINDS, save_public

import zsar_lab as zl
from zsar_lab.data.video import write_mp4
from zsar_lab.infer import model as room
from zsar_lab.infer.classifier import NOT_KNOWN, UNKNOWN
from zsar_lab.infer.model import TrainedModel, fitting_prompt, load_model
from zsar_lab.infer.predictions import as_lines, save_table, sure_sentence
from zsar_lab.methods.clips import nearest_scores
from zsar_lab.models.public import load_public_tower
from zsar_lab.text.class_lists import read_classes
from zsar_lab.text.embeddings import embed_class_text
from zsar_lab.text.encoder_files import find_encoder

PARTS = "x: a; b; c; d; e"
PROMPTS = ["description_and_parts", "label", "label_and_description"]
CLASSES = {"walk": "a person walks", "jump": "a person jumps high", "sit": ""}


def fitting(prompts: list[str] = PROMPTS, **columns: list[str]) -> str:
    table = read_classes(pd.DataFrame({"name": ["a", "b"]} | columns))
    return fitting_prompt(table, "description_and_parts", prompts)


def test_the_prompt_reads_all_that_a_table_says():
    assert fitting() == fitting(structure=["", ""]) == "label"
    assert fitting(description=["it is", ""]) == "label_and_description"
    assert fitting(description=["it is", "so"], structure=[PARTS, PARTS]) == "description_and_parts"
    assert fitting([*PROMPTS, "structure"], structure=[PARTS, PARTS]) == "structure"
    # and structures are not left out without a word
    for given, structure, said in (
        (["it is", "so"], ["", PARTS], "1 of 2"),
        (["it is", ""], [PARTS] * 2, "some"),
    ):
        with pytest.raises(ValueError, match=said):
            fitting(description=given, structure=structure)


def test_a_trained_model_scores_unseen_clips_as_the_evaluation_did(workspace, shared, monkeypatch):
    texts, unseen, clips = workspace.texts["label"], workspace.drawn.unseen, workspace.clips
    rows = texts.rows(unseen)
    parts = {name: getattr(texts, name)[rows] for name in ("pooled_CF", "words_CLE", "mask_CL")}
    monkeypatch.setattr(room, "find_encoder", lambda _: workspace.encoder)
    monkeypatch.setattr(room, "embed_class_text", lambda text, *_: replace(texts, class_text=text, **parts))
    model = TrainedModel(shared, "cpu")
    of_test = [clips.ids.index(clip) for clip in workspace.scored.ids()]
    found = model.embed(workspace.frames.frames[of_test])
    np.testing.assert_allclose(found, clips.embedding_ND[of_test], atol=2e-4)  # normalised again there
    for method in ("transfer", "direct"):
        classifier = model.classifier(list(unseen), method)
        np.testing.assert_allclose(classifier.scores(found), workspace.scored.scores(method), atol=1e-3)
    for how in ({"method": "nearest"}, {"prompt": "none"}, {"method": "direct", "prompt": "description"}):
        with pytest.raises(ValueError, match=list(how.values())[-1]):
            model.classifier(list(unseen), **how)
    parts["pooled_CF"] = parts["pooled_CF"][:, :5]
    with pytest.raises(ValueError, match="got 5"):
        model.classifier(list(unseen))
    monkeypatch.setattr(room, "find_encoder", lambda _: replace(workspace.encoder, revision="another"))
    with pytest.raises(ValueError, match="another"):
        TrainedModel(shared, "cpu")


def test_names_that_were_trained_on_are_known_and_balanced(workspace, shared, monkeypatch):
    texts, seen, unseen = workspace.texts["label"], workspace.drawn.seen[:2], workspace.drawn.unseen

    def embedded(text, *_):
        rows = texts.rows(text.names)
        parts = {name: getattr(texts, name)[rows] for name in ("pooled_CF", "words_CLE", "mask_CL")}
        return replace(texts, class_text=text, **parts)

    monkeypatch.setattr(room, "find_encoder", lambda _: workspace.encoder)
    monkeypatch.setattr(room, "embed_class_text", embedded)
    model = TrainedModel(shared, "cpu")
    found = model.classifier([*seen, *unseen])
    assert found.known["trained"].tolist() == ["exact", "exact", "no", "no"]
    assert found.known["seen"].tolist() == [*seen, "", ""]
    # a trained name with the text of the training stands at its own clips, others between the seen ones
    np.testing.assert_allclose(found.weights_CD[:2], shared.arrays["prototypes"][:2], atol=1e-6)
    assert found.transfer_weights_CS[0].tolist() == [1, 0, 0, 0]
    gamma, biased = found.gamma, model.classifier([*seen, *unseen], allow_bias=True)
    np.testing.assert_allclose(found.balanced(np.zeros((1, 4)))[0], [-gamma, -gamma, 0, 0])
    assert biased.gamma == 0 and model.classifier(list(unseen)).gamma == 0
    assert found.thresholds is None  # of two validation classes
    assert "Nothing is called sure" in sure_sentence(found)
    assert model.classifier(list(seen)).thresholds is not None


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    return {kind: save_public(tmp_path_factory.mktemp(kind) / "model", kind) for kind in PUBLIC_KINDS}


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("videos") / "noise.mp4"
    write_mp4(path, np.random.default_rng(0).integers(0, 256, (24, 48, 64, 3), dtype=np.uint8), fps=12)
    return str(path)


@pytest.mark.parametrize("kind", PUBLIC_KINDS)
def test_a_public_model_predicts_by_its_own_texts_and_temperature(folders, video, kind, tmp_path):
    model, tower = load_model(folders[kind]), load_public_tower(folders[kind])
    table = zl.classify(video, CLASSES, model, limits=zl.api.Limits(1))
    assert table[["unsure", "why", "trained"]].values.tolist() == [[True, UNKNOWN, NOT_KNOWN]]
    assert "not rigorous" in model.about and model.seen.empty
    classifier = model.classifier(CLASSES)
    assert classifier.method == "direct" and classifier.thresholds is None
    shape = 2, model.frames.n_frames, model.frames.size_px, model.frames.size_px, 3
    frames = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    texts = embed_class_text(classifier.class_text, find_encoder(folders[kind])).pooled_CF
    expected = nearest_scores(tower(torch.from_numpy(frames)).numpy(), texts)
    np.testing.assert_allclose(classifier.scores(model.embed(frames)), expected, atol=2e-3)
    assert classifier.temperature == tower.temperature
    has_confidence = bool(table["confidence"].notna().all())
    assert has_confidence == (kind != "videoprism") and np.isfinite(table["score"]).all()
    line, parts = as_lines(table), {form: [table] for form in ("csv", "json")}
    assert (" nan" not in line) and (f" {table['prediction'][0]} " in line or not has_confidence)
    for form, part in parts.items():
        save_table(part, tmp_path / f"table.{form}", form)
    assert "nan" not in (tmp_path / "table.json").read_text().lower()
    with pytest.raises(ValueError, match="'transfer'"):
        model.classifier(CLASSES, method="transfer")


def test_several_lines_of_a_text_are_averaged(folders):
    model = load_model(folders["clip"])

    def weights(*texts: str) -> np.ndarray:
        return model.classifier(pd.DataFrame({"name": ["a", "b"], "text": texts})).weights_CD

    mean = weights("a walk", "a jump") + weights("a stroll", "a leap")
    found = weights("a walk\na stroll", "a jump\na leap")
    np.testing.assert_allclose(found, mean / np.linalg.norm(mean, axis=1, keepdims=True), atol=1e-6)
