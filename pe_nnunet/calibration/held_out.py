"""Whether scans that count as held out were: what checkpoints and detectors say that they were trained on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pe_nnunet.calibration.out_of_fold import VALIDATION, ValidationCase
from pe_nnunet.dataset.dataset_json import read_dataset_json
from pe_nnunet.dataset.folders import PREPROCESSED, RAW, SPLITS, Split, nnunet_folder, read_splits
from pe_nnunet.dataset.scan_hashes import ScanHashes, scan_hashes
from pe_nnunet.dataset.training_split import KEY, TrainingSplit, some_names
from pe_nnunet.dataset.validation_record import ValidationRecord
from pe_nnunet.detection.record import DetectorRecord
from pe_nnunet.errors import ConfigurationError, Note
from pe_nnunet.inference.locate import FINAL, ModelLocation
from pe_nnunet.inference.model import read_checkpoint
from pe_nnunet.volumes.files.volume_file import file_sha256

BEST, ALL = "checkpoint_best.pth", "all"
_SAYS_NOTHING = "the checkpoint does not name its training scans"
_NAMES_ALONE = "scans were compared by name alone, as their images are not, or were not, in nnUNet_raw"

Trained = Sequence[tuple[str, str, TrainingSplit]]
"""Who has been trained, its fold, and on what."""


def refuse_fold_all(folds: Sequence[str]) -> None:
    """Fold `all` holds nothing out.

    Raises:
        ConfigurationError: PE-EVAL-012 if it is among the folds.
    """
    if ALL in folds:
        raise ConfigurationError(
            "PE-EVAL-012", "fold all was trained on every scan, so none is held out", "name numbered folds with -f"
        )


def splits_of_models(locations: Sequence[ModelLocation], *, trust: bool = False) -> Trained:
    """What each fold of each model was trained on: by its checkpoint, or else as far as nnU-Net's files tell.

    Args:
        locations: Models and folds.
        trust: Load checkpoints that hold more than weights.

    Raises:
        ConfigurationError: PE-EVAL-012 if a checkpoint lies in the folder of another fold.
    """
    return [
        (place.folder.name, fold, _split_of(place.folder / f"fold_{fold}" / place.checkpoint, fold, trust))
        for place in locations
        for fold in place.folds
    ]


def splits_of_detectors(detectors: Mapping[str, Sequence[DetectorRecord]]) -> Trained:
    """What the detectors of each fold were trained on.

    Args:
        detectors: By the fold whose scans they are to look at.
    """
    return [("the detector", fold, record.split) for fold, records in detectors.items() for record in records]


def segmenters_of_other_splits(results: Path, fold: str, split: Split) -> list[Note]:
    """Models whose fold disagrees with a detector's that is about to be trained: they cannot be calibrated together.

    Args:
        results: The dataset's folder in nnUNet_results.
        fold: Its name.
        split: Case ids that the detector is trained and validated on.
    """
    notes = []
    for path in sorted(results.glob(f"*__*__*/fold_{fold}/{FINAL}")) if fold != ALL else ():
        trained = _split_of(path, fold, trust=False)
        if trained.unknown:
            continue
        both = sorted({*split["train"]} & {*trained.val} | {*split["val"]} & {*trained.train})
        if both:
            text = f"fold {fold} of {path.parents[1].name} was trained on another split ({some_names(both)})"
            notes.append(Note("PE-TRAIN-011", "warning", f"{text}; it cannot be calibrated with this detector"))
    return notes


def require_held_out(trained: Trained, cases: Sequence[ValidationCase]) -> tuple[Note, ...]:
    """Refuse scans that were trained on, and scans that only bear the names of those that were held out.

    Args:
        trained: Models and detectors.
        cases: What is to be scored, each with the fold that it is held out from.

    Returns:
        PE-EVAL-013 for what could not be checked.

    Raises:
        ConfigurationError: PE-EVAL-012.
    """
    dataset = next(iter(cases[0].outputs.values())).parents[3].name if cases else ""
    hashed = any(any((split.train | split.val).values()) for _, _, split in trained)
    ids = [case.case_id for case in cases]
    now = scan_hashes(dataset, ids) if hashed else dict.fromkeys(ids, ())
    unchecked: dict[tuple[str, str], list[str]] = {}
    for who, fold, split in trained:
        scans = {case.case_id: now[case.case_id] for case in cases if case.fold == fold}
        _refuse_others(f"fold {fold} of {who}", split, scans)
        by_name = not all(now[case] and split.val.get(case, now[case]) for case in scans)
        if reason := split.unknown or (_NAMES_ALONE if by_name else ""):
            unchecked.setdefault((who, reason), []).append(fold)
    return tuple(
        Note("PE-EVAL-013", "warning", f"fold {' '.join(folds)} of {who}: {reason}; nobody can tell for sure that "
             "its validation scans were held out")
        for (who, reason), folds in unchecked.items()
    )  # fmt: skip


def require_unseen(trained: Trained, scans: Mapping[str, Sequence[str]]) -> None:
    """Refuse further scans that any fold was trained or validated on; their names mean nothing.

    Args:
        trained: Models.
        scans: Name -> hashes.

    Raises:
        ConfigurationError: PE-EVAL-012.
    """
    known: ScanHashes = {}
    for _, _, split in trained:
        of_split = split.train | split.val
        known |= of_split if any(of_split.values()) else scan_hashes(split.dataset, of_split)
    of_hash = {sha256: case for case, hashes in known.items() for sha256 in hashes}
    seen = [
        f"{name} (the same scan as {of_hash[sha256]})"
        for name, hashes in scans.items()
        for sha256 in hashes
        if sha256 in of_hash
    ]
    if seen:
        raise ConfigurationError(
            "PE-EVAL-012", f"further scans that belong to the folds ({some_names(seen)})", "give scans of their own"
        )


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


def _refuse_others(who: str, split: TrainingSplit, scans: ScanHashes) -> None:
    if seen := split.trained_on(scans):
        raise ConfigurationError(
            "PE-EVAL-012",
            f"scans that {who} was trained on would be scored as held out ({some_names(seen)})",
            "take back the splits and scans that it was trained with, or train it again and validate it",
        )
    if others := split.replaced(scans):
        raise ConfigurationError(
            "PE-EVAL-012",
            f"other scans bear the names of those that {who} held out ({some_names(others)})",
            "take back the dataset that it was trained with, or train it again",
        )


def _split_of(path: Path, fold: str, trust: bool) -> TrainingSplit:
    dataset = path.parents[2].name
    if not path.is_file():
        return _split_of_nnunet(path, dataset, fold, "there is no checkpoint")
    try:
        content = read_checkpoint(path, trust)
    except ConfigurationError:
        return _split_of_nnunet(path, dataset, fold, "its checkpoint cannot be read")
    split = TrainingSplit.from_plain(content.get(KEY))
    if split is not None:
        return split
    trained_as = str(content["init_args"].get("fold", fold))
    if trained_as != fold:
        raise ConfigurationError(
            "PE-EVAL-012",
            f"{path} was trained as fold {trained_as}, so it may have seen what fold {fold} holds out",
            "train the folds that you name",
        )
    return _split_of_nnunet(path, dataset, fold, _SAYS_NOTHING)


def _split_of_nnunet(path: Path, dataset: str, fold: str, why: str) -> TrainingSplit:
    """By what nnU-Net leaves: the cases that it validated after the training, and else the splits as they are now."""
    splits, file = _splits_now(dataset)
    known = {case for split in splits for part in split.values() for case in part}
    train = set(splits[int(fold)]["train"]) if fold.isdigit() and int(fold) < len(splits) else set()
    if validated := _validated(path):
        train = known - validated
    if file is not None and path.is_file() and file.stat().st_mtime > path.stat().st_mtime:
        why += f", and {SPLITS} is newer than it"
    return TrainingSplit(dataset, fold, dict.fromkeys(sorted(train), ()), dict.fromkeys(validated, ()), why)


def _splits_now(dataset: str) -> tuple[list[Split], Path | None]:
    """The splits as they are now, and their file; none where there are none."""
    try:
        folders = [nnunet_folder(variable) / dataset for variable in (PREPROCESSED, RAW)]
        splits = read_splits(*folders, code="PE-FUS-006")
    except ConfigurationError:
        return [], None
    return splits, next(folder / SPLITS for folder in folders if (folder / SPLITS).is_file())


def _validated(path: Path) -> set[str]:
    """The cases in nnU-Net's summary of the validation that followed a checkpoint; none where there is no such."""
    summary = path.parent / VALIDATION / "summary.json"
    try:
        if path.is_file() and summary.stat().st_mtime < path.stat().st_mtime:
            return set()
        ending = read_dataset_json(path.parents[1]).get("file_ending", ".nii.gz")
        cases = json.loads(summary.read_text(encoding="utf-8"))["metric_per_case"]
        return {Path(case["prediction_file"]).name.removesuffix(ending) for case in cases}
    except (ConfigurationError, OSError, ValueError, KeyError, TypeError):
        return set()


def _older(folder: Path, used: Mapping[str, Path]) -> list[str]:
    """Predictions that were there before the last checkpoint."""
    checkpoints = [path.stat().st_mtime for name in (FINAL, BEST) if (path := folder / name).is_file()]
    return sorted(
        case
        for case, path in used.items()
        if path.is_file() and path.stat().st_mtime < max(checkpoints, default=float("-inf"))
    )
