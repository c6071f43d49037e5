"""Hounsfield units to the three grey channels that the detector sees, in training and in detection alike."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

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
