"""When a patch counts as positive: judged on what the network gets, after augmentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

ENOUGH_MM3 = 100.0


@dataclass(frozen=True)
class PositiveRule:
    """A patch is positive if it holds half of the drawn embolus, or 100 mm3 of any.

    Volumes are those of the augmented patch. Where other emboli lie near, what they could bring is asked for on top of
    the half, so that they cannot stand in for the drawn one.

    Attributes:
        voxel_mm3: Volume of a voxel.
        pe_values: Label values that mean PE, where targets are label maps.
        channel: The channel of PE, where targets are regions; otherwise None.
    """

    voxel_mm3: float
    pe_values: Sequence[int]
    channel: int | None = None

    def pe_voxels(self, target: Any) -> int:
        """PE voxels of a target: (channels, ...), or a list of such, finest first."""
        finest = target[0] if isinstance(target, list) else target
        if self.channel is not None:
            return int((finest[self.channel] > 0).sum())
        return int(torch.isin(finest[0], torch.tensor(self.pe_values, dtype=finest.dtype)).sum())

    def needed_voxels(self, embolus_voxels: float | None, other_voxels: float = 0.0) -> float:
        """The PE voxels from which a patch is positive.

        Args:
            embolus_voxels: Size of the drawn embolus; None where none was drawn.
            other_voxels: Size of the other emboli that the patch may hold.
        """
        enough = ENOUGH_MM3 / self.voxel_mm3
        return enough if embolus_voxels is None else float(np.minimum(enough, embolus_voxels / 2 + other_voxels))
