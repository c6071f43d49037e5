"""A picture of every arm that was run: emboli found against false positives, and its training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from budget.arms import ARMS
from budget.summary import CURVE_RATES, Run, by_setting, froc_curve
from budget.table import TITLES
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pe_nnunet.files import atomic_path


def draw(runs: Sequence[Run], path: Path) -> None:
    """A row of two plots for each cohort, time and question.

    Args:
        runs: At least one.
        path: Of the PNG.
    """
    rows = []
    for (cohort, minutes), arms in by_setting(runs).items():
        for group, title in TITLES.items():
            names = [name for name, arm in ARMS.items() if arm.group == group and name in arms]
            reference = next(arm.reference for arm in ARMS.values() if arm.group == group)
            if names and reference in arms and reference not in names:
                names.insert(0, reference)
            if names:
                rows.append((f"{title}: {cohort}, {minutes:g} minutes", {name: arms[name] for name in names}))
    figure = Figure(figsize=(11, 4.3 * len(rows)), layout="constrained")
    plots: Any = figure.subplots(len(rows), 2, squeeze=False)
    for (title, arms), (left, right) in zip(rows, plots, strict=True):
        _froc(left, arms)
        _training(right, arms)
        left.set_title(title, loc="left", fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")


def _froc(axes: Axes, arms: dict[str, list[Run]]) -> None:
    for number, (name, runs) in enumerate(arms.items()):
        seeds = len({run["seed"] for run in runs})
        label = f"{name} ({seeds} seed{'s' * (seeds > 1)})"
        axes.step(CURVE_RATES, froc_curve(runs), where="post", color=_colour(number), label=label)
    axes.set(xlabel="false positives a scan", ylabel="emboli found, mean over seeds", xlim=(0, 8), ylim=(-0.02, 1.02))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="best")


def _training(axes: Axes, arms: dict[str, list[Run]]) -> None:
    for number, (name, runs) in enumerate(arms.items()):
        if ARMS[name].members:
            continue  # its members have their own
        for run in runs:
            seconds, dice = zip(*run["curve"][0], strict=True)
            axes.plot([second / 60 for second in seconds], dice, color=_colour(number), alpha=0.8, lw=1.2)
    axes.set(xlabel="minutes of training", ylabel="Dice of validation patches, a line a run", xlim=(0, None))
    axes.set_ylim(-0.02, 1.02)
    axes.grid(alpha=0.3)


def _colour(number: int) -> Any:
    return colormaps["tab10" if number < 10 else "Dark2"](number % 10)
