"""What each fold predicts for the scans that it was not trained on."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from numpy.typing import NDArray

from pe_nnunet.calibration.outcomes import LabelledScan
from pe_nnunet.dataset.dataset_json import pe_label_values
from pe_nnunet.detection import Tube
from pe_nnunet.errors import ConfigurationError, GeometryError, InputError
from pe_nnunet.inference.ensemble import InferenceSettings, predict_ensemble
from pe_nnunet.inference.model import TrainedModel
from pe_nnunet.inference.search_region import lung_region
from pe_nnunet.roi import crop, paste
from pe_nnunet.volumes import find_scans, image_like, read_label, read_scan, require_same_grid, spacing_zyx, to_lps
from pe_nnunet.voxels import label_components

MARGIN_MM = 10.0


@dataclass(frozen=True)
class HeldCase:
    """A training scan, and the fold that did not see it.

    Attributes:
        case_id: nnU-Net's name of it.
        fold: Fold.
        image: Path of the scan.
        masks: What nnU-Net wrote for it as validation, one path a model.
    """

    case_id: str
    fold: str
    image: Path
    masks: tuple[Path, ...]


def held_cases(model_folders: Sequence[Path], folds: Sequence[str], raw: Path, preprocessed: Path) -> list[HeldCase]:
    """The validation scans of every fold, from `splits_final.json`.

    Args:
        model_folders: Of the ensemble.
        folds: Folds; all models have them.
        raw: The dataset's folder in `nnUNet_raw`.
        preprocessed: The dataset's folder in `nnUNet_preprocessed`.

    Raises:
        ConfigurationError: PE-FUS-006 if there are no splits, or none for a fold.
        InputError: PE-FUS-006 if the scan of a case is gone.
    """
    path = next((p for p in (folder / "splits_final.json" for folder in (preprocessed, raw)) if p.is_file()), None)
    if path is None:
        raise ConfigurationError("PE-FUS-006", f"no splits_final.json in {preprocessed} or {raw}", "train a fold first")
    splits = json.loads(path.read_text(encoding="utf-8"))
    ending = json.loads((model_folders[0] / "dataset.json").read_text(encoding="utf-8"))["file_ending"]
    cases = []
    for fold in folds:
        if not fold.isdigit() or int(fold) >= len(splits):
            raise ConfigurationError(
                "PE-FUS-006", f"fold {fold} holds no scans back: {path} has folds 0 to {len(splits) - 1}", "name others"
            )
        for case in sorted(splits[int(fold)]["val"]):
            image = raw / "imagesTr" / f"{case}_0000{ending}"
            if not image.is_file():
                raise InputError("PE-FUS-006", f"{image} is gone", "calibration needs the training scans")
            masks = tuple(folder / f"fold_{fold}" / "validation" / f"{case}{ending}" for folder in model_folders)
            cases.append(HeldCase(case, fold, image, masks))
    return cases


def truth_of(case: HeldCase, raw: Path, labels: dict[str, Any]) -> sitk.Image:
    """The emboli of a scan, one id each: as conversion stored them, or the components of nnU-Net's label.

    Args:
        case: The scan.
        raw: The dataset's folder in `nnUNet_raw`.
        labels: Of `dataset.json`.

    Raises:
        PEError: If there is neither, or it cannot be read.
    """
    name = case.image.name.replace(f"{case.case_id}_0000", case.case_id)
    instances = raw / "pe_nnunet" / "instances" / name
    if instances.is_file():
        return read_label(instances)
    label = read_label(raw / "labelsTr" / name)
    ids, _ = label_components(np.isin(sitk.GetArrayViewFromImage(label), pe_label_values(labels)))
    return image_like(ids, label)


def masks_as_probability(case: HeldCase, labels: dict[str, Any]) -> NDArray[np.float32]:
    """Share of models whose validation mask, as nnU-Net wrote it, says PE, in LPS axes.

    Args:
        case: The scan.
        labels: Of `dataset.json`.

    Raises:
        PEError: If a mask is absent or unreadable.
    """
    masks = [sitk.GetArrayFromImage(to_lps(read_label(path))) for path in case.masks]
    return np.asarray(np.mean([np.isin(mask, pe_label_values(labels)) for mask in masks], axis=0), np.float32)


def region_probability(
    models: Sequence[TrainedModel], image: sitk.Image, device: torch.device, settings: InferenceSettings
) -> NDArray[np.float32]:
    """Predict a scan, or one that is cropped to its lungs, where `PEPredictor` would look.

    Args:
        models: The ensemble.
        image: HU, in LPS axes.
        device: Where the networks run.
        settings: How.

    Returns:
        (z, y, x) on the image's grid.

    Raises:
        PEError: If it does not fit the models.
    """
    region = lung_region(image, MARGIN_MM, "full-volume")
    part = crop(image, region.box)
    found = predict_ensemble(models, part, device, settings, within=region.within)
    return np.asarray(sitk.GetArrayFromImage(paste(image_like(found.probability, part), region.box, image)))


def single_fold(models: Sequence[TrainedModel], fold: str) -> list[TrainedModel]:
    """The models with one fold each."""
    return [replace(model, folds=((fold, dict(model.folds)[fold]),)) for model in models]


def labelled_scan(
    case: HeldCase,
    raw: Path,
    labels: dict[str, Any],
    probability: Callable[[HeldCase, sitk.Image], NDArray[np.float32]],
    tubes: Callable[[HeldCase, sitk.Image], Sequence[Tube]] | None = None,
) -> LabelledScan:
    """A scan with its truth and what was predicted for it.

    Args:
        case: The scan.
        raw: The dataset's folder in `nnUNet_raw`.
        labels: Of `dataset.json`.
        probability: Of a case and its image in LPS axes, (z, y, x).
        tubes: Detected emboli of a case and its image; None without a detector.

    Raises:
        PEError: If the scan or its label cannot be read, or they do not fit together.
    """
    image = to_lps(read_scan(find_scans(case.image)[0]).image)
    truth = to_lps(truth_of(case, raw, labels))
    require_same_grid(image, truth, f"the label of case {case.case_id}")
    predicted = probability(case, image)
    if predicted.shape != image.GetSize()[::-1]:
        raise GeometryError(
            "PE-GEO-001", f"the prediction of case {case.case_id} has shape {predicted.shape}, its scan another"
        )
    return LabelledScan(
        case.case_id,
        predicted,
        np.asarray(sitk.GetArrayFromImage(truth)),
        spacing_zyx(image),
        None if tubes is None else tubes(case, image),
    )
