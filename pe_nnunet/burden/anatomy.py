"""Masks of the anatomy that a user has: one file a structure, with the names that TotalSegmentator gives its files.

TotalSegmentator (Wasserthal et al., Radiology: Artificial Intelligence 5 (2023)): arteries of the
lungs from its task `lung_vessels`, lobes from `total`, chambers of the heart and the arteries before the lungs from
`heartchambers_highres`. `artery` is what phantoms call the arteries.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import SimpleITK as sitk

from pe_nnunet.burden.ventricles import CHAMBERS
from pe_nnunet.errors import InputError
from pe_nnunet.volumes import laid_on, read_label

ARTERY = "artery"
ARTERIES = ("lung_arteries", "pulmonary_artery", ARTERY)  # those that are there, together
LOBES = {
    "lung_upper_lobe_right": "right upper",
    "lung_middle_lobe_right": "right middle",
    "lung_lower_lobe_right": "right lower",
    "lung_upper_lobe_left": "left upper",
    "lung_lower_lobe_left": "left lower",
}
MASKS = (*ARTERIES, *LOBES, *CHAMBERS)
SUFFIX = ".nii.gz"


def anatomy_files(folder: Path, case_id: str) -> dict[str, Path]:
    """The masks of a case.

    Args:
        folder: With the masks of the only scan, or one folder a case.
        case_id: Its name.

    Returns:
        By name; empty where the case has none.

    Raises:
        InputError: PE-BUR-006 if there is no such folder.
    """
    if not folder.is_dir():
        raise InputError("PE-BUR-006", f"{folder} is no folder of masks", "see docs/clot_burden.md")
    held = _masks_in(folder, MASKS)
    return held or _masks_in(folder / case_id, MASKS)


def _masks_in(folder: Path, names: Iterable[str]) -> dict[str, Path]:
    return {name: path for name in names if (path := folder / f"{name}{SUFFIX}").is_file()}


def read_anatomy(files: dict[str, Path], image: sitk.Image, scan: Path | None) -> dict[str, sitk.Image]:
    """Read masks onto the grid of a scan.

    Args:
        files: By name.
        image: The scan.
        scan: Its file, if it is one.

    Raises:
        PEError: If one cannot be read, or lies on another grid.
    """
    return {name: laid_on(image, scan, read_label(path), path, f"the mask {name}")[0] for name, path in files.items()}
