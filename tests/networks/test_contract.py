"""What nnU-Net asks of a network, asked of each in the registry."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from torch import Tensor, nn

from pe_nnunet.networks import SegmentationNetwork, list_networks


def as_list(outputs: Tensor | list[Tensor]) -> list[Tensor]:
    return outputs if isinstance(outputs, list) else [outputs]


def count_by_hooks(network: nn.Module, x: Tensor) -> int:
    count = 0

    def add(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        nonlocal count
        count += output[0].numel()

    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose3d):
            module.register_forward_hook(add)
    network(x)
    return count


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("factors", [(1, 1, 1), (1, 2, 3), (3, 1, 2)])
def test_any_size_that_the_strides_divide_is_taken(name, dimensions, build, n, factors):
    depth = {} if set(factors) == {1} else {"n_stages": 3}  # on its smallest patch each has all its stages
    network = build(name, dimensions, deep_supervision=True, **depth).double()
    size = tuple(d * f for d, f in zip(network.divisor, factors, strict=False))
    x = torch.randn(n, 1, *size, dtype=torch.float64)
    first = network(x)[0]
    assert first.shape == (n, 2, *size)
    network.decoder.deep_supervision = False
    with torch.no_grad():
        torch.testing.assert_close(network(x[:1]), first[:1], atol=1e-9, rtol=1e-9)  # samples do not mix


def test_deep_supervision_returns_its_scales_and_keeps_the_keys(name, dimensions, build):
    with_it, without = build(name, dimensions, deep_supervision=True), build(name, dimensions)
    assert with_it.state_dict().keys() == without.state_dict().keys()
    without.load_state_dict(with_it.state_dict(), strict=True)
    size = tuple(2 * d for d in with_it.divisor)
    x = torch.randn(1, 1, *size)
    with torch.no_grad():
        outputs, single = with_it(x), without(x)
    expected = [
        tuple(round(n * s) for n, s in zip(size, scale, strict=True)) for scale in with_it.deep_supervision_scales
    ]
    assert [tuple(out.shape[2:]) for out in outputs] == expected
    torch.testing.assert_close(outputs[0], single)
    with_it.decoder.deep_supervision = False
    with torch.no_grad():
        assert torch.equal(with_it(x), outputs[0])


def test_heads_alone_change_with_the_number_of_classes(name, dimensions, build):
    if name == "AANet":
        pytest.skip("two classes always")
    two, five = build(name, dimensions).state_dict(), build(name, dimensions, num_classes=5).state_dict()
    other = {key for key in two if two[key].shape != five[key].shape}
    # what nnU-Net's -pretrained_weights leaves out
    assert other == {key for key in two if key.startswith("decoder.seg_layers.")}


def test_survives_pickling(name, dimensions, build):
    network = build(name, dimensions).eval()
    copy = pickle.loads(pickle.dumps(network))  # noqa: S301 our own bytes
    x = torch.randn(1, 1, *network.divisor)
    with torch.no_grad():
        assert torch.equal(copy(x), network(x))


def test_gradients_reach_every_parameter(name, dimensions, build):
    network = build(name, dimensions, deep_supervision=True)
    if name == "AANet":  # its heads' last weights begin at zero, which stops what comes before
        for head in network.decoder.seg_layers:
            nn.init.normal_(head.out.weight)
    outputs = network(torch.randn(2, 1, *(2 * d for d in network.divisor)))
    sum(out.square().mean() for out in as_list(outputs)).backward()
    without = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == []


def test_anisotropic_strides_and_kernels(name, dimensions, build):
    strides = [(1, 1, 1), (1, 2, 2), (2, 2, 2), (1, 2, 2), (2, 2, 2)]
    kernels = [(1, 3, 3), (1, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)]
    n_stages = list_networks()[name].n_poolings + 1
    options = {
        "n_stages": n_stages,
        "strides": [s[3 - dimensions :] if dimensions == 3 else (s[0], s[2]) for s in strides[:n_stages]],
        "kernel_sizes": [k[:dimensions] for k in kernels[:n_stages]],
    }
    network = build(name, dimensions, deep_supervision=True, **options)
    assert network.divisor[0] < network.divisor[-1]
    size = tuple(2 * d for d in network.divisor)
    x = torch.randn(1, 1, *size)
    outputs = network(x)
    assert outputs[0].shape[2:] == size
    assert network.compute_conv_feature_map_size(size) == count_by_hooks(network, x)


@pytest.mark.parametrize("deep_supervision", [False, True])
def test_feature_count_is_what_hooks_count(name, dimensions, build, deep_supervision):
    network = build(name, dimensions, deep_supervision=deep_supervision)
    size = tuple(2 * d for d in network.divisor)
    assert network.compute_conv_feature_map_size(size) == count_by_hooks(network, torch.randn(1, 1, *size))


@pytest.mark.parametrize("change", [1, -1])
def test_an_indivisible_side_is_named_with_the_divisor(name, dimensions, build, change):
    network = build(name, dimensions)
    for axis in range(dimensions):
        size = tuple(d + change * (a == axis) for a, d in enumerate(network.divisor))
        with pytest.raises(ValueError, match="not divisible") as error:
            network(torch.zeros(1, 1, *size))
        assert str(size) in str(error.value)
        assert str(network.divisor) in str(error.value)
        with pytest.raises(ValueError, match="not divisible"):
            network.compute_conv_feature_map_size(size)


def test_a_wrong_number_of_axes_or_no_voxels_are_named(name, dimensions, build):
    network = build(name, dimensions)
    for size in (network.divisor[1:], (16, *network.divisor)):
        with pytest.raises(ValueError, match=rf"{dimensions} spatial axes") as error:
            network(torch.zeros(1, 1, *size))
        assert str(size) in str(error.value)
    with pytest.raises(ValueError, match="not divisible"):
        network(torch.zeros(1, 1, 0, *network.divisor[1:]))


def stock_kwargs(dimensions: int) -> dict[str, Any]:
    return {
        "n_stages": 4,
        "features_per_stage": [8, 16, 32, 64],
        "conv_op": f"torch.nn.modules.conv.Conv{dimensions}d",
        "kernel_sizes": [[3] * dimensions] * 4,
        "strides": [[1] * dimensions, [1, *[2] * (dimensions - 1)], [2] * dimensions, [2] * dimensions],
        "n_conv_per_stage": [2, 2, 2, 2],
        "n_conv_per_stage_decoder": [2, 2, 2],
        "n_blocks_per_stage": [1, 3, 4, 6],
        "conv_bias": True,
        "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{dimensions}d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }


def test_takes_all_stages_of_a_stock_plan(name, dimensions):
    cls = list_networks()[name]
    kwargs = cls.kwargs_from_plans(stock_kwargs(dimensions))
    named = [key for key in ("conv_op", "norm_op", "nonlin") if key in kwargs]
    network = get_network_from_plans(f"{cls.__module__}.{name}", kwargs, named, 1, 2, deep_supervision=True)
    assert isinstance(network, cls)
    assert isinstance(network, SegmentationNetwork)
    assert network.divisor == (4, 8, 8)[:dimensions]
    assert cls.kwargs_from_plans(kwargs) == kwargs


@pytest.mark.parametrize(
    "options",
    [
        {"attention": False},
        {"recurrence": 0},
        {"recurrence": 0, "attention": False},
        {"residual": False},
        {"residual": False, "attention": False},
    ],
)
def test_tar_unet_ablations(build, options):
    full, reduced = build("TARUNet", 3), build("TARUNet", 3, **options)
    size = full.divisor
    assert reduced.compute_conv_feature_map_size(size) < full.compute_conv_feature_map_size(size)
    assert reduced(torch.randn(1, 1, *size)).shape == (1, 2, *size)
    assert any("gates" in key for key in reduced.state_dict()) == options.get("attention", True)


def test_recurrence_shares_weights_and_changes_the_result(build):
    once, thrice = build("TARUNet", 2, recurrence=0), build("TARUNet", 2)
    once.load_state_dict(thrice.state_dict())
    x = torch.randn(1, 1, 16, 16)
    assert not torch.allclose(once(x), thrice(x))


def test_aanet_without_artery_attention_differs_in_the_embolus_alone(build):
    network, ablated = build("AANet", 3), build("AANet", 3, artery_attention=False)
    for head in network.decoder.seg_layers:
        nn.init.normal_(head.out.weight)
    ablated.load_state_dict(network.state_dict())
    x = torch.randn(1, 1, 32, 32, 32)
    with torch.no_grad():
        ours, theirs = network(x), ablated(x)
    assert torch.equal(ours[:, 0], theirs[:, 0])
    assert not torch.allclose(ours[:, 1], theirs[:, 1])


def test_aanet_begins_at_its_prior(build):
    network = build("AANet", 3)
    with torch.no_grad():
        probability = network(torch.randn(1, 1, 16, 16, 16)).sigmoid()
    torch.testing.assert_close(probability, torch.full_like(probability, 0.01))


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("TARUNet", {"n_stages": 1}, "two stages"),
        ("TARUNet", {"recurrence": 1, "residual": False}, "recur"),
        ("TARUNet", {"features_per_stage": [4, 8]}, "features_per_stage"),
        ("TARUNet", {"kernel_sizes": 2}, "odd"),
        ("TARUNet", {"strides": [2, 2, 2, 2]}, "full resolution"),
        ("TARUNet", {"conv_op": nn.Conv1d}, "Conv2d"),
        ("NestedUNet", {"n_heads": 5}, "heads"),
        ("AANet", {"conv_op": nn.Conv2d}, "3D"),
        ("AANet", {"n_stages": 2}, "three stages"),
        ("AANet", {"encoder_blocks": [1]}, "encoder_blocks"),
        ("AANet", {"aspp_features": 9}, "groups"),
        ("AANet", {"head_features": 3}, "groups"),
    ],
)
def test_contradictory_sizes_are_refused(build, name, wrong, message):
    with pytest.raises(ValueError, match=message):
        build(name, 3, **wrong)


def test_aanet_has_two_heads():
    with pytest.raises(ValueError, match="two heads"):
        list_networks()["AANet"](1, 3)
