"""Scores of voxels, emboli and scans."""

from __future__ import annotations

from pe_nnunet.evaluation.bootstrap import Estimate, Resampling
from pe_nnunet.evaluation.case import CaseScores, evaluate_case
from pe_nnunet.evaluation.cohort import CohortScores, summarise
from pe_nnunet.evaluation.folder import Evaluation, evaluate_folder
from pe_nnunet.evaluation.instances import LabelKind, to_instances
from pe_nnunet.evaluation.intervals import read_groups, read_patients
from pe_nnunet.evaluation.overlap import OverlapCriterion
from pe_nnunet.evaluation.policy import EmptyPolicy
from pe_nnunet.evaluation.report import cohort_lines, table
from pe_nnunet.evaluation.settings import EvaluationSettings
from pe_nnunet.evaluation.write import write_evaluation

__all__ = [
    "CaseScores",
    "CohortScores",
    "EmptyPolicy",
    "Estimate",
    "Evaluation",
    "EvaluationSettings",
    "LabelKind",
    "OverlapCriterion",
    "Resampling",
    "cohort_lines",
    "evaluate_case",
    "evaluate_folder",
    "read_groups",
    "read_patients",
    "summarise",
    "table",
    "to_instances",
    "write_evaluation",
]
