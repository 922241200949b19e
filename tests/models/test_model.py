"""zsar_lab.models: shapes, units, the shift in time, word spans, and gradients that reach every part."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest
import reference
import torch

from zsar_lab.models.backbones import BACKBONES, SmallShiftResNet, TemporalShift
from zsar_lab.models.losses import LOSSES, LossInputs
from zsar_lab.models.rest import ModelConfig, ResT, word_spans

CONFIG = ModelConfig(
    n_frames=3,
    backbone_widths=(8, 16),
    width=16,
    depth=1,
    cross_depth=1,
    heads=2,
    feedforward=24,
    dropout=0.0,
    text_width=20,
    word_width=10,
    n_label_tokens=2,
    n_seen=5,
)
N_CLIPS, N_CLASSES = 4, 5


@pytest.fixture
def model() -> ResT:
    torch.manual_seed(0)
    return ResT(CONFIG)


def video(n_frames: int = CONFIG.n_frames, size_px: int = 24, n_clips: int = N_CLIPS) -> torch.Tensor:
    return (
        torch.rand(n_clips, n_frames, 3, size_px, size_px, generator=torch.Generator().manual_seed(1)) * 2 - 1
    )


def text() -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(2)
    pooled = torch.nn.functional.normalize(
        torch.randn(N_CLASSES, CONFIG.text_width, generator=random), dim=-1
    )
    return pooled, torch.randn(N_CLASSES, CONFIG.n_label_tokens, CONFIG.word_width, generator=random)


def test_shapes_and_unit_embeddings(model):
    code, labels = model.eval().encode_video(video()), model.encode_labels(*text())
    assert code.embedding_BD.shape == (N_CLIPS, CONFIG.width)
    assert code.tokens_BPD.shape == (N_CLIPS, 1 + CONFIG.n_frames, CONFIG.width)
    assert labels.embedding_CD.shape == (N_CLASSES, CONFIG.width)
    assert labels.tokens_CLD.shape == (N_CLASSES, 1 + CONFIG.n_label_tokens, CONFIG.width)
    for rows in (code.embedding_BD, labels.embedding_CD):
        torch.testing.assert_close(rows.norm(dim=-1), torch.ones(len(rows)))
    torch.testing.assert_close(
        code.embedding_BD, torch.nn.functional.normalize(code.tokens_BPD[:, 0], dim=-1)
    )
    assert model.match(code.tokens_BPD, labels.tokens_CLD[:N_CLIPS]).shape == (N_CLIPS,)


def test_seen_logits_are_cosines_over_the_temperature(model):
    embedding = model.eval().encode_video(video()).embedding_BD
    logits = model.seen_logits(embedding, 0.1).detach().numpy()
    for b in range(N_CLIPS):
        for s in range(CONFIG.n_seen):
            expected = reference.cosine(embedding[b].tolist(), model.seen_weight_SD[s].tolist()) / 0.1
            assert logits[b, s] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("n_frames", "n_channels"), [(3, 16), (4, 9), (1, 8), (2, 7)])
def test_temporal_shift_equals_the_plain_loop(n_frames, n_channels):
    features = torch.rand(2 * n_frames, n_channels, 2, 3, generator=torch.Generator().manual_seed(0))
    found = TemporalShift(n_frames)(features).numpy()
    np.testing.assert_array_equal(found, reference.temporal_shift(features.numpy(), n_frames))


def test_clips_of_a_batch_do_not_mix(model):
    model.eval()
    together = model.encode_video(video()).embedding_BD
    alone = torch.cat([model.encode_video(clip[None]).embedding_BD for clip in video()])
    torch.testing.assert_close(alone, together, atol=1e-5, rtol=0)


def test_the_order_of_frames_matters(model):
    forward, backward = (
        model.eval().encode_video(clips).embedding_BD for clips in (video(), video().flip(1))
    )
    assert (forward - backward).abs().max() > 1e-3


@pytest.mark.parametrize("n_frames", [2, 4])
def test_another_number_of_frames_is_refused(model, n_frames):
    with pytest.raises(ValueError, match=f"3 frames, got {n_frames}"):
        model.encode_video(video(n_frames))


def test_the_backbone_works_at_any_size():
    backbone = SmallShiftResNet((8, 16, 24), n_frames=3)
    for size_px in (16, 33):
        assert backbone(video(size_px=size_px)).shape == (N_CLIPS, 3, 1, 1, 24)


def test_match_refuses_sequences_that_do_not_pair_up(model):
    tokens, labels = model.encode_video(video()).tokens_BPD, model.encode_labels(*text()).tokens_CLD
    with pytest.raises(ValueError, match="got 4 clips, 5 labels"):
        model.match(tokens, labels)


def test_match_reads_both_sides(model):
    tokens, labels = model.eval().encode_video(video()).tokens_BPD, model.encode_labels(*text()).tokens_CLD
    pairs = torch.stack(
        [model.match(tokens, labels[c : c + 1].expand(N_CLIPS, -1, -1)) for c in range(N_CLASSES)], 1
    )
    assert pairs.std(0).min() > 1e-5 and pairs.std(1).min() > 1e-5


def test_word_spans_by_hand():
    words = torch.tensor([[[1.0], [3.0], [5.0], [9.0], [0.0]]])
    mask = torch.tensor([[True, True, True, True, False]])
    assert word_spans(words, mask, 2).tolist() == [[[2.0], [7.0]]]
    assert word_spans(words, mask, 4).tolist() == [[[1.0], [3.0], [5.0], [9.0]]]
    assert word_spans(words, mask, 1).tolist() == [[[4.5]]]
    # three words in two spans: near-equal, the middle word is in both
    assert word_spans(words[:, :3], mask[:, :3], 2).tolist() == [[[2.0], [4.0]]]
    # one word in three spans is repeated
    assert word_spans(words[:, :1], mask[:, :1], 3).tolist() == [[[1.0], [1.0], [1.0]]]


def test_words_beyond_the_mask_do_not_matter():
    words = torch.rand(2, 6, 4, generator=torch.Generator().manual_seed(3))
    mask = torch.tensor([[True] * 4 + [False] * 2, [True] * 6])
    spans = word_spans(words, mask, 3)
    words[0, 4:] = 1e6
    assert torch.equal(word_spans(words, mask, 3), spans)
    torch.testing.assert_close(word_spans(words[:1, :4], mask[:1, :4], 3)[0], spans[0])
    words[0, 3] = 1e6
    assert not torch.equal(word_spans(words, mask, 3), spans)


def losses_of(model: ResT) -> dict[str, torch.Tensor]:
    uniform = torch.rand(4, CONFIG.n_seen, generator=torch.Generator().manual_seed(0))
    codes = model.encode_video(video()), model.encode_labels(*text())
    given = LossInputs(model, *codes, torch.tensor([0, 1, 2, 3]), uniform, 0.1, 0.1, 3)
    return {name: loss.compute(given) for name, loss in LOSSES.items()}


def test_the_three_losses_together_reach_every_parameter(model):
    sum(losses_of(model).values()).backward()
    unreached = {
        name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 1e-6
    }
    # these two add the same constant to every logit of matching's softmax, which changes nothing
    assert unreached <= {"cross_head.0.bias", "cross_head.1.bias"}
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


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
    assert (
        parameters[reached].grad.abs().sum() > 0
        and parameters["frame_projection.weight"].grad.abs().sum() > 0
    )
    assert parameters[unreached].grad is None


# below, backbones with a feature map over space

MAPPED = replace(CONFIG, backbone="r3d-18", n_frames=9, size_px=40)  # a map of 2 x 3 x 3 places


@functools.cache
def mapped(spatial_tokens: bool = True) -> ResT:
    torch.manual_seed(0)
    return ResT(replace(MAPPED, spatial_tokens=spatial_tokens)).eval()


def test_the_default_model_is_what_it_was():
    """Names, order and values of what demo checkpoints hold, and what is computed from them, bit by bit."""
    torch.manual_seed(0)
    model = ResT(ModelConfig()).eval()
    names = [name for name, _ in model.named_parameters(recurse=False)]
    assert names == [
        "clip_token",
        "time_embedding",
        "cross_query",
        "modality_embedding",
        "seen_weight_SD",
        "log_temperature",
    ]
    parts = {name.split(".")[0] for name in model.state_dict()} - set(names)
    assert parts == {
        "backbone",
        "frame_projection",
        "video_encoder",
        "video_norm",
        "label_head",
        "word_projection",
        "cross_encoder",
        "cross_head",
    }
    # the last of all splits, as the code before there were other backbones drew it
    assert model.seen_weight_SD[0, :3].tolist() == pytest.approx(
        [-0.0238508190959692, -0.02170342020690441, -0.05312206968665123], abs=1e-7
    )
    frames = video(8, 48)
    maps = model.backbone.stages(frames.flatten(0, 1)).mean((2, 3)).unflatten(0, (-1, 8))
    tokens = (
        torch.cat([model.clip_token.expand(N_CLIPS, -1, -1), model.frame_projection(maps)], 1)
        + model.time_embedding
    )
    assert torch.equal(model.encode_video(frames).tokens_BPD, model.video_norm(model.video_encoder(tokens)))


def test_tokens_of_a_feature_map_are_places_with_their_positions():
    model = mapped()
    tokens = model.encode_video(video(9, 40, n_clips=2)).tokens_BPD
    assert model.map_size == (2, 3, 3) and tokens.shape == (2, 1 + 2 * 3 * 3, CONFIG.width)
    maps = model.backbone(video(9, 40, n_clips=2))
    places = [model.clip_token[0, 0] + model.time_embedding[0, 0]]
    for t in range(2):
        for h in range(3):
            for w in range(3):
                position = (
                    model.time_embedding[0, 1 + t] + model.row_embedding[0, h] + model.column_embedding[0, w]
                )
                places.append(model.frame_projection(maps[1, t, h, w]) + position)
    expected = model.video_norm(model.video_encoder(torch.stack(places)[None]))
    torch.testing.assert_close(tokens[1:2], expected, atol=1e-5, rtol=1e-4)


def test_a_token_a_time_step_is_the_mean_over_space():
    model = mapped(spatial_tokens=False)
    tokens = model.encode_video(video(9, 40, n_clips=2)).tokens_BPD
    assert (
        tokens.shape == (2, 1 + 2, CONFIG.width)
        and model.row_embedding is None
        and model.column_embedding is None
    )
    means = torch.stack(
        [
            sum(m[:, h, w] for h in range(3) for w in range(3)) / 9
            for m in model.backbone(video(9, 40, n_clips=2))
        ]
    )
    places = (
        torch.cat([model.clip_token.expand(2, -1, -1), model.frame_projection(means)], 1)
        + model.time_embedding
    )
    torch.testing.assert_close(tokens, model.video_norm(model.video_encoder(places)), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("backbone", [name for name in BACKBONES if "-" in name])
def test_every_backbone_fits_the_model(backbone):
    with torch.device("meta"):
        model = ResT(replace(CONFIG, backbone=backbone, n_frames=4, size_px=64)).train()
        code = model.encode_video(torch.empty(2, 4, 3, 64, 64))
    n_places = 4 * 4 if backbone.startswith("r3d") or "+" in backbone else 4 * 2 * 2
    assert code.tokens_BPD.shape == (2, 1 + n_places, CONFIG.width) and code.embedding_BD.shape == (
        2,
        CONFIG.width,
    )


def test_gradients_reach_the_positions_and_the_backbone():
    model = mapped()
    model.encode_video(video(9, 40, n_clips=2)).embedding_BD[:, 0].sum().backward()
    for name in ("row_embedding", "column_embedding", "time_embedding", "backbone.stem.0.weight"):
        assert model.get_parameter(name).grad.abs().sum() > 0


def test_clips_of_another_size_are_refused():
    model = mapped()
    for n_frames, size_px in ((9, 64), (4, 40)):
        with pytest.raises(
            ValueError,
            match=rf"9 frames of 40 px .*got \[1, {n_frames}",
        ):
            model.encode_video(video(n_frames, size_px, n_clips=1))


@pytest.mark.parametrize("name", ["r3d18", "ResNet-50", "r2plus1d_18", ""])
def test_an_unknown_backbone_is_refused(name):
    with pytest.raises(ValueError, match="backbone"):
        replace(CONFIG, backbone=name)
