"""Volumes of emboli as they are in patients.

Source: volumes of the 95 emboli (26-connected components) in the 33 positive scans of FUMPE (Masoudi et al., Scientific
Data 2018): 5 % under 10 mm3, half under 1,050 mm3, 95 % under 26,000 mm3; smallest 0.8, largest 46,271 mm3.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

SMALLEST_MM3, LOW_MM3, MEDIAN_MM3, HIGH_MM3, LARGEST_MM3 = 0.8, 10.0, 1050.0, 26_000.0, 46_271.0


def embolus_volumes(rng: np.random.Generator, count: int, *, min_mm3: float = 0.0) -> NDArray[np.float64]:
    """Draw volumes: from 5 to 95 % a log-normal distribution with one spread below the median and another above it.

    The tails are log-uniform and end at the smallest and the largest volume seen.

    Args:
        rng: Source of randomness.
        count: How many.
        min_mm3: Cut the distribution off below this volume; the shape above it stays.

    Returns:
        Volumes in mm3, shape (count,).

    Example:
        >>> volumes = embolus_volumes(np.random.default_rng(0), 20_000)
        >>> bool(900 < np.median(volumes) < 1200)
        True
    """
    shares, log_volumes = _quantiles()
    lowest = float(np.interp(np.log(max(min_mm3, SMALLEST_MM3)), log_volumes, shares))
    return np.asarray(np.exp(np.interp(rng.uniform(lowest, 1, count), shares, log_volumes)))


def _quantiles() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The distribution as shares from 0 to 1 and the logarithms of the volumes below which they lie."""
    shares = np.linspace(0.05, 0.95, 181)
    deviate = ndtri(shares) / ndtri(0.95)  # -1 at 5 %, 1 at 95 %
    spread = np.where(deviate < 0, np.log(MEDIAN_MM3 / LOW_MM3), np.log(HIGH_MM3 / MEDIAN_MM3))
    middle = np.log(MEDIAN_MM3) + spread * deviate
    return np.r_[0, shares, 1], np.r_[np.log(SMALLEST_MM3), middle, np.log(LARGEST_MM3)]
