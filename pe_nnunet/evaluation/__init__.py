"""Scores of voxels, emboli and scans."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pe_nnunet.lazy import on_first_use

if TYPE_CHECKING:
    from pe_nnunet.evaluation.evaluation_files import write_evaluation
    from pe_nnunet.evaluation.folder import Evaluation, evaluate_folder
    from pe_nnunet.evaluation.settings import EvaluationSettings
    from pe_nnunet.evaluation.text_report import cohort_lines, table
    from pe_nnunet.evaluation.text_tables import read_groups, read_patients

__all__ = [
    "Evaluation",
    "EvaluationSettings",
    "cohort_lines",
    "evaluate_folder",
    "read_groups",
    "read_patients",
    "table",
    "write_evaluation",
]

__getattr__ = on_first_use(
    __name__,
    {
        "Evaluation": "folder",
        "EvaluationSettings": "settings",
        "cohort_lines": "text_report",
        "evaluate_folder": "folder",
        "read_groups": "text_tables",
        "read_patients": "text_tables",
        "table": "text_report",
        "write_evaluation": "evaluation_files",
    },
)
