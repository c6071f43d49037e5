"""The evaluation as one HTML page with its pictures beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pe_nnunet.evaluation.folder import Evaluation
from pe_nnunet.evaluation.report import cohort_lines, decimal
from pe_nnunet.metrics.case_scores import CaseScores
from pe_nnunet.pages import render

CASE_HEAD = (
    "scan", "emboli", "found", "false+", "merged", "split", "Dice", "surface Dice", "HD95, mm", "panoptic quality",
    "truth, ml", "found, ml", "truth left, ml", "right, ml", "PE score",
)  # fmt: skip


def page(evaluation: Evaluation, pictures: Sequence[Path]) -> str:
    """HTML that needs nothing from elsewhere but its pictures, named by their file names.

    Args:
        evaluation: From `evaluate_folder`.
        pictures: From `write_plots`, to lie in the page's folder.
    """
    return render(
        "evaluation.html.j2",
        evaluation=evaluation,
        cohort=cohort_lines(evaluation.cohort),
        pictures=pictures,
        case_head=CASE_HEAD,
        cases=[_case(case) for case in evaluation.cases],
    )


def _case(case: CaseScores) -> tuple[str, ...]:
    left, right = (
        "-" if getattr(case.truth_clot, side, None) is None else f"{getattr(case.truth_clot, side):.2f}"
        for side in ("left_ml", "right_ml")
    )
    counts = map(str, (case.emboli, case.found, case.false_positives, case.merged, case.split))
    return (
        case.case_id,
        *counts,
        decimal(case.dice, 2),
        decimal(case.surface.surface_dice, 2),
        decimal(case.surface.hd95_mm, 1),
        decimal(case.panoptic.panoptic_quality, 2),
        decimal(case.truth_ml, 2),
        decimal(case.predicted_ml, 2),
        left,
        right,
        decimal(case.pe_score, 2),
    )
