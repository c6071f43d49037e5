"""Probability maps as nnU-Net writes them: `<case>.npz`.

They come of `nnUNetv2_train --npz` and of `nnUNetv2_predict --save_probabilities`. An `.npz` holds `probabilities`,
(channels, z, y, x), on the whole grid of the scan (what nnU-Net cropped is filled up), with axes as the reader of the
plans gives them. Channels are the classes under softmax, background first; under regions those regions in the order of
`dataset.json`, each a sigmoid of its own, without background. The `.pkl` beside it is not needed, and never unpickled,
which would run code from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pe_nnunet.dataset.dataset_json import foreground_channels, has_regions, pe_channel
from pe_nnunet.errors import GeometryError, InputError
from pe_nnunet.files.json_reader import read_object

ENDING = ".npz"
_DATASET, _PLANS = "dataset.json", "plans.json"
DEFAULT_READER = "SimpleITKIO"
READERS = {"SimpleITKIO": False, "NibabelIO": False, "SimpleITKIOWithReorient": True, "NibabelIOWithReorient": True}
"""nnU-Net's readers of volumes -> whether they turn the axes to RAS."""
_ROUNDING = 1e-3  # of half precision, by which a probability may leave 0 to 1


def reader_of(folder: Path) -> str:
    """The reader that `plans.json` in a folder names; nnU-Net's usual one without that, as in folders of ensembles."""
    try:
        return str(read_object(folder / _PLANS).get("image_reader_writer", DEFAULT_READER))
    except (OSError, ValueError):
        return DEFAULT_READER


def description_of(path: Path) -> Path | None:
    """The folder with the `dataset.json` that says what the channels of a map mean; None if there is none.

    Args:
        path: The `.npz`: of a folder of predictions, which has the file itself, or of a model's `fold_F/validation`.
    """
    folders = [path.parent, *([path.parents[2]] if path.parent.name == "validation" else [])]
    return next((folder for folder in folders if (folder / _DATASET).is_file()), None)


def as_read(image: sitk.Image, reader: str) -> sitk.Image:
    """An image with its axes as a reader of nnU-Net turns them."""
    return sitk.DICOMOrient(image, "RAS") if READERS.get(reader, False) else image


def on_grid_of(array: NDArray[Any], like: sitk.Image, reader: str) -> NDArray[Any]:
    """Undo `as_read` for an array: (z, y, x) as the reader gives it, to the grid of the image itself.

    Args:
        array: Of the shape that `as_read(like)` has.
        like: The image.
        reader: nnU-Net's.
    """
    if not READERS.get(reader, False):
        return array
    image = sitk.GetImageFromArray(np.ascontiguousarray(array))
    image.CopyInformation(as_read(like, reader))
    code = sitk.DICOMOrientImageFilter_GetOrientationFromDirectionCosines(like.GetDirection())
    return np.asarray(sitk.GetArrayFromImage(sitk.DICOMOrient(image, code)))


def read_pe_probability(
    path: Path, dataset_json: Mapping[str, Any], reader: str, like: sitk.Image, code: str = "PE-MODEL-016"
) -> NDArray[np.float32]:
    """The PE probability that nnU-Net left of a scan, (z, y, x) on its grid.

    Args:
        path: The `.npz`.
        dataset_json: That of the model, which says what channels mean.
        reader: nnU-Net's name of the reader in the model's plans.
        like: On the scan's grid.
        code: Of the error for a file that cannot be read.

    Raises:
        InputError: With that code if it cannot be read, has other channels than the labels, or no probabilities in it.
        GeometryError: PE-GEO-001 if it lies on another grid.
    """
    regions = has_regions(dataset_json)
    heads = len(foreground_channels(dataset_json)) + (0 if regions else 1)
    try:
        with np.load(path, allow_pickle=False) as stored:
            names = stored.files
            whole = stored["probabilities"] if "probabilities" in names else np.zeros(0)
    except Exception as error:  # a damaged archive makes numpy raise whatever its parts raise
        raise InputError(code, f"{path} holds no probabilities: {error}", "validate or predict again") from error
    if "probabilities" not in names:
        hint = "nnU-Net 1 wrote it, cropped: predict with nnU-Net 2" if "softmax" in names else "predict again"
        raise InputError(code, f"{path} holds no probabilities, but {', '.join(names) or 'nothing'}", hint)
    if whole.ndim != 4 or len(whole) != heads:
        raise InputError(
            code,
            f"{path} has the shape {whole.shape}, expected {heads} channels for the "
            f"{'regions' if regions else 'labels'} {', '.join(dataset_json['labels'])}",
            "take the dataset.json of the model that wrote it",
        )
    channel = np.asarray(whole[pe_channel(dataset_json["labels"], regions)], np.float32)
    shape = as_read(like, reader).GetSize()[::-1]
    if channel.shape != shape:
        raise GeometryError("PE-GEO-001", f"{path} has shape {channel.shape} (z, y, x), its scan {shape}")
    require_probabilities(channel, path, code)
    return np.asarray(np.clip(on_grid_of(channel, like, reader), 0, 1), np.float32)


def require_probabilities(values: NDArray[np.float32], path: Path, code: str) -> None:
    """Check that a map holds probabilities, the rounding of half precision aside.

    Args:
        values: Of the map, one at least.
        path: Its file.
        code: Of the error.

    Raises:
        InputError: With that code if a value is no number, infinite, or not from 0 to 1.
    """
    low, high = float(values.min()), float(values.max())
    if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):  # also where either is NaN
        raise InputError(code, f"{path} has values from {low:g} to {high:g}, expected 0 to 1", "give probabilities")
