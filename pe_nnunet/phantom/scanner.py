"""What the scanner does to the picture: blur, noise, whole numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from pe_nnunet.phantom.grid import Floats

BLUR_MM = (0.45, 0.65, 0.65)
"""Standard deviation of the point spread (z, y, x), of a smooth vascular kernel, beside what the voxels smear."""
GRAIN_MM = (0.3, 0.7, 0.7)
"""Smoothness of the noise."""
LOWEST_HU, HIGHEST_HU = -1024, 3071


def blur(hu: Floats, spacing_mm: tuple[float, float, float]) -> Floats:
    """Smear by the scanner's point spread."""
    sigma = [b / s if b / s > 0.2 else 0 for b, s in zip(BLUR_MM, spacing_mm, strict=True)]
    return np.asarray(ndi.gaussian_filter(hu, sigma, mode="nearest", truncate=3.0), dtype=np.float32)


def expose(
    hu: Floats, spacing_mm: tuple[float, float, float], noise_hu: float, rng: np.random.Generator
) -> NDArray[np.int16]:
    """Add noise of a standard deviation and grain, and store as scanners do: whole HU from -1024 to 3071."""
    noise = rng.standard_normal(hu.shape, dtype=np.float32)
    sigma = [g / s if g / s > 0.2 else 0 for g, s in zip(GRAIN_MM, spacing_mm, strict=True)]
    noise = ndi.gaussian_filter(noise, sigma, mode="wrap", truncate=3.0)
    noise *= np.float32(noise_hu / float(noise.std(dtype=np.float64)))
    noise += hu
    return np.asarray(np.clip(np.rint(noise), LOWEST_HU, HIGHEST_HU), dtype=np.int16)
