"""What an analysis of target ratios leaves behind: tables, numbers and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pe_nnunet.files import atomic_csv, atomic_json, atomic_path
from pe_nnunet.sampling.analysis import Patches, Row

SCAN, CROP, SAMPLED = "#7a8794", "#1f77b4", "#e08214"


def write_analysis(
    out: Path, cases: Sequence[Row], emboli: Sequence[Row], patches: Patches | None, numbers: dict[str, Any]
) -> list[Path]:
    """Write `cases.csv`, `emboli.csv`, `analysis.json` and `analysis.png`.

    Args:
        out: Folder, made if it is not there.
        cases: See `pe_nnunet.sampling.analysis.case_rows`.
        emboli: See `embolus_rows`.
        patches: What was drawn, if anything was.
        numbers: See `summary`.

    Returns:
        The files.
    """
    out.mkdir(parents=True, exist_ok=True)
    files = [out / name for name in ("cases.csv", "emboli.csv", "analysis.json", "analysis.png")]
    for path, rows in zip(files, (cases, emboli), strict=False):
        atomic_csv(path, list(rows[0]) if rows else [], rows)
    atomic_json(files[2], numbers)
    figure = draw_analysis(cases, emboli, patches)
    with atomic_path(files[3]) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
    return files


def draw_analysis(cases: Sequence[Row], emboli: Sequence[Row], patches: Patches | None) -> Figure:
    """Three panels: target ratios, sizes of emboli, and what is drawn."""
    figure = Figure(figsize=(13.5, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, middle, right = figure.subplots(1, 3)
    _ratios(left, cases, patches)
    _sizes(middle, [row["volume_mm3"] for row in emboli], patches)
    _rates(right, patches)
    return figure


def _ratios(axes: Axes, cases: Sequence[Row], patches: Patches | None) -> None:
    series = [
        ("whole scan", SCAN, [row["target_ratio_scan"] for row in cases if row["emboli"]]),
        ("after the lung crop", CROP, [row["target_ratio_crop"] for row in cases if row["emboli"]]),
    ]
    if patches is not None:
        series.append(
            ("positive patches", SAMPLED, [r for r, p in zip(patches.ratios, patches.positive, strict=True) if p])
        )
    _histograms(axes, series)
    axes.set(title="Target ratio", xlabel="PE voxels / all voxels", ylabel="share of cases or patches")


def _sizes(axes: Axes, volumes_mm3: Sequence[float], patches: Patches | None) -> None:
    series = [("emboli", CROP, list(volumes_mm3))]
    if patches is not None:
        series.append(("emboli as drawn", SAMPLED, list(patches.drawn_mm3)))
    _histograms(axes, series)
    axes.set(title="Embolus size", xlabel="mm3", ylabel="share of emboli")


def _histograms(axes: Axes, series: Sequence[tuple[str, str, Sequence[float]]]) -> None:
    """Outlined, on one logarithmic scale, each adding up to one."""
    series = [(name, colour, [v for v in values if v > 0]) for name, colour, values in series]
    everything = [value for _, _, values in series for value in values]
    if not everything:
        axes.text(0.5, 0.5, "no emboli", ha="center", transform=axes.transAxes)
        return
    low, high = np.log10(min(everything)), np.log10(max(everything))
    edges = np.logspace(low - 0.05, high + 0.05, 25).tolist()
    for name, colour, values in series:
        if values:
            middle = float(np.median(values))
            shown = f"{middle:,.0f}" if middle >= 10 else f"{middle:.2g}"
            label = f"{name} (n = {len(values)}, median {shown})"
            weights = np.full(len(values), 1 / len(values))
            axes.hist(values, edges, weights=weights, histtype="stepfilled", alpha=0.3, color=colour, label=label)
            axes.hist(values, edges, weights=weights, histtype="step", color=colour, linewidth=1.4)
    axes.set_xscale("log")
    axes.set_ylim(0, axes.get_ylim()[1] * 1.3)  # room for the legend
    axes.legend(loc="upper left", frameon=False, fontsize=8)


def _rates(axes: Axes, patches: Patches | None) -> None:
    axes.set_title("Patches by why they were drawn")
    if patches is None:
        axes.text(0.5, 0.5, "not preprocessed: nothing drawn", ha="center", transform=axes.transAxes)
        axes.set_axis_off()
        return
    kinds, positive = np.array(patches.kinds), np.array(patches.positive)
    names = [kind for kind in ("positive", "hard negative", "anywhere") if (kinds == kind).any()]
    shares = np.array([[((kinds == kind) & (positive == yes)).mean() for kind in names] for yes in (True, False)])
    names = ["around an embolus" if name == "positive" else name for name in names]
    axes.bar(names, shares[0], color=SAMPLED, label=f"positive: {positive.mean():.1%} of all")
    axes.bar(names, shares[1], bottom=shares[0], color=SCAN, label="not positive")
    axes.set(ylabel="share of patches", ylim=(0, shares.sum(axis=0).max() * 1.25))
    axes.legend(loc="upper right", frameon=False, fontsize=8)
