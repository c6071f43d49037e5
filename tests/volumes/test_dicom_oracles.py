"""DICOM series of random geometry and encoding, against pydicom, highdicom and the GDCM inside SimpleITK."""

from __future__ import annotations

from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.pixels import apply_modality_lut
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    generate_uid,
)
from pydicom.valuerep import format_number_as_ds

from pe_nnunet.volumes import find_scans, read_scan

SYNTAXES = [
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    RLELossless,
]
BY_GDCM = {ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian}
"""Those that the GDCM of every SimpleITK reads."""

unit = st.floats(-1, 1).filter(lambda v: abs(v) > 1e-3)


def written(
    folder: Path,
    syntax: str,
    direction: np.ndarray,
    origin: tuple[float, ...],
    spacing: tuple[float, ...],
    *,
    stored: int,
    signed: bool,
    slope: float,
    random: np.random.Generator,
) -> list[pydicom.Dataset]:
    """Five slices of random values, 6 x 7 pixels, from the lowest on; names and numbers in another order."""
    series, study, frame = generate_uid(), generate_uid(), generate_uid()
    low, high = (-(1 << stored - 1), 1 << stored - 1) if signed else (0, 1 << stored)
    low, high = max(low, -1400), min(high, 30000)
    names = random.permutation(5)
    datasets = []
    for k in range(5):
        ds = pydicom.Dataset()
        ds.preamble = bytes(128)
        ds.file_meta = pydicom.dataset.FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = CTImageStorage
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        ds.SeriesInstanceUID, ds.StudyInstanceUID, ds.FrameOfReferenceUID = series, study, frame
        ds.Modality, ds.PatientID, ds.InstanceNumber = "CT", "P", int(names[k]) + 1
        ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.ImagePositionPatient = [format_number_as_ds(float(v)) for v in origin + direction[:, 2] * spacing[2] * k]
        ds.ImageOrientationPatient = [format_number_as_ds(float(v)) for v in direction[:, :2].T.ravel()]
        ds.PixelSpacing = [format_number_as_ds(spacing[1]), format_number_as_ds(spacing[0])]
        ds.SliceThickness = format_number_as_ds(spacing[2])
        ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.Rows, ds.Columns = 1, "MONOCHROME2", 6, 7
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, stored, stored - 1, int(signed)
        ds.RescaleSlope, ds.RescaleIntercept = slope, -1024 if not signed else 0
        values = random.integers(low, high, (6, 7)).astype("<i2" if signed else "<u2")
        ds.PixelData = values.astype(">u2").tobytes() if syntax == ExplicitVRBigEndian else values.tobytes()
        if syntax == RLELossless:
            ds.compress(syntax, generate_instance_uid=False)
        ds.file_meta.TransferSyntaxUID = syntax
        pydicom.dcmwrite(
            folder / f"{names[k]}.dcm",
            ds,
            implicit_vr=syntax == ImplicitVRLittleEndian,
            little_endian=syntax != ExplicitVRBigEndian,
            force_encoding=syntax == ExplicitVRBigEndian,
            enforce_file_format=syntax != ExplicitVRBigEndian,
        )
        datasets.append(pydicom.dcmread(folder / f"{names[k]}.dcm"))
    return datasets


def corners(image: sitk.Image) -> np.ndarray:
    """Where the first voxel and the ends of the three axes lie, mm."""
    size = image.GetSize()
    ends = [(0, 0, 0), (size[0] - 1, 0, 0), (0, size[1] - 1, 0), (0, 0, size[2] - 1)]
    return np.array([image.TransformIndexToPhysicalPoint(end) for end in ends])


@settings(max_examples=15, deadline=None)
@given(
    syntax=st.sampled_from(SYNTAXES),
    axis=st.tuples(unit, unit, unit),
    angle=st.floats(-3.2, 3.2),
    origin=st.tuples(*[st.floats(-900, 900)] * 3),
    spacing=st.tuples(*[st.floats(0.3, 6)] * 3),
    stored=st.integers(10, 16),
    signed=st.booleans(),
    slope=st.sampled_from([1.0, 2.0, 0.5]),
    seed=st.integers(0, 1000),
)
def test_a_series_as_three_independent_readers_read_it(
    tmp_path_factory: pytest.TempPathFactory,
    syntax: str,
    axis: tuple[float, float, float],
    angle: float,
    origin: tuple[float, float, float],
    spacing: tuple[float, float, float],
    stored: int,
    signed: bool,
    slope: float,
    seed: int,
) -> None:
    folder = tmp_path_factory.mktemp("series")
    direction = np.array(sitk.VersorTransform(axis, angle).GetMatrix()).reshape(3, 3)
    random = np.random.default_rng(seed)
    datasets = written(
        folder, syntax, direction, origin, spacing, stored=stored, signed=signed, slope=slope, random=random
    )
    (ref,) = find_scans(folder)
    scan = read_scan(ref, assume_hu=True)  # noise is no body
    got = sitk.GetArrayFromImage(scan.image)

    by_pydicom = np.stack([apply_modality_lut(ds.pixel_array, ds) for ds in datasets])
    padding = (by_pydicom <= -1500) | (by_pydicom > 32000)
    assert np.array_equal(got, np.where(padding, -1024, by_pydicom))

    volume = highdicom.get_volume_from_series(datasets)  # (slice, row, column), from the highest slice on
    assert np.allclose(np.where(padding, -1024, volume.array[::-1]), got)
    to_mm = volume.affine @ np.array([[4, 4, 4, 0], [0, 0, 5, 0], [0, 6, 0, 0], [1, 1, 1, 1]])
    assert np.allclose(to_mm[:3].T, corners(scan.image), atol=1e-3)

    if syntax in BY_GDCM:
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames([str(ds.filename) for ds in datasets])
        by_gdcm = reader.Execute()
        assert np.allclose(np.where(padding, -1024, sitk.GetArrayFromImage(by_gdcm)), got)
        assert np.allclose(corners(by_gdcm), corners(scan.image), atol=1e-3)
