"""One grey PNG as an array."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from pe_nnunet.errors import InputError

_GREY = frozenset({"1", "L", "P", "I", "I;16"})  # P: indices into colours, as labelling programs write masks


def read_plane(path: Path, shape: tuple[int, int]) -> npt.NDArray[Any]:
    """Read a slice.

    Args:
        path: A PNG of one value a pixel.
        shape: Rows and columns that it must have.

    Raises:
        InputError: PE-SLC-002 if it is missing or damaged, holds colours, or has another size.
    """
    try:
        with Image.open(path) as picture:
            mode, plane = picture.mode, np.asarray(picture)
    except FileNotFoundError:
        raise InputError("PE-SLC-002", f"{path} is missing", "copy the whole folder") from None
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise InputError("PE-SLC-002", f"{path} cannot be read: {error}", "copy it again") from error
    if mode not in _GREY:
        raise InputError("PE-SLC-002", f"{path} is of mode {mode}, expected one value a pixel", "save it as grey")
    if plane.shape != shape:
        raise InputError(
            "PE-SLC-002", f"{path} has {plane.shape} pixels (rows, columns), expected {shape}", "do not resize slices"
        )
    return plane.astype(np.uint8) if plane.dtype == bool else plane
