from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from pe_nnunet.errors import OutputError
from pe_nnunet.files import atomic_json, atomic_path, atomic_text
from pe_nnunet.volumes import image_suffix, write_image


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii", "a.nrrd", "a.mha", "spaces and ü.nii.gz", "-dash.nii.gz"])
def test_images_come_back_and_leave_nothing_beside_them(thorax: sitk.Image, tmp_path: Path, name: str) -> None:
    path = tmp_path / "new" / "folders" / name
    write_image(thorax, path)
    assert [p.name for p in path.parent.iterdir()] == [name]
    back = sitk.ReadImage(str(path))
    assert np.array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(thorax))
    assert np.allclose(back.GetOrigin(), thorax.GetOrigin(), atol=1e-4)
    assert np.allclose(back.GetSpacing(), thorax.GetSpacing(), atol=1e-6)


def test_the_same_image_gives_the_same_bytes(thorax: sitk.Image, tmp_path: Path) -> None:
    write_image(thorax, tmp_path / "a.nii.gz")
    write_image(thorax, tmp_path / "b.nii.gz")
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 4, 5), (3, 4, 1), (70, 90, 100)])
@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.float32])
def test_a_compressed_nifti_holds_what_itk_writes(tmp_path: Path, shape: tuple[int, ...], kind: type) -> None:
    rng = np.random.default_rng(0)
    image = sitk.GetImageFromArray(rng.integers(0, 100, shape).astype(kind))
    image.SetSpacing((0.7, 0.9, 1.3))
    image.SetOrigin((-120.5, 33.0, 700.25))
    axes = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    image.SetDirection((axes * np.sign(np.linalg.det(axes))).ravel().tolist())
    write_image(image, tmp_path / "ours.nii.gz")
    sitk.WriteImage(image, str(tmp_path / "itk.nii"))
    assert gzip.decompress((tmp_path / "ours.nii.gz").read_bytes()) == (tmp_path / "itk.nii").read_bytes()


def test_an_unknown_ending_is_refused(thorax: sitk.Image, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="PE-OUT-002"):
        write_image(thorax, tmp_path / "a.png")


def test_a_failing_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    atomic_text(path, "old\n")

    def fill_the_disk() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise OSError(28, os.strerror(28))

    with pytest.raises(OutputError, match=r"PE-OUT-001.*No space left"):
        fill_the_disk()
    assert path.read_text() == "old\n"
    assert [p.name for p in tmp_path.iterdir()] == ["table.csv"]


def test_a_full_disk_leaves_no_half_image(fresh_python, tmp_path: Path) -> None:
    """A limit on the size of files stands in for the disk; ITK's NIfTI writer raises nothing then."""
    pytest.importorskip("resource", reason="POSIX only")
    written = fresh_python(
        f"""
import resource, signal
from pathlib import Path
import numpy as np, SimpleITK as sitk
from pe_nnunet.errors import OutputError
from pe_nnunet.volumes import write_dicom_series, write_image
noise = np.random.default_rng(0).integers(-1000, 1000, (20, 100, 100)).astype(np.int16)
image, out = sitk.GetImageFromArray(noise), Path({str(tmp_path)!r})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
codes = []
for name in ("a.nii.gz", "a.nii", "a.nrrd", "a.mha", "dicom"):
    try:
        write_image(image, out / name) if "." in name else write_dicom_series(image, out / name, patient_id="P")
    except OutputError as error:
        codes.append(error.code)
answer = [codes, [str(path) for path in out.rglob("*") if path.is_file()]]
"""
    )
    assert written == [["PE-OUT-001"] * 5, []]


def test_other_errors_pass_through_and_leave_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with atomic_path(tmp_path / "x") as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not list(tmp_path.iterdir())


def test_a_file_where_a_folder_should_be_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="PE-OUT-001"):
        atomic_text(tmp_path / "file" / "x.txt", "")


def test_json_takes_numpy_and_paths_and_turns_nan_to_null(tmp_path: Path) -> None:
    values = {
        "z": np.float32(0.5),
        "a": [np.int64(3), np.nan, float("inf")],
        "array": np.eye(2),
        "path": Path("a") / "b",
        "set": {3, 1},
        "name": "Müller",
        "none": None,
        1: True,
    }
    atomic_json(tmp_path / "x.json", values)
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    back = json.loads(text)
    assert back == {
        "z": 0.5,
        "a": [3, None, None],
        "array": [[1.0, 0.0], [0.0, 1.0]],
        "path": str(Path("a") / "b"),
        "set": [1, 3],
        "name": "Müller",
        "none": None,
        "1": True,
    }
    assert list(back)[:2] == ["z", "a"], "key order is the caller's"
    assert "Müller" in text
    assert text.endswith("}\n")


def test_image_suffix() -> None:
    assert [image_suffix(Path(name)) for name in ("a.nii.gz", "A.NII", "b.MHA", "c.dcm", "nii.gz", "x.gz")] == [
        ".nii.gz",
        ".nii",
        ".mha",
        "",
        "",
        "",
    ]
