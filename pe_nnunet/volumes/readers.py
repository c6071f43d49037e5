"""Read a found scan into Hounsfield units, or a label into whole numbers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from pe_nnunet.errors import GeometryError, InputError, Note
from pe_nnunet.volumes.case_names import refusal
from pe_nnunet.volumes.dicom.series import read_dicom
from pe_nnunet.volumes.files.declared_size import require_plausible_array
from pe_nnunet.volumes.files.hdf5_chunks import require_stored_whole
from pe_nnunet.volumes.files.volume_file import file_sha256, read_file
from pe_nnunet.volumes.hounsfield import Values, replace_nan, replace_padding, require_hu
from pe_nnunet.volumes.scan import Scan, ScanRef
from pe_nnunet.volumes.seg.slicer_segmentation import is_segmentation, read_segmentation

MIN_SLICES_3D = 4


def read_scan(ref: ScanRef, *, assume_hu: bool = False, resample_gaps: bool = False, fix_tilt: bool = False) -> Scan:
    """Read a scan on its own grid, in HU, repaired where that is safe and refused where it is not.

    Args:
        ref: From `find_scans`.
        assume_hu: Take the values for HU without a DICOM rescale and without checking that they look like HU.
        resample_gaps: Interpolate the slices of one gap in a DICOM series, of at most 10 mm, instead of refusing it.
        fix_tilt: Shift the slices of a DICOM series with gantry tilt upright, instead of refusing it.

    Returns:
        The scan with its notes.

    Raises:
        InputError: With the code that says what is wrong: PE-DCM for DICOM, PE-NII and PE-IN for volume files,
            PE-HU-001 for values that are no HU, PE-CONV-034 for a name that says the patient's.
    """
    if ref.refused:
        raise refusal()
    if ref.kind == "dicom":
        scan = read_dicom(ref, assume_hu=assume_hu, resample_gaps=resample_gaps, fix_tilt=fix_tilt)
    else:
        scan = _read_volume(ref, assume_hu=assume_hu)
    slices = scan.image.GetSize()[2]
    notes = tuple(note.without(ref.hidden) for note in scan.notes)
    if slices < MIN_SLICES_3D:
        text = f"{slices} slice(s): for 2D models only, and volumes mean little"
        notes += (Note("PE-DCM-019", "warning", text),)
    return replace(scan, notes=notes)


def read_timed(ref: ScanRef, repairs: Mapping[str, bool]) -> tuple[Scan, float]:
    """`read_scan` with these keywords, and the seconds that it took, wherever it ran."""
    started = time.perf_counter()
    return read_scan(ref, **repairs), time.perf_counter() - started


def require_volume(image: sitk.Image, what: str) -> None:
    """Check that an image has slices enough for a 3D model.

    Args:
        image: Any image with slices along z.
        what: How the message names it.

    Raises:
        GeometryError: PE-DCM-019 under four.
    """
    slices = image.GetSize()[2]
    if slices < MIN_SLICES_3D:
        raise GeometryError(
            "PE-DCM-019",
            f"{what} has {slices} slice(s), expected at least {MIN_SLICES_3D}",
            "use a 2D model, or give the whole series",
        )


def _read_volume(ref: ScanRef, *, assume_hu: bool) -> Scan:
    image, found = read_file(ref.path)
    notes = list(found)
    hu = _working_copy(sitk.GetArrayViewFromImage(image))
    spacing_mm, origin_mm, direction = image.GetSpacing(), image.GetOrigin(), image.GetDirection()
    del image  # of a large scan there are two copies at most
    if hu.dtype.kind == "f" and (count := replace_nan(hu, ref.case_id)):
        notes.append(Note("PE-NII-003", "repaired", f"{count} NaN or infinite voxels set to -1024 HU"))
    padded = replace_padding(hu, ref.case_id)
    if padded:
        notes.append(Note("PE-NII-013", "repaired", f"{padded} voxels of padding set to -1024 HU"))
    if not assume_hu:
        require_hu(hu, padded, ref.case_id)
    if hu.dtype == np.int32:
        hu = hu.astype(np.int16)  # fits: what lies outside -1500..32000 was padding
    result = sitk.GetImageFromArray(hu)
    result.SetSpacing(spacing_mm)
    result.SetOrigin(origin_mm)
    result.SetDirection(direction)
    return Scan(ref.case_id, result, ref, tuple(notes), None, file_sha256(ref.path))


def _working_copy(array: Values) -> Values:
    """Whole numbers as int16, or as int32 until padding is replaced; everything else as float32."""
    if array.dtype.kind not in "iub":
        with np.errstate(over="ignore"):
            return array.astype(np.float32)
    if array.dtype.itemsize == 1 or array.dtype == np.int16:
        return array.astype(np.int16)
    if array.dtype.itemsize == 2:
        return array.astype(np.int32)
    return np.clip(array, -(2**31), 2**31 - 1).astype(np.int32, copy=False)


WHOLE_TOLERANCE = 1e-3
MAX_LABEL = 65535
_MATLAB_HDF5 = b"MATLAB 7.3"


def read_label(path: Path) -> sitk.Image:
    """Read a label image on its own grid.

    Args:
        path: Ends in .nii, .nii.gz, .nrrd, .seg.nrrd, .mha or .mhd.

    Returns:
        uint8 up to 255, else uint16. Whether values are classes or ids of emboli is the caller's to know.

    Raises:
        InputError: PE-LBL-001 no such file, PE-LBL-002 not whole numbers, PE-LBL-003 negative, PE-LBL-004 above 65,535,
            and what `read_file` raises.
    """
    return read_label_noted(path)[0]


def read_label_noted(path: Path, *, names: str | None = None) -> tuple[sitk.Image, tuple[Note, ...]]:
    """`read_label`, with what was repaired or deserves a look.

    Values within 1e-3 of a whole number are rounded (PE-LBL-005). Whether the label is empty, `empty_note` says once it
    is known which of its values are meant.

    Args:
        path: As in `read_label`.
        names: Which segments of a 3D Slicer segmentation to take, see `read_segmentation`; others have no names.
    """
    if not path.is_file():
        hint = "a scan without emboli needs an empty label file, not a missing one"
        raise InputError("PE-LBL-001", f"the label {path} does not exist", hint)
    image, found = read_segmentation(path, names) if is_segmentation(path) else read_file(path)
    array, notes = _whole(sitk.GetArrayViewFromImage(image), path, list(found))
    ids = _as_ids(array, str(path))
    if array.dtype == ids.dtype:
        return image, tuple(notes)
    label = sitk.GetImageFromArray(ids)
    label.CopyInformation(image)
    return label, tuple(notes)


def empty_note(mask: sitk.Image, what: str, meaning: str = "a scan without emboli") -> tuple[Note, ...]:
    """A warning of a mask without a voxel (PE-LBL-006), whatever it was read from.

    Args:
        mask: As it will be used: of those segments and values alone that are meant.
        what: How the message names it.
        meaning: What an empty one is taken for.
    """
    if sitk.GetArrayViewFromImage(mask).any():
        return ()
    return (Note("PE-LBL-006", "warning", f"{what} is empty: {meaning}"),)


def _whole(array: Values, path: Path, notes: list[Note]) -> tuple[Values, list[Note]]:
    if array.dtype.kind in "iub":
        return array, notes
    whole = np.rint(array)
    off = float(np.abs(array - whole).max()) if np.isfinite(array).all() else float("inf")
    if off > WHOLE_TOLERANCE:
        raise InputError(
            "PE-LBL-002",
            f"{path} holds values that are not whole numbers (off by {off:.2g})",
            "give the label itself, not a probability map or an interpolated label",
        )
    if off > 0:
        notes.append(Note("PE-LBL-005", "repaired", f"values off whole numbers by up to {off:.1g} rounded"))
    return whole, notes


def _as_ids(array: Values, what: str) -> npt.NDArray[np.uint8 | np.uint16]:
    """Whole numbers as uint8 up to 255, else as uint16."""
    low, high = int(array.min(initial=0)), int(array.max(initial=0))
    if low < 0:
        raise InputError(
            "PE-LBL-003", f"{what} holds negative labels down to {low}", "give the label; is this the scan itself?"
        )
    if high > MAX_LABEL:
        raise InputError("PE-LBL-004", f"{what} holds labels up to {high}, expected at most {MAX_LABEL}", "number anew")
    return array.astype(np.uint8 if high <= 255 else np.uint16, copy=False)


def read_mat(path: Path, variable: str) -> npt.NDArray[np.uint8 | np.uint16]:
    """Read a three-dimensional label from a MATLAB file of version 5 or 7.3; its axes stay in MATLAB's order.

    Args:
        path: Ends in .mat.
        variable: Name of the array.

    Returns:
        uint8 up to 255, else uint16.

    Raises:
        InputError: PE-LBL-001 no such file, PE-IN-003 no MATLAB file, PE-MAT-001 no such variable, PE-NII-011 a
            variable that lies in another file, PE-NII-001 not three axes, PE-LBL-002 to PE-LBL-004 other values than
            whole numbers from 0 to 65,535.
    """
    if not path.is_file():
        raise InputError("PE-LBL-001", f"the label {path} does not exist", "complete the download")
    with path.open("rb") as file:
        hdf5 = file.read(len(_MATLAB_HDF5)) == _MATLAB_HDF5
    try:
        array = np.asarray(_from_hdf5(path, variable) if hdf5 else _from_v5(path, variable))
    except InputError:
        raise
    except Exception as error:  # scipy and h5py raise whatever their parsers run into
        raise InputError("PE-IN-003", f"{path} cannot be read: {error}", "fetch the file again") from error
    if array.ndim != 3 or array.dtype.kind not in "biuf":
        raise InputError(
            "PE-NII-001", f"{variable} in {path.name} has shape {array.shape}, expected three axes", "give one mask"
        )
    if array.dtype.kind == "f" and not np.array_equal(array, np.rint(array)):
        raise InputError("PE-LBL-002", f"{variable} in {path.name} holds values that are no whole numbers")
    return _as_ids(array, f"{variable} in {path.name}")


def _from_v5(path: Path, variable: str) -> Any:
    from scipy.io import loadmat, whosmat

    shapes = {name: shape for name, shape, _ in whosmat(str(path))}
    _require(variable, list(shapes), path)
    require_plausible_array(shapes[variable], path)
    return loadmat(str(path), variable_names=[variable])[variable]


def _from_hdf5(path: Path, variable: str) -> Any:
    import h5py

    with h5py.File(path, "r") as file:
        _require(variable, [name for name in file if not name.startswith("#")], path)
        stored = file[variable] if isinstance(file.get(variable, getlink=True), h5py.HardLink) else None
        if not isinstance(stored, h5py.Dataset) or stored.external or stored.is_virtual:
            raise InputError(
                "PE-NII-011", f"{path.name} keeps {variable} in another file or place", "save the mask itself"
            )
        require_plausible_array(stored.shape, path)
        require_stored_whole(stored, path)
        return stored[()].T  # MATLAB stores columns first, HDF5 rows


def _require(variable: str, names: list[str], path: Path) -> None:
    if variable not in names:
        there = ", ".join(names[:8]) or "nothing"
        raise InputError(
            "PE-MAT-001", f"{path.name} holds no variable {variable}, but {there}", "give the masks' files"
        )
