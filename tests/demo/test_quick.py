"""Without training: a model on one scan, and what is said of it."""

import sys

import numpy as np
import pytest
import SimpleITK as sitk

from pe_nnunet.cli import main
from pe_nnunet.demo import quick
from pe_nnunet.demo.command import Step
from pe_nnunet.inference import shipped

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
