"""What a scan is before it is read (`ScanRef`) and after (`Scan`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import SimpleITK as sitk

from pe_nnunet.errors import Note


@dataclass(frozen=True)
class ScanRef:
    """A scan that was found but not read yet.

    Attributes:
        case_id: Letters, digits, `_` and `-`; unique among the scans found together.
        kind: `"dicom"` for a series of DICOM files, `"file"` for one volume file.
        path: The volume file, or the folder of the series.
        files: The files to read. For DICOM all files that are candidates, in no particular order.
        series_uid: The DICOM series to read; None for volume files, and for a DICOM folder in which no single CT series
            could be chosen. Reading such a folder raises the error that says why, so that one unclear folder does not
            stop the others.
        only: Elements that its slices must have, as keyword and value; others of its files are left out.
        joined: It consists of series of few slices each, to be taken for one by what they share.
        damaged: Files in its folders that should be DICOM and cannot be read: one of them may be a slice of it.
        plain_id: The case id by the names of folders and files where `case_id` is a hash; empty elsewhere.
        hidden: Names that no message or file of the case may hold.
        refused: Its name says the patient's: reading it raises PE-CONV-034.
    """

    case_id: str
    kind: Literal["dicom", "file"]
    path: Path
    files: tuple[Path, ...]
    series_uid: str | None = None
    only: tuple[tuple[str, str], ...] = ()
    joined: bool = False
    damaged: tuple[Path, ...] = ()
    plain_id: str = ""
    hidden: tuple[str, ...] = ()
    refused: bool = False

    @property
    def mask_id(self) -> str:
        """What masks of the scan are called by."""
        return self.plain_id or self.case_id

    @property
    def shown_name(self) -> str:
        """The name of the file or folder, or the case's hash in its place."""
        return self.case_id if self.hidden else self.path.name


@dataclass(frozen=True)
class DicomInfo:
    """What results need to refer back to the DICOM series, without the patient's identity.

    Attributes:
        frame_of_reference_uid: FrameOfReferenceUID, or an empty string where the series has none.
        sop_class_uid: Of the slices.
        sop_instance_uids: SOPInstanceUID per slice: index z here is index z of the image. Frames of one multi-frame
            file repeat its UID. Empty where slices were interpolated, for then they are those of no file.
        files: The file per slice, in the same order.
        patient_key: The first 16 hexadecimal digits of the SHA-256 of PatientID, for grouping cases by patient. It is a
            pseudonym, not an anonymisation: whoever knows an id can compute its key.
        frames: Index of each slice in its file, from 0; all 0 but for multi-frame files.
        interpolated: Index z of the slices of the image that were interpolated across a gap.
    """

    study_uid: str
    series_uid: str
    frame_of_reference_uid: str
    sop_class_uid: str
    sop_instance_uids: tuple[str, ...]
    files: tuple[Path, ...]
    patient_key: str
    frames: tuple[int, ...] = ()
    interpolated: tuple[int, ...] = ()


@dataclass(frozen=True)
class Scan:
    """A scan in Hounsfield units on its own grid.

    Attributes:
        case_id: As in `ref`.
        image: HU, int16 where every value is a whole number by construction, else float32; never reoriented.
        ref: Where it came from.
        notes: What was repaired or deserves a look.
        dicom: For DICOM input only.
        sha256: Hexadecimal SHA-256 of the bytes of the files, one after the other in the order of the slices.
    """

    case_id: str
    image: sitk.Image
    ref: ScanRef
    notes: tuple[Note, ...]
    dicom: DicomInfo | None
    sha256: str
