"""Patch and batch sizes that are asked for, in place of those that would be planned.

nnU-Net's planning commands have no option for them, so they come from the environment, as a training's recipe does:
`PE_NNUNET_PLAN="patch_size_3d=96x96x96 batch_size_3d=4"`, or the path of a TOML file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import ceil
from typing import Any

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.errors.near import did_you_mean
from pe_nnunet.planners.memory import smallest_sides
from pe_nnunet.planners.settings import by
from pe_nnunet.recipe.resolve import read_environment

ENVIRONMENT_VARIABLE = "PE_NNUNET_PLAN"
CODE = "PE-PLN-009"


@dataclass(frozen=True)
class AskedSizes:
    """What is asked for; None where the planner decides.

    Attributes:
        patch_size_3d: Voxels per axis, in the plans' order: (z, y, x) unless the plans transpose.
        patch_size_2d: (y, x).
        batch_size_3d: Patches a training step.
        batch_size_2d: The same of `2d`.
    """

    patch_size_3d: tuple[int, ...] | None = None
    patch_size_2d: tuple[int, ...] | None = None
    batch_size_3d: int | None = None
    batch_size_2d: int | None = None

    @classmethod
    def from_environment(cls) -> AskedSizes:
        """What `PE_NNUNET_PLAN` asks for.

        Raises:
            ConfigurationError: PE-PLN-009 for a key that there is none of, or a value that is no size.
        """
        text = re.sub(r"(?<=\d)\s*,\s*(?=\d)", "x", os.environ.get(ENVIRONMENT_VARIABLE, ""))
        given = read_environment(text, ENVIRONMENT_VARIABLE, CODE)
        known = [item.name for item in fields(cls)]
        if unknown := sorted(set(given) - set(known)):
            hint = did_you_mean(unknown[0], known, f"known: {', '.join(known)}")
            raise ConfigurationError(CODE, f"unknown key {unknown[0]!r} in {ENVIRONMENT_VARIABLE}", hint)
        return cls(**{name: _size(name, value) for name, value in given.items()})

    def of(self, dimensions: int) -> tuple[tuple[int, ...] | None, int | None]:
        """Patch and batch size of the configuration of so many dimensions."""
        if dimensions == 2:
            return self.patch_size_2d, self.batch_size_2d
        return self.patch_size_3d, self.batch_size_3d

    def given(self) -> dict[str, Any]:
        """What is asked for, in JSON's types."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items() if v is not None}


def _size(name: str, value: Any) -> Any:
    """A size from text or from TOML: whole numbers of at least 1, as many as there are axes."""
    axes = 1 if name.startswith("batch") else int(name[-2])
    parts = value if isinstance(value, list) else re.split(r"[x\s]+", str(value).strip().lower())
    numbers = [int(part) if re.fullmatch(r"\d+", str(part)) else 0 for part in parts]
    if len(numbers) != axes or min(numbers) < 1:
        expected = (
            "a whole number from 1 on" if axes == 1 else f"{axes} whole numbers, for example {'x'.join(['96'] * axes)}"
        )
        raise ConfigurationError(CODE, f"{name} is {value!r} in {ENVIRONMENT_VARIABLE}", f"expected {expected}")
    return numbers[0] if axes == 1 else tuple(numbers)


def require_possible(patch: Sequence[int], divisor: Sequence[int], image_size: Sequence[int]) -> None:
    """Refuse a patch that the network's strides do not divide, or that leaves too little at its coarsest stage.

    Args:
        patch: Voxels per axis.
        divisor: What the sides have to be divisible by.
        image_size: Median size of the images in voxels.

    Raises:
        ConfigurationError: PE-PLN-009, with the nearest patches that would do.
    """
    smallest = smallest_sides(image_size, divisor)
    below = [max(low, n // d * d) for n, d, low in zip(patch, divisor, smallest, strict=True)]
    above = [max(low, ceil(n / d) * d) for n, d, low in zip(patch, divisor, smallest, strict=True)]
    if list(patch) == below == above:
        return
    nearest = " or ".join(dict.fromkeys(by(sides) for sides in (below, above)))
    raise ConfigurationError(
        CODE,
        f"patch_size_{len(patch)}d is {by(patch)}, but the network's strides need multiples of {by(divisor)}, at "
        f"least {by(smallest)}",
        f"nearest: {nearest}",
    )
