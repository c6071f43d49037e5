"""Edited labels in the files of the three programs become labels of a dataset: ids kept, changes said, nothing lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from pe_nnunet.cli import main
from pe_nnunet.dataset.raw import load_cases
from pe_nnunet.verification.datasets import check
from pe_nnunet.volumes import image_like, write_image
from tests.correction.conftest import Predict, ids_of, write_slicer

ONE, TWO, THREE = (np.s_[23:26, 30:33, x : x + 3] for x in (18, 45, 30))  # two that are there, and one that is not
BEYOND = np.s_[44:46, 30:33, 30:33]  # outside the lungs' box


def correct(*arguments: str | Path) -> int:
    return main(["correct", "-d", "501", "--by", "reader 1", *map(str, arguments)])


def drawn(*boxes: tuple[Any, int]) -> np.ndarray:
    ids = np.zeros((48, 64, 64), np.uint16)
    for where, number in boxes:
        ids[where] = number
    return ids


def on_scan(made: Path, case: str, ids: np.ndarray, path: Path) -> Path:
    """As ITK-SNAP saves a segmentation: NIfTI on the grid of the scan."""
    write_image(image_like(ids, sitk.ReadImage(str(made / "scans" / f"{case}.nii.gz"))), path)
    return path


def changes(path: Path) -> dict[int, tuple[str, int | None]]:
    (one,) = json.loads(path.read_text())
    return {change["id"]: (change["change"], change["other"]) for change in one["changes"]}


def is_whole(dataset: Path) -> bool:
    """Whether `pe-nnunet verify` finds no error."""
    return not [finding for finding in check(dataset, None).findings if finding.kind == "error"]


def test_an_edited_nifti(made: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edited = drawn((np.s_[23:26, 30:33, 18:20], 7), (THREE, 1))  # the first smaller, the second gone, a new one
    path = on_scan(made, "a", edited, tmp_path / "a_corrected.nii.gz")
    before = {p: p.read_bytes() for p in sorted(dataset.rglob("*")) if p.is_file()}
    assert correct(path, "--dry-run") == 0
    assert {p: p.read_bytes() for p in sorted(dataset.rglob("*")) if p.is_file()} == before
    assert correct(path, "--json", tmp_path / "said.json", "--csv", tmp_path / "said.csv") == 0
    assert "a: 1 added, 1 removed, 1 reshaped, compared with the dataset" in capsys.readouterr().out
    assert changes(tmp_path / "said.json") == {1: ("reshaped", None), 2: ("removed", None), 3: ("added", None)}
    assert (tmp_path / "said.csv").read_text().splitlines()[1].startswith("a,1,reshaped,1728.0,1152.0,0.8,,dataset,")
    record = load_cases(dataset)["a"]
    assert record.embolus_mm3 == {1: 1152.0, 3: 1728.0}
    label, ids = (ids_of(dataset / folder / "a.nii.gz") for folder in ("labelsTr", "pe_nnunet/instances"))
    assert np.array_equal(label == 2, ids > 0)
    assert np.array_equal(ids[ids > 0], edited[record.box.slices][ids > 0] % 2 * np.where(ids[ids > 0] == 1, 1, 3))
    artery = ids_of(dataset / "pe_nnunet/arteries/a.nii.gz")
    assert np.array_equal(label > 0, (artery > 0) | (ids > 0))
    kept = dataset / "pe_nnunet/corrections/a/0001"
    for role, folder in (("label", "labelsTr"), ("instances", "pe_nnunet/instances")):
        assert (kept / "before" / role / "a.nii.gz").read_bytes() == before[dataset / folder / "a.nii.gz"]
    said = json.loads((kept / "correction.json").read_text())
    assert (said["by"], said["when"][:2], said["edited"]) == ("reader 1", "20", "a_corrected.nii.gz")
    assert not (kept / "after").exists()
    assert is_whole(dataset)
    again = on_scan(made, "a", drawn((ONE, 1), (TWO, 2)), tmp_path / "a.nii.gz")
    assert correct(again, "--json", tmp_path / "said.json") == 0
    assert changes(tmp_path / "said.json") == {1: ("reshaped", None), 3: ("removed", None), 4: ("added", None)}
    labels = ("--labels", str(made / "labels"))
    assert main(["convert", "nifti", str(made / "converted"), "-d", "501", *labels, "--resume"]) == 2
    assert "PE-COR-009" in capsys.readouterr().err


def test_on_the_crop_of_the_dataset(dataset: Path, tmp_path: Path) -> None:
    """Drawn on imagesTr, with one value for all: its parts are the emboli; given by its folder."""
    tmp_path = tmp_path / "edited"
    tmp_path.mkdir()
    image = sitk.ReadImage(str(dataset / "imagesTr/b_0000.nii.gz"))
    ids = ids_of(dataset / "pe_nnunet/instances/b.nii.gz")
    write_image(image_like((ids > 0).astype(np.uint8), image), tmp_path / "b.mha")
    assert correct(tmp_path, "--json", tmp_path.parent / "said.json") == 0
    assert changes(tmp_path.parent / "said.json") == {1: ("unchanged", None), 2: ("unchanged", None)}
    assert np.array_equal(ids_of(dataset / "pe_nnunet/instances/b.nii.gz"), ids)


def test_slicer_on_a_scan_that_is_new(
    made: Path, dataset: Path, predict: Predict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Edited from what was predicted: two layers, one renamed by nobody; added with its image, in one fold of each."""
    scan = predict("new", (ONE, 0.9, 1.0), (THREE, 0.6, 0.5))  # embolus 1 is right, 2 is none, one was missed
    layers = [drawn((ONE, 1)), drawn((TWO, 1))]
    path = write_slicer(tmp_path / "new.seg.nrrd", scan.image, layers, [("Embolus 1", 0, 1), ("Segment_1", 1, 1)])
    assert correct(path, "--predictions", tmp_path / "out") == 2
    assert "PE-COR-003" in capsys.readouterr().err
    given = ("-i", made / "scans" / "new", "--predictions", tmp_path / "out", "--case", "new")
    assert correct(path, *given) == 2
    assert "PE-CONV-008" in capsys.readouterr().err
    assert correct(path, *given, "--artery", made / "arteries", "--json", tmp_path / "said.json") == 0
    assert changes(tmp_path / "said.json") == {1: ("unchanged", None), 2: ("removed", None), 3: ("added", None)}
    record, content = load_cases(dataset)["new"], json.loads((dataset / "dataset.json").read_text())
    assert (sorted(record.embolus_mm3), content["numTraining"]) == ([1, 3], 4)
    assert ids_of(dataset / "imagesTr/new_0000.nii.gz").shape == record.box.shape
    splits = json.loads((dataset / "splits_final.json").read_text())
    assert [sum("new" in fold[part] for fold in splits) for part in ("train", "val")] == [2, 1]
    assert is_whole(dataset)


def test_dicom_seg(made: Path, dataset: Path, predict: Predict, write_seg: Callable[..., Path], tmp_path: Path) -> None:
    """Ours as it is, by its tracking UIDs; and as OHIF exports it: numbered anew, no empty frames, another name."""
    scan = predict("new", (TWO, 0.9, 1.0), (ONE, 0.7, 1.0))
    given = ("-i", made / "scans", "--predictions", tmp_path / "out", "--artery", made / "arteries")
    said = tmp_path / "said.json"
    assert correct(tmp_path / "out" / "new_seg.dcm", *given, "--json", said, "--dry-run") == 0
    assert changes(said) == {1: ("unchanged", None), 2: ("unchanged", None)}
    ids = drawn((ONE, 1), (THREE, 2))
    assert scan.dicom is not None
    path = write_seg(tmp_path / "Segmentation", scan.dicom.files, ids.astype(np.uint8), ["Embolus 2", "Segment 2"])
    assert correct(path, *given, "--json", said) == 0
    assert changes(said) == {1: ("removed", None), 2: ("unchanged", None), 3: ("added", None)}
    assert load_cases(dataset)["new"].patient == scan.dicom.patient_key


def test_what_lies_elsewhere_is_refused(
    made: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is resampled; the others are taken."""
    good = on_scan(made, "b", drawn((ONE, 1)), tmp_path / "b.nii.gz")
    moved = image_like(drawn((ONE, 1)), sitk.ReadImage(str(made / "scans/a.nii.gz")))
    moved.SetOrigin([mm + 2 for mm in moved.GetOrigin()])
    write_image(moved, tmp_path / "a.nii.gz")
    write_image(moved, tmp_path / "other.nii.gz")
    assert correct(tmp_path / "a.nii.gz", good, tmp_path / "other.nii.gz") == 3
    said = capsys.readouterr()
    assert said.err.count("PE-COR-002") == said.err.count("PE-COR-001") == 1
    assert "1 labels taken" in said.out
    assert not (dataset / "pe_nnunet/corrections/a").exists()
    (tmp_path / "edited").mkdir()
    assert correct(tmp_path / "edited") == 2
    assert "holds no file" in capsys.readouterr().err
    write_image(moved, tmp_path / "b-2.nii.gz")
    assert correct(good, tmp_path / "b-2.nii.gz") == 2
    assert "several files are of b" in capsys.readouterr().err


def test_the_crop_grows(made: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = on_scan(made, "a", drawn((ONE, 1), (BEYOND, 2)), tmp_path / "a.nii.gz")
    assert correct(path) == 2
    assert "PE-COR-003" in capsys.readouterr().err
    old = load_cases(dataset)["a"].box
    assert correct(path, "-i", made / "scans") == 0
    record = load_cases(dataset)["a"]
    assert record.box.shape[0] > old.shape[0]
    whole = ids_of(made / "scans/a.nii.gz")
    assert np.array_equal(ids_of(dataset / "imagesTr/a_0000.nii.gz"), whole[record.box.slices])
    assert (ids_of(dataset / "pe_nnunet/instances/a.nii.gz") > 0).sum() == 27 + 18
    assert is_whole(dataset)


def test_a_scan_is_known_by_its_content(
    made: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Called otherwise than in the dataset it is that of its case, and of no other."""
    ct = tmp_path / "patient" / "ct.nii.gz"
    ct.parent.mkdir()
    ct.write_bytes((made / "scans/a.nii.gz").read_bytes())
    beyond = on_scan(made, "a", drawn((ONE, 1), (BEYOND, 2)), tmp_path / "a.nii.gz")
    for case in ("other", "../a", "a/b"):
        assert correct(beyond, "-i", ct, "--case", case) == 2
        assert "PE-COR-001" in capsys.readouterr().err
    assert set(load_cases(dataset)) == {"a", "b", "c"}
    named = beyond.rename(tmp_path / "ct.nii.gz")
    assert correct(named, "-i", ct) == 0
    assert "a: " in capsys.readouterr().out
    of_a = dataset / "pe_nnunet/corrections/a"
    assert correct(named, "-i", ct) == 0
    (of_a / "0001").rename(tmp_path / "0001")
    second = (of_a / "0002" / "correction.json").read_bytes()
    assert correct(named, "-i", ct) == 0
    assert (of_a / "0003").is_dir()
    assert (of_a / "0002" / "correction.json").read_bytes() == second


@pytest.mark.parametrize("step", [3, 6, 7, 9, 11])
def test_killed_in_between(
    step: int, made: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is written last: nothing of the old label is lost, and the next run ends what was decided."""
    path = on_scan(made, "a", drawn((THREE, 4)), tmp_path / "a.nii.gz")
    old = (dataset / "labelsTr/a.nii.gz").read_bytes()
    count, replace = 0, Path.replace

    def dies(self: Path, target: Path) -> Path:
        nonlocal count
        count += 1
        if count == step:
            raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", dies)
        correct(path)
    decided = (dataset / "pe_nnunet/corrections/a/0001").is_dir()
    if not decided:
        assert (dataset / "labelsTr/a.nii.gz").read_bytes() == old
        assert correct(path) == 0
    assert correct() == 0  # ends what was begun
    assert (dataset / "pe_nnunet/corrections/a/0001/before/label/a.nii.gz").read_bytes() == old
    assert load_cases(dataset)["a"].embolus_mm3 == {3: 1728.0}
    assert is_whole(dataset)
