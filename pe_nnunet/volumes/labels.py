"""Read a label image: whole numbers from zero on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from pe_nnunet.errors import InputError, Note
from pe_nnunet.volumes.files import read_file
from pe_nnunet.volumes.hounsfield import Values

WHOLE_TOLERANCE = 1e-3
HIGHEST_LABEL = 65535


def read_label(path: Path) -> sitk.Image:
    """Read a label image on its own grid.

    Args:
        path: Ends in .nii, .nii.gz, .nrrd, .mha or .mhd.

    Returns:
        uint8 up to 255, else uint16. Whether values are classes or ids of emboli is the caller's to know.

    Raises:
        InputError: PE-LBL-001 no such file, PE-LBL-002 not whole numbers, PE-LBL-003 negative, PE-LBL-004 above 65,535,
            and what `read_file` raises.
    """
    return read_label_noted(path)[0]


def read_label_noted(path: Path) -> tuple[sitk.Image, tuple[Note, ...]]:
    """`read_label`, with what was repaired or deserves a look.

    Values within 1e-3 of a whole number are rounded (PE-LBL-005); an empty label is noted (PE-LBL-006).
    """
    if not path.is_file():
        hint = "a scan without emboli needs an empty label file, not a missing one"
        raise InputError("PE-LBL-001", f"the label {path} does not exist", hint)
    image, found = read_file(path)
    array, notes = _whole(sitk.GetArrayViewFromImage(image), path, list(found))
    low, high = int(array.min()), int(array.max())
    if low < 0:
        raise InputError(
            "PE-LBL-003", f"{path} holds negative labels down to {low}", "give the label; is this the scan itself?"
        )
    if high > HIGHEST_LABEL:
        raise InputError(
            "PE-LBL-004", f"{path} holds labels up to {high}, expected at most {HIGHEST_LABEL}", "number anew"
        )
    if high == 0:
        notes.append(Note("PE-LBL-006", "warning", f"{path.name} is empty: a scan without emboli"))
    wanted = np.dtype(np.uint8 if high <= 255 else np.uint16)
    if array.dtype == wanted:
        return image, tuple(notes)
    label = sitk.GetImageFromArray(array.astype(wanted))
    label.CopyInformation(image)
    return label, tuple(notes)


def _whole(array: Values, path: Path, notes: list[Note]) -> tuple[Values, list[Note]]:
    if array.dtype.kind in "iub":
        return array, notes
    whole = np.rint(array)
    off = float(np.abs(array - whole).max()) if np.isfinite(array).all() else float("inf")
    if off > WHOLE_TOLERANCE:
        raise InputError(
            "PE-LBL-002",
            f"{path} holds values that are not whole numbers (off by {off:.2g})",
            "give the label itself, not a probability map or an interpolated label",
        )
    if off > 0:
        notes.append(Note("PE-LBL-005", "repaired", f"values off whole numbers by up to {off:.1g} rounded"))
    return whole, notes
