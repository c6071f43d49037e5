"""Other authors' weights: the same function to 1e-5, whatever the sizes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pe_nnunet.networks import AANet, AttentionR2UNet, AttentionUNet, NestedUNet, R2UNet, TARUNet
from tests.networks.originals import Nested, UShaped, aanet, aanet_weights, randomised

DATA = Path(os.environ.get("PE_NNUNET_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
VECTORS = DATA.parent / "reference"


def load(name: str) -> tuple[dict[str, Tensor], Tensor, dict[str, Tensor]]:
    path = VECTORS / f"{name}_100.npz"
    if not path.is_file():
        pytest.skip(f"no reference vectors at {path}")
    with np.load(path, allow_pickle=False) as arrays:
        tensors = {key: torch.from_numpy(arrays[key]) for key in arrays.files if key != "meta"}
    parameters = {key[6:]: value for key, value in tensors.items() if key.startswith("param/")}
    outputs = {key[7:]: value for key, value in tensors.items() if key.startswith("output/")}
    return parameters, tensors["input"], outputs


def largest_difference(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max())


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


@pytest.mark.parametrize(
    ("vector", "cls"), [("tar_unet", TARUNet), ("attention_unet", AttentionUNet), ("r2_unet", R2UNet)]
)
def test_u_shaped_networks_equal_the_originals(vector, cls):
    parameters, x, outputs = load(vector)
    network = cls.from_reference(parameters)
    assert not network.training
    assert largest_difference(network(x), outputs["logits"]) < 1e-5


def test_nested_unet_equals_the_original_in_all_its_outputs():
    parameters, x, outputs = load("nested_unet")
    network = NestedUNet.from_reference(parameters)
    assert largest_difference(network(x), outputs["logits_3"]) < 1e-5
    network.decoder.deep_supervision = True
    for k, out in enumerate(network(x)):
        assert largest_difference(out, outputs[f"logits_{3 - k}"]) < 1e-5


@pytest.mark.parametrize("prefix", ["", "module.", "module.module."])
def test_aanet_equals_the_original(prefix):
    parameters, x, outputs = load("aanet")
    network = AANet.from_reference({prefix + key: value for key, value in parameters.items()})
    probability = network(x).sigmoid()
    assert largest_difference(probability[:, :1], outputs["artery_probability"]) < 1e-5
    assert largest_difference(probability[:, 1:], outputs["pe_probability"]) < 1e-5


@pytest.mark.parametrize(
    ("vector", "features", "options"),
    [
        ("tar_unet", (8, 12, 16, 20), {"r2": True, "attention": True}),
        ("attention_unet", (8, 12, 16, 20, 24), {"r2": False, "attention": True}),
        ("r2_unet", (8, 12, 16, 20, 24), {"r2": True, "attention": False}),
    ],
)
def test_the_oracle_is_the_original(vector, features, options):
    parameters, x, outputs = load(vector)
    original = UShaped(2, 1, 2, features, **options).eval()
    original.load_state_dict(parameters, strict=True)
    assert largest_difference(original(x), outputs["logits"]) < 1e-5


def test_the_nested_and_the_artery_aware_oracle_are_the_originals():
    parameters, x, outputs = load("nested_unet")
    original = Nested(2, 1, 2, (8, 12, 16, 20, 24)).eval()
    original.load_state_dict(parameters, strict=True)
    assert largest_difference(original(x)[0], outputs["logits_3"]) < 1e-5
    parameters, x, outputs = load("aanet")
    both = torch.cat([outputs["artery_probability"], outputs["pe_probability"]], dim=1)
    assert largest_difference(aanet(parameters, x, (2, 3, 3, 3), (1, 2, 2)), both) < 1e-4  # variance by another formula


U_SHAPED: list[tuple[Any, tuple[int, ...], dict[str, Any]]] = [
    (TARUNet, (6, 10, 4, 14), {"r2": True, "attention": True}),
    (TARUNet, (6, 10, 4, 14), {"r2": True, "attention": False}),
    (TARUNet, (6, 10, 4, 14), {"r2": False, "attention": True}),
    (TARUNet, (24, 3, 8), {"r2": False, "attention": False}),
    (TARUNet, (5, 7), {"r2": True, "attention": True, "kernel": 5}),
    (AttentionUNet, (4, 8, 16, 9, 2), {"r2": False, "attention": True}),
    (AttentionUNet, (3, 3, 3), {"r2": False, "attention": True, "kernel": 1}),
    (R2UNet, (12, 8, 16, 10, 6), {"r2": True, "attention": False}),
    (AttentionR2UNet, (2, 8, 16, 4, 6), {"r2": True, "attention": True}),
]


# in double precision: a difference is then one of the function, not of rounding
@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize(("cls", "features", "options"), U_SHAPED)
def test_u_shaped_networks_of_other_sizes_equal_the_originals(cls, features, options, d):
    original = randomised(UShaped(d, 3, 5, features, **options))
    network = cls.from_reference(original.state_dict()).double()
    divisor = 2 ** (len(features) - 1)
    x = torch.randn(2, 3, 2 * divisor, *[divisor] * (d - 1), dtype=torch.float64)
    torch.testing.assert_close(network(x), original.double()(x), atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize(
    ("d", "features", "kernel"), [(2, (6, 4, 10, 8), 3), (3, (2, 3, 4), 3), (2, (4, 2), 5), (2, (3, 4, 5, 4, 3), 3)]
)
def test_nested_unet_of_other_sizes_equals_the_original(d, features, kernel):
    original = randomised(Nested(d, 2, 3, features, kernel))
    network = NestedUNet.from_reference(original.state_dict()).double()
    network.decoder.deep_supervision = True
    divisor = 2 ** (len(features) - 1)
    x = torch.randn(2, 2, 2 * divisor, *[divisor] * (d - 1), dtype=torch.float64)
    for ours, theirs in zip(network(x), original.double()(x), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize(
    "sizes",
    [
        {"stem": 8, "widths": (12, 8, 16, 24), "down": (1, 2, 1, 3), "up": (2, 1, 1), "aspp": 4, "head": 8},
        {"stem": 4, "widths": (8, 8, 8, 8), "down": (2, 1, 1, 1), "up": (1, 2, 3), "aspp": 8, "head": 16},
        {"stem": 6, "widths": (5, 10, 15, 8), "down": (1, 1, 1, 1), "up": (1, 1, 1), "aspp": 6, "head": 7},
        {"stem": 4, "widths": (4, 4, 4, 4), "down": (1, 1, 1, 1), "up": (1, 1, 1), "aspp": 4, "head": 4, "channels": 3},
        {"stem": 4, "widths": (4, 4, 4, 4), "down": (1, 1, 1, 1), "up": (1, 1, 1), "aspp": 4, "head": 4, "kernel": 1},
    ],
)
def test_aanet_of_other_sizes_equals_the_original(sizes):
    weights = aanet_weights(**sizes)
    network = AANet.from_reference(weights).double()
    x = torch.randn(1, sizes.get("channels", 1), 16, 16, 32, dtype=torch.float64)
    double = {name: value.double() for name, value in weights.items()}
    expected = aanet(double, x, sizes["down"], sizes["up"])
    torch.testing.assert_close(network(x).sigmoid(), expected, atol=1e-9, rtol=1e-9)


def test_weights_of_half_precision_become_single_precision():
    original = randomised(UShaped(2, 1, 2, (4, 6), r2=True, attention=True)).half()
    network = TARUNet.from_reference(original.state_dict())
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    assert torch.equal(network.encoder.stages[0].project.weight.half(), original.conv0_0.conv.weight)


def test_loaded_weights_are_copies():
    original = randomised(UShaped(2, 1, 2, (4, 6), r2=True, attention=True)).eval()
    network = TARUNet.from_reference(original.state_dict())
    before = original.final.weight.clone()
    for p in network.parameters():
        p.zero_()
    assert torch.equal(original.final.weight, before)
