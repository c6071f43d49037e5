from __future__ import annotations

from pathlib import Path

import pytest

from pe_nnunet.dataset_conversion.public_dataset import number, read_table
from pe_nnunet.errors import InputError

COLUMNS = ("study", "width")


@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_51_tables_as_programs_leave_them(tmp_path: Path, bom: str, end: str, delimiter: str) -> None:
    decimal = "12.5" if delimiter == "," else "12,5"
    lines = [delimiter.join(row) for row in ((" study", "other", "width "), ("a", "x", decimal), ("b", "", '" 3 "'))]
    (tmp_path / "t.csv").write_bytes((bom + end.join(lines) + end + end).encode())
    rows = list(read_table(tmp_path / "t.csv", COLUMNS))
    assert [row["study"] for row in rows] == ["a", "b"]
    assert [number(row["width"], "t.csv") for row in rows] == [12.5, 3.0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"study,height\na,1\n", "PE-CONV-027: t.csv lacks width; it has study, height"),
        (b"study,other,width\na,1\n", "PE-CONV-027: t.csv, row 2 is cut off"),
        (b"", "PE-CONV-027: t.csv lacks study, width"),
        (b"study,width\n\xff\xfe\n", "PE-CONV-027: t.csv cannot be read"),
    ],
)
def test_51_tables_that_cannot_be_used(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(InputError, match=said):
        list(read_table(tmp_path / "t.csv", COLUMNS))


@pytest.mark.parametrize("text", ["", "x", "1,2,3", "nan", "inf"])
def test_51_what_is_no_number(text: str) -> None:
    with pytest.raises(InputError, match="PE-CONV-027"):
        number(text, "t.csv")
