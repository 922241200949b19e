"""A language model that reads class texts: what transformers offers, brought to one form. The owner of transformers for text.

Shapes: N texts, L tokens (word pieces), E width of the last layer, D of the embedding.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from zsar_lab.text.encoder_files import TOKENIZER_FILES, EncoderFiles
from zsar_lab.text.loading import one_sentence, quiet

METHOD = "a text encoder's folder must hold a model that transformers can load"
MEAN, FIRST, JOINT, PROJECTED = "mean over tokens", "first token", "joint space", "projected"
POOLING_FIELDS = {"pooling_mode_mean_tokens": MEAN, "pooling_mode_cls_token": FIRST}
HARMLESS_MODULES = ("Transformer", "Pooling", "Normalize")
UNREASONABLE_LENGTH = 1_000_000  # tokenizers without a limit give a huge number


class Read(NamedTuple):
    """What a language model makes of texts: pooled_ND, unit rows; words_NLE, its last layer."""

    pooled_ND: Tensor
    words_NLE: Tensor


class LanguageModel(nn.Module):
    """The text side of a transformers model.

    Attributes:
        pooling: how a text becomes one vector: the mean over its tokens or the first token's vector (sentence
            encoders and BERT-type models, as the model's own pooling file says, else the mean), or what a
            CLIP-type text tower gives ("joint space", "projected").
        most_tokens: how many tokens it reads, those it adds itself among them.
        n_known: how many different tokens it knows.
    """

    def __init__(
        self, network: nn.Module, pooling: str, most_tokens: int, takes_mask: bool, n_known: int
    ) -> None:
        super().__init__()
        self.n_known = n_known
        self.network, self.pooling, self.most_tokens, self.takes_mask = (
            network,
            pooling,
            most_tokens,
            takes_mask,
        )

    @property
    def layers(self) -> nn.ModuleList:
        """The layers of the text side, in the order they run.

        Raises:
            ValueError: they do not stand in one list of as many as the configuration says.
        """
        text = getattr(self.network, "text_model", self.network)  # a CLIP-type model has images beside it
        n_layers = getattr(text.config, "num_hidden_layers", None)
        lists = [
            module
            for module in text.modules()
            if isinstance(module, nn.ModuleList) and len(module) == n_layers
        ]
        if len(lists) != 1:
            raise ValueError(
                "training the last layers of a text encoder needs its layers one after the other in one list, a model of type"
                f" {text.config.model_type} "
                f"has {len(lists)} lists of {n_layers}; choose an encoder of the BERT or CLIP type, or leave text_layers at 0"
            )
        return lists[0]

    def forward(self, ids_NL: Tensor, mask_NL: Tensor) -> Read:
        """Read texts: pooled = h / |h|, h as `pooling` says.

        Args:
            ids_NL: int64 token ids, padded.
            mask_NL: int64, 1 at a token.
        """
        inputs = {"input_ids": ids_NL} | ({"attention_mask": mask_NL} if self.takes_mask else {})
        if self.pooling == JOINT:
            out = self.network.get_text_features(**inputs)
            pooled_ND = out.pooler_output
        else:
            out = self.network(**inputs)
            pooled_ND = (
                out.text_embeds if self.pooling == PROJECTED else self._pool(out.last_hidden_state, mask_NL)
            )
        return Read(nn.functional.normalize(pooled_ND.float(), dim=-1), out.last_hidden_state.float())

    def _pool(self, words_NLE: Tensor, mask_NL: Tensor) -> Tensor:
        if self.pooling == FIRST:
            return words_NLE[:, 0]
        weight_NL1 = mask_NL[:, :, None].to(words_NLE.dtype)
        return (words_NLE * weight_NL1).sum(1) / weight_NL1.sum(1)


def load_language_model(files: EncoderFiles) -> LanguageModel:
    """Load the text side of a model, in float32 on the CPU, ready to read (no dropout).

    Raises:
        ValueError: the model has no text side, has one that reads no label by itself, lacks weights, or needs
            a layer that is not applied here.
    """
    import transformers

    with quiet(), one_sentence(METHOD, files.folder):
        config = transformers.AutoConfig.from_pretrained(files.folder, local_files_only=True)
    kind, network_class = _text_side(config, files)
    pooling = kind or _pooling(files.folder)
    with quiet(), one_sentence(METHOD, files.folder):
        network, info = network_class.from_pretrained(
            files.folder, local_files_only=True, dtype=torch.float32, output_loading_info=True
        )
    missing = sorted(
        key for key in info["missing_keys"] if not key.startswith("pooler.")
    )  # BERT's pooler is not read
    if missing:
        raise ValueError(
            f"a text encoder's folder must hold every weight of its model, '{files.folder}' lacks {len(missing)} ({missing[0]}, ...);"
            " fetch the model again"
        )
    text = getattr(config, "text_config", None) or config
    takes_mask = not config.model_type.startswith(
        "siglip"
    )  # trained without a mask, padded to its full length
    return LanguageModel(
        network, pooling, _most_tokens(files.folder, text), takes_mask, text.vocab_size
    ).eval()


def load_tokenizer(files: EncoderFiles) -> Any:
    """The model's own tokenizer.

    Raises:
        ValueError: it cannot be read, or is not one that says which tokens a word became.
    """
    import transformers

    if not any(found for pattern in TOKENIZER_FILES for found in files.folder.glob(pattern)):
        raise ValueError(
            f"a text encoder's folder must hold its tokenizer (tokenizer.json or vocab files), '{files.folder}' has none; save it there with"
            " save_pretrained of the tokenizer"
        )
    with quiet(), one_sentence(METHOD, files.folder):
        tokenizer = transformers.AutoTokenizer.from_pretrained(files.folder, local_files_only=True)
    if not tokenizer.is_fast or tokenizer.pad_token_id is None:
        lacks = "a tokenizer.json (fast tokenizer)" if not tokenizer.is_fast else "a padding token"
        raise ValueError(
            f"a text encoder's tokenizer must have {lacks}, that in '{files.folder}' has none; choose an encoder of"
            " the BERT or CLIP type"
        )
    return tokenizer


def _text_side(config: Any, files: EncoderFiles) -> tuple[str | None, Any]:
    """How the model's text side is read (None: by pooling tokens) and the class that loads it."""
    import transformers

    architecture = (config.architectures or [""])[0]
    offered = getattr(transformers, architecture, None)
    if getattr(config, "text_config", None) is not None:
        if offered is not None and hasattr(offered, "get_text_features"):
            return JOINT, offered
        why = "reads text only together with images"
    elif architecture.endswith("TextModelWithProjection"):
        return PROJECTED, offered
    elif getattr(config, "vocab_size", None) is None:
        why = "has no text side"
    elif config.is_encoder_decoder or getattr(config, "is_decoder", False):
        why = "needs a decoder"
    else:
        return None, transformers.AutoModel
    raise ValueError(
        f"a text encoder must read a text by itself, the model in '{files.folder}' ({config.model_type}) {why}; give a sentence encoder, "
        "a BERT-type model, or a CLIP-type model with its text tower"
    )


def _pooling(folder: Path) -> str:
    """As the folder's pooling file says; the mean over tokens where there is none."""
    modules = (
        json.loads((folder / "modules.json").read_text(encoding="utf-8"))
        if (folder / "modules.json").is_file()
        else []
    )
    other = [
        module["type"].rsplit(".", 1)[-1]
        for module in modules
        if module["type"].rsplit(".", 1)[-1] not in HARMLESS_MODULES
    ]
    path = folder / "1_Pooling" / "config.json"
    chosen = (
        json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"pooling_mode_mean_tokens": True}
    )
    modes = [mode for mode, on in chosen.items() if mode.startswith("pooling_mode_") and on is True]
    if "pooling_mode" in chosen:
        modes = [
            f"pooling_mode_{chosen['pooling_mode']}_token" + ("s" if chosen["pooling_mode"] != "cls" else "")
        ]
    if other or len(modes) != 1 or modes[0] not in POOLING_FIELDS:
        raise ValueError(
            f"a sentence encoder must end in mean or first-token pooling, '{folder}' asks for {', '.join(other + modes) or 'nothing'};"
            " choose another encoder"
        )
    return POOLING_FIELDS[modes[0]]


def _most_tokens(folder: Path, text_config: Any) -> int:
    limits = [getattr(text_config, "max_position_embeddings", None)]
    for name, key in (
        ("sentence_bert_config.json", "max_seq_length"),
        ("tokenizer_config.json", "model_max_length"),
    ):
        path = folder / name
        limits.append(json.loads(path.read_text(encoding="utf-8")).get(key) if path.is_file() else None)
    return int(min(limit for limit in limits if limit is not None and 0 < limit < UNREASONABLE_LENGTH))
