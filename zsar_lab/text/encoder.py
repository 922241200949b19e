"""A text encoder at work: texts into vectors, in batches; and what it makes of a text's words.

Shapes: N texts, L tokens of a text, E width of the last layer, D of the embedding.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from zsar_lab.progress import progress
from zsar_lab.text.encoder_files import EncoderFiles
from zsar_lab.text.language_model import LanguageModel, load_language_model, load_tokenizer

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
