"""One process of a data-parallel step: `python ddp_worker.py FOLDER RANK WORLD_SIZE`.

Reads `networks.pt` (networks by name, and a batch for each), takes its share of each batch, makes one step and writes
the resulting weights to `rank<RANK>.pt`. A script of its own, since the processes must not fork a running torch.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from pe_nnunet.networks import list_networks  # noqa: F401 the classes that the file refers to

LEARNING_RATE = 0.1


def step(network: torch.nn.Module, x: torch.Tensor) -> None:
    """One step of gradient descent on a loss that is a mean over the batch."""
    optimizer = torch.optim.SGD(network.parameters(), lr=LEARNING_RATE)
    sum((out - 1).square().mean() for out in network(x)).backward()
    optimizer.step()


def main() -> None:
    folder, rank, world_size = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"file://{folder / 'rendezvous'}", rank=rank, world_size=world_size)
    weights = {}
    for name, (network, batch) in torch.load(folder / "networks.pt", weights_only=False).items():
        step(DistributedDataParallel(network), batch.chunk(world_size)[rank])
        weights[name] = network.state_dict()
    torch.save(weights, folder / f"rank{rank}.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
