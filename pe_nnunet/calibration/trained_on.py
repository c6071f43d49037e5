"""What models and detectors were trained on: as they say themselves, or as far as nnU-Net's files tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pe_nnunet.calibration.validation_cases import VALIDATION
from pe_nnunet.dataset.dataset_json import read_dataset_json
from pe_nnunet.dataset.folders import PREPROCESSED, RAW, SPLITS, Split, nnunet_folder
from pe_nnunet.dataset.split_checks import read_splits
from pe_nnunet.dataset.training_split import KEY, TrainingSplit
from pe_nnunet.detection.record import DetectorRecord
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.files.json_reader import MALFORMED, read_json
from pe_nnunet.inference.checkpoint_file import read_checkpoint
from pe_nnunet.inference.locate import ModelLocation

Trained = Sequence[tuple[str, str, TrainingSplit]]
"""Who has been trained, its fold, and on what."""


def splits_of_models(locations: Sequence[ModelLocation], *, trust: bool = False) -> Trained:
    """What each fold of each model was trained on: by its checkpoint, or else as far as nnU-Net's files tell.

    Args:
        locations: Models and folds.
        trust: Load checkpoints that hold more than weights.

    Raises:
        ConfigurationError: PE-EVAL-012 if a checkpoint lies in the folder of another fold.
    """
    return [
        (place.folder.name, fold, split_of_checkpoint(place.folder / f"fold_{fold}" / place.checkpoint, fold, trust))
        for place in locations
        for fold in place.folds
    ]


def splits_of_detectors(detectors: Mapping[str, Sequence[DetectorRecord]]) -> Trained:
    """What the detectors of each fold were trained on.

    Args:
        detectors: By the fold whose scans they are to look at.
    """
    return [("the detector", fold, record.split) for fold, records in detectors.items() for record in records]


def split_of_checkpoint(path: Path, fold: str, trust: bool = False) -> TrainingSplit:
    """What the weights in a checkpoint were trained on.

    Args:
        path: The file, in the folder of a fold; it may be absent.
        fold: The folder's.
        trust: Load a checkpoint that holds more than weights.

    Raises:
        ConfigurationError: PE-EVAL-012 if it is another fold's; PE-FUS-006 if the splits are needed and cannot be used.
    """
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
    return _split_of_nnunet(path, dataset, fold, "the checkpoint does not name its training scans")


def validated_by_splits(dataset: str, fold: str) -> set[str]:
    """The cases that a fold validates by the splits as they are now; none where they do not tell.

    Args:
        dataset: Name of its folder.
        fold: The fold.
    """
    splits, _ = _splits_now(dataset)
    return set(splits[int(fold)]["val"]) if fold.isdigit() and int(fold) < len(splits) else set()


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
    except ConfigurationError:
        return [], None
    file = next((folder / SPLITS for folder in folders if (folder / SPLITS).is_file()), None)
    return ([], None) if file is None else (read_splits(file.parent, code="PE-FUS-006"), file)


def _validated(path: Path) -> set[str]:
    """The cases in nnU-Net's summary of the validation that followed a checkpoint; none where there is no such."""
    summary = path.parent / VALIDATION / "summary.json"
    try:
        if path.is_file() and summary.stat().st_mtime < path.stat().st_mtime:
            return set()
        ending = read_dataset_json(path.parents[1]).get("file_ending", ".nii.gz")
        cases = read_json(summary, finite=False)["metric_per_case"]
        return {Path(case["prediction_file"]).name.removesuffix(ending) for case in cases}
    except (ConfigurationError, *MALFORMED):
        return set()
