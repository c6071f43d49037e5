"""Weights by which a loss counts emboli more than their voxels."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pe_nnunet.voxels import label_components


def embolus_weights(pe: Tensor, power: float) -> Tensor:
    """The weight of each voxel: (median volume / volume of its embolus)^power in emboli, 1 elsewhere.

    Emboli are the 26-connected components of each patch, found on the CPU; the median is that of those that this
    process has (under DDP its part of the batch), so that volumes in voxels of any size will do. Power 1 gives all of
    them the same sum of weights.

    Args:
        pe: Where emboli are, (batch, z, y, x) or (batch, y, x), on any device.
        power: 0 weighs all voxels alike.

    Returns:
        float32 of the same shape, on the same device.

    Example:
        >>> embolus_weights(torch.tensor([[[1, 0, 1, 1], [0, 0, 1, 1]]]) > 0, 1.0)  # of 1 and 4 voxels, median 2.5
        tensor([[[2.5000, 1.0000, 0.6250, 0.6250],
                 [1.0000, 1.0000, 0.6250, 0.6250]]])
    """
    masks = pe.cpu().numpy()
    found = [label_components(mask if mask.ndim == 3 else mask[None])[0].reshape(mask.shape) for mask in masks]
    volumes = [np.bincount(labels.ravel())[1:] for labels in found]
    median = np.median(np.concatenate(volumes)) if any(map(len, volumes)) else 1.0
    weights = [
        np.concatenate(([1.0], (median / sizes) ** power)).astype(np.float32)[labels]
        for labels, sizes in zip(found, volumes, strict=True)
    ]
    return torch.from_numpy(np.stack(weights)).to(pe.device)
