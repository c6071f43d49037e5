"""Read one CT series from DICOM files into Hounsfield units, with its geometry from the headers' positions."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
import SimpleITK as sitk

from pe_nnunet.errors import InputError, Note
from pe_nnunet.processes import require_memory
from pe_nnunet.volumes.dicom.choose_series import choose_series
from pe_nnunet.volumes.dicom.headers import (
    header_of,
    patient_key,
    quiet_pydicom,
    read_dataset,
    text_of,
    value_of,
)
from pe_nnunet.volumes.dicom.pixels import (
    Rescale,
    bits_of,
    damaged_pixels,
    decoded_hu,
    padding_hu,
    require_ct_pixels,
    rescale_of,
)
from pe_nnunet.volumes.dicom.reconstructions import differing, require_one_reconstruction, way_out
from pe_nnunet.volumes.dicom.slice_positions import Slice, slices_of
from pe_nnunet.volumes.dicom.stack import Stack, stack_slices
from pe_nnunet.volumes.geometry import require_place, require_spacing
from pe_nnunet.volumes.hounsfield import Values, replace_padding, require_hu
from pe_nnunet.volumes.scan import DicomInfo, Scan, ScanRef

Headers = dict[Path, pydicom.Dataset]  # without their pixels
SLAB_SLICES = 16  # that go into the image at once


@quiet_pydicom()
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
    _require_undamaged(ref)
    datasets = _datasets(ref)
    found = [header for file, dataset in datasets.items() if (header := header_of(dataset, file, ref.only)) is not None]
    members, left_out = choose_series(ref, found)
    headers = {member.path: datasets[member.path] for member in members}
    for file, dataset in headers.items():
        require_ct_pixels(dataset, file.stat().st_size, f"{ref.case_id}: {file.name}", assume_hu=assume_hu)
    found_slices = [s for file, dataset in headers.items() for s in slices_of(dataset, file)]
    mixed = require_one_reconstruction(found_slices, headers, ref.case_id)
    stack = stack_slices(found_slices, ref.case_id, resample_gaps=resample_gaps, fix_tilt=fix_tilt)
    require_spacing(stack.spacing_mm, ref.case_id, "PE-DCM-016")
    require_place(stack.origin_mm, ref.case_id, "PE-DCM-016")
    reader = _SliceReader(ref.case_id, headers)
    slices, doubled = _one_per_position(stack, reader)
    _require_rescale_of_all(slices, reader)
    image, sha256, padded = _volume(slices, reader)
    if not assume_hu:
        require_hu(sitk.GetArrayViewFromImage(image), padded, ref.case_id)
    if stack.offsets is not None:
        image = sitk.GetImageFromArray(stack.resampled(sitk.GetArrayViewFromImage(image)))
    image.SetSpacing(stack.spacing_mm)
    image.SetOrigin(stack.origin_mm)
    image.SetDirection(stack.direction.ravel().tolist())
    notes = [*left_out, *mixed, *doubled, *_header_notes(reader, slices), *stack.notes]
    if padded:
        notes.append(Note("PE-DCM-011", "repaired", f"{padded} voxels of padding set to -1024 HU"))
    info = _info(headers[slices[0].file], slices if stack.offsets is None else [], stack.interpolated)
    return Scan(ref.case_id, image, ref, tuple(notes), info, sha256)


def _datasets(ref: ScanRef) -> dict[Path, pydicom.Dataset]:
    """The headers of a series, none of which may be damaged behind what told that it belongs to the series."""
    read = {file: read_dataset(file) for file in ref.files}
    damaged = tuple(file for file, dataset in read.items() if dataset is None)
    _require_undamaged(replace(ref, damaged=damaged))
    return {file: dataset for file, dataset in read.items() if dataset is not None}


def _require_undamaged(ref: ScanRef) -> None:
    """Refuse a series beside files that could not be read: one of them may be its first or last slice."""
    if not ref.damaged:
        return
    named = ", ".join(f"{file.name} ({file.stat().st_size} bytes)" for file in ref.damaged[:5])
    more = f" and {len(ref.damaged) - 5} more" if len(ref.damaged) > 5 else ""
    raise InputError(
        "PE-DCM-022",
        f"{ref.case_id}: {len(ref.damaged)} file(s) in its folder cannot be read as DICOM: {named}{more}",
        "fetch them again, or remove them if they are no slices of it",
    )


class _SliceReader:
    """Decodes slices, keeping the last file: the frames of a multi-frame file follow one another."""

    def __init__(self, case_id: str, headers: Headers) -> None:
        self.case_id = case_id
        self.headers = headers
        self._rescales: dict[tuple[Path, int], Rescale] = {}
        self._file: Path | None = None
        self._dataset = pydicom.Dataset()

    def rescale(self, s: Slice) -> Rescale:
        """Slope, intercept and type of the rescale of a slice."""
        key = (s.file, s.frame)
        if key not in self._rescales:
            self._rescales[key] = rescale_of(self.headers[s.file], s.frame)
        return self._rescales[key]

    def take(self, file: Path, content: bytes) -> None:
        """Make ready to decode the slices of a file, of which these are the bytes."""
        dataset = read_dataset(content, pixels=True)
        pixels = None if dataset is None else value_of(dataset, "PixelData")
        if dataset is None or pixels is None:
            raise damaged_pixels(f"{self.case_id}: {file.name}", "no whole PixelData")
        if not isinstance(pixels, bytes):
            text = f"PixelData of VR {dataset['PixelData'].VR}, expected OB or OW"
            raise damaged_pixels(f"{self.case_id}: {file.name}", text)
        self._file, self._dataset = file, dataset

    def hu(self, s: Slice, into: npt.NDArray[np.int32] | None = None) -> tuple[Values, float | None]:
        """HU of a slice before padding is replaced, and the padding value in HU; see `decoded_hu` for `into`."""
        if s.file != self._file:
            self.take(s.file, s.file.read_bytes())
        rescale = self.rescale(s)
        plane = decoded_hu(self._dataset, s, rescale, f"{self.case_id}: {s.file.name}", into)
        return plane, padding_hu(self._dataset, rescale)


def _one_per_position(stack: Stack, reader: _SliceReader) -> tuple[list[Slice], list[Note]]:
    """Drop doubled slices whose pixels agree; refuse those whose pixels differ."""
    doubled = [group for group in stack.positions if len(group) > 1]
    every = [s for group in doubled for s in group]
    for group in doubled:
        first, _ = reader.hu(group[0])
        for other in group[1:]:
            if np.array_equal(first, reader.hu(other)[0]):
                continue
            if 2 * len(doubled) > len(stack.positions) > 1:
                raise InputError(
                    "PE-DCM-021",
                    f"{reader.case_id}: {len(doubled)} of {len(stack.positions)} positions hold several different "
                    "slices: several time points or reconstructions in one series" + differing(every, reader.headers),
                    way_out(every, reader.headers),
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


def _require_rescale_of_all(slices: list[Slice], reader: _SliceReader) -> None:
    """Refuse to take the values of some slices as they are, and to rescale others."""
    bare = [s for s in slices if reader.rescale(s)[0] is None]
    if bare and len(bare) < len(slices):
        raise InputError(
            "PE-DCM-009",
            f"{reader.case_id}: {len(bare)} of {len(slices)} slices have no RescaleSlope and RescaleIntercept, the "
            f"first {bare[0].file.name}; the others have",
            "export the original images",
        )


def _volume(slices: list[Slice], reader: _SliceReader) -> tuple[sitk.Image, str, int]:
    """The image in HU on no grid yet, the hash over the files in this order, and the number of padding voxels.

    It is filled slab by slab: an array of all slices would be there twice while an image is made of it.
    """
    scales = [value for s in slices for value in reader.rescale(s)[:2] if value is not None]
    whole = all(value.is_integer() for value in scales)
    shape = (len(slices), slices[0].rows, slices[0].columns)
    require_memory(shape, reader.case_id)
    image = sitk.Image(shape[::-1], sitk.sitkInt16 if whole else sitk.sitkFloat32)
    slab = np.empty((SLAB_SLICES, *shape[1:]), np.int16 if whole else np.float32)
    digest, padded, scratch = hashlib.sha256(), 0, np.empty(shape[1:], np.int32)
    runs = [list(run) for _, run in groupby(range(len(slices)), lambda k: slices[k].file)]
    files = [slices[run[0]].file for run in runs]
    for file, run, content in zip(files, runs, read_ahead(files, digest.update), strict=True):
        reader.take(file, content)
        for k in run:
            plane, padding = reader.hu(slices[k], scratch)
            padded += replace_padding(plane, f"{reader.case_id}: {file.name}", padding)
            place = k % SLAB_SLICES
            slab[place] = plane  # fits: what lies outside -1500..32000 was padding
            if place == SLAB_SLICES - 1 or k == len(slices) - 1:
                image[:, :, k - place : k + 1] = sitk.GetImageFromArray(slab[: place + 1])
    return image, digest.hexdigest(), padded


def _header_notes(reader: _SliceReader, slices: list[Slice]) -> list[Note]:
    notes = []
    bare = sum(not dataset.preamble for dataset in reader.headers.values())
    if bare:
        notes.append(Note("PE-DCM-015", "repaired", f"{bare} file(s) without a DICOM preamble read all the same"))
    if not text_of(reader.headers[slices[0].file], "PatientID"):
        notes.append(Note("PE-DCM-023", "repaired", "no PatientID: the study stands for the patient"))
    if len({reader.rescale(s)[:2] for s in slices}) > 1:
        notes.append(Note("PE-DCM-025", "repaired", "the rescale differs between slices: each got its own"))
    shifted = [bits for dataset in reader.headers.values() if (bits := bits_of(dataset, reader.case_id)).shift]
    if shifted:
        bits = shifted[0]
        text = f"values at the top of their words (HighBit {bits.stored + bits.shift - 1}, BitsStored {bits.stored}): "
        text += f"shifted right by {bits.shift} bits in {len(shifted)} file(s)"
        notes.append(Note("PE-DCM-030", "repaired", text))
    lossy = sum(text_of(dataset, "LossyImageCompression") == "01" for dataset in reader.headers.values())
    if lossy:
        text = f"{lossy} file(s) were compressed with loss: HU are a little off, and small emboli may be blurred"
        notes.append(Note("PE-DCM-029", "warning", text))
    return notes


def _info(dataset: pydicom.Dataset, slices: list[Slice], interpolated: tuple[int, ...]) -> DicomInfo:
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
        interpolated=interpolated,
    )


def read_ahead(files: Sequence[Path], note: Callable[[bytes], object]) -> Iterator[bytes]:
    """The contents of files, in their order; a second thread reads at most one file ahead.

    Args:
        files: Which to read.
        note: Called in that thread with each content, in the order of the files, before it is given out.

    Raises:
        OSError: If a file cannot be read, when its turn comes.
    """

    def load(file: Path) -> bytes:
        content = file.read_bytes()
        note(content)
        return content

    with ThreadPoolExecutor(1, "read-ahead") as thread:
        coming = [thread.submit(load, file) for file in files[:1]]
        for k in range(len(files)):
            content = coming.pop().result()
            coming += [thread.submit(load, file) for file in files[k + 1 : k + 2]]
            yield content
