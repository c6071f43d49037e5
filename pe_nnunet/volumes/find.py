"""Find the scans in a file or folder: volume files by their ending, DICOM series by their headers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pe_nnunet.errors import InputError
from pe_nnunet.volumes.case_ids import case_ids
from pe_nnunet.volumes.dicom_headers import FileHeader, ct_series, looks_like_dicom, read_headers
from pe_nnunet.volumes.scan import ScanRef
from pe_nnunet.volumes.write import image_suffix

Pick = Literal["largest-ct"]


@dataclass(frozen=True)
class _Found:
    """A case without its id: a volume file, or the DICOM files of one folder that may be a series."""

    path: Path
    files: tuple[Path, ...]
    series_uid: str | None = None
    dicom: bool = False


def find_scans(path: Path, *, series_uid: str | None = None, pick: Pick | None = None) -> list[ScanRef]:
    """Find every scan in a file or folder.

    Volume files are known by their ending (.nii, .nii.gz, .nrrd, .mha, .mhd). Every other file is taken for a DICOM file if
    it begins like one, whatever its name; the files of one folder with one SeriesInstanceUID are one scan, also where the
    series goes on in further folders. Scout views, secondary captures, reports and other objects beside a CT series are
    left out, and so are hidden files, DICOMDIR and everything that is no image.

    Args:
        path: A volume file, a DICOM file, or a folder that is searched with its subfolders.
        series_uid: Only this DICOM series.
        pick: `"largest-ct"` takes the CT series with the most slices from a folder with several. Without it, such a folder
            is one `ScanRef` whose reading raises PE-DCM-005, so that it fails alone.

    Returns:
        The scans, sorted by path.

    Raises:
        InputError: PE-IN-001 nothing there, PE-IN-002 no such path, PE-IN-003 a file that is no image, PE-IN-004 two cases
            with one id, PE-DCM-024 no series with that UID.
    """
    if not path.exists():
        raise InputError("PE-IN-002", f"{path} does not exist", "check the path")
    found = _in_folder(path, series_uid, pick) if path.is_dir() else _one_file(path)
    if not found:
        raise InputError(
            "PE-IN-001",
            f"{path} holds no scan",
            "name a folder that holds DICOM series, .nii.gz, .nii, .nrrd, .mha or .mhd files",
        )
    if series_uid is not None:
        found = [case for case in found if case.series_uid == series_uid]
        if not found:
            raise InputError(
                "PE-DCM-024", f"{path} holds no CT series {series_uid}", "leave --series-uid out to see which there are"
            )
    found.sort(key=lambda case: case.path)
    root = path.resolve() if path.name in {"", ".."} else path
    ids = case_ids([root if case.path == path else root / case.path.relative_to(path) for case in found], root)
    return [
        ScanRef(case_id, "dicom" if case.dicom else "file", case.path, case.files, case.series_uid)
        for case_id, case in zip(ids, found, strict=True)
    ]


def _one_file(path: Path) -> list[_Found]:
    if image_suffix(path):
        return [_Found(path, (path,))]
    headers = read_headers([path])
    if not headers:
        raise InputError(
            "PE-IN-003",
            f"{path} is neither DICOM nor a volume file",
            "give .nii.gz, .nii, .nrrd, .mha, .mhd, .dcm or a folder",
        )
    return [_Found(path, (path,), headers[0].series_uid if headers[0].is_ct_slice else None, dicom=True)]


def _in_folder(root: Path, series_uid: str | None, pick: Pick | None) -> list[_Found]:
    found: list[_Found] = []
    folders: list[tuple[Path, list[FileHeader]]] = []
    for folder, files in _walk(root):
        volumes = [file for file in files if image_suffix(file)]
        found += [_Found(file, (file,)) for file in volumes]
        headers = read_headers(file for file in files if not image_suffix(file) and looks_like_dicom(file))
        if headers:
            folders.append((folder, headers))
    folders = _joined(folders)
    studies_with_ct = {header.study_uid for _, headers in folders for header in headers if header.is_ct_slice}
    for folder, headers in folders:
        series = ct_series(headers)
        if series_uid is not None:
            series = {uid: members for uid, members in series.items() if uid == series_uid}
        elif pick == "largest-ct" and series:
            largest = max(series, key=lambda uid: len(series[uid]))
            series = {largest: series[largest]}
        if len(series) == 1:
            uid, members = next(iter(series.items()))
            found.append(_Found(folder, tuple(header.path for header in members), uid, dicom=True))
        elif series or not studies_with_ct.intersection(header.study_uid for header in headers):
            # several series, or none: one case that fails when it is read; reports beside a CT in its study are no case
            found.append(_Found(folder, tuple(header.path for header in headers), None, dicom=True))
    return found


def _joined(folders: list[tuple[Path, list[FileHeader]]]) -> list[tuple[Path, list[FileHeader]]]:
    """Join folders that each hold a part of one series, as archives with a limit of files per folder write them.

    A copy of a series in another folder has the same instances and stays a case of its own.
    """
    joined: list[tuple[Path, list[FileHeader]]] = []
    for folder, headers in folders:
        keys = {(h.patient_key, h.study_uid, h.series_uid) for h in headers if h.is_ct_slice}
        for k, (first, others) in enumerate(joined):
            same = keys == {(h.patient_key, h.study_uid, h.series_uid) for h in others if h.is_ct_slice}
            if keys and same and not {h.sop_instance_uid for h in headers} & {h.sop_instance_uid for h in others}:
                joined[k] = (Path(os.path.commonpath([first, folder])), others + headers)
                break
        else:
            joined.append((folder, headers))
    return joined


def _walk(root: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Folders below and including `root` with their files, sorted; hidden ones left out, links followed once."""
    seen: set[Path] = set()
    for name, folders, files in os.walk(root, followlinks=True):
        folder = Path(name)
        here = folder.resolve()
        if here in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add(here)
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        yield folder, [folder / f for f in sorted(files) if not f.startswith(".") and (folder / f).is_file()]
