"""The grid that a NIfTI header describes, two or three times over: what ITK takes of it, and what others read.

A header holds a spacing (pixdim), a rotation with it (qform) and a whole matrix (sform). Where they contradict each
other, tools read different grids. nnU-Net reads with ITK, so ITK's reading is the one that counts here, and ITK itself
is asked for it; what nibabel's users see, the sform, is said beside it.

Source:
    NIfTI-1 header (nifti1.h), "3D image (volume) orientation and location in space", methods 1 to 3.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from pe_nnunet.errors import GeometryError, Note
from pe_nnunet.files.temporary import temporary_folder
from pe_nnunet.volumes.geometry import ORTHONORMAL_TOLERANCE, SAME_GRID_TOLERANCE_VOXELS, deviation

MM_PER_UNIT = {1: 1000.0, 3: 0.001}  # metre and micrometre; everything else counts as millimetres, as in ITK
UNIT_NAMES = {1: "metres", 3: "micrometres"}
RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0])
SAME_SPACING = 1e-3  # of the spacing; headers round to fewer digits than that
SAME_AXES = 2e-3  # of direction cosines; a quaternion near half a turn is off by up to 5e-4 in 32 bits
UNIT_QUATERNION = 1e-5
_FIELDS = {
    "sform": ("sform_code", "srow_x", "srow_y", "srow_z"),
    "qform": ("qform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
}
_MAGIC_AT = 344
_VOXELS_AT = 352
_SHAPE = (2, 2, 2)
_DISPLAY = Lock()  # one setting for all threads

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Reading:
    """A grid as one part of a header gives it.

    Attributes:
        name: Which part.
        spacing_mm: (x, y, z).
        origin_mm: LPS, x y z.
        axes: Directions of the image's axes as columns, (3, 3), LPS.
    """

    name: str
    spacing_mm: Vector
    origin_mm: Vector
    axes: Vector


def read_geometry(header: Any, path: Path) -> tuple[Reading, tuple[Reading, ...], tuple[Note, ...]]:
    """The grid of a NIfTI header.

    Args:
        header: nibabel's, as it is in the file; nothing mended.
        path: For messages.

    Returns:
        What ITK takes; what else could be read, of grids with perpendicular axes; and notes: PE-NII-014 where the two
        differ by more than rounding, PE-NII-008 for lengths in another unit, PE-NII-012 for no orientation at all.

    Raises:
        GeometryError: PE-NII-007 if a pixdim is zero, negative or no number, or no form is one of numbers.
    """
    unit = int(header["xyzt_units"]) & 7
    mm = MM_PER_UNIT.get(unit, 1.0)
    pixdim = np.array(header["pixdim"][1:4], dtype=np.float64)
    if not (np.isfinite(pixdim) & (pixdim > 0)).all():
        scales = np.linalg.norm(header.get_sform()[:3, :3], axis=0)
        by_sform = f"; by its sform they are {_numbers(scales)}" if int(header["sform_code"]) > 0 else ""
        raise GeometryError(
            "PE-NII-007",
            f"{path} has spacings (pixdim) {_numbers(pixdim)}, expected millimetres above zero{by_sform}",
            "write its header anew",
        )
    notes: list[Note] = []
    if mm != 1.0:
        text = (
            f"the header is in {UNIT_NAMES[unit]}: taken as {mm:g} mm each, as ITK and nnU-Net do: "
            f"spacing {_numbers(pixdim * mm)} mm (by its numbers alone, as nibabel gives them, {_numbers(pixdim)})"
        )
        notes.append(Note("PE-NII-008", "warning", text))
    forms, without = _forms(header, path)
    if not forms and not without:
        text = "no orientation in the header: axes taken as left, posterior, superior"
        notes.append(Note("PE-NII-012", "warning", text))
        forms["base affine"] = header.get_base_affine()
    readings = {name: _of_affine(name, affine, mm) for name, affine in forms.items()}
    taken = _by_itk(header, readings, pixdim * mm)
    said = [*without]
    for name in ("sform", "qform"):
        if name in readings:
            said += _difference(taken, readings[name], header.get_data_shape()[:3])
    length = float(np.linalg.norm(_quaternion(header)))
    if "qform" in readings and length > 1 + UNIT_QUATERNION:
        said.append(f"the quaternion of the qform has length {length:.5g}, expected at most 1: normalised")
    if said:
        of = f"spacing {_numbers(taken.spacing_mm)} mm (pixdim), axes and origin of the {taken.name}"
        text = f"the header contradicts itself: taken, as ITK and nnU-Net do: {of} ({'), ('.join(said)})"
        notes.append(Note("PE-NII-014", "warning", text))
    others = [*readings.values(), *(_of_affine(name, affine, 1.0) for name, affine in forms.items() if mm != 1.0)]
    return taken, tuple(other for other in others if _is_grid(other)), tuple(notes)


def _forms(header: Any, path: Path) -> tuple[dict[str, Vector], list[str]]:
    """Coded forms as affines to RAS in the header's unit, and what is said of those that are no numbers."""
    forms: dict[str, Vector] = {}
    if int(header["sform_code"]) > 0:
        forms["sform"] = np.array(header.get_sform(), dtype=np.float64)
    if int(header["qform_code"]) > 0:
        forms["qform"] = _qform(header)
    with np.errstate(over="ignore"):  # NIfTI-2 holds numbers that ITK, in whose precision all goes on, cannot
        whole = {name: affine for name, affine in forms.items() if np.isfinite(affine.astype(np.float32)).all()}
    without = [f"the {name} holds values that are no numbers and is left out" for name in forms if name not in whole]
    if forms and not whole:
        raise GeometryError(
            "PE-NII-007", f"{path} has a {' and a '.join(forms)} of no numbers", "write its header anew"
        )
    return whole, without


def _nibabel() -> Any:
    """It has no types, and takes memory that DICOM does not need."""
    import nibabel

    return nibabel


def _quaternion(header: Any) -> Vector:
    return np.array([header["quatern_b"], header["quatern_c"], header["quatern_d"]], dtype=np.float64)


def _qform(header: Any) -> Vector:
    """The qform, its quaternion normalised where it is too long."""
    vector = _quaternion(header)
    square = float(vector @ vector)
    real = np.sqrt(1 - square) if square <= 1 else 0.0
    rotation = _nibabel().quaternions.quat2mat([real, *vector])  # normalises, and takes what is not finite as it is
    hand = -1.0 if header["pixdim"][0] < 0 else 1.0
    affine = np.eye(4)
    affine[:3, :3] = rotation * np.array(header["pixdim"][1:4], dtype=np.float64) * (1, 1, hand)
    affine[:3, 3] = header["qoffset_x"], header["qoffset_y"], header["qoffset_z"]
    if not np.isfinite(square):
        affine[:3, :3] = np.nan
    return affine


def _of_affine(name: str, affine: Vector, mm: float) -> Reading:
    columns = RAS_TO_LPS @ affine[:3, :3] * mm
    spacing_mm = np.linalg.norm(columns, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return Reading(name, spacing_mm, RAS_TO_LPS @ affine[:3, 3] * mm, columns / spacing_mm)


def _by_itk(header: Any, readings: dict[str, Reading], pixdim_mm: Vector) -> Reading:
    """What ITK makes of the fields that describe the grid, written to a file of a few voxels.

    ITK does not read NIfTI-2, and refuses a sform that is not perpendicular where no qform is there. The first has the
    same fields; of the second the axes are taken from the sform, the spacing from pixdim as always, for the caller to
    judge.
    """
    fields = _nibabel().Nifti1Header(endianness="<")
    fields.set_data_dtype(np.uint8)
    fields.set_data_shape(_SHAPE)
    for part in readings:
        for name in _FIELDS.get(part, ()):
            fields[name] = header[name]
    fields["xyzt_units"] = header["xyzt_units"]
    pixdim = fields["pixdim"]
    pixdim[:4] = header["pixdim"][:4]
    fields["pixdim"] = pixdim
    content = bytearray(fields.binaryblock)
    content[_MAGIC_AT : _MAGIC_AT + 4] = b"n+1\0"
    struct.pack_into("<f", content, 108, float(_VOXELS_AT))
    content += bytes(_VOXELS_AT - len(content) + int(np.prod(_SHAPE)))
    with temporary_folder(Path(tempfile.gettempdir()) / "grid") as folder, _without_warnings():
        file = folder / "grid.nii"
        file.write_bytes(content)
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(file))
        try:
            reader.ReadImageInformation()
        except RuntimeError:
            if "sform" not in readings:
                raise
            form = readings["sform"]
            usable = np.isfinite(form.axes).all()
            return Reading("sform", pixdim_mm if usable else form.spacing_mm, form.origin_mm, form.axes)
    axes = np.array(reader.GetDirection()).reshape(3, 3)
    taken = Reading("", np.array(reader.GetSpacing()), np.array(reader.GetOrigin()), axes)
    return Reading(_source_of(taken, readings), taken.spacing_mm, taken.origin_mm, taken.axes)


@contextmanager
def _without_warnings() -> Iterator[None]:
    """ITK prints nothing meanwhile: what it warns of is said by a note, with the name of the case."""
    with _DISPLAY:
        shown = sitk.ProcessObject.GetGlobalWarningDisplay()
        sitk.ProcessObject.SetGlobalWarningDisplay(False)
        try:
            yield
        finally:
            sitk.ProcessObject.SetGlobalWarningDisplay(shown)


def _source_of(taken: Reading, readings: dict[str, Reading]) -> str:
    """Which form gave axes and origin: the one that is nearer."""

    def off(form: Reading) -> float:
        away = np.abs(taken.axes - form.axes).max() + np.abs(taken.origin_mm - form.origin_mm).max()
        return float(away) if np.isfinite(away) else np.inf

    return min(readings.values(), key=off).name


def _difference(taken: Reading, other: Reading, shape: Sequence[int]) -> list[str]:
    """How another reading differs by more than rounding, in words; nothing where it does not."""
    if not np.isfinite(other.axes).all():
        return [f"the {other.name} has an axis of length zero"]
    parts = []
    off = np.abs(other.spacing_mm / taken.spacing_mm - 1)
    if (off > SAME_SPACING).any() or (off * (np.array(shape) - 1) > SAME_GRID_TOLERANCE_VOXELS).any():
        parts.append(f"spacing {_numbers(other.spacing_mm)} mm")
    if deviation(other.axes) > ORTHONORMAL_TOLERANCE:
        parts.append(f"axes off perpendicular by {deviation(other.axes):.2g}")
    elif np.abs(other.axes - taken.axes).max() > SAME_AXES:
        turn = other.axes.T @ taken.axes
        if np.linalg.det(turn) < 0:
            parts.append("axes mirrored")
        else:
            angle = np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)))
            parts.append(f"axes turned by {angle:.1f} degrees")
    away_mm = np.linalg.norm(other.origin_mm - taken.origin_mm)
    if away_mm > SAME_GRID_TOLERANCE_VOXELS * taken.spacing_mm.min():
        parts.append(f"origin ({_numbers(other.origin_mm)}) instead of ({_numbers(taken.origin_mm)}), LPS mm")
    by = "sform, as nibabel reads it" if other.name == "sform" else other.name
    return [f"by the {by}: {', '.join(parts)}"] if parts else []


def _is_grid(reading: Reading) -> bool:
    numbers = [*reading.spacing_mm, *reading.origin_mm]
    return bool(np.isfinite(numbers).all() and deviation(reading.axes) <= ORTHONORMAL_TOLERANCE)


def _numbers(values: Any) -> str:
    return ", ".join(f"{value:.5g}" for value in values)
