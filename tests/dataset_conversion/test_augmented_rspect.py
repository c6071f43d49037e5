"""Augmented RSPECT: boxes on slices become instances that give the same boxes back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from pe_nnunet.dataset_conversion import ConversionReport, ConvertOptions, convert, restore
from pe_nnunet.dataset_conversion.augmented_rspect import Box2D, filled_boxes
from pe_nnunet.errors import InputError
from pe_nnunet.volumes import write_dicom_series, write_image

HEADING = "StudyInstanceUID,SeriesInstanceUID,SOPInstanceUID,Artery,x,y,width,height"
Rows = dict[str, list[tuple[int, str, str]]]  # by study: slice, artery, "x,y,width,height"

ROWS: Rows = {
    "1.2.3": [(k, "Left lower", f"{18 + k % 2},30,3,3") for k in range(23, 26)]
    + [(24, "Right main", "45.5,30.25,2.5,2.75"), (26, "Right main", "45,30,3,3")],
    "1.2.4": [(24, "Left lower", "62,20,6,4")],
}


def write_dataset(root: Path, draw: Callable[..., Any], rows: Rows = ROWS) -> Path:
    lines = [HEADING]
    for k, (study, boxes) in enumerate(rows.items()):
        folder = root / "train" / study / f"{study}.9"
        write_dicom_series(draw(2, seed=k).ct, folder, patient_id=study, entropy=study)
        uids = [str(pydicom.dcmread(file).SOPInstanceUID) for file in sorted(folder.iterdir())]  # lowest first
        for z, artery, box in boxes:
            lines.append(f"{study},{study}.9,{uids[z] if z < len(uids) else 'elsewhere'},{artery},{box}")
    (root / "augmented_rspect.csv").write_text("\n".join(lines))
    return root


def converted(src: Path, **settings: Any) -> ConversionReport:
    return convert("augmented-rspect", src, 501, "PE", ConvertOptions(folds=2, **settings))


def test_boxes_come_back_as_they_were_drawn(nnunet: Path, tmp_path: Path, draw: Callable[..., Any]) -> None:
    report = converted(write_dataset(tmp_path, draw))
    assert report.errors == ()
    assert list(report.cases) == ["1-2-3", "1-2-4"]
    ids = sitk.ReadImage(str(nnunet / "Dataset501_PE/pe_nnunet/instances/1-2-3.nii.gz"))
    found = sitk.GetArrayFromImage(restore(ids, report.cases["1-2-3"]))
    expected = np.zeros((48, 64, 64), np.uint16)
    expected[23, 30:33, 19:22] = expected[24, 30:33, 18:21] = expected[25, 30:33, 19:22] = 1
    expected[24, 30:33, 45:48] = 2
    expected[26, 30:33, 45:48] = 3  # a slice between them has no box: another embolus
    assert np.array_equal(found, expected)


def test_what_boxes_are_is_said(nnunet: Path, tmp_path: Path, draw: Callable[..., Any]) -> None:
    report = converted(write_dataset(tmp_path, draw))
    codes = [note.code for note in report.cases["1-2-4"].notes]
    assert "PE-CONV-036" in codes
    assert "PE-CONV-035" in codes  # of six columns two lie in the image
    said = " ".join(note.message for note in report.notes if note.code == "PE-CONV-023")
    assert "2 cases, 445 published" in said
    assert "6 boxes, 30243 published" in said


def test_labels_of_others_replace_the_boxes(nnunet: Path, tmp_path: Path, draw: Callable[..., Any]) -> None:
    src = write_dataset(tmp_path / "src", draw)
    for k, case in enumerate(("1-2-3", "1-2-4")):
        write_image(draw(2, seed=k).emboli, tmp_path / "better" / f"{case}.nii.gz")
    report = converted(src, labels=str(tmp_path / "better"))
    assert [record.embolus_count for record in report.cases.values()] == [2, 2]
    assert "PE-CONV-036" not in {note.code for note in report.cases["1-2-3"].notes}


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ((24, "a", "70,20,6,4"), "PE-CONV-035"),
        ((24, "a", "7,20,0,4"), "PE-CONV-035"),
        ((24, "a", "7,20,-3,4"), "PE-CONV-035"),
        ((24, "a", "7,nan,3,4"), "PE-CONV-027"),
        ((99, "a", "7,20,3,4"), "PE-CONV-035"),
    ],
)
def test_boxes_that_are_none_fail_their_case(
    nnunet: Path, tmp_path: Path, draw: Callable[..., Any], row: tuple[int, str, str], code: str
) -> None:
    report = converted(write_dataset(tmp_path, draw, {"1.2.3": [row], "1.2.4": ROWS["1.2.4"]}))
    assert [(error.case_id, error.code) for error in report.errors] == [("1-2-3", code)]
    assert list(report.cases) == ["1-2-4"]


def test_studies_that_were_not_downloaded_are_errors(nnunet: Path, tmp_path: Path, draw: Callable[..., Any]) -> None:
    src = write_dataset(tmp_path, draw)
    with (src / "augmented_rspect.csv").open("a") as table:
        table.write("\n9.9,9.9.9,1,Left lower,1,1,2,2")
    assert [(error.case_id, error.code) for error in converted(src).errors] == [("9-9", "PE-IN-002")]


@pytest.mark.parametrize(
    "table", [None, "StudyInstanceUID,x\n1.2.3,4\n", f"{HEADING}\n1,a,s,A,1,1,1,1\n1,b,s,A,1,1,1,1\n"]
)
def test_tables_that_cannot_be_used(nnunet: Path, tmp_path: Path, table: str | None) -> None:
    (tmp_path / "train").mkdir()
    if table is not None:
        (tmp_path / "augmented_rspect.csv").write_text(table)
    with pytest.raises(InputError, match="PE-IN-002" if table is None else "PE-CONV-027"):
        converted(tmp_path)


@pytest.mark.parametrize(("study", "series"), [("..", "x"), ("1", "../../2"), ("/etc", "1"), ("1", ""), ("a/b", "1")])
def test_47_uids_in_a_table_are_no_paths(nnunet: Path, tmp_path: Path, study: str, series: str) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "augmented_rspect.csv").write_text(f"{HEADING}\n{study},{series},s,A,1,1,1,1\n")
    with pytest.raises(InputError, match=r"PE-CONV-027.*no UIDs"):
        converted(tmp_path)


def test_the_smaller_of_two_boxes_lies_on_top_and_groups_do_not_mix() -> None:
    boxes = {0: [Box2D("a", 0, 0, 2, 1), Box2D("b", 0, 0, 4, 1)], 1: [Box2D("b", 0, 0, 2, 1)]}
    assert filled_boxes(boxes, (2, 1, 4)).tolist() == [[[2, 2, 1, 1]], [[1, 1, 0, 0]]]
