"""One case from source to dataset folder, as a worker process does it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from shutil import copyfile

from pe_nnunet.dataset.raw import CASE_FILES, case_file, case_hashes, write_progress
from pe_nnunet.dataset.records import CaseRecord
from pe_nnunet.dataset_conversion.contact_sheet import write_sheet
from pe_nnunet.dataset_conversion.convert_options import ConvertOptions
from pe_nnunet.dataset_conversion.prepare import prepare
from pe_nnunet.dataset_conversion.registry import source_kind
from pe_nnunet.dataset_conversion.sources import CaseSource
from pe_nnunet.errors import OutputError
from pe_nnunet.volumes import write_image


def convert_case(
    case: tuple[CaseSource, Sequence[tuple[CaseRecord, Path]]], *, kind: str, options: ConvertOptions, folder: Path
) -> tuple[CaseRecord, bool]:
    """Convert a case, or keep what an earlier conversion made of the same bytes with the same settings.

    The record is written after the images, so that a case with a record is whole.

    Args:
        case: Its files; records of earlier conversions of it, and the dataset folders that hold their images.
        kind: Kind of source.
        options: How to convert.
        folder: The dataset folder under construction.

    Returns:
        The record, and whether an earlier conversion was kept.

    Raises:
        PEError: If the case cannot be converted.
        OutputError: If the dataset cannot be written: then no other case can be either.
    """
    source, earlier = case
    kept = _keep_earlier(source, earlier, options, folder)
    if kept is not None:
        return kept, True
    images, record = prepare(kind, source, source_kind(kind).read_case(source, options), options)
    record = replace(record, notes=tuple(note.without(source.hidden) for note in record.notes))
    for role in CASE_FILES:
        path = case_file(folder, role, source.case_id, test=source.test)
        if role == "sheet":
            write_sheet(images["image"], images["instances"], images.get("lungs"), path)
        elif role in images:
            write_image(images[role], path)
        else:
            path.unlink(missing_ok=True)
    record = replace(record, files_sha256=case_hashes(folder, record))
    write_progress(folder, record)
    return record, False


def _keep_earlier(
    source: CaseSource, earlier: Sequence[tuple[CaseRecord, Path]], options: ConvertOptions, folder: Path
) -> CaseRecord | None:
    """The record of an earlier conversion that is still right, its files brought into the folder."""
    digest = source.digest(options) if earlier else ""
    for record, held_in in earlier:
        files = {role: case_file(held_in, role, record.case, test=record.test) for role in CASE_FILES}
        needed = {"image", "label", "instances", "sheet"} | ({"lungs"} if record.lungs_found else set())
        needed |= {"artery"} if source.artery is not None or options.arteries_by_contrast else set()
        if record.digest != digest or not needed <= record.files_sha256.keys():
            continue
        if case_hashes(held_in, record) != record.files_sha256:
            continue
        if held_in != folder:
            for role in needed:
                _link(files[role], case_file(folder, role, record.case, test=record.test))
            write_progress(folder, record)
        return record
    return None


def _link(old: Path, new: Path) -> None:
    """The same file under a second name, or a copy where the file system has no hard links."""
    try:
        new.parent.mkdir(parents=True, exist_ok=True)
        new.unlink(missing_ok=True)
        with suppress(OSError):
            os.link(old, new)
            return
        copyfile(old, new)
    except OSError as error:
        raise OutputError(
            "PE-OUT-001", f"{new} cannot be written: {error.strerror}", "check free space and permissions"
        ) from error
