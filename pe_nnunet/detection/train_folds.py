"""From a converted dataset to the detectors of its folds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pe_nnunet.detection.record import RECORD
from pe_nnunet.detection.settings import DetectorSettings
from pe_nnunet.detection.train import Split, detector_name, train_detector
from pe_nnunet.detection.training_slices import export_slices, extra_images
from pe_nnunet.errors import ConfigurationError


def train_folds(
    raw: Path,
    preprocessed: Path,
    results: Path,
    settings: DetectorSettings,
    *,
    folds: Sequence[str] | None = None,
    extra: Sequence[Path] = (),
    overwrite: bool = False,
) -> None:
    """Write the pictures and train the folds, one after another, saying what is done.

    Args:
        raw: The dataset in nnUNet_raw.
        preprocessed: Its folder in nnUNet_preprocessed, for the pictures.
        results: Its folder in nnUNet_results.
        settings: Of the training.
        folds: Names; every fold of the splits if None.
        extra: Further datasets in nnUNet_raw, of whose cases only slices with emboli are taken, for training alone.
        overwrite: Train folds again that are trained.

    Raises:
        PEError: If a dataset, fold or setting does not fit, or PE-MODEL-009 if a fold is trained already.
    """
    names = list(folds) if folds is not None else [str(k) for k in range(len(_folds(raw, preprocessed)))]
    place = results / detector_name(settings)
    there = [name for name in names if (place / f"fold_{name}" / RECORD).is_file()]
    if there and not overwrite:
        raise ConfigurationError(
            "PE-MODEL-009", f"{place} holds fold {', '.join(there)} already", "--overwrite trains again"
        )
    pictures = preprocessed / f"PEDetector__{settings.image_size}px"
    slices = export_slices(raw, pictures, settings)
    # Not every slice of them need be labelled, so a slice without a box proves nothing.
    boxes_only = replace(settings, negative_share=0, min_negatives=0)
    further = [
        export_slices(other, pictures.with_name(f"{pictures.name}__{other.name}"), boxes_only, slices.raster.pixel_mm)
        for other in extra
    ]
    for note in (note for part in (slices, *further) for note in part.notes):
        print(note, flush=True)
    splits = {name: load_fold(raw, preprocessed, name, list(slices.pictures)) for name in names}
    for name, split in splits.items():
        unseen = [] if name == "all" else [slices.patients[case] for case in split["val"] if case in slices.patients]
        others = extra_images(further, unseen)
        train, val = (f"{len(slices.images(split[part]))} slices of {len(split[part])}" for part in ("train", "val"))
        print(
            f"fold {name}: {train} cases to train on, {len(others)} of other datasets, {val} to validate on; "
            f"{slices.raster.pixel_mm} mm a pixel",
            flush=True,
        )
        folder = train_detector(slices, name, split, results, settings, others)
        print(f"fold {name}: written to {folder}", flush=True)


SPLITS = "splits_final.json"


def load_fold(raw: Path, preprocessed: Path, fold: str, cases: list[str]) -> Split:
    """The split that nnU-Net trains the segmenters with.

    Args:
        raw: The dataset in nnUNet_raw.
        preprocessed: The dataset in nnUNet_preprocessed, whose splits nnU-Net uses where there are any.
        fold: Its number, or `all`.
        cases: All training cases, which is what `all` means.

    Raises:
        ConfigurationError: PE-DET-004 if there are no splits, or not this fold.

    Example:
        >>> load_fold(Path("raw"), Path("preprocessed"), "all", ["a", "b"])
        {'train': ['a', 'b'], 'val': ['a', 'b']}
    """
    if fold == "all":
        return {"train": cases, "val": cases}
    folds = _folds(raw, preprocessed)
    if not fold.isdigit() or int(fold) >= len(folds):
        raise ConfigurationError(
            "PE-DET-004",
            f"the splits of {raw.name} have no fold {fold}",
            f"take one of {', '.join(map(str, range(len(folds))))}, or all",
        )
    return folds[int(fold)]


def _folds(raw: Path, preprocessed: Path) -> list[Split]:
    path = next((folder / SPLITS for folder in (preprocessed, raw) if (folder / SPLITS).is_file()), None)
    if path is None:
        raise ConfigurationError(
            "PE-DET-004", f"{raw.name} has no {SPLITS}", "convert at least two patients, or take -f all"
        )
    try:
        splits = json.loads(path.read_text(encoding="utf-8"))
        return [{part: list(split[part]) for part in ("train", "val")} for split in splits]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError("PE-DET-004", f"{path} cannot be read: {error}", "convert again") from error
