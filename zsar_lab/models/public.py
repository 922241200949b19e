"""Public models that see: the image tower of CLIP and SigLIP and the video tower of X-CLIP, as transformers offers them.

Weights are read from safetensors alone, no code of a model's folder is run, and preprocessing is what the
folder says. Shapes: B clips, N stored frames, T frames that the model reads, H W pixels, D width of the joint
space.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize

from zsar_lab.text.encoder import one_sentence, quiet

METHOD = "a public model's folder must hold config.json and weights as safetensors that transformers can load"
IMAGE_MODELS, VIDEO_MODELS = ("clip", "siglip"), ("xclip",)
RESAMPLING = {2: "bilinear", 3: "bicubic"}  # numbers of PIL
OFFLINE = {"local_files_only": True, "trust_remote_code": False}
SETTINGS_FILES = ("preprocessor_config.json", "processor_config.json")


@dataclass(frozen=True)
class Preprocessing:
    """How a frame becomes a model's input.

    Attributes:
        resized_px: height and width that frames are resized to; of which the height alone is the shorter
            side's where `keeps_shape`.
        keeps_shape: the shorter side is resized to resized_px[0], and the longer one in proportion.
        resampling: "bilinear" or "bicubic".
        crop_px: height and width of the centre that is cut out; None for all of it.
        scale: what 0..255 is multiplied by.
        mean, std: of red, green and blue, after scaling.
    """

    resized_px: tuple[int, int] | None
    keeps_shape: bool
    resampling: str
    crop_px: tuple[int, int] | None
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @staticmethod
    def of(folder: Path) -> Preprocessing:
        """As the folder's preprocessor_config.json says (or the image_processor in its processor_config.json).

        Raises:
            ValueError: neither file is there, or it asks for what is not done here.
        """
        says = _settings(Path(folder))
        resized = _sides(says, "size") if says.get("do_resize", True) else None
        resampling = RESAMPLING.get(says.get("resample"))
        if resized is not None and resampling is None:
            raise ValueError(
                f"a public model's frames must be resampled bilinear (2) or bicubic (3), '{folder}' asks for {says.get('resample')!r}; choose another"
            )
        size = says.get("size")
        keeps_shape = isinstance(size, int) or (isinstance(size, dict) and "shortest_edge" in size)
        crop = _sides(says, "crop_size") if says.get("do_center_crop", "crop_size" in says) else None
        scale = float(says.get("rescale_factor", 1 / 255)) if says.get("do_rescale", True) else 1.0
        mean, std = (
            (says["image_mean"], says["image_std"])
            if says.get("do_normalize", True)
            else ((0.0,) * 3, (1.0,) * 3)
        )
        return Preprocessing(
            resized, keeps_shape, resampling or "bilinear", crop, scale, tuple(mean), tuple(std)
        )

    def size_of(self, height: int, width: int) -> tuple[int, int]:
        """Height and width that a frame of this size is resized to, before it is cropped."""
        if self.resized_px is None:
            return height, width
        if not self.keeps_shape:
            return self.resized_px
        short, wanted = min(height, width), self.resized_px[0]
        return (
            (wanted, int(wanted * width / short))
            if height == short
            else (int(wanted * height / short), wanted)
        )

    def __call__(self, frames_BTHWC: Tensor) -> Tensor:
        """uint8 [B, T, H, W, 3] in 0..255 to float32 [B, T, 3, H', W']: resized with smoothing and rounded as PIL does, cropped, standardised."""
        n_clips, _, height, width, _ = frames_BTHWC.shape
        pixels = frames_BTHWC.flatten(0, 1).permute(0, 3, 1, 2).float()
        resized = self.size_of(height, width)
        for size in (
            ((height, resized[1]), resized) if resized != (height, width) else ()
        ):  # PIL too rounds after each direction
            pixels = (
                interpolate(pixels, size, mode=self.resampling, align_corners=False, antialias=True)
                .round_()
                .clamp_(0, 255)
            )
        if self.crop_px is not None:
            top, left = ((side - crop) // 2 for side, crop in zip(resized, self.crop_px, strict=True))
            pixels = pixels[:, :, top : top + self.crop_px[0], left : left + self.crop_px[1]]
        mean, std = (
            torch.tensor(values, device=pixels.device)[:, None, None] for values in (self.mean, self.std)
        )
        return ((pixels * self.scale - mean) / std).unflatten(0, (n_clips, -1))


class PublicTower(nn.Module):
    """The side of a public model that sees, from stored frames to the space it shares with its texts.

    Attributes:
        kind: the model's type, "clip", "siglip" or "xclip".
        n_frames: how many frames of a clip it reads, T.
        preprocessing: of its folder.
    """

    def __init__(self, network: nn.Module, kind: str, n_frames: int, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.network, self.kind, self.n_frames, self.preprocessing = network, kind, n_frames, preprocessing

    @property
    def temperature(self) -> float:
        """Of the softmax that turns cosines to class texts into confidences, as the model learned it; SigLIP learned it for a sigmoid."""
        return float(torch.exp(-self.network.logit_scale.detach()))

    def forward(self, frames_BNHWC: Tensor) -> Tensor:
        """float32 [B, D], unit rows, of uint8 [B, N, H, W, 3].

        T frames are read: k-th the one at floor((k + 1/2) N / T). Of an image tower: normalise(sum_k e_k /
            |e_k|), e_k of each frame, which
        knows nothing of their order. Of X-CLIP: what its video tower makes of them.
        """
        n_stored = frames_BNHWC.shape[1]
        index = (
            (torch.arange(self.n_frames, device=frames_BNHWC.device) + 0.5) * n_stored / self.n_frames
        ).long()
        pixels = self.preprocessing(frames_BNHWC[:, index])
        if self.kind in VIDEO_MODELS:
            return normalize(
                self.network.get_video_features(pixel_values=pixels).pooler_output.float(), dim=-1
            )
        frames_MD = self.network.get_image_features(pixel_values=pixels.flatten(0, 1)).pooler_output.float()
        return normalize(normalize(frames_MD, dim=-1).unflatten(0, (-1, self.n_frames)).sum(1), dim=-1)


def load_public_tower(folder: Path, n_frames: int = 8) -> PublicTower:
    """Load a public model, in float32 on the CPU, ready to embed.

    Args:
        folder: with its config.json, *.safetensors and preprocessor_config.json, as they are downloaded.
        n_frames: frames of a clip that an image tower reads; X-CLIP reads as many as it was made for.

    Raises:
        ValueError: the model is of none of these kinds, lacks weights or preprocessing, or reads frames of
            another size than that gives.
    """
    import transformers

    folder = Path(folder)
    with quiet(), one_sentence(METHOD, folder):
        config = transformers.AutoConfig.from_pretrained(folder, **OFFLINE)
    if config.model_type not in (*IMAGE_MODELS, *VIDEO_MODELS):
        raise ValueError(
            f"a public model must have an image or video tower beside its text tower, of type {', '.join((*IMAGE_MODELS, *VIDEO_MODELS))}, "
            f"that in '{folder}' is of type {config.model_type}; choose another"
        )
    preprocessing, n_frames = (
        Preprocessing.of(folder),
        config.vision_config.num_frames if config.model_type in VIDEO_MODELS else n_frames,
    )
    if n_frames < 1:
        raise ValueError(f"n_frames must be 1 or more, got {n_frames}")
    _check_size(folder, preprocessing, config.vision_config.image_size)
    with (
        quiet(),
        one_sentence(METHOD, folder),
        torch.random.fork_rng(devices=[]),
    ):  # loading draws random numbers
        options = OFFLINE | {"use_safetensors": True, "dtype": torch.float32, "output_loading_info": True}
        network, info = transformers.AutoModel.from_pretrained(folder, **options)
    if info["missing_keys"]:
        missing = sorted(info["missing_keys"])
        raise ValueError(
            f"a public model's folder must hold every weight, '{folder}' lacks {len(missing)} ({missing[0]}, ...); fetch it again"
        )
    return PublicTower(network, config.model_type, n_frames, preprocessing).eval().requires_grad_(False)


def _settings(folder: Path) -> dict[str, Any]:
    for name in SETTINGS_FILES:
        if (folder / name).is_file():
            try:
                says = json.loads((folder / name).read_text(encoding="utf-8"))
                says = says.get("image_processor", says)
                if not says.get("do_normalize", True) or (
                    len(says["image_mean"]) == len(says["image_std"]) == 3
                ):
                    return says
            except (ValueError, KeyError, TypeError, AttributeError):
                pass  # said below
    raise ValueError(
        f"a public model's folder must hold its {SETTINGS_FILES[0]} with image_mean, image_std and size, '{folder}' does not; save it there with "
        "save_pretrained of its image processor"
    )


def _sides(says: dict[str, Any], name: str) -> tuple[int, int]:
    """Height and width of `size` or `crop_size`, which is a number, {"shortest_edge"} or {"height", "width"}."""
    given = says.get(name)
    sides = given if isinstance(given, dict) else {"shortest_edge": given}
    found = sides.get("height", sides.get("shortest_edge")), sides.get("width", sides.get("shortest_edge"))
    if not all(isinstance(side, int) and side >= 1 for side in found):
        raise ValueError(
            f"{name} in a public model's {SETTINGS_FILES[0]} must be a number of pixels, got {given!r}; fetch it again"
        )
    return found


def _check_size(folder: Path, preprocessing: Preprocessing, wanted: int) -> None:
    """Check that square frames become what the tower reads."""
    resized = preprocessing.resized_px
    if (
        preprocessing.crop_px is not None
        and resized is not None
        and any(a > b for a, b in zip(preprocessing.crop_px, resized, strict=True))
    ):
        raise ValueError(
            f"crop_size must be at most size, the {SETTINGS_FILES[0]} in '{folder}' asks for {preprocessing.crop_px} of {resized}; fetch it again"
        )
    given = preprocessing.crop_px or resized
    if given != (wanted, wanted):
        raise ValueError(
            f"a public model's preprocessing must give frames of the size it reads, {wanted} x {wanted} pixels, that in '{folder}' gives "
            f"{given or 'any size'}; fetch its preprocessor_config.json again"
        )
