"""What a user may ask of a planner, checked before anything is planned; and a plan in one line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pe_nnunet.errors import ConfigurationError


def check_settings(plans_name: str, memory_target_gib: float, spacing_mm: Sequence[float] | None) -> None:
    """Refuse settings that nnU-Net would trip over later.

    Raises:
        ConfigurationError: For a name with two underscores in a row, which nnU-Net splits folder names at; for a
            memory target that is not positive; for a spacing that is not three positive numbers.
    """
    if not plans_name or "__" in plans_name or "/" in plans_name:
        raise ConfigurationError(
            "PE-PLN-002", f"the plans name is {plans_name!r}", "choose one without '__' and '/' (-overwrite_plans_name)"
        )
    if not memory_target_gib > 0:
        raise ConfigurationError(
            "PE-PLN-002", f"the memory target is {memory_target_gib} GiB", "give a positive -gpu_memory_target"
        )
    if spacing_mm is not None and (len(spacing_mm) != 3 or not all(s > 0 for s in spacing_mm)):
        raise ConfigurationError(
            "PE-PLN-002",
            f"the target spacing is {list(spacing_mm)}, expected three positive numbers in mm",
            "correct -overwrite_target_spacing",
        )


def by(values: Sequence[float]) -> str:
    """Sizes or spacings of the axes as text.

    Example:
        >>> by([1024, 64.0, 0.7373])
        '1024x64x0.737'
    """
    return "x".join(f"{round(float(value), 3):g}" for value in values)


def describe(name: str, plan: dict[str, Any]) -> str:
    """One line on a configuration."""
    kwargs = plan["architecture"]["arch_kwargs"]
    return (
        f"{name}: patch {by(plan['patch_size'])}, batch {plan['batch_size']}, spacing "
        f"{by(plan['spacing'])} mm, features {kwargs['features_per_stage']}, "
        f"about {plan['estimated_training_memory_gib']} GiB"
    )
