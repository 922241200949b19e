"""Small text encoders with random weights, saved as transformers saves them: real architectures, real files, no download."""

from __future__ import annotations

from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

WORDS = ["a person runs", "a person swims in the water", "jumping jack", "handstand pushups", "cutting vegetables with a knife", "playing the guitar"]
SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2}
VISION = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 32, "patch_size": 16}
SPECIAL = ["<pad>", "<unk>", "<s>", "</s>"]


def tiny_tokenizer(kind: str, longest: int = 24) -> transformers.PreTrainedTokenizerFast:
    """A tokenizer trained on WORDS: word pieces ("bert") or byte pairs ("clip"); <s> before and </s> behind a text."""
    if kind == "bert":
        tokenizer, trainer = Tokenizer(models.WordPiece(unk_token="<unk>")), trainers.WordPieceTrainer(vocab_size=120, special_tokens=SPECIAL)
    else:
        tokenizer, trainer = Tokenizer(models.BPE(unk_token="<unk>")), trainers.BpeTrainer(vocab_size=120, special_tokens=SPECIAL)
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator(WORDS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 2), ("</s>", 3)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>", model_max_length=longest
    )


def tiny_model(kind: str) -> transformers.PreTrainedModel:
    """A model of that kind: bert, roberta, mpnet, clip, clip text, siglip, xclip, or videomae (which has no text side)."""
    text = SIZES | {"vocab_size": 120, "max_position_embeddings": 24, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    frames = VISION | {"num_frames": 4, "mit_hidden_size": 16, "mit_intermediate_size": 64, "mit_num_hidden_layers": 1, "mit_num_attention_heads": 2}
    torch.manual_seed(0)
    t = transformers
    makers = {
        "bert": lambda: t.BertModel(t.BertConfig(**text)),
        "roberta": lambda: t.RobertaModel(t.RobertaConfig(**text | {"max_position_embeddings": 40})),
        "mpnet": lambda: t.MPNetModel(t.MPNetConfig(**text | {"max_position_embeddings": 40})),
        "clip": lambda: t.CLIPModel(t.CLIPConfig(text_config=text, vision_config=VISION, projection_dim=16)),
        "clip text": lambda: t.CLIPTextModelWithProjection(t.CLIPTextConfig(**text, projection_dim=16)),
        "siglip": lambda: t.SiglipModel(t.SiglipConfig(text_config=text, vision_config=VISION)),
        "xclip": lambda: t.XCLIPModel(t.XCLIPConfig(text_config=text, vision_config=frames, projection_dim=16)),
        "videomae": lambda: t.VideoMAEModel(t.VideoMAEConfig(**SIZES, image_size=32, patch_size=16, num_frames=4)),
        "t5": lambda: t.T5Model(t.T5Config(vocab_size=120, d_model=32, d_kv=16, d_ff=64, num_layers=1, num_heads=2, decoder_start_token_id=0)),
    }
    return makers[kind]()


def save_tiny(folder: Path, kind: str) -> Path:
    """Save a tiny model, and its tokenizer where it reads text, as one finds them in a downloaded folder."""
    tiny_model(kind).save_pretrained(folder)
    if kind != "videomae":
        tiny_tokenizer("bert" if kind in ("bert", "roberta", "mpnet", "t5") else "clip").save_pretrained(folder)
    return folder
