"""The evaluation as one HTML page with its pictures beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pe_nnunet.evaluation.folder import Evaluation
from pe_nnunet.evaluation.text_report import case_rows, cohort_lines
from pe_nnunet.metrics.definitions import SHOWN
from pe_nnunet.pages import render


def page(evaluation: Evaluation, pictures: Sequence[Path]) -> str:
    """HTML that needs nothing from elsewhere but its pictures, named by their file names.

    Args:
        evaluation: From `evaluate_folder`.
        pictures: From `write_plots`, to lie in the page's folder.
    """
    columns, *lines = case_rows(evaluation.cases, SHOWN, "scan", unit=", ")
    return render(
        "evaluation.html.j2",
        evaluation=evaluation,
        cohort=cohort_lines(evaluation.cohort),
        pictures=pictures,
        case_head=columns,
        cases=lines,
    )
