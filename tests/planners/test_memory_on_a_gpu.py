"""The memory target against what a training step takes of a GPU, for every planner."""

from __future__ import annotations

import json

import pytest
import torch

from pe_nnunet.registration.names import PLANNERS, load_class

GIB = 2**30
TARGET_GIB = 8.0
ARTERY_PE = {"labels": {"background": 0, "artery": [1, 2], "PE": 2}, "regions_class_order": [1, 2]}

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")


def peak_gib(network, shape):
    """Of two steps, the second of which has the optimizer's state; fp16 with scaled gradients, as nnU-Net trains."""
    network = network.cuda().train()
    optimizer, scaler = torch.optim.AdamW(network.parameters()), torch.amp.GradScaler("cuda")
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    for _ in range(2):
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda"):
            outputs = network(torch.randn(shape, device="cuda"))
        outputs = outputs if isinstance(outputs, list | tuple) else [outputs]
        scaler.scale(sum(output.float().pow(2).mean() for output in outputs)).backward()
        scaler.step(optimizer)
        scaler.update()
    return torch.cuda.max_memory_allocated() / GIB


@pytest.mark.parametrize("configuration", ["2d", "3d_fullres"])
@pytest.mark.parametrize("name", list(PLANNERS))
def test_a_training_step_keeps_to_the_memory_target(make_dataset, name, configuration, record_property):
    planner_class = load_class(name)
    if int(configuration[0]) not in planner_class.network_class.dimensions:
        pytest.skip("has no such configuration")
    dataset = make_dataset((260, 250, 330), (1.0, 0.75, 0.75), labels=ARTERY_PE)
    planner = planner_class(dataset, gpu_memory_target_in_gb=TARGET_GIB)
    plans = json.loads(json.dumps(planner.plan_experiment(), default=str))
    plan = plans["configurations"][configuration]
    dimensions = int(configuration[0])
    network = planner.build_network(planner.plans["configurations"][configuration]["architecture"])
    peak = peak_gib(network, (plan["batch_size"], 1, *plan["patch_size"]))
    print(
        f"{name} {configuration}: {plan['batch_size']} x {plan['patch_size']}, estimate "
        f"{plan['estimated_training_memory_gib']} GiB, measured {peak:.2f} GiB"
    )
    assert dimensions == len(plan["patch_size"])
    assert peak < TARGET_GIB
    assert peak > 0.4 * plan["estimated_training_memory_gib"]
