"""Which checkpoint made the validation predictions of a fold, and whether it is the one that is there now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pe_nnunet.calibration.trained_on import Trained, validated_by_splits
from pe_nnunet.calibration.validation_cases import VALIDATION, ValidationCase, how_to_validate
from pe_nnunet.dataset.training_split import some_names
from pe_nnunet.dataset.validation_record import ValidationRecord
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.inference.locate import FINAL, ModelLocation
from pe_nnunet.volumes.files.volume_file import file_sha256

BEST = "checkpoint_best.pth"


def checkpoints_of_predictions(models: Iterable[Path], folds: Sequence[str]) -> list[ModelLocation]:
    """The checkpoint that made the validation predictions of each fold of each model.

    Args:
        models: Their folders.
        folds: Which folds.

    Returns:
        One location a fold; where nothing says which it was, the final checkpoint, or the best if there is no other.
    """
    found = []
    for model in models:
        for fold in folds:
            folder = model / f"fold_{fold}"
            record = ValidationRecord.read(folder / VALIDATION)
            name = FINAL if (folder / FINAL).is_file() or not (folder / BEST).is_file() else BEST
            found.append(ModelLocation(model, (fold,), (record and record.checkpoint) or name))
    return found


def common_checkpoint(locations: Sequence[ModelLocation]) -> str:
    """The name of the checkpoint that all of them have, which is what a prediction can be asked for.

    Raises:
        ConfigurationError: PE-EVAL-011 if there are several.
    """
    names = {place.checkpoint: f"{place.folder.name}, fold {' '.join(place.folds)}" for place in locations}
    if len(names) > 1:
        raise ConfigurationError(
            "PE-EVAL-011",
            "validation predictions of several checkpoints: "
            + "; ".join(f"{name} of {where}" for name, where in sorted(names.items())),
            "validate all with one: nnUNetv2_train ... --val --npz, or --val --val_best --npz",
        )
    return next(iter(names))


def require_whole_validation(locations: Sequence[ModelLocation], trained: Trained, found: Iterable[str]) -> None:
    """Refuse a validation that lacks cases: scores of the others are not those of the fold.

    Args:
        locations: Models and folds.
        trained: What each fold of each of them held out, in the same order, see `splits_of_models`; where that names no
            scan, the splits as they are now count.
        found: Case ids with predictions.

    Raises:
        ConfigurationError: PE-EVAL-011.
    """
    there = set(found)
    folds = [(place.folder, fold, place.checkpoint) for place in locations for fold in place.folds]
    for (folder, fold, checkpoint), (_, _, split) in zip(folds, trained, strict=True):
        held_out = set(split.val) or validated_by_splits(folder.parent.name, fold)
        if absent := sorted(held_out - there):
            raise ConfigurationError(
                "PE-EVAL-011",
                f"the validation of fold {fold} of {folder.name} lacks probabilities ({some_names(absent)})",
                how_to_validate(folder, fold, best=checkpoint == BEST),
            )


def require_predictions_of(locations: Sequence[ModelLocation], cases: Sequence[ValidationCase]) -> None:
    """Refuse validation predictions that the checkpoints which are there now did not make.

    Args:
        locations: Models, folds and checkpoints.
        cases: Whose `outputs` are to be used.

    Raises:
        ConfigurationError: PE-EVAL-011.
    """
    for place in locations:
        for fold in place.folds:
            folder = place.folder / f"fold_{fold}"
            used = {case.case_id: case.outputs[place.folder.name] for case in cases if case.fold == fold}
            record = ValidationRecord.read(folder / VALIDATION)
            if record is None:
                stale, why = _older(folder, used), "are older than its checkpoint"
            elif record.checkpoint != place.checkpoint:
                by = record.checkpoint or "weights that were not kept"
                stale, why = list(used), f"were made by {by}, not by {place.checkpoint}"
            elif not (folder / place.checkpoint).is_file() or file_sha256(folder / place.checkpoint) != record.sha256:
                stale, why = list(used), f"were made by a {place.checkpoint} that is no longer there"
            else:
                stale, why = sorted(used.keys() - set(record.cases)), f"were not made by its {place.checkpoint}"
            if stale:
                raise ConfigurationError(
                    "PE-EVAL-011",
                    f"predictions in {folder / VALIDATION} {why} ({some_names(stale)})",
                    "remove that folder, and validate again: nnUNetv2_train ... --val --npz",
                )


def _older(folder: Path, used: Mapping[str, Path]) -> list[str]:
    """Predictions that were there before the last checkpoint."""
    checkpoints = [path.stat().st_mtime for name in (FINAL, BEST) if (path := folder / name).is_file()]
    return sorted(
        case
        for case, path in used.items()
        if path.is_file() and path.stat().st_mtime < max(checkpoints, default=float("-inf"))
    )
