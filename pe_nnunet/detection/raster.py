"""Axial slices as pictures of one pixel size, and boxes from voxels to pixels and back.

Everything the detector sees has the same scale in mm, however large the scan or its crop: pictures are padded, never
stretched to a size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from pe_nnunet.errors import ConfigurationError

STRIDE = 32  # the coarsest grid of the detectors: sides of a picture are multiples of it
MOST_PIXELS = 4096  # along a side
AIR_HU = -1000.0

Boxes = npt.NDArray[np.float64]  # (n, 4): y0, x0, y1, x1, continuous; voxel or pixel i reaches from i to i + 1


@dataclass(frozen=True)
class Raster:
    """What the pictures of one detector have in common.

    Attributes:
        pixel_mm: Side of a pixel.
        side: Height and width of a picture in pixels, a multiple of `STRIDE`; larger slices make larger pictures.
    """

    pixel_mm: float
    side: int

    def require_possible(self, source: Path) -> None:
        """Check that pictures of a chest can be drawn with it.

        Raises:
            ConfigurationError: PE-DET-015 if pixels or side are of no size that a detector has.
        """
        if not (0.1 <= self.pixel_mm <= 20 and STRIDE <= self.side <= MOST_PIXELS and self.side % STRIDE == 0):
            raise ConfigurationError(
                "PE-DET-015",
                f"{source}: pictures of {self.side} pixels of {self.pixel_mm:g} mm, expected a multiple of {STRIDE} up "
                f"to {MOST_PIXELS}, and 0.1 to 20 mm",
                "get the detector anew, or train it again",
            )


class Layout:
    """A slice in the middle of its picture.

    Args:
        raster: Pixels of the picture.
        shape_yx: Voxels of the slice.
        spacing_yx_mm: Of the slice.

    Attributes:
        scaled_shape: Pixels that the slice takes (y, x).
        picture_shape: Pixels of the whole picture (y, x).
    """

    def __init__(self, raster: Raster, shape_yx: Sequence[int], spacing_yx_mm: Sequence[float]) -> None:
        height, width = (max(1, round(n * mm / raster.pixel_mm)) for n, mm in zip(shape_yx, spacing_yx_mm, strict=True))
        tall, wide = (-(-max(pixels, raster.side) // STRIDE) * STRIDE for pixels in (height, width))
        self.scaled_shape, self.picture_shape = (height, width), (tall, wide)
        self._offset = (tall - height) // 2, (wide - width) // 2
        self._scale: Boxes = np.array([height / shape_yx[0], width / shape_yx[1]] * 2)

    def pictures(self, hu: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
        """Draw slices: linear interpolation, antialiased where pixels are larger than voxels, then the windows.

        Args:
            hu: (n, y, x).

        Returns:
            (n, y, x, 3), air around the slices.
        """
        slices = torch.from_numpy(np.ascontiguousarray(hu, dtype=np.float32))[:, None]
        scaled = F.interpolate(slices, size=self.scaled_shape, mode="bilinear", align_corners=False, antialias=True)
        (top, left), (height, width) = self._offset, self.scaled_shape
        canvas = np.full((len(hu), *self.picture_shape), AIR_HU, np.float32)
        canvas[:, top : top + height, left : left + width] = scaled[:, 0].numpy()
        return window_channels(canvas)

    def to_pixels(self, boxes: Boxes) -> Boxes:
        """Boxes in voxels of the slice to boxes in pixels of the picture."""
        return boxes * self._scale + self._offset * 2

    def to_voxels(self, boxes: Boxes) -> Boxes:
        """Undo `to_pixels`."""
        return (boxes - self._offset * 2) / self._scale


# (width, level) in HU: mediastinum wide enough for contrasted vessels, soft tissue, lung
WINDOWS_HU: tuple[tuple[float, float], ...] = ((700.0, 100.0), (350.0, 40.0), (1500.0, -600.0))


def window_channels(hu: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """Map HU to 8 bits in three windows.

    Args:
        hu: Any shape.

    Returns:
        The same shape with a last axis of three channels: 0 at and below the lower end of the window, 255 at and above
        its upper end.

    Example:
        >>> window_channels(np.array([-2000, 40, 3000])).tolist()
        [[0, 0, 0], [106, 128, 236], [255, 255, 255]]
    """
    grey = np.empty((*hu.shape, len(WINDOWS_HU)), np.uint8)
    for channel, (width, level) in enumerate(WINDOWS_HU):
        share = (hu.astype(np.float32) - np.float32(level - width / 2)) * np.float32(255 / width)
        grey[..., channel] = np.rint(np.clip(share, 0, 255))
    return grey
