"""The same commands on two raylets: the same files, byte for byte, but for times."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import SimpleITK as sitk

from pe_nnunet.cases import run_cases
from pe_nnunet.cli import main
from pe_nnunet.cluster import EngineSettings, engine_of
from tests.cluster import jobs
from tests.cluster.conftest import LEAN
from tests.cluster.stand_in_detector import write_detector
from tests.kill.compare import contents, left_behind


@pytest.fixture
def scans(tmp_path: Path, thorax: sitk.Image) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    for name in ("a", "b"):
        sitk.WriteImage(thorax + ord(name), str(folder / f"{name}.nii.gz"))
    (folder / "c.nii.gz").write_text("no image")
    return folder


@pytest.fixture
def run(cluster: str, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command here or on the cluster; returns what it said."""

    def command(*arguments: object, on_ray: bool = False, code: int = 0) -> str:
        capsys.readouterr()
        where = ["--engine", "ray", "--address", cluster] if on_ray else []
        assert main([*map(str, arguments), *where]) == code
        return capsys.readouterr().out

    return command


def test_predict_fused_and_its_resume(run, scans, model_folder, tmp_path) -> None:
    model = model_folder(log_odds=(2.0,), patch=(32, 32, 32))
    predict = ["predict-fused", "-i", scans, "-m", model, "-device", "cpu", "--fast", "--no-report", "-o"]
    here, ray = tmp_path / "here", tmp_path / "ray"
    run(*predict, here, code=3)
    run(*predict, ray, on_ray=True, code=3)
    assert contents(ray) == contents(here)
    (ray / "b.nii.gz").unlink()
    told = run(*predict, ray, "--resume", on_ray=True, code=3)
    assert "a: there already" in told
    assert "b: again: its files are not as they were written" in told
    assert contents(ray) == contents(here)
    assert not left_behind(ray)


def test_detect(run, scans, tmp_path) -> None:
    detector = write_detector(tmp_path / "fold_0")
    for name in ("here", "ray"):
        run("detect", "-i", scans, "--detector", detector, "-o", tmp_path / name, on_ray=name == "ray", code=3)
    assert contents(tmp_path / "ray") == contents(tmp_path / "here")
    found = json.loads((tmp_path / "ray" / "a_detections.json").read_text())
    assert found["lungs"] is not None
    assert [row["code"] for row in json.loads((tmp_path / "ray" / "errors.json").read_text())] == ["PE-IN-003"]


def test_convert_and_evaluate(run, scans, tmp_path, monkeypatch) -> None:
    (tmp_path / "none.txt").write_text("a\nb\nc\n")
    convert = ["convert", "nifti", scans, "-d", 501, "--folds", 2, "--negatives", tmp_path / "none.txt"]
    for name in ("here", "ray"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv("nnUNet_raw", str(tmp_path / name))
        run(*convert, on_ray=name == "ray", code=3)
    assert contents(tmp_path / "ray") == contents(tmp_path / "here")

    for folder, shift in (("labels", 0), ("predictions", 2)):
        (tmp_path / folder).mkdir()
        for name in "ab":
            mask = sitk.Image(20, 20, 20, sitk.sitkUInt8)
            mask[5 + shift : 12 + shift, 5:12, 5:12] = 1
            sitk.WriteImage(mask, str(tmp_path / folder / f"{name}.nii.gz"))
    for name in ("here", "ray"):
        evaluate = ["evaluate", "-i", tmp_path / "predictions", "-g", tmp_path / "labels"]
        run(*evaluate, "-o", tmp_path / f"{name}_scores", on_ray=name == "ray")
    assert contents(tmp_path / "ray_scores") == contents(tmp_path / "here_scores")


def test_each_worker_has_a_gpu_of_its_own(machines, tmp_path, tmp_path_factory) -> None:
    """Two GPUs that the machine says it has: Ray hides all but one from each worker, and nnU-Net takes that."""
    third = machines.add_node(**LEAN | {"num_cpus": 2, "num_gpus": 2})
    settings, folder = EngineSettings(engine="ray", address=machines.address), tmp_path_factory.mktemp("results")
    with engine_of(settings, folder, networks=True) as both:
        found = dict(run_cases(partial(jobs.double, str(tmp_path), 2), {str(k): k for k in range(8)}, engine=both))
    machines.remove_node(third, allow_graceful=False)
    assert {gpu for *_, gpu in found.values()} == {"0", "1"}
