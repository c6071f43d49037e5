"""The pictures of an evaluation: FROC, recall by size, volumes, calibration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pe_nnunet.evaluation.folder import Evaluation
from pe_nnunet.files import atomic_path
from pe_nnunet.metrics.case_scores import CaseScores
from pe_nnunet.metrics.detection_curves import BAND_RATES, Detection
from pe_nnunet.metrics.protocols import PROTOCOLS

TICKS = PROTOCOLS["cad-pe"].fp_rates
BINS = 10


def write_plots(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Draw what the evaluation has data for.

    Args:
        evaluation: From `evaluate_folder`.
        folder: Where to.

    Returns:
        The files: froc.png, sizes.png, volumes.png, calibration.png, or those of them that apply; calibration.png only
        where all scores are from 0 to 1, which a CAD-PE text file's confidences need not be.

    Raises:
        OutputError: PE-OUT-001 if a file cannot be written.
    """
    from matplotlib.figure import Figure

    curves = [d for d in evaluation.detections if len(d.curve.sensitivity)]
    pictures: dict[str, tuple[Callable[[Any, Any], None], Any]] = {
        "froc": (_froc, curves),
        "sizes": (_sizes, next((d for d in curves if d.sizes), None)),
        "volumes": (_volumes, [case for case in evaluation.cases if case["predicted_ml"] is not None]),
        "calibration": (_calibration, _probabilities(evaluation.calibration)),
    }
    files = []
    for name, (draw, data) in pictures.items():
        if not data:
            continue
        figure = Figure(figsize=(5.5, 4.2), layout="constrained")
        draw(figure.add_subplot(), data)
        path = folder / f"{name}.png"
        with atomic_path(path) as temporary:
            figure.savefig(temporary, dpi=120, format="png")
        files.append(path)
    return files


def _froc(axes: Any, detections: Sequence[Detection]) -> None:
    for number, found in enumerate(detections):
        colour = f"C{number}"
        axes.plot(
            BAND_RATES,
            [e.value for e in found.band],
            color=colour,
            label=f"{found.protocol}, eps {found.eps_mm:g} mm",
            linestyle="--" if found.protocol == "aanet" else "-",
        )
        if number == 0 and found.band[0].low is not None:  # bands of several curves would hide one another
            axes.fill_between(
                BAND_RATES, [e.low for e in found.band], [e.high for e in found.band], color=colour, alpha=0.12, lw=0
            )
    axes.set_xscale("log", base=2)
    axes.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
    axes.set(xlim=(TICKS[0], TICKS[-1]), ylim=(0, 1.02), xlabel="false markers a scan", ylabel="embolus sensitivity")
    axes.set_title(f"FROC; 95 % band of {detections[0].protocol}, eps {detections[0].eps_mm:g} mm", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize=8)


def _sizes(axes: Any, found: Detection) -> None:
    names = []
    for place, stratum in enumerate(found.sizes):
        top = f"{stratum.min_mm3:,.0f}-{stratum.below_mm3:,.0f}"
        names.append(f"{top if np.isfinite(stratum.below_mm3) else f'{stratum.min_mm3:,.0f} and more'}\n"
                     f"{stratum.found} of {stratum.emboli}")  # fmt: skip
        recall = stratum.recall
        if recall.value is None:
            continue
        axes.bar(place, recall.value, width=0.6, color="C0", alpha=0.8)
        if recall.low is not None and recall.high is not None:
            # A percentile interval can lie wholly on one side of the value in a small stratum.
            below, above = max(recall.value - recall.low, 0), max(recall.high - recall.value, 0)
            axes.errorbar(place, recall.value, [[below], [above]], color="black", capsize=4)
    axes.set_xticks(range(len(names)), names, fontsize=8)
    axes.set(
        xlim=(-0.6, len(names) - 0.4),
        ylim=(0, 1.05),
        xlabel="volume of the embolus, mm³",
        ylabel="recall of all markers",
    )
    axes.set_title(f"Recall by size ({found.protocol}, eps {found.eps_mm:g} mm)", fontsize=10)


def _volumes(axes: Any, cases: Sequence[CaseScores]) -> None:
    truth = np.array([case["truth_ml"] for case in cases], float)
    found = np.array([case["predicted_ml"] for case in cases], float)
    mean, off = (truth + found) / 2, found - truth
    axes.scatter(mean, off, s=18, alpha=0.7)
    bias, spread = off.mean(), off.std(ddof=1) if len(off) > 1 else 0.0
    lines = (("mean", bias), ("+1.96 SD", bias + 1.96 * spread), ("-1.96 SD", bias - 1.96 * spread))
    for name, level in lines if spread else lines[:1]:
        axes.axhline(level, color="C3", linestyle="-" if name == "mean" else "--", lw=1, label=f"{name} {level:.2f} ml")
    axes.set(xlabel="mean of predicted and true volume, ml", ylabel="predicted less true, ml")
    axes.set_title("Clot volume (Bland-Altman), scans without emboli included", fontsize=10)
    axes.legend(fontsize=8)


def _probabilities(pairs: Sequence[tuple[float, bool]]) -> Sequence[tuple[float, bool]]:
    """The markers' scores where all are probabilities; none where a tool's confidences are something else."""
    return pairs if all(0 <= score <= 1 for score, _ in pairs) else ()


def _calibration(axes: Any, pairs: Sequence[tuple[float, bool]]) -> None:
    probability, true = np.array([p for p, _ in pairs]), np.array([t for _, t in pairs], float)
    place = np.minimum((probability * BINS).astype(int), BINS - 1)
    number = np.bincount(place, minlength=BINS)
    filled = np.flatnonzero(number)
    means = np.bincount(place, probability, BINS)[filled] / number[filled]
    shares = np.bincount(place, true, BINS)[filled] / number[filled]
    axes.plot([0, 1], [0, 1], color="grey", lw=1, linestyle=":")
    axes.plot(means, shares, marker="o", color="C0")
    for x, y, n in zip(means, shares, number[filled], strict=True):
        axes.annotate(str(n), (x, y), textcoords="offset points", xytext=(4, -10), fontsize=7)
    axes.set(xlim=(0, 1.02), ylim=(-0.02, 1.02), xlabel="score of the marker", ylabel="share inside an embolus")
    axes.set_title("Calibration of markers (numbers: markers in the bin)", fontsize=10)
