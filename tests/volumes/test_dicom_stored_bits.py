"""Pixels that headers describe in unusual ways are read by the standard; those that they contradict are refused."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from PIL import Image
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from pe_nnunet.errors import InputError
from pe_nnunet.volumes import read_scan
from pe_nnunet.volumes.dicom.stored_bits import StoredBits


@pytest.fixture
def thorax(thorax: sitk.Image) -> sitk.Image:
    """Four slices are as good as eight here, and quicker."""
    return thorax[:, :, 2:6]


def codes(scan) -> list[str]:
    return [note.code for note in scan.notes]


def voxels(scan) -> np.ndarray:
    return sitk.GetArrayFromImage(scan.image)


def store(ds: pydicom.Dataset, words: np.ndarray, stored: int, high: int, *, signed: bool = False) -> None:
    """Put words of 16 bits in the place of the pixels; unsigned ones count from -1024 HU."""
    ds.PixelData = (words.astype(np.int64) & 0xFFFF).astype("<u2").tobytes()
    ds.BitsStored, ds.HighBit, ds.PixelRepresentation = stored, high, int(signed)
    ds.RescaleIntercept = 0 if signed else -1024


def above_air(ds: pydicom.Dataset) -> np.ndarray:
    return ds.pixel_array.astype(np.int32) + 1024


@pytest.mark.parametrize(
    ("stored", "high", "signed"), [(12, 15, False), (13, 14, False), (12, 15, True), (12, 12, False)]
)
def test_a_value_at_the_top_of_its_word_is_shifted(
    make_series, only, thorax: sitk.Image, stored: int, high: int, signed: bool
) -> None:
    """PS3.5, 8.1.1: BitsStored bits that end at HighBit; ACR-NEMA put them at the top."""

    def edit(ds: pydicom.Dataset, k: int) -> None:
        values = ds.pixel_array.astype(np.int32) if signed else above_air(ds)
        store(ds, values << (high - stored + 1), stored, high, signed=signed)

    scan = read_scan(only(make_series(edit=edit)))
    assert codes(scan) == ["PE-DCM-030"]
    assert f"HighBit {high}, BitsStored {stored}" in scan.notes[0].message
    assert np.array_equal(voxels(scan), sitk.GetArrayFromImage(thorax))


def test_a_high_bit_that_the_words_contradict_is_refused(make_series, only) -> None:
    """The header asks for a shift of words that are not at the top."""
    folder = make_series(edit=lambda ds, k: store(ds, above_air(ds), 12, 15))
    with pytest.raises(InputError, match=r"PE-DCM-028.*HighBit 15 with BitsStored 12 leaves the lowest 4 bits"):
        read_scan(only(folder))


@pytest.mark.parametrize(
    ("keyword", "value", "said"),
    [
        ("HighBit", 9, "HighBit is 9, expected 11"),
        ("HighBit", 16, "HighBit is 16, expected 11"),
        ("BitsStored", 17, "BitsStored is 17, expected 1 to BitsAllocated, 16"),
        ("BitsStored", 0, "BitsStored is 0"),
        ("BitsAllocated", 12, "BitsAllocated is 12, expected 16"),
        ("BitsAllocated", 15, "BitsAllocated is 15, expected 16"),
        ("PixelRepresentation", 2, "PixelRepresentation is 2"),
    ],
)
def test_bits_that_cannot_be_are_refused(make_series, only, keyword: str, value: int, said: str) -> None:
    def edit(ds: pydicom.Dataset, k: int) -> None:
        ds.BitsStored, ds.HighBit = 12, 11
        setattr(ds, keyword, value)

    with pytest.raises(InputError, match=f"PE-DCM-022: the pixel data of scan: IM00001.dcm .*{said}"):
        read_scan(only(make_series(edit=edit)))


@pytest.mark.parametrize("bit", [12, 13, 15])
@pytest.mark.parametrize("declared", [False, True])
def test_overlays_beside_the_value_are_masked(make_series, only, thorax: sitk.Image, bit: int, declared: bool) -> None:
    def edit(ds: pydicom.Dataset, k: int) -> None:
        words = above_air(ds)
        words[5:12, 4:18] |= 1 << bit
        store(ds, words, 12, 11)
        if declared:
            ds.add_new((0x6000, 0x0100), "US", 16)
            ds.add_new((0x6000, 0x0102), "US", bit)

    assert np.array_equal(voxels(read_scan(only(make_series(edit=edit)))), sitk.GetArrayFromImage(thorax))


def test_an_overlay_below_a_shifted_value_is_masked(make_series, only, thorax: sitk.Image) -> None:
    def edit(ds: pydicom.Dataset, k: int) -> None:
        words = above_air(ds) << 4
        words[5:12, 4:18] |= 1
        store(ds, words, 12, 15)
        ds.add_new((0x6000, 0x0100), "US", 16)
        ds.add_new((0x6000, 0x0102), "US", 0)

    assert np.array_equal(voxels(read_scan(only(make_series(edit=edit)))), sitk.GetArrayFromImage(thorax))


def test_values_that_go_on_above_bits_stored_are_refused(make_series, only) -> None:
    """Metal of 5,000 in a word whose header allows 4,095: masked it would be soft tissue."""

    def edit(ds: pydicom.Dataset, k: int) -> None:
        words = above_air(ds)
        y, x = np.mgrid[:20, :24]
        words += np.clip(5000 - 900 * np.hypot(y - 10, x - 12), 0, None).astype(int)
        store(ds, words, 12, 11)

    with pytest.raises(InputError, match=r"PE-DCM-028.*BitsStored 12 allows values up to 4095, but .* go on to"):
        read_scan(only(make_series(edit=edit)))


@pytest.mark.parametrize(("signed", "padding"), [(False, -2000), (False, -3024), (True, -3024), (True, -2000)])
@pytest.mark.parametrize("declared", [False, True])
def test_padding_that_the_stored_bits_cannot_hold(
    make_series, only, thorax: sitk.Image, signed: bool, padding: int, declared: bool
) -> None:
    """63536 under BitsStored 12 is no bone of 1,072 HU."""

    def edit(ds: pydicom.Dataset, k: int) -> None:
        words = ds.pixel_array.astype(np.int32) if signed else above_air(ds)
        words[:, :3] = padding
        store(ds, words, 12, 11, signed=signed)
        if declared:
            ds.add_new("PixelPaddingValue", "US", padding & 0xFFFF)

    expected = sitk.GetArrayFromImage(thorax)
    expected[:, :, :3] = -1024
    scan = read_scan(only(make_series(edit=edit)))
    assert codes(scan) == ["PE-DCM-011"]
    assert np.array_equal(voxels(scan), expected)


@pytest.mark.parametrize(
    ("stored", "high", "padding", "declared"),
    [(12, 15, -1100, -1100 << 4), (12, 15, -1100, -1100), (13, 14, 4500, 4500 << 2)],
)
def test_padding_at_the_top_of_its_word(
    make_series, only, thorax: sitk.Image, stored: int, high: int, padding: int, declared: int
) -> None:
    """Declared as the word that stands in the file, or as a value, which the word cannot be."""
    signed = padding < 0

    def edit(ds: pydicom.Dataset, k: int) -> None:
        values = ds.pixel_array.astype(np.int32) if signed else above_air(ds)
        values[:, :3] = padding
        store(ds, values << (high - stored + 1), stored, high, signed=signed)
        ds.add_new("PixelPaddingValue", "US", declared & 0xFFFF)

    expected = sitk.GetArrayFromImage(thorax)
    expected[:, :, :3] = -1024
    assert np.array_equal(voxels(read_scan(only(make_series(edit=edit)))), expected)


def test_signs_that_are_not_carried_on(make_series, only, thorax: sitk.Image) -> None:
    """Twelve signed bits with zeros above them."""

    def edit(ds: pydicom.Dataset, k: int) -> None:
        store(ds, ds.pixel_array.astype(np.int32) & 0x0FFF, 12, 11, signed=True)

    assert np.array_equal(voxels(read_scan(only(make_series(edit=edit)))), sitk.GetArrayFromImage(thorax))


def test_words_of_32_bits(make_series, only, thorax: sitk.Image) -> None:
    def edit(ds: pydicom.Dataset, k: int) -> None:
        ds.PixelData = ds.pixel_array.astype("<i4").tobytes()
        ds.BitsAllocated, ds.BitsStored, ds.HighBit = 32, 32, 31

    assert np.array_equal(voxels(read_scan(only(make_series(edit=edit)))), sitk.GetArrayFromImage(thorax))


def test_bits_of_a_word_against_a_bit_by_bit_reading() -> None:
    words = np.random.default_rng(0).integers(0, 1 << 12, (7, 9)) << 3
    bits = StoredBits(16, 12, 3, signed=True)
    expected = [[int(f"{word:016b}"[1:13], 2) for word in row] for row in words.tolist()]
    expected = [[v - 4096 if v >= 2048 else v for v in row] for row in expected]
    assert bits.values(words.astype(np.uint16)).tolist() == expected


@pytest.mark.parametrize(("keyword", "value"), [("Rows", 19), ("Columns", 23), ("Rows", 21), ("Columns", 25)])
def test_pixel_data_of_another_length_are_refused(make_series, only, keyword: str, value: int) -> None:
    """One row less would shift nothing, but one column less shears the image."""

    def edit(ds: pydicom.Dataset, k: int) -> None:
        setattr(ds, keyword, value)
        ds.add_new(0xFFFCFFFC, "OB", bytes(2000))  # the file's length is no evidence

    with pytest.raises(InputError, match=rf"PE-DCM-02[28].*960 bytes of pixels, expected .*{keyword} {value}"):
        read_scan(only(make_series(edit=edit)))


@pytest.mark.parametrize("behind", [b"\0", bytes(6), b"\1", bytes(8), b"\0\1"])
def test_a_few_zeros_behind_the_pixels_are_no_pixels(make_series, only, behind: bytes) -> None:
    folder = make_series(edit=lambda ds, k: setattr(ds, "PixelData", ds.PixelData + behind))
    if any(behind) or len(behind) > 7:
        with pytest.raises(InputError, match=r"PE-DCM-028: the header of scan: IM00001.dcm.*expected 960"):
            read_scan(only(folder))
    else:
        assert read_scan(only(folder)).notes == ()


def test_frames_that_the_header_does_not_count_are_refused(only, thorax, tmp_path, write_enhanced) -> None:
    ds = write_enhanced(thorax, tmp_path / "multi.dcm")
    ds.NumberOfFrames = 3
    del ds.PerFrameFunctionalGroupsSequence[3]
    ds.save_as(tmp_path / "multi.dcm")
    with pytest.raises(InputError, match=r"PE-DCM-028.*3840 bytes of pixels, expected 2880 .*NumberOfFrames 3"):
        read_scan(only(tmp_path / "multi.dcm"))


def jpeg_2000(stored: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(stored).save(stream, format="JPEG2000", no_jp2=True)
    return stream.getvalue()


def compressed(ds: pydicom.Dataset, syntax: str) -> None:
    stored = above_air(ds).astype("<u2")
    store(ds, stored, 16, 15)
    if syntax == JPEG2000Lossless:
        ds.file_meta.TransferSyntaxUID = syntax
        ds.PixelData = pydicom.encaps.encapsulate([jpeg_2000(stored)])
        ds["PixelData"].is_undefined_length = True
    else:
        ds.compress(syntax, generate_instance_uid=False)


STREAMS = pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless])


@STREAMS
@pytest.mark.parametrize("change", [{}, {"Rows": 19}, {"Columns": 23}, {"Rows": 24, "Columns": 20}, {"Rows": 21}])
def test_streams_of_another_size_are_refused(
    make_series, only, thorax: sitk.Image, syntax: str, change: dict[str, int]
) -> None:
    def edit(ds: pydicom.Dataset, k: int) -> None:
        compressed(ds, syntax)
        for keyword, value in change.items():
            setattr(ds, keyword, value)

    ref = only(make_series(edit=edit))
    if not change or (syntax == RLELossless and len(change) == 2):  # RLE keeps no size, only as many pixels
        assert read_scan(ref).notes == ()
    else:
        with pytest.raises(InputError, match=r"PE-DCM-028: .*IM00001.dcm.*\(Rows x Columns\)"):
            read_scan(ref)


@STREAMS
def test_streams_that_the_header_does_not_count_are_refused(make_series, only, syntax: str) -> None:
    def edit(ds: pydicom.Dataset, k: int) -> None:
        compressed(ds, syntax)
        frame = next(pydicom.encaps.generate_frames(ds.PixelData, number_of_frames=1))
        ds.PixelData = pydicom.encaps.encapsulate([frame, frame])
        ds["PixelData"].is_undefined_length = True

    with pytest.raises(InputError, match=r"PE-DCM-02[28].*IM00001.dcm"):
        read_scan(only(make_series(edit=edit)))


def test_a_stream_of_eight_bits_under_a_header_of_twelve_is_refused(make_series, only) -> None:
    def edit(ds: pydicom.Dataset, k: int) -> None:
        ds.PixelData = pydicom.encaps.encapsulate([jpeg_2000((above_air(ds) // 16).astype(np.uint8))])
        ds.file_meta.TransferSyntaxUID = JPEG2000Lossless
        ds["PixelData"].is_undefined_length = True

    with pytest.raises(InputError, match=r"PE-DCM-013.*IM00001.dcm stores 8 bits"):
        read_scan(only(make_series(edit=edit)))


def rewritten(path, change: Callable[[bytes, int], bytes]) -> None:
    """Change the bytes of a file, told where its PixelData element begins."""
    data = path.read_bytes()
    path.write_bytes(change(data, data.rindex(b"\xe0\x7f\x10\x00OW")))


@pytest.mark.parametrize("vr", [b"UN", b"OB", b"OW", b"OF"])
def test_pixel_data_of_any_vr(make_series, only, thorax: sitk.Image, vr: bytes) -> None:
    """Gateways write UN for what they do not know; the length then has four bytes all the same (PS3.5, 7.1.2)."""
    folder = make_series()
    for path in folder.iterdir():
        rewritten(path, lambda data, at: data[: at + 4] + vr + data[at + 6 :])
    assert np.array_equal(voxels(read_scan(only(folder))), sitk.GetArrayFromImage(thorax))


@pytest.mark.parametrize("vr", [b"UN", b"OW", b"US"])
def test_a_length_of_two_bytes_is_never_read_shifted(make_series, only, vr: bytes) -> None:
    folder = make_series()
    for path in folder.iterdir():
        rewritten(path, lambda data, at: data[: at + 4] + vr + (960).to_bytes(2, "little") + data[at + 12 :])
    said = "VR US, expected OB or OW" if vr == b"US" else "960"
    with pytest.raises(InputError, match=f"PE-DCM-022.*IM00001.dcm.*{said}"):
        read_scan(only(folder))


@pytest.mark.parametrize(("slope", "intercept"), [(0, -1024), (-1, 0), ("nan", 0)])
def test_a_slope_that_is_none(make_series, only, slope: object, intercept: int) -> None:
    def edit(ds: pydicom.Dataset, k: int) -> None:
        ds.RescaleIntercept = intercept
        ds.add_new("RescaleSlope", "LO", str(slope))

    for assumed in (False, True):
        with pytest.raises(InputError, match=r"PE-DCM-009.*IM00001.dcm.*got"):
            read_scan(only(make_series(edit=edit)), assume_hu=assumed)


def test_a_rescale_of_some_slices_alone(make_series, only) -> None:
    def edit(ds: pydicom.Dataset, k: int) -> None:
        if k == 2:
            del ds.RescaleIntercept

    ref = only(make_series(edit=edit))
    for assumed in (False, True):
        with pytest.raises(InputError, match=r"PE-DCM-009.*IM00003.dcm"):
            read_scan(ref, assume_hu=assumed)


def test_a_frame_without_a_rescale_among_others(only, thorax, tmp_path, write_enhanced) -> None:
    ds = write_enhanced(thorax, tmp_path / "multi.dcm")
    del ds.PerFrameFunctionalGroupsSequence[3].PixelValueTransformationSequence
    ds.save_as(tmp_path / "multi.dcm")
    for assumed in (False, True):
        with pytest.raises(InputError, match=r"PE-DCM-009.*multi.dcm"):
            read_scan(only(tmp_path / "multi.dcm"), assume_hu=assumed)


def test_a_table_in_place_of_a_rescale_is_named(make_series, only) -> None:
    def edit(ds: pydicom.Dataset, k: int) -> None:
        del ds.RescaleSlope, ds.RescaleIntercept
        ds.ModalityLUTSequence = [pydicom.Dataset()]

    with pytest.raises(InputError, match=r"PE-DCM-009.*ModalityLUTSequence"):
        read_scan(only(make_series(edit=edit)))


def test_lossy_compression_is_said(make_series, only) -> None:
    scan = read_scan(only(make_series(edit=lambda ds, k: setattr(ds, "LossyImageCompression", "01"))))
    assert [str(note)[:33] for note in scan.notes] == ["PE-DCM-029 warning: 4 file(s) wer"]
