"""A label onto the grid of its image: as it lies, with other axes, by another reading of a header, or as a part."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from pe_nnunet.errors import GeometryError, Note
from pe_nnunet.volumes.files.volume_file import other_grids
from pe_nnunet.volumes.geometry import (
    SAME_GRID_TOLERANCE_VOXELS,
    corners_lps,
    from_lps,
    image_like,
    require_same_grid,
    to_lps,
)
from pe_nnunet.volumes.seg.slicer_segmentation import is_segmentation

GRID_NOTES = frozenset({"PE-NII-005", "PE-NII-008", "PE-NII-012", "PE-NII-014"})  # doubts about the grid of a file


def laid_on(
    image: sitk.Image, image_path: Path | None, label: sitk.Image, label_path: Path, what: str
) -> tuple[sitk.Image, list[Note]]:
    """Lay a label on the grid of its image, without interpolation.

    Args:
        image: The grid that is wanted.
        image_path: The volume file that it was read from; None for DICOM.
        label: As read from `label_path`.
        label_path: The file.
        what: How messages name the label.

    Returns:
        The label: as it is where it lies on the grid; turned where its axes only have another order (PE-CONV-022);
        voxel by voxel where the grids are the same by another reading of a header that contradicts itself, as labels
        are that a tool wrote by the sform (PE-NII-016); placed where a segmentation of 3D Slicer was cropped to its
        segments (PE-NII-017).

    Raises:
        GeometryError: PE-GEO-001 or PE-GEO-002 where none of these holds, or two readings give two places.
    """
    try:
        require_same_grid(image, label, what)
    except GeometryError as error:
        refused = error
    else:
        return label, []
    ways = list(_ways(image, image_path, label, label_path, what))
    if ways:
        laid, notes = ways[0]
        voxels = sitk.GetArrayViewFromImage(laid)
        if not all(np.array_equal(voxels, sitk.GetArrayViewFromImage(other)) for other, _ in ways[1:]):
            raise GeometryError(
                "PE-GEO-002",
                f"{what} lies on the image in two ways, mirrored or not, for a header contradicts itself",
                "write the headers of both anew",
            )
        return laid, notes
    part = _placed(image, label) if is_segmentation(label_path) else None
    if part is None:
        raise refused
    inside, outside = part
    if outside:
        raise GeometryError(
            "PE-GEO-002", f"{outside} voxels of {what} lie outside the image", "check that it belongs to this image"
        )
    text = f"{what} is cropped to {label.GetSize()} of {image.GetSize()} voxels (x, y, z): placed where it lies"
    return inside, [Note("PE-NII-017", "repaired", text)]


def _ways(
    image: sitk.Image, image_path: Path | None, label: sitk.Image, label_path: Path, what: str
) -> Iterator[tuple[sitk.Image, list[Note]]]:
    """All ways in which a label lies on all of a grid by some reading of the headers, ITK's first."""
    if sorted(image.GetSize()) != sorted(label.GetSize()):
        return
    for (of_image, grid), (of_label, other) in product(_grids(image, image_path), _grids(label, label_path)):
        notes = []
        try:
            require_same_grid(grid, other, what)
            found = other
        except GeometryError:
            try:
                require_same_grid(to_lps(grid), to_lps(other), what)
            except GeometryError:
                continue
            text = f"{what} has other axes than the scan, on the same grid: turned"
            found, notes = from_lps(to_lps(other), grid), [Note("PE-CONV-022", "repaired", text)]
        said = {"the image": of_image, "the label": of_label}
        how = " and ".join(f"{which} by its {name}" for which, name in said.items() if name is not None)
        if how:
            text = f"{what} lies on the image if one reads {how}: laid on voxel by voxel"
            notes.append(Note("PE-NII-016", "repaired", text))
        yield image_like(sitk.GetArrayViewFromImage(found), image), notes


def _grids(image: sitk.Image, path: Path | None) -> Iterator[tuple[str | None, sitk.Image]]:
    yield None, image
    if path is not None:
        yield from other_grids(image, path)


def _placed(image: sitk.Image, label: sitk.Image) -> tuple[sitk.Image, int] | None:
    """A label on a part of a grid on all of it, and how many of its voxels lie beyond; None if they do not meet."""
    whole, part = to_lps(image), to_lps(label)
    corners = [whole.TransformPhysicalPointToContinuousIndex(corner.tolist()) for corner in corners_lps(part)]
    start = np.rint(corners[0]).astype(int)
    steps = np.array(
        [[bit * (n - 1) for bit, n in zip((k & 1, k >> 1 & 1, k >> 2), part.GetSize(), strict=True)] for k in range(8)]
    )
    if not np.abs(np.array(corners) - (start + steps)).max() <= SAME_GRID_TOLERANCE_VOXELS:
        return None
    values = sitk.GetArrayViewFromImage(part)
    placed = np.zeros(whole.GetSize()[::-1], values.dtype)
    to, of = [], []
    for first, length, size in zip(start[::-1], values.shape, placed.shape, strict=True):
        low, high = max(int(first), 0), min(int(first) + length, size)
        to.append(slice(low, max(high, low)))
        of.append(slice(low - int(first), max(high, low) - int(first)))
    placed[tuple(to)] = values[tuple(of)]
    outside = int(np.count_nonzero(values)) - int(np.count_nonzero(placed))
    return from_lps(image_like(placed, whole), image), outside
