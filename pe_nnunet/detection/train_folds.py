"""From a converted dataset to the detectors of its folds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from pe_nnunet.cases import busy
from pe_nnunet.dataset.folders import Split
from pe_nnunet.dataset.scan_hashes import scan_hashes
from pe_nnunet.dataset.split_checks import read_splits, split_of
from pe_nnunet.dataset.training_split import TrainingSplit
from pe_nnunet.detection.record import RECORD
from pe_nnunet.detection.settings import DetectorSettings
from pe_nnunet.detection.train import detector_name, train_detector
from pe_nnunet.detection.training_slices import export_slices, extra_cases, extra_images
from pe_nnunet.errors import ConfigurationError, Note
from pe_nnunet.files import in_turn
from pe_nnunet.files.locks import locked


def train_folds(
    raw: Path,
    preprocessed: Path,
    results: Path,
    settings: DetectorSettings,
    *,
    folds: Sequence[str] | None = None,
    extra: Sequence[Path] = (),
    overwrite: bool = False,
    compare: Callable[[str, Split], Sequence[Note]] | None = None,
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
        compare: Says before the training what else does not fit to a fold and its split.

    Raises:
        PEError: If a dataset, fold or setting does not fit, or PE-MODEL-009 if a fold is trained already.
    """
    names = list(map(str, range(len(_folds(raw, preprocessed))))) if folds is None else list(folds)
    place = results / detector_name(settings)
    there = [name for name in names if (place / f"fold_{name}" / RECORD).is_file()]
    if there and not overwrite:
        raise ConfigurationError(
            "PE-MODEL-009", f"{place} holds fold {', '.join(there)} already", "--overwrite trains again"
        )
    pictures = preprocessed / f"PEDetector__{settings.image_size}px"
    with in_turn(pictures):  # several folds may be started at once
        slices = export_slices(raw, pictures, settings)
    # Not every slice of them need be labelled, so a slice without a box proves nothing.
    boxes_only = replace(settings, negative_share=0, min_negatives=0)
    further = []
    for other in extra:
        beside = pictures.with_name(f"{pictures.name}__{other.name}")
        with in_turn(beside):
            further.append(export_slices(other, beside, boxes_only, slices.raster.pixel_mm))
    for note in (note for part in (slices, *further) for note in part.notes):
        print(note, flush=True)
    splits = {name: load_fold(raw, preprocessed, name, list(slices.pictures)) for name in names}
    for note in (note for name, split in splits.items() for note in (compare(name, split) if compare else ())):
        print(note, flush=True)
    for name, split in splits.items():
        unseen = [] if name == "all" else [slices.patients[case] for case in split["val"] if case in slices.patients]
        others = extra_images(further, unseen)
        train, val = (f"{len(slices.images(split[part]))} slices of {len(split[part])}" for part in ("train", "val"))
        print(
            f"fold {name}: {train} cases to train on, {len(others)} of other datasets, {val} to validate on; "
            f"{slices.raster.pixel_mm} mm a pixel",
            flush=True,
        )
        scans = scan_hashes(raw.name, (*split["train"], *split["val"]))
        train_scans = {case: scans[case] for case in split["train"]}
        for other, part in zip(extra, further, strict=True):
            of_other = scan_hashes(other.name, extra_cases(part, unseen))
            train_scans |= {f"{other.name}/{case}": hashes for case, hashes in of_other.items()}
        record = TrainingSplit(raw.name, name, train_scans, {case: scans[case] for case in split["val"]})
        place.mkdir(parents=True, exist_ok=True)
        with locked(place / f".fold_{name}.lock", busy(place / f"fold_{name}")):
            folder = train_detector(slices, record, split, results, settings, others)
        print(f"fold {name}: written to {folder}", flush=True)


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
    return split_of(_folds(raw, preprocessed), fold, dataset=raw.name, code="PE-DET-004")


def _folds(raw: Path, preprocessed: Path) -> list[Split]:
    return read_splits(preprocessed, raw, code="PE-DET-004", hint="convert at least two patients, or take -f all")
