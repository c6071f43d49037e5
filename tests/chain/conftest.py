"""A tiny dataset, and nnU-Net's commands as a user starts them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pe_nnunet.dataset_conversion import ConvertOptions, convert
from pe_nnunet.phantom import PhantomSettings, write_cohort

DATASET = "Dataset501_Tiny"
RECIPE = "epochs=1 iterations=2 validation_iterations=1 test_time_mirroring=no"
TRAINING = "PETARUNetTrainer__PETARUNetPlans"


@dataclass(frozen=True)
class Chain:
    """Folders and a way to run a command in them.

    Attributes:
        folder: Of everything.
        environment: nnU-Net's three variables and few processes; nothing else of ours.
        scans: The phantom cohort.
    """

    folder: Path
    environment: dict[str, str]
    scans: Path

    @property
    def results(self) -> Path:
        return Path(self.environment["nnUNet_results"]) / DATASET

    @property
    def raw(self) -> Path:
        return Path(self.environment["nnUNet_raw"]) / DATASET

    @property
    def preprocessed(self) -> Path:
        return Path(self.environment["nnUNet_preprocessed"]) / DATASET

    def run(
        self, *command: str | Path, code: int = 0, python: Path | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a console script of this environment, or of the one whose interpreter is given."""
        arguments = [str(part) for part in command]
        if python is None:
            arguments[0] = str(Path(sys.executable).parent / arguments[0])
        else:  # its third-party packages are links without scripts: start the entry point by name
            start = (
                "import sys; from importlib.metadata import entry_points; "
                "(entry,) = entry_points(group='console_scripts', name=sys.argv[0]); sys.exit(entry.load()())"
            )
            arguments = [str(python), "-c", f"import sys; sys.argv = sys.argv[1:]; {start}", *arguments]
        done = subprocess.run(
            arguments,
            env=self.environment | variables,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == code, f"{arguments}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """Six phantoms of 5 mm, one without emboli, converted."""
    folder = tmp_path_factory.mktemp("chain")
    dropped = ("nnUNet", "PE_NNUNET", "TORCH_DEVICE_BACKEND_AUTOLOAD", "PYTHONPATH")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(dropped)}
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        (folder / name).mkdir()
        environment[name] = str(folder / name)
    environment |= {"nnUNet_def_n_proc": "1", "nnUNet_n_proc_DA": "1", "OMP_NUM_THREADS": "1"}
    settings = PhantomSettings(spacing_mm=(5.0, 5.0, 5.0), thorax_width_mm=(240.0, 240.0), min_embolus_mm3=1000.0)
    write_cohort(folder / "scans", 6, settings, 3, "mixed")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
            patch.setenv(name, environment[name])
        report = convert("studies", folder / "scans", 501, "Tiny", ConvertOptions())
    assert not report.errors
    return Chain(folder, environment, folder / "scans")


@pytest.fixture(scope="session")
def planned(chain: Chain) -> Chain:
    """Planned and preprocessed by the stock command, in 3D and 2D."""
    chain.run(
        *("nnUNetv2_plan_and_preprocess", "-d", "501", "-pl", "PETARUNetPlanner", "-c", "3d_fullres", "2d"),
        *("--verify_dataset_integrity", "-gpu_memory_target", "0.5", "-np", "1", "-npfp", "1"),
    )
    return chain


def _train(
    chain: Chain, configuration: str, plans: str = "PETARUNetPlans", *, python: Path | None = None, workers: int = 0
) -> None:
    """Each worker imports torch, which takes seconds: one training with them is enough."""
    chain.run(
        *("nnUNetv2_train", "501", configuration, "0", "-tr", "PETARUNetTrainer", "-p", plans, "-device", "cpu"),
        "--npz",
        PE_NNUNET_RECIPE=RECIPE,
        nnUNet_n_proc_DA=str(workers),
        python=python,
    )


@pytest.fixture(scope="session")
def train() -> Callable[..., None]:
    """Trains with the stock command."""
    return _train


@pytest.fixture(scope="session")
def trained(planned: Chain) -> Chain:
    """TAR-UNet, 3D, fold 0, one epoch of two steps, on batches from processes beside it."""
    _train(planned, "3d_fullres", workers=1)
    return planned


@pytest.fixture(scope="session")
def stock_predicted(trained: Chain) -> Path:
    """What nnU-Net's own command predicts for the crop that the conversion made of the first phantom."""
    images, out = trained.folder / "images", trained.folder / "predicted by nnU-Net"
    images.mkdir()
    shutil.copy(trained.raw / "imagesTr" / "phantom_001_0000.nii.gz", images)
    trained.run(
        *("nnUNetv2_predict", "-i", images, "-o", out, "-d", "501", "-c", "3d_fullres", "-f", "0"),
        *("-tr", "PETARUNetTrainer", "-p", "PETARUNetPlans", "-device", "cpu", "-npp", "0", "-nps", "0"),
        "--save_probabilities",
    )
    return out


@pytest.fixture(scope="session")
def trained_2d(trained: Chain, wheel_python: Path) -> Chain:
    """TAR-UNet, 2D, by the package as a wheel in an environment of its own."""
    _train(trained, "2d", python=wheel_python)
    return trained
