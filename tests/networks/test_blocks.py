"""Blocks against the plain formulas that they rearrange."""

from __future__ import annotations

import pytest
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from torch import nn
from torch.nn import functional as F

from pe_nnunet.networks.blocks.instance_norm import InstanceNorm, with_our_norms
from pe_nnunet.networks.blocks.layers import Layers, upsample_linear
from pe_nnunet.networks.blocks.narrow_norm import has_rows
from pe_nnunet.networks.blocks.recurrent import R2Merge, RecurrentUnit
from pe_nnunet.networks.blocks.unet import AttentionGate
from pe_nnunet.networks.blocks.weight_standardised import (
    GroupNorm,
    StandardisedConvTranspose3d,
    standardise,
)

LAYERS = Layers(nn.Conv3d, True, nn.BatchNorm3d, nonlin=nn.ReLU)


@pytest.mark.parametrize("recurrence", [0, 1, 2, 5])
def test_recurrent_unit_equals_one_convolution_of_the_sum(recurrence):
    torch.manual_seed(0)
    unit = RecurrentUnit(LAYERS, 4, (3, 3, 3), recurrence).eval()
    nn.init.normal_(unit.bias)
    x = torch.randn(2, 4, 6, 6, 6)

    def step(value):
        return F.relu(unit.norm(F.conv3d(value, unit.conv.weight, unit.bias, padding=1)))

    expected = step(x)
    for _ in range(recurrence):
        expected = step(x + expected)
    torch.testing.assert_close(unit(x), expected)


def test_decoder_projection_commutes_with_concatenation_and_upsampling():
    torch.manual_seed(0)
    merge = R2Merge(LAYERS, 3, 5, 4, (3, 3, 3), recurrence=2).eval()
    skip, below = torch.randn(1, 3, 8, 8, 8), torch.randn(1, 5, 4, 8, 4)
    joined = torch.cat((skip, F.interpolate(below, size=(8, 8, 8), mode="trilinear", align_corners=True)), 1)
    weight = torch.cat((merge.project_skip.weight, merge.project_below.weight), 1)
    expected = merge.units(F.conv3d(joined, weight, merge.project_skip.bias))
    torch.testing.assert_close(merge(skip, below), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("dimensions", "torchs"), [(2, nn.InstanceNorm2d), (3, nn.InstanceNorm3d)])
def test_instance_norm_is_torchs(dimensions, torchs):
    ours, theirs = InstanceNorm(3), torchs(3, affine=True)
    nn.init.normal_(theirs.weight)
    nn.init.normal_(theirs.bias)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(2, 3, *[5] * dimensions)
    assert torch.equal(ours(x), theirs(x))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize(("dimensions", "layout"), [(2, torch.channels_last), (3, torch.channels_last_3d)])
def test_instance_norm_keeps_channels_last_and_its_function(dimensions, layout, n, affine, dtype):
    norm = InstanceNorm(5, affine=affine).to(dtype)
    for p in norm.parameters():
        nn.init.normal_(p)
    x = (3 + 2 * torch.randn(n, 5, *[6] * dimensions)).to(dtype)
    towards = torch.randn(x.shape).to(dtype)
    outputs, gradients = [], []
    for memory_format in (torch.contiguous_format, layout):
        given = x.clone(memory_format=memory_format).requires_grad_()
        out = norm(given)
        out.backward(towards)
        assert out.is_contiguous(memory_format=memory_format)
        outputs.append(out)
        gradients.append(given.grad)
    tolerance = {"atol": 1e-9, "rtol": 1e-9} if dtype == torch.float64 else {"atol": 0.05, "rtol": 0.02}
    torch.testing.assert_close(*outputs, **tolerance)
    torch.testing.assert_close(*gradients, **tolerance)


@pytest.mark.parametrize("channels", [5, 8, 12, 24])
@pytest.mark.parametrize(("dimensions", "layout"), [(2, torch.channels_last), (3, torch.channels_last_3d)])
@pytest.mark.parametrize("n", [1, 2])
def test_the_norm_of_few_channels_is_that_of_float64(channels, dimensions, layout, n):
    torch.manual_seed(channels)
    norm = InstanceNorm(channels)
    for p in norm.parameters():
        nn.init.normal_(p)
    x, towards = (torch.randn(n, channels, *[8] * dimensions) for _ in range(2))
    x = 20 + 2 * x  # a mean that is large against the deviation
    assert has_rows(x)
    found = []
    for dtype, memory_format in ((torch.float32, layout), (torch.float64, torch.contiguous_format)):
        given = x.to(dtype).contiguous(memory_format=memory_format).requires_grad_()
        ours = norm.to(dtype)
        out = F.leaky_relu_(ours(given))  # in place, as in plans
        assert out.is_contiguous(memory_format=memory_format)
        gradients = torch.autograd.grad(out, (given, ours.weight, ours.bias), towards.to(dtype))
        found.append([part.double() for part in (out, *gradients)])
    torch.testing.assert_close(*found, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_a_network_with_our_norms_is_the_same_function_with_the_same_weights(layout):
    network = PlainConvUNet(
        1, 2, [4, 8], nn.Conv3d, 3, [1, 2], 1, 2, [1], True, nn.InstanceNorm3d, {"eps": 1e-5, "affine": True}
    )
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)
    x = torch.randn(2, 1, 8, 8, 8)
    expected, keys = network.eval()(x), list(network.state_dict())
    ours = with_our_norms(network).to(memory_format=layout)
    assert not any(isinstance(module, nn.InstanceNorm3d) for module in ours.modules())
    assert list(ours.state_dict()) == keys
    assert ours.encoder.stages[0][0].convs[0].norm is ours.encoder.stages[0][0].convs[0].all_modules[1]
    torch.testing.assert_close(ours(x.to(memory_format=layout)), expected, atol=1e-4, rtol=1e-4)


def test_instance_norm_of_one_voxel_is_the_bias():
    norm = InstanceNorm(3)
    nn.init.constant_(norm.bias, 7.0)
    x = torch.randn(2, 3, 1, 1, 1, requires_grad=True)
    out = norm(x)
    torch.testing.assert_close(out, torch.full_like(out, 7.0))
    out.sum().backward()
    assert x.grad is not None
    assert x.grad.abs().max() < 1e-3


def test_group_norm_is_torchs_in_groups_of_four():
    ours, theirs = GroupNorm(8), nn.GroupNorm(2, 8)
    x = torch.randn(2, 8, 3, 4, 5)
    torch.testing.assert_close(ours(x), theirs(x))


def test_group_norm_keeps_half_precision_under_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        assert GroupNorm(8)(torch.randn(1, 8, 4, 4, 4, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_standardised_weights_have_mean_0_and_variance_1():
    weight = standardise(3 + 2 * torch.randn(5, 4, 3, 3, 3))
    torch.testing.assert_close(weight.mean((1, 2, 3, 4)), torch.zeros(5), atol=1e-6, rtol=0)
    torch.testing.assert_close(weight.var((1, 2, 3, 4), correction=0), torch.ones(5), atol=1e-4, rtol=0)


def test_transposed_convolution_reshapes_where_one_would_transpose():
    conv = StandardisedConvTranspose3d(2, 3, (2, 2, 2))
    x = torch.randn(1, 2, 2, 2, 2)
    per_output = torch.stack(
        [(w - w.mean()) / (w.var(correction=0) + 1e-6).sqrt() for w in conv.weight.transpose(0, 1)]
    )
    reshaped = per_output.contiguous().view(2, 3, 2, 2, 2)
    torch.testing.assert_close(conv(x), F.conv_transpose3d(x, reshaped, stride=2), atol=1e-4, rtol=1e-4)
    transposed = F.conv_transpose3d(x, per_output.transpose(0, 1), stride=2)
    assert not torch.allclose(conv(x), transposed, atol=1e-2)


def test_upsampling_keeps_the_corners_and_is_linear_between():
    ramp = torch.arange(4.0).view(1, 1, 1, 4).expand(1, 1, 4, 4)
    out = upsample_linear(ramp, (4, 7))
    torch.testing.assert_close(out[0, 0, 0], torch.arange(7) / 2)


def test_the_gate_scales_the_skip_by_one_weight_per_position():
    layers = Layers(nn.Conv2d, norm_op=None)
    gate = AttentionGate(layers, 4, 6, (2, 2))
    nn.init.dirac_(gate.out_conv.weight)
    skip, below = torch.randn(1, 4, 8, 8), torch.randn(1, 6, 4, 4)
    torch.testing.assert_close(gate(skip, below), skip * gate.weights(skip, below))
