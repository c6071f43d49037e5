"""Tables of the runs: each arm with intervals, and its difference from its reference, paired by scan."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from budget.arms import ARMS, Arm
from budget.score import FALSE_POSITIVES
from numpy.typing import NDArray

from pe_nnunet.evaluation import Estimate, Resampling
from pe_nnunet.evaluation.bootstrap import estimates
from pe_nnunet.evaluation.froc import Pool, sensitivity_at
from pe_nnunet.evaluation.hits import ScanHits

Run = dict[str, Any]
SIZES_MM3 = (0.0, 1000.0, 5000.0, float("inf"))
TITLES = {
    "main": "Stock nnU-Net and our trainer",
    "ensemble": "Two networks and one",
    "parts": "The recipe with one part changed",
}


def tables(runs: Sequence[Run]) -> list[str]:
    """Markdown: for each cohort and time a table a question; arms that were not run are named."""
    lines: list[str] = []
    settings = sorted({(run["cohort"], run["minutes"]) for run in runs})
    for cohort, minutes in settings:
        lines += [f"## {cohort}, {minutes:g} minutes an arm", ""]
        by_arm: dict[str, list[Run]] = defaultdict(list)
        for run in runs:
            if (run["cohort"], run["minutes"]) == (cohort, minutes):
                by_arm[run["arm"]].append(run)
        for group, title in TITLES.items():
            arms = [arm for arm in ARMS.values() if arm.group == group]
            reference = arms[0].reference
            if any(arm.name in by_arm for arm in arms):
                shown = arms if ARMS[reference] in arms else [ARMS[reference], *arms]
                lines += [f"### {title}", "", *_table(shown, by_arm, reference), ""]
            else:
                lines += [f"### {title}", "", "Not run.", ""]
    return lines


def _table(arms: Iterable[Arm], by_arm: dict[str, list[Run]], reference: str) -> list[str]:
    rates = " | ".join(f"at {rate:g}" for rate in FALSE_POSITIVES)
    sizes = " | ".join(f"{_size(low, high)}, at 2" for low, high in pairwise(SIZES_MM3))
    lines = [
        f"| arm | scans, seeds | Dice | {rates} | {sizes} | at 2 against {reference} | Dice against it "
        "| minutes | steps | GB | s a scan |",
        "| --- " * (len(FALSE_POSITIVES) + len(SIZES_MM3) + 8) + "|",
    ]
    for arm in arms:
        mine, theirs = by_arm.get(arm.name, []), by_arm.get(reference, [])
        lines.append(_row(arm.name, mine, theirs) if mine else f"| {arm.name} | not run |")
    return lines


def _row(name: str, mine: list[Run], theirs: list[Run]) -> str:
    scans = sorted({case for run in mine for case in run["cases"]})
    found = estimates(lambda weights: _numbers(mine, scans, weights), scans, Resampling())
    cells = [name, f"{len(scans)}, {len({run['seed'] for run in mine})}", _percent(found["dice"])]
    cells += [_percent(found[f"at {rate:g}"]) for rate in FALSE_POSITIVES]
    cells += [_percent(found[_size(low, high)], interval=False) for low, high in pairwise(SIZES_MM3)]
    shared = sorted(set(scans) & {case for run in theirs for case in run["cases"]})
    if mine is theirs or not shared:
        cells += ["", ""]
    else:
        difference = estimates(lambda weights: _difference(mine, theirs, shared, weights), shared, Resampling())
        cells += [_percent(difference["at 2"], sign=True), _percent(difference["dice"], sign=True)]
    cells += [f"{np.mean([run['train_seconds'] for run in mine]) / 60:.1f}", f"{mine[0]['steps']}"]
    cells += [f"{max(run['memory_gb'] for run in mine):.1f}", f"{np.mean([run['scan_seconds'] for run in mine]):.1f}"]
    return f"| {' | '.join(cells)} |"


def _numbers(runs: list[Run], scans: list[str], weights: NDArray[np.int64]) -> dict[str, float | None]:
    """Means over seeds; the scans of several splits are pooled."""
    by_seed: dict[int, list[Run]] = defaultdict(list)
    for run in runs:
        by_seed[run["seed"]].append(run)
    values: dict[str, list[float]] = defaultdict(list)
    for of_seed in by_seed.values():
        cases = {case: scores for run in of_seed for case, scores in run["cases"].items()}
        present = [(scan, int(weight)) for scan, weight in zip(scans, weights, strict=True) if scan in cases]
        hits = [_hits(scan, cases[scan]) for scan, _ in present]
        times = np.array([weight for _, weight in present])
        for name, value in _of_hits(hits, times).items():
            values[name] += [] if value is None else [value]
        dice = [cases[scan]["dice"] for scan, weight in present for _ in range(weight)]
        positive = [value for value in dice if value is not None]
        values["dice"] += [float(np.mean(positive))] if positive else []
    names = ["dice", *(f"at {rate:g}" for rate in FALSE_POSITIVES), *(_size(*bounds) for bounds in pairwise(SIZES_MM3))]
    return {name: float(np.mean(values[name])) if values[name] else None for name in names}


def _of_hits(hits: list[ScanHits], times: NDArray[np.int64]) -> dict[str, float | None]:
    if not times.sum():
        return {}
    curve = Pool.of(hits).curve(times)
    found = {f"at {rate:g}": sensitivity_at(curve, rate, "cad-pe") for rate in FALSE_POSITIVES}
    for low, high in pairwise(SIZES_MM3):
        part = Pool.of([scan.between(low, high) for scan in hits]).curve(times)
        found[_size(low, high)] = sensitivity_at(part, 2.0, "cad-pe")
    return found


def _difference(
    mine: list[Run], theirs: list[Run], scans: list[str], weights: NDArray[np.int64]
) -> dict[str, float | None]:
    a, b = _numbers(mine, scans, weights), _numbers(theirs, scans, weights)
    return {name: None if a[name] is None or b[name] is None else a[name] - b[name] for name in ("at 2", "dice")}


def _hits(scan: str, scores: dict[str, Any]) -> ScanHits:
    volumes = tuple(volume for volume, _ in scores["emboli"])
    return ScanHits(scan, tuple(score for _, score in scores["emboli"]), tuple(scores["false"]), volumes)


def _size(low: float, high: float) -> str:
    if high == float("inf"):
        return f"{low / 1000:g} ml and more"
    return f"under {high / 1000:g} ml" if low == 0 else f"{low / 1000:g} to {high / 1000:g} ml"


def _percent(estimate: Estimate, *, sign: bool = False, interval: bool = True) -> str:
    if estimate.value is None:
        return "-"
    form = "{:+.0f}" if sign else "{:.0f}"
    text = form.format(100 * estimate.value)
    if interval and estimate.low is not None and estimate.high is not None:
        text += f" [{form.format(100 * estimate.low)}, {form.format(100 * estimate.high)}]"
    return text
