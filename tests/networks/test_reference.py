"""Other authors' weights: the same function to 1e-5, any sizes, and errors that name the entry."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.networks import AANet, AttentionR2UNet, AttentionUNet, NestedUNet, R2UNet, TARUNet

DATA = Path(os.environ.get("PE_NNUNET_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
VECTORS = DATA.parent / "reference"
Shapes = dict[str, tuple[int, ...]]


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


@pytest.mark.parametrize(
    ("vector", "cls"), [("tar_unet", TARUNet), ("attention_unet", AttentionUNet), ("r2_unet", R2UNet)]
)
def test_u_shaped_networks_equal_the_originals(vector, cls):
    parameters, x, outputs = load(vector)
    network = cls.from_reference(parameters)
    assert not network.training
    with torch.no_grad():
        assert largest_difference(network(x), outputs["logits"]) < 1e-5


def test_nested_unet_equals_the_original_in_all_its_outputs():
    parameters, x, outputs = load("nested_unet")
    network = NestedUNet.from_reference(parameters)
    with torch.no_grad():
        assert largest_difference(network(x), outputs["logits_3"]) < 1e-5
        network.decoder.deep_supervision = True
        for k, out in enumerate(network(x)):
            assert largest_difference(out, outputs[f"logits_{3 - k}"]) < 1e-5


@pytest.mark.parametrize("prefix", ["", "module."])
def test_aanet_equals_the_original(prefix):
    parameters, x, outputs = load("aanet")
    network = AANet.from_reference({prefix + key: value for key, value in parameters.items()})
    with torch.no_grad():
        probability = network(x).sigmoid()
    assert largest_difference(probability[:, :1], outputs["artery_probability"]) < 1e-5
    assert largest_difference(probability[:, 1:], outputs["pe_probability"]) < 1e-5


def norm_shapes(prefix: str, channels: int) -> Shapes:
    names = ("weight", "bias", "running_mean", "running_var")
    return {**{f"{prefix}.{name}": (channels,) for name in names}, f"{prefix}.num_batches_tracked": ()}


def conv_shapes(prefix: str, out: int, inn: int, kernel: tuple[int, ...], *, bias: bool = True) -> Shapes:
    return {f"{prefix}.weight": (out, inn, *kernel), **({f"{prefix}.bias": (out,)} if bias else {})}


def block_shapes(name: str, out: int, inn: int, *, r2: bool, axes: int) -> Shapes:
    one, three = (1,) * axes, (3,) * axes
    shapes = conv_shapes(f"{name}.conv", out, inn, one) if r2 else {}
    for i in range(2):
        unit = f"{name}.r2_block.{i}.block.block" if r2 else f"{name}.block.{i}.block"
        shapes |= conv_shapes(f"{unit}.0", out, out if r2 or i else inn, three) | norm_shapes(f"{unit}.1", out)
    return shapes


def u_shapes(features: tuple[int, ...], *, r2: bool, attention: bool, axes: int, channels: int, classes: int) -> Shapes:
    shapes: Shapes = {}
    for i, width in enumerate(features):
        shapes |= block_shapes(f"conv{i}_0", width, features[i - 1] if i else channels, r2=r2, axes=axes)
    for i, width in enumerate(features[:-1]):
        shapes |= block_shapes(f"conv{i}_{4 - i}", width, width + features[i + 1], r2=r2, axes=axes)
        if attention:
            gate, half, one = f"attention{i}_{4 - i}", width // 2, (1,) * axes
            shapes |= conv_shapes(f"{gate}.x_conv", half, width, (2,) * axes, bias=False)
            shapes |= conv_shapes(f"{gate}.gate_conv", half, features[i + 1], one)
            shapes |= conv_shapes(f"{gate}.psi", 1, half, one)
            shapes |= conv_shapes(f"{gate}.end_transform.0", width, width, one)
            shapes |= norm_shapes(f"{gate}.end_transform.1", width)
    return shapes | conv_shapes("final", classes, features[0], (1,) * axes)


def nested_shapes(features: tuple[int, ...], *, channels: int, classes: int) -> Shapes:
    shapes: Shapes = {}
    for j in range(len(features)):
        for i in range(len(features) - j):
            inn = j * features[i] + features[i + 1] if j else (features[i - 1] if i else channels)
            shapes |= block_shapes(f"conv{i}_{j}", features[i], inn, r2=False, axes=2)
    for k in range(1, len(features)):
        shapes |= conv_shapes(f"final{k}", classes, features[0], (1, 1))
    return shapes


def aanet_shapes(
    *, stem: int, widths: tuple[int, ...], down: tuple[int, ...], up: tuple[int, ...], aspp: int
) -> Shapes:
    def unit(name: str, out: int, inn: int, edge: int) -> Shapes:
        return {
            f"{name}.conv.weight": (out, inn, *[edge] * 3),
            f"{name}.norm.weight": (out,),
            f"{name}.norm.bias": (out,),
        }

    def rising(name: str, out: int, inn: int) -> Shapes:
        return {f"{name}.conv.weight": (inn, out, 2, 2, 2), f"{name}.norm.weight": (out,), f"{name}.norm.bias": (out,)}

    def blocks(name: str, out: int, inn: int, n: int) -> Shapes:
        shapes: Shapes = {}
        for k in range(n):
            first = inn if k == 0 else out
            shapes |= unit(f"{name}.conv.{k}.conv1", out, first, 3) | unit(f"{name}.conv.{k}.conv2", out, out, 3)
            if first != out:
                shapes |= unit(f"{name}.conv.{k}.res", out, first, 1)
        return shapes

    shapes = unit("in_conv", stem, 1, 3) | unit("in_dw", widths[0], stem, 3)
    for i, width in enumerate(widths, start=1):
        shapes |= blocks(f"block{i}", width, width, down[i - 1])
        if i < 4:
            shapes |= unit(f"block{i}_dw", widths[i], width, 2) | rising(f"block{i}{i}_up", width, widths[i])
            shapes |= blocks(f"block{i}{i}_res", width, width, 1) | blocks(f"block{i}{i}", width, 2 * width, up[i - 1])
        if i > 1:
            shapes |= unit(f"block{i}{i}_aspp.conv", aspp, width, 1)
    for k in range(5):
        shapes |= unit(f"aspp.aspp{k}", aspp, widths[0] + 3 * aspp, 3 if k else 1)
    shapes |= unit("aspp.transition", aspp, 5 * aspp, 1)
    for head in ("seghead", "segheadv"):
        shapes |= rising(f"{head}.up_conv", 16, aspp) | conv_shapes(f"{head}.seg_output", 1, 16, (3, 3, 3))
    return shapes


def random_weights(shapes: Shapes) -> dict[str, Tensor]:
    torch.manual_seed(0)
    return {name: torch.tensor(7) if shape == () else torch.rand(shape) + 0.1 for name, shape in shapes.items()}


U_SHAPED: list[tuple[Any, dict[str, Any]]] = [
    (TARUNet, {"features": (6, 10, 4, 14), "r2": True, "attention": True}),
    (TARUNet, {"features": (6, 10, 4, 14), "r2": True, "attention": False}),
    (TARUNet, {"features": (6, 10, 4, 14), "r2": False, "attention": True}),
    (TARUNet, {"features": (64, 32, 8), "r2": False, "attention": False}),
    (AttentionUNet, {"features": (4, 8, 16, 32, 64), "r2": False, "attention": True}),
    (R2UNet, {"features": (12, 8, 16, 10, 6), "r2": True, "attention": False}),
    (AttentionR2UNet, {"features": (2, 8, 16, 4, 6), "r2": True, "attention": True}),
]


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize(("cls", "sizes"), U_SHAPED)
def test_any_sizes_and_options_are_read_off_the_shapes(cls, sizes, axes):
    weights = random_weights(u_shapes(**sizes, axes=axes, channels=3, classes=5))
    network = cls.from_reference(weights)
    with torch.no_grad():
        assert network(torch.randn(1, 3, *[16] * axes)).shape == (1, 5, *[16] * axes)
    own = network.state_dict()
    assert torch.equal(
        own["encoder.stages.0.project.weight" if sizes["r2"] else "encoder.stages.0.first.conv.weight"],
        weights["conv0_0.conv.weight" if sizes["r2"] else "conv0_0.block.0.block.0.weight"],
    )


def test_nested_unet_of_other_sizes():
    network = NestedUNet.from_reference(random_weights(nested_shapes((6, 4, 10, 8), channels=2, classes=3)))
    assert network(torch.randn(1, 2, 16, 16)).shape == (1, 3, 16, 16)


@pytest.mark.parametrize(
    "sizes",
    [
        {"stem": 8, "widths": (12, 8, 16, 24), "down": (1, 2, 1, 3), "up": (2, 1, 1), "aspp": 4},
        {"stem": 4, "widths": (8, 8, 8, 8), "down": (2, 1, 1, 1), "up": (1, 2, 3), "aspp": 8},
    ],
)
def test_aanet_of_other_sizes(sizes):
    network = AANet.from_reference(random_weights(aanet_shapes(**sizes)))
    assert network(torch.randn(1, 1, 16, 16, 32)).shape == (1, 2, 16, 16, 32)


FAMILIES: list[tuple[Any, Shapes, str]] = [
    (
        TARUNet,
        u_shapes((4, 6, 8, 10), r2=True, attention=True, axes=2, channels=1, classes=2),
        "attention1_3.psi.weight",
    ),
    (
        R2UNet,
        u_shapes((4, 6, 8, 10, 2), r2=True, attention=False, axes=2, channels=1, classes=2),
        "conv0_4.conv.weight",
    ),
    (
        AttentionUNet,
        u_shapes((4, 6, 8), r2=False, attention=True, axes=2, channels=1, classes=2),
        "conv1_0.block.1.block.0.bias",
    ),
    (NestedUNet, nested_shapes((4, 6, 8), channels=1, classes=2), "conv0_1.block.0.block.1.running_var"),
    (
        AANet,
        aanet_shapes(stem=4, widths=(8, 8, 8, 8), down=(1, 1, 1, 1), up=(1, 1, 1), aspp=4),
        "block22.conv.0.conv1.conv.weight",
    ),
]


@pytest.mark.parametrize("damage", ["missing", "extra", "misshapen"])
@pytest.mark.parametrize(("cls", "shapes", "entry"), FAMILIES, ids=[family[0].__name__ for family in FAMILIES])
def test_a_damaged_entry_is_named(cls, shapes, entry, damage):
    weights = random_weights(shapes)
    cls.from_reference(weights)
    if damage == "missing":
        del weights[entry]
    elif damage == "extra":
        entry = "conv9.weight"
        weights[entry] = torch.zeros(2)
    else:
        weights[entry] = torch.zeros(*(n + 1 for n in weights[entry].shape))
    with pytest.raises(ConfigurationError, match="PE-NET-001") as error:
        cls.from_reference(weights)
    assert entry in str(error.value)


@pytest.mark.parametrize("cls", [TARUNet, AttentionUNet, NestedUNet, R2UNet, AANet])
def test_something_else_altogether_is_refused(cls):
    with pytest.raises(ConfigurationError, match="PE-NET-001"):
        cls.from_reference({"layer.weight": torch.zeros(3, 3)})
    with pytest.raises(ConfigurationError, match="PE-NET-001"):
        cls.from_reference({})


def test_the_first_entry_is_named_too():
    weights = random_weights(u_shapes((4, 6, 8, 10), r2=True, attention=True, axes=2, channels=1, classes=2))
    del weights["conv0_0.conv.weight"]
    with pytest.raises(ConfigurationError, match=r"missing: conv0_0\.conv\.weight\)"):
        TARUNet.from_reference(weights)
