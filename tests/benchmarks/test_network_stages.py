"""The ledger of a step by resolution: complete, and at the right stage."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.benchmarks.scripts import FOLDER, load_script


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    module = load_script("network_stages.py")
    monkeypatch.setattr(module, "EDGE", 16)
    monkeypatch.setattr(module, "WIDTH", 8)
    return module


@pytest.mark.parametrize("name", ["and units=1,2", "nnU-Net's plain U-Net", "nnU-Net's ResEnc-M"])
def test_all_arithmetic_is_booked_at_the_edge_of_its_maps(script: ModuleType, name: str) -> None:
    torch.set_num_threads(1)
    ours = name in script.OURS
    network = script.our_network(*script.OURS[name]) if ours else script.their_network(script.THEIRS[name])
    found = script.measured(network, 1)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network.eval()(torch.zeros(script.PATCHES, 1, 16, 16, 16))
    assert sum(found["flop"].values()) == counter.get_total_flops()
    edges = {"16", "8", "4"} if ours else {"16", "8", "4", "2", "1"}  # ours leaves four voxels along each axis
    for measure in ("flop", "bytes", "seconds"):
        assert set(found[measure]) == edges
        assert min(found[measure].values()) >= 0
    (head, *rest) = script.table({name: found}, "here")[2:]
    assert head.startswith("| network | of one step | 16^3 |")
    assert len(rest) == 4
