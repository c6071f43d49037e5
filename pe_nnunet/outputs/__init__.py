"""What a person or a pipeline gets for each case and for the cohort.

Everything comes on first use: the command asks for its switches before NumPy is there, and matplotlib would take memory
from the networks that run before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pe_nnunet.lazy import on_first_use

if TYPE_CHECKING:
    from pe_nnunet.outputs.artery import artery_diameters_mm
    from pe_nnunet.outputs.case import CaseResult, ModelRecord, ModelTerms, StockClasses
    from pe_nnunet.outputs.case_files import versions, write_case
    from pe_nnunet.outputs.case_page import write_report
    from pe_nnunet.outputs.cohort_files import CaseSummary, read_case_summary, write_cohort_report, write_summary
    from pe_nnunet.outputs.cohort_sheet import CohortRow, cohort_picture
    from pe_nnunet.outputs.emboli_table import read_emboli_csv
    from pe_nnunet.outputs.overview import truth_overview, write_overview

__all__ = [
    "CaseResult",
    "CaseSummary",
    "CohortRow",
    "ModelRecord",
    "ModelTerms",
    "StockClasses",
    "artery_diameters_mm",
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
        "CaseResult": "case",
        "CaseSummary": "cohort_files",
        "CohortRow": "cohort_sheet",
        "ModelRecord": "case",
        "ModelTerms": "case",
        "StockClasses": "case",
        "artery_diameters_mm": "artery",
        "cohort_picture": "cohort_sheet",
        "read_case_summary": "cohort_files",
        "read_emboli_csv": "emboli_table",
        "truth_overview": "overview",
        "versions": "case_files",
        "write_case": "case_files",
        "write_cohort_report": "cohort_files",
        "write_overview": "overview",
        "write_report": "case_page",
        "write_summary": "cohort_files",
    },
)
