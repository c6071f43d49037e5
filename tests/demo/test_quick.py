"""Without training: a model on one scan, and what is said of it."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from pe_nnunet.cases.output_folder import LAYOUT, OutputFolder
from pe_nnunet.cli import main
from pe_nnunet.demo import quick
from pe_nnunet.demo.command import Step
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.files.locks import is_locked
from pe_nnunet.inference import shipped
from pe_nnunet.outputs.cohort_files import CaseSummary
from pe_nnunet.outputs.results_index import IndexRow, ResultsIndex

PREDICTED = """import pathlib, sys
out = pathlib.Path(sys.argv[1])
out.mkdir(exist_ok=True)
(out / "summary.csv").write_text("case,pe_score\\na,0.9\\nb,0.0\\n")
head = "id,x,y,z,prob,volume_mm3,kept,level\\n"
(out / "a_emboli.csv").write_text(head + "1,10.5,-20.25,30,0.91,812.4,1,lobar\\n2,1,2,3,0.2,5,0,\\n")
(out / "b_emboli.csv").write_text(head)
"""


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "plans.json").write_text("{}")
    (folder / "dataset.json").write_text('{"labels": {"background": 0, "PE": 1}, "notice": "Rendered scans only."}')
    return folder


def test_a_starter_that_is_not_there_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(shipped, "SHIPPED", {"starter": tmp_path / "none"})
    monkeypatch.setattr("pe_nnunet.inference.named_models.SHIPPED", shipped.SHIPPED)
    assert main(["demo", "--quick", "--out", str(tmp_path / "demo")]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith("PE-MODEL-030")
    assert not (tmp_path / "demo").exists()


def test_each_scan_has_its_table_its_picture_and_its_page(tmp_path, capsys, monkeypatch, model):
    scan = tmp_path / "scan.nii.gz"
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((2, 2, 2), np.int16)), str(scan))
    commands = []

    def predict(*asked):
        commands.append(quick_predict(*asked).command)
        out = asked[1]
        return Step("find emboli", (sys.executable, "-c", PREDICTED, str(out)), (out / "summary.csv",))

    quick_predict = quick._predict
    monkeypatch.setattr(quick, "_predict", predict)
    arguments = ["demo", "--quick", "--out", str(tmp_path / "demo"), "-device", "cpu", "-m", str(model)]
    assert main([*arguments, "--scan", str(scan)]) == 0
    said = capsys.readouterr().out
    (command,) = commands
    assert command[command.index("-i") + 1] == str(scan)
    assert command[command.index("-m") + 1] == str(model)
    assert "a: 1 emboli" in said
    assert "10.5, -20.2, 30.0       812         0.91  lobar" in " ".join(said.split(" ")).replace("  ", "  ")
    assert "b: no embolus" in said
    assert "a_report.html" in said
    assert "Notice of the model: Rendered scans only." in said


def test_tables_that_cannot_be_read_are_one_line(tmp_path):
    (tmp_path / "summary.csv").write_text("case\n" + "a" * 200_000)  # a field that csv takes for too long
    with pytest.raises(ConfigurationError, match=r"PE-DEMO-001: .*summary.csv cannot be read: field larger"):
        quick._cases(OutputFolder(tmp_path, 0))
    with pytest.raises(ConfigurationError, match=r"PE-DEMO-001: .*a_emboli.csv cannot be read"):
        list(quick._case_lines(tmp_path, "a"))
    (tmp_path / "summary.csv").write_text("scan\na\n")
    with pytest.raises(ConfigurationError, match=r"PE-DEMO-001: .*summary.csv cannot be read: .*case"):
        quick._cases(OutputFolder(tmp_path, 0))
    for table in ("id,x\n1,2\n", "id,x,y,z,prob,volume_mm3,kept,level\n1,ten,2,3,0.9,5,1,\n"):
        (tmp_path / "a_emboli.csv").write_text(table)
        with pytest.raises(ConfigurationError, match=r"PE-DEMO-001: .*a_emboli.csv cannot be read: .*(kept|ten)"):
            list(quick._case_lines(tmp_path, "a"))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--scan", "scan.nii.gz"], "--scan: no meaning without --quick"),
        (["-m", "starter"], "-m: no meaning without --quick"),
        (["--quick", "--seed", "2", "--no-detector"], "--seed, --no-detector: no meaning with --quick"),
        (["--quick", "--again"], "--again: no meaning with --quick"),
    ],
)
def test_options_that_would_be_left_out_are_refused(tmp_path, capsys, options, named):
    assert main(["demo", "--out", str(tmp_path / "demo"), *options]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"PE-DEMO-002: {named}")
    assert not (tmp_path / "demo").exists()


def test_of_so_many_scans_that_there_is_an_index_each_is_listed_and_the_folder_is_held(tmp_path, monkeypatch, model):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    real = quick._predict

    def predict(*asked):
        assert is_locked(tmp_path / "quick" / "steps" / "lock")
        written = OutputFolder(asked[1], 2)
        written.of("a").mkdir(parents=True)
        (asked[1] / LAYOUT).write_text('{"subfolder_digits": 2}')
        (written.of("a") / "a_emboli.csv").write_text("id,x,y,z,prob,volume_mm3,kept,level\n")
        with ResultsIndex(written) as index:
            index.add(IndexRow(CaseSummary("a", 0.0, 0, 0.0, 1.0), "", "", ""))
        return replace(real(*asked), command=(sys.executable, "-c", ""))

    monkeypatch.setattr(quick, "_predict", predict)
    said = quick.run_quick(tmp_path, str(model), model)
    assert "a: no embolus" in said
    assert f"page: {tmp_path / 'quick' / 'predictions_own' / 'ca' / 'a_report.html'}" in said
