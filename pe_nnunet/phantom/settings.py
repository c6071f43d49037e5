"""What a phantom cohort looks like, as one frozen set of settings, checked where it is made."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from pe_nnunet.errors import ConfigurationError

REFERENCE_WIDTH_MM = 340.0
"""Outer width of the thorax that the anatomy's landmarks are written for; others are scaled from it."""


@dataclass(frozen=True)
class PhantomSettings:
    """Settings of a phantom scan; the random draws within them come from the seed and the case's index.

    Attributes:
        spacing_mm: Voxel size (z, y, x).
        thorax_width_mm: Smallest and largest outer width of the body, left to right.
        negative_fraction: Share of scans without emboli; spread evenly over the indices, so it holds for any count.
        emboli_per_scan: Smallest and largest number of emboli in a scan that has any.
        min_embolus_mm3: The size distribution is cut off below this volume, and no smaller truth is kept.
        min_embolus_voxels: Truth of fewer voxels on the scan's grid is dropped, clot and all: it could not be seen.
        poor_contrast_fraction: Share of scans whose pulmonary arteries reach only 150 to 200 HU.
        artery_hu: Range of the pulmonary arteries' attenuation in the other scans.
        embolus_hu: Range from which each embolus draws its own attenuation.
        contrast_to_noise: Range of (artery HU - muscle HU) / noise SD.
        unopacified_vein_fraction: Share of scans in which some pulmonary veins carry little contrast.
        dense_cava_fraction: Share of scans whose superior vena cava is dense enough to throw streaks.

    Raises:
        ConfigurationError: `PE-PHA-001` for a value that no scan can be made with.
    """

    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
    thorax_width_mm: tuple[float, float] = (310.0, 370.0)
    negative_fraction: float = 0.2
    emboli_per_scan: tuple[int, int] = (1, 6)
    min_embolus_mm3: float = 0.0
    min_embolus_voxels: int = 4
    poor_contrast_fraction: float = 0.15
    artery_hu: tuple[float, float] = (220.0, 560.0)
    embolus_hu: tuple[float, float] = (30.0, 90.0)
    contrast_to_noise: tuple[float, float] = (6.0, 14.0)
    unopacified_vein_fraction: float = 0.25
    dense_cava_fraction: float = 0.5

    def __post_init__(self) -> None:
        _require(
            len(self.spacing_mm) == 3 and all(0.3 <= s <= 6 for s in self.spacing_mm),
            "spacing_mm",
            self.spacing_mm,
            "three values from 0.3 to 6 mm (z, y, x)",
        )
        _require(
            _ordered(self.thorax_width_mm, 180, 460),
            "thorax_width_mm",
            self.thorax_width_mm,
            "180 to 460 mm, smaller first",
        )
        for name in ("negative_fraction", "poor_contrast_fraction", "unopacified_vein_fraction", "dense_cava_fraction"):
            _require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "a share from 0 to 1")
        _require(
            _ordered(self.emboli_per_scan, 1, 30), "emboli_per_scan", self.emboli_per_scan, "1 to 30, smaller first"
        )
        _require(0 <= self.min_embolus_mm3 <= 5000, "min_embolus_mm3", self.min_embolus_mm3, "0 to 5000 mm3")
        _require(self.min_embolus_voxels >= 1, "min_embolus_voxels", self.min_embolus_voxels, "1 or more")
        _require(_ordered(self.artery_hu, 150, 800), "artery_hu", self.artery_hu, "150 to 800 HU, smaller first")
        _require(_ordered(self.embolus_hu, 0, 140), "embolus_hu", self.embolus_hu, "0 to 140 HU, smaller first")
        _require(
            _ordered(self.contrast_to_noise, 1, 100),
            "contrast_to_noise",
            self.contrast_to_noise,
            "1 to 100, smaller first",
        )

    def is_negative(self, seed: int, index: int) -> bool:
        """Whether the case has no emboli, decided without knowing how many cases there are.

        Among any n consecutive indices, n times `negative_fraction` are negative, rounded up or down.

        Example:
            >>> [PhantomSettings(negative_fraction=0.25).is_negative(0, i) for i in range(8)]
            [False, True, False, False, False, True, False, False]
        """
        shift = 0.5 + 0.37 * seed
        return math.floor((index + 1) * self.negative_fraction + shift % 1) > math.floor(
            index * self.negative_fraction + shift % 1
        )

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON types."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


def coarse_settings(**changes: Any) -> PhantomSettings:
    """Settings of a cohort for quick runs: 2.5 mm voxels, a small thorax, emboli that show at that spacing."""
    base: dict[str, Any] = {
        "spacing_mm": (2.5, 2.5, 2.5),
        "thorax_width_mm": (240.0, 280.0),
        "min_embolus_mm3": 400.0,
        "min_embolus_voxels": 12,
    }
    return PhantomSettings(**{**base, **changes})


def _ordered(pair: tuple[float, float], low: float, high: float) -> bool:
    return len(pair) == 2 and low <= pair[0] <= pair[1] <= high


def _require(holds: bool, name: str, got: object, expected: str) -> None:
    if not holds:
        raise ConfigurationError("PE-PHA-001", f"phantom setting {name} is {got}, expected {expected}")


MIN_MM3, LOW_MM3, MEDIAN_MM3, HIGH_MM3, MAX_MM3 = 0.8, 10.0, 1050.0, 26_000.0, 46_271.0


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
    lowest = float(np.interp(np.log(max(min_mm3, MIN_MM3)), log_volumes, shares))
    return np.asarray(np.exp(np.interp(rng.uniform(lowest, 1, count), shares, log_volumes)))


def _quantiles() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The distribution as shares from 0 to 1 and the logarithms of the volumes below which they lie."""
    shares = np.linspace(0.05, 0.95, 181)
    deviate = ndtri(shares) / ndtri(0.95)  # -1 at 5 %, 1 at 95 %
    spread = np.where(deviate < 0, np.log(MEDIAN_MM3 / LOW_MM3), np.log(HIGH_MM3 / MEDIAN_MM3))
    middle = np.log(MEDIAN_MM3) + spread * deviate
    return np.r_[0, shares, 1], np.r_[np.log(MIN_MM3), middle, np.log(MAX_MM3)]
