from __future__ import annotations

import shutil
from pathlib import Path

import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import SecondaryCaptureImageStorage, SegmentationStorage, generate_uid

from pe_nnunet.errors import InputError
from pe_nnunet.volumes import find_scans, read_scan, write_image
from pe_nnunet.volumes.find import case_ids, clean


def ids(path: Path) -> list[str]:
    return [ref.case_id for ref in find_scans(path)]


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["a/ct", "b/ct.nii.gz"], ["a", "b"]),
        (["a_0000.nii.gz", "b_0000.nii.gz"], ["a", "b"]),
        (["p1/s1/ct", "p1/s2/ct", "p2/s1/ct"], ["p1_s1", "p1_s2", "p2_s1"]),
        (["x/a/ct.nrrd", "x/b/ct.nrrd"], ["a", "b"]),
        (["a/x/1/ct", "b/x/2/ct"], ["a_1", "b_2"]),
        (["ct.nii.gz", "a/ct.nii.gz"], ["ct", "a_ct"]),
        (["a.b.mha", "Müller, P. (2).nii"], ["a-b", "M-ller-P-2"]),
        (["deep/er/scan7.nii.gz"], ["scan7"]),
        (["a/ct.nii.gz"], ["a"]),
        (["ct"], ["ct"]),
    ],
)
def test_case_ids(paths: list[str], expected: list[str]) -> None:
    assert case_ids([Path("in") / path for path in paths], Path("in")) == expected


def test_a_single_case_is_named_after_itself() -> None:
    assert case_ids([Path("in/study")], Path("in/study")) == ["study"]
    assert case_ids([Path("x/IM7.dcm")], Path("x/IM7.dcm")) == ["IM7"]


@pytest.mark.parametrize("names", [("a b", "a-b"), ("A", "a"), ("a", "a_0000")])
def test_ids_that_collide_are_refused(names: tuple[str, str]) -> None:
    with pytest.raises(InputError, match="PE-IN-004"):
        case_ids([Path("in") / f"{name}.nii.gz" for name in names], Path("in"))


@pytest.mark.parametrize(("name", "expected"), [("--x", "x"), ("...", "case"), ("a__b", "a__b"), ("ä", "case")])
def test_clean(name: str, expected: str) -> None:
    assert clean(name) == expected


def test_a_mixed_folder(make_series, thorax: sitk.Image, tmp_path: Path) -> None:
    make_series("in/a/ct", patient="A")
    make_series("in/b/ct", patient="B")
    for name in ("c/ct.nii.gz", "d/ct.NRRD", "e/ct.mha"):
        write_image(thorax, tmp_path / "in" / name.lower())
    found = find_scans(tmp_path / "in")
    assert [(ref.case_id, ref.kind) for ref in found] == [
        ("a", "dicom"),
        ("b", "dicom"),
        ("c", "file"),
        ("d", "file"),
        ("e", "file"),
    ]
    assert found[0].path == tmp_path / "in" / "a" / "ct"
    assert len(found[0].files) == 8
    assert all(read_scan(ref).image.GetSize() == (24, 20, 8) for ref in found)


def test_single_paths(make_series, thorax: sitk.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_series("study")
    write_image(thorax, tmp_path / "one_0000.nii.gz")
    assert ids(folder) == ["study"]
    assert ids(tmp_path / "one_0000.nii.gz") == ["one"]
    assert ids(folder / "IM00003.dcm") == ["IM00003"]
    monkeypatch.chdir(folder)
    assert ids(Path()) == ["study"]


def test_names_and_endings_of_dicom_files_mean_nothing(make_series, only) -> None:
    folder = make_series()
    expected = read_scan(only(folder)).sha256
    for k, path in enumerate(sorted(folder.iterdir(), reverse=True)):
        path.rename(folder / f"{k * 7919 % 101}{['', '.IMA', '.txt', '.1.2.3'][k % 4]}")
    assert read_scan(only(folder)).sha256 == expected, "hashed in the order of the slices"


def test_what_is_no_scan_is_ignored(make_series, tmp_path: Path) -> None:
    folder = make_series("scan")
    (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1" + bytes(200))
    (folder / "._IM00001.dcm").write_bytes(b"\0\5\26\7" + bytes(200))
    (folder / "report.pdf").write_bytes(b"%PDF-1.4\n" + bytes(200))
    (folder / "readme.txt").write_text("a thorax")
    (folder / "empty").write_bytes(b"")
    (folder / "noise").write_bytes(b"\x08\x00\x05\x00" + bytes(range(200)))
    directory = pydicom.Dataset()
    directory.file_meta = pydicom.dataset.FileMetaDataset()
    directory.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    directory.file_meta.MediaStorageSOPClassUID = pydicom.uid.MediaStorageDirectoryStorage
    directory.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    directory.FileSetID = "DISC"
    directory.save_as(tmp_path / "DICOMDIR", enforce_file_format=True)
    (found,) = find_scans(tmp_path)
    assert (found.case_id, len(found.files)) == ("scan", 8)


def test_other_objects_of_the_study_are_no_cases_of_their_own(make_series, tmp_path: Path) -> None:
    """A segmentation in the same folder, captures in another: only the CT is a case."""
    folder = make_series("study/ct")

    def other(path: Path, sop_class: str, modality: str) -> None:
        dataset = pydicom.dcmread(folder / "IM00001.dcm")
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = sop_class
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.SeriesInstanceUID, dataset.Modality = generate_uid(), modality
        path.parent.mkdir(exist_ok=True)
        dataset.save_as(path)

    other(folder / "seg.dcm", SegmentationStorage, "SEG")
    other(tmp_path / "study" / "captures" / "c.dcm", SecondaryCaptureImageStorage, "CT")
    (found,) = find_scans(tmp_path / "study")
    assert (found.path, len(found.files)) == (folder, 8)


def test_a_series_in_several_folders_is_one_scan_and_a_copy_another(make_series, tmp_path: Path) -> None:
    folder = make_series("in/part1")
    whole = read_scan(find_scans(folder)[0])
    shutil.copytree(folder, tmp_path / "copy" / "a")
    shutil.copytree(folder, tmp_path / "copy" / "b")
    (tmp_path / "in" / "part2").mkdir()
    for k in (2, 3, 7):
        (folder / f"IM0000{k}.dcm").rename(tmp_path / "in" / "part2" / f"{k}.dcm")
    (found,) = find_scans(tmp_path / "in")
    assert (found.path, len(found.files)) == (tmp_path / "in", 8)
    assert read_scan(found).sha256 == whole.sha256
    assert ids(tmp_path / "copy") == ["a", "b"]


def test_several_series_in_a_folder(make_series, tmp_path: Path) -> None:
    """Such a folder fails alone, names its series, and can be decided."""
    folder = make_series("in/a")
    for path in sorted(make_series("thin").iterdir())[:3]:
        dataset = pydicom.dcmread(path)
        dataset.SeriesInstanceUID, dataset.SeriesDescription = "1.2.3.4", "lung kernel"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.save_as(folder / f"other_{path.name}")
    make_series("in/b", patient="B")
    unclear, clear = find_scans(tmp_path / "in")
    assert (unclear.series_uid, len(unclear.files)) == (None, 11)
    with pytest.raises(InputError, match=r"PE-DCM-005.*1\.2\.3\.4 \(3 files, lung kernel\).*--series-uid"):
        read_scan(unclear)
    assert read_scan(clear).case_id == "b"
    (chosen,) = find_scans(tmp_path / "in", series_uid="1.2.3.4")
    assert read_scan(chosen).image.GetSize() == (24, 20, 3)
    largest = find_scans(tmp_path / "in", pick="largest-ct")
    assert [len(ref.files) for ref in largest] == [8, 8]
    with pytest.raises(InputError, match="PE-DCM-024"):
        find_scans(tmp_path / "in", series_uid="9.9")


def test_links_are_followed_once(make_series, tmp_path: Path) -> None:
    folder = make_series("elsewhere/scan")
    root = tmp_path / "in"
    root.mkdir()
    (root / "linked").symlink_to(folder)
    (root / "loop").symlink_to(root)
    (root / "broken.nii.gz").symlink_to(tmp_path / "nowhere")
    assert ids(root) == ["linked"]


def test_nothing_to_find(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="PE-IN-001"):
        find_scans(tmp_path)
    (tmp_path / "notes.txt").write_text("no scan here")
    with pytest.raises(InputError, match="PE-IN-001"):
        find_scans(tmp_path)
    with pytest.raises(InputError, match="PE-IN-003"):
        find_scans(tmp_path / "notes.txt")
    with pytest.raises(InputError, match="PE-IN-002"):
        find_scans(tmp_path / "nowhere")


@pytest.mark.parametrize("kind", ["zip", "xztar"])
def test_an_archive_is_to_be_extracted(tmp_path: Path, kind: str) -> None:
    (tmp_path / "study").mkdir()
    archive = shutil.make_archive(str(tmp_path / "study"), kind, tmp_path / "study")
    with pytest.raises(InputError, match=r"PE-IN-003.*extract it first"):
        find_scans(Path(archive))
