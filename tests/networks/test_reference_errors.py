"""State dicts that do not describe the network: a coded error that names what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.networks import list_networks
from tests.networks.originals import Nested, UShaped, aanet_weights, randomised

AANET_SIZES = {"stem": 4, "widths": (8, 8, 8, 8), "down": (1, 1, 1, 1), "up": (1, 1, 1), "aspp": 4, "head": 4}
ORIGINALS: dict[str, Callable[[], dict[str, Tensor]]] = {
    "TARUNet": lambda: randomised(UShaped(2, 1, 2, (4, 6, 8, 10), r2=True, attention=True)).state_dict(),
    "AttentionUNet": lambda: randomised(UShaped(3, 1, 2, (4, 6, 8), r2=False, attention=True)).state_dict(),
    "R2UNet": lambda: randomised(UShaped(2, 1, 2, (4, 6, 8, 2), r2=True, attention=False)).state_dict(),
    "AttentionR2UNet": lambda: randomised(UShaped(2, 1, 2, (4, 6), r2=True, attention=True)).state_dict(),
    "NestedUNet": lambda: randomised(Nested(2, 1, 2, (4, 6, 8))).state_dict(),
    "AANet": lambda: aanet_weights(**AANET_SIZES),
}
EVERY = 9  # entries are tried in turn at this distance: the first, the last, and enough between


@cache
def weights_of(name: str) -> dict[str, Tensor]:
    return ORIGINALS[name]()


def some(names: list[str]) -> list[str]:
    return sorted({*names[::EVERY], names[-1]})


def refused(name: str, state_dict: Any) -> str:
    with pytest.raises(ConfigurationError, match="PE-NET-001") as error:
        list_networks()[name].from_reference(state_dict)
    message = str(error.value)
    assert "\n" not in message
    return message


def test_every_network_that_takes_other_weights_has_its_original():
    assert set(ORIGINALS) == {name for name, network in list_networks().items() if hasattr(network, "from_reference")}
    for name in ORIGINALS:
        list_networks()[name].from_reference(weights_of(name))


@pytest.mark.parametrize("name", ORIGINALS)
def test_a_missing_entry_is_named(name):
    for entry in some(list(weights_of(name))):
        weights = dict(weights_of(name))
        del weights[entry]
        assert f"missing: {entry}" in refused(name, weights)


@pytest.mark.parametrize("name", ORIGINALS)
def test_a_misshapen_entry_is_named(name):
    for entry in some([entry for entry, value in weights_of(name).items() if value.dim()]):
        weights = dict(weights_of(name))
        weights[entry] = torch.zeros(*(n + 1 for n in weights[entry].shape))
        assert entry in refused(name, weights)


@pytest.mark.parametrize("name", ORIGINALS)
@pytest.mark.parametrize("entry", ["conv9.weight", "epoch", "final.weight.1", "module.x"])
def test_an_extra_entry_is_named(name, entry):
    assert f"unknown: {entry}" in refused(name, {**weights_of(name), entry: torch.zeros(2)})


@pytest.mark.parametrize("name", ORIGINALS)
@pytest.mark.parametrize("value", [None, 3, 0.5, "text", [1.0], np.zeros(3), {"a": torch.zeros(1)}])
def test_what_is_no_tensor_is_named(name, value):
    entry = next(iter(weights_of(name)))
    assert f"no tensors: {entry}" in refused(name, {**weights_of(name), entry: value})
    assert "no tensors: state_dict" in refused(name, {"state_dict": value})


@pytest.mark.parametrize("name", ORIGINALS)
@pytest.mark.parametrize("given", [None, [], torch.zeros(3), "weights.pth", 5])
def test_what_is_no_state_dict_at_all_is_refused(name, given):
    assert type(given).__name__ in refused(name, given)


@pytest.mark.parametrize("name", ORIGINALS)
@pytest.mark.parametrize(
    "other",
    [{}, {"layer.weight": torch.zeros(3, 3)}, {"conv0_0.conv.weight": torch.zeros(())}, {7: torch.zeros(1)}],
)
def test_something_else_altogether_is_refused(name, other):
    refused(name, other)


@pytest.mark.parametrize("name", ORIGINALS)
def test_weights_of_another_network_are_refused(name):
    for other in set(ORIGINALS) - {name}:
        if (name, other) in {("TARUNet", "AttentionUNet"), ("TARUNet", "R2UNet"), ("TARUNet", "AttentionR2UNet")}:
            continue  # TAR-UNet's options make it any of these
        if (name, other) == ("AttentionR2UNet", "TARUNet"):
            continue  # the same blocks, less deep
        refused(name, weights_of(other))


@pytest.mark.parametrize("name", ORIGINALS)
def test_the_prefix_is_taken_off_all_names_or_none(name):
    weights = {f"module.{key}": value for key, value in weights_of(name).items()}
    network = list_networks()[name].from_reference(weights)
    plain = list_networks()[name].from_reference(weights_of(name))
    for key, value in plain.decoder.seg_layers[-1].state_dict().items():
        assert torch.equal(network.decoder.seg_layers[-1].state_dict()[key], value)
    first = next(iter(weights))
    weights[first.removeprefix("module.")] = weights.pop(first)
    assert f"unknown: {first.removeprefix('module.')}" in refused(name, weights)


@pytest.mark.parametrize("name", ORIGINALS)
def test_empty_tensors_are_refused(name):
    refused(name, {entry: value.new_zeros((0,) * value.dim()) for entry, value in weights_of(name).items()})


def test_widths_without_groups_are_refused():
    assert "groups" in refused("AANet", aanet_weights(**{**AANET_SIZES, "head": 9}))
