"""Read an array of whole numbers from a MATLAB file, of version 5 or 7.3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pe_nnunet.errors import InputError

_HDF5 = b"MATLAB 7.3"


def read_mat(path: Path, variable: str) -> npt.NDArray[np.uint8 | np.uint16]:
    """A three-dimensional label array, its axes in MATLAB's order.

    Args:
        path: Ends in .mat.
        variable: Name of the array.

    Returns:
        uint8 up to 255, else uint16.

    Raises:
        InputError: PE-LBL-001 no such file, PE-IN-003 no MATLAB file, PE-MAT-001 no such variable, PE-NII-001 not three
            axes, PE-LBL-002 to PE-LBL-004 other values than whole numbers from 0 to 65,535.
    """
    if not path.is_file():
        raise InputError("PE-LBL-001", f"the label {path} does not exist", "complete the download")
    with path.open("rb") as file:
        hdf5 = file.read(len(_HDF5)) == _HDF5
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
    low, high = int(array.min(initial=0)), int(array.max(initial=0))
    if low < 0:
        raise InputError("PE-LBL-003", f"{variable} in {path.name} holds negative values down to {low}")
    if high > np.iinfo(np.uint16).max:
        raise InputError("PE-LBL-004", f"{variable} in {path.name} holds values up to {high}, at most 65535 expected")
    return array.astype(np.uint8 if high <= 255 else np.uint16)


def _from_v5(path: Path, variable: str) -> Any:
    from scipy.io import loadmat, whosmat

    names = [name for name, _, _ in whosmat(str(path))]
    _require(variable, names, path)
    return loadmat(str(path), variable_names=[variable])[variable]


def _from_hdf5(path: Path, variable: str) -> Any:
    import h5py

    with h5py.File(path, "r") as file:
        _require(variable, [name for name in file if not name.startswith("#")], path)
        return file[variable][()].T  # MATLAB stores columns first, HDF5 rows


def _require(variable: str, names: list[str], path: Path) -> None:
    if variable not in names:
        there = ", ".join(names[:8]) or "nothing"
        raise InputError(
            "PE-MAT-001", f"{path.name} holds no variable {variable}, but {there}", "give the masks' files"
        )
