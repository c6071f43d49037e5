"""Each network learns one patch by heart."""

from __future__ import annotations

import torch
from torch.nn import functional as F

STEPS = 100


def test_overfits_one_patch_to_a_dice_of_nine_tenths(name, dimensions, build):
    network = build(name, dimensions, width=8)
    size = {2: (32, 32), 3: (16, 16, 16)}[dimensions]
    axes = torch.meshgrid(*[torch.linspace(-1, 1, n) for n in size], indexing="ij")
    embolus = torch.stack(axes).square().sum(0) < 0.2
    image = (0.5 * torch.randn(size) + embolus)[None, None]
    other = embolus if name == "AANet" else ~embolus  # the artery holds the embolus, the background does not
    target = torch.stack((other, embolus)).float()[None]
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    dice = 0.0
    for _ in range(STEPS):
        logits = network(image)
        found = logits[0, 1] > 0
        dice = float(2 * (found & embolus).sum() / (found.sum() + embolus.sum()))
        if dice >= 0.9:
            break
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(logits, target).backward()
        optimizer.step()
    assert dice >= 0.9
