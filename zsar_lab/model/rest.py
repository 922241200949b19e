"""The cross-modal model (after ResT, CVPR 2022): a video encoder, a label encoder, and a joint encoder of both.

A reconstruction: the paper's abstract states a cross-modal Transformer that jointly encodes video and text labels; sizes, heads
and pooling are our choice, each a field of `ModelConfig`.

Shapes: B clips, T frames, H W pixels, P visual tokens, L label tokens, C classes, D width, E width of the
sentence encoder, F width of a whole class text (F = E for a text of one line).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool1d, normalize

from zsar_lab.model.backbones import SmallShiftResNet


@dataclass(frozen=True)
class ModelConfig:
    """What shapes the model. Stated by the paper: a visual backbone, a Transformer over both modalities. The sizes are ours."""

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


class VideoCode(NamedTuple):
    """embedding_BD: unit rows, the clip in the shared space. tokens_BPD: [CLIP] and frame tokens."""

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
        self.backbone = SmallShiftResNet(config.backbone_widths, config.n_frames)
        self.frame_projection = nn.Linear(self.backbone.width, width)
        self.clip_token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.time_embedding = nn.Parameter(torch.randn(1, config.n_frames + 1, width) * 0.02)
        self.video_encoder = _transformer(config, config.depth)
        self.video_norm = nn.LayerNorm(width)
        self.label_head = nn.Sequential(nn.Linear(config.text_width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.word_projection = nn.Linear(config.word_width, width)
        self.cross_query = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.modality_embedding = nn.Parameter(torch.randn(2, width) * 0.02)
        self.cross_encoder = _transformer(config, config.cross_depth)
        self.cross_head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 1))
        self.seen_weight_SD = nn.Parameter(torch.randn(config.n_seen, width) * 0.05)
        self.log_temperature = nn.Parameter(torch.tensor(0.07).log())

    def encode_video(self, frames_BTKHW: Tensor) -> VideoCode:
        """Encode clips: [CLIP] and one token a frame through a transformer; v = normalise(LayerNorm([CLIP])).

        Args:
            frames_BTKHW: float, [B, n_frames, 3, H, W].
        """
        frames = self.frame_projection(self.backbone(frames_BTKHW))
        tokens = torch.cat([self.clip_token.expand(len(frames), -1, -1), frames], 1) + self.time_embedding
        tokens_BPD = self.video_norm(self.video_encoder(tokens))
        return VideoCode(normalize(tokens_BPD[:, 0].float(), dim=-1), tokens_BPD)

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
            raise ValueError(f"match needs one label a clip, got {len(tokens_BPD)} clips and {len(tokens_CLD)} labels; repeat the shorter")
        query = self.cross_query.expand(len(tokens_BPD), -1, -1)
        video = tokens_BPD + self.modality_embedding[0]
        label = tokens_CLD + self.modality_embedding[1]
        return self.cross_head(self.cross_encoder(torch.cat([query, video, label], 1))[:, 0])[:, 0]

    def seen_logits(self, embedding_BD: Tensor, temperature: float) -> Tensor:
        """Cosine to each seen class's weight over the temperature, [B, S]."""
        return embedding_BD @ normalize(self.seen_weight_SD, dim=-1).T / temperature


def word_spans(words_CLE: Tensor, mask_CL: Tensor, n_spans: int) -> Tensor:
    """Means of `n_spans` consecutive, near-equal spans of each text's words, [C, n_spans, E] float32.

    Keeps the joint encoder's cost independent of how long a class text is; word order survives at the grain of spans.
    """
    spans = [adaptive_avg_pool1d(words[mask].T[None], n_spans)[0].T for words, mask in zip(words_CLE, mask_CL)]
    return torch.stack(spans)


def _transformer(config: ModelConfig, depth: int) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(
        config.width, config.heads, config.feedforward, config.dropout, "gelu", batch_first=True, norm_first=True
    )
    return nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
