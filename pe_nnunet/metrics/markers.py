"""Markers: points with a score, from the tables, masks and probability maps of any tool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pe_nnunet.errors import GeometryError
from pe_nnunet.voxels import boxes_by_id

if TYPE_CHECKING:
    import SimpleITK as sitk

Voxel = tuple[int, int, int]

SATURATED = 1 - 1e-4  # log-odds of 9: more of it is no more certain


class VoxelMarker(NamedTuple):
    """A marker on the label's grid.

    Attributes:
        voxel_zyx: The voxel that it lies in; outside the scan where the tool put it there.
        probability: Its score.
    """

    voxel_zyx: Voxel
    probability: float

    def value_in(self, ids: NDArray[Any]) -> int:
        """What lies under it in an array (z, y, x): the id of an embolus, or 0, as outside the array."""
        inside = all(0 <= i < n for i, n in zip(self.voxel_zyx, ids.shape, strict=True))
        return int(ids[self.voxel_zyx]) if inside else 0


def markers_of_table(rows: Sequence[Marker], grid: sitk.Image) -> tuple[VoxelMarker, ...]:
    """Rows of a table, in LPS mm, on a grid."""
    indices = (grid.TransformPhysicalPointToIndex(row.position_lps_mm) for row in rows)
    return tuple(
        VoxelMarker((k, j, i), finding_score(row.probability, row.mean_probability))
        for (i, j, k), row in zip(indices, rows, strict=True)
    )


def finding_score(highest: float, mean: float | None) -> float:
    """A finding's highest probability; of those of 0.9999 and more, its mean decides which ranks higher.

    Networks are often that sure, in most of their findings; without an order among them a FROC begins where all of
    them count.

    Args:
        highest: Over the finding's voxels, 0 to 1.
        mean: Over the same, None if unknown.

    Example:
        >>> finding_score(0.9, 0.5), finding_score(1.0, None), finding_score(1.0, 0.6) > finding_score(1.0, 0.5)
        (0.9, 1.0, True)
    """
    if mean is None or highest < SATURATED:
        return highest
    return SATURATED + (1 - SATURATED) * mean


def markers_of_findings(
    finding_ids: NDArray[Any], probability: NDArray[np.floating[Any]] | None = None
) -> tuple[VoxelMarker, ...]:
    """One marker a finding, for a tool that gives no table.

    Args:
        finding_ids: One id a finding, 0 background, (z, y, x).
        probability: The same shape. With it a finding's score is its highest probability (see `finding_score`), and the
            marker that voxel, of several the one nearest to their centre; without it every score is 1, and the marker
            the finding's voxel nearest to its centre of mass.

    Raises:
        GeometryError: PE-GEO-001 if the shapes differ.

    Example:
        >>> markers_of_findings(np.array([[[3, 3, 3, 0, 0]]]))
        (VoxelMarker(voxel_zyx=(0, 0, 1), probability=1.0),)
    """
    if probability is not None and probability.shape != finding_ids.shape:
        raise GeometryError(
            "PE-GEO-001", f"the probability has shape {probability.shape} (z, y, x), the findings {finding_ids.shape}"
        )
    markers = []
    for number, box in boxes_by_id(finding_ids).items():
        voxels = np.argwhere(finding_ids[box.slices] == number)
        score = 1.0
        if probability is not None:
            scores = probability[box.slices][tuple(voxels.T)]
            score = finding_score(float(scores.max()), float(scores.mean()))
            voxels = voxels[scores == scores.max()]  # several where the tool's probabilities are saturated
        central = ((voxels - voxels.mean(axis=0)) ** 2).sum(axis=1).argmin()
        k, j, i = (int(n) + first for n, first in zip(voxels[central], box.start, strict=True))
        markers.append(VoxelMarker((k, j, i), score))
    return tuple(markers)


@dataclass(frozen=True)
class Marker:
    """One row of a table of emboli, ours or another tool's.

    Attributes:
        id: The row's id; for kept emboli the value in the label map.
        position_lps_mm: x, y, z of the most certain voxel.
        probability: The score.
        volume_mm3: None where the table has no such column.
        kept: True where the table has no such column: other tools list only what they report.
        mean_probability: Over the finding's voxels; None where the table has no such column.
    """

    id: int
    position_lps_mm: tuple[float, float, float]
    probability: float
    volume_mm3: float | None
    kept: bool
    mean_probability: float | None = None
