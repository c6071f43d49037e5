"""What runs of an arm come to: means over seeds, 95 % intervals over patients, and differences paired by scan."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from budget.arms import STOCK_ARMS, TAR_UNET
from budget.work import Run
from numpy.typing import NDArray

from pe_nnunet.metrics.bootstrap import Estimate, Resampling, estimates
from pe_nnunet.metrics.froc import Pool, ScanHits
from pe_nnunet.metrics.protocols import sensitivity_at

RATE = 2.0  # false positives a scan
SIZES_MM3 = (0.0, 1000.0, float("inf"))
CURVE_RATES = np.linspace(0, 8, 65)
REFERENCES = {"main": STOCK_ARMS[0], "recipe": TAR_UNET}
"""The arm that those of a group are compared with."""

Setting = tuple[str, str]
Numbers = Callable[[NDArray[np.int64]], dict[str, float | None]]


def size_name(low: float, high: float) -> str:
    """Of volumes from `low` to `high` mm3."""
    return f"{low / 1000:g} ml and more" if high == float("inf") else f"under {high / 1000:g} ml"


SIZES = {size_name(*pair): pair for pair in pairwise(SIZES_MM3)}
NUMBERS = ("dice", "at 2", *SIZES)


def by_setting(runs: Sequence[Run]) -> dict[Setting, dict[str, list[Run]]]:
    """The runs of each arm, for each cohort and budget; of an arm that was defined anew those since then."""
    last = {(run["cohort"], run["budget"], run["arm"]): run["definition"] for run in runs}
    found: dict[Setting, dict[str, list[Run]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        if run["definition"] == last[run["cohort"], run["budget"], run["arm"]]:
            found[run["cohort"], run["budget"]][run["arm"]].append(run)
    return {setting: dict(found[setting]) for setting in sorted(found)}


def summaries(runs: Sequence[Run], groups: dict[str, str]) -> list[dict[str, Any]]:
    """One entry a cohort, budget and arm: n, seeds, numbers as [value, low, high], and what they cost.

    Args:
        runs: As in the results.
        groups: Of each arm, by its name; one that is none any more is left out, as one whose seeds share no scan.
    """
    found = []
    for (cohort, budget), arms in by_setting(runs).items():
        for name, mine in arms.items():
            if name not in groups or not shared_scans(mine):
                continue
            reference = REFERENCES[groups[name]]
            entry = {"cohort": cohort, "budget": budget, "arm": name, **_facts(mine), "numbers": _plain(mine)}
            if name != reference and (theirs := arms.get(reference)) and shared_scans(mine, theirs):
                entry |= {"reference": reference, "difference": _as_lists(difference(mine, theirs))}
            found.append(entry)
    return found


def _facts(runs: list[Run]) -> dict[str, Any]:
    cases = {case: runs[-1]["cases"][case] for case in shared_scans(runs)}
    return {
        "definition": runs[-1]["definition"],
        "scans": len(cases),
        "patients": len({scores["patient"] for scores in cases.values()}),
        "emboli": sum(len(scores["emboli"]) for scores in cases.values()),
        "emboli_by_size": {
            name: sum(low <= volume < high for case in cases.values() for volume, _ in case["emboli"])
            for name, (low, high) in SIZES.items()
        },
        "seeds": sorted({run["seed"] for run in runs}),
        "train_minutes": float(np.mean([run["train_seconds"] for run in runs])) / 60,
        "steps": ", ".join(dict.fromkeys(run["steps"] for run in runs)),
        "memory_gb": max(run["memory_gb"] for run in runs),
        "machine": runs[-1]["machine"],
        "dates": sorted({run["date"] for run in runs}),
        "scan_seconds": float(np.mean([run["scan_seconds"] for run in runs])),
    }


def _plain(runs: list[Run]) -> dict[str, list[float | None]]:
    scans = shared_scans(runs)
    return _as_lists(estimates(numbers(runs, scans), _patients(runs, scans), Resampling()))


def _as_lists(found: dict[str, Estimate]) -> dict[str, list[float | None]]:
    return {name: [estimate.value, estimate.low, estimate.high] for name, estimate in found.items()}


def _patients(runs: list[Run], scans: list[str]) -> list[str]:
    of_scan = {case: scores["patient"] for run in runs for case, scores in run["cases"].items()}
    return [of_scan[scan] for scan in scans]


def shared_scans(*arms: list[Run]) -> list[str]:
    """Scans that every run of the arms has scored."""
    scored = [set(run["cases"]) for runs in arms for run in runs]
    return sorted(set.intersection(*scored)) if scored else []


def difference(
    mine: list[Run], theirs: list[Run], compare: Callable[[float, float], float | None] = lambda a, b: a - b
) -> dict[str, Estimate]:
    """Each number of one arm against another's, resampled over the scans of both, and the seeds of both.

    Args:
        mine: Runs of an arm.
        theirs: Runs of the other.
        compare: Of the two numbers.
    """
    seeds = {run["seed"] for run in mine} & {run["seed"] for run in theirs}
    if seeds:
        mine, theirs = ([run for run in runs if run["seed"] in seeds] for runs in (mine, theirs))
    scans = shared_scans(mine, theirs)

    of_mine, of_theirs = numbers(mine, scans), numbers(theirs, scans)

    def compared(weights: NDArray[np.int64]) -> dict[str, float | None]:
        pairs = zip(of_mine(weights).items(), of_theirs(weights).values(), strict=True)
        return {name: None if a is None or b is None else compare(a, b) for (name, a), b in pairs}

    return estimates(compared, _patients(mine, scans), Resampling())


def numbers(runs: list[Run], scans: list[str]) -> Numbers:
    """`NUMBERS` as means over seeds, for any weighting of the scans.

    Args:
        runs: Of one arm.
        scans: Those that count.

    Returns:
        From how often each scan counts to `dice` over positive scans, and the sensitivity at 2 false positives a scan,
        in all and by size.
    """
    of_seeds = [_of_seed(run["cases"], scans) for run in runs]

    def weighted(weights: NDArray[np.int64]) -> dict[str, float | None]:
        values = [of_seed(weights) for of_seed in of_seeds]
        defined = {name: [value[name] for value in values if value[name] is not None] for name in NUMBERS}
        return {name: float(np.mean(some)) if some else None for name, some in defined.items()}

    return weighted


def _of_seed(cases: dict[str, Any], scans: list[str]) -> Numbers:
    hits = [_hits(scan, cases[scan]) for scan in scans]
    pools = {"at 2": Pool(hits), **{name: Pool([scan.between(*pair) for scan in hits]) for name, pair in SIZES.items()}}
    dice = np.array([cases[scan]["dice"] for scan in scans], float)
    positive = np.isfinite(dice)

    def weighted(weights: NDArray[np.int64]) -> dict[str, float | None]:
        counted = weights[positive].sum()
        found: dict[str, float | None] = {"dice": weights[positive] @ dice[positive] / counted if counted else None}
        return found | {name: sensitivity_at(pool.curve(weights), RATE, "cad-pe") for name, pool in pools.items()}

    return weighted


def froc_curve(runs: list[Run]) -> NDArray[np.float64]:
    """Sensitivity at `CURVE_RATES` false positives a scan, mean over seeds."""
    curves = [Pool([_hits(*item) for item in run["cases"].items()]).curve() for run in runs]
    values = [[sensitivity_at(curve, rate, "cad-pe") for rate in CURVE_RATES] for curve in curves]
    mean: NDArray[np.float64] = np.mean(np.array(values, float), axis=0)
    return mean


def _hits(scan: str, scores: dict[str, Any]) -> ScanHits:
    volumes = tuple(volume for volume, _ in scores["emboli"])
    return ScanHits(scan, tuple(score for _, score in scores["emboli"]), tuple(scores["false"]), volumes)
