"""A picture of every arm that was run: emboli found against false positives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from budget.arms import ARMS
from budget.summary import CURVE_RATES, Run, by_setting, froc_curve
from budget.table import TITLES
from matplotlib import colormaps
from matplotlib.figure import Figure

from pe_nnunet.files import atomic_path


def draw(runs: Sequence[Run], path: Path) -> None:
    """A plot for each cohort, budget and question.

    Args:
        runs: At least one.
        path: Of the PNG.
    """
    plots = []
    for setting, arms in by_setting(runs).items():
        for group, title in TITLES.items():
            of_group = {name: arms[name] for name, arm in ARMS.items() if arm.group == group and name in arms}
            if of_group:
                plots.append((f"{title}: {', '.join(setting)} an arm", of_group))
    figure = Figure(figsize=(9, 5 * len(plots)), layout="constrained")
    for (title, arms), axes in zip(plots, figure.subplots(len(plots), squeeze=False)[:, 0], strict=True):
        for number, (name, mine) in enumerate(arms.items()):
            label = f"{name} ({len(mine)} seed{'s' * (len(mine) > 1)})"
            colour = colormaps["tab20"](number % 20)
            axes.step(CURVE_RATES, froc_curve(mine), where="post", color=colour, label=label)
        axes.set(xlabel="false positives a scan", ylabel="emboli found, mean over seeds")
        axes.set(xlim=(0, 8), ylim=(-0.02, 1.02))
        axes.set_title(title, loc="left", fontsize=10)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
