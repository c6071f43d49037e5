"""One scan, and its label, to DICOM, PNG slices or NIfTI, in the layout of study folders: `ct` and `emboli`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import SimpleITK as sitk

from pe_nnunet.errors import InputError
from pe_nnunet.slices.names import slice_names
from pe_nnunet.slices.png import MASKS, SCAN, write_png_scan
from pe_nnunet.slices.segmentation import write_segmentation
from pe_nnunet.volumes import Scan, image_like, to_lps, write_dicom_series, write_image

Target = Literal["dicom", "png", "nifti"]


def export(
    scan: Scan,
    label: sitk.Image | None,
    folder: Path,
    to: Target,
    *,
    window_hu: tuple[float, float] | None = None,
    round_hu: bool = False,
    algorithm: str | None = None,
) -> None:
    """Write a scan and its label in another form.

    A volume without DICOM slices is turned to LPS axes before it is sliced, so that its slices are axial. Slices of a
    DICOM series stay as they are, and so does its series: `"dicom"` then writes the label alone, as SEG of that series.

    Args:
        scan: The scan.
        label: Ids on its grid, or None.
        folder: Of the case.
        to: What to write.
        window_hu: For PNG: 8 bits within this window, see `write_png_scan`.
        round_hu: Round HU that are not whole, for DICOM and PNG hold whole ones.
        algorithm: For DICOM: the program that made the label, see `write_segmentation`.

    Raises:
        InputError: PE-SLC-006 if DICOM without a label should become DICOM, PE-SEG-004 if it can have no SEG.
        OutputError: PE-OUT-001 and PE-OUT-002 if it cannot be written, PE-OUT-003 if HU are not whole.
    """
    image = _rounded(scan.image) if round_hu else scan.image
    if to == "nifti":
        write_image(image, folder / f"{SCAN}.nii.gz")
        if label is not None:
            write_image(label, folder / f"{MASKS}.nii.gz")
        return
    files = scan.dicom.files if scan.dicom is not None else ()
    if not files:
        image, label = to_lps(image), None if label is None else to_lps(label)
    if to == "png":
        names = slice_names(scan.dicom, image.GetSize()[2])
        write_png_scan(image, label, folder, names, before_lps=scan.image, window_hu=window_hu)
        return
    if files:
        if label is None:
            raise InputError("PE-SLC-006", f"{scan.case_id} is DICOM already", "give --labels to get a SEG of it")
        write_segmentation(label, files, folder / f"{MASKS}.dcm", algorithm=algorithm)
        return
    write_dicom_series(image, folder / SCAN, patient_id=scan.case_id[:64])
    if label is not None:
        written = [folder / SCAN / f"IM{k + 1:05d}.dcm" for k in range(image.GetSize()[2])]
        write_segmentation(label, written, folder / f"{MASKS}.dcm", algorithm=algorithm)


def _rounded(image: sitk.Image) -> sitk.Image:
    hu = sitk.GetArrayViewFromImage(image)
    return image if hu.dtype == np.int16 else image_like(np.rint(hu).astype(np.int16), image)
