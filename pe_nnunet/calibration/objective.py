"""From counts of what each candidate finds in each scan to the best of them.

The objective is the F1 of emboli or, under a number of false positives a scan, the sensitivity at no more than that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pe_nnunet.calibration.counts import EMBOLI, FINDINGS, FOUND, TRUE
from pe_nnunet.errors import InputError
from pe_nnunet.metrics.ratios import f1

MEANINGFUL = 1e-9


def rates(
    total: NDArray[Any], scans: int | NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Sensitivity, false positives a scan, and F1 of counts (..., columns) that are summed over scans."""
    sensitivity = total[..., FOUND] / np.maximum(total[..., EMBOLI], 1)
    precision = total[..., TRUE] / np.maximum(total[..., FINDINGS], 1)
    return sensitivity, (total[..., FINDINGS] - total[..., TRUE]) / scans, f1(sensitivity, precision)


def totals(counts: NDArray[np.int64]) -> tuple[float, float, float, int, int]:
    """Sensitivity, false positives a scan, F1, emboli found and emboli of counts (scans, columns)."""
    total = counts.sum(axis=0)
    sensitivity, false, score = (float(value) for value in rates(total, len(counts)))
    return sensitivity, false, score, int(total[FOUND]), int(total[EMBOLI])


def best(
    counts: NDArray[np.int64],
    max_fp_per_scan: float | None,
    strictness: ArrayLike,
    prefer: Sequence[ArrayLike] = (),
) -> int:
    """The number of the best candidate.

    It has the highest F1, or the highest sensitivity among those that keep to the false positives a scan. Where none
    does, it is that with the fewest; of equals that with the highest sensitivity.

    Args:
        counts: (candidates, scans, columns), as `count_findings` gives them.
        max_fp_per_scan: False positives a scan, at most; None: the F1 counts.
        strictness: Of each candidate. Where none keeps to the false positives, the strictest of equals is taken.
        prefer: Numbers of each candidate; of equals that with the lowest first one is taken, then that with the lowest
            second one, and so on. What is still equal is decided by the order of the candidates.
    """
    sensitivity, false, score = rates(counts.sum(axis=1), counts.shape[1])
    within = np.ones(len(counts), bool) if max_fp_per_scan is None else false <= max_fp_per_scan
    value = (score if max_fp_per_scan is None else sensitivity).round(9)
    keys: list[Any] = [-np.where(within, value, -1), *prefer]
    if not within.any():
        keys = [false, -value, *prefer, -np.asarray(strictness)]
    return int(np.lexsort(keys[::-1])[0])


def require_found(counts: NDArray[np.int64], chosen: int, max_fp_per_scan: float | None) -> None:
    """Check that what is best has found something: a best of nothing is no choice.

    Args:
        counts: (candidates, scans, columns), as `count_findings` gives them.
        chosen: Number of the best candidate.
        max_fp_per_scan: By which it was chosen.

    Raises:
        InputError: PE-FUS-010 if there is no embolus, no candidate finds one, or none does that keeps to the false
            positives.
    """
    if counts[chosen, :, FOUND].any():
        return
    candidates, scans, _ = counts.shape
    emboli = int(counts[0, :, EMBOLI].sum())
    if not emboli:
        reason, hint = f"no embolus in the {scans} scans", "give folds or labels with emboli"
    elif not counts[..., FOUND].any():
        reason = f"none of the {candidates} settings finds one of the {emboli} emboli in the {scans} scans"
        hint = "train longer, try lower --thresholds, or check that labels and model belong together"
    else:
        reason = f"no setting that finds an embolus keeps to {max_fp_per_scan:g} false positives a scan"
        hint = "give a higher --target-fp"
    raise InputError("PE-FUS-010", f"nothing can be chosen: {reason}", hint)


def held_out(
    counts: NDArray[np.int64], parts: NDArray[np.intp], choose: Callable[[NDArray[np.int64]], int]
) -> NDArray[np.intp]:
    """For each scan the candidate that is chosen on the scans of all other parts.

    Args:
        counts: (candidates, scans, columns).
        parts: Number of the part of each scan; with a single one the choice is made on its own scans.
        choose: From counts to the number of a candidate.
    """
    chosen = np.zeros(counts.shape[1], np.intp)
    for part in np.unique(parts):
        held = parts == part
        chosen[held] = choose(counts if held.all() else counts[:, ~held])
    return chosen


def value_elsewhere(
    total: NDArray[np.int64], scans: int | NDArray[np.int64], max_fp_per_scan: float | None
) -> NDArray[np.float64]:
    """The objective on scans that settings were not chosen on: what exceeds the budget costs its share of emboli.

    Args:
        total: Counts (..., columns), summed over scans.
        scans: How many, (...).
        max_fp_per_scan: False positives a scan, at most; None: the F1 counts.
    """
    sensitivity, false, score = rates(total, scans)
    if max_fp_per_scan is None:
        return score
    return np.asarray(sensitivity / np.maximum(1, false / max(max_fp_per_scan, MEANINGFUL)))
