"""ResT: video and label encoders into one shared space, and a cross-modal encoder over both.

Shapes: B clips, T frames, H W pixels, P visual tokens (1 + T'H'W'), C classes, L label tokens, D width of the
shared space, F width of a class text (one line, or several side by side), E width of a word, K channels of
the backbone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple

import torch
from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool1d, normalize

from zsar_lab.files import later
from zsar_lab.models.backbones import BACKBONES

STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, config=STRICT)
class ModelConfig:
    """What shapes the model. Stated by the paper: a visual backbone, a Transformer over both modalities."""

    n_frames: Count = 8  # of the clips, as in the view
    backbone_widths: Annotated[tuple[Count, ...], Field(min_length=1)] = (24, 48, 96)  # of the small one
    width: Count = 128  # of the transformers
    depth: Count = 2  # of that over visual tokens
    cross_depth: Count = 1  # of the joint one
    heads: Count = 4
    feedforward: Count = 256
    dropout: Share = 0.1
    text_width: Count = 384  # of a class text, as the text encoder gives it
    word_width: Count = 384  # of its words
    n_label_tokens: Count = 4  # spans that a class text's words are read in
    n_seen: Count = 32
    backbone: Literal[tuple(BACKBONES)] = later("small shift resnet")  # type: ignore[valid-type]
    size_px: Count = later(48)  # of the clips; the small backbone takes any
    spatial_tokens: bool = later(True)  # a visual token a place of the feature map, or their mean a time step
    zero_residual: bool = later(False)  # each residual branch of the backbone starts as 0

    @model_validator(mode="after")
    def _heads_divide_width(self) -> ModelConfig:
        if self.width % self.heads:
            raise ValueError(f"model.width must be a multiple of heads ({self.heads}), got {self.width}")
        return self


class VideoCode(NamedTuple):
    """embedding_BD: unit rows, the clip in the shared space. tokens_BPD: [CLIP] and visual tokens."""

    embedding_BD: Tensor
    tokens_BPD: Tensor


class LabelCode(NamedTuple):
    """embedding_CD: unit rows, the class in the shared space. tokens_CLD: the encoded text and its words."""

    embedding_CD: Tensor
    tokens_CLD: Tensor


class ResT(nn.Module):
    """Encodes clips and class texts, and scores whether a pair of them belongs together."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.backbone: Any = BACKBONES[config.backbone](config)
        time_stride, stride = self.backbone.strides
        side = -(-config.size_px // stride)
        self.map_size = -(-config.n_frames // time_stride), side, side
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
        """Read [CLIP] and the feature map's places by a transformer; v = normalise(LayerNorm([CLIP])).

        The token of place (t, h, w) is W x_thw + time_t + row_h + column_w; an axis of one place has no row
        or column embedding. ValueError for frames of another number or size than the model was made for.
        """
        features = self.backbone(frames_BTKHW)
        if tuple(features.shape[1:4]) != self.map_size:
            wanted = f"{self.config.n_frames} frames of {self.config.size_px} px (a map of {self.map_size})"
            raise ValueError(f"clips must have {wanted}, got {list(frames_BTKHW.shape)}")
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
        """Encode unit sentence embeddings and `word_spans` of class texts; t = normalise(MLP(pooled))."""
        pooled_CD = self.label_head(pooled_CF)
        tokens_CLD = torch.cat([pooled_CD[:, None], self.word_projection(words_CKE)], 1)
        return LabelCode(normalize(pooled_CD.float(), dim=-1), tokens_CLD)

    def match(self, tokens_BPD: Tensor, tokens_CLD: Tensor) -> Tensor:
        """Logits [B] that clip i and label i (C = B) belong together, by a query that reads both."""
        if len(tokens_BPD) != len(tokens_CLD):
            sizes = f"{len(tokens_BPD)} clips, {len(tokens_CLD)} labels"
            raise ValueError(f"match needs a label a clip, got {sizes}")
        query = self.cross_query.expand(len(tokens_BPD), -1, -1)
        video = tokens_BPD + self.modality_embedding[0]
        label = tokens_CLD + self.modality_embedding[1]
        return self.cross_head(self.cross_encoder(torch.cat([query, video, label], 1))[:, 0])[:, 0]

    @torch.no_grad()
    def clamp_temperature(self) -> None:
        """Keep the learned temperature in 0.01..1, after a step: a clamp in the loss would end its gradient.

        Source: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021.
        """
        self.log_temperature.clamp_(math.log(0.01), 0.0)

    def seen_logits(self, embedding_BD: Tensor, temperature: float) -> Tensor:
        """Cosine to each seen class's weight over the temperature, [B, S]."""
        return embedding_BD @ normalize(self.seen_weight_SD, dim=-1).T / temperature


def word_spans(texts: Sequence[Tensor], n_spans: int) -> Tensor:
    """Means of `n_spans` consecutive, near-equal spans of each text's tokens [L, E], [C, n_spans, E].

    So the joint encoder's cost does not depend on the length of a class text.
    """
    return torch.stack([adaptive_avg_pool1d(tokens.T[None], n_spans)[0].T for tokens in texts])


def _transformer(config: ModelConfig, depth: int) -> nn.TransformerEncoder:
    sizes = config.width, config.heads, config.feedforward, config.dropout
    layer = nn.TransformerEncoderLayer(*sizes, "gelu", batch_first=True, norm_first=True)
    return nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
