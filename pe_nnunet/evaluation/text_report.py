"""The evaluation as text for people."""

from __future__ import annotations

from collections.abc import Sequence

from pe_nnunet.evaluation.folder import Evaluation
from pe_nnunet.metrics.case_scores import CaseScores
from pe_nnunet.metrics.cohort_scores import CohortScores
from pe_nnunet.metrics.definitions import COMPARED, METRICS, SHOWN, decimal

# The cohort's numbers, each with the counts that it comes from.
LINES = (
    ("scans", "{scans} ({positive_scans} with emboli, {negative_scans} without)"),
    ("Dice", "{dice} (mean over the scans with emboli)"),
    ("embolus sensitivity", "{sensitivity} ({found} of {emboli}; {merged} merged, {split} split)"),
    ("false positives a scan", "{false_positives_per_scan} ({false_positives} in {scans} scans)"),
    ("embolus precision, F1", "{precision}, {f1}"),
    ("surface Dice, panoptic quality", "{surface_dice}, {panoptic_quality} (means over the same)"),
    (
        "HD95, mean distance",
        "{hd95_mm}, {assd_mm} mm (the {measured} of these in which anything is found)",
    ),
    ("volume error", "{volume_error_ml} ml (mean over the scans with emboli)"),
    (
        "scans without emboli",
        "{negative_clean} of {negative_scans} clean, {negative_false_positives_per_scan} false positives and "
        "{negative_predicted_ml} ml a scan",
    ),
    ("scan level", "sensitivity {patient_sensitivity}, specificity {patient_specificity}"),
)


def table(evaluation: Evaluation) -> str:
    """The evaluation for people: one line a case, then the cohort, then what is missing."""
    rows = case_rows(evaluation.cases, [name for name in SHOWN if METRICS[name].brief], "case", unit=" ")
    parts = [_grid(rows), cohort_lines(evaluation.cohort)]
    sides = {"labels": evaluation.labels, "predictions": evaluation.predictions}
    if read := [f"{side}: {how}" for side, how in sides.items() if how.dataset is not None]:
        parts.append("\n".join(read))
    if evaluation.detections:
        scores = (f"  {d.protocol:<7} eps {d.eps_mm:g} mm  {d.score}" for d in evaluation.detections)
        parts.append("\n".join(["FROC score (mean sensitivity) with its 95 % interval", *scores]))
    if evaluation.failures:
        lines = "\n".join(f"  {failure}" for failure in evaluation.failures)
        parts.append(f"not scored, and in none of these numbers: {len(evaluation.failures)}\n{lines}")
    if evaluation.notes:
        parts.append("\n".join(map(str, evaluation.notes)))
    return "\n\n".join(parts)


def case_rows(cases: Sequence[CaseScores], names: Sequence[str], first: str, unit: str) -> list[list[str]]:
    """A heading and one line a case.

    Args:
        cases: With scores, one line each.
        names: Metrics of a case.
        first: Heading of the column of case ids.
        unit: What stands between a heading and its unit.
    """
    shown = [(name, METRICS[name]) for name in names]
    head = [f"{metric.heading}{unit}{metric.unit}" if metric.unit else metric.heading for _, metric in shown]
    rows = ([metric.text(case[name], of_case=True) for name, metric in shown] for case in cases)
    return [[first, *head], *([case.case_id, *row] for case, row in zip(cases, rows, strict=True))]


def cohort_lines(cohort: CohortScores) -> str:
    """The cohort's numbers, one a line: those of `LINES`, and others that have a heading."""
    texts = {name: METRICS[name].text(value) for name, value in cohort.values.items()}
    lines = [(title, line.format_map(texts)) for title, line in LINES]
    for name in COMPARED:
        metric = METRICS[name]
        if metric.heading and not any(f"{{{name}}}" in line for _, line in LINES):
            lines.append((metric.heading, f"{texts[name]} {metric.unit}".rstrip()))
    for point in cohort.sensitivity_at_fp or ():
        threshold = decimal(point["threshold"], 3)
        lines.append(
            (
                f"sensitivity at {point['budget']:g} false+ a scan",
                f"{decimal(point['sensitivity'], 3)} (score of at least {threshold})",
            )
        )
    width = max(len(title) for title, _ in lines)
    return "\n".join(f"{title:<{width}}  {text}" for title, text in lines)


def _grid(rows: Sequence[Sequence[str]]) -> str:
    first, *others = [max(map(len, column)) for column in zip(*rows, strict=True)]
    cells = ([f"{row[0]:<{first}}", *(f"{c:>{w}}" for c, w in zip(row[1:], others, strict=True))] for row in rows)
    return "\n".join("  ".join(row).rstrip() for row in cells)
