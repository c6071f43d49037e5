"""One scan, and its label, to DICOM, PNG slices or NIfTI, in the layout of study folders: `ct` and `emboli`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydicom
import SimpleITK as sitk

from pe_nnunet import __version__
from pe_nnunet.errors import GeometryError, InputError
from pe_nnunet.files import atomic_entries, atomic_path
from pe_nnunet.slices.png import MASKS, SCAN, write_png_scan
from pe_nnunet.slices.slice_masks import slice_names
from pe_nnunet.volumes import Scan, image_like, to_lps, write_dicom_series, write_image
from pe_nnunet.volumes.dicom.dicom_writer import require_free
from pe_nnunet.volumes.dicom.headers import number_of
from pe_nnunet.volumes.seg.seg_contents import tracking_id
from pe_nnunet.volumes.seg.seg_writer import Origin, Segment, build_segmentation

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
        scan: As it was read; not yet sliced.
        label: Ids on its grid, or None.
        folder: Of the case.
        to: What to write.
        window_hu: For PNG: 8 bits within this window, see `write_png_scan`.
        round_hu: Round HU that are not whole, for DICOM and PNG hold whole ones.
        algorithm: For DICOM: the program that made the label, see `write_segmentation`.

    Raises:
        InputError: PE-SLC-006 if DICOM without a label should become DICOM.
        OutputError: PE-OUT-001 and PE-OUT-002 if it cannot be written, PE-OUT-003 if HU are not whole, PE-OUT-004 if
            its series can have no SEG.
    """
    image = _rounded(scan.image) if round_hu else scan.image
    files = scan.dicom.files if scan.dicom is not None else ()
    if to != "nifti" and not files:
        image, label = to_lps(image), None if label is None else to_lps(label)
    if to == "png":
        names = slice_names(scan.dicom, image.GetSize()[2])
        write_png_scan(image, label, folder, names, before_lps=scan.image, window_hu=window_hu)
        return
    if to == "dicom" and files and label is None:
        raise InputError("PE-SLC-006", f"{scan.case_id} is DICOM already", "give --labels to get a SEG of it")
    with atomic_entries(folder) as staged:
        if to == "nifti":
            write_image(image, staged / f"{SCAN}.nii.gz")
            if label is not None:
                write_image(label, staged / f"{MASKS}.nii.gz")
            return
        if not files:
            files = tuple(staged / SCAN / f"IM{k + 1:05d}.dcm" for k in range(image.GetSize()[2]))
            require_free(folder / SCAN, {path.name for path in files})
            write_dicom_series(image, staged / SCAN, patient_id=scan.case_id[:64])
        if label is not None:
            write_segmentation(label, files, staged / f"{MASKS}.dcm", algorithm=algorithm)


def _rounded(image: sitk.Image) -> sitk.Image:
    hu = sitk.GetArrayViewFromImage(image)
    return image if hu.dtype == np.int16 else image_like(np.rint(hu).astype(np.int16), image)


def write_segmentation(label: sitk.Image, slices: Sequence[Path], path: Path, *, algorithm: str | None = None) -> None:
    """Write ids as a DICOM SEG of the series that they belong to.

    Segments must be numbered without gaps, so that the id of an embolus is kept in TrackingID, from which it is read
    again. Patient and study are those of the slices.

    Args:
        label: Ids on the grid of the series. Without any, the SEG has one segment with empty frames.
        slices: The DICOM file of each slice, in the order of the label.
        path: The file.
        algorithm: The program that made the mask; None for one drawn by people.

    Raises:
        GeometryError: PE-GEO-001 if there is not one file a slice.
        OutputError: PE-OUT-004 if the slices lack what a SEG needs of them, PE-OUT-001 if it cannot be written.
    """
    ids = sitk.GetArrayFromImage(label)
    if len(slices) != len(ids) or len(set(slices)) != len(slices):
        raise GeometryError(
            "PE-GEO-001",
            f"{path.name}: {len(set(slices))} DICOM files for {len(ids)} slices, one each expected",
            "multi-frame files take their label as NIfTI",
        )
    values = np.unique(ids[ids > 0]).tolist() or [1]
    numbers = np.searchsorted([0, *values], ids).astype(np.uint8 if len(values) < 256 else np.uint16)
    segments = [Segment(number, f"Embolus {value}", tracking_id(value)) for number, value in enumerate(values, 1)]
    first = pydicom.dcmread(slices[0], stop_before_pixels=True, specific_tags=["SeriesNumber"])
    origin = Origin(
        command="slices",
        algorithm=None if algorithm is None else _algorithm(algorithm),
        series_description="Emboli",
        content_label="PULMONARY_EMBOLI",
        content_description="Pulmonary emboli",
        series_number=int(number_of(first, "SeriesNumber") or 0) + 100,
    )
    segmentation = build_segmentation(numbers, label, slices, segments, origin, path.name)
    with atomic_path(path) as temporary:
        segmentation.save_as(temporary)


def _algorithm(name: str) -> Any:
    from highdicom import AlgorithmIdentificationSequence
    from pydicom.sr.codedict import codes

    return AlgorithmIdentificationSequence(name, codes.cid7162.ArtificialIntelligence, __version__)
