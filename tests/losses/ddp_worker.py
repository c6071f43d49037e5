"""One process of a data-parallel loss: `python ddp_worker.py FOLDER RANK WORLD_SIZE`.

Reads `batch.pt` (by name: logits, target and the loss' settings), takes its share of each batch and writes the loss and
the gradient of its logits to `rank<RANK>.pt`. A script of its own, since the processes must not fork a running torch.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import distributed

from pe_nnunet.losses import DiceFocalLoss


def main() -> None:
    folder, rank, world_size = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"file://{folder / 'rendezvous'}", rank=rank, world_size=world_size)
    found = {}
    for name, (logits, target, settings) in torch.load(folder / "batch.pt", weights_only=True).items():
        ours = logits.chunk(world_size)[rank].clone().requires_grad_()
        loss = DiceFocalLoss(ddp=True, **settings)(ours, target.chunk(world_size)[rank])
        loss.backward()
        found[name] = (loss.detach(), ours.grad)
    torch.save(found, folder / f"rank{rank}.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
