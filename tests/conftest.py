"""What several rooms' tests share: fresh interpreters, and a wheel in an environment of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

FreshPython = Callable[..., Any]
REPOSITORY = Path(__file__).parents[1]
SOURCES = ("pe_nnunet", "planners", "trainers", "networks", "dataset_conversion")
FILES = ("pyproject.toml", "README.md", "LICENSE")


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


@pytest.fixture(scope="session")
def write_seg() -> Callable[..., Path]:
    """Write ids (z, y, x), or shares of voxels, as a DICOM SEG over the files of its slices, in their order."""

    def write(
        path: Path, files: Sequence[Path], ids: Any, names: Sequence[str], *, kind: str = "BINARY", syntax: str = ""
    ) -> Path:
        import highdicom
        import pydicom
        from pydicom.sr.codedict import codes
        from pydicom.uid import ExplicitVRLittleEndian, generate_uid

        descriptions = [
            highdicom.seg.SegmentDescription(
                segment_number=k,
                segment_label=name,
                segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
                segmented_property_type=codes.SCT.Embolus,
                algorithm_type="MANUAL",
            )
            for k, name in enumerate(names, 1)
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the patients of tests have odd names
            seg = highdicom.seg.Segmentation(
                source_images=[pydicom.dcmread(file) for file in files],
                pixel_array=ids,
                segmentation_type=kind,
                segment_descriptions=descriptions,
                series_instance_uid=generate_uid(),
                series_number=2,
                sop_instance_uid=generate_uid(),
                instance_number=1,
                manufacturer="test",
                manufacturer_model_name="test",
                software_versions="1",
                device_serial_number="1",
                transfer_syntax_uid=syntax or ExplicitVRLittleEndian,
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        seg.save_as(path)
        return path

    return write


def _pip(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def source_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources in another folder: building writes beside them, and stale build folders leak into wheels."""
    folder = tmp_path_factory.mktemp("source") / "project"
    folder.mkdir()
    for name in SOURCES:
        shutil.copytree(REPOSITORY / name, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(REPOSITORY / name, folder)
    return folder


@pytest.fixture(scope="session")
def wheel(source_copy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel."""
    return _build_wheel(source_copy, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def wheel_from_sdist(source_copy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel by way of a source distribution."""
    folder = tmp_path_factory.mktemp("sdist")
    code = f"import setuptools.build_meta as backend; backend.build_sdist({str(folder)!r})"
    done = subprocess.run([sys.executable, "-c", code], cwd=source_copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (sdist,) = folder.glob("*.tar.gz")
    return _build_wheel(sdist, tmp_path_factory.mktemp("wheel_from_sdist"))


def _build_wheel(source: Path, folder: Path) -> Path:
    _pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder, source)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def wheel_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the wheel and, by links, all third-party packages of this environment."""
    folder = tmp_path_factory.mktemp("environment")
    third_party = folder / "third_party"
    third_party.mkdir()
    for installed in sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}):
        for entry in Path(installed).iterdir():
            ours = entry.name.startswith(("pe_nnunet", "__editable__"))
            if not ours and entry.suffix != ".pth" and entry.name != "__pycache__":
                (third_party / entry.name).symlink_to(entry)
    venv.create(folder / "venv", symlinks=os.name != "nt", with_pip=False)
    python = folder / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    _pip("--python", python, "install", "--no-deps", "--no-index", "--no-compile", wheel)
    (site_packages,) = (folder / "venv").glob("**/site-packages")
    (site_packages / "third_party.pth").write_text(f"{third_party}\n")
    return python


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of third-party scans."""
    default = REPOSITORY / ".." / "shared" / "data"
    folder = Path(os.environ.get("PE_NNUNET_TEST_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}; PE_NNUNET_TEST_DATA names another folder")
    return folder
