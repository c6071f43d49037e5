"""Scans in object storage: found by the names of objects, fetched one by one, and then read as any other."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from pe_nnunet.errors import InputError, PEError
from pe_nnunet.files import text_sha256
from pe_nnunet.files.objects import ObjectStore, StoredObject, require_address
from pe_nnunet.files.scratch import scratch_above
from pe_nnunet.volumes.case_names import refusal, says_patient
from pe_nnunet.volumes.files.image_writer import SEGMENTATION_SUFFIX, image_suffix
from pe_nnunet.volumes.find import case_ids, find_scans
from pe_nnunet.volumes.scan import ScanRef

HEADERS = {".hdr": (".img", ".img.gz"), ".mhd": (".raw", ".zraw")}  # files whose voxels lie in another one
STAGED = "pe-nnunet-staged-"


@dataclass(frozen=True)
class StoredStudy(ScanRef):
    """A scan in object storage.

    Attributes:
        base: An address.
        name: Below it, of the volume file or of the folder of DICOM objects; empty for all that is there.
        objects: The scan's, by their names below `base`; None where nobody has looked.
        how: Keywords of `find_scans`.
    """

    base: str = ""
    name: str = ""
    objects: tuple[StoredObject, ...] | None = None
    how: Mapping[str, Any] = field(default_factory=dict)

    @property
    def stamp(self) -> str:
        """Changes with the objects; where nobody has looked, it says no more than the address."""
        return text_sha256(repr((self.base, self.name, self.objects)))


def stored_study(
    base: str, name: str, how: Mapping[str, Any], objects: tuple[StoredObject, ...] | None = None
) -> StoredStudy:
    """A scan that has no id yet."""
    return StoredStudy("", "file", as_path(base) / name, (), base=base, name=name, objects=objects, how=how)


def stored_scans(address: str, how: Mapping[str, Any]) -> tuple[list[ScanRef], Path]:
    """The scans below an address: each volume file, and each folder that holds DICOM objects.

    Args:
        address: Of an object, or a prefix.
        how: Keywords of `find_scans`.

    Returns:
        The scans, by name, and the path that stands for where they lie.

    Raises:
        InputError: PE-IN-001 if there are none; PE-IN-004 if two would be called alike.
        ConfigurationError: PE-CLU-022 if the storage does not answer; PE-CLU-024 if it is no address.
    """
    base, objects = _found(require_address(address))
    there, studies = {one.name: one for one in objects}, dict[str, list[StoredObject]]()
    for one in objects:
        path = PurePosixPath(one.name)
        suffix = image_suffix(Path(path.name))
        if any(part.startswith(".") for part in path.parts) or suffix == SEGMENTATION_SUFFIX:
            continue
        if suffix:
            stem = one.name[: len(one.name) - len(suffix)]
            beside = [there[stem + end] for end in HEADERS.get(suffix, ()) if stem + end in there]
            if beside or suffix not in HEADERS:
                studies[one.name] = [one, *beside]
        elif _may_be_dicom(path):
            studies.setdefault("" if path.parent == PurePosixPath() else str(path.parent), []).append(one)
    if not studies:
        raise InputError("PE-IN-001", f"{address} holds no scan", "give the address of volume files or DICOM folders")
    root = as_path(base)
    refs = [stored_study(base, name, how, tuple(found)) for name, found in sorted(studies.items())]
    ids = case_ids([ref.path for ref in refs], root)
    return [replace(ref, case_id=case_id) for case_id, ref in zip(ids, refs, strict=True)], root


def _found(address: str) -> tuple[str, list[StoredObject]]:
    """The objects below an address; where it is that of an object, this one, below the address above."""
    objects = ObjectStore(address).objects()
    if [one.name for one in objects] != [""]:
        return address, objects
    base, _, name = address.rpartition("/")
    return base, [replace(objects[0], name=name)]


def _may_be_dicom(path: PurePosixPath) -> bool:
    """By its name, as nobody has looked into it: `.dcm` or `.ima`, no ending, or that of a UID."""
    ending = path.suffix.lower().lstrip(".")
    return path.name != "DICOMDIR" and (ending in {"", "dcm", "ima", "dicom"} or ending.isdecimal())


def as_path(address: str) -> Path:
    """An address as a path, by which cases are named; there is nothing under it."""
    return Path("/", address.replace("://", ":/"))


@contextmanager
def staged(ref: ScanRef) -> Iterator[tuple[ScanRef, Path | None]]:
    """A scan where it can be read: itself, or its copy in a temporary folder.

    Yields:
        The scan, and the folder, which the caller removes when all files of the case are written; where the block
        raises, it is removed here, and the error says the address in its place. None for a scan that lies here.

    Raises:
        InputError: PE-IN-024 if an object cannot be read; PE-IN-005 if it is not one scan; PE-CONV-034 if its name says
            a patient's; as `find_scans`.
    """
    if not isinstance(ref, StoredStudy):
        yield ref, None
        return
    folder = Path(tempfile.mkdtemp(prefix=STAGED, dir=scratch_above()))
    try:
        yield _fetched(ref, folder), folder
    except BaseException as error:
        remove_staged(folder)
        if not isinstance(error, PEError):
            raise
        above = ref.base.rpartition("/")[0]
        raise type(error)(
            error.code, error.message.replace(str(folder), above), error.hint.replace(str(folder), above)
        ) from error


def remove_staged(folder: Path | None) -> None:
    """Remove what `staged` made."""
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def _fetched(study: StoredStudy, folder: Path) -> ScanRef:
    base, name, objects = study.base, study.name, study.objects
    if objects is None:
        base, found = _found(base)
        if not found:
            raise InputError("PE-IN-024", f"{base} does not exist", "check the address")
        name, objects = (found[0].name, tuple(found)) if base != study.base else ("", tuple(found))
    top = folder / base.rpartition("/")[2]
    ObjectStore(base).get([one.name for one in objects], top)
    scans = find_scans(top / name, **study.how)
    if len(scans) != 1:
        raise InputError(
            "PE-IN-005", f"{top / name} holds {len(scans)} scans, expected one", "give an address for each, or --pick"
        )
    if not study.plain_id and says_patient(scans[0], folder, [study.case_id, *study.path.parts]):
        raise refusal()
    return replace(scans[0], case_id=study.case_id, plain_id=study.plain_id, hidden=study.hidden)
