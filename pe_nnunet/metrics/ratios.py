"""Ratios of counts, one rule each."""

from __future__ import annotations

from typing import Any, overload

import numpy as np
from numpy.typing import NDArray


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
