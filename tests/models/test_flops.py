"""zsar_lab.models.flops beside the published figures, sums by hand over the layers, and a count of real numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from zsar_lab.models.backbones import BACKBONES
from zsar_lab.models.flops import clip_gflop
from zsar_lab.models.rest import ModelConfig, ResT

pytestmark = pytest.mark.long


def made(name: str) -> nn.Module:
    with torch.device("meta"):
        return BACKBONES[name](ModelConfig(backbone=name))


def by_hand(backbone: nn.Module, n_frames: int, size_px: int) -> tuple[float, float]:
    """2 x multiply-adds of each convolution, from its output's size; training is three times that, less the first one's gradient of the frames."""
    flops: list[int] = []

    def add(module, inputs, output):
        flops.append(2 * output.numel() * module.weight[0].numel())

    hooks = [m.register_forward_hook(add) for m in backbone.modules() if isinstance(m, nn.Conv2d | nn.Conv3d)]
    backbone(torch.empty(2, n_frames, 3, size_px, size_px, device="meta"))
    for hook in hooks:
        hook.remove()
    return sum(flops) / 2e9, (3 * sum(flops) - flops[0]) / 2e9


@pytest.mark.parametrize(
    ("name", "n_frames", "size_px", "forward", "training"),
    [
        ("r3d-18", 16, 112, 81, 241),
        ("r(2+1)d-18", 16, 112, 81, 242),
        ("resnet-18", 8, 224, 29, 85),
        ("resnet-101", 8, 224, 125, 373),
    ],
)
def test_backbones_cost_what_is_published(name, n_frames, size_px, forward, training):
    backbone = made(name)
    found = clip_gflop(backbone, n_frames, size_px)
    assert found.forward == pytest.approx(forward, rel=0.01) and found.training == pytest.approx(
        training, rel=0.01
    )
    assert found == pytest.approx(by_hand(backbone, n_frames, size_px), rel=1e-9)


def test_the_transformer_is_counted_too():
    config = ModelConfig(
        backbone="r3d-18", n_frames=8, size_px=64, width=64, depth=2, heads=4, feedforward=96
    )
    with torch.device("meta"):
        model = ResT(config)
    n_places = 1 * 4 * 4
    tokens, width = n_places + 1, config.width
    layer = 2 * tokens * (4 * width**2 + 2 * width * config.feedforward) + 4 * tokens**2 * width
    projection = 2 * n_places * model.backbone.width * width
    backbone = clip_gflop(model.backbone, 8, 64)
    found = clip_gflop(model, 8, 64)
    assert found.forward == pytest.approx(backbone.forward + (2 * layer + projection) / 1e9, rel=1e-9)
    # each product has two gradients; a fused attention may count its scores once more in the backward
    scores = 2 * 2 * tokens**2 * width / 1e9
    more = found.training - backbone.training - 3 * (2 * layer + projection) / 1e9
    assert more == pytest.approx(0, abs=1e-9) or more == pytest.approx(scores, rel=1e-6)


@pytest.mark.parametrize("spatial_tokens", [True, False])
def test_the_count_is_that_of_real_numbers(spatial_tokens):
    config = ModelConfig(
        n_frames=2,
        backbone="resnet-18",
        size_px=64,
        spatial_tokens=spatial_tokens,
        width=16,
        heads=2,
        feedforward=24,
    )
    model = ResT(config).train()
    with FlopCounterMode(display=False) as counter:
        code = model.encode_video(torch.rand(2, 2, 3, 64, 64))
        forward = counter.get_total_flops()
        code.tokens_BPD.sum().backward()
    assert clip_gflop(model, 2, 64) == pytest.approx(
        (forward / 2e9, counter.get_total_flops() / 2e9), rel=1e-3
    )


def test_counting_touches_nothing():
    model = ResT(replace(ModelConfig(), width=16, heads=2, feedforward=24)).eval()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    with torch.inference_mode():
        first = clip_gflop(model, 8, 48)
    assert clip_gflop(model, 8, 48) == first and first.training > 2 * first.forward > 0
    assert torch.equal(torch.get_rng_state(), state) and not model.training
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None and p.device.type == "cpu" for p in model.parameters())
