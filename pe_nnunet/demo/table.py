"""Scores of several methods side by side."""

from __future__ import annotations

from collections.abc import Mapping

from pe_nnunet.metrics.cohort_scores import CohortScores

HEAD = ("", "Dice", "emboli found", "sensitivity", "false+ a scan", "F1", "false+ a negative scan")


def table(rows: Mapping[str, CohortScores]) -> str:
    """One line a method, in columns.

    Args:
        rows: By name.
    """
    lines = [HEAD, *(_line(name, scores) for name, scores in rows.items())]
    widths = [max(len(line[place]) for line in lines) for place in range(len(HEAD))]
    return "\n".join(
        "  ".join(
            f"{cell:<{w}}" if place == 0 else f"{cell:>{w}}"
            for place, (cell, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def _line(name: str, scores: CohortScores) -> tuple[str, ...]:
    return (
        name,
        _number(scores.dice),
        f"{scores.found} of {scores.emboli}",
        _number(scores.sensitivity),
        _number(scores.false_positives_per_scan),
        _number(scores.f1),
        f"{_number(scores['negative_false_positives_per_scan'])} ({scores['negative_scans']} scans)",
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
