"""What torch does with a network leaves its function as it is: compile, export, layouts, half precision, processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pe_nnunet.networks import SegmentationNetwork
from tests.networks.conftest import CASES, Build
from tests.networks.ddp_worker import step

LAYOUTS = {2: torch.channels_last, 3: torch.channels_last_3d}
WORKER = Path(__file__).with_name("ddp_worker.py")


def small(build: Build, name: str, dimensions: int, dtype: torch.dtype = torch.float64) -> SegmentationNetwork:
    """Three stages and deep supervision, every weight at random.

    In double precision, so that what differs is the function; and no head or bias at zero, where gradients vanish or
    rounding decides on which side of a ReLU's kink a value falls.
    """
    network = build(name, dimensions, n_stages=3, deep_supervision=True)
    for key, p in network.named_parameters():
        if p.dim() == 1:
            nn.init.uniform_(p, 0.5, 1.5)
        elif name == "AANet" and key.endswith(".out.weight"):
            nn.init.normal_(p, std=0.1)
    return network.to(dtype)


def batch_for(network: SegmentationNetwork, n: int = 2) -> Tensor:
    size = [s * d for s, d in zip((2, 2, 4)[-len(network.divisor) :], network.divisor, strict=True)]
    return torch.randn(n, 1, *size, dtype=next(network.parameters()).dtype)


def outputs_and_gradients(
    network: nn.Module, x: Tensor, forward: Callable[..., list[Tensor]]
) -> tuple[list[Tensor], dict[str, Tensor]]:
    network.zero_grad(set_to_none=True)
    outputs = forward(x)
    sum((out.to(x.dtype) - 1).square().mean() for out in outputs).backward()
    return [out.detach() for out in outputs], {key: p.grad for key, p in network.named_parameters()}


def test_compiled_is_eager(name, dimensions, build):
    torch.compiler.reset()
    network = small(build, name, dimensions)
    x = batch_for(network)
    eager = outputs_and_gradients(network, x, network)
    compiled = outputs_and_gradients(network, x, torch.compile(network, backend="aot_eager", fullgraph=True))
    torch.testing.assert_close(compiled, eager, atol=1e-9, rtol=1e-9)


def test_exported_is_the_deployed_network_for_any_batch(name, dimensions, build):
    network = small(build, name, dimensions).eval()
    network.decoder.deep_supervision = False
    x = batch_for(network)
    exported = torch.export.export(network, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},)).module()
    other = batch_for(network, 3)
    with torch.no_grad():
        torch.testing.assert_close(exported(x), network(x), atol=1e-9, rtol=1e-9)
        torch.testing.assert_close(exported(other), network(other), atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_channels_last_is_contiguous(name, dimensions, build, batch_size):
    network = small(build, name, dimensions)
    x = batch_for(network, batch_size)
    plain = outputs_and_gradients(network, x, network)
    network.to(memory_format=LAYOUTS[dimensions])
    relaid = outputs_and_gradients(network, x.to(memory_format=LAYOUTS[dimensions]), network)
    torch.testing.assert_close(relaid, plain, atol=1e-9, rtol=1e-9)


def test_bfloat16_is_near_single_precision(name, dimensions, build):
    """The mean error stays below 3 % of the mean value, that of the gradients below 15 %; bfloat16 rounds by 0.4 %."""
    network = small(build, name, dimensions, torch.float32)
    x = batch_for(network)
    exact, exact_gradients = outputs_and_gradients(network, x, network)
    with torch.autocast("cpu", torch.bfloat16):
        rough, rough_gradients = outputs_and_gradients(network, x, network)
    for ours, theirs in zip(rough, exact, strict=True):
        assert ours.dtype == torch.bfloat16
        assert relative_error(ours, theirs) < 0.03
    ours, theirs = (torch.cat([g.flatten() for g in grads.values()]) for grads in (rough_gradients, exact_gradients))
    assert torch.isfinite(ours).all()
    assert relative_error(ours, theirs) < 0.15


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_on_cuda_is_near_single_precision(name, dimensions, build, dtype):
    network = small(build, name, dimensions, torch.float32).cuda()
    x = batch_for(network).cuda()
    exact, _ = outputs_and_gradients(network, x, network)
    with torch.autocast("cuda", dtype):
        rough, gradients = outputs_and_gradients(network, x, network)
    assert all(relative_error(ours, theirs) < 0.03 for ours, theirs in zip(rough, exact, strict=True))
    assert all(torch.isfinite(g).all() for g in gradients.values())


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    return float((ours.float() - theirs).abs().mean() / theirs.abs().mean())


def test_two_processes_make_the_step_of_one(build, tmp_path):
    """Every network at once; to 1e-9, in double precision, where the step itself moves weights by more than 1e-3."""
    torch.manual_seed(0)
    networks = {f"{name}-{d}d": small(build, name, d) for name, d in CASES}
    inputs = {key: (network, batch_for(network)) for key, network in networks.items()}
    torch.save(inputs, tmp_path / "networks.pt")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    processes = [
        subprocess.Popen([sys.executable, str(WORKER), str(tmp_path), str(rank), "2"], env=environment)
        for rank in (0, 1)
    ]
    try:
        assert [process.wait(timeout=120) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
    ranks = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]
    for key, (network, batch) in inputs.items():
        before = deepcopy(network.state_dict())
        step(network, batch)
        after = network.state_dict()
        assert max(float((after[entry] - before[entry]).abs().max()) for entry in after) > 1e-3, key
        for weights in ranks:
            torch.testing.assert_close(
                dict(weights[key]), dict(after), atol=1e-5, rtol=0, msg=lambda m, k=key: f"{k}: {m}"
            )
