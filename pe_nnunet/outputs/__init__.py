"""What a person or a pipeline gets for each case and for the cohort.

Pictures and pages come on first use: matplotlib would take memory from the networks that run before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pe_nnunet.lazy import on_first_use
from pe_nnunet.outputs.artery import ArteryLevel, artery_levels
from pe_nnunet.outputs.case import CaseResult, ModelRecord, versions
from pe_nnunet.outputs.run import CaseSummary, read_case_summary, write_summary
from pe_nnunet.outputs.table import read_emboli_csv
from pe_nnunet.outputs.write import write_case

if TYPE_CHECKING:
    from pe_nnunet.outputs.cohort_report import write_cohort_report
    from pe_nnunet.outputs.cohort_sheet import CohortRow, cohort_picture
    from pe_nnunet.outputs.overview import truth_overview, write_overview
    from pe_nnunet.outputs.report import write_report

__all__ = [
    "ArteryLevel",
    "CaseResult",
    "CaseSummary",
    "CohortRow",
    "ModelRecord",
    "artery_levels",
    "cohort_picture",
    "read_case_summary",
    "read_emboli_csv",
    "truth_overview",
    "versions",
    "write_case",
    "write_cohort_report",
    "write_overview",
    "write_report",
    "write_summary",
]

__getattr__ = on_first_use(
    __name__,
    {
        "CohortRow": "cohort_sheet",
        "cohort_picture": "cohort_sheet",
        "truth_overview": "overview",
        "write_cohort_report": "cohort_report",
        "write_overview": "overview",
        "write_report": "report",
    },
)
