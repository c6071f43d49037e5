"""Masks of a scan from whatever holds them: a volume, a DICOM SEG or RTSTRUCT, or PNGs called as the slices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from PIL import Image

from pe_nnunet.dataset_conversion.convert_options import ConvertOptions
from pe_nnunet.dataset_conversion.sources import read_mask_file
from pe_nnunet.errors import InputError, Note
from pe_nnunet.volumes import DicomInfo, Scan, image_like

WHITE = 255
_GREY = frozenset({"1", "L", "P", "I", "I;16"})  # P: indices into colours, as labelling programs write masks


def read_label_of(scan: Scan, path: Path, *, segments: str | None = None) -> tuple[sitk.Image, list[Note]]:
    """Read the label of a scan onto its grid.

    Args:
        scan: On whose grid the label is wanted.
        path: A volume, a DICOM SEG or RTSTRUCT that was drawn on the scan, or a folder of PNGs called by
            SOPInstanceUID, or by number where the scan is no DICOM.
        segments: Which segments of a SEG or regions of an RTSTRUCT to take, a shell pattern for their names.

    Raises:
        PEError: What reading them raises: it cannot be read, or belongs to another scan.
    """
    if not path.is_dir():
        return read_mask_file(path, scan, "label", ConvertOptions(segments=segments))
    columns, rows, slices = scan.image.GetSize()
    ids, notes = read_png_masks(path, slice_names(scan.dicom, slices), (rows, columns))
    return image_like(ids, scan.image), notes


def read_png_masks(
    folder: Path, names: Sequence[str], shape: tuple[int, int]
) -> tuple[npt.NDArray[np.uint16], list[Note]]:
    """Read masks of slices; a slice without a file has none.

    Args:
        folder: With `<name>.png`.
        names: Of all slices, in their order.
        shape: Rows and columns of a slice.

    Returns:
        Ids as (slices, rows, columns). Where all masks are black and white, white is 1, with a note.

    Raises:
        InputError: PE-SLC-004 if there is no mask, or one that belongs to no slice; PE-SLC-002 if one cannot be read
            or has another size; PE-LBL-004 above 65,535.
    """
    files = {path.stem: path for path in sorted(folder.glob("*.png"))}
    strangers = sorted(files.keys() - set(names))
    if strangers or not files:
        raise InputError(
            "PE-SLC-004",
            f"{folder} holds {len(strangers)} masks of other slices, for example {strangers[0]}.png"
            if strangers
            else f"{folder} holds no .png",
            f"masks are called as their slices, for example {names[0]}.png",
        )
    ids = np.zeros((len(names), *shape), np.uint16)
    values: set[int] = set()
    for k, name in enumerate(names):
        if name in files:
            plane = read_plane(files[name], shape)
            if plane.max() > 65535:
                raise InputError("PE-LBL-004", f"{files[name]} holds ids up to {plane.max()}", "number anew")
            ids[k] = plane
            values.update(np.unique(plane).tolist())
    if values - {0} != {WHITE}:
        return ids, []
    return np.minimum(ids, 1), [Note("PE-SLC-005", "repaired", "masks of black and white: white is 1")]


def slice_names(dicom: DicomInfo | None, slices: int) -> tuple[str, ...]:
    """What slices are called, so that a picture or mask finds its way back: file names without ending, in order.

    Args:
        dicom: Of a scan read from DICOM: slices are then called by SOPInstanceUID, with the number of the slice
            behind it where slices share it. None for other volumes, whose slices are numbered, as are those of a
            series that was resampled, or one of whose slices has no SOPInstanceUID.
        slices: How many there are.

    Example:
        >>> slice_names(None, 3)
        ('0001', '0002', '0003')
    """
    numbers = tuple(f"{k + 1:04d}" for k in range(slices))
    uids = () if dicom is None else dicom.sop_instance_uids
    if not uids or not all(uids):
        return numbers
    if len(set(uids)) == len(uids):
        return uids
    return tuple(f"{uid}_{number}" for uid, number in zip(uids, numbers, strict=True))


def read_plane(path: Path, shape: tuple[int, int]) -> npt.NDArray[Any]:
    """Read one grey slice.

    Args:
        path: A PNG of one value a pixel.
        shape: Rows and columns that it must have.

    Raises:
        InputError: PE-SLC-002 if it is missing or damaged, holds colours, or has another size.
    """
    mode, size = _kind(path)
    if mode not in _GREY:
        raise InputError("PE-SLC-002", f"{path} is of mode {mode}, expected one value a pixel", "save it as grey")
    if size != shape:  # before memory is taken for it
        raise InputError(
            "PE-SLC-002", f"{path} has {size} pixels (rows, columns), expected {shape}", "do not resize slices"
        )
    try:
        with Image.open(path) as picture:
            plane = np.asarray(picture)
    except Exception as error:  # a damaged file makes the parser fail in any way
        raise _unreadable(path, error) from error
    return plane.astype(np.uint8) if plane.dtype == bool else plane


def _kind(path: Path) -> tuple[str, tuple[int, int]]:
    """What a picture says of its pixels, and rows and columns; its checksums are compared, which decoding does not."""
    try:
        with Image.open(path) as picture:
            picture.verify()
            columns, rows = picture.size
            return picture.mode, (rows, columns)
    except FileNotFoundError:
        raise InputError("PE-SLC-002", f"{path} is missing", "copy the whole folder") from None
    except Exception as error:  # as above
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError("PE-SLC-002", f"{path} cannot be read: {error}", "copy it again")
