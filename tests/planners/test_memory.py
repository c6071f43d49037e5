"""The memory estimate against what autograd keeps, for every network."""

from __future__ import annotations

from math import prod
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pe_nnunet.networks import SegmentationNetwork
from pe_nnunet.planners.memory import candidate_patches, largest_batch, largest_patch, saved_bytes, width_for
from pe_nnunet.planners.topology import Topology, plan_topology
from pe_nnunet.registration.names import PLANNERS, load_class

CASES = [(name, d) for name in PLANNERS for d in load_class(name).network_class.dimensions]


def kept_by_autograd(network: SegmentationNetwork, x: Tensor) -> int:
    parameters = {p.untyped_storage().data_ptr() for p in network.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor  # held, so that no other takes its address
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t), torch.autocast("cpu", torch.bfloat16):
        outputs = network(x)
    assert outputs
    return sum(t.untyped_storage().nbytes() for address, t in kept.items() if address not in parameters)


def divisor_of(topology: Topology) -> tuple[int, ...]:
    """What the sides of a patch have to be divisible by."""
    return tuple(prod(steps) for steps in zip(*topology.strides, strict=True))


def build(name: str, topology: Topology, width: int) -> SegmentationNetwork:
    planner: Any = load_class(name).__new__(load_class(name))
    planner.dataset_json = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "artery": [1, 2], "PE": 2},
        "regions_class_order": [1, 2],
    }
    network: SegmentationNetwork = planner.build_network(planner.architecture(topology, width))
    return network.train()


@pytest.mark.parametrize(("width_share", "batch"), [(4, 2), (2, 1)])
@pytest.mark.parametrize(("name", "dimensions"), CASES)
def test_the_estimate_is_within_a_quarter_of_what_autograd_keeps(name, dimensions, width_share, batch):
    torch.set_num_threads(1)
    size = {2: (96, 64), 3: (32, 32, 32)}[dimensions]
    planner = load_class(name)
    topology = plan_topology((1.0,) * dimensions, (128,) * dimensions, planner.network_class.n_poolings)
    size = tuple(-(-n // d) * d for n, d in zip(size, divisor_of(topology), strict=True))
    network = build(name, topology, planner.network_class.max_width // width_share)
    estimated, kept = saved_bytes(network, size, batch), kept_by_autograd(network, torch.randn(batch, 1, *size))
    assert estimated == pytest.approx(kept, rel=0.25)


@pytest.mark.parametrize("name", [name for name, d in CASES if d == 3])
def test_the_estimate_holds_for_anisotropic_topologies(name):
    topology = plan_topology((4.0, 1.0, 1.0), (32, 128, 128), load_class(name).network_class.n_poolings)
    network = build(name, topology, 8)
    size = tuple(max(d, n) for d, n in zip(network.divisor, (8, 48, 64), strict=True))
    assert saved_bytes(network, size, 1) == pytest.approx(kept_by_autograd(network, torch.randn(1, 1, *size)), rel=0.25)


@given(st.floats(0.05, 100), st.floats(0.05, 100))
def test_width_grows_with_memory_within_its_limits(a, b):
    low, high = sorted((a, b))
    assert 8 <= width_for(low, 32) <= width_for(high, 32) <= 32
    assert width_for(high, 32) % 4 == 0


spacings = st.tuples(*[st.floats(0.4, 6.0)] * 3)
sizes = st.tuples(*[st.integers(1, 600)] * 3)


@settings(deadline=None)
@given(spacings, sizes, st.integers(0, 5))
def test_a_topology_pools_no_axis_below_four_voxels_and_no_coarse_axis_first(spacing, size, n_poolings):
    topology = plan_topology(spacing, size, n_poolings)
    assert len(topology.strides) == len(topology.kernel_sizes) <= n_poolings + 1
    for axis, divisor in enumerate(divisor_of(topology)):
        assert divisor == 1 or size[axis] // divisor >= 4
    current = list(spacing)
    for stride in topology.strides[1:]:
        assert 2 in stride
        pooled = [current[a] for a in range(3) if stride[a] == 2]
        assert max(pooled) < 2 * min(pooled)
        current = [c * s for c, s in zip(current, stride, strict=True)]


@settings(deadline=None)
@given(spacings, sizes)
def test_candidate_patches_are_divisible_grow_and_stay_inside_the_image(spacing, size):
    divisor = divisor_of(plan_topology(spacing, size, 3))
    patches = candidate_patches(spacing, size, divisor)
    assert [prod(p) for p in patches] == sorted(prod(p) for p in patches)
    for patch in patches:
        assert all(n % d == 0 and 0 < n < m + d for n, d, m in zip(patch, divisor, size, strict=True))
    # the largest covers the image
    assert all(n >= m for n, m in zip(patches[-1], size, strict=True))


def test_search_finds_the_last_that_fits():
    patches = [(8 * n,) for n in range(1, 50)]
    for limit in range(0, 420, 7):
        best = largest_patch(patches, lambda p, limit=limit: p[0] <= limit)
        assert best == (None if limit < 8 else min(limit // 8, 49) - 1)


def test_batches_hold_two_patches_but_no_more_than_a_twentieth_of_the_data():
    assert largest_batch((10, 10), 100, lambda n: True) == 2
    assert largest_batch((10, 10), 20_000, lambda n: True) == 10
    assert largest_batch((10, 10), 20_000, lambda n: n <= 7) == 7
