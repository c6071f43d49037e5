"""Two processes, each with half a batch, have the loss and the gradients of the whole batch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch

from pe_nnunet.losses import DiceFocalLoss

SETTINGS = {
    "labels": {"foreground_weight": 0.6},
    "labels with ignore": {"ignore_label": 2},
    "regions with ignore": {"regions": True, "ignore_label": 3},
    "class weights": {"regions": True, "class_weights": [0.5, 2.0]},
}


def batch(name):
    generator = torch.Generator().manual_seed(len(name))
    settings = SETTINGS[name]
    logits = torch.randn(4, 2, 6, 6, generator=generator)
    if settings.get("regions"):
        channels = 2 + ("ignore_label" in settings)
        target = (torch.rand(4, channels, 6, 6, generator=generator) > 0.6).float()
        target[:, 2:] = target[:1, 2:]  # as many voxels count in each half: a mean of means is the mean
    else:
        target = torch.randint(0, 2, (4, 1, 6, 6), generator=generator)
        target[..., 4:] = 2 if "ignore_label" in settings else target[..., 4:]
    return logits, target, settings


def test_halves_are_the_whole(tmp_path):
    batches = {name: batch(name) for name in SETTINGS}
    torch.save(batches, tmp_path / "batch.pt")
    worker = Path(__file__).with_name("ddp_worker.py")
    processes = [subprocess.Popen([sys.executable, str(worker), str(tmp_path), str(rank), "2"]) for rank in range(2)]
    assert [process.wait(timeout=300) for process in processes] == [0, 0]
    halves = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in range(2)]
    for name, (logits, target, settings) in batches.items():
        whole = logits.clone().requires_grad_()
        loss = DiceFocalLoss(**settings)(whole, target)
        loss.backward()
        torch.testing.assert_close((halves[0][name][0] + halves[1][name][0]) / 2, loss.detach(), msg=name)
        # DDP averages over processes what each contributes to a weight's gradient
        torch.testing.assert_close(torch.cat([half[name][1] for half in halves]) / 2, whole.grad, msg=name)
