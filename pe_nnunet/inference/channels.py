"""Further image channels of a scan: the files `_0001`, `_0002`, ... beside its `_0000`, as nnU-Net names them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from pe_nnunet.errors import InputError
from pe_nnunet.volumes import ScanRef, image_suffix, read_file, require_same_grid

_HINT = "name the files of a case <case>_0000, <case>_0001, ... in the order of channel_names, the CT first"
_NUMBERED = re.compile(r"(?P<case>.*)_(?P<channel>\d{4})")


def without_further_channels(refs: Sequence[ScanRef], count: int) -> list[ScanRef]:
    """The scans without files that are a further channel of another one.

    Args:
        refs: As found.
        count: Channels that the models need.
    """
    return [ref for ref in refs if ref.kind != "file" or not _belongs_to_another(ref.path, count)]


def _belongs_to_another(path: Path, count: int) -> bool:
    case, channel, suffix = _parts(path)
    return 1 <= channel < count and path.with_name(f"{case}_0000{suffix}").is_file()


def further_channels(ref: ScanRef, image: sitk.Image, count: int) -> list[sitk.Image]:
    """Read all channels of a scan but the first, which are taken as they are: they need not be in HU.

    Args:
        ref: The scan; its file ends in `_0000` before the image ending.
        image: Its first channel, CT in HU.
        count: Channels that the models need.

    Raises:
        InputError: PE-MODEL-005 if a channel is not there, or holds NaN or infinity; what `read_file` raises.
        GeometryError: PE-GEO-001 or -002 if it lies on another grid.
    """
    found = []
    for number, path in enumerate(channel_files(ref, count), 1):
        if not path.is_file():
            raise InputError("PE-MODEL-005", f"{path} is not there: the model needs {count} channels", _HINT)
        further, _ = read_file(path)
        require_same_grid(image, further, f"channel {number} of {_parts(ref.path)[0]}")
        if not np.isfinite(sitk.GetArrayViewFromImage(further)).all():
            raise InputError("PE-MODEL-005", f"{path} holds NaN or infinite voxels", "correct the image")
        found.append(further)
    return found


def channel_files(ref: ScanRef, count: int) -> list[Path]:
    """Where all channels of a scan but the first should lie.

    Args:
        ref: The scan.
        count: Channels that the models need.

    Raises:
        InputError: PE-MODEL-005 if there can be no further ones, as with a DICOM series.
    """
    if count <= 1:
        return []
    case, channel, suffix = _parts(ref.path)
    if ref.kind != "file" or channel != 0:
        raise InputError("PE-MODEL-005", f"{ref.path.name}: the model needs {count} channels, here is one", _HINT)
    return [ref.path.with_name(f"{case}_{number:04d}{suffix}") for number in range(1, count)]


def _parts(path: Path) -> tuple[str, int, str]:
    """Case, number of the channel (-1 where the name has none), and image ending of a file."""
    suffix = image_suffix(path)
    match = _NUMBERED.fullmatch(path.name[: len(path.name) - len(suffix)])
    return (match["case"], int(match["channel"]), suffix) if match else (path.name, -1, suffix)
