"""Where trained models lie: dataset, trainer, plans, configuration and folds to an nnU-Net model folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pe_nnunet.dataset.folders import RESULTS, dataset_folder, fold_spellings, nnunet_folder
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.errors.near import did_you_mean, nearest

FINAL = "checkpoint_final.pth"
PREFERRED = (FINAL, "checkpoint_best.pth", "checkpoint_latest.pth")  # what a training leaves, worth more first
OLDER = "checkpoint_latest_older.pth"  # kept for a training that goes on, where the latest is damaged


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
        hint = did_you_mean(folder.name, beside, f"there: {', '.join(beside) or 'none'}")
        raise ConfigurationError("PE-MODEL-001", f"no trained model in {folder}", hint)
    trained = [fold for fold, files in stored_checkpoints(folder).items() if checkpoint in files]
    if folds is None:
        # "all" was trained on every case; mixing it with folds would count those cases twice
        folds = [fold for fold in trained if fold != "all"] or trained
        if not folds:
            raise no_checkpoint(folder, (), checkpoint)
    missing = [fold for fold in folds if fold not in trained]
    if missing:
        raise no_checkpoint(folder, missing, checkpoint)
    return ModelLocation(folder, tuple(dict.fromkeys(folds)), checkpoint)


def stored_checkpoints(folder: Path) -> dict[str, tuple[str, ...]]:
    """Fold -> names of the checkpoints that it holds, those that are worth more first; folds without any are there too.

    Args:
        folder: Of a model.
    """
    folds = sorted(path for path in folder.glob("fold_*") if path.is_dir())
    held = {fold.name.removeprefix("fold_"): {path.name for path in fold.glob("*.pth")} - {OLDER} for fold in folds}
    return {
        fold: tuple(sorted(names, key=lambda name: (PREFERRED.index(name) if name in PREFERRED else 9, name)))
        for fold, names in held.items()
    }


def no_checkpoint(folder: Path, folds: Sequence[str], checkpoint: str) -> ConfigurationError:
    """The error for folds that lack a checkpoint, with what they hold instead and the option that takes it.

    Args:
        folder: Of the model.
        folds: Those that were asked for and lack it; none where any would do.
        checkpoint: The name that was looked for.
    """
    held = stored_checkpoints(folder)
    what = f"fold {', '.join(folds)} of {folder.name} has" if folds else f"no fold of {folder.name} holds"
    what += f" no {checkpoint}" if folds else f" {checkpoint}"
    asked = [held.get(fold, ()) for fold in folds] or [files for files in held.values() if files]
    instead = next((name for name in PREFERRED if asked and all(name in files for files in asked)), None)
    by_content: dict[tuple[str, ...], list[str]] = {}
    for fold, files in held.items():
        by_content.setdefault(files, []).append(fold)
    there = "; ".join(
        f"fold {', '.join(of)} {'holds' if len(of) == 1 else 'hold'} {' and '.join(files) or 'none'}"
        for files, of in by_content.items()
    )
    there = f"there: {there}" if any(held.values()) else "no fold is trained: train one first"
    misspelt = next((fold for fold in folds if fold not in held and not fold.isdecimal()), "")
    if nearest(misspelt, spellings=fold_spellings(held)):
        return ConfigurationError(
            "PE-MODEL-002", what, did_you_mean(misspelt, otherwise=there, spellings=fold_spellings(held))
        )
    if instead not in (None, checkpoint):
        unfinished = "; training was interrupted or still runs" if checkpoint == FINAL else ""
        return ConfigurationError("PE-MODEL-002", f"{what}{unfinished}", f"-chk {instead} takes what is there; {there}")
    return ConfigurationError("PE-MODEL-002", what, there)
