"""The same command on two raylets: the same files, byte for byte, but for times in manifests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import SimpleITK as sitk

from pe_nnunet.cli import main

TIMES = {"seconds", "timings_s"}


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))


@pytest.fixture
def scans(tmp_path, thorax) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    for name in ("a", "b", "d"):
        sitk.WriteImage(thorax + ord(name), str(folder / f"{name}.nii.gz"))
    (folder / "c.nii.gz").write_text("no image")
    return folder


def content(folder: Path) -> dict[str, object]:
    """What each file holds, without times."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".json" and path.name != "errors.json":
            manifest = json.loads(path.read_text())
            found[path.name] = {name: value for name, value in manifest.items() if name not in TIMES}
        elif path.name == "summary.csv":
            found[path.name] = [line.split(",")[:4] for line in path.read_text().splitlines()]
        elif path.is_file() and path.suffix != ".lock":
            found[path.name] = path.read_bytes()
    return found


def test_predict_fused_writes_the_same_and_resumes(cluster, scans, model_folder, tmp_path, capsys) -> None:
    model = model_folder(log_odds=(2.0,), patch=(32, 32, 32))
    common = ["predict-fused", "-i", scans, "-m", model, "-device", "cpu", "--fast"]
    on_ray = ["--engine", "ray", "--address", cluster]

    def run(out: str, *more: object) -> str:
        capsys.readouterr()
        assert main([*map(str, (*common, "-o", tmp_path / out, *more))]) == 3
        return capsys.readouterr().out

    run("here")
    run("ray", *on_ray)
    assert content(tmp_path / "ray") == content(tmp_path / "here")
    (tmp_path / "ray" / "b.nii.gz").unlink()
    told = run("ray", "--resume", *on_ray)
    assert told.count("there already") == 2
    assert "b: again: its files are not as they were written" in told
    assert content(tmp_path / "ray") == content(tmp_path / "here")
