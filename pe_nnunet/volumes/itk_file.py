"""Read NRRD, MHA and MHD files by SimpleITK, and find the data file of a detached header."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from pe_nnunet.errors import InputError
from pe_nnunet.volumes.raw_volume import RawVolume, require_scalar_3d, triple
from pe_nnunet.volumes.sniff import unreadable
from pe_nnunet.volumes.write import image_suffix

_HEADER_BYTES = 65536


def read_itk_file(path: Path) -> RawVolume:
    """Read a volume file that ITK knows.

    Args:
        path: Ends in .nrrd, .mha or .mhd.

    Raises:
        InputError: PE-IN-002 the data file is not there, PE-IN-003 truncated or damaged, PE-NII-001 not
            three-dimensional, PE-NII-002 colour or vectors, PE-NII-011 data in several files or elsewhere.
    """
    data_files(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        notes = require_scalar_3d(tuple(reader.GetSize()), reader.GetNumberOfComponents(), path)
        image = reader.Execute()
    except RuntimeError as error:
        raise unreadable(path, error) from error
    while image.GetDimension() > 3:
        size = [*image.GetSize()[:-1], 0]
        submatrix = sitk.ExtractImageFilter.DIRECTIONCOLLAPSETOSUBMATRIX
        image = sitk.Extract(image, size, [0] * len(size), submatrix)
    direction = np.array(image.GetDirection()).reshape(3, 3)
    return RawVolume(
        sitk.GetArrayFromImage(image), triple(image.GetSpacing()), triple(image.GetOrigin()), direction, notes
    )


def data_files(path: Path) -> list[Path]:
    """The file that holds the voxels of a detached header (NRRD, MHD); none for other files.

    Raises:
        InputError: PE-NII-011 for several files, an absolute path or one that leads out of the folder: a header from
            elsewhere must not make this program read any file. PE-IN-002 if it is not there.
    """
    if image_suffix(path) not in {".nrrd", ".mhd", ".mha"}:
        return []
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES).split(b"\n\n", 1)[0].decode("latin-1")
    match = re.search(r"^(?:data ?file:|ElementDataFile *=)[ \t]*(.*?)\s*$", header, re.IGNORECASE | re.MULTILINE)
    if match is None or match[1].upper() == "LOCAL":
        return []
    named = Path(match[1])
    several = match[1].upper().startswith("LIST") or "%" in match[1]
    if several or named.is_absolute() or ".." in named.parts:
        raise InputError(
            "PE-NII-011",
            f"{path} keeps its voxels in {match[1]!r}, expected one file beside it",
            "write it as one .nrrd or .mha file",
        )
    data = path.parent / named
    if not data.is_file():
        raise InputError("PE-IN-002", f"{data}, named in {path.name}, does not exist", "copy it beside the header")
    return [data]
