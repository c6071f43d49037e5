"""The network that is asked for by `PE_NNUNET_PLAN`: in the plans, in the memory estimate, or refused."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.planners import PEAANetPlanner, PEAttentionUNetPlanner, PENestedUNetPlanner, PETARUNetPlanner
from pe_nnunet.planners.asked import AskedPlan
from pe_nnunet.planners.memory import saved_bytes, usable_bytes
from pe_nnunet.planners.topology import plan_topology

SHAPE, SPACING_MM = (160, 160, 160), (2.0, 2.0, 2.0)
REGIONS = {"labels": {"background": 0, "artery": [1, 2], "PE": 2}, "regions_class_order": [1, 2]}
LIGHT = "poolings=4 recurrence=0 units=1,2 width=16 first_width=8"


def planned(make_dataset, monkeypatch, text, planner=PETARUNetPlanner):
    monkeypatch.setenv("PE_NNUNET_PLAN", text)
    labels = {"labels": REGIONS} if planner is PEAANetPlanner else {}
    return planner(make_dataset(SHAPE, SPACING_MM, **labels), 2).plan_experiment()


def kwargs_of(plans, configuration="3d_fullres"):
    return plans["configurations"][configuration]["architecture"]["arch_kwargs"]


def test_plans_hold_what_is_asked_for_and_say_so(make_dataset, monkeypatch):
    text = f"{LIGHT} patch=64,64,64 batch=2 attention=no residual=yes"
    plans = planned(make_dataset, monkeypatch, text)
    for configuration in ("2d", "3d_fullres"):
        kwargs = kwargs_of(plans, configuration)
        assert kwargs["features_per_stage"] == [8, 32, 64, 128, 256]
        assert (kwargs["units"], kwargs["recurrence"]) == ([1, 2, 2, 2, 2], [0] * 5)
        assert (kwargs["n_stages"], kwargs["attention"], kwargs["residual"]) == (5, False, True)
    volume = plans["configurations"]["3d_fullres"]
    assert (volume["patch_size"], volume["batch_size"]) == ([64, 64, 64], 2)
    assert plans["pe_nnunet_asked"] == {
        "patch_size_3d": [64, 64, 64], "batch_size_3d": 2, "poolings": 4, "width": 16, "first_width": 8,
        "units": [1, 2], "recurrence": [0], "attention": False, "residual": True,
    }  # fmt: skip


def test_patch_and_batch_follow_the_network_that_is_asked_for(make_dataset, monkeypatch):
    usual = planned(make_dataset, monkeypatch, "")
    assert "pe_nnunet_asked" not in usual
    assert not {"units", "recurrence", "attention", "residual"} & set(kwargs_of(usual))
    usual_3d = usual["configurations"]["3d_fullres"]
    light = planned(make_dataset, monkeypatch, LIGHT)["configurations"]["3d_fullres"]
    assert min(light["patch_size"]) > max(usual_3d["patch_size"])
    assert light["estimated_training_memory_gib"] <= usable_bytes(2) / 2**30
    fixed = planned(make_dataset, monkeypatch, f"{LIGHT} patch=64x64x64")["configurations"]["3d_fullres"]
    assert fixed["batch_size"] > 4
    one_more = fixed["estimated_training_memory_gib"] * (fixed["batch_size"] + 1) / fixed["batch_size"]
    assert fixed["estimated_training_memory_gib"] <= usable_bytes(2) / 2**30 < one_more


def test_other_networks_take_what_they_have(make_dataset, monkeypatch):
    attention = planned(make_dataset, monkeypatch, "units=1,2,3 width=8", PEAttentionUNetPlanner)
    assert kwargs_of(attention)["units"] == [1, 2, 3, 3, 3]
    assert kwargs_of(attention)["features_per_stage"] == [8, 16, 32, 64, 128]
    nested = planned(make_dataset, monkeypatch, "width=8 poolings=3", PENestedUNetPlanner)
    assert kwargs_of(nested)["features_per_stage"] == [8, 16, 32, 64]
    aanet = planned(make_dataset, monkeypatch, "width=32 poolings=3", PEAANetPlanner)
    assert kwargs_of(aanet)["features_per_stage"] == [8, 32, 48, 64]


@pytest.mark.parametrize(
    ("planner", "text", "named"),
    [
        (PETARUNetPlanner, "pooling=4", ["PE-PLN-010", "'pooling'", "did you mean poolings?"]),
        (PETARUNetPlanner, "units=0", ["PE-PLN-010", "units", "1 to 6"]),
        (PETARUNetPlanner, "units=1,2.5", ["PE-PLN-010", "whole numbers"]),
        (PETARUNetPlanner, "poolings=2,3", ["PE-PLN-010", "a whole number"]),
        (PETARUNetPlanner, "attention=maybe", ["PE-PLN-010", "yes or no"]),
        (PETARUNetPlanner, "batch=2 batch_size_3d=2", ["PE-PLN-010", "twice"]),
        (PETARUNetPlanner, "units=1,2,2,2,2", ["PE-PLN-011", "5 values", "4 stages"]),
        (PETARUNetPlanner, "poolings=7", ["PE-PLN-011", "160x160", "allow 5"]),
        (PETARUNetPlanner, "residual=no recurrence=0,1", ["PE-PLN-011", "do not recur"]),
        (PEAANetPlanner, "units=1", ["PE-PLN-011", "AANet has none", "poolings, width"]),
        (PENestedUNetPlanner, "first_width=8", ["PE-PLN-011", "NestedUNet has none"]),
        (PETARUNetPlanner, f"{LIGHT} patch=72,64,64", ["PE-PLN-009", "16x16x16", "64x64x64 or 80x64x64"]),
    ],
)
def test_what_cannot_be_is_refused_by_name(make_dataset, monkeypatch, planner, text, named):
    with pytest.raises(ConfigurationError) as caught:
        planned(make_dataset, monkeypatch, text, planner)
    assert [part for part in named if part not in str(caught.value)] == []


def test_a_toml_file_has_types_of_its_own(make_dataset, monkeypatch, tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text("units = [1, 2]\nattention = false\npoolings = 4\n")
    kwargs = kwargs_of(planned(make_dataset, monkeypatch, str(path)))
    assert (kwargs["units"], kwargs["attention"], kwargs["n_stages"]) == ([1, 2, 2, 2, 2], False, 5)


def kept_under_autocast(network, size):
    """Bytes that autograd keeps, of tensors without values."""
    parameters, kept = {p.untyped_storage()._cdata for p in network.parameters()}, {}

    def keep(tensor):
        kept[tensor.untyped_storage()._cdata] = tensor.untyped_storage()
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with hooks, torch.autocast("cpu", torch.bfloat16):
        outputs = network(torch.empty(1, 1, *size))
    assert outputs
    return sum(storage.nbytes() for address, storage in kept.items() if address not in parameters)


@pytest.mark.parametrize(
    ("planner", "text"),
    [
        (PETARUNetPlanner, "recurrence=0"),
        (PETARUNetPlanner, "recurrence=0,2 units=1,2"),
        (PETARUNetPlanner, LIGHT),
        (PETARUNetPlanner, f"{LIGHT} attention=no"),
        (PETARUNetPlanner, "residual=no"),
        (PETARUNetPlanner, "residual=no attention=no units=1,2 poolings=4"),
        (PEAttentionUNetPlanner, "units=1,2 first_width=8"),
        (PEAttentionUNetPlanner, "residual=yes recurrence=1"),
    ],
)
def test_the_estimate_is_within_a_quarter_of_what_autograd_keeps(planner, text):
    plain = planner.__new__(planner)
    plain.dataset_json = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "PE": 1}}
    plain.asked = AskedPlan.parsed(f"width=16 {text}")
    size = (64,) * 3
    topology = plan_topology((1.0,) * 3, size, plain.asked.poolings or planner.network_class.n_poolings)
    with FakeTensorMode():
        network = plain.build_network(plain.asked_architecture(topology, size)).train()
        assert saved_bytes(network, size, 1) == pytest.approx(kept_under_autocast(network, size), rel=0.25)
