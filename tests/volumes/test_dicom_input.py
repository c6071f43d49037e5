"""What a DICOM series can be like, and what it then gets: refused with a code, repaired with a note, or noted."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    MRImageStorage,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from pe_nnunet.errors import InputError
from pe_nnunet.volumes import read_scan, require_same_grid, require_volume, to_lps
from pe_nnunet.volumes.dicom import pixels as dicom_pixels


def codes(scan) -> list[str]:
    return [note.code for note in scan.notes]


def voxels(scan) -> np.ndarray:
    return sitk.GetArrayFromImage(scan.image)


def test_a_plain_series(make_series, only, thorax: sitk.Image) -> None:
    folder = make_series(patient="P1")
    scan = read_scan(only(folder))
    assert np.array_equal(voxels(scan), sitk.GetArrayFromImage(thorax))
    assert scan.image.GetPixelID() == sitk.sitkInt16
    require_same_grid(thorax, scan.image, "what was read")
    assert scan.notes == ()
    datasets = [pydicom.dcmread(path) for path in sorted(folder.iterdir())]
    info = scan.dicom
    assert info is not None
    assert info.sop_instance_uids == tuple(d.SOPInstanceUID for d in datasets)
    assert info.files == tuple(sorted(folder.iterdir()))
    assert (info.study_uid, info.series_uid) == (datasets[0].StudyInstanceUID, datasets[0].SeriesInstanceUID)
    assert info.frame_of_reference_uid == datasets[0].FrameOfReferenceUID
    assert re.fullmatch("[0-9a-f]{16}", info.patient_key)
    assert "P1" not in repr(info)


def test_positions_decide_not_numbers_or_locations(make_series, only, thorax: sitk.Image) -> None:
    def edit(ds: pydicom.Dataset, k: int) -> None:
        ds.InstanceNumber, ds.SliceLocation = 8 - k, 1000 - 13 * k * k

    scan = read_scan(only(make_series(edit=edit)))
    assert np.array_equal(voxels(scan), sitk.GetArrayFromImage(thorax))


def test_1_a_missing_slice(make_series, only) -> None:
    folder = make_series("scan")
    (folder / "IM00004.dcm").unlink()
    (folder / "IM00005.dcm").unlink()
    message = r"PE-DCM-001: scan: about 2 slice\(s\) missing .* after the slice at \(-20.0, 31.5, 705.2\) mm"
    with pytest.raises(InputError, match=message):
        read_scan(only(folder))


def test_1_a_missing_slice_among_three(make_series, only) -> None:
    folder = make_series()
    for k in (2, 5, 6, 7, 8):
        (folder / f"IM{k:05d}.dcm").unlink()
    with pytest.raises(InputError, match="PE-DCM-001"):
        read_scan(only(folder))


def test_2_duplicates(make_series, only, thorax: sitk.Image) -> None:
    folder = make_series()
    before = read_scan(only(folder))
    shutil.copy(folder / "IM00003.dcm", folder / "copy.dcm")
    scan = read_scan(only(folder))
    assert codes(scan) == ["PE-DCM-002"]
    assert np.array_equal(voxels(scan), voxels(before))
    assert scan.dicom.sop_instance_uids == before.dicom.sop_instance_uids
    other = pydicom.dcmread(folder / "copy.dcm")
    other.PixelData = bytes(len(other.PixelData))
    other.save_as(folder / "copy.dcm")
    with pytest.raises(InputError, match=r"PE-DCM-003.*IM00003.dcm and copy.dcm"):
        read_scan(only(folder))


def test_3_gantry_tilt(make_series, only) -> None:
    def shear(ds: pydicom.Dataset, k: int) -> None:
        ds.ImagePositionPatient[1] = float(ds.ImagePositionPatient[1]) + 0.8 * k

    with pytest.raises(InputError, match=r"PE-DCM-004.*5.6 mm .* 17.7 degrees"):
        read_scan(only(make_series(edit=shear)))


def test_5_a_localizer_inside_the_series(make_series, only) -> None:
    def edit(ds: pydicom.Dataset, k: int) -> None:
        if k == 0:
            ds.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
            ds.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]

    scan = read_scan(only(make_series(edit=edit)))
    assert scan.image.GetSize() == (24, 20, 7)
    assert [str(note) for note in scan.notes] == ["PE-DCM-006 repaired: left out of the series: 1 localizer"]


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("PixelSpacing", [1.25, 1.6]), ("ImageOrientationPatient", [1, 0, 0, 0, 0.98, 0.198997])],
)
def test_6_geometry_varies(make_series, only, keyword: str, value: list[float]) -> None:
    def edit(ds: pydicom.Dataset, k: int) -> None:
        if k == 4:
            setattr(ds, keyword, value)

    with pytest.raises(InputError, match=rf"PE-DCM-007.*{keyword} varies.*IM00001.dcm.*IM00005.dcm"):
        read_scan(only(make_series(edit=edit)))


def test_6_size_varies_by_one_row(make_series, only) -> None:
    def edit(ds: pydicom.Dataset, k: int) -> None:
        if k == 4:
            ds.Rows, ds.PixelData = 19, ds.PixelData[: 19 * 24 * 2]

    with pytest.raises(InputError, match=r"PE-DCM-007.*the size \(rows, columns\).*\(20, 24\).*\(19, 24\)"):
        read_scan(only(make_series(edit=edit)))


def test_6_increment_varies(make_series, only) -> None:
    def edit(ds: pydicom.Dataset, k: int) -> None:
        ds.ImagePositionPatient[2] = 700 + 2.5 * k + (0.6 * (k - 4) if k > 4 else 0)

    with pytest.raises(InputError, match=r"PE-DCM-007.*varies from 2.500 to 3.100 mm"):
        read_scan(only(make_series(edit=edit)))


def test_6_positions_rounded_to_a_tenth_are_uniform(make_series, only) -> None:
    def edit(ds: pydicom.Dataset, k: int) -> None:
        ds.ImagePositionPatient[2] = round(700 + 1.25 * k, 1)

    scan = read_scan(only(make_series(edit=edit)))
    assert scan.image.GetSpacing()[2] == pytest.approx(1.25, abs=0.02)


@pytest.mark.parametrize(("sop_class", "modality"), [(MRImageStorage, "MR"), (SecondaryCaptureImageStorage, "CT")])
def test_7_not_ct(make_series, only, sop_class: str, modality: str) -> None:
    def edit(ds: pydicom.Dataset, k: int) -> None:
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = sop_class
        ds.Modality = modality

    with pytest.raises(InputError, match=rf"PE-DCM-008.*found 8 {modality}"):
        read_scan(only(make_series(edit=edit)))


def test_8_no_rescale(make_series, only, thorax: sitk.Image) -> None:
    def edit(ds: pydicom.Dataset, k: int) -> None:
        del ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType

    ref = only(make_series(edit=edit))
    with pytest.raises(InputError, match=r"PE-DCM-009.*--assume-hu"):
        read_scan(ref)
    assert np.array_equal(voxels(read_scan(ref, assume_hu=True)), sitk.GetArrayFromImage(thorax))


def test_8_rescale_to_something_else(make_series, only) -> None:
    def edit(ds: pydicom.Dataset, k: int) -> None:
        ds.RescaleType = "US"

    ref = only(make_series(edit=edit))
    with pytest.raises(InputError, match=r"PE-DCM-010.*'US', expected HU"):
        read_scan(ref)
    assert read_scan(ref, assume_hu=True).image.GetSize() == (24, 20, 8)


def test_8_each_slice_has_its_own_slope(make_series, only, thorax: sitk.Image) -> None:
    def edit(ds: pydicom.Dataset, k: int) -> None:
        if k % 2:
            ds.PixelData = ((ds.pixel_array.astype(np.int32) + 1024) * 2).astype("<i2").tobytes()
            ds.RescaleSlope, ds.RescaleIntercept = 0.5, -1024

    scan = read_scan(only(make_series(edit=edit)))
    assert codes(scan) == ["PE-DCM-025"]
    assert scan.image.GetPixelID() == sitk.sitkFloat32
    assert np.array_equal(voxels(scan), sitk.GetArrayFromImage(thorax))


@pytest.mark.parametrize(
    ("stored", "declared", "signed"),
    [(-2000, -2000, True), (-3024, None, True), (-2000, 63536, True), (63536, None, False), (-1100, -1100, True)],
)
def test_9_padding(make_series, only, stored: int, declared: int | None, signed: bool) -> None:
    """As the header declares it, with either sign, and as it is known from scanners."""

    def edit(ds: pydicom.Dataset, k: int) -> None:
        values = ds.pixel_array.astype(np.int32) + (0 if signed else 1024)
        values[:, :2] = stored
        ds.PixelData = values.astype("<i2" if signed else "<u2").tobytes()
        ds.PixelRepresentation, ds.RescaleIntercept = int(signed), 0 if signed else -1024
        if declared is not None:
            ds.add_new("PixelPaddingValue", "US" if declared > 0 else "SS", declared)

    scan = read_scan(only(make_series(edit=edit)))
    assert codes(scan) == ["PE-DCM-011"]
    assert "320 voxels" in scan.notes[0].message
    hu = voxels(scan)
    assert (hu[:, :, :2] == -1024).all()
    assert (hu[:, :, 2:] > -1024).all()


def test_9_a_padding_value_within_tissue_blanks_nothing(make_series, only, thorax: sitk.Image) -> None:
    def edit(ds: pydicom.Dataset, k: int) -> None:
        ds.add_new("PixelPaddingValue", "SS", 40)

    scan = read_scan(only(make_series(edit=edit)))
    assert scan.notes == ()
    assert np.array_equal(voxels(scan), sitk.GetArrayFromImage(thorax))


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, RLELossless]
)
def test_11_transfer_syntaxes(make_series, only, thorax: sitk.Image, syntax: str) -> None:
    folder = make_series()
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        if syntax == RLELossless:
            dataset.compress(syntax, generate_instance_uid=False)
            dataset.save_as(path)
            continue
        if syntax == ExplicitVRBigEndian:
            dataset.PixelData = dataset.pixel_array.astype(">i2").tobytes()
        dataset.file_meta.TransferSyntaxUID = syntax
        little = syntax != ExplicitVRBigEndian
        pydicom.dcmwrite(
            path, dataset, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=little, force_encoding=not little
        )
    assert np.array_equal(voxels(read_scan(only(folder))), sitk.GetArrayFromImage(thorax))


@pytest.mark.filterwarnings("ignore:Expected .* VR", "ignore:.*excess padding")
@pytest.mark.parametrize("declared", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("behind", [b"", bytes(6)], ids=["whole", "padded"])
def test_elements_that_are_not_encoded_as_declared(
    make_series, only, thorax: sitk.Image, declared: str, behind: bytes
) -> None:
    folder = make_series()
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        dataset.PixelData += behind  # some writers pad the element
        dataset.add_new(0xFFFCFFFC, "OB", bytes(20))  # trailing padding
        dataset.file_meta.TransferSyntaxUID = declared
        implicit = declared == ExplicitVRLittleEndian
        pydicom.dcmwrite(path, dataset, implicit_vr=implicit, little_endian=True, force_encoding=True)
        assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == declared
    assert np.array_equal(voxels(read_scan(only(folder))), sitk.GetArrayFromImage(thorax))


def encapsulated(ds: pydicom.Dataset, frame: bytes, syntax: str) -> None:
    ds.file_meta.TransferSyntaxUID = syntax
    ds.PixelData = pydicom.encaps.encapsulate([frame])
    ds["PixelData"].is_undefined_length = True


@pytest.mark.parametrize(("compressor", "syntax"), [("JPEG", JPEGLosslessSV1), ("JPEG2000", JPEG2000Lossless)])
def test_11_lossless_jpeg_of_signed_pixels(
    make_series, only, thorax: sitk.Image, tmp_path: Path, compressor: str, syntax: str
) -> None:
    def edit(ds: pydicom.Dataset, k: int) -> None:
        writer = sitk.ImageFileWriter()
        writer.SetImageIO("GDCMImageIO")
        writer.SetFileName(str(tmp_path / "encoded.dcm"))
        writer.UseCompressionOn()
        writer.SetCompressor(compressor)
        writer.Execute(thorax[:, :, k : k + 1])
        encoded = pydicom.dcmread(tmp_path / "encoded.dcm")
        assert encoded.file_meta.TransferSyntaxUID == syntax
        encapsulated(ds, next(pydicom.encaps.generate_frames(encoded.PixelData, number_of_frames=1)), syntax)

    assert np.array_equal(voxels(read_scan(only(make_series(edit=edit)))), sitk.GetArrayFromImage(thorax))


def test_11_jpeg_ls_of_signed_pixels(make_series, only) -> None:
    """Eight by six pixels as CharLS encodes them."""
    codestream = bytes.fromhex(
        "ffd8fff7000b100006000801011100fff8000d01ffff0012004301140040ffda00080101000000003e744988f22c87419fcf72844a8912"
        "348942a044ac9d3e9e4ea716d6912326595857654008020024a8020100328555448d93a9a928a827a7a440ffd9"
    )
    expected = (np.arange(48) * 37 % 2000 - 1000).astype(np.int16).reshape(6, 8)
    image = sitk.GetImageFromArray(np.repeat(expected[None], 4, axis=0))
    folder = make_series(image=image, edit=lambda ds, k: encapsulated(ds, codestream, JPEGLSLossless))
    assert np.array_equal(voxels(read_scan(only(folder)))[2], expected)


@pytest.mark.parametrize("error_hu", [0, 2])
def test_11_jpeg_ls_lossless_and_near_lossless(make_series, only, thorax: sitk.Image, error_hu: int) -> None:
    """CharLS encodes, by pyjpegls; near-lossless keeps every pixel within its bound."""

    def edit(ds: pydicom.Dataset, k: int) -> None:
        stored = (ds.pixel_array.astype(np.int32) + 1024).astype("<u2")
        ds.PixelData, ds.PixelRepresentation, ds.RescaleIntercept = stored.tobytes(), 0, -1024
        options = {"jls_error": error_hu} if error_hu else {}
        ds.compress(JPEGLSNearLossless if error_hu else JPEGLSLossless, generate_instance_uid=False, **options)

    off = voxels(read_scan(only(make_series(edit=edit)))).astype(int) - sitk.GetArrayFromImage(thorax)
    assert np.abs(off).max() <= error_hu
    assert (np.abs(off).max() > 0) == (error_hu > 0)


def test_11_a_syntax_that_nothing_decodes_names_the_package(make_series, only, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicom_pixels, "_pydicom_decodes", lambda syntax: False)  # as without the extra `codecs`

    def edit(ds: pydicom.Dataset, k: int) -> None:
        encapsulated(ds, b"\xff\x4f\xff\x51" + bytes(60), "1.2.840.10008.1.2.4.201")  # high-throughput JPEG 2000

    with pytest.raises(Exception, match=r"PE-DCM-014.*High-Throughput.*pe-nnunet\[codecs\]"):
        read_scan(only(make_series(edit=edit)))


def test_11_eight_bits(make_series, only) -> None:
    def edit(ds: pydicom.Dataset, k: int) -> None:
        ds.PixelData = ds.pixel_array.astype(np.uint8).tobytes()
        ds.BitsAllocated = ds.BitsStored = 8
        ds.HighBit, ds.PixelRepresentation = 7, 0

    with pytest.raises(InputError, match=r"PE-DCM-013.*8 bits"):
        read_scan(only(make_series(edit=edit)))


def test_overlays_in_the_unused_bits_are_no_pixels(make_series, only, thorax: sitk.Image) -> None:
    """Scanners of the nineties kept an overlay in bit 12 to 15."""

    def edit(ds: pydicom.Dataset, k: int) -> None:
        values = (ds.pixel_array.astype(np.int32) + 1024).astype("<u2")
        values[::3] |= 0x8000
        ds.PixelData, ds.PixelRepresentation = values.tobytes(), 0
        ds.BitsStored, ds.HighBit, ds.RescaleIntercept = 12, 11, -1024

    assert np.array_equal(voxels(read_scan(only(make_series(edit=edit)))), sitk.GetArrayFromImage(thorax))


def test_12_no_preamble(make_series, only, thorax: sitk.Image) -> None:
    folder = make_series()
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        del dataset.file_meta
        dataset.preamble = None
        dataset.save_as(path, implicit_vr=True, little_endian=True)
    scan = read_scan(only(folder))
    assert codes(scan) == ["PE-DCM-015"]
    assert np.array_equal(voxels(scan), sitk.GetArrayFromImage(thorax))


@pytest.mark.parametrize("keyword", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"])
@pytest.mark.parametrize("how", ["absent", "empty", "broken"])
def test_13_no_geometry(make_series, only, keyword: str, how: str) -> None:
    def edit(ds: pydicom.Dataset, k: int) -> None:
        if k != 3:
            return
        if how == "absent":
            delattr(ds, keyword)
        elif how == "empty":
            setattr(ds, keyword, None)
        else:
            setattr(ds, keyword, [0.0] * len(ds[keyword].value))

    folder = make_series(edit=edit)
    if how == "broken" and keyword == "ImagePositionPatient":
        with pytest.raises(InputError, match=r"PE-DCM-00[14]"):  # a position far from the others
            read_scan(only(folder))
        return
    with pytest.raises(InputError, match=rf"PE-DCM-0(16|07).*(IM00004.dcm|{keyword})"):
        read_scan(only(folder))


def test_14_thickness_unlike_increment(make_series, only) -> None:
    def edit(ds: pydicom.Dataset, k: int) -> None:
        ds.SliceThickness = 5

    scan = read_scan(only(make_series(edit=edit)))
    assert codes(scan) == ["PE-DCM-017"]
    assert scan.image.GetSpacing()[2] == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        ("feet first", (-1, 0, 0, 0, 1, 0, 0, 0, -1)),
        ("prone", (-1, 0, 0, 0, -1, 0, 0, 0, 1)),
        ("sagittal", (0, 0, -1, 1, 0, 0, 0, -1, 0)),
        ("coronal", (1, 0, 0, 0, 0, 1, 0, -1, 0)),
    ],
)
def test_15_other_orientations(make_series, only, thorax: sitk.Image, name: str, direction: tuple[float, ...]) -> None:
    thorax.SetDirection(direction)
    scan = read_scan(only(make_series(image=thorax)))
    require_same_grid(thorax, scan.image, name)
    assert np.array_equal(voxels(scan), sitk.GetArrayFromImage(thorax))
    assert np.allclose(to_lps(scan.image).GetDirection(), np.eye(3).ravel())


@pytest.mark.parametrize(("photometric", "samples"), [("MONOCHROME1", 1), ("RGB", 3)])
def test_16_colour_or_inverted(make_series, only, photometric: str, samples: int) -> None:
    def edit(ds: pydicom.Dataset, k: int) -> None:
        ds.PhotometricInterpretation, ds.SamplesPerPixel = photometric, samples

    with pytest.raises(InputError, match=rf"PE-DCM-018.*{photometric}"):
        read_scan(only(make_series(edit=edit)))


def test_18_few_slices(make_series, only) -> None:
    folder = make_series()
    for k in range(4, 9):
        (folder / f"IM{k:05d}.dcm").unlink()
    scan = read_scan(only(folder))
    assert codes(scan) == ["PE-DCM-019"]
    with pytest.raises(InputError, match="PE-DCM-019: scan has 3 slice"):
        require_volume(scan.image, "scan")
    one = read_scan(only(folder / "IM00001.dcm"))
    assert one.image.GetSize() == (24, 20, 1)
    assert one.image.GetSpacing()[2] == pytest.approx(2.5), "the thickness"


def test_19_two_patients_or_studies(make_series, only) -> None:
    def other_patient(ds: pydicom.Dataset, k: int) -> None:
        if k > 5:
            ds.PatientID = "P2"

    def other_study(ds: pydicom.Dataset, k: int) -> None:
        if k > 5:
            ds.StudyInstanceUID = "1.2.3"

    with pytest.raises(InputError, match=r"PE-DCM-020.*2 patients"):
        read_scan(only(make_series("a", other_patient)))
    with pytest.raises(InputError, match=r"PE-DCM-020.*2 studies"):
        read_scan(only(make_series("b", other_study)))


def test_20_several_time_points(make_series, add_time_point, only) -> None:
    folder = make_series()
    add_time_point(folder)
    with pytest.raises(InputError, match=r"PE-DCM-021.*8 of 8 positions"):
        read_scan(only(folder))


def test_21_no_patient_id_and_foreign_names(make_series, only) -> None:
    def edit(ds: pydicom.Dataset, k: int) -> None:
        ds.PatientID, ds.PatientName = "", "Łukasz^Żółć"
        ds.SeriesDescription = "../../etc"

    scan = read_scan(only(make_series("scan", edit)))
    assert codes(scan) == ["PE-DCM-023"]
    assert scan.case_id == "scan"
    assert len(scan.dicom.patient_key) == 16


def test_25_stored_values_with_an_offset_are_no_hu(make_series, only) -> None:
    def edit(ds: pydicom.Dataset, k: int) -> None:
        ds.RescaleIntercept = 1024

    ref = only(make_series(edit=edit))
    with pytest.raises(InputError, match=r"PE-HU-001: scan: .*HU \+ 1024"):
        read_scan(ref)
    assert voxels(read_scan(ref, assume_hu=True)).min() >= 0


@pytest.mark.parametrize("share", [0.4, 0.9, 0.995])
def test_truncated_files(make_series, only, share: float) -> None:
    folder = make_series()
    path = folder / "IM00004.dcm"
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputError, match=r"PE-DCM-022: .*scan: .*IM00004.dcm"):
        read_scan(only(folder))


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("PixelRepresentation", None), ("SamplesPerPixel", None), ("BitsStored", 17), ("PixelData", bytes(958))],
)
def test_what_pydicom_refuses_is_refused(make_series, only, keyword: str, value: object) -> None:
    def edit(dataset: pydicom.Dataset, k: int) -> None:
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
            dataset.add_new(0xFFFCFFFC, "OB", bytes(50))  # the file's length is no evidence

    with pytest.raises(InputError, match=r"PE-DCM-022: the pixel data of scan: IM00001.dcm are"):
        read_scan(only(make_series(edit=edit)))


def test_10_enhanced_multi_frame(only, thorax: sitk.Image, tmp_path: Path, write_enhanced) -> None:
    ds = write_enhanced(thorax, tmp_path / "multi.dcm")
    scan = read_scan(only(tmp_path / "multi.dcm"))
    require_same_grid(thorax, scan.image, "what was read")
    assert np.array_equal(voxels(scan), sitk.GetArrayFromImage(thorax))
    assert codes(scan) == ["PE-DCM-025"]
    assert scan.dicom.sop_instance_uids == (ds.SOPInstanceUID,) * 8
    del ds.PerFrameFunctionalGroupsSequence[2].PlanePositionSequence
    ds.ImagePositionPatient = [0, 0, 0]
    ds.save_as(tmp_path / "multi.dcm")
    with pytest.raises(InputError, match=r"PE-DCM-016.*ImagePositionPatient"):
        read_scan(only(tmp_path / "multi.dcm"))
