"""zsar_lab.models.backbones and video_resnets: counts of parameters, shapes, and the networks over time beside plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import reference
import torch
import transformers
from torch import nn

from zsar_lab.models.backbones import BACKBONES, FrameResNet, SmallShiftResNet, VideoResNet, width_between
from zsar_lab.models.rest import ModelConfig


def clips(n_frames: int, size_px: int, n_clips: int = 2) -> torch.Tensor:
    return (
        torch.rand(n_clips, n_frames, 3, size_px, size_px, generator=torch.Generator().manual_seed(1)) * 2 - 1
    )


def with_random_norms(network: nn.Module) -> nn.Module:
    """Normalisations that are not the identity, so that a test sees one left out or exchanged."""
    random = torch.Generator().manual_seed(5)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            for tensor in (module.weight, module.running_var):
                nn.init.uniform_(tensor, 0.5, 1.5, generator=random)
            for tensor in (module.bias, module.running_mean):
                nn.init.uniform_(tensor, -0.5, 0.5, generator=random)
    return network.eval()


# the counts of the published networks with their classifier, which is left off here: classes x (width + 1)
@pytest.mark.parametrize(
    ("name", "published", "n_classes"),
    [
        ("r3d-18", 33_371_472, 400),
        ("r(2+1)d-18", 31_505_325, 400),
        ("resnet-18", 11_689_512, 1000),
        ("resnet-50", 25_557_032, 1000),
        ("resnet-101", 44_549_160, 1000),
    ],
)
def test_the_number_of_parameters(name, published, n_classes):
    with torch.device("meta"):
        backbone = BACKBONES[name](ModelConfig(backbone=name))
    assert sum(p.numel() for p in backbone.parameters()) + n_classes * (backbone.width + 1) == published


@pytest.mark.parametrize(
    ("name", "n_frames", "size_px", "expected"),
    [
        ("small shift resnet", 8, 48, (8, 1, 1, 96)),
        ("r3d-18", 16, 112, (2, 7, 7, 512)),
        ("r3d-18", 9, 90, (2, 6, 6, 512)),
        ("r(2+1)d-18", 16, 112, (2, 7, 7, 512)),
        ("r(2+1)d-18", 1, 33, (1, 3, 3, 512)),
        ("resnet-18", 8, 224, (8, 7, 7, 512)),
        ("resnet-50", 2, 65, (2, 3, 3, 2048)),
        ("resnet-101", 8, 224, (8, 7, 7, 2048)),
    ],
)
def test_shapes_are_what_the_backbone_says(name, n_frames, size_px, expected):
    with torch.device("meta"):
        backbone = BACKBONES[name](ModelConfig(backbone=name, n_frames=n_frames, size_px=size_px))
        found = backbone(torch.empty(2, n_frames, 3, size_px, size_px))
    assert found.shape == (2, *expected)
    assert (*backbone.map_size(n_frames, size_px), backbone.width) == expected


@pytest.mark.parametrize("factorised", [False, True])
@pytest.mark.parametrize(
    ("widths", "n_blocks", "n_frames", "size_px"), [((2, 3), 2, 3, 9), ((3, 4, 6), 1, 5, 12)]
)
def test_a_network_over_time_equals_plain_loops(factorised, widths, n_blocks, n_frames, size_px):
    torch.manual_seed(0)
    network = with_random_norms(VideoResNet(factorised, widths, n_blocks)).double()
    frames = clips(n_frames, size_px).double()
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    with torch.inference_mode():
        found = network(frames).numpy()
    assert found.std() > 0.01
    for clip, expected in zip(found, frames.numpy(), strict=True):
        np.testing.assert_allclose(
            clip,
            reference.video_resnet(weights, expected, factorised, len(widths), n_blocks),
            rtol=1e-9,
            atol=1e-9,
        )


def test_the_width_between_the_halves_by_hand():
    # 27 x 64 x 64 / (9 x 64 + 3 x 64) = 144; 27 x 64 x 128 / (576 + 384) = 230.4
    assert [width_between(64, 64), width_between(64, 128), width_between(512, 512)] == [144, 230, 1152]
    # as many weights as a whole convolution, up to the rounding down
    for width in (64, 256):
        between = width_between(width, width)
        assert between * (9 * width + 3 * width) == 27 * width * width


@pytest.mark.parametrize("factorised", [False, True])
def test_convolutions_start_with_the_variance_of_kaiming(factorised):
    """He et al. 2015, by the outputs: a variance of 2 / (places of the kernel x channels out)."""
    torch.manual_seed(0)
    convolutions = [m for m in VideoResNet(factorised).modules() if isinstance(m, nn.Conv3d)]
    assert len(convolutions) == (37 if factorised else 20) and not [
        c for c in convolutions if c.bias is not None
    ]
    for convolution in convolutions:
        wanted = 2 / (np.prod(convolution.kernel_size) * convolution.out_channels)
        assert convolution.weight.var().item() == pytest.approx(wanted, rel=0.1)


def test_no_3d_pooling():
    with torch.device("meta"):
        networks = [VideoResNet(False), VideoResNet(True)]
    assert not [m for network in networks for m in network.modules() if "Pool" in type(m).__name__]


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
        weights = {
            name: p for name, p in network.named_parameters() if name.endswith(".weight") and p.ndim == 1
        }
        branch_ends = {name for name in weights if name.endswith(last) and name.startswith("stages")}
        assert branch_ends and all(
            p.eq(0).all() if zero and name in branch_ends else p.eq(1).all() for name, p in weights.items()
        )
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
    config = transformers.ResNetConfig(
        layer_type="basic", hidden_sizes=[64, 128, 256, 512], depths=[2, 2, 2, 2]
    )
    theirs = transformers.ResNetModel(config).eval()
    frames = clips(3, 64)
    with torch.inference_mode():
        found = ours(frames)
        for b in range(2):
            for t in range(3):
                expected = theirs(frames[b, t][None]).last_hidden_state[0]
                torch.testing.assert_close(found[b, t], expected.permute(1, 2, 0), atol=1e-4, rtol=1e-4)


def test_an_unknown_depth_is_refused():
    with pytest.raises(ValueError, match="n_layers must be one of 18, 50, 101, got 34"):
        FrameResNet(34)
