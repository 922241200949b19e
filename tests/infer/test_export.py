"""zsar_lab.infer.export and model_card, and zsar_lab.study_export: what is shared of a scored split, and what is told of it."""

from __future__ import annotations

import html
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import test_text_tail
import torch
from small_training import CONFIG, NAMES, stripes_classes, stripes_protocol, stripes_store

from zsar_lab.data.frames import FrameStore
from zsar_lab.embed.checkpoint import ClipEmbeddings, embed_clips
from zsar_lab.files import read_json, write_json
from zsar_lab.infer.export import origin, shared_model
from zsar_lab.infer.model_card import info, model_card
from zsar_lab.infer.shared_model import SharedModel, load_shared, save_shared
from zsar_lab.methods.scores import label_embeddings
from zsar_lab.methods.transfer import TransferSettings, compose_prototypes, weights_by_text
from zsar_lab.protocols.protocol import Protocol
from zsar_lab.results.calibration import choose_temperature
from zsar_lab.results.evaluate import DIRECT, TRANSFER, SplitResult, evaluate_split, split_result
from zsar_lab.study_export import export_split
from zsar_lab.text.embeddings import ClassEmbeddings, embed_class_text
from zsar_lab.text.encoder_files import EncoderFiles
from zsar_lab.text.prompts import ClassText
from zsar_lab.train.checkpoint import Checkpoint
from zsar_lab.train.loop import text_inputs, train
from zsar_lab.train.presets import TrainConfig
from zsar_lab.train.text_tail import class_embeddings_of

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "</script>",
    "[a](javascript:alert(1))",
    "`one` *two* | three & four_ five",
    "climb_stairs",
    "bell\x07\x1b[31m\nnext",
)


@dataclass(frozen=True)
class Trained:
    """A training of a second, and all that an export is made from."""

    store: FrameStore
    protocol: Protocol
    texts: dict[str, ClassEmbeddings]
    files: EncoderFiles
    checkpoint: Checkpoint
    clips: ClipEmbeddings

    @property
    def classes(self) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "name": NAMES,
                "label": [None] * len(NAMES),
                "description": [None, *(f"A clip of {name}." for name in NAMES[1:])],
            }
        )

    @property
    def result(self) -> SplitResult:
        texts = self.texts
        given = self.checkpoint, self.clips, self.protocol, texts["label"], (texts["description"],)
        return split_result(evaluate_split(*given))

    def shared(self, about: dict | None = None, **changes) -> SharedModel:
        given = {
            "checkpoint": self.checkpoint,
            "clips": self.clips,
            "protocol": self.protocol,
            "texts": self.texts,
            "classes": self.classes,
        }
        given |= {
            "frames": self.store.settings,
            "encoder": self.files,
            "about": self.about() if about is None else about,
        }
        return shared_model(**given | changes)

    def about(self, data: str = "stripes", generated: bool = False, protocol: Protocol | None = None) -> dict:
        return origin(
            data, generated, protocol or self.protocol, self.result, {"epochs": 3}, {"catalog": "c0ffee"}
        )


def other_texts(prompt: str, labels: ClassEmbeddings, seed: int) -> ClassEmbeddings:
    """Texts of another prompt, which say about the same."""
    pooled = labels.pooled_CF + 0.3 * np.random.default_rng(seed).normal(size=labels.pooled_CF.shape).astype(
        np.float32
    )
    text = ClassText(prompt, labels.names, tuple(f"{prompt} of {name}" for name in labels.names))
    return replace(labels, class_text=text, pooled_CF=pooled / np.linalg.norm(pooled, axis=1, keepdims=True))


def trained(folder: Path, config: TrainConfig = CONFIG) -> Trained:
    store, labels = stripes_store(folder), stripes_classes()
    protocol = stripes_protocol(store)
    checkpoint = train(store, protocol, labels, config, folder / "run", device="cpu")
    clips = embed_clips(checkpoint, store, folder / "run", "cpu")
    texts = {"label": labels, "description": other_texts("description", labels, 3)}
    return Trained(
        store,
        protocol,
        texts,
        EncoderFiles("tiny", folder, "folder given", labels.encoder),
        checkpoint,
        clips,
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Trained:
    return trained(tmp_path_factory.mktemp("trained"))


# what is shared


def test_transfer_is_chosen_as_in_the_evaluation(made):
    shared, result = made.shared(), made.result
    assert set(shared.methods) == {(TRANSFER, "label"), (TRANSFER, "description"), (DIRECT, "label")}
    for prompt in ("label", "description"):
        found = shared.methods[TRANSFER, prompt]
        wanted = next(
            scored for scored in result.texts if (scored.method, scored.class_text) == (TRANSFER, prompt)
        )
        assert found.settings == wanted.settings and found.validation_top1 == wanted.validation_top1
    for method in (TRANSFER, DIRECT):
        assert shared.methods[method, "label"].temperature == pytest.approx(
            result.method(method).temperature, rel=1e-6
        )
        assert shared.methods[method, "label"].validation_top1 == result.method(method).validation_top1


def test_what_is_shared_gives_the_scores_of_the_evaluation(made):
    """Prototypes, texts and settings of the shared model, put together by hand, name unseen clips as the evaluation did."""
    shared, result, texts = made.shared(), made.result, made.texts["label"]
    rows = [made.clips.ids.index(clip) for clip in result.ids]
    unseen_UF = texts.pooled_CF[texts.rows(made.protocol.unseen)].astype(float)
    settings = TransferSettings(**shared.methods[TRANSFER, "label"].settings)
    weights_US = weights_by_text(unseen_UF, shared.texts["label"].pooled_SF.astype(float), settings)
    points_UD = compose_prototypes(weights_US, shared.prototypes_SD.astype(float))
    scores = made.clips.embedding_ND[rows].astype(float) @ points_UD.T
    np.testing.assert_allclose(scores, result.method(TRANSFER).scores_BC, atol=1e-3)
    assert (scores.argmax(1) == result.method(TRANSFER).scores_BC.argmax(1)).all()


def test_prototypes_and_validation_scores_by_hand(made):
    shared, protocol = made.shared(), made.protocol
    labels = dict(zip(made.clips.ids, made.clips.labels, strict=True))
    embedded = dict(zip(made.clips.ids, made.clips.embedding_ND.astype(float), strict=True))
    for name, prototype_D in zip(protocol.seen, shared.prototypes_SD, strict=True):
        mean = sum(embedded[clip] for clip in protocol.train_clips if labels[clip] == name)
        np.testing.assert_allclose(prototype_D, mean / np.linalg.norm(mean), atol=1e-5)
    assert [protocol.validation[target] for target in shared.targets_B] == [
        labels[clip] for clip in protocol.validation_clips
    ]
    inputs = text_inputs(made.texts["label"], protocol.validation, CONFIG.model.n_label_tokens, "cpu")
    labels_VD = label_embeddings(made.checkpoint.model(), inputs)
    plain = (
        np.stack([embedded[clip] / np.linalg.norm(embedded[clip]) for clip in protocol.validation_clips])
        @ labels_VD.T
    )
    np.testing.assert_allclose(shared.methods[DIRECT, "label"].scores_BV, plain, atol=1e-5)
    assert shared.methods[DIRECT, "label"].temperature == pytest.approx(
        choose_temperature(plain, shared.targets_B), rel=1e-2
    )


def test_seen_classes_are_in_the_order_of_the_protocol_and_have_their_texts(made):
    shared = made.shared()
    assert tuple(shared.seen["name"]) == made.protocol.seen and shared.prompt == "label"
    for prompt, seen in shared.texts.items():
        rows = [NAMES.index(name) for name in made.protocol.seen]
        assert seen.class_text.names == made.protocol.seen and seen.class_text.prompt == prompt
        assert seen.class_text.texts == tuple(made.texts[prompt].class_text.texts[row] for row in rows)
        np.testing.assert_array_equal(seen.pooled_SF, made.texts[prompt].pooled_CF[rows])
    described = dict(zip(shared.seen["name"], shared.seen["description"], strict=True))
    assert described == {
        name: "" if name == NAMES[0] else f"A clip of {name}." for name in made.protocol.seen
    }
    assert list(made.shared(classes=made.classes[["name"]]).seen["description"]) == [""] * 4


def test_averages_are_what_is_shared(tmp_path):
    averaged = trained(tmp_path, replace(CONFIG, ema_decay=0.5, epochs=1))
    save_shared(averaged.shared(), tmp_path / "shared", "card")
    opened = load_shared(tmp_path / "shared").checkpoint
    used, last = averaged.checkpoint.tensors("average.model."), averaged.checkpoint.tensors("model.")
    kept = opened.model().state_dict()
    assert used.keys() == kept.keys() and all(torch.equal(kept[name], used[name]) for name in used)
    assert any(not torch.equal(kept[name], last[name]) for name in last)
    assert not opened.tensors("average.") and not opened.tensors("optimiser.")


def test_trained_layers_of_the_text_encoder_are_shared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    with torch.random.fork_rng():
        files = test_text_tail.save_encoder("bert", folder / "encoder")
    random = np.random.default_rng(0)
    frames = random.integers(0, 255, (64, 4, 16, 16, 3), dtype=np.uint8)
    names = test_text_tail.NAMES
    ids, labels = (
        [f"{name}/{n}" for name in names for n in range(8)],
        [name for name in names for _ in range(8)],
    )
    store = replace(stripes_store(folder), frames=frames, ids=ids, labels=labels)
    protocol = test_text_tail.make_protocol(
        "t", pd.DataFrame({"id": ids, "class": labels}), names[6:], names[4:6], seed=0, seen_test_share=0.25
    )
    classes = embed_class_text(test_text_tail.TEXTS, files)
    checkpoint = train(
        store,
        protocol,
        classes,
        replace(test_text_tail.CONFIG, epochs=1),
        folder / "run",
        device="cpu",
        files=files,
    )
    clips = embed_clips(checkpoint, store, folder / "run", "cpu")
    table = pd.DataFrame({"name": names})
    shared = shared_model(
        checkpoint, clips, protocol, {"parts": classes}, table, store.settings, files, {"protocol": {}}
    )
    save_shared(shared, folder / "shared", "card")
    opened = load_shared(folder / "shared").checkpoint
    text = checkpoint.weights("text")
    assert text and opened.weights("text").keys() == text.keys()
    assert all(torch.equal(opened.weights("text")[name], text[name]) for name in text)
    # direct was chosen on the texts as the trained layers read them
    read = class_embeddings_of(opened, classes.class_text, files)
    inputs = text_inputs(read, protocol.validation, checkpoint.config.model.n_label_tokens, "cpu")
    rows = [clips.ids.index(clip) for clip in protocol.validation_clips]
    plain = clips.embedding_ND[rows].astype(float) @ label_embeddings(opened.model(), inputs).T
    np.testing.assert_allclose(shared.methods[DIRECT, "parts"].scores_BV, plain, atol=2e-3)
    np.testing.assert_array_equal(
        shared.texts["parts"].pooled_SF, classes.pooled_CF[classes.rows(protocol.seen)]
    )


def test_what_does_not_belong_together_is_refused(made):
    none = replace(made.protocol, validation=(), validation_clips=())
    with pytest.raises(
        ValueError,
        match="settings that validation classes chose, protocol 'test' has none; make it with n_validation of 2 or more",
    ):
        made.shared(protocol=none)
    with pytest.raises(
        ValueError,
        match=r"class texts of the training must be among those shared, got description; add the study's own",
    ):
        made.shared(texts={"description": made.texts["description"]})
    with pytest.raises(ValueError, match="class texts of the training must be among those shared, got none"):
        made.shared(texts={})
    with pytest.raises(ValueError, match=r"needs a finished training, '.*' is at step 1 of 9; train on"):
        made.shared(checkpoint=replace(made.checkpoint, step=1))
    swapped = replace(made.protocol, train_clips=made.protocol.train_clips[::-1])
    hashes = f"{made.protocol.training_hash}, got 'test' of {swapped.training_hash}; take the split's own"
    with pytest.raises(
        ValueError, match=f"shared with the protocol that it was trained on, of training side {hashes}"
    ):
        made.shared(protocol=swapped)
    with pytest.raises(
        ValueError,
        match=f"must be those of the checkpoint shared, {made.checkpoint.fingerprint}, got embeddings of other; take",
    ):
        made.shared(clips=replace(made.clips, about={"checkpoint": "other"}))


# what is told of it


def test_scores_of_the_origin_are_those_of_the_result(made):
    about, result = made.about(), made.result
    scores = about["scores"]
    assert scores["chance"] == 0.5 and scores["seen_top1"] == result.seen_top1
    for row in scores["methods"]:
        scored = result.method(row["method"])
        right = [
            scores_C[target] > np.delete(scores_C, target).max()
            for scores_C, target in zip(scored.scores_BC, result.targets, strict=True)
        ]
        assert row["top1"] == np.mean(right) and row["ci95"][0] <= row["top1"] <= row["ci95"][1]
    assert (
        about["protocol"]["hash"] == made.protocol.hash
        and about["protocol"]["test_clips"] == 16
        and about["protocol"]["views"] == 1
    )
    assert about["fingerprints"] == {"catalog": "c0ffee"} | result.fingerprints and about["counts"] == {
        "epochs": 3
    }


def test_a_tie_is_not_right_in_the_origin(made):
    result = made.result
    tied = [replace(scored, scores_BC=np.ones_like(scored.scores_BC)) for scored in result.methods]
    about = origin("stripes", False, made.protocol, replace(result, methods=tuple(tied)), {}, {})
    assert [row["top1"] for row in about["scores"]["methods"]] == [0.0, 0.0]


def test_the_card_and_info_hold_the_figures(made):
    shared = made.shared()
    card, lines = model_card(shared, "stripes"), info(shared)
    for text in (card, lines):
        for row in shared.about["scores"]["methods"]:
            low, high = row["ci95"]
            assert (
                row["method"] in text
                and f"{100 * row['top1']:.1f} %" in text
                and f"[{100 * low:.0f}, {100 * high:.0f}]" in text
            )
        assert "50.0 %" in text and f"{100 * shared.about['scores']['upper_bound']:.1f} %" in text
        assert (
            made.protocol.hash in text
            and shared.encoder_revision in text
            and "24 clips of stripes" in text
            and "generated" not in text
        )
    for method in shared.methods.values():
        assert f"| {method.method} | {method.class_text} | {100 * method.validation_top1:.1f} % |" in card
    assert (
        "On the 16 clips of 2 classes" in card
        and "one view a clip" in card
        and "On the 2 validation classes" in card
    )
    assert (
        f"seen (4): {', '.join(made.protocol.seen)}" in card
        and "- epochs: 3" in card
        and "- fingerprint of catalog: c0ffee" in card
    )
    assert f"fingerprint {shared.fingerprint}, step 9 of 9" in lines and "4 seen classes" in lines


def test_generated_data_and_other_views_are_said(made):
    about = made.about(generated=True)
    about["protocol"]["views"] = 25
    shared = made.shared(about)
    assert "**The videos were generated by zsar_lab" in model_card(
        shared, "x"
    ) and "25 views a clip" in model_card(shared, "x")
    assert "24 clips of stripes, a toy world: generated videos; 4 seen" in info(shared)


def test_the_front_matter_is_what_a_hub_reads(made):
    from huggingface_hub import ModelCard

    card = ModelCard(model_card(made.shared(), "x"))
    assert card.data.to_dict() == {
        "library_name": "zsar_lab",
        "pipeline_tag": "video-classification",
        "tags": ["zero-shot", "action-recognition"],
    }


def rendered(card: str, renderer: str) -> str:
    """The card's body as HTML by a renderer that lets raw HTML through."""
    body = card.split("---", 2)[2]
    if renderer == "mistune":
        return pytest.importorskip(renderer).create_markdown(
            escape=False, plugins=["table", "strikethrough", "math", "url"]
        )(body)
    return (
        pytest.importorskip(renderer)
        .MarkdownIt("commonmark", {"html": True})
        .enable(["table", "strikethrough"])
        .render(body)
    )


@pytest.mark.parametrize("renderer", ["mistune", "markdown_it"])
def test_names_that_are_markup_do_no_harm(made, renderer):
    about = made.about(HOSTILE[0])
    about["protocol"] |= {
        "name": HOSTILE[3],
        "unseen": list(HOSTILE),
        "seen": list(HOSTILE),
        "validation": [HOSTILE[1]],
    }
    about["scores"]["methods"][0]["class_text"] = HOSTILE[3]
    about["counts"] = {HOSTILE[1]: HOSTILE[0]}
    shared = replace(made.shared(about), encoder=HOSTILE[0])
    card = model_card(shared, f"x\" '; {HOSTILE[0]} `\n\n{HOSTILE[1]}")
    page = rendered(card, renderer)
    assert not [harm for harm in ("<img", "<script", "</script", "<a ", "<em>", "<code>one") if harm in page]
    assert page.count("<table") == 2 and page.count("<tr>") == 2 + 2 + 3
    text = html.unescape(page)
    assert all(name in text for name in HOSTILE[:5]) and "climb_stairs" in card


def test_names_cannot_steer_a_terminal(made):
    about = made.about("stripes\x1b[2J")
    about["protocol"]["name"] = HOSTILE[5]
    lines = info(made.shared(about))
    assert "bell  [31m next" in lines and all(line.isprintable() for line in lines.splitlines())
    assert len(lines.splitlines()) == len(info(made.shared()).splitlines())


# a split of a study


class Rooms:
    """What `export_split` asks of a workspace, with the figures of a training of a second; counts what is made."""

    def __init__(self, made: Trained, folder: Path) -> None:
        self.made, self.folder, self.asked = made, folder, []
        self.study, self.is_generated, self.encoder = (
            SimpleNamespace(splits=["split-0", "split-1"], data=SimpleNamespace(is_generated=True)),
            False,
            made.files,
        )
        self.catalog = SimpleNamespace(name="stripes", fingerprint="c0ffee", classes=made.classes)
        self.frames = made.store
        self.drawn = made.protocol

    def protocol(self, split: str) -> Protocol:
        self.asked.append(f"protocol {split}")
        return self.drawn

    def train(self, split: str) -> Checkpoint:
        self.asked.append(f"train {split}")
        return self.made.checkpoint

    def embeddings(self, split: str) -> ClipEmbeddings:
        return self.made.clips

    def result(self, split: str) -> SplitResult:
        self.asked.append(f"result {split}")
        return self.made.result

    def class_embeddings(self, prompt: str = "label") -> ClassEmbeddings:
        if prompt not in self.made.texts:
            raise ValueError("there are no such texts")
        return self.made.texts[prompt]


def test_a_split_is_exported_once_and_then_opened(made, tmp_path):
    rooms = Rooms(made, tmp_path)
    first = export_split(rooms)
    assert (
        first.checkpoint.path == tmp_path / "shared" / "split-0" / "model.safetensors"
        and rooms.asked.count("result split-0") == 1
    )
    assert set(first.methods) == {(TRANSFER, "label"), (TRANSFER, "description"), (DIRECT, "label")}
    weights = sum(weight.numel() for weight in made.checkpoint.model().parameters())
    assert first.about["counts"] == {"parameters": weights, "epochs": 3, "steps": 9, "clips a step": 8}
    assert (
        first.about["fingerprints"]["frames"] == made.store.fingerprint
        and "# split-0" in (tmp_path / "shared/split-0/README.md").read_text()
    )
    assert (
        export_split(rooms, "split-0").fingerprint == first.fingerprint
        and rooms.asked.count("result split-0") == 1
    )
    other = export_split(rooms, "split-1", tmp_path / "mine")
    assert other.checkpoint.path.parent == tmp_path / "mine" and rooms.asked.count("result split-1") == 1


@pytest.mark.parametrize("spoilt", ["damaged", "another format", "another training", "another protocol"])
def test_what_was_exported_before_is_made_again_where_it_is_not_the_same(made, tmp_path, spoilt):
    rooms = Rooms(made, tmp_path)
    folder = export_split(rooms).checkpoint.path.parent
    if spoilt == "damaged":
        (folder / "seen.safetensors").write_bytes(b"?")
    elif spoilt == "another format":
        config = read_json(folder / "config.json")
        write_json(folder / "config.json", config | {"format": 0})
    elif spoilt == "another training":
        kept = load_shared(folder)
        save_shared(replace(kept, checkpoint=replace(kept.checkpoint, step=1)), folder, "")
    else:
        config = read_json(folder / "config.json")
        config["about"]["protocol"]["hash"] = "another"
        write_json(folder / "config.json", config)
    again = export_split(rooms)
    assert rooms.asked.count("result split-0") == 2 and again.fingerprint == made.checkpoint.fingerprint
    assert load_shared(folder).about["protocol"]["hash"] == made.protocol.hash


def test_a_split_without_validation_classes_is_refused_before_it_is_trained(made, tmp_path):
    rooms = Rooms(made, tmp_path)
    rooms.drawn = replace(made.protocol, validation=(), validation_clips=())
    with pytest.raises(ValueError, match="settings that validation classes chose, protocol 'test' has none"):
        export_split(rooms)
    assert rooms.asked == ["protocol split-0"] and not (tmp_path / "shared").exists()
