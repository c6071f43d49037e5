"""Emboli as separate objects: one id each, and how large they are."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from pe_nnunet.dataset_conversion.options import LabelKind
from pe_nnunet.errors import InputError
from pe_nnunet.voxels import label_components

MANY_VALUES = 255  # from here on a mask may as well be one of organs
MAX_EMBOLI = np.iinfo(np.uint16).max


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
