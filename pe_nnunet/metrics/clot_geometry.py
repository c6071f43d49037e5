"""Where the clot lies and how much there is of it: plain geometry of a mask.

These are no clinical scores: Qanadli's and Mastora's count obstructed branches of the arterial tree by how much of
their lumen is filled, which a volume on one side of the midline says nothing about.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pe_nnunet.voxels import foreground

MIDLINE_MM = 10.0  # clot this near to the midline plane, as in the trunk, counts on both sides


@dataclass(frozen=True)
class LungGeometry:
    """The lungs on a grid, and the plane between them.

    Attributes:
        mask: Voxels of both lungs, (z, y, x).
        to_left_mm: (z, y, x) and a constant: what brings a voxel's index to its distance from the midline plane in mm,
            above 0 on the patient's left.
    """

    mask: NDArray[np.bool_]
    to_left_mm: tuple[float, float, float, float]

    @classmethod
    def of(cls, lungs: sitk.Image) -> LungGeometry | None:
        """From a mask of both lungs; None where it is empty.

        The plane is sagittal, and halves the lungs' extent from their right border to their left one, by the 0.5 %
        and 99.5 % quantiles of their voxels, which a stray voxel does not move.
        """
        mask = sitk.GetArrayViewFromImage(lungs) > 0
        # LPS: x grows to the patient's left. One row of the direction matrix says how, for each index axis.
        step = np.array(lungs.GetDirection()).reshape(3, 3)[0] * lungs.GetSpacing()
        counts = [mask.sum(axis=axes, dtype=np.int64) for axes in ((1, 2), (0, 2), (0, 1))]
        if not counts[0].any():
            return None
        if np.count_nonzero(np.abs(step) > 1e-6) == 1:  # not oblique: a profile along one axis says all
            axis = int(np.abs(step).argmax())
            profile = counts[2 - axis]
            places = np.arange(len(profile)) * step[axis]
        else:  # every fourth voxel each way will do, if there are such
            every = 4 if mask[::4, ::4, ::4].any() else 1
            places = np.argwhere(mask[::every, ::every, ::every]) @ (every * step[::-1])
            profile = np.ones(len(places), np.int64)
        order = np.argsort(places)
        share = np.cumsum(profile[order]) / profile.sum()
        middle_mm = float(places[order][np.searchsorted(share, [0.005, 0.995])].mean())
        return cls(mask, (float(step[2]), float(step[1]), float(step[0]), -middle_mm))

    def part(self, box: Sequence[slice]) -> LungGeometry:
        """The same on a crop."""
        z, y, x, constant = self.to_left_mm
        moved = constant + sum(step * side.start for step, side in zip((z, y, x), box, strict=True))
        return LungGeometry(self.mask[tuple(box)], (z, y, x, moved))


def clot_geometry(
    ids: NDArray[Any], spacing_mm: Sequence[float], lungs: LungGeometry | None = None
) -> dict[str, float | None]:
    """Measure the voxels of all ids.

    Args:
        ids: One id an embolus, 0 background, (z, y, x).
        spacing_mm: (z, y, x).
        lungs: On the same grid, or None.

    Returns:
        `largest_ml`, the largest embolus; `left_ml` and `right_ml`, clot on each of the patient's sides, the midline
        included in both, so that they may exceed the total; and `outside_lungs`, the share of the clot outside the lung
        mask, as in the arteries between the lungs. The last three are None without a lung mask, and a share without
        clot.

    Example:
        >>> ids = np.array([[[1, 1, 0, 2]]])
        >>> clot_geometry(ids, (10, 10, 10))["largest_ml"]
        2.0
    """
    where, values = foreground(ids)
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    largest = float(np.bincount(values).max(initial=0)) * voxel_ml
    if lungs is None:
        return {"largest_ml": largest, "left_ml": None, "right_ml": None, "outside_lungs": None}
    *steps, constant = lungs.to_left_mm
    left_mm = where @ np.array(steps) + constant
    return {
        "largest_ml": largest,
        "left_ml": float((left_mm >= -MIDLINE_MM).sum()) * voxel_ml,
        "right_ml": float((left_mm <= MIDLINE_MM).sum()) * voxel_ml,
        "outside_lungs": float(1 - lungs.mask[tuple(where.T)].mean()) if len(where) else None,
    }
