"""What a NIfTI, NRRD or MHA file can be like, and what it then gets."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from pe_nnunet.errors import InputError
from pe_nnunet.volumes import ScanRef, find_scans, read_scan, require_same_grid, write_image
from pe_nnunet.volumes.hounsfield import replace_padding


def read(path: Path, **options: bool):
    (ref,) = find_scans(path)
    return read_scan(ref, **options)


def voxels(scan) -> np.ndarray:
    return sitk.GetArrayFromImage(scan.image)


def codes(scan) -> list[str]:
    return [note.code for note in scan.notes]


def affine_of(image: sitk.Image) -> np.ndarray:
    """The image's grid as NIfTI has it: RAS."""
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def save_nifti(
    image: sitk.Image,
    path: Path,
    *,
    array: np.ndarray | None = None,
    edit: Callable[[nib.Nifti1Image], None] | None = None,
) -> Path:
    zyx = sitk.GetArrayFromImage(image) if array is None else array
    volume = nib.Nifti1Image(zyx.T, affine_of(image))
    if edit is not None:
        edit(volume)
    nib.save(volume, path)
    return path


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha", ".NII.GZ"])
def test_formats(thorax: sitk.Image, tmp_path: Path, suffix: str) -> None:
    write_image(thorax, tmp_path / f"written{suffix.lower()}")
    path = (tmp_path / f"written{suffix.lower()}").rename(tmp_path / f"a{suffix}")
    scan = read(path)
    assert scan.case_id == "a"
    assert scan.image.GetPixelID() == sitk.sitkInt16
    assert np.array_equal(voxels(scan), sitk.GetArrayFromImage(thorax))
    require_same_grid(thorax, scan.image, "what was read")
    assert (scan.notes, scan.dicom, len(scan.sha256)) == ((), None, 64)


@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, 1), (-1, -1, 1), (1, 1, -1)])
def test_nifti_lies_where_itk_puts_it(thorax: sitk.Image, tmp_path: Path, flips: tuple[int, int, int]) -> None:
    rotation = np.array(sitk.VersorTransform((0.2, 0.3, 0.9), 0.4).GetMatrix()).reshape(3, 3)
    thorax.SetDirection((rotation @ np.diag(flips)).ravel().tolist())
    path = save_nifti(thorax, tmp_path / "a.nii.gz")
    scan = read(path)
    require_same_grid(sitk.ReadImage(str(path)), scan.image, "what was read")
    require_same_grid(thorax, scan.image, "what was read")
    assert codes(scan) == []


def test_no_masks_are_made_of_a_scan_without_padding(peak_bytes: Callable[[Callable[[], object]], int]) -> None:
    hu = np.zeros((64, 64, 64), np.int16)
    assert peak_bytes(lambda: replace_padding(hu, "a")) < hu.size / 4
    hu[0, 0, 0] = -2000
    assert replace_padding(hu, "a") == 1
    assert hu[0, 0, 0] == -1024


def test_detached_headers_are_hashed_with_their_data(thorax: sitk.Image, tmp_path: Path) -> None:
    sitk.WriteImage(thorax, str(tmp_path / "a.mhd"))
    scan = read(tmp_path)
    assert np.array_equal(voxels(scan), sitk.GetArrayFromImage(thorax))
    before = scan.sha256
    sitk.WriteImage(thorax + 1, str(tmp_path / "a.mhd"))
    assert read(tmp_path).sha256 != before


def test_22_a_fourth_axis(thorax: sitk.Image, tmp_path: Path) -> None:
    array = sitk.GetArrayFromImage(thorax)
    scan = read(save_nifti(thorax, tmp_path / "one.nii.gz", array=array[None]))
    assert codes(scan) == ["PE-NII-010"]
    assert np.array_equal(voxels(scan), array)
    with pytest.raises(InputError, match=r"PE-NII-001.*\(24, 20, 8, 2\)"):
        read(save_nifti(thorax, tmp_path / "two.nii.gz", array=np.stack([array, array])))
    with pytest.raises(InputError, match="PE-NII-001"):
        read(save_nifti(thorax, tmp_path / "flat.nii.gz", array=array[0]))


def test_22_a_fourth_axis_in_nrrd(thorax: sitk.Image, tmp_path: Path) -> None:
    sitk.WriteImage(sitk.JoinSeries([thorax]), str(tmp_path / "one.nrrd"))
    scan = read(tmp_path / "one.nrrd")
    assert codes(scan) == ["PE-NII-010"]
    require_same_grid(thorax, scan.image, "what was read")
    sitk.WriteImage(sitk.JoinSeries([thorax, thorax]), str(tmp_path / "two.nrrd"))
    with pytest.raises(InputError, match="PE-NII-001"):
        read(tmp_path / "two.nrrd")


def test_22_colour(thorax: sitk.Image, tmp_path: Path) -> None:
    colour = sitk.Compose([sitk.Cast(thorax, sitk.sitkUInt8)] * 3)
    for name in ("a.nrrd", "b.mha", "c.nii.gz"):
        sitk.WriteImage(colour, str(tmp_path / name))
        with pytest.raises(InputError, match=r"PE-NII-00[12]"):
            read(tmp_path / name)


def test_23_nan(thorax: sitk.Image, tmp_path: Path) -> None:
    array = sitk.GetArrayFromImage(thorax).astype(np.float32)
    array[0, 0, :2] = np.nan, np.inf
    scan = read(save_nifti(thorax, tmp_path / "few.nii.gz", array=array))
    assert codes(scan) == ["PE-NII-003"]
    assert scan.image.GetPixelID() == sitk.sitkFloat32
    assert voxels(scan)[0, 0, :3].tolist() == [-1024, -1024, array[0, 0, 2]]
    array[0] = np.nan
    with pytest.raises(InputError, match=r"PE-NII-004.*12 %"):
        read(save_nifti(thorax, tmp_path / "many.nii.gz", array=array))


@pytest.mark.parametrize(("shear", "code"), [(0.0, None), (5e-4, "PE-NII-005"), (0.05, "PE-NII-006")])
def test_24_axes_off_perpendicular(thorax: sitk.Image, tmp_path: Path, shear: float, code: str | None) -> None:
    def edit(volume: nib.Nifti1Image) -> None:
        affine = affine_of(thorax)
        affine[0, 2] += shear * thorax.GetSpacing()[2]
        volume.set_sform(affine, code=1)
        volume.header["qform_code"] = 0

    path = save_nifti(thorax, tmp_path / "a.nii.gz", edit=edit)
    if code == "PE-NII-006":
        with pytest.raises(InputError, match=code):
            read(path)
        return
    scan = read(path)
    assert codes(scan) == ([code] if code else [])
    direction = np.array(scan.image.GetDirection()).reshape(3, 3)
    assert np.allclose(direction @ direction.T, np.eye(3), atol=1e-12)


def test_24_a_sheared_sform_gives_way_to_the_qform(thorax: sitk.Image, tmp_path: Path) -> None:
    def edit(volume: nib.Nifti1Image) -> None:
        affine = affine_of(thorax)
        volume.set_qform(affine, code=1)
        affine[0, 2] += 0.3
        volume.set_sform(affine, code=2)

    scan = read(save_nifti(thorax, tmp_path / "a.nii.gz", edit=edit))
    require_same_grid(thorax, scan.image, "what was read")


def test_24_axes_off_perpendicular_in_nrrd(thorax: sitk.Image, tmp_path: Path) -> None:
    write_image(thorax, tmp_path / "a.nrrd")
    data = (tmp_path / "a.nrrd").read_bytes()
    header = b"space directions: (1.5,0,0) (0,1.25,0) (0,0,2.5)"
    assert header in data
    (tmp_path / "a.nrrd").write_bytes(data.replace(header, b"space directions: (1.5,0,0) (0.3,1.25,0) (0,0,2.5)"))
    with pytest.raises(InputError, match="PE-NII-006"):
        read(tmp_path / "a.nrrd")


def test_24_no_spacing(thorax: sitk.Image, tmp_path: Path) -> None:
    def edit(volume: nib.Nifti1Image) -> None:
        affine = affine_of(thorax)
        affine[:3, 2] = 0
        volume.set_sform(affine, code=1)
        volume.header["qform_code"] = 0

    with pytest.raises(InputError, match=r"PE-NII-007.*0\.0"):
        read(save_nifti(thorax, tmp_path / "a.nii.gz", edit=edit))


def test_24_suspicious_spacing(thorax: sitk.Image, tmp_path: Path) -> None:
    thorax.SetSpacing((1.0, 1.0, 1.0))
    assert codes(read(save_nifti(thorax, tmp_path / "ones.nii.gz"))) == ["PE-NII-008"]
    thorax.SetSpacing((0.0015, 0.00125, 0.0025))
    write_image(thorax, tmp_path / "metres.mha")
    assert codes(read(tmp_path / "metres.mha")) == ["PE-NII-008"]


def test_24_metres_in_the_header_become_millimetres(thorax: sitk.Image, tmp_path: Path) -> None:
    metres = sitk.Image(thorax)
    metres.SetSpacing([s / 1000 for s in thorax.GetSpacing()])
    metres.SetOrigin([v / 1000 for v in thorax.GetOrigin()])
    path = save_nifti(metres, tmp_path / "a.nii.gz", edit=lambda volume: volume.header.set_xyzt_units("meter"))
    scan = read(path)
    assert codes(scan) == ["PE-NII-008"]
    require_same_grid(thorax, scan.image, "what was read")


def test_a_header_without_orientation_is_noted(thorax: sitk.Image, tmp_path: Path) -> None:
    path = save_nifti(thorax, tmp_path / "a.nii")
    data = bytearray(path.read_bytes())
    data[252:256] = bytes(4)  # qform_code and sform_code
    path.write_bytes(data)
    scan = read(path)
    assert codes(scan) == ["PE-NII-012"]
    require_same_grid(sitk.ReadImage(str(path)), scan.image, "what was read")


@pytest.mark.parametrize(
    ("change", "guess"),
    [
        (lambda hu: (hu - hu.min()) / (hu.max() - hu.min()), "normalised to 0..1"),
        (lambda hu: np.clip((hu + 1000) / 5, 0, 255).astype(np.uint8), "8-bit"),
        (lambda hu: hu + 1024, r"HU \+ 1024"),
        (lambda hu: np.zeros_like(hu), "all the same"),
        (lambda hu: np.clip(hu, -160, 240), "nothing is air"),
        (lambda hu: np.clip(hu - 1024, -1400, None), "nothing is soft tissue"),
    ],
)
def test_25_not_hu(thorax: sitk.Image, tmp_path: Path, change: Callable[[np.ndarray], np.ndarray], guess: str) -> None:
    path = save_nifti(thorax, tmp_path / "a.nii.gz", array=change(sitk.GetArrayFromImage(thorax)))
    with pytest.raises(InputError, match=f"PE-HU-001: a: .*{guess}"):
        read(path)
    assert read(path, assume_hu=True).image.GetSize() == thorax.GetSize()


def test_25_padding_is_no_evidence_of_air(thorax: sitk.Image, tmp_path: Path) -> None:
    array = sitk.GetArrayFromImage(thorax)
    array[:, :, :3] = -2000
    scan = read(save_nifti(thorax, tmp_path / "padded.nii.gz", array=array))
    assert codes(scan) == ["PE-NII-013"]
    assert (voxels(scan)[:, :, :3] == -1024).all()
    with pytest.raises(InputError, match="PE-HU-001"):
        read(save_nifti(thorax, tmp_path / "offset.nii.gz", array=np.where(array == -2000, -2000, array + 1024)))


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "an empty file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", "a Git LFS pointer"),
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "a web page"),
        (b"patient 7, left lower lobe\n", "text"),
        (b"\x93NUMPY\x01\x00" + bytes(200), "something else"),
        (gzip.compress(b"no image in here", mtime=0), "gzip-compressed data"),
        (bytes(128) + b"DICM" + bytes(100), "a DICOM file"),
    ],
)
@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha", ".mhd"])
def test_26_something_else_under_the_ending(tmp_path: Path, content: bytes, what: str, suffix: str) -> None:
    (tmp_path / f"a{suffix}").write_bytes(content)
    with pytest.raises(InputError, match=rf"PE-IN-003: .*a\{suffix} is no \{suffix} file but {what}") as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)


def test_26_a_wrong_ending_between_volume_formats(thorax: sitk.Image, tmp_path: Path) -> None:
    write_image(thorax, tmp_path / "a.nii")
    (tmp_path / "a.nii").rename(tmp_path / "a.nii.gz")
    with pytest.raises(InputError, match=r"PE-IN-003.*an uncompressed NIfTI file.*correct its ending"):
        read(tmp_path)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
@pytest.mark.parametrize("share", [0.1, 0.6, 0.98])
def test_26_truncated(thorax: sitk.Image, tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"a{suffix}"
    write_image(thorax, path)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputError, match="PE-IN-003") as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_26_a_file_that_may_not_be_opened(thorax: sitk.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(thorax, tmp_path / "a.nii.gz")

    def refuse(*args: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match=r"PE-IN-003.*a\.nii\.gz cannot be read: .*Permission denied"):
        read(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("named", ["/etc/hostname", "../secret.raw", "LIST"])
def test_28_a_detached_header_reads_no_file_elsewhere(thorax: sitk.Image, tmp_path: Path, named: str) -> None:
    (tmp_path / "secret.raw").write_bytes(sitk.GetArrayFromImage(thorax).tobytes())
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.nrrd").write_text(
        f"NRRD0004\ntype: short\ndimension: 3\nsizes: 24 20 8\nencoding: raw\nendian: little\ndata file: {named}\n"
    )
    with pytest.raises(InputError, match="PE-NII-011"):
        read(folder)
    (folder / "a.nrrd").unlink()
    (folder / "a.mhd").write_text(
        f"ObjectType = Image\nNDims = 3\nDimSize = 24 20 8\nElementType = MET_SHORT\nElementDataFile = {named}\n"
    )
    with pytest.raises(InputError, match="PE-NII-011"):
        read(folder)


def test_28_a_data_file_that_is_not_there(thorax: sitk.Image, tmp_path: Path) -> None:
    sitk.WriteImage(thorax, str(tmp_path / "a.mhd"))
    next(tmp_path.glob("*.*raw")).unlink()
    with pytest.raises(InputError, match=r"PE-IN-002.*raw, named in a\.mhd"):
        read(tmp_path)


@pytest.mark.parametrize("dtype", [">i2", "<i4", ">i4", "<i8", "<u4", "<f4", ">f8", "i1"])
def test_29_number_types(thorax: sitk.Image, tmp_path: Path, dtype: str) -> None:
    hu = sitk.GetArrayFromImage(thorax)
    array = (np.clip(hu, -128, 127) if dtype == "i1" else np.maximum(hu, 0) if "u" in dtype else hu).astype(dtype)
    volume = nib.Nifti1Image(array.T, affine_of(thorax), dtype=array.dtype)
    if dtype.startswith(">"):
        header = nib.Nifti1Header(endianness=">")
        header.set_data_dtype(array.dtype)
        volume = nib.Nifti1Image(array.T, affine_of(thorax), header=header)
    nib.save(volume, tmp_path / "a.nii.gz")
    scan = read(tmp_path, assume_hu=True)
    assert np.array_equal(voxels(scan), array)
    assert scan.image.GetPixelID() == (sitk.sitkFloat32 if "f" in dtype else sitk.sitkInt16)


@pytest.mark.parametrize(("slope", "inter", "pixel"), [(1, -1024, sitk.sitkInt16), (0.5, -1000.25, sitk.sitkFloat32)])
def test_slope_and_intercept(thorax: sitk.Image, tmp_path: Path, slope: float, inter: float, pixel: int) -> None:
    hu = sitk.GetArrayFromImage(thorax)
    stored = np.rint((hu - inter) / slope).astype(np.int16)

    def edit(volume: nib.Nifti1Image) -> None:
        volume.header.set_slope_inter(slope, inter)

    scan = read(save_nifti(thorax, tmp_path / "a.nii.gz", array=stored, edit=edit))
    assert scan.image.GetPixelID() == pixel
    assert np.allclose(voxels(scan), stored * slope + inter)


def test_33_no_file(tmp_path: Path) -> None:
    gone = tmp_path / "gone.nii.gz"
    with pytest.raises(InputError, match="PE-IN-002"):
        read_scan(ScanRef("gone", "file", gone, (gone,)))


def test_two_slices_are_noted(thorax: sitk.Image, tmp_path: Path) -> None:
    write_image(thorax[:, :, :2], tmp_path / "a.nrrd")
    assert codes(read(tmp_path)) == ["PE-DCM-019"]
