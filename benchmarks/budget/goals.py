"""What the comparison was made to find out, each goal with its number and whether it is reached."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from budget.arms import OURS
from budget.summary import Run, by_setting, difference, numbers, shared_scans

STOCK_ARMS = ("stock, own plans", "stock, PETARUNetPlans")
MEMBERS = ("TAR-UNet, half the time", "Attention U-Net, half the time")
ENSEMBLE, PLAIN = "both of these", "U-Net"


def goals(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """One entry a cohort, time and goal: value, interval and least value; `reached` is None if an arm was not run."""
    found = []
    for (cohort, minutes), arms in by_setting(runs).items():
        wanted = [
            _goal(arms, OURS, STOCK_ARMS, "at 2", 0.10),
            _goal(arms, ENSEMBLE, (PLAIN,), "dice", 0.08, relative=True),
            _goal(arms, ENSEMBLE, MEMBERS, "dice", 0.0),
            *(_goal(arms, member, STOCK_ARMS, "dice", 0.0) for member in MEMBERS),
        ]
        found += [{"cohort": cohort, "minutes": minutes, **goal} for goal in wanted]
    return found


def _goal(
    arms: dict[str, list[Run]], name: str, others: tuple[str, ...], number: str, least: float, *, relative: bool = False
) -> dict[str, Any]:
    """An arm against the best of others; a goal is open until all of them were run."""
    goal = {"arm": name, "number": number, "relative": relative, "least": least, "reached": None}
    missing = [arm for arm in (name, *others) if arm not in arms]
    if missing:
        return goal | {"against": " or ".join(others), "not_run": missing}
    best = max(others, key=lambda other: _value(arms[other], number))
    if not shared_scans(arms[name], arms[best]):
        return goal | {"against": best, "not_run": ["a scan that both scored"]}
    found = difference(arms[name], arms[best], _excess if relative else _minus)[number]
    reached = None if found.value is None else found.value >= least - 1e-9
    return goal | {"against": best, "value": found.value, "low": found.low, "high": found.high, "reached": reached}


def _minus(mine: float, theirs: float) -> float:
    return mine - theirs


def _excess(mine: float, theirs: float) -> float | None:
    return mine / theirs - 1 if theirs else None


def _value(runs: list[Run], number: str) -> float:
    scans = sorted({case for run in runs for case in run["cases"]})
    value = numbers(runs, scans)(np.ones(len(scans), np.int64))[number]
    return -1.0 if value is None else value


def goal_lines(found: Sequence[dict[str, Any]]) -> list[str]:
    """Markdown: a row a goal."""
    lines = ["| goal | found | reached |", "| --- | --- | --- |"]
    for goal in found:
        what = "Dice" if goal["number"] == "dice" else "sensitivity at 2 false positives a scan"
        unit = "%" if goal["relative"] else "points"
        aim = f"by at least {100 * goal['least']:.0f} {unit}" if goal["least"] else "or equal"
        value = goal.get("value")
        if value is None:
            state = f"open; not run: {', '.join(goal['not_run'])}" if "not_run" in goal else "open: not defined"
            shown = "-"
        else:
            shown = f"{100 * value:+.1f} [{100 * goal['low']:+.1f}, {100 * goal['high']:+.1f}] {unit}"
            state = "yes" if goal["reached"] else "no"
        lines.append(f"| {goal['arm']}: {what} above {goal['against']}, {aim} | {shown} | {state} |")
    return lines
