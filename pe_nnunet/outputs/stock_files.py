"""A case as `nnUNetv2_predict --save_probabilities` writes it, for nnU-Net's ensembling and postprocessing."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pe_nnunet.dataset.dataset_json import has_regions, pe_channel
from pe_nnunet.dataset.probabilities import as_read
from pe_nnunet.files import atomic_json, atomic_path
from pe_nnunet.outputs.case import CaseResult, StockClasses
from pe_nnunet.volumes.files.image_writer import write_image
from pe_nnunet.volumes.geometry import image_like

FILE_ENDING = ".nii.gz"


def write_stock(case: CaseResult, path: Path) -> None:
    """Write `<case>.nii.gz` (labels of the dataset), `<case>.pkl` (geometry) and `<case>.npz` (probabilities) last.

    Args:
        case: With `stock` and `probability`.
        path: The `.npz`.

    Raises:
        OutputError: PE-OUT-001 if one cannot be written.
    """
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    stock, probability = case.stock, case.probability
    if stock is None or probability is None:  # `applies` has asked
        return
    plans = PlansManager(dict(stock.plans))
    channels = all_channels(stock, probability)
    labels = plans.get_label_manager(dict(stock.dataset_json)).convert_probabilities_to_segmentation(channels)
    mask = path.with_name(path.name.removesuffix(".npz") + FILE_ENDING)
    write_image(image_like(np.asarray(labels).astype(np.uint8), probability), mask)
    # the geometry as nnU-Net's own reader says it
    _, properties = plans.image_reader_writer_class().read_images((str(mask),))
    reader = str(stock.plans["image_reader_writer"])
    turned = np.stack([_turned(channel, probability, reader) for channel in channels])
    shape = turned.shape[1:]
    properties |= {
        "shape_before_cropping": shape,
        "bbox_used_for_cropping": [[0, side] for side in shape],
        "shape_after_cropping_and_before_resampling": shape,
    }
    with atomic_path(mask.with_name(mask.name.removesuffix(FILE_ENDING) + ".pkl")) as temporary:
        temporary.write_bytes(pickle.dumps(properties))
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, probabilities=turned)


def all_channels(stock: StockClasses, probability: sitk.Image) -> NDArray[np.float32]:
    """The probabilities of all channels, (channels, z, y, x) on the scan's grid.

    Under softmax they add up to 1: where a detector's boxes raised PE, what others have beyond the rest is taken off.

    Args:
        stock: The other channels.
        probability: Of PE.
    """
    regions = has_regions(stock.dataset_json)
    pe = np.asarray(sitk.GetArrayViewFromImage(probability), np.float32)
    found = {number: np.asarray(sitk.GetArrayViewFromImage(image)) for number, image in stock.others.items()}
    found[pe_channel(stock.dataset_json["labels"], regions)] = pe
    if regions:
        return np.stack([found[number] for number in sorted(found)])
    others = sum((found[number] for number in stock.others), np.zeros_like(pe))
    share = np.minimum(1, (1 - pe) / np.maximum(others, np.finfo(np.float32).tiny))
    for number in stock.others:
        found[number] = found[number] * share
    background = np.clip(1 - sum(found.values(), np.zeros_like(pe)), 0, 1)
    return np.stack([background, *(found[number] for number in sorted(found))]).astype(np.float32)


def _turned(channel: NDArray[np.float32], like: sitk.Image, reader: str) -> NDArray[np.float32]:
    return np.asarray(sitk.GetArrayFromImage(as_read(image_like(channel, like), reader)))


def write_stock_descriptions(plans: Mapping[str, Any], dataset_json: Mapping[str, Any], folder: Path) -> None:
    """Write `plans.json` and `dataset.json`, by which nnU-Net reads such a folder.

    Args:
        plans: Of the model.
        dataset_json: Of the model; the files of the folder are NIfTI whatever the dataset's are.
        folder: Where the cases are.

    Raises:
        OutputError: PE-OUT-001 if one cannot be written.
    """
    atomic_json(folder / "plans.json", dict(plans))
    atomic_json(folder / "dataset.json", {**dataset_json, "file_ending": FILE_ENDING})
