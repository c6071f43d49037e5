"""Preprocessing case by case, by nnU-Net's own preprocessor: any workers can do it, and it goes on where it stopped."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.files.json_reader import read_object
from pe_nnunet.files.temporary import temporary_folder


@dataclass(frozen=True)
class PreprocessJob:
    """A case for a configuration.

    Attributes:
        dataset: Its folder in nnUNet_preprocessed.
        plans: Their name.
        configuration: Of the plans.
        folder: Where preprocessed cases of the configuration lie.
        case: The case.
        images: A file for each channel.
        label: Its segmentation.
    """

    dataset: Path
    plans: str
    configuration: str
    folder: Path
    case: str
    images: tuple[str, ...]
    label: str

    def done(self) -> bool:
        """Whether it is there: nnU-Net writes its properties last, and so does `preprocess`."""
        return (self.folder / f"{self.case}.pkl").is_file()


def preprocess_jobs(raw: Path, dataset: Path, models: Iterable[tuple[str, str]]) -> dict[str, PreprocessJob]:
    """What a dataset needs for some trainings.

    Args:
        raw: Its folder in nnUNet_raw.
        dataset: Its folder in nnUNet_preprocessed, with plans.
        models: Plans and configuration of each; two that share their data need them once.

    Returns:
        By folder and case.

    Raises:
        ConfigurationError: PE-TRAIN-030 if there are no such plans, or they have no such configuration.
    """
    from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

    jobs: dict[str, PreprocessJob] = {}
    for plans, configuration in models:
        _, found = _plans(dataset, plans, configuration)
        description = read_object(dataset / "dataset.json")
        for case, files in get_filenames_of_train_images_and_targets(str(raw), description).items():
            job = PreprocessJob(
                dataset,
                plans,
                configuration,
                dataset / found.data_identifier,
                case,
                tuple(str(Path(image).absolute()) for image in files["images"]),
                str(Path(files["label"]).absolute()),
            )
            jobs.setdefault(f"{job.folder.name}/{case}", job)
    return jobs


def preprocess(job: PreprocessJob) -> PreprocessJob:
    """Preprocess a case, unless that is done, and keep its segmentation where nnU-Net's validation looks for it."""
    if job.done():
        return job
    manager, configuration = _plans(job.dataset, job.plans, job.configuration)
    description = read_object(job.dataset / "dataset.json")
    truth = job.dataset / "gt_segmentations" / f"{job.case}{description['file_ending']}"
    for folder in (job.folder, truth.parent):
        folder.mkdir(exist_ok=True)
    with temporary_folder(job.dataset / "case") as building:
        copy = Path(shutil.copy2(job.label, building / "label"))
        configuration.preprocessor_class(verbose=False).run_case_save(
            str(building / job.case), list(job.images), job.label, manager, configuration, description
        )
        copy.replace(truth)
        for made in sorted(building.iterdir(), key=lambda path: path.suffix == ".pkl"):
            made.replace(job.folder / made.name)
    return job


def _plans(dataset: Path, plans: str, configuration: str) -> tuple[Any, Any]:
    """nnU-Net's managers of plans and of a configuration."""
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    path = dataset / f"{plans}.json"
    if not path.is_file():
        raise ConfigurationError(
            "PE-TRAIN-030",
            f"no {path.name} in {dataset}",
            "nnUNetv2_plan_and_preprocess with --no_pp writes plans, and preprocesses nothing",
        )
    manager = PlansManager(str(path))
    if configuration not in manager.available_configurations:
        there = ", ".join(manager.available_configurations)
        raise ConfigurationError("PE-TRAIN-030", f"{plans} have no configuration {configuration}", f"they have {there}")
    return manager, manager.get_configuration(configuration)
