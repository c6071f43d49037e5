"""Which files of a DICOM folder are the slices of its one CT series, or why it has none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from pe_nnunet.errors import InputError, Note
from pe_nnunet.volumes.dicom_headers import FileHeader, ct_series
from pe_nnunet.volumes.scan import ScanRef


def choose_series(ref: ScanRef, headers: Iterable[FileHeader]) -> tuple[list[FileHeader], list[Note]]:
    """Pick the slices of the series that a reference means.

    Args:
        ref: From `find_scans`.
        headers: Of all its files that are DICOM.

    Returns:
        The CT slices of one series, one patient and one study, and what was left out of that series.

    Raises:
        InputError: PE-DCM-008 no CT slices, PE-DCM-020 several patients or studies, PE-DCM-005 several series.
    """
    found = list(headers)
    if ref.series_uid is not None:
        found = [header for header in found if header.series_uid == ref.series_uid]
    series = ct_series(found)
    members = [header for of_one in series.values() for header in of_one]
    if not members:
        kinds = Counter(header.kind for header in found).most_common()
        listed = ", ".join(f"{n} {kind}" for kind, n in kinds) or "nothing readable"
        raise InputError(
            "PE-DCM-008",
            f"{ref.case_id}: no CT slices in {ref.path}, found {listed}",
            "give the folder of the CT series",
        )
    for name, values in (("patients", {h.patient_key for h in members}), ("studies", {h.study_uid for h in members})):
        if len(values) > 1:
            raise InputError(
                "PE-DCM-020",
                f"{ref.case_id}: {ref.path} mixes {len(values)} {name}, expected one",
                "put each into a folder of its own" + (", or choose with --series-uid" if len(series) > 1 else ""),
            )
    if len(series) > 1:
        listed = "; ".join(f"{uid} ({len(of)} files, {of[0].description or 'untitled'})" for uid, of in series.items())
        raise InputError(
            "PE-DCM-005",
            f"{ref.case_id}: {len(series)} CT series in {ref.path}, expected one: {listed}",
            "choose one with --series-uid UID, or --pick largest-ct",
        )
    uid = members[0].series_uid
    dropped = Counter(header.kind for header in found if header.series_uid == uid and not header.is_ct_slice)
    listed = ", ".join(f"{n} {kind}" for kind, n in dropped.most_common())
    return members, [Note("PE-DCM-006", "repaired", f"left out of the series: {listed}")] if dropped else []
