"""What is asked of a planner in place of what it would plan.

nnU-Net's planning commands have no options for it, so it comes from the environment, as a training's recipe does:
`PE_NNUNET_PLAN="patch_size_3d=96x96x96 units=1,2 recurrence=0"`, or the path of a TOML file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.errors.near import did_you_mean
from pe_nnunet.networks.blocks.layers import ORDINALS
from pe_nnunet.options import option, options_of, require_limits
from pe_nnunet.recipe.recipe import WORDS
from pe_nnunet.recipe.resolve import read_environment

ENVIRONMENT_VARIABLE = "PE_NNUNET_PLAN"
SIZES_CODE, READING_CODE, NETWORK_CODE = "PE-PLN-009", "PE-PLN-010", "PE-PLN-011"
SHORT = {"patch": "patch_size_3d", "batch": "batch_size_3d"}


def _numbers(value: Any) -> tuple[int, ...]:
    """Whole numbers from text or from TOML.

    Raises:
        ValueError: If something else is given.
    """
    parts = value if isinstance(value, list) else re.split(r"[x\s]+", str(value).strip().lower())
    if not parts or not all(re.fullmatch(r"\d+", str(part)) for part in parts):
        raise ValueError("whole numbers, for example 1,2")
    return tuple(int(part) for part in parts)


def _number(value: Any) -> int:
    numbers = _numbers(value)
    if len(numbers) != 1:
        raise ValueError("a whole number")
    return numbers[0]


def _yes_or_no(value: Any) -> bool:
    if str(value).strip().lower() not in WORDS:
        raise ValueError("yes or no")
    return WORDS[str(value).strip().lower()]


@dataclass(frozen=True)
class AskedPlan:
    """What is asked for; None where the planner decides.

    Raises:
        ConfigurationError: PE-PLN-010 if a value lies outside its limits.
    """

    patch_size_3d: tuple[int, ...] | None = option(None, "voxels per axis, in the plans' order", kind=_numbers)
    patch_size_2d: tuple[int, ...] | None = option(None, "(y, x) of 2d", kind=_numbers)
    batch_size_3d: int | None = option(None, "patches a training step", kind=_number)
    batch_size_2d: int | None = option(None, "the same of 2d", kind=_number)
    poolings: int | None = option(None, "how often the image is halved", kind=_number, low=1, high=8)
    width: int | None = option(None, "channels at full resolution", kind=_number, low=1)
    first_width: int | None = option(None, "channels at full resolution alone", kind=_number, low=1)
    units: tuple[int, ...] | None = option(
        None, "recurrent units, or convolutions, of a block, per stage", kind=_numbers, low=1, high=len(ORDINALS)
    )
    recurrence: tuple[int, ...] | None = option(
        None, "how often a recurrent unit is applied again, per stage", kind=_numbers, low=0, high=8
    )
    attention: bool | None = option(None, "whether skips pass attention gates", kind=_yes_or_no)
    residual: bool | None = option(None, "recurrent residual blocks, or double convolutions", kind=_yes_or_no)

    def __post_init__(self) -> None:
        require_limits(self, READING_CODE, lambda item: f"{item.name} in {ENVIRONMENT_VARIABLE}")

    @classmethod
    def from_environment(cls) -> AskedPlan:
        """What `PE_NNUNET_PLAN` asks for.

        Raises:
            ConfigurationError: PE-PLN-010 for a key that there is none of, or a value that it cannot have; PE-PLN-009
                for a value that is no size.
        """
        return cls.parsed(os.environ.get(ENVIRONMENT_VARIABLE, ""))

    @classmethod
    def parsed(cls, text: str) -> AskedPlan:
        """What a text asks for; errors as of `from_environment`, which reads it.

        Example:
            >>> AskedPlan.parsed("units=1,2 patch=64,64,64").given()
            {'patch_size_3d': [64, 64, 64], 'units': [1, 2]}
        """
        text = re.sub(r"(?<=\d)\s*,\s*(?=\d)", "x", text)
        options, values = options_of(cls), {}
        for key, value in read_environment(text, ENVIRONMENT_VARIABLE, READING_CODE).items():
            name = SHORT.get(key, key)
            if name not in options:
                known = [*options, *SHORT]
                hint = did_you_mean(key, known, f"known: {', '.join(known)}")
                raise ConfigurationError(READING_CODE, f"unknown key {key!r} in {ENVIRONMENT_VARIABLE}", hint)
            if name in values:
                raise ConfigurationError(
                    READING_CODE, f"{name} is in {ENVIRONMENT_VARIABLE} twice", f"{', '.join(SHORT)} are short names"
                )
            try:
                values[name] = _size(name, value) if "_size_" in name else options[name].metadata["kind"](value)
            except ValueError as error:
                raise ConfigurationError(
                    SIZES_CODE if "_size_" in name else READING_CODE,
                    f"{name} is {value!r} in {ENVIRONMENT_VARIABLE}",
                    f"expected {error}",
                ) from error
        return cls(**values)

    def sizes(self, dimensions: int) -> tuple[tuple[int, ...] | None, int | None]:
        """Patch and batch size of the configuration of so many dimensions."""
        if dimensions == 2:
            return self.patch_size_2d, self.batch_size_2d
        return self.patch_size_3d, self.batch_size_3d

    def given(self) -> dict[str, Any]:
        """What is asked for, in JSON's types."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items() if v is not None}

    def network_kwargs(self, allowed: Iterable[str], n_stages: int, who: str) -> dict[str, Any]:
        """What is asked of the network itself, as its keyword arguments; the last value of a list goes on.

        Args:
            allowed: What the planner's network has of it; `width`, `first_width` and `poolings` among them.
            n_stages: Number of resolutions.
            who: The network's name.

        Raises:
            ConfigurationError: PE-PLN-011 for what the network has not, or values for more stages than there are.
        """
        asked = {name: value for name, value in self.given().items() if "_size_" not in name}
        if others := [name for name in asked if name not in allowed]:
            raise ConfigurationError(
                NETWORK_CODE,
                f"{others[0]} is in {ENVIRONMENT_VARIABLE}, but {who} has none",
                f"it has {', '.join(allowed)}",
            )
        kwargs = {name: value for name, value in asked.items() if name not in ("poolings", "width", "first_width")}
        for name, value in kwargs.items():
            if isinstance(value, list):
                if len(value) > n_stages:
                    raise ConfigurationError(
                        NETWORK_CODE,
                        f"{name} in {ENVIRONMENT_VARIABLE} has {len(value)} values, {who} has {n_stages} stages here",
                        "give one for each stage, full resolution first; the last one goes on",
                    )
                kwargs[name] = value + value[-1:] * (n_stages - len(value))
        return kwargs


def _size(name: str, value: Any) -> Any:
    """A size: whole numbers of at least 1, as many as there are axes.

    Raises:
        ValueError: If it is none.
    """
    axes = 1 if name.startswith("batch") else int(name[-2])
    try:
        numbers: Sequence[int] = _numbers(value)
    except ValueError:
        numbers = ()
    if len(numbers) != axes or min(numbers) < 1:
        raise ValueError(
            "a whole number from 1 on" if axes == 1 else f"{axes} whole numbers, for example {'x'.join(['96'] * axes)}"
        )
    return numbers[0] if axes == 1 else tuple(numbers)
