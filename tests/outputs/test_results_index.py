"""The index of many results: appended, read by others, and right whatever part of it is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from pe_nnunet.cases.output_folder import FLAT_UP_TO, OutputFolder, begun_output, output_folder
from pe_nnunet.errors import InputError
from pe_nnunet.outputs import CaseSummary
from pe_nnunet.outputs.results_index import INDEX, IndexRow, ResultsIndex


def row(case: str, score: float = 0.5) -> IndexRow:
    return IndexRow(CaseSummary(case, score, 2, 10.0, 1.5, ("a", "b")), "inputs", "models", "emboli table")


def test_rows_are_appended_and_the_latest_of_a_case_counts(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("pe_nnunet.outputs.results_index.ROWS", 2)
    output = OutputFolder(tmp_path, 2)
    with ResultsIndex(output) as index:
        for case in "abcde":
            index.add(row(case))
    files = sorted((tmp_path / INDEX).iterdir())
    assert len(files) == 3
    before = [file.read_bytes() for file in files]
    with ResultsIndex(output) as index:
        index.add(row("b", 0.9))
        index.write()
        assert [file.read_bytes() for file in files] == before
        rows = index.rows()
        assert {case: found.summary.pe_score for case, found in rows.items()} == dict.fromkeys("acde", 0.5) | {"b": 0.9}
        assert rows["a"] == row("a")
        index.compact(without={"c"})
        assert index.rows() == {case: found for case, found in rows.items() if case != "c"}
    assert len(list((tmp_path / INDEX).iterdir())) == 1


def test_pandas_and_duckdb_read_it(tmp_path: Path) -> None:
    pandas, duckdb = pytest.importorskip("pandas"), pytest.importorskip("duckdb")
    for case in "ab":  # two files
        with ResultsIndex(OutputFolder(tmp_path, 2)) as index:
            index.add(row(case))
    table = pandas.read_parquet(tmp_path / INDEX)
    assert table[["case", "folder", "emboli"]].to_numpy().tolist() == [["a", "ca", 2], ["b", "3e", 2]]
    rows = duckdb.read_parquet(f"{tmp_path}/{INDEX}/part-*.parquet").filter("pe_score >= 0.5")
    assert rows.aggregate("count(*), sum(emboli)").fetchall() == [(2, 4)]


def test_a_damaged_file_of_the_index_is_left_out(tmp_path: Path, capsys) -> None:
    with ResultsIndex(OutputFolder(tmp_path, 2)) as index:
        index.add(row("a"))
    (tmp_path / INDEX / "part-0.parquet").write_bytes(b"PAR1, half")
    index = ResultsIndex(OutputFolder(tmp_path, 2))
    assert list(index.rows()) == ["a"]
    assert "PE-OUT-018" in capsys.readouterr().err
    index.compact()
    assert (tmp_path / INDEX / "part-0.parquet").exists()  # a person's to look at


def test_a_folder_keeps_the_layout_of_its_first_run(tmp_path: Path) -> None:
    assert begun_output(tmp_path, FLAT_UP_TO).digits == 0
    new = [tmp_path / name for name in ("many", "more", "used", "parts")]
    for folder in new:
        folder.mkdir()
    (new[2] / "errors.json").write_text("[]")
    (new[3] / "part_0_of_2").mkdir()
    assert [begun_output(folder, FLAT_UP_TO + 1).digits for folder in new[::2]] == [2, 0]
    assert [begun_output(folder, 10**6).digits for folder in new] == [2, 3, 0, 0]
    assert [output_folder(folder).digits for folder in new] == [2, 3, 0, 0]
    assert begun_output(new[1], 1).of("a") == new[1] / "ca9"
    (new[1] / "layout.json").write_text('{"subfolder_digits": "2"}')
    with pytest.raises(InputError, match="PE-CLU-023"):
        output_folder(new[1])
