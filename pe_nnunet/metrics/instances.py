"""From a label image as it lies on disk to one id per embolus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pe_nnunet.errors import ConfigurationError, InputError
from pe_nnunet.voxels import foreground, label_components


@dataclass(frozen=True)
class LabelKind:
    """How the values of a label image are meant.

    Attributes:
        kind: `instances`: every value is the id of one embolus. `binary`: whatever is not 0 is embolus, and its
            26-connected components are the emboli. `class`: a class map, of which `embolus_values` alone are embolus,
            again by components. `auto`: binary where there is a single value beside 0, else instances.
        embolus_values: The values of emboli in a class map.
        ignored: Values of voxels of which nobody says what they are: no embolus, whatever the kind; see
            `pe_nnunet.metrics.ignored`.
        known: All values that there may be, ascending; empty where that is not known.

    Example:
        >>> LabelKind.parse("class:2").embolus_values, str(LabelKind.parse("class:2,3"))
        ((2,), 'class:2,3')
    """

    kind: Literal["auto", "binary", "instances", "class"] = "auto"
    embolus_values: tuple[int, ...] = ()
    ignored: tuple[int, ...] = ()
    known: tuple[int, ...] = ()

    @classmethod
    def parse(cls, text: str) -> LabelKind:
        """From `auto`, `binary`, `instances`, `class:N` or `class:N,M`.

        Raises:
            ConfigurationError: PE-EVAL-003 for anything else.
        """
        name, _, numbers = text.partition(":")
        values = numbers.split(",")
        if name == "class" and all(value.isdecimal() and int(value) > 0 for value in values):
            return cls("class", tuple(sorted(set(map(int, values)))))
        if text in ("auto", "binary", "instances"):
            return cls(text)  # type: ignore[arg-type]  # mypy does not narrow str to Literal by `in`
        raise ConfigurationError(
            "PE-EVAL-003", f"label kind {text!r}: expected auto, binary, instances, or class:N as in class:2"
        )

    def __str__(self) -> str:
        """The form that `parse` reads."""
        return f"class:{','.join(map(str, self.embolus_values))}" if self.kind == "class" else self.kind


AUTO = LabelKind()


def to_instances(array: NDArray[Any], kind: LabelKind = AUTO) -> NDArray[Any]:
    """One id per embolus.

    Args:
        array: Whole numbers from 0 on, or booleans, (z, y, x).
        kind: What its values mean.

    Returns:
        Ids, 0 background, (z, y, x); ids may have gaps.

    Example:
        >>> to_instances(np.array([[[1, 0, 1]]])).tolist()
        [[[1, 0, 2]]]
        >>> to_instances(np.array([[[1, 0, 5]]])).tolist()
        [[[1, 0, 5]]]
        >>> to_instances(np.array([[[1, 0, 5]]]), LabelKind("binary", ignored=(5,))).tolist()
        [[[1, 0, 0]]]
    """
    voxels = embolus_voxels(array, kind)
    if kind.kind == "instances" or (kind.kind == "auto" and _several_values(voxels)):
        return voxels
    return label_components(voxels != 0)[0]


def embolus_voxels(array: NDArray[Any], kind: LabelKind) -> NDArray[Any]:
    """What is not 0 where there is embolus: the array itself where nothing of it has to be left out.

    Args:
        array: As in `to_instances`.
        kind: What its values mean.
    """
    if kind.kind == "class":
        return _among(array, kind.embolus_values)
    return np.where(_among(array, kind.ignored), 0, array).astype(array.dtype) if kind.ignored else array


def ignored_voxels(array: NDArray[Any], kind: LabelKind) -> NDArray[np.bool_] | None:
    """The voxels of which nobody says what they are; None where there are none.

    Args:
        array: As in `to_instances`.
        kind: What its values mean.
    """
    if not kind.ignored:
        return None
    ignored = _among(array, kind.ignored)
    return ignored if ignored.any() else None


def require_known_values(array: NDArray[Any], kind: LabelKind, what: str) -> None:
    """Check that a label holds no value that its `dataset.json` does not name.

    Args:
        array: As in `to_instances`.
        kind: What its values mean.
        what: How the message calls it.

    Raises:
        InputError: PE-EVAL-016 if it does.
    """
    unknown = _unknown_values(array, kind.known) if kind.known else []
    if unknown:
        raise InputError(
            "PE-EVAL-016",
            f"{what} holds {', '.join(map(str, unknown[:5]))}{', ...' if len(unknown) > 5 else ''}, expected only "
            f"values that dataset.json names: {', '.join(map(str, kind.known[:8]))}",
            "if they are ids of emboli and no classes, give --label-kind or --prediction-kind instances; or name the "
            "right file with --dataset-json",
        )


def _unknown_values(array: NDArray[Any], known: tuple[int, ...]) -> list[int]:
    """The values of an array that are none of these, ascending."""
    highest = int(array.max(initial=0))
    if highest <= known[-1] and len(known) == known[-1] + 1:
        return []  # nnU-Net's labels have no gaps, and a maximum is found at the speed of memory
    there = np.zeros(highest + 1, bool)
    for plane in array:
        there |= np.bincount(plane.ravel(), minlength=highest + 1) > 0
    there[[value for value in known if value <= highest]] = False
    return [int(value) for value in np.flatnonzero(there)]


def _among(array: NDArray[Any], values: tuple[int, ...]) -> NDArray[np.bool_]:
    """Where an array has one of a few values; `isin` takes several times as long."""
    found = np.zeros(array.shape, bool)
    for value in values:
        found |= array == value
    return found


def _several_values(array: NDArray[Any]) -> bool:
    values = foreground(array)[1]
    return bool((values != values[:1]).any())
