"""What a person or a pipeline gets for each case and for the cohort."""

from __future__ import annotations

from pe_nnunet.outputs.artery import ArteryLevel, artery_levels
from pe_nnunet.outputs.case import CaseResult, ModelRecord
from pe_nnunet.outputs.cohort import CohortRow, cohort_picture
from pe_nnunet.outputs.cohort_report import write_cohort_report
from pe_nnunet.outputs.manifest import DISCLAIMER, versions
from pe_nnunet.outputs.overview import truth_overview, write_overview
from pe_nnunet.outputs.report import write_report
from pe_nnunet.outputs.run import (
    CaseFailure,
    CaseSummary,
    read_case_summary,
    write_errors,
    write_summary,
)
from pe_nnunet.outputs.table import Marker, read_emboli_csv
from pe_nnunet.outputs.write import write_case

__all__ = [
    "DISCLAIMER",
    "ArteryLevel",
    "CaseFailure",
    "CaseResult",
    "CaseSummary",
    "CohortRow",
    "Marker",
    "ModelRecord",
    "artery_levels",
    "cohort_picture",
    "read_case_summary",
    "read_emboli_csv",
    "truth_overview",
    "versions",
    "write_case",
    "write_cohort_report",
    "write_errors",
    "write_overview",
    "write_report",
    "write_summary",
]
