"""Study folders: the scan `ct`, its embolus ids `emboli` and, if there is one, its artery mask `artery` side by side.

The layout that `pe-nnunet phantom` writes, and an easy one to bring data of one's own into:

    SRC/case_a/ct/*.dcm        or ct.nii.gz, ct.nrrd, ct.mha
    SRC/case_a/emboli.nii.gz   one value an embolus, all 0 for a scan without
    SRC/case_a/artery.nii.gz   optional
"""

from __future__ import annotations

from pathlib import Path

from pe_nnunet.dataset_conversion.convert_options import ConvertOptions
from pe_nnunet.dataset_conversion.mask_pairing import CaseMasks, listing_of, one_scan
from pe_nnunet.dataset_conversion.sources import CaseSource, Listing, read_case
from pe_nnunet.errors import InputError
from pe_nnunet.volumes.files.image_writer import image_suffix
from pe_nnunet.volumes.find import case_ids

__all__ = ["find_cases", "read_case"]


def find_cases(src: Path, options: ConvertOptions) -> Listing:
    """List the study folders in `src`, or `src` itself if it is one.

    Raises:
        InputError: If there is none, or two would be the same case.
    """
    if not src.is_dir():
        raise InputError("PE-IN-002", f"no folder {src}", "name the folder that holds one folder a case")
    folders = [src] if _volume(src, "ct", "CT scan") else sorted(p for p in src.iterdir() if _is_study(p))
    if not folders:
        raise InputError("PE-IN-001", f"{src} holds no study folder", "each needs ct/ or ct.nii.gz, and emboli.nii.gz")
    masks = CaseMasks(options)
    root = src.resolve()  # "." has no name; a study may itself be a link to elsewhere and keeps the link's name
    ids = case_ids([root if folder == src else root / folder.name for folder in folders], root)
    folder_of = dict(zip(ids, folders, strict=True))
    return listing_of(ids, lambda case: _study(case, folder_of[case], masks, options))


def _is_study(folder: Path) -> bool:
    """A folder with a scan or a mask of ours in it; whatever else lies in the source folder is passed over."""
    if not folder.is_dir() or folder.name.startswith("."):
        return False
    return any(
        path.name == "ct" or (image_suffix(path) and path.name.split(".")[0] in {"ct", "emboli", "artery"})
        for path in folder.iterdir()
    )


def _study(case: str, folder: Path, masks: CaseMasks, options: ConvertOptions) -> CaseSource:
    scan = _volume(folder, "ct", "CT scan")
    if scan is None:
        raise InputError("PE-CONV-009", f"{folder.name} holds neither ct/ nor ct.nii.gz", "add the scan")
    return masks.source(
        one_scan(scan, case, options),
        f"{folder.name}/{scan.name}",
        own_label=_volume(folder, "emboli", "embolus label"),
        own_artery=_volume(folder, "artery", "artery mask"),
    )


def _volume(folder: Path, name: str, what: str) -> Path | None:
    """The file NAME.<image suffix> of a study, or the folder NAME; None if there is neither."""
    found = [
        path
        for path in sorted(folder.iterdir())
        if path.name == name or (image_suffix(path) and path.name[: -len(image_suffix(path))] == name)
    ]
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise InputError("PE-CONV-006", f"several files could be the {what}: {names}", "leave one of them")
    return found[0] if found else None
