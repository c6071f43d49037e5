"""The files of a converted dataset: nnU-Net's own layout, and in `pe_nnunet/` what nnU-Net does not ask for."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pe_nnunet.dataset.folders import RAW, Split
from pe_nnunet.dataset.records import CaseRecord
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.files import atomic_csv, atomic_json
from pe_nnunet.files.json_reader import MALFORMED, read_object, why
from pe_nnunet.volumes.files.volume_file import file_sha256

# Per-case images below the dataset folder; lungs and arteries are there where lungs were found and arteries given.
CASE_FILES = {
    "image": "imagesTr/{case}_0000.nii.gz",
    "label": "labelsTr/{case}.nii.gz",
    "instances": "pe_nnunet/instances/{case}.nii.gz",
    "lungs": "pe_nnunet/lungs/{case}.nii.gz",
    "artery": "pe_nnunet/arteries/{case}.nii.gz",
    "sheet": "pe_nnunet/sheets/{case}.png",
}
TEST_FILES = CASE_FILES | {"image": "imagesTs/{case}_0000.nii.gz", "label": "labelsTs/{case}.nii.gz"}
CASES, REPORT, ERRORS = "pe_nnunet/cases.json", "pe_nnunet/report.csv", "pe_nnunet/errors.json"
CORRECTIONS = "pe_nnunet/corrections"  # what people corrected, a folder a case: who, when, and the labels before
_PROGRESS = "pe_nnunet/unfinished"  # one record a case while the conversion runs


def case_file(dataset_folder: Path, role: str, case: str, *, test: bool = False) -> Path:
    """Path of an image of a case.

    Args:
        dataset_folder: The dataset.
        role: A key of `CASE_FILES`.
        case: Case id.
        test: It is of the test set.
    """
    return dataset_folder / (TEST_FILES if test else CASE_FILES)[role].format(case=case)


def case_hashes(dataset_folder: Path, record: CaseRecord) -> dict[str, str]:
    """Of the files of a case that are there, by role."""
    files = {role: case_file(dataset_folder, role, record.case, test=record.test) for role in CASE_FILES}
    return {role: file_sha256(path) for role, path in files.items() if path.is_file()}


def load_cases(dataset_folder: Path) -> dict[str, CaseRecord]:
    """Records of all cases of a converted dataset, by case id.

    Raises:
        ConfigurationError: If the folder holds no record, or one of another version.
    """
    path = Path(dataset_folder) / CASES
    try:
        content = read_object(path)
        return {case: CaseRecord.from_json(values) for case, values in content["cases"].items()}
    except FileNotFoundError:
        raise ConfigurationError(
            "PE-CONV-013", f"{path} is not there", "name a dataset folder that `pe-nnunet convert` wrote"
        ) from None
    except MALFORMED as error:
        raise ConfigurationError(
            "PE-CONV-013", f"{path} cannot be read: {why(error)}", "convert again with --overwrite"
        ) from error


def patients_of_dataset(dataset: str) -> dict[str, str]:
    """A key that scans of one patient share, by case id; empty where no record says it.

    Args:
        dataset: Name of its folder in `nnUNet_raw`.
    """
    raw = os.environ.get(RAW, "").strip()
    try:
        return {case: record.patient for case, record in load_cases(Path(raw) / dataset).items()} if raw else {}
    except ConfigurationError:  # made by hand, or on another machine
        return {}


def write_cases(dataset_folder: Path, records: Mapping[str, CaseRecord], heading: Mapping[str, Any]) -> None:
    """Write cases.json.

    Args:
        dataset_folder: The dataset.
        records: By case id.
        heading: What holds for all cases, written above them.
    """
    cases = {case: records[case].to_json() for case in sorted(records)}
    atomic_json(dataset_folder / CASES, {**heading, "cases": cases})


def write_progress(dataset_folder: Path, record: CaseRecord) -> None:
    """Keep the record of a case whose images are complete, for a conversion that is interrupted."""
    atomic_json(dataset_folder / _PROGRESS / f"{record.case}.json", record.to_json())


def load_progress(dataset_folder: Path) -> dict[str, CaseRecord]:
    """Records of the cases that an interrupted conversion completed; those that cannot be read are left out."""
    records = {}
    for path in sorted((dataset_folder / _PROGRESS).glob("*.json")):
        with suppress(*MALFORMED):
            records[path.stem] = CaseRecord.from_json(read_object(path))
    return records


def remove_progress(dataset_folder: Path) -> None:
    """Remove the records that `write_progress` kept, once cases.json holds them and the dataset is in its place."""
    shutil.rmtree(dataset_folder / _PROGRESS, ignore_errors=True)


def remove_leftovers(dataset_folder: Path, records: Mapping[str, CaseRecord]) -> None:
    """Remove the images of all but these cases, half-written ones of a killed process included."""
    kept = {case_file(dataset_folder, role, c, test=r.test) for c, r in records.items() for role in CASE_FILES}
    for folder in {(dataset_folder / template).parent for template in (*CASE_FILES.values(), *TEST_FILES.values())}:
        for path in folder.glob("*"):
            if path not in kept:
                path.unlink()


def write_report(dataset_folder: Path, records: Mapping[str, CaseRecord], splits: Sequence[Split]) -> None:
    """Write report.csv: the records as a table for people, one row a case."""
    fold_of = {case: k for k, fold in enumerate(splits) for case in fold["val"]}
    rows = [_row(records[case], fold_of.get(case)) for case in sorted(records)]
    atomic_csv(dataset_folder / REPORT, list(rows[0]) if rows else [], rows)


def _row(record: CaseRecord, fold: int | None) -> dict[str, Any]:
    grid, (depth, height, width) = record.geometry, record.box.shape
    return {
        "case": record.case,
        "source": record.source,
        "patient": record.patient,
        "subset": "test" if record.test else "train",
        "validation_fold": "" if fold is None else fold,
        "size_xyz": "x".join(map(str, grid.size_xyz)),
        "spacing_xyz_mm": "x".join(f"{mm:.4g}" for mm in grid.spacing_xyz_mm),
        "orientation": grid.orientation,
        "roi_size_xyz": f"{width}x{height}x{depth}",
        "roi_share": f"{1 / record.target_ratio_factor:.3f}",
        "lungs_found": "yes" if record.lungs_found else "no",
        "emboli": record.embolus_count,
        "clot_ml": f"{record.clot_mm3 / 1000:.3f}",
        "largest_mm3": f"{max(record.embolus_mm3.values(), default=0.0):.1f}",
        "smallest_mm3": f"{min(record.embolus_mm3.values(), default=0.0):.1f}",
        "target_ratio_before": f"{record.target_ratio_before:.3e}",
        "target_ratio_after": f"{record.target_ratio_after:.3e}",
        "target_ratio_factor": f"{record.target_ratio_factor:.3f}",
        "embolus_target_ratios_after": " ".join(f"{crop:.2e}" for _, crop in record.embolus_target_ratio.values()),
        "repaired": sum(note.kind == "repaired" for note in record.notes),
        "warnings": sum(note.kind == "warning" for note in record.notes),
        "notes": " | ".join(map(str, record.notes)),
        "sheet": f"sheets/{record.case}.png",
    }
