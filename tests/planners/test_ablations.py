"""Networks without a part of theirs, by what a user writes into the plans."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from pe_nnunet.networks import SegmentationNetwork
from pe_nnunet.registration.names import load_class

REGIONS: dict[str, Any] = {"labels": {"background": 0, "artery": [1, 2], "PE": 2}, "regions_class_order": [1, 2]}
ABLATIONS = [
    ("PETARUNetPlanner", {"attention": False}),
    ("PETARUNetPlanner", {"recurrence": 0}),
    ("PETARUNetPlanner", {"recurrence": 0, "attention": False}),
    ("PETARUNetPlanner", {"residual": False}),
    ("PETARUNetPlanner", {"residual": False, "attention": False}),
    ("PEAttentionUNetPlanner", {"attention": False}),
    ("PEAANetPlanner", {"artery_attention": False}),
]
CASES = [
    (p, options, c) for p, options in ABLATIONS for c in ("2d", "3d_fullres") if (p, c) != ("PEAANetPlanner", "2d")
]


def network_from(plans_file: Path, configuration: str) -> SegmentationNetwork:
    plan = PlansManager(str(plans_file)).get_configuration(configuration)
    torch.manual_seed(0)
    network: SegmentationNetwork = get_network_from_plans(
        plan.network_arch_class_name,
        plan.network_arch_init_kwargs,
        plan.network_arch_init_kwargs_req_import,
        1,
        2,
        deep_supervision=False,
    )
    return network


@pytest.mark.parametrize(("planner", "options", "configuration"), CASES)
def test_an_entry_in_the_plans_takes_a_part_away(make_dataset, tmp_path, planner, options, configuration):
    plans = load_class(planner)(make_dataset((100, 110, 110), (2.5,) * 3, labels=REGIONS), 1).plan_experiment()
    file = tmp_path / "Plans.json"
    file.write_text(json.dumps(plans))
    full = network_from(file, configuration)
    plans["configurations"][configuration]["architecture"]["arch_kwargs"].update(options)
    file.write_text(json.dumps(plans))
    ablated = network_from(file, configuration)

    assert type(ablated) is type(full)
    size = tuple(full.divisor)
    assert ablated.divisor == size
    keys = set(ablated.state_dict())
    if "attention" in options:
        assert any("gates" in key for key in full.state_dict())
        assert not any("gates" in key for key in keys)
    if "recurrence" in options and len(options) == 1:
        assert keys == set(full.state_dict())  # its weights are shared between the steps
    if "residual" in options:
        assert not any(".units." in key for key in keys)
    if options != {"artery_attention": False}:
        assert ablated.compute_conv_feature_map_size(size) < full.compute_conv_feature_map_size(size)

    if "artery_attention" in options:  # the same weights then, and heads that do not begin at zero
        for head in full.decoder.seg_layers:
            torch.nn.init.normal_(head.out.weight)
        ablated.load_state_dict(full.state_dict())
    x = torch.randn(1, 1, *(2 * n for n in size))
    with torch.no_grad():
        ours, theirs = ablated(x), full(x)
    assert ours.shape == theirs.shape == (1, 2, *x.shape[2:])
    assert not torch.allclose(ours[:, 1], theirs[:, 1])
