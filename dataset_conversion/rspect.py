"""RSPECT (RSNA 2020): studies labelled as a whole, no pixels; it gives scans without emboli.

    SRC/train.csv                                     one row a slice
    SRC/train/<StudyInstanceUID>/<SeriesInstanceUID>/<SOPInstanceUID>.dcm

Converted are the studies with `negative_exam_for_pe` 1, and those for which `--labels` has a mask. The others may hold
emboli that nobody has drawn and are left out.

Source: Colak et al., The RSNA pulmonary embolism CT dataset, Radiology: Artificial Intelligence 3, e200254 (2021).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pe_nnunet.dataset_conversion.convert_options import ConvertOptions
from pe_nnunet.dataset_conversion.mask_pairing import CaseMasks, cases_at, one_scan
from pe_nnunet.dataset_conversion.public_dataset import (
    Published,
    differing_counts,
    read_table,
    require_subfolder,
    scans_in,
)
from pe_nnunet.dataset_conversion.sources import CaseSource, Listing, read_case
from pe_nnunet.errors import InputError
from pe_nnunet.volumes.find import clean

__all__ = ["PUBLISHED", "find_cases", "read_case"]

PUBLISHED = Published()
PUBLISHED_STUDIES, PUBLISHED_IMAGES = 7_279, 1_790_594
_STUDY, _NEGATIVE, _UNCLEAR = "StudyInstanceUID", "negative_exam_for_pe", "indeterminate"


def find_cases(src: Path, options: ConvertOptions) -> Listing:
    """List the studies that train.csv calls negative and that lie there, and those with a mask of their own."""
    scans, masks = require_subfolder(src, "RSPECT", "train"), CaseMasks(options)
    negative, counts = _negative_studies(scans.parent / "train.csv")

    def source_of(case: str, path: Path) -> CaseSource:
        ref = one_scan(path, case, options)
        return masks.source(ref, f"{scans.name}/{path.name}", known_negative=path.name in negative)

    wanted = [path for path in scans_in(scans) if path.name in negative or masks.has_label(clean(path.name))]
    listing = cases_at(wanted, source_of, f"negative study of train.csv in {scans}")
    return replace(listing, notes=differing_counts(counts))


def _negative_studies(table: Path) -> tuple[frozenset[str], list[tuple[str, int, int]]]:
    """Studies without embolus on every row, an indeterminate one being none; counts with those published.

    Raises:
        InputError: PE-CONV-027 if the rows of a study contradict each other.
    """
    verdicts: dict[str, tuple[str, str]] = {}
    images = 0
    for row in read_table(table, (_STUDY, _NEGATIVE, _UNCLEAR)):
        images += 1
        verdict = (row[_NEGATIVE], row[_UNCLEAR])
        if verdicts.setdefault(row[_STUDY], verdict) != verdict:
            raise InputError("PE-CONV-027", f"{table.name}: study {row[_STUDY]} has rows that differ", "fetch it again")
    counts = [
        (f"studies in {table.name}", len(verdicts), PUBLISHED_STUDIES),
        (f"images in {table.name}", images, PUBLISHED_IMAGES),
    ]
    return frozenset(study for study, verdict in verdicts.items() if verdict == ("1", "0")), counts
