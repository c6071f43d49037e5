"""Labels as 3D Slicer saves them are found beside their scan, read onto it, and taken for no scan."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from pe_nnunet.cli import main
from pe_nnunet.dataset_conversion import nifti
from pe_nnunet.dataset_conversion.convert_options import ConvertOptions
from pe_nnunet.dataset_conversion.sources import read_case
from pe_nnunet.errors import ConfigurationError, InputError
from pe_nnunet.volumes import find_scans, write_image

SIZE = (8, 20, 24)
CROP = (slice(2, 6), slice(5, 12), slice(3, 20))  # what Slicer keeps of the grid: z, y, x
ONE, TWO = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
ONE[3, 6:9, 8:13], TWO[4:6, 6:10, 5:7] = True, True


def scan() -> sitk.Image:
    _, y, x = np.mgrid[: SIZE[0], : SIZE[1], : SIZE[2]]
    hu = np.where(((y - 9.5) / 9) ** 2 + ((x - 11.5) / 11) ** 2 < 1, 40, -1000)
    image = sitk.GetImageFromArray(hu.astype(np.int16))
    image.SetSpacing((1.5, 1.25, 2.5))
    image.SetOrigin((-20.0, 31.5, 700.25))
    return image


def segmentation(path: Path, image: sitk.Image, names: tuple[str, str] = ("embolus 1", "embolus 2")) -> None:
    """Two layers, cropped."""
    start = image.TransformIndexToPhysicalPoint([part.start for part in CROP[::-1]])
    x_mm, y_mm, z_mm = image.GetSpacing()
    layers = np.stack([ONE[CROP], TWO[CROP]], axis=-1).astype(np.uint8)
    lines = [
        "NRRD0004",
        "type: unsigned char",
        "dimension: 4",
        "space: left-posterior-superior",
        f"sizes: {' '.join(map(str, layers.shape[::-1]))}",
        f"space directions: none ({x_mm},0,0) (0,{y_mm},0) (0,0,{z_mm})",
        f"space origin: ({','.join(map(str, start))})",
        "kinds: list domain domain domain",
        "encoding: raw",
    ]
    for k, name in enumerate(names):
        lines += [f"Segment{k}_Name:={name}", f"Segment{k}_LabelValue:=1", f"Segment{k}_Layer:={k}"]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("\n".join([*lines, "", ""]).encode() + layers.tobytes())


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Scans `p4` and `p5` with their segmentations beside them."""
    for case, suffix in (("p4", ".nrrd"), ("p5", ".nii.gz")):
        write_image(scan(), tmp_path / "scans" / f"{case}{suffix}")
        segmentation(tmp_path / "scans" / f"{case}.seg.nrrd", scan())
    return tmp_path / "scans"


def check(sources: nifti.Listing, **options: str) -> None:
    assert [source.case_id for source in sources.cases] == ["p4", "p5"]
    assert not sources.errors
    for source in sources.cases:
        volumes = read_case(source, ConvertOptions(assume_hu=True, **options))
        assert volumes.emboli is not None
        assert np.array_equal(sitk.GetArrayFromImage(volumes.emboli), np.where(ONE, 1, 2 * TWO))
        assert [note.code for note in volumes.notes] == ["PE-NII-017", "PE-NII-017"]  # joined, and placed


def test_segmentations_beside_their_scans(scans: Path) -> None:
    assert [ref.case_id for ref in find_scans(scans)] == ["p4", "p5"]
    check(nifti.find_cases(scans, ConvertOptions(labels=str(scans))))
    pattern = str(scans / "{case}.seg.nrrd")
    check(nifti.find_cases(scans, ConvertOptions(labels=pattern)))
    only = nifti.find_cases(scans / "{case}.nrrd", ConvertOptions(labels=pattern))  # `p4.seg` is no case
    assert [source.case_id for source in only.cases] == ["p4"]


def test_segmentations_in_a_folder_of_labels(scans: Path, tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    for path in scans.glob("*.seg.nrrd"):
        path.rename(tmp_path / "labels" / path.name)
    check(nifti.find_cases(scans, ConvertOptions(labels=str(tmp_path / "labels"))))


def test_other_masks_among_the_scans_are_refused_as_before(scans: Path) -> None:
    for path in scans.glob("*.seg.nrrd"):
        path.unlink()
    with pytest.raises(ConfigurationError, match=r"PE-CONV-004.*a scan as well as a mask"):
        nifti.find_cases(scans, ConvertOptions(labels=str(scans)))


def test_segments_are_chosen_by_name(scans: Path) -> None:
    segmentation(scans / "p4.seg.nrrd", scan(), ("Embolus", "right lung"))
    (source, _) = nifti.find_cases(scans, ConvertOptions(labels=str(scans))).cases
    with pytest.raises(InputError, match=r"PE-SEG-003.*'Embolus', 'right lung'.*--segments"):
        read_case(source, ConvertOptions(assume_hu=True))
    volumes = read_case(source, ConvertOptions(assume_hu=True, segments="embol*"))
    assert volumes.emboli is not None
    assert np.array_equal(sitk.GetArrayFromImage(volumes.emboli), ONE)


def test_the_slices_command_finds_them_too(scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["slices", "nifti", str(scans), str(out), "--labels", str(scans), "--assume-hu"]) == 0
    label = sitk.ReadImage(str(out / "p4" / "emboli.nii.gz"))
    assert np.array_equal(sitk.GetArrayFromImage(label), np.where(ONE, 1, 2 * TWO))
    assert "p4: PE-NII-017" in capsys.readouterr().err


def test_a_segmentation_is_no_scan(scans: Path) -> None:
    with pytest.raises(InputError, match=r"PE-IN-003.*p4\.seg\.nrrd is a segmentation"):
        find_scans(scans / "p4.seg.nrrd")
