"""The evaluation as JSON, CSV and a table for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pe_nnunet import __version__
from pe_nnunet.evaluation.folder import Evaluation
from pe_nnunet.metrics.bootstrap import Estimate
from pe_nnunet.metrics.cohort_scores import CohortScores
from pe_nnunet.metrics.detection_curves import Detection


def summary(evaluation: Evaluation) -> dict[str, Any]:
    """Everything but the single cases, in JSON's types; null where a number is not defined."""
    return {
        "cohort": asdict(evaluation.cohort),
        "intervals": _intervals(evaluation.intervals),
        "froc": _froc(evaluation.detections),
        "groups": {
            name: {"cohort": asdict(group.cohort), "intervals": _intervals(group.intervals)}
            for name, group in evaluation.groups.items()
        },
        "failed": len(evaluation.failures),
        "failures": [asdict(failure) for failure in evaluation.failures],
        "missing": list(evaluation.missing),
        "unlabelled": list(evaluation.unlabelled),
        "notes": [asdict(note) for note in evaluation.notes],
        "settings": evaluation.settings.to_dict(),
        "version": __version__,
    }


def froc_csv(detections: Sequence[Detection]) -> str:
    """Every point of every curve: protocol, eps_mm, threshold, false_positives_per_scan, sensitivity."""
    lines = ["protocol,eps_mm,threshold,false_positives_per_scan,sensitivity"]
    for found in detections:
        curve = found.curve
        if len(curve.sensitivity):
            points = zip(curve.thresholds, curve.fp_per_scan, curve.sensitivity, strict=True)
            lines += [f"{found.protocol},{found.eps_mm:g}," + ",".join(f"{v:.6g}" for v in point) for point in points]
    return "\n".join(lines) + "\n"


def _intervals(values: dict[str, Estimate]) -> dict[str, list[float | None]]:
    return {name: [estimate.low, estimate.high] for name, estimate in values.items()}


def _froc(detections: Sequence[Detection]) -> dict[str, dict[str, Any]]:
    nested: dict[str, dict[str, Any]] = {}
    for found in detections:
        nested.setdefault(found.protocol, {})[f"{found.eps_mm:g}"] = found.to_dict()
    return nested


def table(evaluation: Evaluation) -> str:
    """The evaluation for people: one line a case, then the cohort, then what is missing."""
    head = ("case", "emboli", "found", "false+", "merged", "Dice", "truth ml", "found ml", "PE score")
    rows = [
        (
            case.case_id,
            str(case.emboli),
            str(case.found),
            str(case.false_positives),
            str(case.merged),
            decimal(case.dice, 2),
            decimal(case.truth_ml, 2),
            decimal(case.predicted_ml, 2),
            decimal(case.pe_score, 2),
        )
        for case in evaluation.cases
    ]
    parts = [_grid(head, rows), cohort_lines(evaluation.cohort)]
    if evaluation.detections:
        parts.append("FROC score (mean sensitivity) with its 95 % interval\n" + _scores(evaluation.detections))
    if evaluation.failures:
        lines = "\n".join(f"  {failure}" for failure in evaluation.failures)
        parts.append(f"not scored, and in none of these numbers: {len(evaluation.failures)}\n{lines}")
    if evaluation.notes:
        parts.append("\n".join(map(str, evaluation.notes)))
    return "\n\n".join(parts)


def _scores(detections: Sequence[Detection]) -> str:
    return "\n".join(f"  {d.protocol:<7} eps {d.eps_mm:g} mm  {d.score}" for d in detections)


def cohort_lines(cohort: CohortScores) -> str:
    """The cohort's numbers, one a line, each with the counts that it comes from."""
    negatives, patients, outlines = cohort.negatives, cohort.patients, cohort.outlines
    lines = [
        ("scans", f"{cohort.scans} ({cohort.positive_scans} with emboli, {negatives.scans} without)"),
        ("Dice", f"{decimal(cohort.dice, 3)} (mean over the scans with emboli)"),
        (
            "embolus sensitivity",
            f"{decimal(cohort.sensitivity, 3)} ({cohort.found} of {cohort.emboli}; {cohort.merged} merged, "
            f"{cohort.split} split)",
        ),
        (
            "false positives a scan",
            f"{decimal(cohort.false_positives_per_scan, 2)} ({cohort.false_positives} in {cohort.scans} scans)",
        ),
        ("embolus precision, F1", f"{decimal(cohort.precision, 3)}, {decimal(cohort.f1, 3)}"),
        (
            "surface Dice, panoptic quality",
            f"{decimal(outlines.surface_dice, 3)}, {decimal(outlines.panoptic_quality, 3)} (means over the same)",
        ),
        (
            "HD95, mean distance",
            f"{decimal(outlines.hd95_mm, 1)}, {decimal(outlines.assd_mm, 1)} mm (the {outlines.measured} of these in "
            "which anything is found)",
        ),
        ("volume error", f"{decimal(cohort.volume_error_ml, 2)} ml (mean over the scans with emboli)"),
        (
            "scans without emboli",
            f"{negatives.clean} of {negatives.scans} clean, {decimal(negatives.false_positives_per_scan, 2)} false "
            f"positives and {decimal(negatives.predicted_ml, 2)} ml a scan",
        ),
        (
            "scan level",
            f"sensitivity {decimal(patients.sensitivity, 3)}, specificity {decimal(patients.specificity, 3)}",
        ),
    ]
    lines += [
        (
            f"sensitivity at {point.budget:g} false+ a scan",
            f"{decimal(point.sensitivity, 3)} (score of at least {decimal(point.threshold, 3)})",
        )
        for point in cohort.sensitivity_at_fp or ()
    ]
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:<{width}}  {text}" for name, text in lines)


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = []
    for row in (head, *rows):
        first, *others = (
            f"{cell:<{width}}" if place == 0 else f"{cell:>{width}}"
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join([first, *others]).rstrip())
    return "\n".join(lines)


def decimal(value: float | None, digits: int) -> str:
    """A number with so many decimals, or `-`."""
    return "-" if value is None else f"{value:.{digits}f}"
