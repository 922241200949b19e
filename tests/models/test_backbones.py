"""zsar_lab.models.backbones: parameters, FLOPs, shapes, networks over time beside plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import reference
import torch
import transformers
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from zsar_lab.models.backbones import (
    BACKBONES,
    FrameResNet,
    SmallShiftResNet,
    TemporalShift,
    VideoResNet,
    width_between,
)
from zsar_lab.models.rest import ModelConfig, ResT
from zsar_lab.train.meters import clip_gflop

# parameters with the classifier, which is left off here: classes x (width + 1); GFLOP forward and training
PUBLISHED = {
    "r3d-18": (33_371_472, 400, 16, 112, (81, 241)),
    "r(2+1)d-18": (31_505_325, 400, 16, 112, (81, 242)),
    "resnet-18": (11_689_512, 1000, 8, 224, (29, 85)),
    "resnet-50": (25_557_032, 1000, 8, 224, None),
    "resnet-101": (44_549_160, 1000, 8, 224, None),
}


def clips(n_frames: int, size_px: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(2, n_frames, 3, size_px, size_px, generator=generator) * 2 - 1


def made(name: str, **settings) -> nn.Module:
    with torch.device("meta"):
        return BACKBONES[name](ModelConfig(backbone=name, **settings))


def gflop_by_hand(backbone: nn.Module, n_frames: int, size_px: int) -> tuple[float, float]:
    """2 x multiply-adds of each convolution; training three times that, less the gradient of the frames."""
    flops: list[int] = []

    def add(module, inputs, output):
        flops.append(2 * output.numel() * module.weight[0].numel())

    hooks = [m.register_forward_hook(add) for m in backbone.modules() if isinstance(m, nn.Conv2d | nn.Conv3d)]
    backbone(torch.empty(2, n_frames, 3, size_px, size_px, device="meta"))
    for hook in hooks:
        hook.remove()
    return sum(flops) / 2e9, (3 * sum(flops) - flops[0]) / 2e9


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_and_flops_are_those_published(name):
    published, n_classes, n_frames, size_px, gflop = PUBLISHED[name]
    backbone = made(name)
    assert sum(p.numel() for p in backbone.parameters()) + n_classes * (backbone.width + 1) == published
    if gflop:
        found = clip_gflop(backbone, n_frames, size_px)
        assert found == pytest.approx(gflop, rel=0.01)
        assert found == pytest.approx(gflop_by_hand(backbone, n_frames, size_px), rel=1e-9)


@pytest.mark.parametrize(
    ("name", "n_frames", "size_px", "expected"),
    [
        ("small shift resnet", 8, 48, (8, 1, 1, 96)),
        ("small shift resnet", 3, 33, (3, 1, 1, 96)),
        ("r3d-18", 16, 112, (2, 7, 7, 512)),
        ("r3d-18", 9, 90, (2, 6, 6, 512)),
        ("r(2+1)d-18", 1, 33, (1, 3, 3, 512)),
        ("resnet-18", 8, 224, (8, 7, 7, 512)),
        ("resnet-50", 2, 65, (2, 3, 3, 2048)),
        ("resnet-101", 8, 224, (8, 7, 7, 2048)),
    ],
)
def test_shapes_are_what_the_backbone_says(name, n_frames, size_px, expected):
    backbone = made(name, n_frames=n_frames, size_px=size_px)
    found = backbone(torch.empty(2, n_frames, 3, size_px, size_px, device="meta"))
    assert found.shape == (2, *expected)
    time, space = backbone.strides
    places = (-(-n_frames // time), -(-size_px // space), -(-size_px // space))
    assert (*places, backbone.width) == expected


@pytest.mark.parametrize(("n_frames", "n_channels"), [(3, 16), (4, 9), (1, 8), (2, 7)])
def test_temporal_shift_equals_the_plain_loop(n_frames, n_channels):
    features = torch.rand(2 * n_frames, n_channels, 2, 3, generator=torch.Generator().manual_seed(0))
    wanted = reference.temporal_shift(features.numpy(), n_frames)
    np.testing.assert_array_equal(TemporalShift(n_frames)(features).numpy(), wanted)


@pytest.mark.parametrize("factorised", [False, True])
@pytest.mark.parametrize(
    ("widths", "n_blocks", "n_frames", "size_px"), [((2, 3), 2, 3, 9), ((3, 4, 6), 1, 5, 12)]
)
def test_a_network_over_time_equals_plain_loops(factorised, widths, n_blocks, n_frames, size_px):
    torch.manual_seed(0)
    network = VideoResNet(factorised, widths, n_blocks).double().eval()
    random = torch.Generator().manual_seed(5)
    for norm in (module for module in network.modules() if isinstance(module, nn.BatchNorm3d)):
        lows = ((norm.weight, 0.5), (norm.running_var, 0.5), (norm.bias, -0.5), (norm.running_mean, -0.5))
        for tensor, low in lows:
            nn.init.uniform_(tensor, low, low + 1, generator=random)
    frames = clips(n_frames, size_px).double()
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    with torch.inference_mode():
        found = network(frames).numpy()
    assert found.std() > 0.01
    for ours, clip in zip(found, frames.numpy(), strict=True):
        wanted = reference.video_resnet(weights, clip, factorised, len(widths), n_blocks)
        np.testing.assert_allclose(ours, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("factorised", [False, True])
def test_convolutions_start_with_the_variance_of_kaiming_and_nothing_pools(factorised):
    """He et al. 2015, by the outputs: a variance of 2 / (places of the kernel x channels out)."""
    # 27 x 64 x 64 / (9 x 64 + 3 x 64) = 144; 27 x 64 x 128 / (576 + 384) = 230.4
    assert [width_between(64, 64), width_between(64, 128), width_between(512, 512)] == [144, 230, 1152]
    torch.manual_seed(0)
    modules = list(VideoResNet(factorised).modules())
    convolutions = [module for module in modules if isinstance(module, nn.Conv3d)]
    assert len(convolutions) == (37 if factorised else 20)
    assert not [module for module in modules if "Pool" in type(module).__name__]
    for convolution in convolutions:
        wanted = 2 / (np.prod(convolution.kernel_size) * convolution.out_channels)
        assert convolution.bias is None and convolution.weight.var().item() == pytest.approx(wanted, rel=0.1)


@pytest.mark.parametrize(
    "make",
    [
        lambda zero: SmallShiftResNet((8, 16, 16), 2, zero),
        lambda zero: VideoResNet(False, (4, 6), 2, zero),
        lambda zero: VideoResNet(True, (4, 6), 2, zero),
        lambda zero: FrameResNet(18, zero),
    ],
)
def test_a_residual_branch_can_start_at_zero(make):
    last = ("body.5.weight", "body.4.weight", "layer.1.normalization.weight")
    for zero in (False, True):
        network = make(zero).train()
        named = [(n, p) for n, p in network.named_parameters() if n.endswith(".weight") and p.ndim == 1]
        ends = {name for name, _ in named if name.endswith(last) and name.startswith("stages")}
        assert ends and all(p.eq(0 if zero and name in ends else 1).all() for name, p in named)
    with torch.no_grad():  # what is in the branches then does not matter
        before = network(clips(2, 40))
        for name, p in network.named_parameters():
            if p.ndim > 2 and (".body." in name or ".layer." in name):
                p.mul_(3)
        torch.testing.assert_close(network(clips(2, 40)), before)


def test_a_frame_resnet_is_the_one_of_transformers_on_each_frame():
    torch.manual_seed(3)
    ours = FrameResNet(18).eval()
    torch.manual_seed(3)
    sizes = {"hidden_sizes": [64, 128, 256, 512], "depths": [2, 2, 2, 2]}
    theirs = transformers.ResNetModel(transformers.ResNetConfig(layer_type="basic", **sizes)).eval()
    with torch.inference_mode():
        found = ours(clips(3, 64)).flatten(0, 1).permute(0, 3, 1, 2)
        wanted = torch.cat([theirs(frame[None]).last_hidden_state for frame in clips(3, 64).flatten(0, 1)])
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
    with pytest.raises(ValueError, match="18, 50, 101, got 34"):
        FrameResNet(34)


def test_the_flops_of_the_transformer_by_hand():
    sizes = {"width": 64, "depth": 2, "heads": 4, "feedforward": 96}
    config = ModelConfig(backbone="r3d-18", n_frames=8, size_px=64, **sizes)
    with torch.device("meta"):
        model = ResT(config)
    n_places, width = 1 * 4 * 4, config.width
    tokens = n_places + 1
    layer = 2 * tokens * (4 * width**2 + 2 * width * config.feedforward) + 4 * tokens**2 * width
    projection = 2 * n_places * model.backbone.width * width
    backbone, found = clip_gflop(model.backbone, 8, 64), clip_gflop(model, 8, 64)
    assert found.forward == pytest.approx(backbone.forward + (2 * layer + projection) / 1e9, rel=1e-9)
    # each product has two gradients; a fused attention may count its scores once more in the backward
    scores = 2 * 2 * tokens**2 * width / 1e9
    more = found.training - backbone.training - 3 * (2 * layer + projection) / 1e9
    assert more == pytest.approx(0, abs=1e-9) or more == pytest.approx(scores, rel=1e-6)


def test_the_flops_are_those_of_real_numbers_and_counting_touches_nothing():
    model = ResT(ModelConfig(n_frames=2, width=16, heads=2, feedforward=24)).eval()
    weights, state = {name: w.clone() for name, w in model.state_dict().items()}, torch.get_rng_state()
    with torch.inference_mode():
        found = clip_gflop(model, 2, 48)
    assert torch.equal(torch.get_rng_state(), state) and not model.training
    assert all(torch.equal(w, weights[name]) for name, w in model.state_dict().items())
    assert all(p.grad is None and p.device.type == "cpu" for p in model.parameters())
    with FlopCounterMode(display=False) as counter:
        code = model.train().encode_video(torch.rand(2, 2, 3, 48, 48))
        forward = counter.get_total_flops()
        code.tokens_BPD.sum().backward()
    assert found == pytest.approx((forward / 2e9, counter.get_total_flops() / 2e9), rel=1e-3)
