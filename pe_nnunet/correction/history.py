"""What a correction replaced, kept beside the dataset; and its carrying out, which may be interrupted at any moment.

    pe_nnunet/corrections/<case>/0001/correction.json  who, when, from which file, all changes; records before and after
                                     /before/          the files that were replaced
                                     /after/           those that replace them, until all are in their places

A correction is decided when its folder appears, whole. What follows can be done any number of times with the same end,
so one that was interrupted is carried through by the next.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from pe_nnunet.correction.embolus_changes import EmbolusChange
from pe_nnunet.correction.publish import publish_record
from pe_nnunet.dataset.raw import CASE_FILES, CORRECTIONS, case_file
from pe_nnunet.dataset.records import CaseRecord
from pe_nnunet.dataset_conversion.contact_sheet import write_sheet
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.files import atomic_folder, atomic_json, atomic_path
from pe_nnunet.files.json_reader import MALFORMED, read_object, why
from pe_nnunet.volumes import write_image
from pe_nnunet.volumes.files.volume_file import file_sha256

_RECORD, _BEFORE, _AFTER = "correction.json", "before", "after"


def decide(
    dataset_folder: Path,
    images: Mapping[str, sitk.Image],
    roles: Collection[str],
    before: CaseRecord | None,
    after: CaseRecord,
    changes: tuple[EmbolusChange, ...],
    facts: Mapping[str, Any],
) -> Path:
    """Write a correction beside the dataset: from here on it counts.

    Args:
        dataset_folder: The dataset.
        images: All of the case, by role.
        roles: Those that are new; the files of the others stay.
        before: Record of the case; None for a new one.
        after: The new one, still without hashes of files.
        changes: By embolus.
        facts: Who, when, and from which file.

    Returns:
        Its folder.
    """
    of_case = dataset_folder / CORRECTIONS / after.case
    folder = of_case / f"{max((int(path.name) for path in _folders(of_case)), default=0) + 1:04d}"
    with atomic_folder(folder) as made:
        hashes = dict(before.files_sha256) if before is not None else {}
        for role in ("sheet", *roles):
            name = Path(CASE_FILES[role]).name.format(case=after.case)
            old = case_file(dataset_folder, role, after.case, test=after.test)
            if before is not None and old.is_file():
                (made / _BEFORE / role).mkdir(parents=True)
                shutil.copyfile(old, made / _BEFORE / role / name)
            new = made / _AFTER / role / name
            if role == "sheet":
                write_sheet(images["image"], images["instances"], images.get("lungs"), new)
            else:
                write_image(images[role], new)
            hashes[role] = file_sha256(new)
        after = replace(after, files_sha256=hashes)
        content = {
            **facts,
            "changes": [asdict(change) for change in changes],
            "record_before": None if before is None else before.to_json(),
            "record_after": after.to_json(),
        }
        atomic_json(made / _RECORD, content)
    return folder


def carry_out(dataset_folder: Path, folder: Path) -> CaseRecord:
    """Put the files of a correction into their places, and its record into the dataset's.

    Raises:
        ConfigurationError: PE-CONV-013 if its record cannot be read.
    """
    with _readable(folder) as content:
        record = CaseRecord.from_json(content["record_after"])
    for role in CASE_FILES:
        for new in sorted((folder / _AFTER / role).glob("*")):
            with atomic_path(case_file(dataset_folder, role, record.case, test=record.test)) as temporary:
                shutil.copyfile(new, temporary)
    publish_record(dataset_folder, record)
    shutil.rmtree(folder / _AFTER)
    return record


def interrupted(dataset_folder: Path) -> Iterator[Path]:
    """Folders of corrections that were decided and not carried through."""
    for of_case in sorted((dataset_folder / CORRECTIONS).glob("*")):
        yield from (folder for folder in _folders(of_case) if (folder / _AFTER).is_dir())


def highest_id(dataset_folder: Path, case: str) -> int:
    """The highest id that an embolus of a case had in any of its corrections; 0 if there were none.

    Raises:
        ConfigurationError: PE-CONV-013 if the record of one cannot be read.
    """
    highest = 0
    for folder in _folders(dataset_folder / CORRECTIONS / case):
        with _readable(folder) as content:
            highest = max(highest, *(int(change["id"]) for change in content["changes"]), 0)
    return highest


@contextmanager
def _readable(folder: Path) -> Iterator[dict[str, Any]]:
    """The record of a correction, for a block that takes it apart."""
    path = folder / _RECORD
    try:
        yield read_object(path)
    except MALFORMED as error:
        hint = "restore it from a copy, or move its folder away"
        raise ConfigurationError("PE-CONV-013", f"{path} cannot be read: {why(error)}", hint) from error


def _folders(of_case: Path) -> list[Path]:
    return sorted(path for path in of_case.glob("*") if path.name.isdecimal())
