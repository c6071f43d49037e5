"""Whether two evaluations were scored against the same labels: what of a label identifies it, in `summary.json`."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pe_nnunet.voxels import Box, Index

SCORED_LABELS = "scored_labels"  # in summary.json: case -> what identifies its label
SAME_PLACE_MM = 1e-3  # by which headers of one label differ between file formats


class LabelIdentity(NamedTuple):
    """A label as it was read.

    The place is compared by numbers, as a hash of numbers that were rounded differently would differ.

    Attributes:
        sha256: Of the emboli's ids and of the ignored voxels, each in the smallest box that holds them, so that it does
            not matter how far a grid reaches beyond.
        place: Spacing, axes, and the first corner of each box in LPS mm.
    """

    sha256: str
    place: tuple[float, ...]

    @classmethod
    def of(
        cls, truth_ids: NDArray[Any], start: Index, ignored: NDArray[np.bool_] | None, grid: sitk.Image
    ) -> LabelIdentity:
        """Of a label.

        Args:
            truth_ids: Of the emboli, in a part of the grid that holds all of them, (z, y, x).
            start: The part's first voxel.
            ignored: On the whole grid; None where nothing is.
            grid: Of the label.
        """
        digest = hashlib.sha256()
        place = [*grid.GetSpacing(), *grid.GetDirection()]
        for voxels, first in ((truth_ids, start), (ignored, (0, 0, 0))):
            box = None if voxels is None else Box.around(voxels)
            digest.update(repr(None if box is None else box.shape).encode())
            if voxels is None or box is None:
                continue
            part = voxels[box.slices]
            packed = np.packbits(part) if part.dtype == bool else part.astype("<u4")
            digest.update(packed.tobytes())
            z, y, x = (a + b for a, b in zip(box.start, first, strict=True))
            place += grid.TransformIndexToPhysicalPoint((x, y, z))
        return cls(digest.hexdigest(), tuple(place))

    def same_as(self, other: LabelIdentity) -> bool:
        """Whether both are one label."""
        same = self.sha256 == other.sha256 and len(self.place) == len(other.place)
        return same and bool(np.allclose(self.place, other.place, rtol=0, atol=SAME_PLACE_MM))
