"""From a converted dataset to the detectors of its folds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pe_nnunet.detection.record import RECORD
from pe_nnunet.detection.settings import DetectorSettings
from pe_nnunet.detection.slice_labels import SlicePolicy
from pe_nnunet.detection.train import Fold, Trained, detector_name, load_fold, load_splits, train_detector
from pe_nnunet.detection.training_slices import SliceSet, export_slices, extra_images
from pe_nnunet.errors import ConfigurationError


def train_folds(
    raw: Path,
    preprocessed: Path,
    results: Path,
    settings: DetectorSettings,
    policy: SlicePolicy,
    *,
    folds: Sequence[str] | None = None,
    extra: Sequence[Path] = (),
    overwrite: bool = False,
) -> list[Trained]:
    """Write the pictures and train the folds, one after another, saying what is done.

    Args:
        raw: The dataset in nnUNet_raw.
        preprocessed: Its folder in nnUNet_preprocessed, for the pictures.
        results: Its folder in nnUNet_results.
        settings: Of the training.
        policy: Which slices.
        folds: Names; every fold of the splits if None.
        extra: Further datasets in nnUNet_raw, of whose cases only slices with emboli are taken, for training alone.
        overwrite: Train folds again that are trained.

    Raises:
        PEError: If a dataset, fold or setting does not fit, or PE-MODEL-009 if a fold is trained already.
    """
    names = list(map(str, range(len(load_splits(raw, preprocessed))))) if folds is None else list(folds)
    place = results / detector_name(settings)
    there = [name for name in names if (place / f"fold_{name}" / RECORD).is_file()]
    if there and not overwrite:
        raise ConfigurationError(
            "PE-MODEL-009", f"{place} holds fold {', '.join(there)} already", "--overwrite trains again"
        )
    pictures = preprocessed / f"PEDetector__{settings.image_size}px"
    slices = export_slices(raw, pictures, side=settings.image_size, policy=policy, seed=settings.seed)
    # Not every slice of them need be labelled, so a slice without a box proves nothing.
    boxes_only = SlicePolicy(policy.per_embolus, negative_share=0, fewest_negatives=0)
    further = [
        export_slices(
            other,
            pictures.with_name(f"{pictures.name}__{other.name}"),
            side=settings.image_size,
            policy=boxes_only,
            seed=settings.seed,
            pixel_mm=slices.raster.pixel_mm,
        )
        for other in extra
    ]
    for note in (note for part in (slices, *further) for note in part.notes):
        print(note, flush=True)
    chosen = [load_fold(raw, preprocessed, name, list(slices.pictures)) for name in names]
    return [_train(slices, fold, further, results, settings) for fold in chosen]


def _train(
    slices: SliceSet, fold: Fold, further: Sequence[SliceSet], results: Path, settings: DetectorSettings
) -> Trained:
    unseen = [] if fold.name == "all" else [slices.patients[case] for case in fold.val if case in slices.patients]
    extra = extra_images(further, unseen)
    print(
        f"fold {fold.name}: {len(slices.images(fold.train))} slices of {len(fold.train)} cases to train on, "
        f"{len(extra)} of other datasets, {len(slices.images(fold.val))} of {len(fold.val)} to validate on; "
        f"{slices.raster.pixel_mm} mm a pixel",
        flush=True,
    )
    trained = train_detector(slices, fold, results, settings, extra)
    print(f"fold {fold.name}: written to {trained.folder}", flush=True)
    return trained
