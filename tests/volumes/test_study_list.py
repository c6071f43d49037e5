"""Lists of studies: their order, names, and what is wrong with them."""

from pathlib import Path

import pytest
import SimpleITK as sitk

from pe_nnunet.errors import InputError, PEError
from pe_nnunet.volumes import read_scan
from pe_nnunet.volumes.study_list import listed_scans


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    for name in ("x/one.nii.gz", "y/two.nii.gz"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True)
        sitk.WriteImage(sitk.Image(4, 4, 4, sitk.sitkInt16), str(path))
    return tmp_path


def test_a_csv_in_its_order_with_a_study_that_is_not_there(scans):
    file = scans / "list.csv"
    file.write_text("site,path\nA,data/y/two.nii.gz\nB,data/gone\nA,data/x\n")
    refs, root = listed_scans(file, {})
    assert [ref.case_id for ref in refs] == ["y_two", "gone", "x_one"]
    assert root == scans / "data"
    with pytest.raises(PEError):
        read_scan(refs[1])


def test_parquet_says_what_cases_are_called(scans):
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    file = scans / "list.parquet"
    paths = [str(scans / "data" / "x"), "data/y/two.nii.gz"]
    parquet.write_table(pyarrow.table({"case": ["p1", "p2"], "path": paths, "age": [1, 2]}), file)
    refs, _ = listed_scans(file, {})
    assert [(ref.case_id, ref.path.name) for ref in refs] == [("p1", "one.nii.gz"), ("p2", "two.nii.gz")]
    file.write_bytes(b"no parquet")
    with pytest.raises(InputError, match=r"PE-CLU-007.*cannot be read"):
        listed_scans(file, {})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no rows"),
        ("Path\na\n", "did you mean|columns are Path"),
        ("path,case\ndata/x,a\ndata/y,A\n", "two scans"),
        ("path,case\ndata/x,a\ndata/x,A\n", "two scans"),
        ("path\ndata/x\ndata/y\ndata/x\n", "twice"),
        ("path,case\ndata/x,a b\n", "expected letters"),
        ("path,case\ndata/x,\n", "row 1 has an empty cell"),
        ("path\ndata/x\ndata/x,y\n", "row 2 has more cells"),
        ("name\na,data/x\n", "row 1 has more cells"),
    ],
)
def test_what_is_no_list_is_refused(scans, text, says):
    file = scans / "list.csv"
    file.write_text(text)
    with pytest.raises(InputError, match=f"PE-CLU-007.*({says})"):
        listed_scans(file, {})
