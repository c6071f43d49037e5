"""The record of a corrected case into all that describes a dataset: records, table, folds, dataset.json."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from pe_nnunet.dataset import raw
from pe_nnunet.dataset.dataset_json import DATASET, read_dataset_json
from pe_nnunet.dataset.folders import PREPROCESSED, SPLITS, Split
from pe_nnunet.dataset.records import CaseRecord
from pe_nnunet.dataset.split_checks import read_checked_splits
from pe_nnunet.dataset_conversion.contact_sheet import write_sheets_page
from pe_nnunet.dataset_conversion.convert_options import ConvertOptions
from pe_nnunet.dataset_conversion.splits import patients_of, splits_of, training_cases
from pe_nnunet.files import atomic_json
from pe_nnunet.files.json_reader import read_object


def publish_record(dataset_folder: Path, record: CaseRecord) -> None:
    """Write all that describes the dataset anew, with this record of one of its cases; any number of times the same.

    Args:
        dataset_folder: The dataset.
        record: Its files are in their places.
    """
    heading = {key: value for key, value in read_object(dataset_folder / raw.CASES).items() if key != "cases"}
    records = raw.load_cases(dataset_folder) | {record.case: record}
    splits = _splits(dataset_folder, records, record)
    content = read_dataset_json(dataset_folder)
    content["numTraining"] = sum(not other.test for other in records.values())
    atomic_json(dataset_folder / DATASET, content)
    raw.write_cases(dataset_folder, records, heading)
    raw.write_report(dataset_folder, records, splits)
    write_sheets_page(dataset_folder, records, title=dataset_folder.name)


def _splits(dataset_folder: Path, records: dict[str, CaseRecord], record: CaseRecord) -> list[Split]:
    """The folds with the case in them, here and where nnU-Net has copied them to."""
    training = training_cases(records)
    patient = patients_of(training)
    same = {case for case, of in patient.items() if of == patient.get(record.case)}
    folders, root = [dataset_folder], os.environ.get(PREPROCESSED, "").strip()
    if root:
        folders.insert(0, Path(root) / dataset_folder.name)
    there = [folder / SPLITS for folder in folders if (folder / SPLITS).is_file()]
    for path in there if not record.test else ():
        splits = read_checked_splits(path)
        held = with_case(splits, record.case, same)
        if held != splits:
            atomic_json(path, held)
    if there:
        return read_checked_splits(there[-1])
    splits = splits_of(training, patient, ConvertOptions())
    if splits:
        atomic_json(dataset_folder / SPLITS, splits)
    return splits


def with_case(splits: Sequence[Split], case: str, same_patient: Collection[str]) -> list[Split]:
    """Folds with one more case: validated where others of its patient are, else in the last that validates fewest.

    The other cases stay where they are, so that no fold validates on what an earlier training of it has seen.

    Args:
        splits: nnU-Net's folds.
        case: To be added; nothing changes if it is in them.
        same_patient: Cases of its patient.

    Example:
        >>> folds = [{"train": ["b"], "val": ["a"]}, {"train": ["a"], "val": ["b"]}]
        >>> with_case(folds, "c", ["b"]) == [{"train": ["b", "c"], "val": ["a"]}, {"train": ["a"], "val": ["b", "c"]}]
        True
    """
    if not splits or any(case in fold[part] for fold in splits for part in ("train", "val")):
        return list(splits)
    held_out = [set(fold["val"]) for fold in splits]
    chosen = min(range(len(splits)), key=lambda k: (held_out[k].isdisjoint(same_patient), len(held_out[k]), -k))
    parts = ["val" if k == chosen else "train" for k in range(len(splits))]
    return [{**fold, part: sorted([*fold[part], case])} for fold, part in zip(splits, parts, strict=True)]
