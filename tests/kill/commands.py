"""The commands that are killed, with small inputs of their own: scans of 4 mm, and networks with random weights."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from pe_nnunet.volumes import image_like, write_dicom_series, write_image
from tests.conftest import make_thorax, write_model_folder
from tests.kill.processes import environment, run

MODEL = "PETARUNetTrainer__PETARUNetPlans__3d_fullres"
DATASET = "Dataset501_PE"


@dataclass(frozen=True)
class Command:
    """A command, how to go on after it was stopped, and what lies there before.

    Attributes:
        name: What it is called here.
        first: Its arguments; `{inputs}` and `{work}` stand for folders.
        again: The arguments after it was stopped, if others.
        prepare: Puts what it needs into an empty folder of work, given the inputs.
        done: Codes by which the second run says that the first was done already.
    """

    name: str
    first: Sequence[str]
    again: Sequence[str] = ()
    prepare: Callable[[Path, Path], None] = lambda _inputs, _work: None
    done: Sequence[str] = ()

    def arguments(self, folder: Path, *, again: bool = False) -> list[str]:
        """The arguments with the folders of a run in them."""
        names = {"inputs": str(folder / "inputs"), "work": str(folder / "work")}
        return [part.format(**names) for part in ((self.again or self.first) if again else self.first)]


def write_inputs(folder: Path, scans: int = 3) -> None:
    """Scans with labels, one of them as DICOM, predictions, and an archive of a model."""
    for number in range(scans):
        image = make_thorax((-60, 40 + 5 * number))
        hu = sitk.GetArrayViewFromImage(image)
        z, y, x = ((np.arange(size) + 0.5) * 4 - 2 * size for size in hu.shape)
        off_axis = z[:, None, None] ** 2 + y[:, None] ** 2
        ids = np.zeros(hu.shape, np.uint8)
        for value, centre in enumerate((-60, 40 + 5 * number), 1):
            ids[off_axis + (x - centre) ** 2 < 9**2] = value
        case = f"scan_{number}"
        label = image_like(ids, image)
        write_image(image, folder / "scans" / f"{case}.nii.gz")
        write_image(label, folder / "labels" / f"{case}.nii.gz")
        write_image(image_like(np.roll(ids, 1, axis=2), image), folder / "predictions" / f"{case}.nii.gz")
        write_image(image, folder / "nifti" / f"case_{number}" / "ct.nii.gz")
        write_image(label, folder / "nifti" / f"case_{number}" / "emboli.nii.gz")
    write_dicom_series(make_thorax(), folder / "studies" / "study_a" / "ct", patient_id="A")
    shutil.copy(folder / "scans" / "scan_1.nii.gz", folder / "studies" / "study_b.nii.gz")
    for name in (MODEL, "PEResEncUNetTrainer__PEResEncUNetPlans__3d_fullres"):
        write_model_folder(folder / "model" / DATASET, name, folds=(0, 1), gain=3.0)


def finish_inputs(folder: Path) -> None:
    """What commands make of the inputs: an archive of the models, and the converted dataset."""
    inputs, work = folder / "inputs", folder / "work"
    fresh(folder, _empty)
    models = [str(path) for path in sorted((inputs / "model" / DATASET).iterdir())]
    made = run(["export-model", "-o", str(inputs / "models.zip"), "-m", *models], folder, environment(work))
    assert made.code == 0, made.output
    made = run(COMMANDS[0].arguments(folder), folder, environment(work))
    assert made.code == 0, made.output
    shutil.copytree(work / "nnUNet_raw", inputs / "raw")


def fresh(folder: Path, prepare: Callable[[Path, Path], None]) -> None:
    """Empty the folder of work, and put there what a command needs."""
    shutil.rmtree(folder / "work", ignore_errors=True)
    (folder / "work" / "tmp").mkdir(parents=True)
    prepare(folder / "inputs", folder / "work")


def _empty(_inputs: Path, work: Path) -> None:
    for name in ("raw", "preprocessed", "results"):
        (work / f"nnUNet_{name}").mkdir(parents=True)


def _with_model(inputs: Path, work: Path) -> None:
    _empty(inputs, work)
    shutil.copytree(inputs / "model" / DATASET / MODEL, work / "nnUNet_results" / DATASET / MODEL)


def _with_older_models(inputs: Path, work: Path) -> None:
    _empty(inputs, work)
    for model in (inputs / "model" / DATASET).iterdir():
        older = work / "nnUNet_results" / DATASET / model.name
        shutil.copytree(model, older)
        (older / "note.txt").write_text("of the older model")


def _with_dataset(inputs: Path, work: Path) -> None:
    _with_model(inputs, work)
    shutil.copytree(inputs / "raw" / DATASET, work / "nnUNet_raw" / DATASET)


PREDICT = (
    *("predict-fused", "-i", "{inputs}/studies", "-o", "{work}/out"),
    *("-m", "{work}/nnUNet_results/" + f"{DATASET}/{MODEL}"),
    *("--disable_tta", "-device", "cpu", "--min-embolus-mm3", "2000", "--save-probability", "--save-nnunet"),
)  # fmt: skip
LABELS = ("--labels", "{inputs}/labels")

COMMANDS: tuple[Command, ...] = (
    Command(
        "convert",
        ("convert", "studies", "{inputs}/nifti", "-d", "501", "--folds", "2"),
        ("convert", "studies", "{inputs}/nifti", "-d", "501", "--folds", "2", "--resume"),
        _empty,
    ),
    Command("predict-fused", PREDICT, (*PREDICT, "--resume"), _with_model),
    Command(
        "evaluate",
        ("evaluate", "-i", "{inputs}/predictions", "-g", "{inputs}/labels", "-o", "{work}/scores", "--markers",
         "--bootstrap", "20"),
        prepare=_empty,
    ),
    Command("slices nifti", ("slices", "nifti", "{inputs}/scans", "{work}/slices", *LABELS), prepare=_empty),
    Command("slices dicom", ("slices", "dicom", "{inputs}/scans", "{work}/slices", *LABELS), prepare=_empty),
    Command("slices png", ("slices", "png", "{inputs}/scans", "{work}/slices", *LABELS), prepare=_empty),
    Command("calibrate", ("calibrate", "-d", "501", "--disable_tta", "-device", "cpu"), prepare=_with_dataset),
    Command("install-model", ("install-model", "{inputs}/models.zip"), prepare=_empty, done=("PE-MODEL-009",)),
    Command(
        "install-model --overwrite", ("install-model", "{inputs}/models.zip", "--overwrite"), prepare=_with_older_models
    ),
)  # fmt: skip
