"""What runs of an arm come to: means over seeds, 95 % intervals over scans, and differences paired by scan."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from budget.arms import ARMS
from budget.score import FALSE_POSITIVES
from numpy.typing import NDArray

from pe_nnunet.metrics.bootstrap import Estimate, Resampling, estimates
from pe_nnunet.metrics.froc import Pool, ScanHits
from pe_nnunet.metrics.protocols import sensitivity_at

Run = dict[str, Any]
SIZES_MM3 = (0.0, 1000.0, 5000.0, float("inf"))
CURVE_RATES = np.linspace(0, 8, 65)


def by_setting(runs: Sequence[Run]) -> dict[tuple[str, float], dict[str, list[Run]]]:
    """The runs of each arm, for each cohort and time."""
    found: dict[tuple[str, float], dict[str, list[Run]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        found[run["cohort"], run["minutes"]][run["arm"]].append(run)
    return {setting: dict(found[setting]) for setting in sorted(found)}


def summaries(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """One entry a cohort, time and arm: n, seeds, numbers as [value, low, high], and what they cost."""
    found = []
    for (cohort, minutes), arms in by_setting(runs).items():
        for name, mine in arms.items():
            reference = ARMS[name].reference
            entry = {"cohort": cohort, "minutes": minutes, "arm": name, **_facts(mine), "numbers": _plain(mine)}
            if name != reference and (theirs := arms.get(reference)) and shared_scans(mine, theirs):
                entry |= {"reference": reference, "difference": _as_lists(difference(mine, theirs))}
            found.append(entry)
    return found


def _facts(runs: list[Run]) -> dict[str, Any]:
    cases = {case: scores for run in runs for case, scores in run["cases"].items()}
    return {
        "scans": len(cases),
        "emboli": sum(len(scores["emboli"]) for scores in cases.values()),
        "emboli_by_size": {
            size_name(low, high): sum(low <= volume < high for case in cases.values() for volume, _ in case["emboli"])
            for low, high in pairwise(SIZES_MM3)
        },
        "seeds": sorted({run["seed"] for run in runs}),
        "splits": sorted({run["split"] for run in runs}),
        "train_minutes": float(np.mean([run["train_seconds"] for run in runs])) / 60,
        "steps": runs[0]["steps"],
        "memory_gb": max(run["memory_gb"] for run in runs),
        "machine": runs[-1]["machine"],
        "dates": sorted({run["date"] for run in runs}),
        "scan_seconds": float(np.mean([run["scan_seconds"] for run in runs])),
    }


def _plain(runs: list[Run]) -> dict[str, list[float | None]]:
    scans = sorted({case for run in runs for case in run["cases"]})
    return _as_lists(estimates(numbers(runs, scans), scans, Resampling()))


def _as_lists(found: dict[str, Estimate]) -> dict[str, list[float | None]]:
    return {name: [estimate.value, estimate.low, estimate.high] for name, estimate in found.items()}


def shared_scans(mine: list[Run], theirs: list[Run]) -> list[str]:
    """Scans that both arms have scored."""
    first, second = ({case for run in runs for case in run["cases"]} for runs in (mine, theirs))
    return sorted(first & second)


def difference(
    mine: list[Run], theirs: list[Run], compare: Callable[[float, float], float | None] = lambda a, b: a - b
) -> dict[str, Estimate]:
    """Each number of one arm against another's, resampled over the scans of both, and the seeds of both.

    Args:
        mine: Runs of an arm.
        theirs: Runs of the other.
        compare: Of the two numbers.
    """
    scans = shared_scans(mine, theirs)
    seeds = {run["seed"] for run in mine} & {run["seed"] for run in theirs}
    if seeds:
        mine, theirs = ([run for run in runs if run["seed"] in seeds] for runs in (mine, theirs))

    of_mine, of_theirs = numbers(mine, scans), numbers(theirs, scans)

    def compared(weights: NDArray[np.int64]) -> dict[str, float | None]:
        pairs = zip(of_mine(weights).items(), of_theirs(weights).values(), strict=True)
        return {name: None if a is None or b is None else compare(a, b) for (name, a), b in pairs}

    return estimates(compared, scans, Resampling())


def numbers(runs: list[Run], scans: list[str]) -> Callable[[NDArray[np.int64]], dict[str, float | None]]:
    """Means over seeds, for any weighting of the scans; those of several splits are pooled.

    Args:
        runs: Of one arm.
        scans: Those that count.

    Returns:
        From how often each scan counts to `dice` over positive scans, `at 1` and so on: sensitivity at so many false
        positives a scan, and by size at 2.
    """
    of_seeds = [_of_seed(cases, scans) for cases in _by_seed(runs)]

    def weighted(weights: NDArray[np.int64]) -> dict[str, float | None]:
        values = [of_seed(weights) for of_seed in of_seeds]
        of_name = {name: [value[name] for value in values] for name in number_names()}
        return {name: _mean([value for value in some if value is not None]) for name, some in of_name.items()}

    return weighted


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _of_seed(cases: dict[str, Any], scans: list[str]) -> Callable[[NDArray[np.int64]], dict[str, float | None]]:
    present = np.array([scan in cases for scan in scans])
    hits = [_hits(scan, cases[scan]) for scan in scans if scan in cases]
    whole = Pool(hits)
    parts = {size_name(*pair): Pool([scan.between(*pair) for scan in hits]) for pair in pairwise(SIZES_MM3)}
    dice = np.array([cases[scan]["dice"] for scan in scans if scan in cases], float)
    positive = np.isfinite(dice)

    def weighted(weights: NDArray[np.int64]) -> dict[str, float | None]:
        times = weights[present]
        if not times.sum():
            return dict.fromkeys(number_names())
        counted = times[positive].sum()
        found: dict[str, float | None] = {"dice": times[positive] @ dice[positive] / counted if counted else None}
        curve = whole.curve(times)
        found |= {f"at {rate:g}": sensitivity_at(curve, rate, "cad-pe") for rate in FALSE_POSITIVES}
        return found | {name: sensitivity_at(part.curve(times), 2.0, "cad-pe") for name, part in parts.items()}

    return weighted


def number_names() -> list[str]:
    """What `numbers` returns, in this order."""
    return ["dice", *(f"at {rate:g}" for rate in FALSE_POSITIVES), *(size_name(*pair) for pair in pairwise(SIZES_MM3))]


def froc_curve(runs: list[Run]) -> NDArray[np.float64]:
    """Sensitivity at `CURVE_RATES` false positives a scan, mean over seeds."""
    curves = [Pool([_hits(*item) for item in cases.items()]).curve() for cases in _by_seed(runs)]
    values = [[sensitivity_at(curve, rate, "cad-pe") for rate in CURVE_RATES] for curve in curves]
    mean: NDArray[np.float64] = np.mean(np.array(values, float), axis=0)
    return mean


def _by_seed(runs: list[Run]) -> list[dict[str, Any]]:
    found: dict[int, dict[str, Any]] = defaultdict(dict)
    for run in runs:
        found[run["seed"]] |= run["cases"]
    return list(found.values())


def _hits(scan: str, scores: dict[str, Any]) -> ScanHits:
    volumes = tuple(volume for volume, _ in scores["emboli"])
    return ScanHits(scan, tuple(score for _, score in scores["emboli"]), tuple(scores["false"]), volumes)


def size_name(low: float, high: float) -> str:
    """Of volumes from `low` to `high` mm3."""
    if high == float("inf"):
        return f"{low / 1000:g} ml and more"
    return f"under {high / 1000:g} ml" if low == 0 else f"{low / 1000:g} to {high / 1000:g} ml"
