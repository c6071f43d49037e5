from __future__ import annotations

import hashlib
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pe_nnunet.errors import OutputError
from pe_nnunet.volumes import find_scans, from_lps, read_scan, require_same_grid, to_lps, write_dicom_series

unit = st.floats(-1, 1).filter(lambda v: abs(v) > 1e-3)


def read_back(folder: Path) -> sitk.Image:
    (ref,) = find_scans(folder)
    return read_scan(ref, assume_hu=True).image


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(  # two orders of the axes are as near to LPS as each other
    axis=(1.0, 1.0, 0.125), angle=1.25, origin=(0.0, 0.0, 0.0), spacing=(1.0, 1.0, 1.0), mirrored=False
)
@given(
    axis=st.tuples(unit, unit, unit),
    angle=st.floats(-3.2, 3.2),
    origin=st.tuples(*[st.floats(-3000, 3000)] * 3),
    spacing=st.tuples(*[st.floats(0.3, 6)] * 3),
    mirrored=st.booleans(),
)
def test_any_orthonormal_direction_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
    axis: tuple[float, float, float],
    angle: float,
    origin: tuple[float, float, float],
    spacing: tuple[float, float, float],
    mirrored: bool,
) -> None:
    direction = np.array(sitk.VersorTransform(axis, angle).GetMatrix()).reshape(3, 3)
    if mirrored:
        direction = direction @ np.diag([1.0, 1.0, -1.0])
    hu = np.random.default_rng(0).integers(-1024, 3071, (4, 3, 5)).astype(np.int16)
    image = sitk.GetImageFromArray(hu)
    image.SetOrigin(origin)
    image.SetSpacing(spacing)
    image.SetDirection(direction.ravel().tolist())
    folder = tmp_path_factory.mktemp("series")
    write_dicom_series(image, folder, patient_id="P")
    back = read_back(folder)
    if not mirrored:  # DICOM stacks are right-handed: a mirrored one comes back with its slices turned round
        require_same_grid(image, back, "what was read")
        assert np.array_equal(sitk.GetArrayFromImage(back), hu)
        assert np.allclose(back.GetDirection(), image.GetDirection(), atol=1e-9)
        assert np.allclose(back.GetOrigin(), image.GetOrigin(), atol=1e-6)
        assert np.allclose(back.GetSpacing(), image.GetSpacing(), rtol=1e-6)
    else:
        assert np.array_equal(sitk.GetArrayFromImage(back)[::-1], hu)
    require_same_grid(to_lps(image), to_lps(back), "what was read, in LPS")


def test_itk_reads_the_same_volume(thorax: sitk.Image, tmp_path: Path) -> None:
    write_dicom_series(thorax, tmp_path / "s", patient_id="P")
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path / "s")))
    by_itk = reader.Execute()
    assert np.array_equal(sitk.GetArrayFromImage(by_itk), sitk.GetArrayFromImage(thorax))
    require_same_grid(thorax, by_itk, "what ITK read")


def test_the_same_input_gives_the_same_bytes_and_other_input_other_uids(thorax: sitk.Image, tmp_path: Path) -> None:
    def digest(name: str, entropy: str = "") -> str:
        write_dicom_series(thorax, tmp_path / name, patient_id="P", entropy=entropy)
        files = sorted((tmp_path / name).iterdir())
        return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()

    assert digest("a") == digest("b") == digest("a")
    assert digest("c", "other") != digest("a")


def test_files_are_whole_ct_image_storage(thorax: sitk.Image, tmp_path: Path) -> None:
    write_dicom_series(thorax, tmp_path, patient_id="Pérez", series_description="CTPA 1.0")
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files][:2] == ["IM00001.dcm", "IM00002.dcm"]
    datasets = [pydicom.dcmread(file) for file in files]
    assert len({d.SOPInstanceUID for d in datasets}) == len(files) == 8
    assert len({(d.SeriesInstanceUID, d.StudyInstanceUID, d.FrameOfReferenceUID) for d in datasets}) == 1
    first = datasets[0]
    assert first.file_meta.MediaStorageSOPInstanceUID == first.SOPInstanceUID
    assert (first.Modality, first.RescaleType, first.PatientID) == ("CT", "HU", "Pérez")
    required = (
        "PatientName PatientBirthDate PatientSex StudyDate StudyTime ReferringPhysicianName StudyID AccessionNumber"
    )
    required += " SeriesNumber Manufacturer ImageType KVP AcquisitionNumber PositionReferenceIndicator PatientPosition"
    assert [name for name in required.split() if name not in first] == []
    assert all(len(str(value)) <= 16 for value in (*first.ImageOrientationPatient, *first.ImagePositionPatient))


def test_whole_numbers_as_floats_are_taken_and_others_refused(thorax: sitk.Image, tmp_path: Path) -> None:
    write_dicom_series(sitk.Cast(thorax, sitk.sitkFloat32), tmp_path / "a", patient_id="P")
    assert np.array_equal(sitk.GetArrayFromImage(read_back(tmp_path / "a")), sitk.GetArrayFromImage(thorax))
    for bad in (sitk.Cast(thorax, sitk.sitkFloat32) + 0.5, sitk.Cast(thorax, sitk.sitkInt32) + 40000):
        with pytest.raises(OutputError, match="PE-OUT-003"):
            write_dicom_series(bad, tmp_path / "b", patient_id="P")
    assert not (tmp_path / "b").exists()


def test_a_folder_with_other_files_is_left_alone(thorax: sitk.Image, tmp_path: Path) -> None:
    (tmp_path / "IM00009.dcm").write_bytes(b"from a longer series")
    with pytest.raises(OutputError, match=r"PE-OUT-002.*IM00009.dcm"):
        write_dicom_series(thorax, tmp_path, patient_id="P")
    assert [file.name for file in tmp_path.iterdir()] == ["IM00009.dcm"]


PROPER = [
    (order, flips)
    for order in permutations(range(3))
    for flips in product((1, -1), repeat=3)
    if np.linalg.det(np.eye(3)[:, order] * flips) > 0
]


def test_all_24_orientations_of_a_series_come_back(thorax: sitk.Image, tmp_path: Path) -> None:
    """A slice stack is right-handed: of the 48 orders and senses of axes it can have half."""
    assert len(PROPER) == 24
    for number, (order, flips) in enumerate(PROPER):
        image = sitk.Image(thorax)
        image.SetDirection((np.eye(3)[:, order] * flips).ravel().tolist())
        write_dicom_series(image, tmp_path / str(number), patient_id="P")
        back = read_back(tmp_path / str(number))
        require_same_grid(image, back, f"{order} {flips}")
        assert np.array_equal(sitk.GetArrayViewFromImage(back), sitk.GetArrayViewFromImage(thorax))
        again = from_lps(to_lps(back), back)
        assert again.GetDirection() == back.GetDirection()
        assert np.array_equal(sitk.GetArrayViewFromImage(again), sitk.GetArrayViewFromImage(thorax))
