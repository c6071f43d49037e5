"""Calibrate an ensemble on the validation scans of its folds, and write `fusion.json`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from pe_nnunet.calibration.counts import EMBOLI, Grid, LabelledScan, count_findings
from pe_nnunet.calibration.held_out import refuse_fold_all, require_held_out, require_unseen
from pe_nnunet.calibration.out_of_fold import (
    ValidationCase,
    cases_of_splits,
    labelled_scan,
    mask_values,
    masks_as_probability,
    require_emboli,
    require_outputs,
    stored_in_lps,
    truth_record,
)
from pe_nnunet.calibration.predicted_by import require_predictions_of
from pe_nnunet.calibration.results import calibration_text, naming_older, write_fusion
from pe_nnunet.calibration.search import calibrate, rates
from pe_nnunet.calibration.trained_on import Trained, splits_of_detectors, splits_of_models
from pe_nnunet.dataset.label_values import dataset_json_beside, holds_ids, read_label_values
from pe_nnunet.dataset.probabilities import ENDING
from pe_nnunet.detection import Tube, detect, load_detector
from pe_nnunet.detection.locate import fold_folders
from pe_nnunet.errors import ConfigurationError, InputError
from pe_nnunet.fusion.settings import FusionSettings
from pe_nnunet.fusion.stored import NAME
from pe_nnunet.inference.channels import further_channels
from pe_nnunet.inference.device import pick_device
from pe_nnunet.inference.ensemble import predict_ensemble
from pe_nnunet.inference.locate import ModelLocation
from pe_nnunet.inference.model import TrainedModel, load_model, model_records
from pe_nnunet.inference.search_region import lung_region
from pe_nnunet.inference.settings import InferenceSettings
from pe_nnunet.metrics.instances import AUTO, LabelKind, ignored_voxels, require_known_values, to_instances
from pe_nnunet.roi import crop, paste
from pe_nnunet.volumes import (
    ScanRef,
    find_scans,
    image_like,
    read_label,
    read_scan,
    require_same_grid,
    spacing_zyx,
    to_lps,
)
from pe_nnunet.volumes.files.volume_file import scan_sha256

MARGIN_MM = 10.0
SHIFT_THRESHOLDS = tuple(round(0.05 * k, 2) for k in range(1, 20))


def calibrate_models(
    locations: Sequence[ModelLocation],
    max_fp_per_scan: float | None,
    grid: Grid,
    *,
    source: str = "probabilities",
    device: str = "auto",
    inference: InferenceSettings | None = None,
    trust_checkpoint: bool = False,
    detector: Path | None = None,
    check: tuple[Path, Path] | None = None,
    dataset_json: Path | None = None,
) -> Path:
    """Predict the scans that each fold was not trained on, choose settings, and write them.

    Args:
        locations: Models of one dataset, with the same folds.
        max_fp_per_scan: The sensitivity at this many false positives a scan, at most, counts; None: the F1 of emboli.
        grid: Which settings are tried.
        source: `probabilities` predicts; `npz` and `masks` take the probabilities, or the masks, that training left.
        device: Where the networks run.
        inference: How; the default if None.
        trust_checkpoint: Load checkpoints that hold more than weights.
        detector: Folder of a detector with the same folds; None: segmentation alone.
        check: Scans that no fold was trained on and their labels, to compare single folds with their mean.
        dataset_json: Says what the values of labels mean; by default that which lies beside them.

    Returns:
        `fusion.json` in the folder of the first model.

    Raises:
        PEError: If models, scans or labels are missing or do not fit together.
    """
    folds = locations[0].folds
    if any(location.folds != folds for location in locations):
        raise ConfigurationError("PE-MODEL-004", "the models have different folds", "name the common ones with -f")
    refuse_fold_all(folds)
    folders = [location.folder for location in locations]
    if source == "masks":
        for folder in folders:
            mask_values(folder)
    cases = cases_of_splits(folders, folds, ENDING if source == "npz" else "", dataset_json)
    with naming_older(folders[0] / NAME):
        require_emboli(cases)  # before hours of prediction
    inference, where = inference or InferenceSettings(), pick_device(device)
    # one detector a fold: a scan must not be seen by the one that was trained on it
    detectors = {fold: load_detector(fold_folders(detector, [fold]), where.type) for fold in folds if detector}
    segmenters = splits_of_models(locations, trust=trust_checkpoint)
    trained = [*segmenters, *splits_of_detectors({fold: one.records for fold, one in detectors.items()})]
    for note in require_held_out(trained, cases):
        print(note, flush=True)
    if source != "probabilities":
        require_outputs(cases)
        require_predictions_of(locations, cases)
    further = []
    if check is not None:
        if len(folds) < 2:
            raise ConfigurationError("PE-MODEL-007", "--check compares folds with their mean: it needs two or more")
        further = _further_scans(*check, dataset_json, segmenters)
    models: list[TrainedModel] = []
    if source == "probabilities" or check is not None:
        models = [load_model(location, where, trust_checkpoint) for location in locations]

    def probability(image: sitk.Image, fold: str, channels: Sequence[sitk.Image] = ()) -> NDArray[np.float32]:
        single = [replace(model, folds=((fold, dict(model.folds)[fold]),)) for model in models]
        return _region_probability(single, image, channels, where, inference)

    def predicted(case: ValidationCase, image: sitk.Image) -> NDArray[np.float32]:
        if source == "npz":
            return stored_in_lps(case)
        if source == "masks":
            return masks_as_probability(case, image)
        return probability(image, case.fold, _channels_lps(case, max(model.n_channels for model in models)))

    def tubes(case: ValidationCase, image: sitk.Image) -> Sequence[Tube]:
        return detect(image, detectors[case.fold]).emboli

    bar = tqdm(cases, desc="validation scans", unit="scan", disable=None, file=sys.stderr)
    scans = [labelled_scan(case, predicted, tubes if detectors else None) for case in bar]
    with naming_older(folders[0] / NAME):
        found = calibrate(scans, max_fp_per_scan, grid)
    shift = None
    if further:
        shift = measure_shift(further, folds, probability, found.segmentation.chosen.settings)
    chosen_on = {
        "dataset": folders[0].parent.name,
        "scans": [scan.case_id for scan in scans],
        "folds": list(folds),
        "labels": truth_record(cases),
        "source": source,
        "models": [asdict(record) for location in locations for record in model_records(location)],
        "detector": [record.brief() for one in detectors.values() for record in one.records] or None,
        "inference": asdict(inference),
        "fold_shift": shift,
    }
    path = write_fusion(folders[0], found, [folder.name for folder in folders], chosen_on)
    print(calibration_text(found, len(scans), shift), flush=True)
    return path


def _channels_lps(case: ValidationCase, count: int) -> list[sitk.Image]:
    """The channels of a case beside the CT, in LPS axes."""
    if count <= 1:
        return []
    ref = ScanRef(case.case_id, "file", case.image, (case.image,))
    return [to_lps(channel) for channel in further_channels(ref, read_scan(ref).image, count)]


def _region_probability(
    models: Sequence[TrainedModel],
    image: sitk.Image,
    channels: Sequence[sitk.Image],
    device: torch.device,
    settings: InferenceSettings,
) -> NDArray[np.float32]:
    """Predict a scan in LPS axes, or one that is cropped to its lungs, where `PEPredictor` would look: (z, y, x)."""
    region = lung_region(image, MARGIN_MM, "full-volume")
    part = crop(image, region.box)
    further = [crop(channel, region.box) for channel in channels]
    probability, _ = predict_ensemble(models, part, device, settings, within=region.within, further=further)
    return np.asarray(sitk.GetArrayFromImage(paste(image_like(probability, part), region.box, image)))


FurtherScan = tuple[str, sitk.Image, NDArray[Any], NDArray[np.bool_] | None]
"""Name, image in LPS axes, ids of its emboli and which voxels are ignored, if any, (z, y, x); no fold has seen it."""


def _further_scans(scans: Path, labels: Path, dataset_json: Path | None, trained: Trained) -> list[FurtherScan]:
    """Scans with their labels, which are read by the `dataset.json` beside them; without one, as ids or masks."""
    kind = AUTO
    path = dataset_json or dataset_json_beside(labels)
    if holds_ids(labels):
        kind = LabelKind("instances")
    elif path is not None:
        kind = LabelKind("class", *read_label_values(path).for_classes)
    further: list[FurtherScan] = []
    hashes = {}
    for ref in find_scans(scans):
        path = labels / f"{ref.case_id}.nii.gz"
        if not path.is_file():
            raise InputError("PE-LBL-001", f"no label {path.name} in {path.parent}", "name labels like the cases")
        scan = read_scan(ref)
        hashes[ref.case_id] = scan_sha256(ref.path) if ref.kind == "file" else (scan.sha256,)
        image, label = to_lps(scan.image), to_lps(read_label(path))
        require_same_grid(image, label, f"the label of case {ref.case_id}")
        values = sitk.GetArrayFromImage(label)
        require_known_values(values, kind, f"the label of case {ref.case_id}")
        further.append((ref.case_id, image, to_instances(values, kind), ignored_voxels(values, kind)))
    require_unseen(trained, hashes)
    return further


def measure_shift(
    scans: Iterable[FurtherScan],
    folds: Sequence[str],
    predict: Callable[[sitk.Image, str], NDArray[np.float32]],
    settings: FusionSettings,
) -> dict[str, Any]:
    """Apply settings that were chosen on single folds to the maps of single folds, and to the mean of all.

    Args:
        scans: With their truth; no fold was trained on them.
        folds: Two or more.
        predict: The probability of an image by one fold, (z, y, x).
        settings: What was calibrated; boxes do not count here.

    Returns:
        What `fusion.json` holds: numbers of `scans` and `emboli`, the `folds`, sensitivity and false positives a scan
        of `single_...` folds (their mean) and of the `mean_...` of the folds (no sensitivity without emboli), the
        `threshold` that was calibrated, and the `equal_threshold` at which the mean of the folds comes nearest to the
        false positives of single folds.
    """
    settings = replace(settings, box_weight=0.0, no_box_penalty=0.0)
    seed = settings.seed - settings.threshold
    tried = [
        replace(settings, threshold=t, seed_threshold=min(1.0, t + seed))
        for t in SHIFT_THRESHOLDS
        if t >= settings.candidate_threshold
    ]
    single, mean, count = np.zeros(7, np.int64), np.zeros((1 + len(tried), 7), np.int64), 0
    for name, image, truth, ignored in scans:
        maps = [predict(image, fold) for fold in folds]
        mm = spacing_zyx(image)
        of_folds = [LabelledScan(name, probability, truth, mm, ignored=ignored) for probability in maps]
        single += count_findings(of_folds, [settings])[0].sum(axis=0)
        of_mean = replace(of_folds[0], probability=np.mean(maps, axis=0, dtype=np.float32))
        mean += count_findings([of_mean], [settings, *tried])[:, 0]
        count += 1
    single_sensitivity, single_fp, _ = rates(single / len(folds), count)
    mean_sensitivity, mean_fp, _ = rates(mean, count)
    emboli = int(mean[0, EMBOLI])
    nearest = min(
        range(len(tried)), key=lambda k: (abs(mean_fp[1 + k] - single_fp), abs(tried[k].threshold - settings.threshold))
    )
    return {
        "scans": count,
        "emboli": emboli,
        "folds": list(folds),
        "single_sensitivity": float(single_sensitivity) if emboli else None,
        "single_fp_per_scan": float(single_fp),
        "mean_sensitivity": float(mean_sensitivity[0]) if emboli else None,
        "mean_fp_per_scan": float(mean_fp[0]),
        "threshold": settings.threshold,
        "equal_threshold": tried[nearest].threshold,
    }
