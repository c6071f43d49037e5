"""A scan as a folder of PNG slices: 16 bits that hold HU without loss, or 8 bits within a window.

    FOLDER/ct/<slice>.png        HU + 32768, or a window as 0..255
    FOLDER/emboli/<slice>.png    masks of the same names, where there are any
    FOLDER/slices.json           the order of the slices and their grid

A slice of a DICOM series is called by its SOPInstanceUID, one of another volume by its number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from PIL import Image

from pe_nnunet.dataset.records import Geometry
from pe_nnunet.errors import InputError, OutputError
from pe_nnunet.files import atomic_entries, atomic_json
from pe_nnunet.files.json_reader import MALFORMED, read_object, require_types, why
from pe_nnunet.processes import require_memory
from pe_nnunet.slices.slice_masks import read_plane, read_png_masks
from pe_nnunet.volumes import from_lps, image_like, to_lps

MANIFEST, SCAN, MASKS = "slices.json", "ct", "emboli"
HU_OFFSET = 32768  # a stored 0 is -32768 HU: every int16 fits
FORMAT = 1


def write_png_scan(
    image: sitk.Image,
    label: sitk.Image | None,
    folder: Path,
    names: Sequence[str],
    *,
    before_lps: sitk.Image | None = None,
    window_hu: tuple[float, float] | None = None,
) -> None:
    """Write the slices of a scan.

    Args:
        image: HU, whole numbers within int16.
        label: Ids up to 65,535 on the same grid, or None.
        folder: Made if it is not there.
        names: From `slice_names`.
        before_lps: The scan before its axes were turned to LPS, whose grid `read_png_scan` then gives back.
        window_hu: Write 8 bits, lowest and highest HU of the window, for networks and programs that take no more.
            Such slices do not become a scan again.

    Raises:
        OutputError: PE-OUT-001 if it cannot be written, PE-OUT-002 if the folder holds other slices, PE-OUT-003 if
            values are not whole numbers within int16.
    """
    files = {f"{name}.png" for name in names}
    for part in (SCAN, MASKS):
        _require_free(folder / part, files)
    hu = sitk.GetArrayViewFromImage(image)
    if window_hu is None and not (hu.dtype == np.int16 or np.array_equal(np.clip(np.rint(hu), -32768, 32767), hu)):
        raise OutputError("PE-OUT-003", f"{folder.name}: values are not whole numbers within int16", "pass --round")
    ids = None if label is None else sitk.GetArrayViewFromImage(label)
    wide = ids is not None and int(ids.max()) > 255
    values = {"hu_offset": -HU_OFFSET} if window_hu is None else {"window_hu": list(window_hu)}
    grids = {"grid": asdict(Geometry.of(image)), "grid_before": asdict(Geometry.of(before_lps or image))}
    content = {"format": FORMAT, **values, "masks": ids is not None, **grids, "slices": names}
    with atomic_entries(folder, last=MANIFEST) as staged:
        (staged / SCAN).mkdir()
        if ids is not None:
            (staged / MASKS).mkdir()
        for k, name in enumerate(names):
            write_plane(staged / SCAN / f"{name}.png", _stored(hu[k], window_hu))
            if ids is not None:
                write_plane(staged / MASKS / f"{name}.png", ids[k].astype(np.uint16 if wide else np.uint8))
        atomic_json(staged / MANIFEST, content)


def read_png_scan(folder: Path) -> tuple[sitk.Image, sitk.Image | None]:
    """Read what `write_png_scan` wrote; masks may have been drawn or changed since, and missing ones are empty.

    Returns:
        HU, int16, on the grid that the scan had before; and ids on the same grid, or None.

    Raises:
        InputError: PE-SLC-001 without a manifest that can be read, or where HU by it are not within int16, PE-SLC-002
            if a slice is missing or of another size, PE-SLC-003 if the slices hold a window, PE-SLC-004 for masks that
            belong to no slice.
    """
    manifest = _manifest(folder)
    names: list[str] = manifest["slices"]
    if "hu_offset" not in manifest:
        raise InputError(
            "PE-SLC-003",
            f"{folder} holds pictures of the window {manifest.get('window_hu')} HU, not the scan itself",
            "convert it without --window to bring it back",
        )
    grid, before = (_blank(manifest, part, folder / MANIFEST) for part in ("grid", "grid_before"))
    columns, rows, _ = grid.GetSize()
    planes = [read_plane(folder / SCAN / f"{name}.png", (rows, columns)) for name in names]
    hu = np.stack(planes).astype(np.int32) + int(manifest["hu_offset"])
    if hu.min() < -32768 or hu.max() > 32767:
        text = f"{folder} holds {hu.min()} to {hu.max()} HU by the hu_offset of its {MANIFEST}, beyond int16"
        raise InputError("PE-SLC-001", text, "convert the scan again")
    label = None
    if (folder / MASKS).is_dir():
        ids, _ = read_png_masks(folder / MASKS, names, (rows, columns))
        label = _turned_back(image_like(ids, grid), before)
    return _turned_back(image_like(hu.astype(np.int16), grid), before), label


def write_plane(path: Path, plane: npt.NDArray[np.generic]) -> None:
    """Write a slice, uint8 or uint16, as a grey PNG."""
    Image.fromarray(np.ascontiguousarray(plane)).save(path, format="png")


def _stored(hu: npt.NDArray[np.generic], window_hu: tuple[float, float] | None) -> npt.NDArray[np.generic]:
    if window_hu is None:
        return (hu.astype(np.int32) + HU_OFFSET).astype(np.uint16)
    low, high = window_hu
    share = np.clip((hu.astype(np.float32) - low) / (high - low), 0, 1)
    grey: npt.NDArray[np.uint8] = np.rint(share * 255).astype(np.uint8)
    return grey


def _turned_back(image: sitk.Image, before: sitk.Image) -> sitk.Image:
    if image.GetDirection() == before.GetDirection():
        image.CopyInformation(before)
        return image
    return from_lps(to_lps(image), before)


def _blank(manifest: dict[str, Any], part: str, path: Path) -> sitk.Image:
    """An image on one of the grids of a manifest, which both have the same voxels, if in another order."""
    try:
        grid: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in manifest[part].items()}
        geometry = Geometry(**grid)
        require_types(geometry)
        if sorted(geometry.size_xyz) != sorted(manifest["grid"]["size_xyz"]) or min(geometry.size_xyz) < 1:
            raise ValueError(f"{part} has {geometry.size_xyz} voxels")
        require_memory(geometry.size_xyz, str(path))
        return geometry.blank()
    except (*MALFORMED, RuntimeError) as error:  # ITK refuses spacings and axes that are none
        raise InputError("PE-SLC-001", f"{path} cannot be read: {why(error)}", "convert the scan again") from error


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = read_object(path)
        names, known = manifest["slices"], manifest["format"] == FORMAT
        known = known and manifest.get("hu_offset", 0) in range(-(1 << 17), 1 << 17)
        sound = known and len(names) == manifest["grid"]["size_xyz"][2] and all(_is_file_name(n) for n in names)
    except MALFORMED as error:
        raise InputError("PE-SLC-001", f"{path} cannot be read: {why(error)}", "convert the scan again") from error
    if not sound:
        raise InputError("PE-SLC-001", f"{path} does not list the slices of its grid", "convert the scan again")
    return dict(manifest)


def _is_file_name(name: object) -> bool:
    """A manifest from elsewhere must not make this program read any file."""
    return isinstance(name, str) and Path(name).name == name and name not in {"", ".", ".."}


def _require_free(folder: Path, files: set[str]) -> None:
    others = sorted({path.name for path in folder.glob("*.png")} - files)
    if others:
        raise OutputError(
            "PE-OUT-002", f"{folder} holds other slices, for example {others[0]}", "write into a folder of its own"
        )
