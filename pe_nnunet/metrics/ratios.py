"""Ratios of what is common to prediction and truth, and what they are worth where there is nothing to count."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from pe_nnunet.errors import ConfigurationError


def ratio(part: int, whole: int) -> float | None:
    """A share; None of nothing."""
    return part / whole if whole else None


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of those that are defined; None where none is."""
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None


@overload
def f1(sensitivity: float, precision: float) -> float: ...
@overload
def f1(sensitivity: NDArray[np.floating[Any]], precision: NDArray[np.floating[Any]]) -> NDArray[np.float64]: ...
def f1(sensitivity: Any, precision: Any) -> Any:
    """The harmonic mean of sensitivity and precision, 0 where both are 0.

    Args:
        sensitivity: Numbers or arrays, 0 to 1.
        precision: The same.

    Example:
        >>> f1(0.5, 1.0), f1(0.0, 0.0)
        (0.6666666666666666, 0.0)
    """
    value = 2 * sensitivity * precision / np.maximum(sensitivity + precision, 1e-12)
    return value if isinstance(value, np.ndarray) else float(value)


@dataclass(frozen=True)
class EmptyPolicy:
    """Value of a case's Dice, and of its embolus F1, where label, prediction or both are empty.

    A number enters the means; None leaves the case out of them. By default a scan without emboli has no Dice: 1 for an
    empty prediction would reward a model that finds nothing, and 0 for one stray voxel would hide how little that is.
    What is found in such scans is reported apart (false positives, volume), and enters false positives a scan,
    precision and specificity. An empty prediction on a scan with emboli scores 0.

    Attributes:
        both_empty: No embolus, none found.
        label_empty: No embolus, something found.
        prediction_empty: Emboli, none found.

    Raises:
        ConfigurationError: PE-EVAL-003 for a number outside [0, 1].
    """

    both_empty: float | None = None
    label_empty: float | None = None
    prediction_empty: float | None = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and not 0 <= value <= 1:
                raise ConfigurationError("PE-EVAL-003", f"{name} {value}: expected None or a number from 0 to 1")

    def harmonic(self, common: float, prediction: float, truth: float) -> float | None:
        """Twice the common part over the sum of both, or what the policy says where one is empty.

        Args:
            common: Size of the common part.
            prediction: Size of the prediction.
            truth: Size of the truth.

        Example:
            >>> EmptyPolicy().harmonic(common=2, prediction=4, truth=4)
            0.5
            >>> EmptyPolicy().harmonic(common=0, prediction=3, truth=0) is None
            True
        """
        if not truth:
            return self.label_empty if prediction else self.both_empty
        if not prediction:
            return self.prediction_empty
        return 2 * common / (prediction + truth)
