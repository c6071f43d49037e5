"""A small thorax, DICOM series made from it, and the real data where they are."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import CTImageStorage, SegmentationStorage, generate_uid

from pe_nnunet.volumes import ScanRef, find_scans, write_dicom_series

Edit = Callable[[pydicom.Dataset, int], None]
MakeSeries = Callable[..., Path]


@pytest.fixture
def thorax() -> sitk.Image:
    """Air, a body, two lungs: 24 x 20 pixels, eight slices, every voxel its own value where noise allows."""
    z, y, x = np.mgrid[:8, :20, :24]
    hu = np.full(z.shape, -1000)
    hu[((y - 9.5) / 9) ** 2 + ((x - 11.5) / 11) ** 2 < 1] = 40
    for centre in (6, 17):
        hu[((y - 9.5) / 6) ** 2 + ((x - centre) / 3.5) ** 2 < 1] = -850
    hu += np.random.default_rng(0).integers(-20, 20, hu.shape)
    image = sitk.GetImageFromArray(hu.astype(np.int16))
    image.SetSpacing((1.5, 1.25, 2.5))
    image.SetOrigin((-20.0, 31.5, 700.25))
    return image


@pytest.fixture
def make_series(thorax: sitk.Image, tmp_path: Path) -> MakeSeries:
    """Write the thorax as DICOM below `tmp_path`, with an edit of each slice's data set; slice 0 is the lowest."""

    def make(
        name: str = "scan", edit: Edit | None = None, *, image: sitk.Image | None = None, patient: str = "P1"
    ) -> Path:
        folder = tmp_path / name
        write_dicom_series(thorax if image is None else image, folder, patient_id=patient, series_description="CTPA")
        for k, path in enumerate(sorted(folder.iterdir())):
            if edit is not None:
                dataset = pydicom.dcmread(path)
                edit(dataset, k)
                dataset.save_as(path)
        return folder

    return make


@pytest.fixture
def add_time_point() -> Callable[[Path], None]:
    """Add a second time point to a series: every slice again, 30 HU brighter, of another acquisition."""

    def add(folder: Path) -> None:
        for k, path in enumerate(sorted(folder.iterdir())):
            dataset = pydicom.dcmread(path)
            dataset.PixelData = (dataset.pixel_array + 30).astype("<i2").tobytes()
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            dataset.AcquisitionNumber = 2
            dataset.save_as(folder / f"second{k}.dcm")

    return add


@pytest.fixture
def only() -> Callable[[Path], ScanRef]:
    """The one scan that a path holds."""

    def find(path: Path) -> ScanRef:
        (ref,) = find_scans(path)
        return ref

    return find


@pytest.fixture(scope="session")
def unpacked(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Unpack an archive of the real data once."""
    folders: dict[str, Path] = {}

    def unpack(name: str) -> Path:
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp("unpacked")
            with tarfile.open(real_data / name) as archive:
                for member in archive.getmembers():  # Python 3.10 has no extraction filters in all its releases
                    if member.isfile():
                        member.name = Path(member.name).name
                        archive.extract(member, folders[name])
        return folders[name]

    return unpack


@pytest.fixture
def write_enhanced() -> Callable[[sitk.Image, Path], pydicom.Dataset]:
    """Write an image as one enhanced CT file."""
    return _enhanced


def _enhanced(thorax: sitk.Image, path: Path) -> pydicom.Dataset:
    """The thorax as one enhanced CT file, frames in a scrambled order."""
    hu = sitk.GetArrayFromImage(thorax)
    order = np.random.default_rng(1).permutation(len(hu))
    ds = pydicom.Dataset()
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = pydicom.uid.EnhancedCTImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = pydicom.uid.generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = pydicom.uid.generate_uid(), pydicom.uid.generate_uid()
    ds.Modality, ds.PatientID, ds.ImageType = "CT", "P1", ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.NumberOfFrames, ds.Rows, ds.Columns = hu.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    measures, orientation, shared = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
    measures.PixelSpacing, measures.SliceThickness = [1.25, 1.5], 2.5
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    ds.SharedFunctionalGroupsSequence = [shared]
    ds.PerFrameFunctionalGroupsSequence = []
    for k in order:
        position, transformation, frame = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
        position.ImagePositionPatient = list(thorax.TransformIndexToPhysicalPoint((0, 0, int(k))))
        transformation.RescaleSlope, transformation.RescaleIntercept = 1, -100 * (int(k) % 2)
        transformation.RescaleType = "HU"
        frame.PlanePositionSequence = [position]
        frame.PixelValueTransformationSequence = [transformation]
        ds.PerFrameFunctionalGroupsSequence.append(frame)
    stored = hu + 100 * (np.arange(len(hu)) % 2)[:, None, None]
    ds.PixelData = stored[order].astype("<i2").tobytes()
    path.parent.mkdir(exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
    return ds


@dataclass(frozen=True)
class Frame:
    """A frame of a SEG: set pixels (rows, columns), and where they lie; `sources` are SOPInstanceUIDs."""

    pixels: Any
    position_mm: Sequence[float]
    axes: Sequence[float]  # direction cosines along a row, then along a column
    pixel_mm: Sequence[float]  # between rows, between columns
    segment: int = 1
    sources: Sequence[str] = ()


@pytest.fixture(scope="session")
def make_seg() -> Callable[..., pydicom.Dataset]:
    """Make a SEG of nothing but frames, element by element: without what dcmqi and 3D Slicer do not write either."""
    return _seg


def _seg(
    frames: Sequence[Frame], frame_of_reference: str, *, names: Sequence[str] = ("PE",), kind: str = "BINARY"
) -> Any:
    planes = np.array([frame.pixels for frame in frames])
    ds = item(
        SOPClassUID=SegmentationStorage,
        SOPInstanceUID=generate_uid(),
        Modality="SEG",
        FrameOfReferenceUID=frame_of_reference,
        SegmentationType=kind,
        NumberOfFrames=len(frames),
        Rows=planes.shape[1],
        Columns=planes.shape[2],
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        PixelRepresentation=0,
        SegmentSequence=[item(SegmentNumber=k, SegmentLabel=name) for k, name in enumerate(names, 1)],
        SharedFunctionalGroupsSequence=[item()],
        PerFrameFunctionalGroupsSequence=[_functional_groups(frame, kind) for frame in frames],
    )
    bits = 1 if kind == "BINARY" else 8
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = bits, bits, bits - 1
    if kind == "FRACTIONAL":
        ds.MaximumFractionalValue, ds.SegmentationFractionalType = 200, "PROBABILITY"
    packed = np.packbits(planes.ravel() > 0, bitorder="little") if bits == 1 else planes.astype(np.uint8)
    ds.add_new("PixelData", "OB", packed.tobytes() + b"\0" * (packed.size % 2))
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    return ds


def _functional_groups(frame: Frame, kind: str) -> pydicom.Dataset:
    groups = item(
        PlanePositionSequence=[item(ImagePositionPatient=[f"{mm:.9g}" for mm in frame.position_mm])],
        PlaneOrientationSequence=[item(ImageOrientationPatient=[f"{v:.10f}" for v in frame.axes])],
        PixelMeasuresSequence=[item(PixelSpacing=[f"{mm:.9g}" for mm in frame.pixel_mm])],
    )
    if kind != "LABELMAP":
        groups.SegmentIdentificationSequence = [item(ReferencedSegmentNumber=frame.segment)]
    if frame.sources:
        images = [item(ReferencedSOPClassUID=CTImageStorage, ReferencedSOPInstanceUID=uid) for uid in frame.sources]
        groups.DerivationImageSequence = [item(SourceImageSequence=images)]
    return groups


def item(**elements: Any) -> pydicom.Dataset:
    """A data set of these elements."""
    dataset = pydicom.Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset
