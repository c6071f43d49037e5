"""Numbers of plans that prediction computes with: what is impossible is damage, found before a scan is read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MOST_VOXELS = 4096  # of a patch, along an axis
MOST_PARTS = 64  # stages of a network, and blocks or convolutions of one
MOST_CHANNELS = 8192  # or anything else that a network is built by
SPACINGS_MM = (1e-4, 100.0)
INTENSITIES = "foreground_intensity_properties_per_channel"
DIVIDES = "CTNormalization"  # by the standard deviation of the intensities


def require_possible_numbers(plans: Mapping[str, Any], configuration: Mapping[str, Any]) -> None:
    """Check patch, spacing, order of the axes, size of the network, and what intensities are normalised by.

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
    architecture = configuration.get("architecture") or configuration
    for name, value in (architecture.get("arch_kwargs") or architecture).items():
        most = MOST_PARTS if name.startswith("n_") else MOST_CHANNELS
        if any(number > most for number in _numbers(value)):
            raise ValueError(f"{name} is {str(value)[:100]}, expected at most {most}")
    _require_intensities(plans[INTENSITIES], configuration["normalization_schemes"])


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


def _numbers(value: Any) -> Iterator[float]:
    """All numbers in a value, however it is nested."""
    if isinstance(value, (list, tuple)):
        for part in value:
            yield from _numbers(part)
    elif isinstance(value, (int, float)):
        yield value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
