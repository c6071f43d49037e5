"""The table of several methods on the same scans that a paper prints: every number with its 95 % interval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pe_nnunet.evaluation.folder import Evaluation
from pe_nnunet.evaluation.reproduce import RATES
from pe_nnunet.files import atomic_text, csv_text
from pe_nnunet.metrics.bootstrap import Estimate
from pe_nnunet.metrics.definitions import METRICS

CSV, MARKDOWN = "table.csv", "table.md"
COLUMNS = ("dataset", "scans", "emboli", "method", "protocol", "eps_mm", "measure", "value", "low", "high")
OPERATING = {
    "dice": "Dice",
    "surface_dice": "surface Dice",
    "sensitivity": "embolus sensitivity",
    "precision": "embolus precision",
    "f1": "F1",
    "false_positives_per_scan": "false positives a scan",
}
"""Numbers of the findings that each method keeps, and their headings."""

Row = tuple[str, str, str, Estimate]
"""Protocol, tolerance in mm, measure and number; protocol and tolerance are empty for kept findings."""


def write_tables(evaluations: Mapping[str, Evaluation], dataset: str, notes: Sequence[str], folder: Path) -> list[Path]:
    """Write `table.csv`, one number a line, and `table.md`.

    Args:
        evaluations: By method, in the order of the table.
        dataset: What the scans are.
        notes: What its readers have to know.
        folder: Where to.

    Raises:
        OutputError: PE-OUT-001 if one cannot be written.
    """
    paths = [folder / CSV, folder / MARKDOWN]
    atomic_text(paths[0], table_csv(evaluations, dataset))
    atomic_text(paths[1], table_markdown(evaluations, dataset, notes))
    return paths


def table_csv(evaluations: Mapping[str, Evaluation], dataset: str) -> str:
    """One number a line, with its interval; empty where it is not defined."""
    lines = []
    for method, evaluation in evaluations.items():
        cohort = evaluation.cohort
        of_all = [dataset, cohort["scans"], cohort["emboli"], method]
        for protocol, eps_mm, measure, number in _rows(evaluation):
            values = ("" if value is None else f"{value:.6g}" for value in (number.value, number.low, number.high))
            lines.append([*of_all, protocol, eps_mm, measure, *values])
    return csv_text(list(COLUMNS), lines)


def table_markdown(evaluations: Mapping[str, Evaluation], dataset: str, notes: Sequence[str]) -> str:
    """Two tables for people, of kept findings and of sensitivities at given rates, and what belongs to them."""
    first = next(iter(evaluations.values()))
    drawn = first.settings.resampling.samples
    kept = [["method", *OPERATING.values()]]
    curves = [["method", "protocol", "eps, mm", *(f"sensitivity at {rate:g}, %" for rate in RATES), "FROC score"]]
    for method, evaluation in evaluations.items():
        numbers = {measure: number for _, _, measure, number in _kept(evaluation)}
        kept.append([method, *(_shown(numbers[name], METRICS[name].digits) for name in OPERATING)])
        for found in evaluation.detections:
            at = (_shown(found.sensitivity_at_fp[rate], 1, 100) for rate in RATES)
            curves.append([method, found.protocol, f"{found.eps_mm:g}", *at, _shown(found.score, 3)])
    cohort = first.cohort
    text = [
        f"# {dataset}: {cohort['scans']} scans with {cohort['emboli']} emboli",
        f"In brackets: 95 % intervals, from {drawn} bootstrap samples of patients; see docs/evaluation.md.",
        "## Findings that each method keeps",
        _markdown(kept),
        "## FROC: sensitivity at false markers a scan",
        _markdown(curves),
        "## Notes",
        "\n".join(f"- {note}" for note in notes),
    ]
    return "\n\n".join(text) + "\n"


def _rows(evaluation: Evaluation) -> Iterator[Row]:
    yield from _kept(evaluation)
    for found in evaluation.detections:
        place = (found.protocol, f"{found.eps_mm:g}")
        curve = found.curve
        counts = {"tp": curve.true_positives, "fn": curve.false_negatives, "fp": curve.false_positives}
        yield from ((*place, name, Estimate(float(count))) for name, count in counts.items())
        yield from ((*place, f"sensitivity_at_{rate:g}", e) for rate, e in found.sensitivity_at_fp.items())
        yield (*place, "froc_score", found.score)


def _kept(evaluation: Evaluation) -> Iterator[Row]:
    """Numbers of kept findings; without interval where none was asked for."""
    cohort = evaluation.cohort
    for name in OPERATING:
        value = cohort[name]
        yield "", "", name, cohort.intervals.get(name, Estimate(None if value is None else float(value)))


def _shown(number: Estimate, digits: int, times: float = 1) -> str:
    """`84.2 [77.1, 90.3]`, or `-`."""
    if number.value is None:
        return "-"
    shown = f"{times * number.value:.{digits}f}"
    if number.low is None or number.high is None:
        return shown
    return f"{shown} [{times * number.low:.{digits}f}, {times * number.high:.{digits}f}]"


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    head, *body = rows
    return "\n".join([line(head), line(["---"] * len(head)), *map(line, body)])
