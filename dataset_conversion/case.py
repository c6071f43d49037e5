"""One case from source to dataset folder, as a worker process does it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import copyfile

from pe_nnunet.dataset.raw import CASE_FILES, case_file, write_progress
from pe_nnunet.dataset.records import CaseRecord
from pe_nnunet.dataset_conversion.contact_sheet import write_sheet
from pe_nnunet.dataset_conversion.options import ConvertOptions
from pe_nnunet.dataset_conversion.prepare import prepare
from pe_nnunet.dataset_conversion.privacy import hashed, hide, require_nameless, without_names
from pe_nnunet.dataset_conversion.registry import source_kind
from pe_nnunet.dataset_conversion.sources import CaseError, CaseSource
from pe_nnunet.errors import OutputError, PEError
from pe_nnunet.volumes import write_image


@dataclass(frozen=True)
class CaseJob:
    """What a worker needs to convert a case.

    Attributes:
        kind: Kind of source.
        source: The files of the case.
        options: How to convert.
        folder: The dataset folder under construction.
        done: Records of earlier conversions of this case and the dataset folders that hold its files.
    """

    kind: str
    source: CaseSource
    options: ConvertOptions
    folder: Path
    done: Sequence[tuple[CaseRecord, Path]] = ()


@dataclass(frozen=True)
class CaseOutcome:
    """What became of a case: a record, or an error.

    Attributes:
        case: Case id.
        record: Its record, if it was converted.
        error: Why not, if it was not.
        reused: Whether an earlier conversion was kept.
    """

    case: str
    record: CaseRecord | None = None
    error: CaseError | None = None
    reused: bool = False


def convert_case(job: CaseJob) -> CaseOutcome:
    """Convert a case, or keep what an earlier conversion made of the same bytes with the same settings.

    The record is written after the images, so that a case with a record is whole.

    Raises:
        OutputError: If the dataset cannot be written: then no other case can be either.
    """
    case = job.source.case_id
    try:
        kept = _keep_earlier(job)
        if kept is not None:
            return CaseOutcome(case, kept, reused=True)
        require_nameless(job.source)
        kind = source_kind(job.kind)
        prepared = prepare(job.kind, job.source, kind.read_case(job.source, job.options), job.options)
    except OutputError:
        raise
    except PEError as error:
        name = hashed(case) if error.code == "PE-CONV-034" else case
        return CaseOutcome(case, error=hide(CaseError.of(name, error), job.source))
    except Exception as error:  # noqa: BLE001 - one case that breaks in a new way must not stop the others
        message = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return CaseOutcome(case, error=hide(CaseError(case, "PE-ENV-006", message, "please report it"), job.source))
    record = replace(prepared.record, notes=without_names(prepared.record.notes, job.source.hidden))
    images = prepared.images
    for role in CASE_FILES:
        path = case_file(job.folder, role, case, test=job.source.test)
        if role == "sheet":
            write_sheet(images["image"], images["instances"], images.get("lungs"), path)
        elif role in images:
            write_image(images[role], path)
        else:
            path.unlink(missing_ok=True)
    write_progress(job.folder, record)
    return CaseOutcome(case, record)


def _keep_earlier(job: CaseJob) -> CaseRecord | None:
    """The record of an earlier conversion that is still right, its files brought into the folder."""
    if not job.done:
        return None
    digest = job.source.digest(job.options)
    for record, folder in job.done:
        files = {role: case_file(folder, role, record.case, test=record.test) for role in CASE_FILES}
        needed = {"image", "label", "instances", "sheet"} | ({"lungs"} if record.lungs_found else set())
        needed |= {"artery"} if job.source.artery is not None or job.options.arteries_by_contrast else set()
        if record.digest != digest or not all(files[role].is_file() for role in needed):
            continue
        if folder != job.folder:
            for role in needed:
                _link(files[role], case_file(job.folder, role, record.case, test=record.test))
            write_progress(job.folder, record)
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
