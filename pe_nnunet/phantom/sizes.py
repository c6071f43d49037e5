"""Volumes of emboli as they are in patients.

Source: volumes of the 95 emboli (26-connected components) in the 33 positive scans of FUMPE (Masoudi et al., Scientific
Data 2018): 5 % under 10 mm3, half under 1,050 mm3, 95 % under 26,000 mm3; smallest 0.8, largest 46,271 mm3.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

MEDIAN_MM3 = 1050.0
LOW_MM3, HIGH_MM3 = 10.0, 26_000.0  # 5 % and 95 %
SMALLEST_MM3, LARGEST_MM3 = 0.8, 46_271.0
_Z95 = float(ndtri(0.95))
_SPREAD_BELOW = math.log(MEDIAN_MM3 / LOW_MM3) / _Z95
_SPREAD_ABOVE = math.log(HIGH_MM3 / MEDIAN_MM3) / _Z95


def embolus_volumes(rng: np.random.Generator, count: int, *, min_mm3: float = 0.0) -> NDArray[np.float64]:
    """Draw volumes from a two-piece log-normal distribution: one spread below the median, another above it.

    Args:
        rng: Source of randomness.
        count: How many.
        min_mm3: Cut the distribution off below this volume; the shape above it stays.

    Returns:
        Volumes in mm3, shape (count,), between the smallest and the largest seen in FUMPE.

    Example:
        >>> volumes = embolus_volumes(np.random.default_rng(0), 20_000)
        >>> [int(round(v, -2)) for v in np.quantile(volumes, [0.5])]
        [1000]
    """
    low = _share_below(max(min_mm3, SMALLEST_MM3))
    deviate = ndtri(rng.uniform(low, _share_below(LARGEST_MM3), count))
    spread = np.where(deviate < 0, _SPREAD_BELOW, _SPREAD_ABOVE)
    return np.asarray(MEDIAN_MM3 * np.exp(spread * deviate), dtype=np.float64)


def _share_below(volume_mm3: float) -> float:
    """The cumulative distribution."""
    spread = _SPREAD_BELOW if volume_mm3 < MEDIAN_MM3 else _SPREAD_ABOVE
    return float(ndtr(math.log(volume_mm3 / MEDIAN_MM3) / spread))
