"""What the values of masks mean that come from an nnU-Net dataset: its `dataset.json` says it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from pe_nnunet.dataset.label_values import dataset_json_beside, holds_ids, read_label_values
from pe_nnunet.dataset_conversion.labels import MAX_EMBOLI, map_labels
from pe_nnunet.errors import ConfigurationError, InputError, Note

CODE = "PE-CONV-041"
_WAYS = "--label-map OLD=NEW,... says which values are emboli, --label-kind instances that all values are ids"


def dataset_json_of(mask: Path | None) -> Path | None:
    """The `dataset.json` that says what the values of a mask mean; None where there is none, or they are ids."""
    if mask is None or mask.is_dir() or holds_ids(mask.parent):
        return None
    return dataset_json_beside(mask.parent)


def emboli_by_name(mask: sitk.Image, dataset_json: Path) -> tuple[sitk.Image, list[Note]]:
    """The emboli of a mask of classes as 1, and a note where there are other classes.

    Args:
        mask: As it was read.
        dataset_json: Says which values are emboli.

    Raises:
        InputError: PE-CONV-041 if it does not, if the mask holds values that it does not name, or one that is to be
            ignored, which a converted dataset has no way to say.
    """
    try:
        labels = read_label_values(dataset_json)
        emboli, ignored, known = labels.for_classes
    except ConfigurationError as error:
        raise InputError(CODE, error.message, _WAYS) from error
    require_none_ignored(mask, ignored, dataset_json)
    if _holds(mask, known, other=True):
        named = ", ".join(f"{name} {'/'.join(map(str, values))}" for name, values in labels.by_name.items())
        raise InputError(CODE, f"the embolus label holds values that {dataset_json} does not name: {named}", _WAYS)
    values = ", ".join(map(str, emboli))
    text = f"the label's emboli are its values {values} ({labels.name}), by the dataset.json beside it"
    notes = [Note("PE-CONV-042", "warning", text)] if len(known) > 2 or emboli != (1,) else []
    return map_labels(mask, tuple((value, 1) for value in emboli)), notes


def require_none_ignored(mask: sitk.Image, ignored: Iterable[int], dataset_json: Path) -> None:
    """Check that a mask says of every voxel what it is.

    Raises:
        InputError: PE-CONV-041 if it holds a value that is to be ignored.
    """
    if found := [value for value in ignored if _holds(mask, (value,))]:
        raise InputError(
            CODE,
            f"the embolus label holds {found[0]}, which {dataset_json} says is ignored, and a converted dataset has no "
            "such voxels",
            "--label-map OLD=NEW,... makes background of what it does not name; or leave the case out",
        )


def ignored_values(dataset_json: Path) -> tuple[int, ...]:
    """The values that a `dataset.json` says are ignored; none where it says nothing."""
    try:
        return read_label_values(dataset_json).ignored
    except ConfigurationError:
        return ()


def _holds(mask: sitk.Image, values: Iterable[int], *, other: bool = False) -> bool:
    """Whether a mask holds one of some values, or one that is none of them."""
    array: npt.NDArray[np.integer] = sitk.GetArrayViewFromImage(mask)
    table = np.full(MAX_EMBOLI + 1, other)
    table[[value for value in values if value <= MAX_EMBOLI]] = not other
    return bool(table[array].any())
