"""Numbers of plans that prediction computes with: what is impossible is damage, found before a scan is read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

MOST_VOXELS = 4096  # of a patch, along an axis
SPACINGS_MM = (1e-4, 100.0)
FINGERPRINT = "foreground_intensity_properties_per_channel"
DIVIDES = "CTNormalization"  # by the standard deviation of the fingerprint


def require_possible_numbers(plans: Mapping[str, Any], configuration: Mapping[str, Any]) -> None:
    """Check patch, spacing, order of the axes, and what intensities are normalised by.

    Args:
        plans: Content of `plans.json`.
        configuration: The one that is used, with what it inherits.

    Raises:
        ValueError: Names the first number that is none, or impossible.
    """
    patch, spacing = configuration["patch_size"], configuration["spacing"]
    if len(patch) not in (2, 3) or not all(type(n) is int and 1 <= n <= MOST_VOXELS for n in patch):
        raise ValueError(f"patch_size is {patch}, expected two or three sides of 1 to {MOST_VOXELS} voxels")
    low, high = SPACINGS_MM
    if len(spacing) != len(patch) or not all(_is_number(mm) and low <= mm <= high for mm in spacing):
        raise ValueError(f"spacing is {spacing}, expected {low:g} to {high:g} mm for each of {len(patch)} axes")
    for name in ("transpose_forward", "transpose_backward"):
        if sorted(plans[name]) != [0, 1, 2]:
            raise ValueError(f"{name} is {plans[name]}, expected the numbers of three axes in some order")
    _require_intensities(plans[FINGERPRINT], configuration["normalization_schemes"])


def _require_intensities(properties: Mapping[str, Mapping[str, Any]], schemes: Sequence[str]) -> None:
    for channel, scheme in enumerate(schemes):
        if scheme != DIVIDES:
            continue
        values = properties[str(channel)]
        for name in ("mean", "std", "percentile_00_5", "percentile_99_5"):
            if not _is_number(values[name]):
                raise ValueError(f"{name} of channel {channel} is {values[name]!r}, expected a number")
        if values["std"] <= 0 or values["percentile_00_5"] >= values["percentile_99_5"]:
            raise ValueError(f"the intensities of channel {channel} have no width: {dict(values)}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
