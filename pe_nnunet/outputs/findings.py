"""Which planes of a volume show a finding best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pe_nnunet.voxels import Box


def widest_slice(labels: NDArray[Any], identity: int, box: Box) -> int:
    """The axial slice in which a finding has its largest area, the middle one among equals.

    Args:
        labels: Ids, (z, y, x).
        identity: Which.
        box: Its bounding box.

    Returns:
        Index along z.
    """
    area = (labels[box] == identity).sum(axis=(1, 2))
    best = np.flatnonzero(area == area.max())
    return int(box[0].start + best[len(best) // 2])


@dataclass(frozen=True)
class View:
    """A square part of an axial slice.

    Attributes:
        z: The slice's index.
        rows: Along y.
        columns: Along x.
    """

    z: int
    rows: slice
    columns: slice

    @property
    def origin(self) -> tuple[int, int]:
        """Index of the first voxel (row, column)."""
        return self.rows.start, self.columns.start


def view_around(
    centre_zyx: tuple[int, int, int], shape: tuple[int, ...], spacing_mm: tuple[float, float, float], side_mm: float
) -> View:
    """A square of a given side around a voxel, moved inside the slice where it would reach out of it.

    Args:
        centre_zyx: The voxel.
        shape: Of the volume, (z, y, x).
        spacing_mm: (z, y, x).
        side_mm: The square's side; less where the slice itself is smaller.
    """

    def span(axis: int) -> slice:
        count = max(1, round(min(side_mm / spacing_mm[axis], shape[axis])))
        start = min(max(0, centre_zyx[axis] - count // 2), shape[axis] - count)
        return slice(start, start + count)

    return View(centre_zyx[0], span(1), span(2))
