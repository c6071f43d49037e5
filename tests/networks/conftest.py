"""Every network of the registry, small, in each dimension that it exists in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from pe_nnunet.networks import SegmentationNetwork, list_networks

CASES = [(name, d) for name, network in list_networks().items() for d in network.dimensions]

Build = Callable[..., SegmentationNetwork]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if {"name", "dimensions"} <= set(metafunc.fixturenames):
        metafunc.parametrize(("name", "dimensions"), CASES, ids=[f"{name}-{d}d" for name, d in CASES])


def _build(name: str, dimensions: int, *, width: int = 4, num_classes: int = 2, **kwargs: Any) -> SegmentationNetwork:
    n_stages = kwargs.pop("n_stages", list_networks()[name].n_poolings + 1)
    torch.manual_seed(0)
    if name == "AANet":
        sizes: dict[str, Any] = {
            "features_per_stage": [width] + [2 * width + 4 * i for i in range(n_stages - 1)],
            "aspp_features": width,
            "head_features": width,
        }
    else:
        sizes = {
            "features_per_stage": [width * (i + 1) for i in range(n_stages)],
            "conv_op": {2: nn.Conv2d, 3: nn.Conv3d}[dimensions],
            "norm_op": {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}[dimensions],
            "norm_op_kwargs": {"eps": 1e-5, "affine": True},
            "nonlin": nn.LeakyReLU,
            "nonlin_kwargs": {"inplace": True},
        }
    network = list_networks()[name](1, num_classes, **{"n_stages": n_stages, **sizes, **kwargs})
    network.apply(network.initialize)
    return network


@pytest.fixture
def build() -> Build:
    """Makes a network from its name and number of dimensions."""
    return _build


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)  # these networks are so small that threads would only wait for each other
