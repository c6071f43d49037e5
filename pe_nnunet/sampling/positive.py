"""When a patch counts as positive: judged on what the network gets, after augmentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

ENOUGH_MM3 = 100.0


@dataclass(frozen=True)
class PositiveRule:
    """A patch is positive if it holds half of the drawn embolus, or 100 mm3 of any.

    Volumes are those of the augmented patch. Targets do not tell emboli apart: where a patch lost the drawn embolus and
    another one of at least half its size lies in it, that one stands in.

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
        return sum(int((finest[0] == value).sum()) for value in self.pe_values)  # isin is ten times slower

    def needed_voxels(self, embolus_voxels: float | None) -> float:
        """The PE voxels from which a patch is positive.

        Args:
            embolus_voxels: Size of the drawn embolus; None where none was drawn.
        """
        enough = ENOUGH_MM3 / self.voxel_mm3
        return enough if embolus_voxels is None else min(enough, embolus_voxels / 2)
