"""Public models that see: MODELS, a table of their kinds, and `checkpoints`, a table of published ones.

Weights are read from safetensors alone, no code of a model's folder is run, and preprocessing is what the
folder says. Shapes: B clips, N stored frames, T frames that the model reads, H W pixels, D width of the joint
space.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from zsar_lab.text.encoder_files import OFFLINE, loading

MUST_HOLD = "a public model's folder must hold config.json and weights as safetensors that transformers loads"
RESAMPLING = {2: "bilinear", 3: "bicubic"}  # numbers of PIL
SETTINGS_FILES = ("video_preprocessor_config.json", "preprocessor_config.json", "processor_config.json")
ANY, SEPARATOR = "any", "; "
PIL_BITS = 22  # of a weight behind the point


def mean_of_frames(network: Any, pixels_BTKHW: Tensor) -> Tensor:
    """normalise(sum_k e_k / |e_k|) over the embeddings e_k of frames, whose order does not count; [B, D]."""
    frames_MD = network.get_image_features(pixel_values=pixels_BTKHW.flatten(0, 1)).pooler_output.float()
    return normalize(normalize(frames_MD, dim=-1).unflatten(0, (-1, pixels_BTKHW.shape[1])).sum(1), dim=-1)


def whole_video(network: Any, pixels_BTKHW: Tensor) -> Tensor:
    """What the model's own video tower makes of the frames, normalised; [B, D]."""
    return normalize(network.get_video_features(pixels_BTKHW).pooler_output.flatten(1).float(), dim=-1)


class PublicModel(NamedTuple):
    """A kind of public model."""

    label: str
    embed: Callable[[nn.Module, Tensor], Tensor]  # from network and pixels to unit rows
    own_frames: bool  # it was made for a number of frames


MODELS: dict[str, PublicModel] = {  # by the model_type of config.json
    "clip": PublicModel("CLIP", mean_of_frames, own_frames=False),
    "siglip": PublicModel("SigLIP, SigLIP 2 (fixed size)", mean_of_frames, own_frames=False),
    "xclip": PublicModel("X-CLIP", whole_video, own_frames=True),
    "metaclip_2": PublicModel("MetaCLIP 2", mean_of_frames, own_frames=False),
    "aimv2": PublicModel("AIMv2-LiT", mean_of_frames, own_frames=False),
    "tipsv2": PublicModel("TIPSv2", mean_of_frames, own_frames=False),
    "videoprism": PublicModel("VideoPrism LvT", whole_video, own_frames=True),
}


@functools.cache
def checkpoints() -> pd.DataFrame:
    """Published checkpoints by their name in the hub; all columns are text, "" is not known.

    kind (a key of `MODELS`), revision (the commit that is opened unless another is asked for), licence,
    training_sets (names with "; " between them), frames (a number or "any"), source (an address).
    """
    path = Path(__file__).with_name("checkpoints.csv")
    return pd.read_csv(path, dtype=str, keep_default_na=False, index_col="name")


@dataclass(frozen=True)
class Preprocessing:
    """How a frame becomes a model's input: resized, cropped, standardised."""

    resized_px: tuple[int, int] | None  # height and width; None: as it is
    keeps_shape: bool  # the height is the shorter side's, the longer one in proportion
    resampling: str  # "bilinear" or "bicubic"
    crop_px: tuple[int, int] | None  # height and width of the centre; None: all of it
    scale: float  # what 0..255 is multiplied by
    mean: tuple[float, ...]  # of red, green and blue, after scaling
    std: tuple[float, ...]

    @staticmethod
    def of(folder: Path) -> Preprocessing:
        """As the first of SETTINGS_FILES that is there says; ValueError where it cannot be done."""
        says = _settings(Path(folder))
        resized = _sides(says, "size") if says.get("do_resize", True) else None
        resampling = RESAMPLING.get(says.get("resample", 0))
        if resized is not None and resampling is None:
            asked = says.get("resample")
            raise ValueError(f"resample must be bilinear (2) or bicubic (3), '{folder}' asks for {asked!r}")
        size = says.get("size")
        keeps_shape = isinstance(size, int) or (isinstance(size, dict) and "shortest_edge" in size)
        crop = _sides(says, "crop_size") if says.get("do_center_crop", "crop_size" in says) else None
        if crop and resized and any(a > b for a, b in zip(crop, resized, strict=True)):
            raise ValueError(f"crop_size must be at most size ({resized}), '{folder}' has {crop}")
        scale = float(says.get("rescale_factor", 1 / 255)) if says.get("do_rescale", True) else 1.0
        mean, std = (0.0,) * 3, (1.0,) * 3
        if says.get("do_normalize", True):
            mean, std = tuple(says["image_mean"]), tuple(says["image_std"])
        return Preprocessing(resized, keeps_shape, resampling or "bilinear", crop, scale, mean, std)

    def size_of(self, height: int, width: int) -> tuple[int, int]:
        """Height and width that a frame of this size is resized to, before it is cropped."""
        if self.resized_px is None:
            return height, width
        if not self.keeps_shape:
            return self.resized_px
        wanted, short = self.resized_px[0], min(height, width)
        return int(wanted * height / short), int(wanted * width / short)

    def __call__(self, frames_BTHWC: Tensor) -> Tensor:
        """From uint8 to float32 [B, T, 3, H', W']; resized as PIL does, see `resize`."""
        n_clips, _, height, width, _ = frames_BTHWC.shape
        pixels = frames_BTHWC.flatten(0, 1).permute(0, 3, 1, 2)
        resized = self.size_of(height, width)
        if resized != (height, width):
            pixels = torch.stack([resize(frame, resized, self.resampling) for frame in pixels])
        if self.crop_px is not None:
            top, left = ((side - crop) // 2 for side, crop in zip(resized, self.crop_px, strict=True))
            pixels = pixels[:, :, top : top + self.crop_px[0], left : left + self.crop_px[1]]
        pixels = pixels.float() * self.scale
        mean, std = (pixels.new_tensor(values)[:, None, None] for values in (self.mean, self.std))
        return ((pixels - mean) / std).unflatten(0, (n_clips, -1))


def resize(frame_KHW: Tensor, size: tuple[int, int], resampling: str) -> Tensor:
    """Resize to height and width as PIL, to the last bit, uint8: along the rows, rounded, then the columns.

    Pillow from 13 on takes the columns first where the height shrinks more than the width.
    """
    pixels, (height, width) = frame_KHW.double(), frame_KHW.shape[1:]
    for n_in, n_out in ((width, size[1]), (height, size[0])):
        pixels = pixels @ pil_weights(n_in, n_out, resampling).to(pixels.device).T
        pixels = (pixels / 2**PIL_BITS + 0.5).floor_().clamp_(0, 255).transpose(1, 2)
    return pixels.byte()


@functools.lru_cache(maxsize=16)
def pil_weights(n_in: int, n_out: int, resampling: str) -> Tensor:
    """Weights of the pixels of a row in a resized one, whole numbers of 2^-22, float64 [n_out, n_in].

    Source: Pillow's Resample.c; a triangle, or the cubic with a = -1/2, as wide as an output pixel.
    """
    scale, reach = n_in / n_out, 1 if resampling == "bilinear" else 2  # in output pixels, if they are wider
    wide, place = max(scale, 1.0), torch.arange(n_in, dtype=torch.float64)
    centre = (torch.arange(n_out, dtype=torch.float64)[:, None] + 0.5) * scale
    x = (place - centre + 0.5).abs() / wide
    weights = 1 - x
    if reach == 2:
        weights = torch.where(x < 1, (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2)
    first, behind = ((centre + side * reach * wide + 0.5).trunc() for side in (-1, 1))
    weights = weights.where((place >= first) & (place < behind) & (x < reach), 0.0)
    whole = weights / weights.sum(1, keepdim=True) * 2**PIL_BITS
    return whole.sign() * (whole.abs() + 0.5).floor()


class PublicTower(nn.Module):
    """The side of a public model that sees, from stored frames to the space it shares with its texts.

    Its `kind` is a key of `MODELS`; it reads `n_frames` of a clip.
    """

    network: Any

    def __init__(self, network: nn.Module, kind: str, n_frames: int, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.network, self.kind, self.n_frames, self.preprocessing = network, kind, n_frames, preprocessing

    @property
    def temperature(self) -> float | None:
        """Of the softmax from cosines to confidences, as the model learned it (SigLIP: for a sigmoid).

        None where the model has none (VideoPrism).
        """
        if hasattr(self.network, "temperature"):
            return float(self.network.temperature)
        if not hasattr(self.network, "logit_scale"):
            return None
        most = getattr(self.network, "max_log_logit_scale", torch.inf)  # of AIMv2, which reads it so
        return float(torch.exp(-self.network.logit_scale.detach().clamp(max=most)))

    def forward(self, frames_BNHWC: Tensor) -> Tensor:
        """float32 [B, D], unit rows, of uint8 frames; the k-th that is read is floor((k + 1/2) N / T)."""
        places = torch.arange(self.n_frames, device=frames_BNHWC.device) + 0.5
        index = (places * frames_BNHWC.shape[1] / self.n_frames).long()
        return MODELS[self.kind].embed(self.network, self.preprocessing(frames_BNHWC[:, index]))

    def whole(self, frames_THWC: Tensor) -> Tensor:
        """float32 [D], a unit row, of the whole frames of one clip, all read: as mteb's MVEB embeds it.

        An image tower gives the mean of the frames' vectors as they are: a longer one counts for more.
        """
        pixels, embed = self.preprocessing(frames_THWC[None]), MODELS[self.kind].embed
        if embed is mean_of_frames:
            vectors_TD = self.network.get_image_features(pixel_values=pixels[0]).pooler_output.float()
            return normalize(vectors_TD.mean(0), dim=-1)
        return embed(self.network, pixels)[0]


def load_public_tower(folder: Path, n_frames: int = 8) -> PublicTower:
    """Load a public model from a folder as it is downloaded, in float32 on the CPU, ready to embed.

    `n_frames` of a clip are read by an image tower; a video tower reads as many as it was made for.
    ValueError where the model is not in `MODELS`, wants code of its own run, lacks weights or preprocessing,
    has weights that it does not read, or reads frames of another size than preprocessing gives.
    """
    import transformers

    folder = Path(folder)
    with loading(MUST_HOLD, folder):
        config = transformers.AutoConfig.from_pretrained(folder, **OFFLINE)
    if (kind := config.model_type) not in MODELS:
        raise ValueError(f"a public model must be of type {', '.join(MODELS)}, '{folder}' is of type {kind}")
    n_frames = config.vision_config.num_frames if MODELS[kind].own_frames else n_frames
    if n_frames < 1:
        raise ValueError(f"n_frames must be 1 or more, got {n_frames}")
    preprocessing, wanted = Preprocessing.of(folder), config.vision_config.image_size
    given = preprocessing.crop_px or preprocessing.resized_px
    if given != (wanted, wanted):
        gives = f"'{folder}' gives {given or 'any size'}"
        raise ValueError(f"preprocessing must give {wanted} x {wanted} px, {gives}")
    # loading draws random numbers
    with loading(MUST_HOLD, folder), torch.random.fork_rng(devices=[]):
        options = OFFLINE | {"use_safetensors": True, "dtype": torch.float32, "output_loading_info": True}
        network, info = transformers.AutoModel.from_pretrained(folder, **options)
    for what, keys in (("lacks", info["missing_keys"]), ("has others,", info["unexpected_keys"])):
        if keys:
            found = f"'{folder}' {what} {len(keys)}: {min(keys)}"
            raise ValueError(f"a public model must have all its weights and no others, {found}")
    return PublicTower(network, kind, n_frames, preprocessing).eval().requires_grad_(False)


def _settings(folder: Path) -> dict[str, Any]:
    for name in SETTINGS_FILES:
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            says = json.loads((folder / name).read_text(encoding="utf-8"))
            says = says.get("video_processor") or says.get("image_processor") or says
            if not says.get("do_normalize", True) or len(says["image_mean"]) == len(says["image_std"]) == 3:
                return says
    raise ValueError(f"'{folder}' must hold {SETTINGS_FILES[1]} with image_mean, image_std and size")


def _sides(says: dict[str, Any], name: str) -> tuple[int, int]:
    """Height and width of `size` or `crop_size`: a number, {"shortest_edge"} or {"height", "width"}."""
    given = says.get(name)
    sides = given if isinstance(given, dict) else {"shortest_edge": given}
    height: Any = sides.get("height", sides.get("shortest_edge"))
    width: Any = sides.get("width", sides.get("shortest_edge"))
    if not all(isinstance(side, int) and side >= 1 for side in (height, width)):
        raise ValueError(f"{name} in {SETTINGS_FILES[1]} must be a number of pixels, got {given!r}")
    return height, width
