"""From a label image as it lies on disk to one id per embolus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.voxels import foreground, label_components


@dataclass(frozen=True)
class LabelKind:
    """How the values of a label image are meant.

    Attributes:
        kind: `instances`: every value is the id of one embolus. `binary`: whatever is not 0 is embolus, and its
            26-connected components are the emboli. `class`: a class map, of which `embolus_class` alone is embolus,
            again by components. `auto`: binary where there is a single value beside 0, else instances.
        embolus_class: The embolus's value in a class map.

    Example:
        >>> LabelKind.parse("class:2")
        LabelKind(kind='class', embolus_class=2)
    """

    kind: Literal["auto", "binary", "instances", "class"] = "auto"
    embolus_class: int = 1

    @classmethod
    def parse(cls, text: str) -> LabelKind:
        """From `auto`, `binary`, `instances` or `class:N`.

        Raises:
            ConfigurationError: PE-EVAL-003 for anything else.
        """
        name, _, number = text.partition(":")
        if name == "class" and number.isdecimal() and int(number) > 0:
            return cls("class", int(number))
        if text in ("auto", "binary", "instances"):
            return cls(text)  # type: ignore[arg-type]  # mypy does not narrow str to Literal by `in`
        raise ConfigurationError(
            "PE-EVAL-003", f"label kind {text!r}: expected auto, binary, instances, or class:N as in class:2"
        )

    def __str__(self) -> str:
        """The form that `parse` reads."""
        return f"class:{self.embolus_class}" if self.kind == "class" else self.kind


AUTO = LabelKind()


def to_instances(array: NDArray[Any], kind: LabelKind = AUTO) -> NDArray[Any]:
    """One id per embolus.

    Args:
        array: Whole numbers from 0 on, or booleans, (z, y, x).
        kind: What its values mean.

    Returns:
        Ids, 0 background, (z, y, x); ids may have gaps.

    Example:
        >>> import numpy as np
        >>> to_instances(np.array([[[1, 0, 1]]])).tolist()
        [[[1, 0, 2]]]
        >>> to_instances(np.array([[[1, 0, 5]]])).tolist()
        [[[1, 0, 5]]]
    """
    if kind.kind == "class":
        return label_components(array == kind.embolus_class)[0]
    if kind.kind == "instances" or (kind.kind == "auto" and _several_values(array)):
        return array
    return label_components(array != 0)[0]


def _several_values(array: NDArray[Any]) -> bool:
    values = foreground(array)[1]
    return bool((values != values[:1]).any())
