"""Label schemes: which value in labelsTr means what, and how dataset.json says so."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pe_nnunet.dataset_conversion.options import Scheme

# The order of keys is the order of the network's output channels under regions: never sort them.
_LABELS: dict[Scheme, dict[str, int | list[int]]] = {
    "pe": {"background": 0, "PE": 1},
    "artery-pe": {"background": 0, "artery": [1, 2], "PE": 2},
    "artery": {"background": 0, "artery": 1},
}
_REGIONS_CLASS_ORDER: dict[Scheme, list[int]] = {"artery-pe": [1, 2]}


def make_label(
    scheme: Scheme, emboli: npt.NDArray[np.integer], artery: npt.NDArray[np.integer] | None
) -> npt.NDArray[np.uint8]:
    """Values of labelsTr for one case.

    Args:
        scheme: A label scheme.
        emboli: Embolus ids, 0 elsewhere, any shape.
        artery: Artery mask of the same shape; needed by all but `"pe"`. Emboli count as inside the artery.

    Returns:
        An array of the same shape.

    Raises:
        ValueError: If the scheme needs an artery mask and there is none.

    Example:
        >>> make_label("artery-pe", np.array([0, 0, 7]), np.array([0, 1, 1])).tolist()
        [0, 1, 2]
    """
    clot = emboli > 0
    if scheme == "pe":
        return clot.astype(np.uint8)
    if artery is None:
        raise ValueError(f"the scheme {scheme} needs an artery mask")
    label = (artery > 0).astype(np.uint8)
    label[clot] = 2 if scheme == "artery-pe" else 1
    return label


def dataset_json(scheme: Scheme, *, name: str, cases: int, converted_by: str) -> dict[str, Any]:
    """Content of nnU-Net's dataset.json, keys in the order that matters.

    Args:
        scheme: A label scheme.
        name: Name of the dataset folder.
        cases: Number of training cases.
        converted_by: Program and version.
    """
    content: dict[str, Any] = {
        "name": name,
        "description": "CT pulmonary angiography, cropped to the lungs with a margin",
        "converted_by": converted_by,
        "channel_names": {"0": "CT"},
        "labels": {key: list(value) if isinstance(value, list) else value for key, value in _LABELS[scheme].items()},
        "numTraining": cases,
        "file_ending": ".nii.gz",
        "overwrite_image_reader_writer": "SimpleITKIO",
    }
    if scheme in _REGIONS_CLASS_ORDER:
        content["regions_class_order"] = list(_REGIONS_CLASS_ORDER[scheme])
    return content
