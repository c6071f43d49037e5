"""Tables of the summaries: each arm with intervals, its difference from its reference, and how it is defined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from budget.arms import ARMS, Arm
from budget.summary import NUMBERS, REFERENCES, SIZES

TITLES = {"main": "Arms", "recipe": "The recipe with one part changed"}


def tables(summaries: Sequence[dict[str, Any]], goals: Sequence[dict[str, Any]]) -> list[str]:
    """Markdown: for each cohort and budget the goals and a table a question; arms that were not run are named."""
    lines: list[str] = []
    for here in sorted({(entry["cohort"], entry["budget"]) for entry in summaries}):
        by_arm = {entry["arm"]: entry for entry in summaries if (entry["cohort"], entry["budget"]) == here}
        lines += [f"## {', '.join(here)} an arm", "", _where(list(by_arm.values())), ""]
        lines += [*goal_lines([goal for goal in goals if (goal["cohort"], goal["budget"]) == here]), ""]
        for group, title in TITLES.items():
            arms = [arm for arm in ARMS.values() if arm.group == group]
            lines += [f"### {title}", ""]
            if any(arm.name in by_arm for arm in arms):
                reference = REFERENCES[group]
                shown = arms if ARMS[reference] in arms else [ARMS[reference], *arms]
                lines += [*_table([arm for arm in shown if arm.name in by_arm], by_arm, reference), ""]
            if missing := [arm.name for arm in arms if arm.name not in by_arm]:
                lines += [f"Not run: {'; '.join(missing)}.", ""]
    return [*lines, *definitions()] if lines else ["Nothing was run yet.", "", *definitions()]


def definitions() -> list[str]:
    """Markdown: what each arm is, a row each."""
    head = ["arm", "trainer", "planner", "`PE_NNUNET_PLAN`", "`PE_NNUNET_RECIPE`", "labels", "share of the budget"]
    lines = ["## How the arms are defined", "", *_head(head)]
    for arm in ARMS.values():
        if arm.members:
            cells = [arm.name, f"mean of: {'; '.join(arm.members)}", *[""] * 4, "1"]
        else:
            labels = arm.scheme if arm.margin_mm < 100 else f"{arm.scheme}, {arm.margin_mm:g} mm around the lungs"
            cells = [arm.name, arm.trainer, arm.planner, arm.plan, arm.recipe, labels, f"{arm.share:g}"]
        lines.append(_row(cells))
    return [*lines, ""]


def goal_lines(found: Sequence[dict[str, Any]]) -> list[str]:
    """Markdown: a row a goal."""
    lines = _head(["goal", "found", "reached"])
    for goal in found:
        what = "Dice" if goal["number"] == "dice" else "sensitivity at 2 false positives a scan"
        what += f", emboli of {goal['number']}" if goal["number"] in SIZES else ""
        unit = "%" if goal["relative"] or not goal["against"] else "points"
        least = f"{100 * goal['least']:.0f} {unit}"
        if not goal["against"]:
            aim = f"at least {least}"
        else:
            aim = f"above {goal['against']}, {f'by at least {least}' if goal['least'] else 'or equal'}"
        value = goal.get("value")
        if value is None:
            state = f"open; not run: {', '.join(goal['not_run'])}" if "not_run" in goal else "open: not defined"
            shown = "-"
        else:
            estimate = [goal[name] for name in ("value", "low", "high")]
            shown = f"{percent(estimate, sign=bool(goal['against']), digits=1)} {unit}"
            state = "yes" if goal["reached"] else "no"
        lines.append(f"| {goal['arm']}: {what} {aim} | {shown} | {state} |")
    return lines


def _where(entries: Sequence[dict[str, Any]]) -> str:
    """Machines, versions and days."""
    places = {_machine(entry["machine"]) for entry in entries}
    days = sorted({day for entry in entries for day in entry["dates"]})
    return f"On {' and on '.join(sorted(places))}; {', '.join(days)}."


def _machine(on: dict[str, Any]) -> str:
    parts = [f"{on['processor']} ({', '.join(on['features'])})", f"{on['processors']} processors"]
    parts += [on["gpu"]] if "gpu" in on else []
    return f"{', '.join(parts)}; torch {on['torch']}, nnunetv2 {on['nnunetv2']}"


def _table(arms: Sequence[Arm], by_arm: dict[str, dict[str, Any]], reference: str) -> list[str]:
    head = ["arm", "scans, patients, emboli, seeds", "Dice", "at 2", *(f"{size}, at 2" for size in SIZES)]
    head += [f"at 2 against {reference}", "Dice against it", "minutes", "steps", "GB", "s a scan"]
    return [*_head(head), *(_row(_cells(by_arm[arm.name])) for arm in arms)]


def _head(cells: Sequence[str]) -> list[str]:
    return [_row(cells), "| --- " * len(cells) + "|"]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(entry: dict[str, Any]) -> list[str]:
    difference = entry.get("difference")
    counts = [*(str(entry[what]) for what in ("scans", "patients", "emboli")), str(len(entry["seeds"]))]
    numbers = {name: percent(entry["numbers"][name]) for name in NUMBERS}
    numbers |= {size: f"{numbers[size]} of {count}" for size, count in entry["emboli_by_size"].items() if count}
    return [
        entry["arm"],
        ", ".join(counts),
        *numbers.values(),
        *(percent(difference[name], sign=True) if difference else "" for name in ("at 2", "dice")),
        f"{entry['train_minutes']:.1f}",
        entry["steps"],
        f"{entry['memory_gb']:.1f}",
        f"{entry['scan_seconds']:.1f}",
    ]


def percent(estimate: Sequence[float | None], *, sign: bool = False, digits: int = 0) -> str:
    """`60 [50, 70]` of [value, low, high], `60` of a value alone: of one patient there is no interval."""
    form = f"{{:{'+' if sign else ''}.{digits}f}}"
    texts = [form.format(100 * number) for number in estimate if number is not None]
    return f"{texts[0]} [{texts[1]}, {texts[2]}]" if len(texts) == 3 else next(iter(texts), "-")
