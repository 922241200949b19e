"""zsar_lab.infer.export: what is shared of a scored split, and what is told of it."""

from __future__ import annotations

import html
from dataclasses import replace

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from small_text_training import CONFIG as TEXT_CONFIG
from small_text_training import TEXTS, save_encoder, text_protocol, text_store
from small_workspace import SmallWorkspace

from zsar_lab.embed.checkpoint import embed_clips
from zsar_lab.files import read_json, write_json
from zsar_lab.infer.export import export_split, info, model_card
from zsar_lab.infer.shared import SharedModel, load_shared, save_shared
from zsar_lab.methods.clips import nearest_scores
from zsar_lab.methods.direct import label_embeddings
from zsar_lab.results.calibration import choose_temperature
from zsar_lab.text.embeddings import ClassEmbeddings, embed_class_text
from zsar_lab.train.loop import train
from zsar_lab.train.text_tail import class_embeddings_of, text_inputs

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "</script>",
    "[a](javascript:alert(1))",
    "`one` *two* | three & four_ five",
    "climb_stairs",
    "bell\x07\x1b[31m\nnext",
)


# what is shared


def test_methods_are_chosen_as_in_the_evaluation(workspace, shared):
    keys = {("transfer", "label"), ("transfer", "description"), ("direct", "label")}
    assert set(shared.methods) == keys and shared.config["prompt"] == "label"
    for (method, prompt), chosen in shared.methods.items():
        found = workspace.scored.find(method, prompt)
        assert chosen["validation_top1"] == found.validation_top1
        assert method == "direct" or chosen["settings"] == found.settings
        if prompt == "label":
            assert chosen["temperature"] == pytest.approx(found.temperature, rel=1e-6)


def test_prototypes_and_held_out_clips_by_hand(workspace, shared):
    protocol, clips, held_out = workspace.drawn, workspace.clips, shared.held_out
    labels = dict(zip(clips.ids, clips.labels, strict=True))
    embedded = dict(zip(clips.ids, clips.embedding_ND.astype(float), strict=True))
    for name, prototype_D in zip(protocol.seen, shared.arrays["prototypes"], strict=True):
        mean = sum(embedded[clip] for clip in protocol.train_clips if labels[clip] == name)
        np.testing.assert_allclose(prototype_D, mean / np.linalg.norm(mean), atol=1e-5)
    ids = protocol.seen_test_clips + protocol.validation_clips
    assert [held_out.names[t] for t in held_out.targets_E] == [labels[clip] for clip in ids]
    np.testing.assert_allclose(held_out.embedding_ED, [embedded[clip] for clip in ids], atol=1e-3)
    assert held_out.names == protocol.seen + protocol.validation and held_out.n_seen == len(protocol.seen)
    assert len(held_out.patterns_PD) == 5 * 12
    plain, n_seen = direct_by_hand(workspace, shared, workspace.texts["label"]), len(protocol.seen)
    direct = shared.methods["direct", "label"]
    of_validation = [embedded[clip] for clip in protocol.validation_clips]
    np.testing.assert_allclose(of_validation @ direct["points_KD"][n_seen:].T, plain, atol=1e-3)
    targets = held_out.targets_E[held_out.targets_E >= n_seen] - n_seen
    assert direct["temperature"] == pytest.approx(choose_temperature(plain, targets), rel=1e-2)
    assert (shared.methods["transfer", "label"]["points_KD"][:n_seen] == shared.arrays["prototypes"]).all()
    text = workspace.texts["label"]
    seen, validation = (text.pooled_CF[text.rows(names)] for names in (protocol.seen, protocol.validation))
    assert direct["near"] == pytest.approx(1 - (validation @ seen.T).max(), abs=1e-5)


def direct_by_hand(workspace: SmallWorkspace, shared: SharedModel, texts: ClassEmbeddings) -> np.ndarray:
    """Cosines of validation clips to the label head's embeddings of their classes' texts."""
    protocol, checkpoint = workspace.drawn, shared.checkpoint
    inputs = text_inputs(texts, protocol.validation, checkpoint.config.model.n_label_tokens, "cpu")
    rows = [workspace.clips.ids.index(clip) for clip in protocol.validation_clips]
    embedding_BD = workspace.clips.embedding_ND[rows].astype(float)
    embedding_BD /= np.linalg.norm(embedding_BD, axis=1, keepdims=True)
    return embedding_BD @ label_embeddings(checkpoint.model(), inputs).T


def test_seen_classes_are_in_the_order_of_the_protocol_and_have_their_texts(workspace, shared):
    seen, first = workspace.drawn.seen, workspace.catalog.classes["name"][0]
    assert tuple(shared.seen["name"]) == seen
    for prompt, texts in workspace.texts.items():
        rows = texts.rows(seen)
        wanted = {name: texts.class_text.texts[row] for name, row in zip(seen, rows)}
        assert shared.texts[prompt]["texts"] == wanted and tuple(shared.texts[prompt]["texts"]) == seen
        np.testing.assert_array_equal(shared.arrays[f"text.{prompt}"], texts.pooled_CF[rows])
    described = ["" if name == first else f"A clip of {name}." for name in seen]
    assert shared.seen["description"].tolist() == described


@pytest.mark.long
def test_trained_layers_of_the_text_encoder_are_shared(tmp_path):
    with torch.random.fork_rng():
        files = save_encoder("bert", tmp_path / "encoder")
    store = text_store(tmp_path)
    protocol = text_protocol(store)
    classes, config = embed_class_text(TEXTS, files), replace(TEXT_CONFIG, epochs=1)
    checkpoint = train(store, protocol, classes, config, tmp_path / "run", device="cpu", files=files)
    clips = embed_clips(checkpoint, store, tmp_path / "run", "cpu")
    read = class_embeddings_of(checkpoint, TEXTS, files)
    texts = {"parts": classes}
    workspace = SmallWorkspace(tmp_path, store, protocol, texts, files, checkpoint, clips, trained_text=read)
    shared = workspace.shared(tmp_path / "shared")
    text = checkpoint.weights("text")
    assert text and shared.checkpoint.weights("text").keys() == text.keys()
    assert all(torch.equal(shared.checkpoint.weights("text")[name], text[name]) for name in text)
    # direct was chosen on the texts as the trained layers read them
    plain = direct_by_hand(workspace, shared, class_embeddings_of(shared.checkpoint, TEXTS, files))
    points_VD = shared.methods["direct", "parts"]["points_KD"][len(protocol.seen) :]
    rows = [clips.ids.index(clip) for clip in protocol.validation_clips]
    np.testing.assert_allclose(nearest_scores(clips.embedding_ND[rows], points_VD), plain, atol=2e-3)
    np.testing.assert_array_equal(shared.arrays["text.parts"], classes.pooled_CF[classes.rows(protocol.seen)])


# once, and again where it is not the same


def test_a_split_is_exported_once_and_then_opened(workspace, tmp_path):
    rooms = replace(workspace, folder=tmp_path, asked=[])
    first = export_split(rooms)
    assert first.checkpoint.path == tmp_path / "shared" / "split-0" / "model.safetensors"
    weights = sum(weight.numel() for weight in workspace.checkpoint.model().parameters())
    counts = {"parameters": weights, "epochs": 3, "steps": 9, "clips a step": 8}
    assert first.about["counts"] == counts
    assert "# split-0" in (tmp_path / "shared/split-0/README.md").read_text()
    assert export_split(rooms, "split-0").fingerprint == first.fingerprint
    other = export_split(rooms, "split-1", tmp_path / "mine")
    assert other.checkpoint.path.parent == tmp_path / "mine"
    assert [rooms.asked.count(f"predictions split-{number}") for number in (0, 1)] == [1, 1]


@pytest.mark.parametrize("spoilt", ["damaged", "another version", "another training", "another protocol"])
def test_what_was_exported_before_is_made_again_where_it_is_not_the_same(workspace, tmp_path, spoilt):
    rooms = replace(workspace, folder=tmp_path, asked=[])
    there = export_split(rooms)
    folder = there.checkpoint.path.parent
    if spoilt == "damaged":
        (folder / "seen.safetensors").write_bytes(b"?")
    elif spoilt == "another version":
        write_json(folder / "config.json", read_json(folder / "config.json") | {"schema_version": 0})
    elif spoilt == "another training":
        save_shared(replace(there, checkpoint=replace(there.checkpoint, step=1)), folder, "")
    else:
        save_shared(told(there, protocol={"hash": "another"}), folder, "")
    again = export_split(rooms)
    assert rooms.asked.count("predictions split-0") == 2
    assert again.fingerprint == workspace.checkpoint.fingerprint
    assert load_shared(folder).about["protocol"]["hash"] == workspace.drawn.hash


def test_a_split_without_validation_classes_is_refused_before_it_is_trained(workspace, tmp_path):
    drawn = replace(workspace.drawn, validation=(), validation_clips=())
    rooms = replace(workspace, folder=tmp_path, drawn=drawn, asked=[])
    with pytest.raises(ValueError, match="'test' has none"):
        export_split(rooms)
    assert rooms.asked == ["protocol split-0"] and not (tmp_path / "shared").exists()


# what is told of it


def test_scores_are_those_of_the_evaluation(workspace, shared):
    about, scored = shared.about, workspace.scored
    assert about["scores"]["chance"] == 0.5
    seen = scored.rows("seen", candidates="seen")
    assert about["scores"]["seen_top1"] == pytest.approx((seen["label"] == seen["prediction"]).mean())
    for row in about["scores"]["methods"]:
        right = [
            scores_C[target] > np.delete(scores_C, target).max()
            for scores_C, target in zip(scored.scores(row["method"]), scored.targets(), strict=True)
        ]
        assert row["top1"] == np.mean(right) and row["ci95"][0] <= row["top1"] <= row["ci95"][1]
    protocol = about["protocol"]
    assert (protocol["hash"], protocol["test_clips"], protocol["views"]) == (workspace.drawn.hash, 16, 1)
    frames = workspace.frames.fingerprint
    given = {"catalog": "c0ffee", "frames": frames} | scored.about["fingerprints"]
    assert about["fingerprints"] == given


def told(shared: SharedModel, **changes) -> SharedModel:
    """The same with other words in `about`, by key or by the key of what is in a part of it."""
    about = {key: dict(part) if isinstance(part, dict) else part for key, part in shared.about.items()}
    for key, value in changes.items():
        about[key] = about[key] | value if isinstance(value, dict) else value
    return replace(shared, config=shared.config | {"about": about})


def test_the_card_and_info_hold_the_figures(workspace, shared):
    card, lines = model_card(shared, "stripes"), info(shared)
    for text in (card, lines):
        for row in shared.about["scores"]["methods"]:
            low, high = row["ci95"]
            assert row["method"] in text and f"{100 * row['top1']:.1f} %" in text
            assert f"[{100 * low:.0f}, {100 * high:.0f}]" in text
        upper_bound = f"{100 * shared.about['scores']['upper_bound']:.1f} %"
        revision = shared.config["encoder_revision"]
        for figure in ("50.0 %", upper_bound, workspace.drawn.hash, revision, "24 clips of stripes"):
            assert figure in text
        assert "generated" not in text
    for (method, prompt), chosen in shared.methods.items():
        assert f"| {method} | {prompt} | {100 * chosen['validation_top1']:.1f} % |" in card
    seen = f"seen (4): {', '.join(workspace.drawn.seen)}"
    for words in ("On the 16 clips of 2 classes", "one view a clip", "On the 2 validation classes", seen):
        assert words in card
    assert "- epochs: 3" in card and "- fingerprint of catalog: c0ffee" in card
    assert f"fingerprint {shared.fingerprint}, step 9 of 9" in lines and "4 seen classes" in lines
    about = ModelCard(card).data
    assert (about.library_name, about.pipeline_tag) == ("zsar_lab", "video-classification")
    assert about.tags == ["zero-shot", "action-recognition"]
    toy = told(shared, generated=True, protocol={"views": 25})
    assert "**The videos were generated by zsar_lab" in model_card(toy, "x")
    assert "25 views a clip" in model_card(toy, "x")
    assert "24 clips of stripes, a toy world: generated videos; 4 seen" in info(toy)


def test_names_that_are_markup_do_no_harm(shared):
    names = {"unseen": list(HOSTILE), "seen": list(HOSTILE), "validation": [HOSTILE[1]]}
    first, second = shared.about["scores"]["methods"]
    scores = {"methods": [first | {"prompt": HOSTILE[3]}, second]}
    odd = told(shared, protocol=names | {"name": HOSTILE[3]}, scores=scores, counts={HOSTILE[1]: HOSTILE[0]})
    odd = replace(odd, config=odd.config | {"encoder": HOSTILE[0]})
    card = model_card(odd, f"x\" '; {HOSTILE[0]} `\n\n{HOSTILE[1]}")
    plugins = ["table", "strikethrough", "math", "url"]  # raw HTML is let through
    renderer = pytest.importorskip("mistune").create_markdown(escape=False, plugins=plugins)
    page = renderer(card.split("---", 2)[2])
    harm = ("<img", "<script", "</script", "<a ", "<em>", "<code>one")
    assert not [tag for tag in harm if tag in page]
    assert page.count("<table") == 2 and page.count("<tr>") == 2 + 2 + 3
    text = html.unescape(page)
    assert all(name in text for name in HOSTILE[:5]) and "climb_stairs" in card


def test_names_cannot_steer_a_terminal(shared):
    lines = info(told(shared, data="stripes\x1b[2J", protocol={"name": HOSTILE[5]}))
    assert "bell  [31m next" in lines and all(line.isprintable() for line in lines.splitlines())
    assert len(lines.splitlines()) == len(info(shared).splitlines())
