"""FROC of a cohort under a protocol, with intervals, and by embolus size."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pe_nnunet.metrics.bootstrap import Estimate, Resampling, estimates
from pe_nnunet.metrics.froc import Froc, Pool, ScanHits
from pe_nnunet.metrics.protocols import PROTOCOLS, ProtocolName, score, sensitivity_at

# The median embolus of FUMPE has about 1,000 mm3, the largest 46,000.
SIZE_BOUNDS_MM3 = (0.0, 100.0, 1000.0, 10000.0, float("inf"))
BAND_RATES = tuple(float(rate) for rate in np.geomspace(0.125, 8, 25))


class SizeStratum(NamedTuple):
    """Emboli of one range of volumes.

    Attributes:
        min_mm3: From this on.
        below_mm3: Up to but not this.
        emboli: How many.
        found: Hit by any marker.
        recall: Their ratio.
        sensitivity_at_1: At one false marker a scan.
    """

    min_mm3: float
    below_mm3: float
    emboli: int
    found: int
    recall: Estimate
    sensitivity_at_1: Estimate


@dataclass(frozen=True)
class Detection:
    """One protocol at one tolerance.

    Attributes:
        protocol: Its name.
        eps_mm: The tolerance.
        curve: All points.
        sensitivity_at_fp: False markers a scan -> sensitivity.
        score: The mean over these.
        band: Sensitivities over `BAND_RATES`, for the plot.
        sizes: By volume; empty under `aanet`, whose emboli are not the label's.
    """

    protocol: ProtocolName
    eps_mm: float
    curve: Froc
    sensitivity_at_fp: dict[float, Estimate]
    score: Estimate
    band: tuple[Estimate, ...]
    sizes: tuple[SizeStratum, ...]

    def to_dict(self) -> dict[str, Any]:
        """In JSON's types: `tp`, `fn`, `fp`, `sensitivity_at_fp`, `score`, intervals as [low, high]."""
        at = {f"{rate:g}": estimate for rate, estimate in self.sensitivity_at_fp.items()}
        return {
            "tp": self.curve.true_positives,
            "fn": self.curve.false_negatives,
            "fp": self.curve.false_positives,
            "sensitivity_at_fp": {rate: estimate.value for rate, estimate in at.items()},
            "sensitivity_at_fp_interval": {rate: [estimate.low, estimate.high] for rate, estimate in at.items()},
            **_with_interval("score", self.score),
            "sizes": [
                {"least_mm3": size.min_mm3, "below_mm3": size.below_mm3, "emboli": size.emboli, "found": size.found}
                | _with_interval("recall", size.recall)
                | _with_interval("sensitivity_at_1", size.sensitivity_at_1)
                for size in self.sizes
            ],
        }


def _with_interval(name: str, estimate: Estimate) -> dict[str, Any]:
    return {name: estimate.value, f"{name}_interval": [estimate.low, estimate.high]}


def detection(
    protocol: ProtocolName,
    eps_mm: float,
    scans: Sequence[ScanHits],
    resampling: Resampling,
    patients: Sequence[Hashable] | None = None,
) -> Detection:
    """Bring the scans of one protocol and tolerance together.

    Args:
        protocol: By which `scans` were scored.
        eps_mm: At which.
        scans: At least one.
        resampling: For the intervals.
        patients: Whose each scan is; each its own if None.
    """
    pool = Pool(scans)
    patients = range(len(scans)) if patients is None else patients

    def readings(weights: NDArray[np.int64]) -> dict[str, float | None]:
        curve = pool.curve(weights)
        values = {f"at {rate:g}": sensitivity_at(curve, rate, protocol) for rate in PROTOCOLS[protocol].fp_rates}
        band = {f"band {rate:g}": sensitivity_at(curve, rate, "cad-pe") for rate in BAND_RATES}
        return {**values, **band, "score": score(curve, protocol)}

    found = estimates(readings, patients, resampling)
    return Detection(
        protocol=protocol,
        eps_mm=eps_mm,
        curve=pool.curve(),
        sensitivity_at_fp={rate: found[f"at {rate:g}"] for rate in PROTOCOLS[protocol].fp_rates},
        score=found["score"],
        band=tuple(found[f"band {rate:g}"] for rate in BAND_RATES),
        sizes=_sizes(scans, resampling, patients) if PROTOCOLS[protocol].by_size else (),
    )


def _sizes(scans: Sequence[ScanHits], resampling: Resampling, patients: Sequence[Hashable]) -> tuple[SizeStratum, ...]:
    strata = []
    for low, below in pairwise(SIZE_BOUNDS_MM3):
        pool = Pool([scan.between(low, below) for scan in scans])
        whole = pool.curve()

        def readings(weights: NDArray[np.int64], pool: Pool = pool) -> dict[str, float | None]:
            curve = pool.curve(weights)
            emboli = curve.true_positives + curve.false_negatives
            return {
                "recall": curve.true_positives / emboli if emboli else None,
                "at 1": sensitivity_at(curve, 1.0, "cad-pe"),
            }

        found = estimates(readings, patients, resampling)
        emboli = whole.true_positives + whole.false_negatives
        strata.append(SizeStratum(low, below, emboli, whole.true_positives, found["recall"], found["at 1"]))
    return tuple(strata)
