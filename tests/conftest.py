"""What several rooms' tests share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FreshPython = Callable[..., Any]


@pytest.fixture
def fresh_python(tmp_path: Path) -> FreshPython:
    """Run code in a fresh interpreter in an empty folder, without this shell's settings of nnU-Net and of ours.

    The code assigns to `answer`, which comes back by way of JSON; keyword arguments are environment variables.
    """
    folder = tmp_path / "empty"

    def run(code: str, *, python: str | Path = sys.executable, isolated: bool = False, **variables: str) -> Any:
        folder.mkdir(exist_ok=True)
        dropped = ("nnUNet_", "PE_NNUNET_", "TORCH_DEVICE_BACKEND_AUTOLOAD", "PYTHONPATH")
        environment = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
        environment |= {"OMP_NUM_THREADS": "1"} | variables
        done = subprocess.run(
            [python, *(["-I"] if isolated else []), "-c", f"{code}\nimport json; print(json.dumps(answer))"],
            capture_output=True,
            text=True,
            cwd=folder,
            env=environment,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run
