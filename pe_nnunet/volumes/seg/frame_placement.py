"""Where the pixels of a frame lie on the grid of a scan: by the frame's own position, orientation and pixel spacing."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from pe_nnunet.volumes.dicom.slice_positions import Slice
from pe_nnunet.volumes.geometry import SAME_GRID_TOLERANCE_VOXELS

BETWEEN_SLICES_VOXELS = 0.25  # positions rounded to 0.1 mm lie so far beside the even grid of a series of thin slices
NEAREST_VOXELS = 0.6  # half a voxel, and the rounding of headers
FAR_VOXELS = 2**31  # beyond every grid, and within whole numbers
AXES_DEGREES = 1.0  # a frame turned by more is called oblique
DRIFT_VOXELS = 0.1  # from corner to corner; pixels that drift by more are called of another size


@dataclass(frozen=True)
class Placement:
    """The way from a frame's pixels to the voxels of a grid.

    Attributes:
        corner: Index of the voxel under the first pixel, (3,) in order x, y, z.
        steps: (3, 2), whole: what one column further, and one row further, adds to the index.
        shape: Rows and columns of the frame.
        off_voxels: By how much the frame lies beside the centres of the voxels, at most.
    """

    corner: npt.NDArray[np.int64]
    steps: npt.NDArray[np.int64]
    shape: tuple[int, int]
    off_voxels: float

    @property
    def key(self) -> tuple[int, ...]:
        """Equal for frames that cover the same voxels in the same order."""
        return (*self.corner.tolist(), *self.steps.ravel().tolist(), *self.shape)

    @property
    def slices(self) -> range:
        """The slices of the scan that the frame crosses; one, but for a frame that stands upright on them."""
        ends = self.voxels(np.array([0, self.shape[0] - 1]), np.array([0, self.shape[1] - 1]))[2]
        return range(int(ends.min()), int(ends.max()) + 1)

    def voxels(self, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Indices of the voxels under these pixels, (3, n) in order x, y, z; they may lie outside the grid."""
        found: npt.NDArray[np.int64] = self.corner[:, None] + self.steps @ np.stack([columns, rows])
        return found


@np.errstate(all="ignore")
def place(frame: Slice, image: sitk.Image, *, nearest: bool = False) -> Placement | str:
    """Find the voxels of a scan under the pixels of a frame.

    Args:
        frame: Its position, orientation and pixel spacing are there.
        image: The scan.
        nearest: Allow half a voxel within the slices, for a scan that was resampled.

    Returns:
        The placement; a text that says why where the pixels do not lie on voxels one by one: other pixel spacing,
        oblique axes, or a place between the voxels.

    Source: PS3.3 C.7.6.2.1.1.
    """
    rows_mm, columns_mm = frame.pixel_spacing_mm or (0.0, 0.0)
    axes = np.array(frame.orientation).reshape(2, 3).T
    spacing_mm = np.array(image.GetSpacing())
    to_scan = np.array(image.GetDirection()).reshape(3, 3).T
    steps = to_scan @ axes * [columns_mm, rows_mm] / spacing_mm[:, None]
    corner = to_scan @ (np.array(frame.position_mm) - np.array(image.GetOrigin())) / spacing_mm
    whole = np.rint(steps)
    single = np.abs(whole).sum(axis=0).tolist() == [1.0, 1.0] and not whole[:, 0] @ whole[:, 1]
    ends = np.array([[0, frame.columns - 1, 0, frame.columns - 1], [0, 0, frame.rows - 1, frame.rows - 1]])
    drift = (steps - whole) @ ends
    first = np.clip(np.rint(corner + drift.mean(axis=1)), -FAR_VOXELS, FAR_VOXELS)
    off = np.abs((corner - first)[:, None] + drift).max(axis=1)
    within = NEAREST_VOXELS if nearest else SAME_GRID_TOLERANCE_VOXELS
    if single and (off <= [within, within, BETWEEN_SLICES_VOXELS]).all():
        return Placement(first.astype(np.int64), whole.astype(np.int64), (frame.rows, frame.columns), float(off.max()))
    angle = math.degrees(math.acos(min(1.0, float(np.abs(to_scan @ axes).max(axis=0).min()))))
    if angle > AXES_DEGREES:
        return f"its axes are turned by {angle:.1f} degrees against those of the scan"
    if single and np.abs(drift).max() <= DRIFT_VOXELS:
        x, y, z = off
        return f"its pixels lie ({x:.3g}, {y:.3g}, {z:.3g}) voxels (x, y, z) beside those of the scan"
    pixel, voxel = (" x ".join(f"{mm:.5g}" for mm in sizes) for sizes in ((columns_mm, rows_mm), spacing_mm))
    return f"its pixels measure {pixel} mm (along a row, a column), the voxels of the scan {voxel} mm (x, y, z)"
