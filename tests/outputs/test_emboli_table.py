from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from pe_nnunet.errors import InputError
from pe_nnunet.outputs import CaseResult, read_emboli_csv
from pe_nnunet.outputs.emboli_table import COLUMNS, emboli_csv


def test_columns_and_positions(case: CaseResult) -> None:
    rows = list(csv.DictReader(io.StringIO(emboli_csv(case.emboli.candidates, case.image))))
    assert tuple(rows[0]) == COLUMNS
    assert [(r["id"], r["prob"], r["volume_mm3"], r["kept"]) for r in rows] == [
        ("1", "0.95", "864.000", "1"),
        ("2", "0.6", "81.000", "1"),
        ("3", "0.2", "4.500", "0"),
    ]
    assert [int(rows[0][f"voxel_{axis}"]) for axis in "xyz"] == [40, 30, 10]
    assert rows[0]["level"] == ""
    position = [float(rows[0][axis]) for axis in "xyz"]
    np.testing.assert_allclose(position, case.image.TransformIndexToPhysicalPoint((40, 30, 10)), atol=1e-3)


def test_artery_and_level_of_kept_emboli(case: CaseResult) -> None:
    rows = list(csv.DictReader(io.StringIO(emboli_csv(case.emboli.candidates, case.image, {1: 12.34}))))
    assert [(r["artery_mm"], r["level"]) for r in rows] == [("12.3", "lobar"), ("", ""), ("", "")]


def test_round_trip(case: CaseResult, tmp_path: Path) -> None:
    path = tmp_path / "case_1_emboli.csv"
    path.write_text(emboli_csv(case.emboli.candidates, case.image))
    markers = read_emboli_csv(path)
    for marker, row in zip(markers, case.emboli.candidates, strict=True):
        assert (marker.id, marker.kept) == (row.id, row.kept)
        assert marker.probability == pytest.approx(row.probability, abs=1e-6)
        assert marker.volume_mm3 == pytest.approx(row.volume_mm3, abs=1e-3)
        index = case.image.TransformPhysicalPointToIndex(marker.position_lps_mm)
        assert index[::-1] == row.voxel_zyx


def test_a_scan_without_candidates_has_a_table_with_a_header_only(case: CaseResult, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(emboli_csv((), case.image))
    assert path.read_text() == ",".join(COLUMNS) + "\n"
    assert read_emboli_csv(path) == []


@pytest.mark.parametrize(
    "text",
    [
        "id,x,y,z,prob\n1,-1.5,2,3,0.25\n",
        "\ufeffid;x;y;z;prob\r\n1;-1,5;2,0;3,0;0,25\r\n",
        "prob\tZ\tY\tX\tID\n0.25\t3\t2\t-1.5\t1\n\n",
        " id , x, y, z, prob, remark\n1, -1.5, 2, 3, 0.25, seen\n",
        '"","id","x","y","z","prob"\n"1",1,-1.5,2,3,0.25\n',  # of write.csv in R
    ],
)
def test_tables_of_other_tools_and_spreadsheets_are_read(text: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode("utf-8"))
    (marker,) = read_emboli_csv(path)
    assert (marker.id, marker.position_lps_mm, marker.probability) == (1, (-1.5, 2.0, 3.0), 0.25)
    assert (marker.volume_mm3, marker.kept) == (None, True)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "lacks the columns"),
        ("id,x,y,z\n1,2,3,4\n", "lacks the columns prob"),
        ("id,x,y,z,prob\n1,2,three,4,0.5\n", "line 2"),
        ("id,x,y,z,prob\n1,2,3\n", "line 2"),
        ("id,x,y,z,prob\n1,2,3,4,0.5\n1,2,3,4,nan\n", "line 3"),
        ("id,x,y,z,prob\n1,2,3,4,1.5\n", "line 2"),
        ("id,x,y,z,prob\n1,2,inf,4,0.5\n", "line 2"),
        pytest.param("id,x,y,z,prob\n1,2,3,4,0.5\n" + "9" * 200_000, "line 3", id="a field too long for csv"),
    ],
)
def test_what_is_no_such_table_is_refused(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=f"PE-OUT-011.*{says}"):
        read_emboli_csv(path)


def test_binary_and_missing_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="PE-OUT-011"):
        read_emboli_csv(tmp_path / "t.csv")
    with pytest.raises(InputError, match="PE-IN-002"):
        read_emboli_csv(tmp_path / "none.csv")
