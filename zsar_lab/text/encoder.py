"""A text encoder at work: the text side of a transformers model, read in batches. The owner of transformers for text.

Shapes: N texts, L tokens of a text, E width of the last layer, D of the embedding.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from zsar_lab.progress import progress
from zsar_lab.text.encoder_files import TOKENIZER_FILES, EncoderFiles

HEAVILY_SPLIT = 3  # pieces of one word
SHOW_BAR_FROM = 256  # texts; fewer take a second or two


@dataclass(frozen=True)
class Word:
    """A word of a text as the encoder reads it: its pieces, and whether one of them is unknown to it."""

    text: str
    pieces: tuple[str, ...]
    unknown: bool

    @property
    def heavily_split(self) -> bool:
        """Three pieces or more: the encoder has hardly seen the word."""
        return len(self.pieces) >= HEAVILY_SPLIT


class TextTooLong(ValueError):
    """A text has more tokens than the encoder reads; `text` is that text."""

    def __init__(self, sentence: str, text: str) -> None:
        super().__init__(sentence)
        self.text = text


class TextEncoder:
    """A text encoder, loaded when it first reads; frozen.

    Args:
        files: from `find_encoder`.
        device: "cpu", "cuda", or None to choose. On a GPU it reads in bfloat16 and pools in float32.
    """

    def __init__(self, files: EncoderFiles, device: str | None = None) -> None:
        self.files = files
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))

    def __repr__(self) -> str:
        return f"TextEncoder({self.files})"

    @functools.cached_property
    def model(self) -> LanguageModel:
        """The language model, on the device."""
        with torch.random.fork_rng(devices=[]):  # loading draws random numbers
            return load_language_model(self.files).to(self.device).requires_grad_(False)

    @functools.cached_property
    def tokenizer(self):
        return load_tokenizer(self.files)

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, whole.

        Raises:
            ValueError: a text is empty.
            TextTooLong: a text is longer than the encoder reads; nothing is cut.
        """
        empty = [number for number, text in enumerate(texts) if not has_word(text)]
        if empty:
            raise ValueError(
                f"a class text must hold a letter or digit, that of number {empty[0]} is {texts[empty[0]]!r}; write it"
            )
        most = self.model.most_tokens  # first, for a model without a text side has no tokenizer either
        ids = self.tokenizer(list(texts), verbose=False)["input_ids"] if texts else []
        longest = max(range(len(ids)), key=lambda i: len(ids[i]), default=None)
        if longest is not None and len(ids[longest]) > most:
            raise TextTooLong(
                f"a class text must have at most {most} tokens for the encoder {self.files.name}, {texts[longest][:60]!r}... has {len(ids[longest])};"
                " shorten it, or choose an encoder that reads more",
                texts[longest],
            )
        if self.model.n_known < 1 + max((token for tokens in ids for token in tokens), default=0):
            raise ValueError(
                f"a text encoder's model and tokenizer must belong together, in '{self.files.folder}' the model knows"
                f" {self.model.n_known} tokens and the"
                f" tokenizer {len(self.tokenizer)}; save both from one source"
            )
        return ids

    @torch.inference_mode()
    def encode(self, texts: Sequence[str], batch_size: int = 64) -> tuple[np.ndarray, list[np.ndarray]]:
        """Read texts, those of similar length together.

        Args:
            texts: any strings with a word in them.
            batch_size: texts read at once.

        Returns:
            Embeddings float32 [N, D], unit rows, and the last layer of each text, float32 [L, E], all in the
            order of the texts.

        Raises:
            ValueError: as `tokens`.
        """
        ids = self.tokens(texts)
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        pooled, words = {}, {}
        with progress(
            what="class texts", unit="text", total=len(ids), shown=len(ids) >= SHOW_BAR_FROM
        ) as bar:
            for start in range(0, len(order), batch_size):
                chosen = order[start : start + batch_size]
                ids_NL, mask_NL = self.padded([ids[i] for i in chosen])
                with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
                    read = self.model(ids_NL, mask_NL)
                for row, i in enumerate(chosen):
                    pooled[i] = read.pooled_ND[row].cpu().numpy()
                    words[i] = read.words_NLE[row, : len(ids[i])].cpu().numpy()
                bar.update(len(chosen))
        if not all(np.isfinite(vector).all() for vector in pooled.values()):
            raise ValueError(
                f"embeddings must be finite numbers, the encoder in '{self.files.folder}' gives others; its weights are"
                " damaged, fetch it again"
            )
        return np.stack([pooled[i] for i in range(len(ids))]), [words[i] for i in range(len(ids))]

    def padded(self, ids: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids and mask, int64 [N, L], padded behind; to the full length for a model that reads no mask."""
        length = max(map(len, ids)) if self.model.takes_mask else self.model.most_tokens
        ids_NL = torch.full((len(ids), length), self.tokenizer.pad_token_id, dtype=torch.int64)
        mask_NL = torch.zeros_like(ids_NL)
        for row, tokens in enumerate(ids):
            ids_NL[row, : len(tokens)] = torch.tensor(tokens)
            mask_NL[row, : len(tokens)] = 1
        return ids_NL.to(self.device), mask_NL.to(self.device)

    def words(self, text: str) -> list[Word]:
        """The words of a text, each with the pieces it is read in and whether one is unknown; punctuation counts as a word."""
        encoded = self.tokenizer(
            text, return_offsets_mapping=True, return_special_tokens_mask=True, verbose=False
        )
        pieces = self.tokenizer.convert_ids_to_tokens(encoded["input_ids"])
        words: dict[int, list[int]] = {}
        for position, word in enumerate(encoded.word_ids()):
            if word is not None:  # None: a token that the tokenizer adds
                words.setdefault(word, []).append(position)
        found = []
        for positions in words.values():
            start, end = (
                encoded["offset_mapping"][positions[0]][0],
                encoded["offset_mapping"][positions[-1]][1],
            )
            unknown = any(encoded["input_ids"][p] == self.tokenizer.unk_token_id for p in positions)
            found.append(Word(text[start:end].strip(), tuple(pieces[p] for p in positions), unknown))
        return found


def has_word(text: str) -> bool:
    """Whether a text holds a letter or digit of any script."""
    return any(character.isalnum() for character in text)


@functools.lru_cache(maxsize=2)
def open_encoder(files: EncoderFiles) -> TextEncoder:
    """The encoder of these files, kept in memory, so that a text edited in a widget is read at once."""
    return TextEncoder(files)


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


@contextmanager
def quiet() -> Iterator[None]:
    """No loading bars and no advice of transformers inside the block."""
    from transformers.utils import logging as theirs

    before, bars = theirs.get_verbosity(), theirs.is_progress_bar_enabled()
    theirs.set_verbosity(logging.ERROR)
    theirs.disable_progress_bar()
    try:
        yield
    finally:
        theirs.set_verbosity(before)
        if bars:
            theirs.enable_progress_bar()


@contextmanager
def one_sentence(method: str, folder: Path) -> Iterator[None]:
    """Whatever transformers raises over a folder, as one sentence that begins with what the folder must hold.

    Raises:
        ValueError: it cannot be loaded.
    """
    try:
        yield
    except (
        Exception
    ) as error:  # transformers, tokenizers and safetensors raise many kinds, some directly of Exception
        first = str(error).strip().splitlines()[0][:150] if str(error).strip() else type(error).__name__
        raise ValueError(f"{method}, '{folder}' does not ({first}); fetch it again") from error
