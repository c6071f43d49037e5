"""Find the scans in a file or folder: volume files by their ending, DICOM series by their headers."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tarfile import is_tarfile
from typing import Literal
from zipfile import is_zipfile

from pe_nnunet.errors import InputError
from pe_nnunet.files import text_sha256
from pe_nnunet.volumes.dicom.choose_series import is_small, join_small, parse_only, wanted_of
from pe_nnunet.volumes.dicom.headers import FileHeader, Only, ct_series, read_headers
from pe_nnunet.volumes.files.image_writer import PAIR_SUFFIX, SEGMENTATION_SUFFIX, image_suffix
from pe_nnunet.volumes.scan import ScanRef

Pick = Literal["largest-ct"]
_FORMATS = ".nii.gz, .nii, .nrrd, .mha, .mhd or DICOM"


_Folder = tuple[Path, list[FileHeader]]  # the DICOM objects in a folder, or in several that hold parts of one series


def find_scans(
    path: Path,
    *,
    series_uid: str | None = None,
    pick: Pick | None = None,
    join_series: bool = False,
    only: Sequence[str] = (),
) -> list[ScanRef]:
    """Find every scan in a file or folder.

    Volume files are known by their ending (.nii, .nii.gz, .hdr, .nrrd, .mha, .mhd; a .seg.nrrd is a label). Every
    other file is DICOM if it begins like it, whatever its name. The files of one folder with one SeriesInstanceUID are
    one scan, also where the series goes on in further folders. Scout views, captures, reports and other objects beside
    a CT series are left out, and so are hidden files, DICOMDIR and everything that is no image.

    Args:
        path: A volume file, a DICOM file, or a folder that is searched with its subfolders.
        series_uid: Only this DICOM series.
        pick: `"largest-ct"` takes the CT series with the most slices from a folder with several. Without it, such a
            folder is one `ScanRef` whose reading raises PE-DCM-005, so that it fails alone.
        join_series: Take DICOM series of under four slices, as after an anonymisation that gives every slice a UID of
            its own, for one where patient, study, frame of reference, orientation, size, spacing and kernel agree, also
            across folders.
        only: `KEYWORD=VALUE` of DICOM elements: slices with other values are left out.

    Returns:
        The scans, sorted by path.

    Raises:
        InputError: PE-IN-001 nothing there, PE-IN-002 no such path, PE-IN-003 a file that is no image, PE-IN-004 two
            cases with one id, PE-DCM-024 no series with that UID.
        ConfigurationError: PE-DCM-036 if `only` is no element and value.
    """
    if not path.exists():
        raise InputError("PE-IN-002", f"{path} does not exist", "check the path")
    wanted = parse_only(only)
    found = (
        _in_folder(path, series_uid, pick, wanted, join_series=join_series)
        if path.is_dir()
        else [_one_file(path, wanted)]
    )
    if not found and series_uid is None:
        raise InputError("PE-IN-001", f"{path} holds no scan", f"name a folder that holds {_FORMATS} files")
    if series_uid is not None:
        found = [case for case in found if case.series_uid == series_uid]
        if not found:
            hint = "leave --series-uid out to see which there are"
            raise InputError("PE-DCM-024", f"{path} holds no CT series {series_uid}", hint)
    found.sort(key=lambda case: case.path)
    root = path.resolve() if path.name in {"", ".."} else path  # "." has no name that a case could have
    ids = case_ids([root / case.path.relative_to(path) for case in found], root)
    return [replace(case, case_id=case_id) for case_id, case in zip(ids, found, strict=True)]


def _one_file(path: Path, only: Only) -> ScanRef:
    if image_suffix(path) == SEGMENTATION_SUFFIX:
        raise InputError("PE-IN-003", f"{path} is a segmentation of 3D Slicer and no scan", f"give {_FORMATS}")
    if image_suffix(path):
        return ScanRef("", "file", path, (path,))
    headers, _ = read_headers([path])
    if not headers:
        hint = "extract it first, and name the folder" if is_zipfile(path) or is_tarfile(path) else f"give {_FORMATS}"
        raise InputError("PE-IN-003", f"{path} is no image that can be read", hint)
    return ScanRef("", "dicom", path, (path,), headers[0].series_uid if headers[0].is_ct_slice else None, only)


def _in_folder(
    root: Path, series_uid: str | None, pick: Pick | None, only: Only, *, join_series: bool
) -> list[ScanRef]:
    """The scans below a folder, still without an id."""
    found: list[ScanRef] = []
    folders: list[_Folder] = []
    damaged: list[Path] = []
    for path, files in _walk(root):
        found += [ScanRef("", "file", file, (file,)) for file in files if _may_be_scan(file)]
        others = [file for file in files if not image_suffix(file)]
        headers, unread = _without_remains(*read_headers(others, only))
        unread += _called_alike(others, headers, unread)
        if headers:
            folders.append((path, headers))
        elif unread:
            found.append(ScanRef("", "dicom", path, tuple(unread)))
        damaged += unread
    studies_with_ct = {h.study_uid for _, headers in folders for h in headers if h.is_ct_slice}
    for path, everything in _joined(folders, join_series=join_series):
        headers = wanted_of(everything, only)
        if len(headers) < len(everything) and not ct_series(headers):
            headers = everything  # none is wanted: a case that fails when it is read, and says what there is
        series = ct_series(headers)
        if series_uid is not None:
            series = {uid: members for uid, members in series.items() if uid == series_uid}
        else:
            series = join_small(series) if join_series else series
            if pick == "largest-ct" and series:
                largest = max(series, key=lambda uid: len(series[uid]))
                series = {largest: series[largest]}
        if len(series) == 1:
            found.append(_one_series(path, headers, *series.popitem(), only))
        elif series or not studies_with_ct.intersection(h.study_uid for h in headers):
            # several series, or none: a case that fails when it is read; reports beside a CT of their study are none
            found.append(ScanRef("", "dicom", path, tuple(h.path for h in headers), only=only, joined=join_series))
    return [_with_damaged(ref, damaged) for ref in found]


def _without_remains(headers: list[FileHeader], unread: list[Path]) -> tuple[list[FileHeader], list[Path]]:
    """Headers that do not break off, and with the files that cannot be read those that do, beside whole CT slices."""
    remains = [h.path for h in headers if h.breaks_off]
    if not any(h.is_ct_slice and not h.breaks_off for h in headers):
        return headers, unread
    return [h for h in headers if h.path not in remains], [*unread, *remains]


def _called_alike(files: list[Path], headers: list[FileHeader], unread: list[Path]) -> list[Path]:
    """Files that are called as the slices of their folder, but for numbers, and are no DICOM files, as empty ones."""
    patterns = {_pattern(h.path) for h in headers if h.is_ct_slice and h.path.suffix.lower() != ".dcm"} - {""}
    known = {h.path for h in headers} | set(unread)
    return [file for file in files if file not in known and _pattern(file) in patterns]


def _pattern(path: Path) -> str:
    return re.sub(r"\d+", "0", path.name) if re.search(r"\d", path.name) else ""


def _with_damaged(ref: ScanRef, damaged: list[Path]) -> ScanRef:
    folders = {file.parent for file in ref.files}
    own = tuple(file for file in damaged if file.parent in folders) if ref.kind == "dicom" else ()
    return replace(ref, damaged=own) if own else ref


def _may_be_scan(file: Path) -> bool:
    """Whether a file is a scan by its name; other formats than NIfTI have a .hdr, too, but no .img beside it."""
    suffix = image_suffix(file)
    if suffix == PAIR_SUFFIX:
        return any(file.with_suffix(end).is_file() for end in (".img", ".IMG", ".img.gz"))
    return suffix not in {"", SEGMENTATION_SUFFIX}


def _one_series(path: Path, headers: list[FileHeader], uid: str, slices: list[FileHeader], only: Only) -> ScanRef:
    if len({h.series_uid for h in slices}) > 1:
        return ScanRef("", "dicom", path, tuple(h.path for h in slices), only=only, joined=True)
    # its scout views come along, so that reading can say what it left out
    return ScanRef("", "dicom", path, tuple(h.path for h in headers if h.series_uid == uid), uid, only)


def _joined(folders: list[_Folder], *, join_series: bool) -> list[_Folder]:
    """Join folders that each hold a part of one series, as archives with a limit of files per folder write them.

    A copy of a series in another folder has the same instances and stays a case of its own. Where series of few slices
    are to be joined, folders with nothing but such are parts of one if they belong to one study.
    """
    joined: list[_Folder] = []
    parts: dict[frozenset[tuple[str, ...]], list[int]] = {}  # places in `joined`, by the series there
    for path, headers in folders:
        small = join_series and all(is_small(of) for of in ct_series(headers).values())
        key = frozenset((h.patient_key, h.study_uid, "" if small else h.series_uid) for h in headers if h.is_ct_slice)
        instances = {h.sop_instance_uid for h in headers}
        for place in parts.get(key, []) if key else []:
            first, others = joined[place]
            if not instances.intersection(h.sop_instance_uid for h in others):
                joined[place] = Path(os.path.commonpath([first, path])), others + headers
                break
        else:
            parts.setdefault(key, []).append(len(joined))
            joined.append((path, headers))
    return joined


def _walk(root: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Folders below and including `root` with their files, sorted; hidden ones left out, every link followed once."""
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


MAX_LENGTH = 120  # file systems take 255 bytes, and endings, suffixes and a temporary prefix come on top
GENERIC_NAMES = frozenset({"ct", "ctpa", "image", "img", "scan", "volume", "dicom", "dcm", "series"})


def case_ids(paths: Sequence[Path], root: Path) -> list[str]:
    """Name every case by its path under `root`.

    The image ending and a trailing `_0000` go; path components that all cases share go, as `ct` in `a/ct`, `b/ct`; what
    is left is joined by `_` and cleaned to letters, digits, `_` and `-`. A single case has its own file's or folder's
    name, or its folder's where that name says nothing (`a/ct.nii.gz` -> `a`).

    Args:
        paths: Volume files and DICOM folders, under `root` or `root` itself.
        root: Where the search began.

    Returns:
        One id per path, in their order.

    Raises:
        InputError: PE-IN-004 if two paths would get one id.

    Example:
        >>> case_ids([Path("in/a/ct"), Path("in/b/ct.nii.gz")], Path("in"))
        ['a', 'b']
    """
    parts = [[*path.relative_to(root).parts[:-1], _stem(path)] if path != root else [_stem(path)] for path in paths]
    parts = [_own_name(parts[0])] if len(parts) == 1 else _without_shared(parts)
    ids = [clean("_".join(components)) for components in parts]
    owner: dict[str, Path] = {}
    for case_id, path in zip(ids, paths, strict=True):
        other = owner.setdefault(case_id.lower(), path)  # file systems exist on which A.nii and a.nii are one file
        if other != path:
            raise InputError(
                "PE-IN-004",
                f"{other} and {path} would both be case {case_id!r}",
                "rename one of them, or run them apart",
            )
    return ids


_LAST_LATIN = 0x24F  # letters above are of other scripts


def clean(name: str) -> str:
    """Letters, digits, `_` and `-` only; whatever else becomes one `-`, and none stands at an end.

    A name of more than 120 letters ends in 12 hexadecimal digits of its hash instead. One whose letters
    are all of another script has 8 of them at its end, so that two such names stay two.

    Example:
        >>> clean("Müller, P. (2)")
        'M-ller-P-2'
        >>> clean("Иванов"), clean("王小东_1")
        ('case-37f3ddd4', '_1-253f266a')
    """
    left = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")
    cleaned = left or "case"
    if not re.search("[A-Za-z]", left) and any(letter.isalpha() and ord(letter) > _LAST_LATIN for letter in name):
        cleaned = f"{cleaned}-{text_sha256(unicodedata.normalize('NFC', name))[:8]}"
    if len(cleaned) <= MAX_LENGTH:
        return cleaned
    return f"{cleaned[: MAX_LENGTH - 13]}-{text_sha256(cleaned)[:12]}"


def _stem(path: Path) -> str:
    suffix = image_suffix(path)
    name = path.name[: -len(suffix)] if suffix else path.name
    if not suffix and path.suffix.lower() in {".dcm", ".ima"}:
        name = path.stem
    return name.removesuffix("_0000") or name


def _own_name(components: list[str]) -> list[str]:
    generic = components[-1].lower() in GENERIC_NAMES and len(components) > 1
    return [components[-2] if generic else components[-1]]


def _without_shared(parts: list[list[str]]) -> list[list[str]]:
    """Drop what all share: leading components, trailing ones, then, where all are as deep, any in between."""
    while min(map(len, parts)) > 1 and len({p[0] for p in parts}) == 1:
        parts = [p[1:] for p in parts]
    while min(map(len, parts)) > 1 and len({p[-1] for p in parts}) == 1:
        parts = [p[:-1] for p in parts]
    if len({len(p) for p in parts}) == 1:
        kept = [i for i in range(len(parts[0])) if len({p[i] for p in parts}) > 1]
        parts = [[p[i] for i in kept] for p in parts] if kept else parts
    return parts
