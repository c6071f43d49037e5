"""DICOM by our readers, and by pydicom with plain arithmetic on what it gives."""

from __future__ import annotations

import functools
import io
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from fuzz.sample import RefusedError
from fuzz.seeds_dicom import plain_series
from pe_nnunet.errors import InputError
from pe_nnunet.volumes import find_scans, read_scan
from pe_nnunet.volumes.scan import Scan
from pe_nnunet.volumes.seg.seg_reader import read_dicom_label

Read = tuple[list[Scan], set[Path]]


def read_series(folder: Path) -> Read:
    """All scans of a folder, and the files of those that are refused; an error if all are."""
    scans: list[Scan] = []
    errors: list[InputError] = []
    told: set[Path] = set()
    for ref in find_scans(folder):
        try:
            scans.append(read_scan(ref, assume_hu=True))
        except InputError as error:
            errors.append(error)
            told |= {*ref.files, *ref.damaged}
    if not scans:
        raise errors[0]
    return scans, told


def compare_series(folder: Path, found: Read) -> str:
    """Voxels, places and number of slices."""
    scans, told = found
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        problems = [problem for scan in scans if (problem := _compare(scan))]
    return problems[0] if problems else _lost_slices(folder, scans, told)


def _lost_slices(folder: Path, scans: list[Scan], told: set[Path]) -> str:
    """Files that are no part of any scan, though no note says so."""
    used = told | {file for scan in scans if scan.dicom is not None for file in scan.dicom.files}
    said = [note.code for scan in scans for note in scan.notes]
    left = [path.name for path in sorted(folder.rglob("*")) if path.is_file() and path not in used]
    left = [name for name in left if name.endswith(".dcm")]
    if not left or {"PE-DCM-002", "PE-DCM-006", "PE-DCM-027"} & set(said):
        return ""
    return f"left out without a word: {', '.join(left)} (notes: {', '.join(said)})"


def _compare(scan: Scan) -> str:
    assert scan.dicom is not None
    got = sitk.GetArrayFromImage(scan.image).astype(np.float64)
    datasets: dict[Path, Any] = {}
    for k, (file, frame) in enumerate(zip(scan.dicom.files, scan.dicom.frames, strict=True)):
        try:
            if file not in datasets:
                datasets[file] = pydicom.dcmread(file, force=True)
            dataset = datasets[file]
            hu, place, spacing = _frame_hu(dataset, frame), _place(dataset, frame), _spacing(dataset, frame)
        except Exception as error:
            raise RefusedError(f"{file.name}: {type(error).__name__}: {str(error)[:150]}") from error
        plane = got[k]
        if hu.shape != plane.shape:
            return f"slice {k} has shape {plane.shape}, independently {hu.shape}"
        air = (plane == -1024) | (hu == -1024)
        if not np.allclose(plane[~air], hu[~air], rtol=1e-5, atol=1e-2):
            return f"slice {k} ({file.name}) differs in {np.count_nonzero(np.abs(plane - hu)[~air] > 0.01)} pixels"
        blanked = (plane == -1024) & (hu > -1500) & (hu <= 32000) & (np.abs(hu + 1024) > 1)
        if blanked.any() and "PixelPaddingValue" not in dataset:
            return f"slice {k}: {np.count_nonzero(blanked)} pixels blanked"
        mm = np.array(scan.image.TransformIndexToPhysicalPoint((0, 0, k)))
        wavers = any(note.code == "PE-DCM-031" for note in scan.notes)  # and by how much, says the note
        apart_mm = (0.3 if wavers else 0.05) * scan.image.GetSpacing()[2]
        if len(scan.dicom.files) > 1 and np.abs(mm - place).max() > max(0.2, apart_mm):
            return f"slice {k} lies at {mm.tolist()}, by its header at {place}"
        if not np.allclose(scan.image.GetSpacing()[:2], spacing, rtol=1e-3):
            return f"spacing {scan.image.GetSpacing()}, by the header {spacing}"
    return ""


def _frame_hu(dataset: Any, frame: int) -> np.ndarray:
    count = int(dataset.get("NumberOfFrames", 1) or 1)
    stated = dataset.file_meta.get("TransferSyntaxUID") if hasattr(dataset, "file_meta") else None
    syntax = None if not stated else pydicom.uid.UID(str(stated))
    slope, intercept = 1.0, 0.0
    for source in _sources(dataset, frame, "PixelValueTransformationSequence"):
        if source.get("RescaleSlope") is not None and source.get("RescaleIntercept") is not None:
            slope, intercept = float(source.RescaleSlope), float(source.RescaleIntercept)
            break
    if syntax is not None and syntax.is_compressed and "1.2.840.10008.1.2.4" in syntax:
        return _by_pillow(dataset.PixelData) * slope + intercept
    if syntax is not None and syntax.is_encapsulated:
        plane = pydicom.pixels.pixel_array(dataset, index=frame)
        return plane.astype(np.float64) * slope + intercept
    big = syntax == "1.2.840.10008.1.2.2"
    signed = int(dataset.PixelRepresentation)
    kind = np.dtype(f"{'>' if big else '<'}{'i' if signed else 'u'}{int(dataset.BitsAllocated) // 8}")
    size = int(dataset.Rows) * int(dataset.Columns)
    content = dataset.PixelData
    if len(content) not in {count * size * kind.itemsize, count * size * kind.itemsize + 1}:
        raise ValueError(f"{len(content)} bytes of pixels for {count} frames of {size}")
    words = np.frombuffer(content, kind, size, frame * size * kind.itemsize).reshape(dataset.Rows, dataset.Columns)
    stored, high = int(dataset.BitsStored), dataset.get("HighBit")
    high = stored - 1 if high is None else int(high)  # absent, or empty
    values = words.astype(np.int64)
    if (stored, high) != (int(dataset.BitsAllocated), int(dataset.BitsAllocated) - 1):
        values = (values >> (high - stored + 1)) & (2**stored - 1)
        values = np.where(signed and values >> (stored - 1), values - 2**stored, values)
    return values * slope + intercept


def _by_pillow(content: bytes) -> np.ndarray:
    """The one JPEG 2000 stream in encapsulated pixels, from its first marker on."""
    from PIL import Image

    stream = content[content.index(b"\xff\x4f\xff\x51") :]
    return np.asarray(Image.open(io.BytesIO(stream))).astype(np.float64)


def _sources(dataset: Any, frame: int, macro: str) -> list[Any]:
    found = []
    for keyword, index in (("PerFrameFunctionalGroupsSequence", frame), ("SharedFunctionalGroupsSequence", 0)):
        groups = dataset.get(keyword) or []
        if index < len(groups) and groups[index].get(macro):
            found.append(groups[index][macro].value[0])
    return [*found, dataset]


def _place(dataset: Any, frame: int) -> list[float]:
    for source in _sources(dataset, frame, "PlanePositionSequence"):
        if source.get("ImagePositionPatient"):
            return [float(mm) for mm in source.ImagePositionPatient]
    raise ValueError("no position")


def _spacing(dataset: Any, frame: int) -> list[float]:
    for source in _sources(dataset, frame, "PixelMeasuresSequence"):
        if source.get("PixelSpacing"):
            return [float(mm) for mm in source.PixelSpacing][::-1]
    raise ValueError("no spacing")


@functools.cache
def scan_of_labels() -> Scan:
    """The scan that SEG and RTSTRUCT are of."""
    folder = Path(tempfile.mkdtemp(prefix="pe_nnunet_fuzz_scan_"))
    for k, content in enumerate(plain_series()):
        (folder / f"IM{k}.dcm").write_bytes(content)
    (ref,) = find_scans(folder)
    scan = read_scan(ref)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    return scan


def read_label(folder: Path) -> Any:
    """A SEG or RTSTRUCT on the grid of its scan."""
    return read_dicom_label(folder / "label.dcm", scan_of_labels())


def compare_seg(folder: Path, found: Any) -> str:
    """Which voxels are set, by the frames' positions."""
    image = scan_of_labels().image
    got = sitk.GetArrayFromImage(found[0]) > 0
    expected = np.zeros(got.shape, bool)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset: Any = pydicom.dcmread(folder / "label.dcm", force=True)
            for frame, plane in enumerate(_seg_planes(dataset)):
                place = np.array(_place(dataset, frame)) - image.GetOrigin()
                x, y, z = place / image.GetSpacing()
                off = max(abs(v - round(v)) for v in (x, y, z))
                if off > 0.05 or plane.shape != got.shape[1:] or round(x) or round(y):
                    return ""  # a grid of its own, which is resampled: not what is compared here
                expected[round(z)] |= plane
        except Exception as error:
            raise RefusedError(f"{type(error).__name__}: {str(error)[:150]}") from error
    count = np.count_nonzero(got != expected)
    return f"{count} voxels differ" if count else ""


def _seg_planes(dataset: Any) -> np.ndarray:
    count, rows, columns = int(dataset.get("NumberOfFrames", 1)), int(dataset.Rows), int(dataset.Columns)
    syntax = pydicom.uid.UID(str(dataset.file_meta.get("TransferSyntaxUID") or ""))
    kind = dataset.get("SegmentationType") or "LABELMAP"  # which label maps need not say
    if kind == "BINARY" and not (syntax and syntax.is_encapsulated):
        bits = np.unpackbits(np.frombuffer(dataset.PixelData, "u1"), bitorder="little")
        return bits[: count * rows * columns].reshape(count, rows, columns) > 0
    if not syntax:  # as it was read
        implicit = dataset.original_encoding[0]
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    frames = [pydicom.pixels.pixel_array(dataset, index=k) for k in range(count)]
    values = np.stack(frames).reshape(count, rows, columns)
    if kind == "FRACTIONAL":
        return 2 * values.astype(int) >= int(dataset.MaximumFractionalValue)
    return values > 0


def compare_rtstruct(folder: Path, found: Any) -> str:
    """Which voxels are set: all that lie well within one contour of a slice, and none that lie well outside all."""
    from matplotlib.path import Path as Polygon

    image = scan_of_labels().image
    got = sitk.GetArrayFromImage(found[0]) > 0
    told = any(note.code in {"PE-SEG-005", "PE-SEG-007"} for note in found[1])
    drawn: dict[int, list[np.ndarray]] = {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset: Any = pydicom.dcmread(folder / "label.dcm", force=True)
            for region in dataset.ROIContourSequence:
                for contour in region.get("ContourSequence") or []:
                    data = contour.ContourData
                    data = data.decode("ascii").strip("\0 ").split("\\") if isinstance(data, bytes) else data
                    numbers = [float(str(v)) for v in data]  # by another VR, names
                    points = (np.array(numbers).reshape(-1, 3) - image.GetOrigin()) / image.GetSpacing()
                    drawn.setdefault(round(float(points[:, 2].mean())), []).append(points[:, :2])
    except Exception as error:
        if told:  # contours that were left out, or regions without any, as the note says
            return ""
        raise RefusedError(f"{type(error).__name__}: {str(error)[:150]}") from error
    y, x = np.indices(got.shape[1:])
    pixels = np.stack([x.ravel(), y.ravel()], axis=1)
    near = [(dx, dy) for dx in (-0.6, 0, 0.6) for dy in (-0.6, 0, 0.6)]
    for k in range(got.shape[0]):
        any_near = np.zeros(got.shape[1:], bool)
        all_near = []
        for points in drawn.get(k, []):
            if len(points) < 3:
                any_near |= np.hypot(x - points[0, 0], y - points[0, 1]) < 1.5
                continue
            hits = [Polygon(points).contains_points(pixels + shift).reshape(got.shape[1:]) for shift in near]
            any_near |= np.any(hits, axis=0)
            all_near.append(np.all(hits, axis=0))
        if (got[k] & ~any_near).any() and not any(len(points) < 3 for points in drawn.get(k, [])):
            return f"slice {k}: {np.count_nonzero(got[k] & ~any_near)} voxels outside all contours"
        if len(all_near) == 1 and (all_near[0] & ~got[k]).any() and not found[1]:
            return f"slice {k}: {np.count_nonzero(all_near[0] & ~got[k])} voxels within its contour are not set"
    return ""
