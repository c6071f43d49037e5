"""Tables of the summaries: each arm with intervals, and its difference from its reference, paired by scan."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from budget.arms import ARMS, Arm
from budget.goals import goal_lines
from budget.score import FALSE_POSITIVES
from budget.summary import SIZES_MM3, size_name

TITLES = {
    "main": "Stock nnU-Net and our trainer",
    "ensemble": "Two networks and one",
    "parts": "The recipe with one part changed",
}
SIZES = [size_name(low, high) for low, high in pairwise(SIZES_MM3)]


def tables(summaries: Sequence[dict[str, Any]], goals: Sequence[dict[str, Any]]) -> list[str]:
    """Markdown: for each cohort and time the goals and a table a question; arms that were not run are named."""
    lines: list[str] = []
    for cohort, minutes in sorted({(entry["cohort"], entry["minutes"]) for entry in summaries}):
        here = (cohort, minutes)
        by_arm = {entry["arm"]: entry for entry in summaries if (entry["cohort"], entry["minutes"]) == here}
        lines += [f"## {cohort}, {minutes:g} minutes an arm", ""]
        lines += [_where(list(by_arm.values())), ""]
        lines += [*goal_lines([goal for goal in goals if (goal["cohort"], goal["minutes"]) == here]), ""]
        for group, title in TITLES.items():
            arms = [arm for arm in ARMS.values() if arm.group == group]
            reference = arms[0].reference
            if any(arm.name in by_arm for arm in arms):
                shown = arms if ARMS[reference] in arms else [ARMS[reference], *arms]
                lines += [f"### {title}", "", *_table(shown, by_arm, reference), ""]
            else:
                lines += [f"### {title}", "", f"Not run: {'; '.join(arm.name for arm in arms)}.", ""]
    return lines or ["Nothing was run yet.", ""]


def _where(entries: Sequence[dict[str, Any]]) -> str:
    """Machines, versions and days."""
    places = {_machine(entry["machine"]) for entry in entries}
    days = sorted({day for entry in entries for day in entry["dates"]})
    return f"On {' and on '.join(sorted(places))}; {', '.join(days)}."


def _machine(on: dict[str, Any]) -> str:
    parts = [on["processor"], f"{on['processors']} processors", *([on["gpu"]] if "gpu" in on else [])]
    return f"{', '.join(parts)}; torch {on['torch']}, nnunetv2 {on['nnunetv2']}"


def _table(arms: Iterable[Arm], by_arm: dict[str, dict[str, Any]], reference: str) -> list[str]:
    sizes = [f"{size}, at 2" for size in SIZES]
    head = ["arm", "scans, emboli, seeds", "Dice", *(f"at {rate:g}" for rate in FALSE_POSITIVES), *sizes]
    head += [f"at 2 against {reference}", "Dice against it", "minutes", "steps", "GB", "s a scan"]
    lines = [f"| {' | '.join(head)} |", "| --- " * len(head) + "|"]
    for arm in arms:
        cells = _cells(by_arm[arm.name]) if arm.name in by_arm else [arm.name, "not run"]
        lines.append(f"| {' | '.join(cells + [''] * (len(head) - len(cells)))} |")
    return lines


def _cells(entry: dict[str, Any]) -> list[str]:
    numbers, difference = entry["numbers"], entry.get("difference")
    counts = [str(entry["scans"]), str(entry["emboli"]), str(len(entry["seeds"]))]
    cells = [entry["arm"], ", ".join(counts), percent(numbers["dice"])]
    cells += [percent(numbers[f"at {rate:g}"]) for rate in FALSE_POSITIVES]
    cells += [_of_size(entry, size) for size in SIZES]
    cells += [percent(difference[name], sign=True) if difference else "" for name in ("at 2", "dice")]
    return [
        *cells,
        f"{entry['train_minutes']:.1f}",
        entry["steps"],
        f"{entry['memory_gb']:.1f}",
        f"{entry['scan_seconds']:.1f}",
    ]


def _of_size(entry: dict[str, Any], size: str) -> str:
    number = entry["emboli_by_size"][size]
    return f"{percent(entry['numbers'][size][:1])} % of {number}" if number else "-"


def percent(estimate: Sequence[float | None], *, sign: bool = False) -> str:
    """`60 [50, 70]` of [value, low, high], `60` of a value alone."""
    form = "{:+.0f}" if sign else "{:.0f}"
    texts = [form.format(100 * number) for number in estimate if number is not None]
    return f"{texts[0]} [{texts[1]}, {texts[2]}]" if len(texts) == 3 else next(iter(texts), "-")
