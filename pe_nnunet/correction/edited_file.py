"""A label that a person edited or drew: of which case it is, and read onto the grid of its scan without resampling."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
import SimpleITK as sitk

from pe_nnunet.dataset.records import CaseRecord
from pe_nnunet.dataset_conversion.convert_options import ConvertOptions
from pe_nnunet.dataset_conversion.labels import embolus_ids
from pe_nnunet.dataset_conversion.prepare import restore
from pe_nnunet.errors import GeometryError, InputError, Note
from pe_nnunet.errors.near import did_you_mean
from pe_nnunet.volumes import Scan, ScanRef, image_like, image_suffix, laid_on, read_dicom_label, read_label_noted
from pe_nnunet.volumes.dicom.headers import quiet_pydicom, text_of
from pe_nnunet.volumes.seg.seg_contents import items_of
from pe_nnunet.voxels import label_components

CODE, _OF_OTHER_SERIES = "PE-COR-002", "PE-SEG-002"


@dataclass(frozen=True)
class Places:
    """Where the edited label of a case may lie.

    Attributes:
        case: Case id.
        scan: The scan; None if it was not given.
        record: Of the case in the dataset; None for a new one.
        crop: Its image in the dataset, of which a person may have drawn it; None for a new one.
    """

    case: str
    scan: Scan | None
    record: CaseRecord | None
    crop: sitk.Image | None

    @property
    def grid(self) -> sitk.Image:
        """The grid of the scan, with whatever values.

        Raises:
            InputError: PE-COR-003 for a new case without its scan.
        """
        return self.record.geometry.blank() if self.scan is None and self.record is not None else self.given.image

    @property
    def given(self) -> Scan:
        """The scan.

        Raises:
            InputError: PE-COR-003 if it was not given.
        """
        if self.scan is None:
            text = f"{self.case} is new to the dataset, and its scan is not given"
            raise InputError(
                "PE-COR-003",
                text,
                "give it with -i, called as the label is by its file or folder, or alone and with --case",
            )
        return self.scan


def case_of(path: Path, known: Collection[str], scans: Mapping[str, ScanRef]) -> str:
    """The case that an edited file is of: by the series that a DICOM file names, else by the beginning of its name.

    Args:
        path: The file.
        known: Case ids of the dataset, of predictions, and of scans.
        scans: Those that were given, by case id.

    Raises:
        InputError: PE-COR-001 if none fits.
    """
    suffix = image_suffix(path)
    if not suffix and (uids := _series_of(path)):
        named = [case for case, ref in scans.items() if ref.series_uid in uids]
        if len(named) == 1:
            return named[0]
    stem = path.name[: -len(suffix)] if suffix else path.name.removesuffix(".dcm")
    fits = [case for case in known if stem == case or (stem.startswith(case) and not stem[len(case)].isalnum())]
    if not fits:
        hint = did_you_mean(stem, known, "begin its name with the id of its case, or say --case ID")
        raise InputError("PE-COR-001", f"nothing says which case {path.name} is of", hint)
    return max(fits, key=len)


def _series_of(path: Path) -> set[str]:
    """SeriesInstanceUIDs that a DICOM file names as what it was drawn on."""
    with quiet_pydicom():
        try:
            dataset = pydicom.dcmread(path, stop_before_pixels=True)
            return {text_of(item, "SeriesInstanceUID") for item in items_of(dataset, "ReferencedSeriesSequence")}
        except Exception:  # noqa: BLE001 - whatever a parser raises: reading it will say what is wrong
            return set()


def read_edited(path: Path, places: Places, options: ConvertOptions) -> tuple[sitk.Image, list[Note]]:
    """Read an edited label onto the grid of its scan.

    Args:
        path: DICOM SEG or RTSTRUCT, or a volume file.
        places: Where it may lie: on the grid of the scan, on a part of it as 3D Slicer saves it, on the dataset's crop.
        options: `segments` and `label_kind` are taken.

    Returns:
        Numbers, one an embolus, uint16, and notes: PE-COR-004 of emboli in several parts.

    Raises:
        InputError: PE-COR-002 if it lies on none of them voxel by voxel, PE-COR-003 if a scan is needed and not given,
            and what reading labels raises.
    """
    if image_suffix(path):
        mask, notes = _volume(path, places, options.segments)
    else:
        mask, notes = _dicom(path, places, options.segments)
    numbers, _ = embolus_ids(sitk.GetArrayFromImage(mask), options.label_kind)
    return image_like(numbers, mask), [*notes, *_part_notes(numbers, path)]


def _dicom(path: Path, places: Places, segments: str | None) -> tuple[sitk.Image, list[Note]]:
    if places.scan is None or places.scan.dicom is None:
        text = f"{path.name} is tied to the DICOM slices of {places.case}"
        raise InputError("PE-COR-003", text, "give their folder with -i, or export the label as NIfTI")
    try:
        mask, notes = read_dicom_label(path, places.scan, names=segments)
    except InputError as error:
        if error.code != _OF_OTHER_SERIES:
            raise
        raise _refused(path, places.case, error.message) from error
    return mask, list(notes)


def _volume(path: Path, places: Places, segments: str | None) -> tuple[sitk.Image, list[Note]]:
    label, found = read_label_noted(path, names=segments)
    notes = list(found)
    scan_path = places.scan.ref.path if places.scan is not None and places.scan.ref.kind == "file" else None
    what = f"the label {path.name}"
    try:
        mask, laid = laid_on(places.grid, scan_path, label, path, what)
    except GeometryError as error:
        refused = error.message
    else:
        return mask, [*notes, *laid]
    if places.record is None or places.crop is None:
        raise _refused(path, places.case, refused)
    try:
        part, laid = laid_on(places.crop, None, label, path, what)
    except GeometryError as error:
        raise _refused(path, places.case, f"{refused}; and on the dataset's crop: {error.message}") from error
    return restore(part, places.record), [*notes, *laid]


def _refused(path: Path, case: str, why: str) -> InputError:
    return InputError(
        CODE,
        f"{path.name} does not lie on the scan of {case} voxel by voxel: {why}",
        "nothing is resampled: export it in the geometry of the scan, or check that it is of this one",
    )


def _part_notes(numbers: npt.NDArray[np.uint16], path: Path) -> list[Note]:
    """Emboli of one number that are in several parts: one or several, only the person knows."""
    parts, count = label_components(numbers > 0)
    inside = parts > 0
    pairs = np.unique(np.stack([numbers[inside], parts[inside]]), axis=1)[0] if count else np.zeros(0, int)
    several = [f"{number} ({n})" for number, n in zip(*np.unique(pairs, return_counts=True), strict=True) if n > 1]
    if not several:
        return []
    shown = ", ".join(several[:8]) + (" ..." if len(several) > 8 else "")
    text = f"{path.name}: segments in several parts (how many) are one embolus each: {shown}"
    return [Note("PE-COR-004", "warning", f"{text}; --label-kind binary makes each part one")]
