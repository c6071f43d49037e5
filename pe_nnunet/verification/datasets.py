"""A dataset that was converted: every file as its case's record says, and nnU-Net's files as the records say."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pe_nnunet.cases import CaseLimits, work_through
from pe_nnunet.errors import PEError
from pe_nnunet.files.json_reader import MALFORMED, why
from pe_nnunet.verification.failed_cases import failed_cases
from pe_nnunet.verification.findings import Checked, Finding, compare_hashes, disagree
from pe_nnunet.verification.whole_files import read_table, read_whole, whole_findings

if TYPE_CHECKING:
    from pe_nnunet.dataset.records import CaseRecord

KIND = "a converted dataset"
_TABLE = "pe_nnunet/report.csv"
_PAGE = "pe_nnunet/sheets.html"


def is_kind(folder: Path) -> bool:
    """Whether a dataset lies here, of nnU-Net's layout or with our records."""
    return (folder / "pe_nnunet" / "cases.json").is_file() or (
        (folder / "imagesTr").is_dir() and (folder / "dataset.json").is_file()
    )


def check(folder: Path, limits: CaseLimits | None) -> Checked:
    """Compare records, files and nnU-Net's descriptions."""
    from pe_nnunet.dataset.raw import CASE_FILES, CASES, ERRORS, case_file, load_cases

    try:
        records = load_cases(folder)
    except PEError as error:
        return Checked(folder, KIND, 1, [Finding.of(error)])
    found, values = _description_findings(folder, {case for case, record in records.items() if not record.test})
    found += _split_findings(folder, {case: record.patient for case, record in records.items() if not record.test})
    results, lost = work_through(partial(_check_case, folder, values), records, limits=limits, quiet=True)
    found += [finding for findings in results.values() for finding in findings]
    found += [Finding.of(failure) for failure in lost]
    failed, of_failures = failed_cases([folder / ERRORS])
    found += of_failures
    found += [
        disagree(f"{folder / ERRORS} says that {case} failed, and {CASES} has it") for case in failed & records.keys()
    ]
    found += _table_findings(folder, set(records))
    known = {case_file(folder, role, c, test=r.test) for c, r in records.items() for role in CASE_FILES}
    places = {(folder / template).parent for template in CASE_FILES.values()}
    found += [
        Finding("PE-VER-005", "error", f"{path} is of no case that {CASES} has")
        for place in sorted(places)
        for path in sorted(place.glob("*"))
        if path not in known and not path.name.startswith(".")
    ]
    files = sum(path.is_file() for path in known) + 4
    return Checked(folder, KIND, files, found)


def _check_case(folder: Path, values: set[int] | None, record: CaseRecord) -> list[Finding]:
    """What of a case is not as its record says; in a process of its own."""
    import numpy as np
    import SimpleITK as sitk

    from pe_nnunet.dataset.raw import CASE_FILES, case_file, case_hashes

    where, now = f"{folder}: case {record.case}", case_hashes(folder, record)
    needed = {"image", "label", "instances", "sheet"} | ({"lungs"} if record.lungs_found else set())
    if record.files_sha256:
        found = compare_hashes(record.files_sha256, now, where)
    else:
        found = [Finding("PE-VER-009", "warning", f"{where} records no hashes: its files were read, not compared")]
    found += [
        Finding("PE-VER-003", "error", f"{where}: {role} is missing")
        for role in sorted(needed - now.keys() - record.files_sha256.keys())
    ]
    depth, height, width = record.box.shape
    for role in CASE_FILES:
        path = case_file(folder, role, record.case, test=record.test)
        if role not in now:
            continue
        try:
            image = read_whole(path)
        except PEError as error:
            found.append(Finding.of(error))
            continue
        if image is None:
            continue
        if image.GetSize() != (width, height, depth):
            found.append(
                disagree(f"{path} has {image.GetSize()} voxels, and the crop (x, y, z) {(width, height, depth)}")
            )
        held = set(np.unique(sitk.GetArrayViewFromImage(image)).tolist()) if role in {"label", "instances"} else set()
        if role == "label" and values is not None and not held <= values:
            found.append(disagree(f"{path} holds {sorted(held - values)[:9]}, which dataset.json does not name"))
        if role == "instances" and held - {0} != set(record.embolus_mm3):
            found.append(
                disagree(
                    f"{path} holds the emboli {sorted(held - {0})[:9]}, and the record {sorted(record.embolus_mm3)[:9]}"
                )
            )
    return found


def _description_findings(folder: Path, training: set[str]) -> tuple[list[Finding], set[int] | None]:
    """What `dataset.json` says, and the values that labels may have; None where it cannot be read."""
    from pe_nnunet.dataset.dataset_json import DATASET, read_dataset_json, values_of

    path = folder / DATASET
    try:
        content = read_dataset_json(folder, "PE-PLN-004")
        values = {value for of in content["labels"].values() for value in values_of(of)}
        found = []
        if content["numTraining"] != len(training):
            found = [disagree(f"{path} counts {content['numTraining']} training cases, and there are {len(training)}")]
        if content["file_ending"] != ".nii.gz":
            found.append(disagree(f"{path} says that files end in {content['file_ending']!r}, and they end in .nii.gz"))
    except PEError as error:
        return [Finding.of(error)], None
    except MALFORMED as error:
        return [Finding("PE-VER-008", "error", f"{path} cannot be read: {why(error)}")], None
    return found, values


def _split_findings(folder: Path, patients: Mapping[str, str]) -> list[Finding]:
    from pe_nnunet.dataset.folders import SPLITS
    from pe_nnunet.dataset.split_checks import left_out, read_checked_splits, shared_patients

    if not (folder / SPLITS).is_file():
        return []  # too few patients for folds
    try:
        splits = read_checked_splits(folder / SPLITS, patients)
    except PEError as error:
        return [Finding.of(error)]
    return [Finding.of(note) for note in (*shared_patients(splits, patients), *left_out(splits, patients))]


def _table_findings(folder: Path, cases: set[str]) -> list[Finding]:
    """The table and the page for people."""
    found = []
    for name in (_TABLE, _PAGE):
        path = folder / name
        if not path.is_file():
            found.append(Finding("PE-VER-003", "error", f"{path} is missing"))
            continue
        found += whole_findings(path)
        if name == _TABLE and not found and {row[0] for row in read_table(path)[1:]} != cases:
            found.append(disagree(f"{path} has other cases than cases.json"))
    return found
