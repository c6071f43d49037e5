"""Which values of a mask are emboli, where it holds other things as well: `--label-map 3=1,4=2`."""

from __future__ import annotations

import re

import numpy as np
import SimpleITK as sitk

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.volumes import image_like

LabelMap = tuple[tuple[int, int], ...]
_HIGHEST = int(np.iinfo(np.uint16).max)


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
    if len(olds) < len(pairs) or 0 in olds or max(max(pair) for pair in found) > _HIGHEST:
        raise ConfigurationError(
            "PE-CONV-004", f"the label map is {text!r}", f"give pairs like 3=1,4=2 of different values 1 to {_HIGHEST}"
        )
    return found


def map_labels(mask: sitk.Image, label_map: LabelMap) -> sitk.Image:
    """A mask with its values changed, 0 for those that are not named."""
    table = np.zeros(_HIGHEST + 1, np.uint16)
    for old, new in label_map:
        table[old] = new
    return image_like(table[sitk.GetArrayViewFromImage(mask)], mask)
