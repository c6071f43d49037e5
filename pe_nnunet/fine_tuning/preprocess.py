"""The dataset as nnU-Net's training takes it: fingerprint, moved plans, preprocessed images; each made once."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nnunetv2.experiment_planning.plan_and_preprocess_api import preprocess_dataset
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from pe_nnunet.dataset.dataset_json import DATASET
from pe_nnunet.dataset.folders import SPLITS
from pe_nnunet.dataset.preprocessed import preprocessed_cases, require_complete
from pe_nnunet.errors import ConfigurationError, OutputError
from pe_nnunet.files import atomic_json, atomic_path
from pe_nnunet.files.json_reader import read_object
from pe_nnunet.files.locks import locked
from pe_nnunet.fine_tuning.moved_plans import move_plans
from pe_nnunet.planners import PEFingerprintExtractor

FINGERPRINT = "dataset_fingerprint.json"
_DONE = ".complete.json"  # behind the name of the folder of preprocessed images, where nnU-Net takes no other file


def prepare(
    raw: Path,
    preprocessed: Path,
    name: str,
    plans: dict[str, Any],
    configuration: str,
    files: dict[str, Any],
    processes: int,
) -> None:
    """Make what is not there yet, or is older than the dataset.

    Args:
        raw: The dataset's folder in `nnUNet_raw`.
        preprocessed: That in `nnUNet_preprocessed`.
        name: Of the plans.
        plans: Those of `trained_plans`.
        configuration: Of the plans.
        files: nnU-Net's list of images and labels by case.
        processes: Workers.

    Raises:
        PEError: What the dataset's check raises, PE-TRAIN-026 for plans of another model.
    """
    preprocessed.mkdir(parents=True, exist_ok=True)
    busy = OutputError("PE-OUT-001", f"{preprocessed} is being written by another process", "wait until it is done")
    with locked(preprocessed / ".fine-tune.lock", busy, wait=True):
        _copy(raw / DATASET, preprocessed / DATASET)
        if (raw / SPLITS).is_file() and not (preprocessed / SPLITS).is_file():
            _copy(raw / SPLITS, preprocessed / SPLITS)
        newest = _newest(path for case in files.values() for path in (*case["images"], case["label"]))
        fingerprint = preprocessed / FINGERPRINT
        anew = fingerprint.is_file() and fingerprint.stat().st_mtime < newest
        print(
            "[1/4] fingerprint of the dataset" + (", anew: images or labels have changed" if anew else ""), flush=True
        )
        PEFingerprintExtractor(raw.name, processes).run(overwrite_existing=anew)
        print(f"[2/4] plans: {preprocessed / name}.json", flush=True)
        move_plans(preprocessed / f"{name}.json", plans)
        identifier = (
            PlansManager(read_object(preprocessed / f"{name}.json")).get_configuration(configuration).data_identifier
        )
        folder = preprocessed / identifier
        if _is_done(folder, list(files), max(newest, (raw / DATASET).stat().st_mtime)):
            print(f"[3/4] preprocessed images: there already, {folder}", flush=True)
            return
        print(f"[3/4] preprocessing: {folder}", flush=True)
        _done(folder).unlink(missing_ok=True)
        preprocess_dataset(int(raw.name[7:10]), name, [configuration], [processes])
        require_complete(folder, files)
        atomic_json(_done(folder), {"cases": sorted(files)})


def _done(folder: Path) -> Path:
    """Written when all preprocessed images of the folder are there."""
    return folder.with_name(folder.name + _DONE)


def _is_done(folder: Path, cases: list[str], newest: float) -> bool:
    """Whether a folder holds these cases, preprocessed to the end after the dataset was written last."""
    done = _done(folder)
    try:
        if not done.is_file() or done.stat().st_mtime < newest or preprocessed_cases(folder) != sorted(cases):
            return False
        require_complete(folder, cases)
    except ConfigurationError:
        return False
    return True


def _newest(paths: Iterable[str | Path]) -> float:
    return max(Path(path).stat().st_mtime for path in paths)


def _copy(source: Path, target: Path) -> None:
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)
