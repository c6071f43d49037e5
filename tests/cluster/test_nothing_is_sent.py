"""A run on Ray that is started for it: no process of it sends a packet to another machine, or listens for one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import SimpleITK as sitk

from tests.cluster import watched

ALONE = ["unshare", "--map-root-user", "--net"]


@pytest.mark.skipif(
    not (shutil.which("unshare") and shutil.which("ip")) or subprocess.run([*ALONE, "true"], check=False).returncode,
    reason="no network of its own can be had for a process",
)
def test_a_run_on_ray_reaches_no_other_machine(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray (the extra `cluster`) is not installed")
    mask = sitk.Image(20, 20, 20, sitk.sitkUInt8)
    mask[5:12, 5:12, 5:12] = 1
    for folder in ("labels", "predictions"):
        (tmp_path / folder).mkdir()
        sitk.WriteImage(mask, str(tmp_path / folder / "a.nii.gz"))
    evaluate = ["evaluate", "-i", "predictions", "-g", "labels", "-o", "scores", "--engine", "ray"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        [*ALONE, sys.executable, watched.__file__, *evaluate],
        env=environment | {"PYTHONPATH": str(Path(__file__).parents[2])},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["code"] == 0
    assert (tmp_path / "scores" / "cases.csv").is_file()
    assert found["sent"] == [watched.MARK[0]]
    assert set(found["listening"]) <= {"127.0.0.1", "::1"}
    assert found["listening"], "Ray was not started"
