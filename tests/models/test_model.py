"""zsar_lab.models.rest: shapes, units, word spans, tokens over space, and gradients that reach every part."""

from __future__ import annotations

import functools
from dataclasses import replace

import pytest
import reference
import torch
from torch.nn.functional import normalize

from zsar_lab.models.backbones import BACKBONES, VideoResNet
from zsar_lab.models.losses import LOSSES, LossInputs
from zsar_lab.models.rest import ModelConfig, ResT, word_spans

SIZES = {"width": 16, "depth": 1, "heads": 2, "feedforward": 24, "text_width": 20, "word_width": 10}
CONFIG = ModelConfig(n_frames=3, backbone_widths=(8, 16), dropout=0.0, n_label_tokens=2, n_seen=5, **SIZES)
N_CLIPS, N_CLASSES = 4, 5
MAPPED = replace(CONFIG, backbone="r3d-18", n_frames=9, size_px=40)  # a map of 2 x 3 x 3 places


@pytest.fixture
def model() -> ResT:
    torch.manual_seed(0)
    return ResT(CONFIG)


@functools.cache
def mapped(spatial_tokens: bool = True) -> ResT:
    """Over a narrow R3D-18."""
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(BACKBONES, "r3d-18", lambda config: VideoResNet(False, (4, 6, 8, 8), n_blocks=1))
        return ResT(replace(MAPPED, spatial_tokens=spatial_tokens)).eval()


def video(n_frames: int = CONFIG.n_frames, size_px: int = 24, n_clips: int = N_CLIPS) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(n_clips, n_frames, 3, size_px, size_px, generator=generator) * 2 - 1


def text() -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(2)
    pooled = normalize(torch.randn(N_CLASSES, CONFIG.text_width, generator=random), dim=-1)
    return pooled, torch.randn(N_CLASSES, CONFIG.n_label_tokens, CONFIG.word_width, generator=random)


def test_shapes_units_and_cosines(model):
    code, labels = model.eval().encode_video(video()), model.encode_labels(*text())
    assert code.tokens_BPD.shape == (N_CLIPS, 1 + CONFIG.n_frames, CONFIG.width)
    assert labels.tokens_CLD.shape == (N_CLASSES, 1 + CONFIG.n_label_tokens, CONFIG.width)
    for rows, tokens in ((code.embedding_BD, code.tokens_BPD), (labels.embedding_CD, labels.tokens_CLD)):
        torch.testing.assert_close(rows, normalize(tokens[:, 0], dim=-1))
    logits = model.seen_logits(code.embedding_BD, 0.1)
    for b in range(N_CLIPS):
        for s in range(CONFIG.n_seen):
            cosine = reference.cosine(code.embedding_BD[b].tolist(), model.seen_weight_SD[s].tolist())
            assert logits[b, s].item() == pytest.approx(cosine / 0.1, abs=1e-4)


def test_clips_do_not_mix_frames_have_an_order_and_matching_reads_both_sides(model):
    code, labels = model.eval().encode_video(video()), model.encode_labels(*text())
    alone = torch.cat([model.encode_video(clip[None]).embedding_BD for clip in video()])
    torch.testing.assert_close(alone, code.embedding_BD, atol=1e-5, rtol=0)
    backward = model.encode_video(video().flip(1)).embedding_BD
    assert (code.embedding_BD - backward).abs().max() > 1e-3
    one = (labels.tokens_CLD[c : c + 1].expand(N_CLIPS, -1, -1) for c in range(N_CLASSES))
    pairs = torch.stack([model.match(code.tokens_BPD, tokens) for tokens in one], 1)
    assert pairs.shape == (N_CLIPS, N_CLASSES)
    assert pairs.std(0).min() > 1e-5 and pairs.std(1).min() > 1e-5
    with pytest.raises(ValueError, match="got 4 clips, 5 labels"):
        model.match(code.tokens_BPD, labels.tokens_CLD)


@pytest.mark.parametrize(
    ("words", "n_spans", "wanted"),
    [
        ([1.0, 3.0, 5.0, 9.0], 2, [2.0, 7.0]),
        ([1.0, 3.0, 5.0, 9.0], 4, [1.0, 3.0, 5.0, 9.0]),
        ([1.0, 3.0, 5.0, 9.0], 1, [4.5]),
        ([1.0, 3.0, 5.0], 2, [2.0, 4.0]),  # near-equal spans: the middle word is in both
        ([1.0], 3, [1.0, 1.0, 1.0]),  # one word is repeated
    ],
)
def test_word_spans_by_hand(words, n_spans, wanted):
    assert word_spans([torch.tensor(words)[:, None]], n_spans).flatten().tolist() == wanted


def losses_of(model: ResT) -> dict[str, torch.Tensor]:
    uniform = torch.rand(4, CONFIG.n_seen, generator=torch.Generator().manual_seed(0))
    codes = model.encode_video(video()), model.encode_labels(*text())
    given = LossInputs(model, *codes, torch.tensor([0, 1, 2, 3]), uniform, 0.1, 0.1, 3)
    return {name: loss.compute(given) for name, loss in LOSSES.items()}


def test_the_losses_together_reach_every_parameter(model):
    sum(losses_of(model).values()).backward()
    named = dict(model.named_parameters())
    unreached = {name for name, p in named.items() if p.grad is None or not p.grad.abs().sum() > 1e-6}
    # these two add the same constant to every logit of matching's softmax, which changes nothing
    assert unreached <= {"cross_head.0.bias", "cross_head.1.bias"}
    assert all(torch.isfinite(p.grad).all() for p in named.values())


@pytest.mark.parametrize(
    ("loss", "reached", "unreached"),
    [
        ("classification", "seen_weight_SD", "label_head.0.weight"),
        ("alignment", "label_head.0.weight", "cross_query"),
        ("matching", "cross_query", "seen_weight_SD"),
    ],
)
def test_a_loss_reaches_its_own_part_only(model, loss, reached, unreached):
    losses_of(model)[loss].backward()
    parameters = dict(model.named_parameters())
    assert parameters[reached].grad.abs().sum() > 0 and parameters[unreached].grad is None
    assert parameters["frame_projection.weight"].grad.abs().sum() > 0


def test_the_default_model_is_what_it_was():
    """Names, order and values of what demo checkpoints hold, and what is computed from them, bit by bit."""
    torch.manual_seed(0)
    model = ResT(ModelConfig()).eval()
    names = [name for name, _ in model.named_parameters(recurse=False)]
    tokens = ["clip_token", "time_embedding", "cross_query", "modality_embedding"]
    assert names == [*tokens, "seen_weight_SD", "log_temperature"]
    parts = {name.split(".")[0] for name in model.state_dict()} - set(names)
    encoders = {"video_encoder", "video_norm", "label_head", "word_projection", "cross_encoder", "cross_head"}
    assert parts == {"backbone", "frame_projection"} | encoders
    # the last random numbers that are drawn, as the code before there were other backbones drew them
    first = [-0.0238508190959692, -0.02170342020690441, -0.05312206968665123]
    assert model.seen_weight_SD[0, :3].tolist() == pytest.approx(first, abs=1e-7)
    frames = video(8, 48)
    maps = model.backbone.stages(frames.flatten(0, 1)).mean((2, 3)).unflatten(0, (-1, 8))
    places = torch.cat([model.clip_token.expand(N_CLIPS, -1, -1), model.frame_projection(maps)], 1)
    read = model.video_norm(model.video_encoder(places + model.time_embedding))
    assert torch.equal(model.encode_video(frames).tokens_BPD, read)


@pytest.mark.parametrize("spatial_tokens", [True, False])
def test_tokens_of_a_feature_map_by_hand(spatial_tokens):
    model, clips = mapped(spatial_tokens), video(9, 40, n_clips=2)
    tokens, maps = model.encode_video(clips).tokens_BPD, model.backbone(clips)
    assert model.map_size == (2, 3, 3)
    assert tokens.shape == (2, 1 + (2 * 3 * 3 if spatial_tokens else 2), CONFIG.width)
    assert (model.row_embedding is None) == (model.column_embedding is None) == (not spatial_tokens)
    places = [model.clip_token[0, 0] + model.time_embedding[0, 0]]
    for t in range(2):
        time = model.time_embedding[0, 1 + t]
        if not spatial_tokens:
            mean = sum(maps[1, t, h, w] for h in range(3) for w in range(3)) / 9
            places.append(model.frame_projection(mean) + time)
            continue
        for h in range(3):
            for w in range(3):
                position = time + model.row_embedding[0, h] + model.column_embedding[0, w]
                places.append(model.frame_projection(maps[1, t, h, w]) + position)
    wanted = model.video_norm(model.video_encoder(torch.stack(places)[None]))
    torch.testing.assert_close(tokens[1:], wanted, atol=1e-5, rtol=1e-4)


def test_clips_and_backbones_that_do_not_fit_are_refused(model):
    for n_frames in (2, 4):
        with pytest.raises(ValueError, match=f"3 frames, got {n_frames}"):
            model.encode_video(video(n_frames))
    for n_frames, size_px in ((9, 64), (4, 40)):
        with pytest.raises(ValueError, match=rf"9 frames of 40 px .*got \[1, {n_frames}"):
            mapped().encode_video(video(n_frames, size_px, n_clips=1))
    for name in ("r3d18", "ResNet-50", "r2plus1d_18", ""):
        with pytest.raises(ValueError, match="backbone"):
            replace(CONFIG, backbone=name)
