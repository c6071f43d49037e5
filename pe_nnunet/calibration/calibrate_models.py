"""Calibrate an ensemble on the validation scans of its folds, and write `fusion.json`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from tqdm import tqdm

from pe_nnunet.calibration.counts import Grid
from pe_nnunet.calibration.ensemble_calibration import calibrate_ensemble, model_names_of
from pe_nnunet.calibration.fold_shift import measure_shift
from pe_nnunet.calibration.further_scans import read_further_scans
from pe_nnunet.calibration.held_out import refuse_fold_all, require_held_out
from pe_nnunet.calibration.out_of_fold import (
    mask_values,
    masks_as_probability,
    member_maps,
    require_outputs,
    stored_in_lps,
)
from pe_nnunet.calibration.predict_members import predict_members
from pe_nnunet.calibration.predicted_by import require_predictions_of
from pe_nnunet.calibration.results import calibration_text, naming_older, require_writable, write_fusion
from pe_nnunet.calibration.trained_on import splits_of_detectors, splits_of_models
from pe_nnunet.calibration.validation_cases import ValidationCase, cases_of_splits, require_emboli, truth_record
from pe_nnunet.cases import step_bar
from pe_nnunet.dataset.probabilities import ENDING
from pe_nnunet.dataset.raw import patients_of_dataset
from pe_nnunet.detection import Tube, detect, load_detector
from pe_nnunet.detection.locate import fold_folders
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.fusion.stored import NAME
from pe_nnunet.inference.backends import with_backends
from pe_nnunet.inference.channels import further_channels
from pe_nnunet.inference.device import pick_device
from pe_nnunet.inference.locate import ModelLocation
from pe_nnunet.inference.long_run import LongRun
from pe_nnunet.inference.model import TrainedModel, load_model, model_records
from pe_nnunet.inference.settings import InferenceSettings
from pe_nnunet.inference.window_progress import Progress
from pe_nnunet.inference.window_size import described, with_windows
from pe_nnunet.volumes import ScanRef, read_scan, to_lps


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
    output: Path | None = None,
) -> Path:
    """Predict the scans that each fold was not trained on, choose settings, and write them.

    Args:
        locations: Models of one dataset, with the same folds. Of several the weights are chosen too, except by masks.
        max_fp_per_scan: The sensitivity at this many false positives a scan, at most, counts; None: the F1 of emboli.
        grid: Which settings are tried.
        source: `probabilities` predicts; `npz` and `masks` take the probabilities, or the masks, that training left.
        device: Where the networks run.
        inference: How; the default if None.
        trust_checkpoint: Load checkpoints that hold more than weights.
        detector: Folder of a detector with the same folds; None: segmentation alone.
        check: Scans that no fold was trained on and their labels, to compare single folds with their mean.
        dataset_json: Says what the values of labels mean; by default that which lies beside them.
        output: Where the result goes; None for `fusion.json` in the folder of the first model.

    Returns:
        The file that was written.

    Raises:
        PEError: If models, scans or labels are missing or do not fit together.
    """
    folds = locations[0].folds
    if any(location.folds != folds for location in locations):
        raise ConfigurationError("PE-MODEL-004", "the models have different folds", "name the common ones with -f")
    folders = [location.folder for location in locations]
    if any(folder.resolve().parent != folders[0].resolve().parent for folder in folders):
        raise ConfigurationError(
            "PE-MODEL-004", "models of different datasets hold out different scans", "give scans of your own: --scans"
        )
    refuse_fold_all(folds)
    model_names_of(locations)
    if source == "masks":
        for folder in folders:
            mask_values(folder)
    path = output or folders[0] / NAME
    require_writable(path)
    cases = cases_of_splits(folders, folds, ENDING if source == "npz" else "", dataset_json)
    with naming_older(path):
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
    if check is not None and len(folds) < 2:
        raise ConfigurationError("PE-MODEL-007", "--check compares folds with their mean: it needs two or more")
    models: Sequence[TrainedModel] = ()
    if source == "probabilities" or check is not None:
        loaded = [load_model(location, where, trust_checkpoint) for location in locations]
        models, notes = with_windows(loaded, where, inference)
        models, of_backends = with_backends(models, where, inference)
        for note in (*notes, *of_backends):
            print(note, flush=True)
    count = max((model.n_channels for model in models), default=1)
    # before hours of prediction
    further = [] if check is None else read_further_scans(*check, dataset_json, segmenters, count)

    def by_fold(
        image: sitk.Image, fold: str, channels: Sequence[sitk.Image] = (), progress: Progress | None = None
    ) -> list[NDArray[np.float32]]:
        single = [replace(model, folds=((fold, dict(model.folds)[fold]),)) for model in models]
        return predict_members(single, image, channels, where, inference, progress)

    long = LongRun([replace(model, folds=model.folds[:1]) for model in models], where, inference, len(cases))

    def predicted(case: ValidationCase, image: sitk.Image) -> list[NDArray[np.float32]]:
        if source == "npz":
            return stored_in_lps(case)
        if source == "masks":
            return [masks_as_probability(case, image)]
        channels = _channels_lps(case, count)
        with step_bar(case.case_id, "window", foreseen=long.next_scan()) as show:
            return by_fold(image, case.fold, channels, lambda part, done, n, share: show(done, n, part, share))

    def tubes(case: ValidationCase, image: sitk.Image) -> Sequence[Tube]:
        return detect(image, detectors[case.fold]).emboli

    bar = tqdm(cases, desc="validation scans", unit="scan", disable=None, file=sys.stderr)
    members = [member_maps(case, predicted, tubes if detectors else None) for case in bar]
    with naming_older(path):
        chosen = calibrate_ensemble(
            locations, members, max_fp_per_scan, grid, patients_of_dataset(folders[0].resolve().parent.name)
        )
    shift = None
    if further:

        def mean(image: sitk.Image, fold: str, channels: Sequence[sitk.Image]) -> NDArray[np.float32]:
            weights = np.asarray(chosen.weights, np.float32)
            return np.asarray(np.einsum("m,mzyx->zyx", weights, np.stack(by_fold(image, fold, channels))))

        shift = measure_shift(further, folds, mean, chosen.found.segmentation.chosen.settings)
    write_fusion(
        path,
        chosen,
        {
            "dataset": folders[0].parent.name,
            "scans": [member.case_id for member in members],
            "folds": list(folds),
            "labels": truth_record(cases),
            "source": source,
            "models": [asdict(record) for location in locations for record in model_records(location)],
            "detector": [record.brief() for one in detectors.values() for record in one.records] or None,
            "inference": asdict(inference) | {"windows": described(models)},
            "fold_shift": shift,
        },
    )
    print(calibration_text(chosen, len(members), shift), flush=True)
    return path


def _channels_lps(case: ValidationCase, count: int) -> list[sitk.Image]:
    """The channels of a case beside the CT, in LPS axes."""
    if count <= 1:
        return []
    ref = ScanRef(case.case_id, "file", case.image, (case.image,))
    return [to_lps(channel) for channel in further_channels(ref, read_scan(ref).image, count)]
