"""A scan in the orientation that pictures and pages show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pe_nnunet.volumes.geometry import spacing_zyx, to_lps


@dataclass(frozen=True)
class Volume:
    """A scan turned to LPS axes, with its voxels as an array that is not copied.

    Attributes:
        image: In LPS orientation; it owns the voxels, so the array must not outlive this object.
        array: A view of it, (z, y, x): z grows towards the head, y towards the back, x towards the patient's left.
        spacing_mm: (z, y, x).
    """

    image: sitk.Image
    array: NDArray[Any]
    spacing_mm: tuple[float, float, float]

    @classmethod
    def of(cls, image: sitk.Image) -> Volume:
        """Turn an image's axes, without interpolation."""
        turned = to_lps(image)
        return cls(turned, sitk.GetArrayViewFromImage(turned), spacing_zyx(turned))


def lps_array(image: sitk.Image) -> NDArray[Any]:
    """The voxels of an image turned to LPS axes, (z, y, x), as an array of its own."""
    return np.asarray(sitk.GetArrayFromImage(to_lps(image)))
