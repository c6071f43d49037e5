"""What the comparison was made to find out, each goal with its number and whether it is reached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from budget.arms import ENSEMBLE, HALVES, OUR_STOCK_PLANS, STOCK_ARMS, TAR_UNET
from budget.summary import SIZES, Run, by_setting, difference, numbers, shared_scans, summaries


@dataclass(frozen=True)
class Goal:
    """A number of an arm, and how much it must be.

    Attributes:
        arm: Its name.
        number: One of `NUMBERS`.
        least: What it must come to: by itself, or above the best of `others`.
        others: Names of arms; the goal is open until all were run.
        relative: Whether `least` is a share of the other's number, and not a difference.
    """

    arm: str
    number: str
    least: float
    others: tuple[str, ...] = ()
    relative: bool = False


SMALL, LARGE = SIZES
GOALS = (
    Goal(TAR_UNET, "at 2", 0.10, STOCK_ARMS),
    Goal(TAR_UNET, "at 2", 0.0, OUR_STOCK_PLANS),
    Goal(TAR_UNET, SMALL, 0.30),
    Goal(TAR_UNET, LARGE, 0.80),
    Goal(ENSEMBLE, "dice", 0.08, OUR_STOCK_PLANS[:1], relative=True),
    Goal(ENSEMBLE, "dice", 0.0, HALVES[:2]),
)


def goals(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """One entry a cohort, budget and goal: value, interval and least value; `reached` is None if an arm was not run."""
    return [
        {"cohort": cohort, "budget": budget, **_state(goal, arms)}
        for (cohort, budget), arms in by_setting(runs).items()
        for goal in GOALS
    ]


def _state(goal: Goal, arms: dict[str, list[Run]]) -> dict[str, Any]:
    state = {
        "arm": goal.arm,
        "number": goal.number,
        "least": goal.least,
        "relative": goal.relative,
        "against": " or ".join(goal.others),
        "reached": None,
    }
    if missing := [arm for arm in (goal.arm, *goal.others) if not shared_scans(arms.get(arm, []))]:
        return state | {"not_run": missing}
    mine = arms[goal.arm]
    if goal.others:
        best = max(goal.others, key=lambda other: _value(arms[other], goal.number))
        if not shared_scans(mine, arms[best]):
            return state | {"against": best, "not_run": ["a scan that both scored"]}
        state["against"] = best
        found = difference(mine, arms[best], _excess if goal.relative else _minus)[goal.number]
        value, low, high = found.value, found.low, found.high
    else:
        value, low, high = summaries(mine, {goal.arm: "main"})[0]["numbers"][goal.number]
    reached = None if value is None else value >= goal.least - 1e-9
    return state | {"value": value, "low": low, "high": high, "reached": reached}


def _minus(mine: float, theirs: float) -> float:
    return mine - theirs


def _excess(mine: float, theirs: float) -> float | None:
    return mine / theirs - 1 if theirs else None


def _value(runs: list[Run], number: str) -> float:
    scans = shared_scans(runs)
    value = numbers(runs, scans)(np.ones(len(scans), np.int64))[number]
    return -1.0 if value is None else value
