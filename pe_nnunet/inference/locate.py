"""Where trained models lie: dataset, trainer, plans, configuration and folds to an nnU-Net model folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pe_nnunet.dataset.folders import RESULTS, dataset_folder, nnunet_folder
from pe_nnunet.errors import ConfigurationError

FINAL = "checkpoint_final.pth"


@dataclass(frozen=True)
class ModelLocation:
    """A model folder (`plans.json`, `dataset.json`, `fold_*`) and which of its folds are meant.

    Attributes:
        folder: `TRAINER__PLANS__CONFIGURATION`, below the dataset's.
        folds: Fold names without `fold_`, in order.
        checkpoint: File name within a fold.
    """

    folder: Path
    folds: tuple[str, ...]
    checkpoint: str = FINAL


def locate_models(
    dataset: str,
    trainers: Sequence[str],
    plans: Sequence[str],
    configurations: Sequence[str],
    folds: Sequence[str] | None,
    checkpoint: str = FINAL,
) -> list[ModelLocation]:
    """The models of a dataset below `nnUNet_results`.

    Args:
        dataset: Id or name.
        trainers: See `model_names`.
        plans: As trainers.
        configurations: As trainers.
        folds: Folds of every model; all that are trained if None.
        checkpoint: File name within a fold.

    Raises:
        ConfigurationError: PE-MODEL-001, -002 or -004, PE-ENV-001 or -002.
    """
    base = dataset_folder(nnunet_folder(RESULTS), dataset)
    names = model_names(trainers, plans, configurations)
    return [locate_folder(base / name, folds, checkpoint) for name in names]


def model_names(trainers: Sequence[str], plans: Sequence[str], configurations: Sequence[str]) -> list[str]:
    """Names of model folders, `TRAINER__PLANS__CONFIGURATION`.

    Args:
        trainers: One or more; each of the three lists has one entry, or as many as the longest.
        plans: As trainers.
        configurations: As trainers.

    Raises:
        ConfigurationError: PE-MODEL-004 if the lists do not fit together.

    Example:
        >>> model_names(["A", "B"], ["P"], ["2d"])
        ['A__P__2d', 'B__P__2d']
    """
    count = max(len(trainers), len(plans), len(configurations))
    for flag, given in (("-tr", trainers), ("-p", plans), ("-c", configurations)):
        if len(given) not in (1, count):
            raise ConfigurationError(
                "PE-MODEL-004",
                f"{flag} has {len(given)} values, expected 1 or {count}",
                "give one a model, or one for all",
            )
    lists = [list(given) * (count if len(given) == 1 else 1) for given in (trainers, plans, configurations)]
    return ["__".join(parts) for parts in zip(*lists, strict=True)]


def locate_folder(folder: Path, folds: Sequence[str] | None, checkpoint: str = FINAL) -> ModelLocation:
    """A model folder with its folds checked.

    Args:
        folder: Holds `plans.json`, `dataset.json` and `fold_*`.
        folds: Which; all that hold the checkpoint if None.
        checkpoint: File name within a fold.

    Raises:
        ConfigurationError: PE-MODEL-001 if the folder holds no model, PE-MODEL-002 if a fold is missing.
    """
    if not (folder / "plans.json").is_file() or not (folder / "dataset.json").is_file():
        beside = sorted(path.name for path in folder.parent.glob("*__*")) if folder.parent.is_dir() else []
        raise ConfigurationError(
            "PE-MODEL-001", f"no trained model in {folder}", f"there: {', '.join(beside) or 'none'}"
        )
    trained = sorted(path.parent.name.removeprefix("fold_") for path in folder.glob(f"fold_*/{checkpoint}"))
    if folds is None:
        # "all" was trained on every case; mixing it with folds would count those cases twice
        folds = [fold for fold in trained if fold != "all"] or trained
        if not folds:
            raise ConfigurationError("PE-MODEL-002", f"no fold of {folder.name} holds {checkpoint}", "train one first")
    missing = [fold for fold in folds if fold not in trained]
    if missing:
        raise ConfigurationError(
            "PE-MODEL-002",
            f"fold {', '.join(missing)} of {folder.name} has no {checkpoint}",
            f"trained: {', '.join(trained) or 'none'}",
        )
    return ModelLocation(folder, tuple(dict.fromkeys(folds)), checkpoint)
