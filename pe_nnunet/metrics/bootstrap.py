"""Bootstrap over patients: how much a cohort's numbers would move if other patients had come."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pe_nnunet.options import option

LOW_PERCENT, HIGH_PERCENT = 2.5, 97.5


@dataclass(frozen=True)
class Resampling:
    """How to resample: patients, with all their scans.

    The same seed gives the same samples, whatever is computed from them.
    """

    samples: int = option(
        1000, "bootstrap samples of the intervals; 0 for none", low=0, flag="--bootstrap", metavar="N"
    )
    seed: int = option(0, "of the samples", low=0)

    def weights(self, patients: Sequence[Hashable]) -> Iterator[NDArray[np.int64]]:
        """For each sample how often each scan is in it: as many patients as there are, drawn with replacement.

        Args:
            patients: Whose each scan is; the scans of a patient are drawn together.
        """
        number = {patient: place for place, patient in enumerate(dict.fromkeys(patients))}
        of_scan = np.array([number[patient] for patient in patients])
        count = len(number)
        random = np.random.default_rng(self.seed)
        for _ in range(self.samples):
            drawn = np.bincount(random.integers(count, size=count), minlength=count).astype(np.int64)
            yield drawn[of_scan]


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval.

    Attributes:
        value: Over all scans; None where it is not defined.
        low: The 2.5th percentile of the samples in which it is defined; None without such samples.
        high: The 97.5th.
    """

    value: float | None
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        """`0.812 [0.700, 0.901]`, or `-`."""
        if self.value is None:
            return "-"
        return f"{self.value:.3f}" + ("" if self.low is None else f" [{self.low:.3f}, {self.high:.3f}]")


def estimates(
    statistic: Callable[[NDArray[np.int64]], dict[str, float | None]],
    patients: Sequence[Hashable],
    resampling: Resampling,
) -> dict[str, Estimate]:
    """Several numbers of a cohort with their intervals, all from the same samples; of a single patient without.

    Args:
        statistic: From how often each scan counts to named numbers.
        patients: Whose each scan is, at least one.
        resampling: How often, and the seed.

    Example:
        >>> values = np.array([1.0, 3.0])
        >>> estimates(lambda w: {"mean": float(w @ values / w.sum())}, "ab", Resampling(100))["mean"]
        Estimate(value=2.0, low=1.0, high=3.0)
    """
    whole = statistic(np.ones(len(patients), np.int64))
    drawn: dict[str, list[float]] = {name: [] for name in whole}
    for weights in resampling.weights(patients) if len(set(patients)) > 1 else ():
        for name, value in statistic(weights).items():
            if value is not None:
                drawn[name].append(value)
    return {name: _estimate(value, drawn[name]) for name, value in whole.items()}


def _estimate(value: float | None, drawn: list[float]) -> Estimate:
    if value is None or not drawn:
        return Estimate(value)
    low, high = np.percentile(drawn, [LOW_PERCENT, HIGH_PERCENT])
    return Estimate(value, float(low), float(high))
