"""No NaN and no infinity where statistics degenerate or precision is low."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pe_nnunet.networks.blocks.attention_gate import AttentionGate
from pe_nnunet.networks.blocks.layers import Layers
from pe_nnunet.networks.blocks.recurrent import RecurrentUnit
from pe_nnunet.networks.blocks.weight_standardised import StandardisedConv3d, standardise

SIZES = {2: (32, 32), 3: (16, 16, 32)}


def assert_sound(network: nn.Module, x: torch.Tensor, *, backward: bool = True) -> None:
    outputs = network(x)
    outputs = outputs if isinstance(outputs, list) else [outputs]
    assert all(torch.isfinite(out).all() for out in outputs)
    if backward:
        sum(out.float().square().mean() for out in outputs).backward()
        assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


def test_bottleneck_of_one_voxel(name, dimensions, build):
    network = build(name, dimensions, deep_supervision=True).train()
    assert_sound(network, torch.randn(1, 1, *network.divisor))


@pytest.mark.parametrize("value", [0.0, -3.0, 1e4])
def test_constant_patch(name, dimensions, build, value):
    network = build(name, dimensions, deep_supervision=True)
    assert_sound(network, torch.full((1, 1, *SIZES[dimensions]), value))


def test_filters_of_zero_variance(name, dimensions, build):
    network = build(name, dimensions)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose3d):
                module.weight.fill_(0.1)
    assert_sound(network, torch.randn(1, 1, *SIZES[dimensions]))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_weights(name, dimensions, build, dtype):
    network = build(name, dimensions).to(dtype).eval()
    with torch.no_grad():
        assert_sound(network, torch.randn(1, 1, *SIZES[dimensions], dtype=dtype), backward=False)


def test_autocast_agrees_with_single_precision(name, dimensions, build):
    network = build(name, dimensions)
    x = torch.randn(1, 1, *SIZES[dimensions])
    with torch.no_grad():
        exact = network(x)
        with torch.autocast("cpu", torch.bfloat16):
            rough = network(x)
    assert rough.dtype == torch.bfloat16
    assert (rough.float() - exact).abs().mean() < 0.1 * exact.abs().mean() + 0.02
    with torch.autocast("cpu", torch.bfloat16):
        assert_sound(network, x)


def test_channels_last_gives_the_same(name, dimensions, build):
    network = build(name, dimensions).eval()
    x = torch.randn(1, 1, *SIZES[dimensions])
    layout = {2: torch.channels_last, 3: torch.channels_last_3d}[dimensions]
    with torch.no_grad():
        before = network(x)
        after = network.to(memory_format=layout)(x.to(memory_format=layout))
    torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-4)


def test_standardised_weights_of_half_precision_do_not_overflow():
    weight = torch.full((2, 4, 3, 3, 3), 300.0, dtype=torch.float16)
    weight[0, 0] = -300.0
    result = standardise(weight)
    assert torch.isfinite(result).all()
    assert result[0].float().mean().abs() < 1e-2
    assert result[0].float().square().mean() == pytest.approx(1.0, abs=1e-2)
    assert (result[1] == 0).all()


def test_a_standardised_convolution_of_equal_weights_puts_out_zero():
    conv = StandardisedConv3d(2, 4, (3, 3, 3), padding=(1, 1, 1))
    nn.init.constant_(conv.weight, 5.0)
    assert conv(torch.randn(1, 2, 4, 4, 4)).abs().max() == 0


def test_attention_weights_stay_between_0_and_1_under_huge_inputs():
    gate = AttentionGate(Layers(nn.Conv3d, norm_op=nn.InstanceNorm3d), 4, 8, (2, 2, 2))
    weights = gate.weights(1e6 * torch.randn(1, 4, 8, 8, 8), 1e6 * torch.randn(1, 8, 4, 4, 4))
    assert torch.isfinite(weights).all()
    assert weights.min() >= 0
    assert weights.max() <= 1


def test_a_recurrent_unit_stays_bounded_over_many_steps():
    unit = RecurrentUnit(Layers(nn.Conv2d, norm_op=nn.InstanceNorm2d, nonlin=nn.ReLU), 4, (3, 3), 50)
    out = unit(100 * torch.randn(1, 4, 16, 16))
    assert torch.isfinite(out).all()
    assert out.max() < 16 * 16  # an instance norm bounds each value by the square root of the number of positions
