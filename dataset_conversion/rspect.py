"""RSPECT (RSNA 2020): studies labelled as a whole, no pixels; it gives scans without emboli.

    SRC/train.csv                                     one row a slice
    SRC/train/<StudyInstanceUID>/<SeriesInstanceUID>/<SOPInstanceUID>.dcm

Converted are the studies with `negative_exam_for_pe` 1, and those for which `--labels` has a mask. The others may hold
emboli that nobody has drawn and are left out.

Source: Colak et al., The RSNA pulmonary embolism CT dataset, Radiology: Artificial Intelligence 3, e200254 (2021).
"""

from __future__ import annotations

from pathlib import Path

from pe_nnunet.dataset_conversion.layout import list_cases, one_scan, require_subfolder, scans_in
from pe_nnunet.dataset_conversion.masks import CaseMasks
from pe_nnunet.dataset_conversion.options import ConvertOptions
from pe_nnunet.dataset_conversion.published import Published
from pe_nnunet.dataset_conversion.sources import CaseSource, Listing, read_case
from pe_nnunet.dataset_conversion.tables import read_table
from pe_nnunet.errors import InputError
from pe_nnunet.volumes.case_ids import clean

__all__ = ["PUBLISHED", "find_cases", "read_case"]

PUBLISHED = Published()
_STUDY, _NEGATIVE, _UNCLEAR = "StudyInstanceUID", "negative_exam_for_pe", "indeterminate"


def find_cases(src: Path, options: ConvertOptions) -> Listing:
    """List the studies that train.csv calls negative and that lie there, and those with a mask of their own."""
    scans, masks = require_subfolder(src, "RSPECT", "train"), CaseMasks(options)
    negative = _negative_studies(scans.parent / "train.csv")

    def source_of(case: str, path: Path) -> CaseSource:
        return masks.source(
            one_scan(path, case, options), f"{scans.name}/{path.name}", known_negative=path.name in negative
        )

    wanted = [path for path in scans_in(scans) if path.name in negative or masks.has_label(clean(path.name))]
    return list_cases(wanted, source_of, f"negative study of train.csv in {scans}")


def _negative_studies(table: Path) -> frozenset[str]:
    """Studies without embolus on every row; an indeterminate one is none.

    Raises:
        InputError: PE-CONV-027 if the rows of a study contradict each other.
    """
    verdicts: dict[str, tuple[str, str]] = {}
    for row in read_table(table, (_STUDY, _NEGATIVE, _UNCLEAR)):
        verdict = (row[_NEGATIVE], row[_UNCLEAR])
        if verdicts.setdefault(row[_STUDY], verdict) != verdict:
            raise InputError("PE-CONV-027", f"{table.name}: study {row[_STUDY]} has rows that differ", "fetch it again")
    return frozenset(study for study, verdict in verdicts.items() if verdict == ("1", "0"))
