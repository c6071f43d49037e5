"""How the public datasets lie on disk: folders found, cases listed, one broken case not stopping the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from pe_nnunet.cases import CaseFailure
from pe_nnunet.dataset_conversion.options import ConvertOptions
from pe_nnunet.dataset_conversion.sources import CaseSource, Listing
from pe_nnunet.errors import InputError, PEError
from pe_nnunet.volumes import ScanRef, find_scans, image_suffix
from pe_nnunet.volumes.find import clean


def subfolder(src: Path, *names: str) -> Path | None:
    """The folder in `src` whose name begins with one of these, upper or lower case; `src` itself if it is called so."""
    folders = [path for path in (src, *entries(src)) if path.is_dir()]
    for name in names:
        for folder in folders:
            if folder.name.lower().startswith(name.lower()):
                return folder
    return None


def require_subfolder(src: Path, dataset: str, *names: str) -> Path:
    """`subfolder`, which must be there.

    Raises:
        InputError: PE-IN-002 if there is no `src`, PE-CONV-026 if it is not laid out as the dataset.
    """
    if not src.is_dir():
        raise InputError("PE-IN-002", f"no folder {src}", f"name the folder in which {dataset} was unpacked")
    found = subfolder(src, *names)
    if found is None:
        there = ", ".join(path.name for path in entries(src)[:5]) or "nothing"
        raise InputError(
            "PE-CONV-026",
            f"{src} is not laid out as {dataset}: no folder {' or '.join(names)}, but {there}",
            "name the folder above it",
        )
    return found


def entries(folder: Path) -> list[Path]:
    """What lies in a folder, sorted, hidden files left out; nothing where there is no folder."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else []


def stem(path: Path) -> str:
    """File name without its image ending."""
    return path.name[: -len(suffix)] if path.is_file() and (suffix := image_suffix(path)) else path.name


def scans_in(folder: Path) -> list[Path]:
    """One entry a case: the folders and volume files in a folder."""
    return [path for path in entries(folder) if path.is_dir() or image_suffix(path)]


def existing(*paths: Path) -> Path | None:
    """The one of these files that is there, or None.

    Raises:
        InputError: PE-CONV-006 if several are.
    """
    found = [path for path in paths if path.is_file()]
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise InputError("PE-CONV-006", f"several files could be the mask: {names}", "leave one of them")
    return found[0] if found else None


def scans_of(path: Path, options: ConvertOptions) -> list[ScanRef]:
    """All scans in a folder or file; of a folder with several series the one that the options name."""
    found = find_scans(path, pick=options.pick)
    return [_named_series(ref, options.series_uids) for ref in found] if options.series_uids else found


def _named_series(ref: ScanRef, series_uids: tuple[str, ...]) -> ScanRef:
    if ref.kind != "dicom" or ref.series_uid is not None:
        return ref
    for uid in series_uids:
        with suppress(InputError):  # PE-DCM-024: the series of another case
            return replace(find_scans(ref.path, series_uid=uid)[0], case_id=ref.case_id)
    return ref  # reading it says which there are


def one_scan(path: Path, case: str, options: ConvertOptions) -> ScanRef:
    """The scan in a folder or file, under the name of its case.

    Raises:
        InputError: PE-CONV-009 if there are several, and what `find_scans` raises.
    """
    found = scans_of(path, options)
    if len(found) != 1:
        raise InputError("PE-CONV-009", f"{path} holds {len(found)} scans, one expected", "leave one of them there")
    return replace(found[0], case_id=case)


def list_cases(paths: Iterable[Path], source_of: Callable[[str, Path], CaseSource], what: str) -> Listing:
    """List one case a path, named by it; a case that lacks something becomes an error of the listing.

    Args:
        paths: A folder or file a case.
        source_of: Gives the files of a case from its id and its path, or raises a `PEError`.
        what: What was looked for and where, for the message when there is none.

    Raises:
        InputError: PE-IN-001 if there is no case, PE-IN-004 if two would have one id.
    """
    owner: dict[str, Path] = {}
    for path in paths:
        other = owner.setdefault(clean(stem(path)), path)
        if other != path:
            raise InputError("PE-IN-004", f"{other} and {path} would be the same case", "rename one of them")
    if not owner:
        raise InputError("PE-IN-001", f"no {what}", "check the folder")
    cases, errors = [], []
    for case, path in owner.items():
        try:
            cases.append(source_of(case, path))
        except PEError as error:
            errors.append(CaseFailure.of(case, error))
    return Listing(tuple(cases), tuple(errors))
