"""Read one CT series from DICOM files into Hounsfield units, with its geometry from the headers' positions."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk

from pe_nnunet.errors import InputError, Note
from pe_nnunet.volumes.dicom_choice import choose_series
from pe_nnunet.volumes.dicom_headers import header_of, patient_key, quiet_pydicom, read_dataset, text_of
from pe_nnunet.volumes.dicom_pixels import damaged_pixels, padding_hu, require_ct_pixels, rescale_of, slice_hu
from pe_nnunet.volumes.dicom_slices import Slice, slices_of
from pe_nnunet.volumes.dicom_stack import Stack, stack_slices
from pe_nnunet.volumes.hounsfield import Values, replace_padding, require_hu
from pe_nnunet.volumes.memory import require_memory
from pe_nnunet.volumes.scan import DicomInfo, Scan, ScanRef

Headers = dict[Path, pydicom.Dataset]


def read_dicom(ref: ScanRef, *, assume_hu: bool = False, resample_gaps: bool = False, fix_tilt: bool = False) -> Scan:
    """Read the series that a reference names.

    Args:
        ref: From `find_scans`.
        assume_hu: Take stored values for HU where no rescale is given, and skip the check that values look like HU.
        resample_gaps: Interpolate the slices of one gap, instead of refusing the series; see `stack_slices`.
        fix_tilt: Shift tilted slices upright, instead of refusing the series. Either leaves no slice of the result tied
            to a file.

    Returns:
        The scan. Its first slice is the lowest along the slice normal, so its direction is right-handed.

    Raises:
        InputError: What the series lacks, or where it contradicts itself, with a PE-DCM code.
        MissingExtraError: PE-DCM-014 if its compression cannot be decoded here.
    """
    with quiet_pydicom():
        return _read(ref, assume_hu=assume_hu, resample_gaps=resample_gaps, fix_tilt=fix_tilt)


def _read(ref: ScanRef, *, assume_hu: bool, resample_gaps: bool, fix_tilt: bool) -> Scan:
    datasets = {file: dataset for file in ref.files if (dataset := read_dataset(file)) is not None}
    found = [header for file, dataset in datasets.items() if (header := header_of(dataset, file)) is not None]
    members, left_out = choose_series(ref, found)
    headers = {member.path: datasets[member.path] for member in members}
    for file, dataset in headers.items():
        require_ct_pixels(dataset, file.stat().st_size, f"{ref.case_id}: {file.name}", assume_hu=assume_hu)
    found_slices = [s for file, dataset in headers.items() for s in slices_of(dataset, file)]
    stack = stack_slices(found_slices, ref.case_id, resample_gaps=resample_gaps, fix_tilt=fix_tilt)
    reader = _SliceReader(ref.case_id)
    slices, doubled = _one_per_position(stack, reader)
    hu, sha256, padded = _volume(slices, headers, reader)
    if not assume_hu:
        require_hu(hu, padded, ref.case_id)
    if stack.regrid is not None:
        hu = stack.regrid.apply(hu)
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing(stack.spacing_mm)
    image.SetOrigin(stack.origin_mm)
    image.SetDirection(stack.direction.ravel().tolist())
    notes = [*left_out, *doubled, *_header_notes(headers, slices), *stack.notes]
    if padded:
        notes.append(Note("PE-DCM-011", "repaired", f"{padded} voxels of padding set to -1024 HU"))
    info = _info(headers[slices[0].file], [] if stack.regrid else slices)
    return Scan(ref.case_id, image, ref, tuple(notes), info, sha256)


class _SliceReader:
    """Reads and decodes slices, keeping the last file: the frames of a multi-frame file follow one another."""

    def __init__(self, case_id: str) -> None:
        self.case_id = case_id
        self._file: Path | None = None
        self._bytes = b""
        self._dataset = pydicom.Dataset()

    def bytes_of(self, s: Slice) -> bytes:
        """The whole file of a slice."""
        if s.file != self._file:
            self._file, self._bytes = s.file, s.file.read_bytes()
            dataset = read_dataset(self._bytes, pixels=True)
            if dataset is None or "PixelData" not in dataset:
                raise damaged_pixels(f"{self.case_id}: {s.file.name}", "no whole PixelData")
            self._dataset = dataset
        return self._bytes

    def hu(self, s: Slice) -> tuple[Values, float | None]:
        """HU of a slice before padding is replaced, and the padding value in HU."""
        self.bytes_of(s)
        return slice_hu(self._dataset, s, f"{self.case_id}: {s.file.name}"), padding_hu(self._dataset, s.frame)


def _one_per_position(stack: Stack, reader: _SliceReader) -> tuple[list[Slice], list[Note]]:
    """Drop doubled slices whose pixels agree; refuse those whose pixels differ."""
    doubled = [group for group in stack.positions if len(group) > 1]
    for group in doubled:
        first, _ = reader.hu(group[0])
        for other in group[1:]:
            if np.array_equal(first, reader.hu(other)[0]):
                continue
            if 2 * len(doubled) > len(stack.positions) > 1:
                raise InputError(
                    "PE-DCM-021",
                    f"{reader.case_id}: {len(doubled)} of {len(stack.positions)} positions hold several different "
                    "slices: several time points or reconstructions in one series",
                    "split them into one series each",
                )
            x, y, z = group[0].position_mm or (0.0, 0.0, 0.0)
            raise InputError(
                "PE-DCM-003",
                f"{reader.case_id}: {group[0].file.name} and {other.file.name} both lie at ({x:.1f}, {y:.1f}, {z:.1f}) "
                "mm with different pixels",
                "remove the wrong one",
            )
    dropped = sum(len(group) - 1 for group in doubled)
    text = f"{dropped} doubled slice(s) with the same pixels dropped"
    return [group[0] for group in stack.positions], [Note("PE-DCM-002", "repaired", text)] if dropped else []


def _volume(slices: list[Slice], headers: Headers, reader: _SliceReader) -> tuple[Values, str, int]:
    """The array in HU, the hash over the files in this order, and the number of padding voxels."""
    scales = [value for s in slices for value in rescale_of(headers[s.file], s.frame)[:2] if value is not None]
    whole = all(value.is_integer() for value in scales)
    shape = (len(slices), slices[0].rows, slices[0].columns)
    require_memory(shape, reader.case_id)
    hu = np.empty(shape, np.int16 if whole else np.float32)
    digest, padded = hashlib.sha256(), 0
    for k, s in enumerate(slices):
        if k == 0 or s.file != slices[k - 1].file:
            digest.update(reader.bytes_of(s))
        plane, padding = reader.hu(s)
        padded += replace_padding(plane, padding)
        hu[k] = plane  # fits: what lies outside -1500..32000 was padding
    return hu, digest.hexdigest(), padded


def _header_notes(headers: Headers, slices: list[Slice]) -> list[Note]:
    notes = []
    bare = sum(not dataset.preamble for dataset in headers.values())
    if bare:
        notes.append(Note("PE-DCM-015", "repaired", f"{bare} file(s) without a DICOM preamble read all the same"))
    if not text_of(headers[slices[0].file], "PatientID"):
        notes.append(Note("PE-DCM-023", "repaired", "no PatientID: the study stands for the patient"))
    if len({rescale_of(headers[s.file], s.frame)[:2] for s in slices}) > 1:
        notes.append(Note("PE-DCM-025", "repaired", "the rescale differs between slices: each got its own"))
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
        frames=tuple(s.frame for s in slices),
    )
