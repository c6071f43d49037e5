"""Half precision on a CPU: what its convolutions must not get wrong; and single precision, whatever a program chose."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from pe_nnunet.precision import ShallowConvolutionsInFloat32, SmallMapsByOneDNN, autocast_for, single_precision

CPU = torch.device("cpu")
SIZES = [(1, 4, 4), (2, 2, 2), (2, 5, 3), (3, 4, 4), (4, 4, 4)]


def soil_memory():
    """What is allocated next holds NaN where nobody writes."""
    blocks = [torch.full((4**k,), float("nan")) for k in range(3, 10) for _ in range(6)]
    del blocks


def results(conv, x, context):
    conv.zero_grad()
    x = x.clone().requires_grad_()
    soil_memory()
    with context:
        y = conv(x)
    soil_memory()
    y.backward(torch.ones_like(y))
    return y.detach().float(), conv.weight.grad.clone(), x.grad


@pytest.mark.parametrize(("size", "channels", "bias"), list(product(SIZES, [(1, 16), (16, 32)], [False, True])))
def test_convolutions_of_shallow_maps_are_those_of_single_precision(size, channels, bias):
    torch.manual_seed(0)
    conv = torch.nn.Conv3d(*channels, 3, padding=1, bias=bias).to(memory_format=torch.channels_last_3d)
    x = torch.randn(2, channels[0], *size).to(memory_format=torch.channels_last_3d)
    exact = results(conv, x, torch.enable_grad())
    for ours, theirs in zip(results(conv, x, autocast_for(CPU)), exact, strict=True):
        assert float((ours - theirs).norm() / theirs.norm()) < 0.02


def test_maps_keep_the_type_that_the_network_computes_in():
    conv = torch.nn.Conv3d(2, 3, 3, padding=1)
    x = torch.randn(1, 2, 1, 4, 4)
    with torch.autocast("cpu", torch.bfloat16), ShallowConvolutionsInFloat32():
        assert conv(x).dtype == torch.bfloat16
        assert conv(x.repeat(1, 1, 3, 1, 1)).dtype == torch.bfloat16
    with ShallowConvolutionsInFloat32():
        assert torch.equal(conv(x), conv(x))
        assert conv.bfloat16()(x.bfloat16()).dtype == torch.bfloat16


PRODUCTS = torch.backends.cudnn.conv, torch.backends.cuda.matmul


def precisions():
    return [kind.fp32_precision for kind in PRODUCTS]


def choose(precision_of_each):
    for kind, precision in zip(PRODUCTS, precision_of_each, strict=True):
        kind.fp32_precision = precision


@pytest.mark.parametrize("chosen", [["tf32", "tf32"], ["ieee", "tf32"]])
def test_single_precision_is_for_a_while_and_whatever_was_chosen_before(chosen):
    before = precisions()
    choose(chosen)
    try:
        with single_precision():
            assert precisions() == ["ieee", "ieee"]
        assert precisions() == chosen
    finally:
        choose(before)


def operations(call):
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        call()
    return {event.key for event in profiler.key_averages() if "slow_conv" in event.key or "mkldnn" in event.key}


CONVOLUTIONS = [{}, {"padding": 1}, {"stride": 2}, {"padding": 2, "dilation": 2}, {"groups": 2}, {"bias": False}]


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch is built without oneDNN")
@pytest.mark.parametrize("options", [*CONVOLUTIONS, {"padding": 1, "padding_mode": "reflect"}])
def test_a_single_small_map_is_computed_by_onednn_to_the_same_result(options):
    torch.manual_seed(0)
    conv = torch.nn.Conv3d(8, 6, 3, **options)
    x = torch.randn(1, 8, 6, 7, 5)
    with torch.inference_mode(), SmallMapsByOneDNN():
        found = conv(x)
        used = operations(lambda: conv(x))
    torch.testing.assert_close(found, conv(x).detach(), rtol=1e-5, atol=1e-5)
    assert used == {"aten::mkldnn_convolution"}


def test_what_onednn_cannot_do_is_left_as_it_is():
    conv = torch.nn.Conv3d(2, 3, 3, padding="same")
    x = torch.randn(1, 2, 4, 5, 6)
    plain = torch.nn.Conv3d(2, 3, 3, padding=1)
    plain.load_state_dict(conv.state_dict())
    with SmallMapsByOneDNN(), torch.no_grad():
        assert torch.equal(conv(x), conv(x))
        torch.testing.assert_close(conv(x), plain(x), rtol=1e-5, atol=1e-5)
        assert plain(x[0]).shape == (3, 4, 5, 6)
        assert plain(x[:0]).shape == (0, 3, 4, 5, 6)
        assert plain.double()(x.double()).dtype == torch.float64
    plain.float()
    with SmallMapsByOneDNN():
        plain(x).sum().backward()
    assert plain.weight.grad.abs().sum() > 0


def test_prediction_in_single_precision_computes_small_maps_by_onednn(monkeypatch):
    monkeypatch.setattr("pe_nnunet.precision.cpu_has_bfloat16", lambda: False)
    conv, x = torch.nn.Conv3d(2, 3, 3), torch.randn(1, 2, 4, 5, 6)
    contexts = (autocast_for(CPU), single_precision(), autocast_for(CPU, cpu_bfloat16=False))
    for context in contexts:
        with context, torch.inference_mode():
            assert "aten::slow_conv3d_forward" not in operations(lambda: conv(x))
    with torch.inference_mode():
        assert "aten::slow_conv3d_forward" in operations(lambda: conv(x)), "torch does so itself by now"
