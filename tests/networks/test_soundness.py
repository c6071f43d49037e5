"""No NaN and no infinity where statistics degenerate or precision is low."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pe_nnunet.networks.blocks.layers import Layers
from pe_nnunet.networks.blocks.recurrent import RecurrentUnit
from pe_nnunet.networks.blocks.unet import AttentionGate
from pe_nnunet.networks.blocks.weight_standardised import StandardisedConv3d, standardise
from pe_nnunet.precision import ShallowConvolutionsInFloat32

SIZES = {2: (32, 32), 3: (16, 16, 16)}
PRECISIONS = ["single", "autocast", "bfloat16", "float16"]


@pytest.fixture(params=PRECISIONS)
def precision(request):
    return request.param


def assert_sound(network: nn.Module, x: Tensor, precision: str = "single", *, backward: bool = True) -> None:
    """Outputs and gradients are finite: single precision, autocast to bfloat16, or weights and data of that type."""
    if precision in ("bfloat16", "float16"):
        dtype = getattr(torch, precision)
        network, x = network.to(dtype), x.to(dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "autocast"), ShallowConvolutionsInFloat32():
        outputs = network(x)
    outputs = outputs if isinstance(outputs, list) else [outputs]
    assert all(torch.isfinite(out).all() for out in outputs)
    if not backward:
        return
    sum(out.float().square().mean() for out in outputs).backward()
    broken = [key for key, p in network.named_parameters() if p.grad is not None and not torch.isfinite(p.grad).all()]
    assert broken == []


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_weights(name, dimensions, build, dtype):
    assert_sound(build(name, dimensions, deep_supervision=True), torch.randn(1, 1, *SIZES[dimensions]), dtype)


def test_bottleneck_of_one_voxel(name, dimensions, build, precision):
    network = build(name, dimensions, deep_supervision=True).train()
    assert_sound(network, torch.randn(1, 1, *network.divisor), precision)


@pytest.mark.parametrize("value", [0.0, 1e4])
def test_constant_patch(name, dimensions, build, precision, value):
    """In float16 a norm's gain on a constant, 1 / sqrt(eps), takes gradients beyond 65504: the loss scaler's matter."""
    float16 = precision == "float16"
    network = build(name, dimensions, deep_supervision=True)
    x = torch.full((1, 1, *SIZES[dimensions]), value / 100 if float16 else value)
    assert_sound(network, x, precision, backward=not float16)


@pytest.mark.parametrize("value", [0.0, 5.0])
def test_filters_of_zero_variance(name, dimensions, build, precision, value):
    network = build(name, dimensions)
    if precision == "float16":
        value /= 50  # sums over a kernel, stage after stage, must stay in its range
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose3d):
                module.weight.fill_(value)
    assert_sound(network, torch.randn(1, 1, *SIZES[dimensions]), precision)


@pytest.mark.parametrize("layout", ["contiguous", "channels last"])
def test_everything_degenerate_at_once(name, dimensions, build, precision, layout):
    """Equal filters on a constant patch, down to one voxel."""
    network = build(name, dimensions, deep_supervision=True)
    x = torch.ones(2, 1, *network.divisor)
    for p in network.parameters():
        nn.init.constant_(p, 0.1)
    if layout == "channels last":
        memory_format = {2: torch.channels_last, 3: torch.channels_last_3d}[dimensions]
        network, x = network.to(memory_format=memory_format), x.to(memory_format=memory_format)
    assert_sound(network, x, precision)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1, 1), (3, 1, 1, 1, 1), (3, 2, 1, 1, 1)])
def test_filters_of_one_or_two_weights_are_standardised(shape):
    weight = torch.randn(shape, requires_grad=True)
    result = standardise(weight)
    assert result.shape == shape
    assert torch.isfinite(result).all()
    assert shape[1] == 2 or result.abs().max() < 1e-3  # one weight is its own mean
    result.sum().backward()
    assert torch.isfinite(weight.grad).all()


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
