"""Scores of voxels, emboli and scans."""

from __future__ import annotations

from pe_nnunet.evaluation.case import CaseScores, evaluate_case
from pe_nnunet.evaluation.cohort import CohortScores, summarise
from pe_nnunet.evaluation.folder import Evaluation, evaluate_folder
from pe_nnunet.evaluation.instances import LabelKind, to_instances
from pe_nnunet.evaluation.overlap import OverlapCriterion
from pe_nnunet.evaluation.policy import EmptyPolicy
from pe_nnunet.evaluation.report import cohort_lines, table, write_evaluation
from pe_nnunet.evaluation.settings import EvaluationSettings

__all__ = [
    "CaseScores",
    "CohortScores",
    "EmptyPolicy",
    "Evaluation",
    "EvaluationSettings",
    "LabelKind",
    "OverlapCriterion",
    "cohort_lines",
    "evaluate_case",
    "evaluate_folder",
    "summarise",
    "table",
    "to_instances",
    "write_evaluation",
]
