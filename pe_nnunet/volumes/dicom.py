"""Read one CT series from DICOM files into Hounsfield units, with its geometry from the headers' positions."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
import SimpleITK as sitk

from pe_nnunet.errors import InputError, Note
from pe_nnunet.volumes.dicom_headers import (
    FileHeader,
    ct_series,
    has_preamble,
    patient_key,
    read_dataset,
    read_headers,
    text_of,
)
from pe_nnunet.volumes.dicom_pixels import padding_hu, require_ct_pixels, rescale_of, slice_hu
from pe_nnunet.volumes.dicom_slices import Slice, Stack, slices_of, stack_slices
from pe_nnunet.volumes.hounsfield import replace_padding, require_hu
from pe_nnunet.volumes.scan import DicomInfo, Scan, ScanRef

FEWEST_SLICES_3D = 4


def read_dicom(ref: ScanRef, *, assume_hu: bool = False) -> Scan:
    """Read the series that a reference names.

    Args:
        ref: From `find_scans`.
        assume_hu: Take stored values for HU where no rescale is given, and skip the check that values look like HU.

    Returns:
        The scan; its first slice is the lowest along the slice normal, so its direction is right-handed.

    Raises:
        InputError: What the series lacks or contradicts itself in, with a PE-DCM code.
    """
    files = _series_files(ref)
    headers = {file: _header(file, ref.case_id) for file in files}
    for file, dataset in headers.items():
        require_ct_pixels(dataset, f"{ref.case_id}: {file.name}", assume_hu=assume_hu)
    stack = stack_slices([s for file, dataset in headers.items() for s in slices_of(dataset, file)], ref.case_id)
    reader = _SliceReader(ref.case_id)
    slices, repaired = _one_per_position(stack, reader)
    hu, sha256, padded = _volume(slices, headers, reader)
    notes = [*_notes(ref, headers, slices), *stack.notes, *repaired]
    if padded:
        notes.append(Note("PE-DCM-011", "repaired", f"{padded} voxels of padding set to -1024 HU"))
    if not assume_hu:
        require_hu(hu, padded, ref.case_id)
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing(stack.spacing_mm)
    image.SetOrigin(stack.origin_mm)
    image.SetDirection(stack.direction.ravel().tolist())
    return Scan(ref.case_id, image, ref, tuple(notes), _info(headers[slices[0].file], slices), sha256)


class _SliceReader:
    """Decodes slices, keeping the file read last: the frames of a multi-frame file come one after the other."""

    def __init__(self, case_id: str) -> None:
        self.case_id = case_id
        self._file: Path | None = None
        self._dataset = pydicom.Dataset()

    def read(self, s: Slice) -> tuple[npt.NDArray[np.float64], float | None]:
        """HU of a slice before padding is replaced, and the padding value in HU."""
        if s.file != self._file:
            dataset = read_dataset(s.file, pixels=True)
            if dataset is None or "PixelData" not in dataset:
                raise InputError(
                    "PE-DCM-022", f"{self.case_id}: {s.file.name} has no pixel data", "copy or export the file again"
                )
            self._file, self._dataset = s.file, dataset
        return slice_hu(self._dataset, s, f"{self.case_id}: {s.file.name}"), padding_hu(self._dataset, s.frame)


def _series_files(ref: ScanRef) -> list[Path]:
    """The files of the one CT series; raises what keeps a folder from having one."""
    found = read_headers(ref.files)
    series = ct_series(found)
    if ref.series_uid is not None:
        series = {uid: members for uid, members in series.items() if uid == ref.series_uid}
    if not series:
        kinds = Counter("localizer" if h.localizer else h.modality or "unknown" for h in found)
        listed = ", ".join(f"{n} {kind}" for kind, n in kinds.most_common()) or "nothing readable"
        raise InputError(
            "PE-DCM-008", f"{ref.case_id}: no CT slices in {ref.path}, found {listed}", "give the CT series"
        )
    members = [header for headers in series.values() for header in headers]
    for name, values in (("patients", {h.patient_key for h in members}), ("studies", {h.study_uid for h in members})):
        if len(values) > 1:
            raise InputError(
                "PE-DCM-020",
                f"{ref.case_id}: {ref.path} mixes {len(values)} {name}",
                "put each into a folder of its own" + (", or choose with --series-uid" if len(series) > 1 else ""),
            )
    if len(series) > 1:
        listed = "; ".join(_describe(uid, headers) for uid, headers in series.items())
        raise InputError(
            "PE-DCM-005",
            f"{ref.case_id}: {len(series)} CT series in {ref.path}: {listed}",
            "choose one with --series-uid UID, or --pick largest-ct",
        )
    return [header.path for header in members]


def _describe(uid: str, headers: Iterable[FileHeader]) -> str:
    members = list(headers)
    return f"{uid} ({len(members)} files, {members[0].description or 'no description'})"


def _header(file: Path, case_id: str) -> pydicom.Dataset:
    dataset = read_dataset(file)
    if dataset is None:
        raise InputError(
            "PE-DCM-022", f"{case_id}: the header of {file.name} cannot be read", "copy or export the file again"
        )
    return dataset


def _one_per_position(stack: Stack, reader: _SliceReader) -> tuple[list[Slice], list[Note]]:
    """Drop doubled slices whose pixels agree; refuse those whose pixels differ."""
    doubled = [group for group in stack.positions if len(group) > 1]
    for group in doubled:
        first, _ = reader.read(group[0])
        for other in group[1:]:
            if not np.array_equal(first, reader.read(other)[0]):
                place = ", ".join(f"{v:.1f}" for v in group[0].position_mm or ())
                if len(doubled) > 0.5 * len(stack.positions):
                    raise InputError(
                        "PE-DCM-021",
                        f"{reader.case_id}: {len(doubled)} of {len(stack.positions)} positions hold several different slices: "
                        "several time points or reconstructions in one series",
                        "split them into one series each",
                    )
                raise InputError(
                    "PE-DCM-003",
                    f"{reader.case_id}: {group[0].file.name} and {other.file.name} lie both at ({place}) mm with different pixels",
                    "remove the wrong one",
                )
    dropped = sum(len(group) - 1 for group in doubled)
    notes = (
        [Note("PE-DCM-002", "repaired", f"{dropped} doubled slice(s) with the same pixels dropped")] if dropped else []
    )
    return [group[0] for group in stack.positions], notes


def _volume(
    slices: list[Slice], headers: dict[Path, pydicom.Dataset], reader: _SliceReader
) -> tuple[npt.NDArray[np.generic], str, int]:
    """The array in HU, the hash over the files, and the number of padding voxels."""
    whole = all(
        float(v).is_integer() for s in slices for v in rescale_of(headers[s.file], s.frame)[:2] if v is not None
    )
    hu = np.empty((len(slices), slices[0].rows, slices[0].columns), np.int16 if whole else np.float32)
    digest, hashed, padded = hashlib.sha256(), set(), 0
    for k, s in enumerate(slices):
        if s.file not in hashed:
            digest.update(s.file.read_bytes())
            hashed.add(s.file)
        plane, padding = reader.read(s)
        padded += replace_padding(plane, padding)
        hu[k] = plane
    return hu, digest.hexdigest(), padded


def _notes(ref: ScanRef, headers: dict[Path, pydicom.Dataset], slices: list[Slice]) -> list[Note]:
    notes = []
    first = headers[slices[0].file]
    localizers = sum(
        h.localizer and h.series_uid == text_of(first, "SeriesInstanceUID") for h in read_headers(ref.files)
    )
    if localizers:
        notes.append(Note("PE-DCM-006", "repaired", f"{localizers} localizer image(s) inside the series left out"))
    bare = sum(not has_preamble(file) for file in headers)
    if bare:
        notes.append(Note("PE-DCM-015", "repaired", f"{bare} file(s) without a DICOM preamble read all the same"))
    if not text_of(first, "PatientID").strip():
        notes.append(Note("PE-DCM-023", "repaired", "no PatientID: the study stands for the patient"))
    if len({rescale_of(headers[s.file], s.frame)[:2] for s in slices}) > 1:
        notes.append(Note("PE-DCM-025", "repaired", "the rescale differs between slices: each got its own"))
    if len(slices) < FEWEST_SLICES_3D:
        notes.append(Note("PE-DCM-019", "warning", f"{len(slices)} slice(s): for 2D models only, volumes mean little"))
    return notes


def _info(dataset: pydicom.Dataset, slices: list[Slice]) -> DicomInfo:
    study = text_of(dataset, "StudyInstanceUID")
    return DicomInfo(
        study_uid=study,
        series_uid=text_of(dataset, "SeriesInstanceUID"),
        frame_of_reference_uid=text_of(dataset, "FrameOfReferenceUID"),
        sop_class_uid=text_of(dataset, "SOPClassUID"),
        sop_instance_uids=tuple(s.sop_instance_uid for s in slices),
        files=tuple(s.file for s in slices),
        patient_key=patient_key(text_of(dataset, "PatientID")) or patient_key(study),
    )
