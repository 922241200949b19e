"""The cross-modal model (after ResT, CVPR 2022): a video encoder, a label encoder, and a joint encoder of both.

A reconstruction: the paper's abstract states a cross-modal Transformer that jointly encodes video and text
labels; sizes, heads and pooling are our choice, each a field of `ModelConfig`.

Shapes: B clips, T frames, H W pixels, P visual tokens, L label tokens, C classes, D width, E width of the
sentence encoder, F width of a whole class text (F = E for a text of one line), K channels of the backbone.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool1d, normalize

from zsar_lab.files import later
from zsar_lab.models.backbones import FrameResNet, SmallShiftResNet
from zsar_lab.models.video_resnets import VideoResNet

BACKBONES = ("small shift resnet", "r3d-18", "r(2+1)d-18", "resnet-18", "resnet-50", "resnet-101")


@dataclass(frozen=True)
class ModelConfig:
    """What shapes the model. Stated by the paper: a visual backbone, a Transformer over both modalities. The sizes are ours.

    Attributes:
        n_frames, size_px: of the clips it is made for, as in the view; the small backbone takes any size.
        backbone: one of `BACKBONES`; `backbone_widths` are the small one's.
        spatial_tokens: each place of the backbone's feature map is a visual token; False keeps one a time
            step, the mean over space.
        zero_residual: the last normalisation of each residual branch of the backbone starts at 0.
        width, depth, heads, feedforward, dropout: of the transformer over visual tokens; `cross_depth` of the
            joint one.
        text_width, word_width: of a whole class text and of its words, as the text encoder gives them.
        n_label_tokens: spans of words a class text is read in.
        n_seen: seen classes.
    """

    n_frames: int = 8
    backbone_widths: tuple[int, ...] = (24, 48, 96)
    width: int = 128
    depth: int = 2
    cross_depth: int = 1
    heads: int = 4
    feedforward: int = 256
    dropout: float = 0.1
    text_width: int = 384
    word_width: int = 384
    n_label_tokens: int = 4
    n_seen: int = 32
    backbone: str = later(BACKBONES[0])
    size_px: int = later(48)
    spatial_tokens: bool = later(True)
    zero_residual: bool = later(False)


class VideoCode(NamedTuple):
    """embedding_BD: unit rows, the clip in the shared space. tokens_BPD: [CLIP] and visual tokens, P = 1 + T'H'W'."""

    embedding_BD: Tensor
    tokens_BPD: Tensor


class LabelCode(NamedTuple):
    """embedding_CD: unit rows, the class in the shared space. tokens_CLD: the encoded text and spans of its words."""

    embedding_CD: Tensor
    tokens_CLD: Tensor


class ResT(nn.Module):
    """Video and label encoders into one shared space, and a cross-modal encoder that says whether a pair belongs together."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.backbone = build_backbone(config)
        self.map_size = self.backbone.map_size(config.n_frames, config.size_px)
        time, rows, columns = self.map_size if config.spatial_tokens else (self.map_size[0], 1, 1)
        self.frame_projection = nn.Linear(self.backbone.width, width)
        self.clip_token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.time_embedding = nn.Parameter(torch.randn(1, time + 1, width) * 0.02)
        self.row_embedding = nn.Parameter(torch.randn(1, rows, width) * 0.02) if rows > 1 else None
        self.column_embedding = nn.Parameter(torch.randn(1, columns, width) * 0.02) if columns > 1 else None
        self.video_encoder = _transformer(config, config.depth)
        self.video_norm = nn.LayerNorm(width)
        self.label_head = nn.Sequential(
            nn.Linear(config.text_width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        self.word_projection = nn.Linear(config.word_width, width)
        self.cross_query = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.modality_embedding = nn.Parameter(torch.randn(2, width) * 0.02)
        self.cross_encoder = _transformer(config, config.cross_depth)
        self.cross_head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 1))
        self.seen_weight_SD = nn.Parameter(torch.randn(config.n_seen, width) * 0.05)
        self.log_temperature = nn.Parameter(torch.tensor(0.07).log())

    def encode_video(self, frames_BTKHW: Tensor) -> VideoCode:
        """Encode clips: [CLIP] and the feature map's places through a transformer; v = normalise(LayerNorm([CLIP])).

        The token of place (t, h, w) is W x_thw + time_t + row_h + column_w; an axis of one place has no row
        or column embedding.

        Args:
            frames_BTKHW: float, [B, n_frames, 3, size_px, size_px].

        Raises:
            ValueError: frames of another number or size than the model was made for.
        """
        features = self.backbone(frames_BTKHW)
        if tuple(features.shape[1:4]) != self.map_size:
            raise ValueError(
                f"clips must have {self.config.n_frames} frames of {self.config.size_px} px (a feature map of {self.map_size}), got"
                f" {list(frames_BTKHW.shape)} ({tuple(features.shape[1:4])}); set the view's n_frames and size_px to the model's"
            )
        if not self.config.spatial_tokens:
            features = features.mean((2, 3), keepdim=True)
        places = self.frame_projection(features.flatten(1, 3))
        tokens = torch.cat([self.clip_token.expand(len(places), -1, -1), places], 1) + self._positions()
        tokens_BPD = self.video_norm(self.video_encoder(tokens))
        return VideoCode(normalize(tokens_BPD[:, 0].float(), dim=-1), tokens_BPD)

    def _positions(self) -> Tensor:
        """Position embeddings of [CLIP] and of the places, [1, P, D]."""
        clip, time = self.time_embedding[:, :1], self.time_embedding[:, 1:]
        if self.row_embedding is not None:
            time = (time[:, :, None] + self.row_embedding[:, None]).flatten(1, 2)
        if self.column_embedding is not None:
            time = (time[:, :, None] + self.column_embedding[:, None]).flatten(1, 2)
        return torch.cat([clip, time], 1)

    def encode_labels(self, pooled_CF: Tensor, words_CKE: Tensor) -> LabelCode:
        """Encode class texts: t = normalise(MLP(pooled)); tokens are MLP(pooled) and `n_label_tokens` spans of words.

        Args:
            pooled_CF: float, unit rows, the sentence embedding of each class text.
            words_CKE: float, [C, n_label_tokens, E], from `word_spans`.
        """
        pooled_CD = self.label_head(pooled_CF)
        tokens_CLD = torch.cat([pooled_CD[:, None], self.word_projection(words_CKE)], 1)
        return LabelCode(normalize(pooled_CD.float(), dim=-1), tokens_CLD)

    def match(self, tokens_BPD: Tensor, tokens_CLD: Tensor) -> Tensor:
        """Logits [B] that clip i and label i belong together: a query token reads both token sequences jointly.

        Args:
            tokens_BPD: video tokens, one sequence a pair.
            tokens_CLD: label tokens, one sequence a pair (C = B).

        Raises:
            ValueError: the two do not pair up.
        """
        if len(tokens_BPD) != len(tokens_CLD):
            raise ValueError(
                f"match needs one label a clip, got {len(tokens_BPD)} clips and {len(tokens_CLD)} labels; repeat the shorter"
            )
        query = self.cross_query.expand(len(tokens_BPD), -1, -1)
        video = tokens_BPD + self.modality_embedding[0]
        label = tokens_CLD + self.modality_embedding[1]
        return self.cross_head(self.cross_encoder(torch.cat([query, video, label], 1))[:, 0])[:, 0]

    def seen_logits(self, embedding_BD: Tensor, temperature: float) -> Tensor:
        """Cosine to each seen class's weight over the temperature, [B, S]."""
        return embedding_BD @ normalize(self.seen_weight_SD, dim=-1).T / temperature


def build_backbone(config: ModelConfig) -> SmallShiftResNet | VideoResNet | FrameResNet:
    """The backbone that `config.backbone` names, with random weights.

    Raises:
        ValueError: there is none of that name.
    """
    name, zero = config.backbone, config.zero_residual
    if name not in BACKBONES:
        nearest = get_close_matches(name.lower(), BACKBONES, 1, 0)[0]
        raise ValueError(
            f"backbone must be one of {', '.join(map(repr, BACKBONES))}, got {name!r}; the nearest is {nearest!r}"
        )
    if name == "small shift resnet":
        return SmallShiftResNet(config.backbone_widths, config.n_frames, zero)
    if name.endswith("d-18"):
        return VideoResNet(factorised=name == "r(2+1)d-18", zero_residual=zero)
    return FrameResNet(int(name.removeprefix("resnet-")), zero)


def word_spans(words_CLE: Tensor, mask_CL: Tensor, n_spans: int) -> Tensor:
    """Means of `n_spans` consecutive, near-equal spans of each text's words, [C, n_spans, E] float32.

    Keeps the joint encoder's cost independent of how long a class text is; word order survives at the grain
    of spans.
    """
    spans = [
        adaptive_avg_pool1d(words[mask].T[None], n_spans)[0].T for words, mask in zip(words_CLE, mask_CL)
    ]
    return torch.stack(spans)


def _transformer(config: ModelConfig, depth: int) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(
        config.width,
        config.heads,
        config.feedforward,
        config.dropout,
        "gelu",
        batch_first=True,
        norm_first=True,
    )
    return nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
