"""Scores of voxels, emboli and scans."""

from __future__ import annotations

from pe_nnunet.evaluation.folder import Evaluation, evaluate_folder
from pe_nnunet.evaluation.report import cohort_lines, table
from pe_nnunet.evaluation.settings import EvaluationSettings
from pe_nnunet.evaluation.text_tables import read_groups, read_patients
from pe_nnunet.evaluation.write import write_evaluation

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
