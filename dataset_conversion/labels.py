"""Values of masks: which of them are emboli, an id for each, and what becomes of them in labelsTr."""

from __future__ import annotations

import re
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from pe_nnunet.dataset_conversion.convert_options import LabelKind, Scheme
from pe_nnunet.errors import ConfigurationError, InputError
from pe_nnunet.volumes import image_like
from pe_nnunet.voxels import label_components

LabelMap = tuple[tuple[int, int], ...]
MANY_VALUES = 255  # from here on a mask may as well be one of organs
MAX_EMBOLI = int(np.iinfo(np.uint16).max)

# The order of keys is the order of the network's output channels under regions: never sort them.
_LABELS: dict[Scheme, dict[str, int | list[int]]] = {
    "pe": {"background": 0, "PE": 1},
    "artery-pe": {"background": 0, "artery": [1, 2], "PE": 2},
    "artery": {"background": 0, "artery": 1},
}
_REGIONS_CLASS_ORDER: dict[Scheme, list[int]] = {"artery-pe": [1, 2]}


def parse_label_map(text: str) -> LabelMap:
    """Pairs of an old and a new value.

    Args:
        text: `OLD=NEW` with commas between; a value that is not named becomes 0.

    Raises:
        ConfigurationError: PE-CONV-004 if it says something else.

    Example:
        >>> parse_label_map("3=1, 4=2")
        ((3, 1), (4, 2))
    """
    pairs = [re.fullmatch(r"\s*(\d{1,5})\s*=\s*(\d{1,5})\s*", part) for part in text.split(",")]
    found = tuple((int(pair[1]), int(pair[2])) for pair in pairs if pair is not None)
    olds = {old for old, _ in found}
    if len(olds) < len(pairs) or 0 in olds or max(max(pair) for pair in found) > MAX_EMBOLI:
        raise ConfigurationError(
            "PE-CONV-004",
            f"the label map is {text!r}",
            f"give pairs like 3=1,4=2 of different values 1 to {MAX_EMBOLI}",
        )
    return found


def map_labels(mask: sitk.Image, label_map: LabelMap) -> sitk.Image:
    """A mask with its values changed, 0 for those that are not named."""
    table = np.zeros(MAX_EMBOLI + 1, np.uint16)
    for old, new in label_map:
        table[old] = new
    return image_like(table[sitk.GetArrayViewFromImage(mask)], mask)


def embolus_ids(
    mask: npt.NDArray[np.integer], kind: LabelKind
) -> tuple[npt.NDArray[np.uint16], Literal["source", "components"]]:
    """Give every embolus an id of its own.

    Args:
        mask: Embolus mask or ids, (z, y, x), 0 outside.
        kind: `"instances"` keeps the values, gaps in their numbering included; `"binary"` numbers the 26-connected
            components; `"auto"` keeps the values where there is more than one of them.

    Returns:
        The ids, and where they come from.

    Raises:
        InputError: PE-CONV-007 if there are more than 65,535 of them, or `"auto"` meets values of 255 and more.

    Example:
        >>> embolus_ids(np.array([[[3, 0, 3]]]), "binary")[0].tolist()
        [[[1, 0, 2]]]
        >>> embolus_ids(np.array([[[3, 0, 4]]]), "auto")[0].tolist()
        [[[3, 0, 4]]]
    """
    highest = int(mask.max(initial=0))
    if kind == "auto":
        if highest >= MANY_VALUES:
            raise InputError(
                "PE-CONV-007",
                f"the embolus label holds values up to {highest}: ids of emboli, or classes?",
                "give --label-kind instances for ids, or --label-map OLD=NEW,... for the values that are emboli",
            )
        kind = "instances" if highest and bool(((mask > 0) & (mask != highest)).any()) else "binary"
    ids: npt.NDArray[np.integer] = mask
    if kind == "binary":
        ids, highest = label_components(mask > 0)
    if highest > MAX_EMBOLI:
        raise InputError(
            "PE-CONV-007", f"the embolus label holds ids up to {highest}, at most {MAX_EMBOLI} expected", "renumber it"
        )
    return ids.astype(np.uint16), "source" if kind == "instances" else "components"


def embolus_volumes_mm3(ids: npt.NDArray[np.unsignedinteger], voxel_mm3: float) -> dict[int, float]:
    """Volume of every embolus.

    Args:
        ids: Embolus ids, 0 outside.
        voxel_mm3: Volume of a voxel.

    Returns:
        Cubic millimetres by id, ids rising.

    Example:
        >>> embolus_volumes_mm3(np.array([0, 2, 2, 5], np.uint16), 0.5)
        {2: 1.0, 5: 0.5}
    """
    voxels = np.bincount(ids[ids > 0])  # of the emboli alone: bincount widens what it is given to 8 bytes a voxel
    return {int(k): float(voxels[k]) * voxel_mm3 for k in np.flatnonzero(voxels)}


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
