"""Calibrate an ensemble on the validation scans of its folds, and write `fusion.json`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from pe_nnunet.calibration.boxes_alone import BoxChoice
from pe_nnunet.calibration.fold_shift import FoldShift, measure_shift
from pe_nnunet.calibration.out_of_fold import (
    HeldCase,
    held_cases,
    labelled_scan,
    masks_as_probability,
    region_probability,
    single_fold,
)
from pe_nnunet.calibration.outcomes import Grid, LabelledScan
from pe_nnunet.calibration.search import FEWEST_SCANS, Calibration, Choice, DetectionTest, Objective, calibrate
from pe_nnunet.dataset.dataset_json import read_dataset_json
from pe_nnunet.dataset.folders import PREPROCESSED, RAW, nnunet_folder
from pe_nnunet.detection import Detector, Tube, detect, load_detector
from pe_nnunet.detection.detector import fold_folders
from pe_nnunet.errors import ConfigurationError, InputError
from pe_nnunet.fusion.stored import write_fusion
from pe_nnunet.inference.locate import ModelLocation
from pe_nnunet.inference.model import TrainedModel, load_model, pick_device
from pe_nnunet.inference.settings import InferenceSettings
from pe_nnunet.metrics.instances import to_instances
from pe_nnunet.outputs import ModelRecord
from pe_nnunet.volumes import find_scans, read_label, read_scan, require_same_grid, to_lps
from pe_nnunet.volumes.files.volume_file import file_sha256


@dataclass(frozen=True)
class CalibrationRun:
    """How to calibrate.

    Attributes:
        objective: What is made as high as it can be.
        grid: Which settings are tried.
        masks: Take the masks that training left instead of predicting.
        device: Where the networks run.
        inference: How.
        trust_checkpoint: Load checkpoints that hold more than weights.
        detector: Folder of a detector with the same folds; None: segmentation alone.
        check: Scans that no fold was trained on, to compare single folds with their mean.
        check_labels: Their labels.
    """

    objective: Objective
    grid: Grid
    masks: bool = False
    device: str = "auto"
    inference: InferenceSettings = field(default_factory=InferenceSettings)
    trust_checkpoint: bool = False
    detector: Path | None = None
    check: Path | None = None
    check_labels: Path | None = None


def calibrate_models(locations: Sequence[ModelLocation], how: CalibrationRun) -> Path:
    """Predict the scans that each fold was not trained on, choose settings, and write them.

    Args:
        locations: Models of one dataset, with the same folds.
        how: How.

    Returns:
        `fusion.json` in the folder of the first model.

    Raises:
        PEError: If models, scans or labels are missing or do not fit together.
    """
    folds = locations[0].folds
    if any(location.folds != folds for location in locations):
        raise ConfigurationError("PE-MODEL-004", "the models have different folds", "name the common ones with -f")
    folders = [location.folder for location in locations]
    dataset = folders[0].parent.name
    raw = nnunet_folder(RAW) / dataset
    labels = read_dataset_json(folders[0])["labels"]
    cases = held_cases(folders, folds, raw, nnunet_folder(PREPROCESSED) / dataset)
    device = pick_device(how.device)
    models: list[TrainedModel] = []
    if not how.masks or how.check is not None:
        models = [load_model(location, device, how.trust_checkpoint) for location in locations]

    def probability(case: HeldCase, image: sitk.Image) -> NDArray[np.float32]:
        if how.masks:
            return masks_as_probability(case, labels)
        return region_probability(single_fold(models, case.fold), image, device, how.inference)

    detectors = {} if how.detector is None else _fold_detectors(how.detector, folds, device.type)

    def tubes(case: HeldCase, image: sitk.Image) -> Sequence[Tube]:
        return detect(image, detectors[case.fold]).emboli

    scans = _scans(cases, raw, labels, probability, tubes if detectors else None)
    found = calibrate(scans, how.objective, how.grid)
    shift = None
    if how.check is not None and how.check_labels is not None:
        shift = _shift(models, folds, how, found, device)
    chosen_on = {
        "dataset": dataset,
        "scans": [scan.case_id for scan in scans],
        "folds": list(folds),
        "source": "masks" if how.masks else "probabilities",
        "models": [asdict(record) for record in _records(locations)],
        "detector": [asdict(record) for detector in detectors.values() for record in detector.records] or None,
        "inference": asdict(how.inference),
        "fold_shift": None if shift is None else shift.to_json(),
    }
    path = write_fusion(folders[0], found, [folder.name for folder in folders], chosen_on)
    print("\n".join(_told(found, len(scans), shift)), flush=True)
    return path


def _records(locations: Sequence[ModelLocation]) -> list[ModelRecord]:
    return [
        ModelRecord(
            place.folder.name,
            place.folder.parent.name,
            fold,
            place.checkpoint,
            file_sha256(place.folder / f"fold_{fold}" / place.checkpoint),
        )
        for place in locations
        for fold in place.folds
    ]


def _fold_detectors(folder: Path, folds: Sequence[str], device: str) -> dict[str, Detector]:
    """One detector a fold: a scan must not be seen by the one that was trained on it."""
    return {fold: load_detector(fold_folders(folder, [fold]), device) for fold in folds}


def _scans(
    cases: Sequence[HeldCase], raw: Path, labels: dict[str, Any], probability: Any, tubes: Any
) -> list[LabelledScan]:
    bar = tqdm(cases, desc="validation scans", unit="scan", disable=None, file=sys.stderr)
    return [labelled_scan(case, raw, labels, probability, tubes) for case in bar]


def _shift(
    models: Sequence[TrainedModel],
    folds: Sequence[str],
    how: CalibrationRun,
    found: Calibration,
    device: torch.device,
) -> FoldShift:
    if len(folds) < 2:
        raise ConfigurationError("PE-MODEL-007", "--check compares folds with their mean: it needs two or more")
    scans = []
    for ref in find_scans(how.check or Path()):
        path = (how.check_labels or Path()) / f"{ref.case_id}.nii.gz"
        if not path.is_file():
            raise InputError("PE-LBL-001", f"no label {path.name} in {path.parent}", "name labels like the cases")
        image, truth = to_lps(read_scan(ref).image), to_lps(read_label(path))
        require_same_grid(image, truth, f"the label of case {ref.case_id}")
        scans.append((ref.case_id, image, to_instances(sitk.GetArrayFromImage(truth))))
    return measure_shift(
        scans,
        folds,
        lambda image, fold: region_probability(single_fold(models, fold), image, device, how.inference),
        found.segmentation.chosen.settings,
    )


def _told(found: Calibration, scans: int, shift: FoldShift | None) -> list[str]:
    best = found.best
    lines = [f"highest {found.objective} on {scans} scans with {best.chosen.emboli} emboli:"]
    if found.fusion is None or found.boxes is None or found.detection is None:
        lines.append(_line(best.chosen))
    else:
        lines += [
            f"    segmentation alone, {_line(found.segmentation.chosen).strip()}",
            f"    detection alone, from confidence {found.boxes.confidence:g}: {_outcome(found.boxes)}",
            f"    both, {_line(found.fusion.chosen).strip()}",
            f"    {_whether_boxes_help(found.detection, scans)}",
        ]
    for budget, choice in best.budgets.items():
        lines.append(f"at most {budget:g} false positives a scan: {_line(choice).strip()}")
    if shift is not None:
        lines += [
            f"on {shift.scans} further scans with {shift.emboli} emboli: single folds find "
            f"{shift.single_sensitivity:.0%} with {shift.single_fp_per_scan:.2f} false positives a scan, their mean "
            f"{shift.mean_sensitivity:.0%} with {shift.mean_fp_per_scan:.2f}",
            f"    the mean comes nearest to the single folds' false positives at threshold {shift.equal_threshold:g} "
            f"instead of {shift.threshold:g}",
        ]
    return lines


def _whether_boxes_help(test: DetectionTest, scans: int) -> str:
    if scans < FEWEST_SCANS:
        return f"on fewer than {FEWEST_SCANS} scans nothing shows whether boxes help: they get weight zero"
    verdict = "boxes count" if test.helps else "boxes get weight zero"
    return (
        f"gain {test.gain:+.3f} on scans it was not chosen on, positive in {test.certainty:.0%} of resamples: {verdict}"
    )


def _line(choice: Choice) -> str:
    s = choice.settings
    boxes = ""
    if s.uses_detection:
        boxes = f", boxes from {s.box_confidence:g}: {s.box_weight:g}, without -{s.no_box_penalty:g}"
    return f"    threshold {s.threshold:g}, seed {s.seed:g}, from {s.min_volume_mm3:g} mm3{boxes}: {_outcome(choice)}"


def _outcome(choice: Choice | BoxChoice) -> str:
    return (
        f"{choice.found} of {choice.emboli} emboli, {choice.false_positives_per_scan:.2f} false positives a scan, "
        f"F1 {choice.f1:.2f}"
    )
