"""Our instance norm against torch's, inside a training step with channels last: wall time and their ratio.

    .venv/bin/python benchmarks/instance_norm.py [--threads 2] [--repeats 10]

A stack of four convolutions with norm and LeakyReLU, 2 x C x 32 x 32 x 32, forwards and backwards, bfloat16 autocast
where the CPU has it. The third column is batch norm of each sample, the other function that keeps channels last.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from pe_nnunet.networks.blocks.instance_norm import InstanceNorm
from pe_nnunet.precision import autocast_for

CHANNELS = (8, 12, 16, 24, 32, 64)
EDGE = 32


class BatchNormOfEachSample(nn.Module):
    """The same function by another kernel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm3d(channels, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, z, y, x) to the same shape."""
        return torch.cat([self.norm(sample) for sample in x.split(1)])


def stack(norm: Callable[[int], nn.Module], channels: int) -> nn.Module:
    """Four convolutions, each with norm and activation."""
    layers = [
        nn.Sequential(nn.Conv3d(channels, channels, 3, padding=1, bias=False), norm(channels), nn.LeakyReLU())
        for _ in range(4)
    ]
    return nn.Sequential(*layers).to(memory_format=torch.channels_last_3d)


def step_ms(network: nn.Module, x: Tensor) -> float:
    """One pass forwards and backwards."""
    started = time.perf_counter()
    with autocast_for(x.device):
        loss = network(x).float().mean()
    loss.backward()
    return 1000 * (time.perf_counter() - started)


def fastest_ms(channels: int, repeats: int) -> list[float]:
    """Ours, torch's, and batch norm of each sample."""
    norms = (InstanceNorm, lambda width: nn.InstanceNorm3d(width, affine=True), BatchNormOfEachSample)
    x = torch.randn(2, channels, EDGE, EDGE, EDGE).to(memory_format=torch.channels_last_3d)
    networks = [stack(norm, channels) for norm in norms]
    best = [float("inf")] * 3
    for _ in range(repeats):  # taking turns, so that what else the machine does falls on all alike
        best = [min(least, step_ms(network, x)) for least, network in zip(best, networks, strict=True)]
    return best


def bench(*, quick: bool) -> list[dict[str, Any]]:
    """A row for each width."""
    rows = []
    for channels in (16, 32) if quick else CHANNELS:
        ours, theirs, _ = fastest_ms(channels, 3 if quick else 10)
        data = f"four convolutions of 2x{channels}x32x32x32, channels last"
        rows.append(
            {"what": "step with instance norm", "data": data, "unit": "ms", "ours": ours}
            | {"peer": "torch's InstanceNorm3d", "theirs": theirs}
        )
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=10)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    print("channels   ours ms   torch ms   batch norm ms   ours / torch   batch norm / torch")
    for channels in CHANNELS:
        ours, theirs, batch = fastest_ms(channels, arguments.repeats)
        print(f"{channels:8d}{ours:10.1f}{theirs:11.1f}{batch:16.1f}{ours / theirs:15.2f}{batch / theirs:21.2f}")


if __name__ == "__main__":
    main()
