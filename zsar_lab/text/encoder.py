"""A text encoder: the text side of a transformers model, read in batches. Owns transformers for text.

Shapes: N texts, L tokens of a text, E width of the last layer, D of the embedding.
"""

from __future__ import annotations

import functools
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from zsar_lab.progress import progress
from zsar_lab.text.class_lists import has_word
from zsar_lab.text.encoder_files import (
    OFFLINE,
    TOKENIZER_FILES,
    EncoderFiles,
    FolderSettings,
    loading,
    signs_as_trained,
)
from zsar_lab.text.prompts import TextTooLong

HEAVILY_SPLIT = 3  # pieces of one word
SHOW_BAR_FROM = 256  # texts; fewer take a second or two
SIGNS = r"[!-/:-@\[-`{-~]"  # string.punctuation
METHOD = "a text encoder's folder must hold a model that transformers can load"
CHOOSE = "choose a sentence encoder such as all-MiniLM-L6-v2, or a whole CLIP or SigLIP"
MEAN, FIRST, JOINT = "mean over tokens", "first token", "joint space"
PROJECTED, POOLED = "projected", "the model's own"
POOLING = {"pooling_mode_mean_tokens": MEAN, "mean": MEAN, "pooling_mode_cls_token": FIRST, "cls": FIRST}
FEWEST_PIECES, FEWEST_SIGNS = 0.002, 2000  # of a script: share of the vocabulary, signs that are words
UNREASONABLE_LENGTH = 1_000_000  # tokenizers without a limit give a huge number


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


class Tokens(NamedTuple):
    """A text as the encoder reads it: token ids, and the places of its words: CLS, SEP, BOS, EOS are none."""

    ids: list[int]
    words: list[int]


class Read(NamedTuple):
    """What a language model makes of texts: pooled_ND, unit rows; words_NLE, its last layer."""

    pooled_ND: Tensor
    words_NLE: Tensor


class LanguageModel(nn.Module):
    """The text side of a transformers model.

    `pooling` is how a text becomes one vector: the mean over its tokens or the first token's vector (as the
    model's own pooling file says, else the mean), or what a CLIP-type text tower gives ("joint space",
    "projected", "the model's own"). It reads `most_tokens`, those it adds among them, knows `n_known`
    different ones, and `takes_mask`, or is padded to its full length; `width` numbers of an embedding are
    kept (None: all).
    """

    def __init__(
        self,
        network: nn.Module,
        pooling: str,
        most_tokens: int,
        takes_mask: bool,
        n_known: int,
        width: int | None = None,
    ) -> None:
        super().__init__()
        self.network, self.pooling, self.n_known, self.width = network, pooling, n_known, width
        self.most_tokens, self.takes_mask = most_tokens, takes_mask

    @property
    def layers(self) -> nn.ModuleList:
        """The layers of the text side, in the order they run; ValueError when they are not in one list."""
        # a CLIP-type model has images beside it
        text: Any = getattr(self.network, "text_model", self.network)
        n_layers = getattr(text.config, "num_hidden_layers", None)
        lists = [part for part in text.modules() if isinstance(part, nn.ModuleList) and len(part) == n_layers]
        if len(lists) != 1:
            kind, got = text.config.model_type, f"{len(lists)} lists of {n_layers}"
            raise ValueError(f"the layers of {kind} must be in one list to be trained, got {got}")
        return lists[0]

    def forward(self, ids_NL: Tensor, mask_NL: Tensor) -> Read:
        """Read padded token ids (the mask is 1 at a token): pooled = h / |h|, h as `pooling` says."""
        inputs = {"input_ids": ids_NL} | ({"attention_mask": mask_NL} if self.takes_mask else {})
        reads: Any = self.network.get_text_features if self.pooling == JOINT else self.network
        out = reads(**inputs)
        if self.pooling in (JOINT, POOLED):
            pooled_ND = out.pooler_output
        elif self.pooling == PROJECTED:
            pooled_ND = out.text_embeds
        elif self.pooling == FIRST:
            pooled_ND = out.last_hidden_state[:, 0]
        else:
            weight_NL1 = mask_NL[:, :, None].to(out.last_hidden_state.dtype)
            pooled_ND = (out.last_hidden_state * weight_NL1).sum(1) / weight_NL1.sum(1)
        pooled_ND = pooled_ND[..., : self.width].float()
        return Read(nn.functional.normalize(pooled_ND, dim=-1), out.last_hidden_state.float())


class TextEncoder:
    """A text encoder, loaded when it first reads; frozen. It reads in bfloat16 on a GPU that has it."""

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
    def tokenizer(self) -> Any:
        """The tokenizer of the same folder."""
        return load_tokenizer(self.files)

    @functools.cached_property
    def prompt(self) -> str:
        """What its folder puts before every text."""
        return FolderSettings.of(self.files.folder).prompt

    def tokens(self, texts: Sequence[str]) -> list[Tokens]:
        """Tokens of each text, whole.

        Raises:
            ValueError: a text is empty or has no word to the encoder, or the tokenizer is another model's.
            TextTooLong: a text is longer than the encoder reads; nothing is cut.
        """
        for number, text in enumerate(texts):
            if not has_word(text):
                raise ValueError(f"a class text must hold a letter or digit, text {number} is {text!r}")
        most = self.model.most_tokens  # first, for a model without a text side has no tokenizer either
        whole = [self.prompt + text for text in texts]
        read = self.tokenizer(whole, verbose=False, return_special_tokens_mask=True) if texts else {}
        ids, added = read.get("input_ids", []), read.get("special_tokens_mask", [])
        longest = max(range(len(ids)), key=lambda i: len(ids[i]), default=None)
        if longest is not None and len(ids[longest]) > most:
            text, got = texts[longest], len(ids[longest])
            limit = f"at most {most} tokens for {self.files.name}"
            raise TextTooLong(f"a class text must have {limit}, {text[:60]!r}... has {got}; shorten it", text)
        if self.model.n_known < 1 + max((token for tokens in ids for token in tokens), default=0):
            knows = f"the model knows {self.model.n_known} tokens and the tokenizer {len(self.tokenizer)}"
            raise ValueError(f"model and tokenizer must belong together, in '{self.files.folder}' {knows}")
        special = set(self.tokenizer.all_special_ids) - {self.tokenizer.unk_token_id}
        found = [
            Tokens(own, [i for i, token in enumerate(own) if not mask[i] and token not in special])
            for own, mask in zip(ids, added, strict=True)
        ]
        without = next((text for text, one in zip(texts, found) if not one.words), None)
        if without is not None:
            raise ValueError(f"a class text must have a word, to {self.files.name} {without!r} has none")
        return found

    @torch.inference_mode()
    def encode(self, texts: Sequence[str], batch_size: int = 64) -> tuple[np.ndarray, list[np.ndarray]]:
        """Read texts, those of similar length together; Raises as `tokens`.

        Embeddings float32 [N, D], unit rows, and the last layer of each text's words, float32 [L, E], in
        their order.
        """
        tokens = self.tokens(texts)
        order = sorted(range(len(tokens)), key=lambda i: len(tokens[i].ids))
        pooled, words = {}, {}
        halved = self.device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        shown = len(tokens) >= SHOW_BAR_FROM
        with progress(what="class texts", unit="text", total=len(tokens), shown=shown) as bar:
            for start in range(0, len(order), batch_size):
                chosen = order[start : start + batch_size]
                ids_NL, mask_NL, places = self.padded([tokens[i] for i in chosen])
                with torch.autocast(self.device.type, torch.bfloat16, enabled=halved):
                    read = self.model(ids_NL, mask_NL)
                for row, i in enumerate(chosen):
                    pooled[i] = read.pooled_ND[row].cpu().numpy()
                    words[i] = read.words_NLE[row][places[row]].cpu().numpy()
                bar.update(len(chosen))
        if not all(np.isfinite(vector).all() for vector in pooled.values()):
            raise ValueError(f"embeddings of '{self.files.folder}' must be finite; fetch it again")
        return np.stack([pooled[i] for i in range(len(texts))]), [words[i] for i in range(len(texts))]

    def padded(self, tokens: Sequence[Tokens]) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Token ids and mask, int64 [N, L], and the places of each text's words.

        Padding is behind; where no mask is read, as the tokenizer does it.
        """
        longest = max(len(one.ids) for one in tokens)
        length = longest if self.model.takes_mask else self.model.most_tokens
        leads = not self.model.takes_mask and self.tokenizer.padding_side == "left"
        ids_NL = torch.full((len(tokens), length), self.tokenizer.pad_token_id, dtype=torch.int64)
        mask_NL, places = torch.zeros_like(ids_NL), []
        for row, (ids, words) in enumerate(tokens):
            start = length - len(ids) if leads else 0
            ids_NL[row, start : start + len(ids)] = torch.tensor(ids)
            mask_NL[row, start : start + len(ids)] = 1
            places.append((torch.tensor(words) + start).to(self.device))
        return ids_NL.to(self.device), mask_NL.to(self.device), places

    def words(self, text: str) -> list[Word]:
        """The words of a text, each with the pieces it is read in; punctuation counts as a word."""
        start, text = len(self.prompt), self.prompt + text
        read = self.tokenizer(text, return_offsets_mapping=True, verbose=False)
        ids, offsets = read["input_ids"], read["offset_mapping"]
        pieces = self.tokenizer.convert_ids_to_tokens(ids)
        places: dict[int, list[int]] = {}
        for place, word in enumerate(read.word_ids()):
            if word is not None and offsets[place][1] > start:  # None: a token that the tokenizer adds
                places.setdefault(word, []).append(place)
        return [
            Word(
                text[offsets[of_word[0]][0] : offsets[of_word[-1]][1]].strip(),
                tuple(pieces[place] for place in of_word),
                any(ids[place] == self.tokenizer.unk_token_id for place in of_word),
            )
            for of_word in places.values()
        ]

    def doubts(self, texts: Sequence[str]) -> dict[str, str]:
        """Why the encoder hardly knows a text, of those where it does.

        More than half of its tokens are unknown, or more than half of its letters are of scripts of which the
        vocabulary has less than FEWEST_PIECES of pieces with two letters, and FEWEST_SIGNS single ones.
        """
        found = {}
        for text, (ids, own) in zip(texts, self.tokens(texts), strict=True):
            n_unknown = sum(ids[place] == self.tokenizer.unk_token_id for place in own)
            letters = Counter(map(script_of, filter(str.isalpha, unicodedata.normalize("NFKC", text))))
            half, latin = letters.total() / 2, letters.pop("LATIN", 0)
            foreign = {s: n for s, n in letters.items() if latin < half and s not in self._scripts}
            if n_unknown > len(own) / 2:
                found[text] = f"{n_unknown} of {len(own)} tokens are unknown"
            elif half < sum(foreign.values()):
                found[text] = f"it was not trained on {max(foreign, key=lambda s: foreign[s]).lower()} script"
        return found

    @functools.cached_property
    def _scripts(self) -> set[str]:
        """The scripts that the vocabulary has words of."""
        vocabulary, decoder = self.tokenizer.get_vocab(), self.tokenizer.backend_tokenizer.decoder
        pieces: Counter[str] = Counter()
        signs: Counter[str] = Counter()
        for piece in vocabulary:
            letters = [c for c in (decoder.decode([piece]) if decoder else piece) if c.isalpha()]
            (pieces if len(letters) > 1 else signs).update(set(map(script_of, letters)))
        enough = FEWEST_PIECES * len(vocabulary)
        return {s for s in pieces if pieces[s] >= enough} | {s for s in signs if signs[s] >= FEWEST_SIGNS}


def script_of(letter: str) -> str:
    """The script of a letter, as Unicode names it: "LATIN", "CYRILLIC", "CJK"."""
    return unicodedata.name(letter, "").partition(" ")[0]


@functools.lru_cache(maxsize=2)
def open_encoder(files: EncoderFiles) -> TextEncoder:
    """The encoder of these files, kept in memory, so that a text edited in a widget is read at once."""
    return TextEncoder(files)


def load_language_model(files: EncoderFiles) -> LanguageModel:
    """Load the text side of a model, in float32 on the CPU, ready to read (no dropout).

    ValueError for one that reads no text by itself, lacks weights, or needs a layer that is not applied here.
    """
    import transformers

    folder = files.folder
    with loading(METHOD, folder):
        config = transformers.AutoConfig.from_pretrained(folder, **OFFLINE)
    settings = FolderSettings.of(folder)
    pooling, network_class = _text_side(config, folder, settings)
    asked = OFFLINE | {"dtype": torch.float32, "output_loading_info": True}
    if config.model_type.startswith("aimv2"):  # by sdpa it reads ahead where no text is padded
        asked["attn_implementation"] = "eager"
    with loading(METHOD, folder):
        network, info = network_class.from_pretrained(folder, **asked)
    missing = sorted(key for key in info["missing_keys"] if not key.startswith("pooler."))  # is not read
    if missing:
        raise ValueError(f"'{folder}' must hold all weights, it lacks {len(missing)} ({missing[0]}, ...)")
    text = getattr(config, "text_config", None) or config
    limits = (getattr(text, "max_position_embeddings", None), *settings.most_tokens)
    most_tokens = int(min(limit for limit in limits if limit is not None and 0 < limit < UNREASONABLE_LENGTH))
    takes_mask = not config.model_type.startswith("siglip")
    given = pooling, most_tokens, takes_mask, text.vocab_size, settings.width
    model = LanguageModel(network, *given).eval()
    ids_NL = torch.zeros(1, 2 if takes_mask else most_tokens, dtype=torch.int64)
    with torch.inference_mode():
        shape = tuple(model(ids_NL, torch.ones_like(ids_NL)).pooled_ND.shape)
    if len(shape) != 2:
        got = f"({config.model_type}) gives one a token (shape {shape})"
        raise ValueError(f"a model must give one vector a text, that in '{folder}' {got}; {CHOOSE}")
    return model


def load_tokenizer(files: EncoderFiles) -> Any:
    """The model's tokenizer, padding behind, reads texts in the form of `AS_TRAINED`; ValueError without."""
    import transformers
    from tokenizers import Regex, normalizers

    if not any(any(files.folder.glob(pattern)) for pattern in TOKENIZER_FILES):
        raise ValueError(f"'{files.folder}' must hold a tokenizer (tokenizer.json or vocab files)")
    settings = FolderSettings.of(files.folder)
    reader: Any = transformers.AutoTokenizer
    if settings.tokenizer == "SiglipTokenizer":  # which reads spiece.model alone, by sentencepiece
        reader = transformers.PreTrainedTokenizerFast
        if not (files.folder / "tokenizer.json").is_file():
            raise ValueError(f"'{files.folder}' must hold tokenizer.json beside spiece.model; fetch it again")
    with loading(METHOD, files.folder):
        tokenizer = reader.from_pretrained(files.folder, **OFFLINE)
    if not tokenizer.is_fast or tokenizer.pad_token_id is None:
        lacks = "tokenizer.json (fast tokenizer)" if not tokenizer.is_fast else "padding token"
        raise ValueError(f"the tokenizer in '{files.folder}' must have a {lacks}; choose another encoder")
    backend = tokenizer.backend_tokenizer
    before = [backend.normalizer] if backend.normalizer else []
    if (signs := signs_as_trained(files.folder)) is not None:
        form = (SIGNS, signs[0]), (r"\s+", " "), (r"\A | \z", ""), *[(r"\z", signs[1])] * bool(signs[1])
        replaced = [normalizers.Replace(Regex(what), by) for what, by in form]
        backend.normalizer = normalizers.Sequence([normalizers.Lowercase(), *replaced, *before])
    elif settings.lower_case and "".join(one.normalize_str("ABC") for one in before) != "abc":
        backend.normalizer = normalizers.Sequence([normalizers.Lowercase(), *before])
    return tokenizer


def _text_side(config: Any, folder: Path, settings: FolderSettings) -> tuple[str, Any]:
    """How the model's text side is pooled, and the class that loads it."""
    import transformers

    architecture = (config.architectures or [""])[0]
    # a name that transformers has no more, as of the published X-CLIP (XClipModel), is the model's own class
    offered = getattr(transformers, architecture, None) or transformers.MODEL_MAPPING.get(type(config), None)
    if getattr(config, "text_config", None) is not None:
        if offered is not None and hasattr(offered, "get_text_features"):
            return JOINT, offered
        why = "reads text only together with images"
    elif architecture.endswith("TextModelWithProjection"):
        return PROJECTED, offered
    elif getattr(config, "vocab_size", None) is None:
        why = "has no text side"
    elif config.is_encoder_decoder or getattr(config, "is_decoder", False) or "t5" in config.model_type:
        why = "is half of a model with a decoder"
    elif config.model_type.endswith("_text_model") and not settings.pooling:
        return POOLED, offered
    else:
        is_tower = architecture.endswith("TextModel")
        return _pooling(folder, settings), offered if is_tower else transformers.AutoModel
    raise ValueError(f"'{folder}' must hold a model of texts, but it ({config.model_type}) {why}; {CHOOSE}")


def _pooling(folder: Path, settings: FolderSettings) -> str:
    """As the folder's pooling file says; the mean over tokens where there is none."""
    modes = settings.pooling or ("mean",)
    odd = [*settings.others, *(mode for mode in modes if len(modes) > 1 or mode not in POOLING)]
    odd += ["a pooling without its prompt"] * bool(settings.prompt and not settings.pools_prompt)
    if odd:
        raise ValueError(f"pooling must be mean or cls (first token), '{folder}' asks for {', '.join(odd)}")
    return POOLING[modes[0]]
