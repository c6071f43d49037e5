"""Each network learns a patch of a phantom by heart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from torch import Tensor
from torch.nn import functional as F

from pe_nnunet.phantom import coarse_settings, make_phantom

STEPS = 150
SIDE = {2: 32, 3: 16}  # voxels of 2.5 mm; the 2D patch is the middle slice of one as wide


@pytest.fixture(scope="session")
def phantom_patches() -> dict[int, tuple[Tensor, Tensor, Tensor]]:
    """By dimensions: image in 0..1, emboli and arteries of a patch around the largest embolus of a scan."""
    phantom = make_phantom(coarse_settings(negative_fraction=0.0), seed=0, index=0)
    hu, emboli, artery = (sitk.GetArrayFromImage(part) for part in (phantom.ct, phantom.emboli, phantom.artery))
    largest = int(np.bincount(emboli[emboli > 0]).argmax())
    where = np.argwhere(emboli == largest)
    z, y, x = where[np.linalg.norm(where - where.mean(0), axis=1).argmin()]

    def cut(volume: np.ndarray[Any, Any], d: int) -> Tensor:
        half = SIDE[d] // 2
        place = tuple(slice(max(0, c - half), max(0, c - half) + SIDE[d]) for c in (z, y, x)[3 - d :])
        return torch.from_numpy((volume[z] if d == 2 else volume)[place].astype(np.float32))

    return {d: ((cut(hu, d).clip(-100, 500) + 100) / 600, cut(emboli, d) > 0, cut(artery, d) > 0) for d in (2, 3)}


def test_overfits_one_phantom_patch_to_a_dice_of_nine_tenths(name, dimensions, build, phantom_patches):
    image, embolus, artery = phantom_patches[dimensions]
    assert 10 < embolus.sum() < 0.5 * embolus.numel()
    network = build(name, dimensions, width=8)
    other = artery if name == "AANet" else ~embolus  # AANet's first channel is the artery, clot included
    target = torch.stack((other, embolus)).float()[None]
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    dice = 0.0
    for _ in range(STEPS):
        logits = network(image[None, None])
        found = logits[0, 1] > 0
        dice = float(2 * (found & embolus).sum() / (found.sum() + embolus.sum()))
        if dice >= 0.9:
            break
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(logits, target).backward()
        optimizer.step()
    assert dice >= 0.9
