"""Whether a file reads whole: to its last byte, with the checksums that its format has."""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pe_nnunet.errors import InputError, PEError
from pe_nnunet.files.json_reader import MALFORMED, read_json, why
from pe_nnunet.verification.findings import Finding

if TYPE_CHECKING:
    import SimpleITK as sitk

_LONGEST = 10_000
VOLUMES = (".nii", ".nii.gz", ".nrrd", ".mha")


def read_whole(path: Path) -> sitk.Image | None:
    """Read a file to its end; what its format does not check is not checked here.

    Pickles (`.pkl`) are not read, as that would run what they say.

    Args:
        path: A volume, picture, table, record, page, DICOM file or archive of arrays.

    Returns:
        The image, of a volume.

    Raises:
        InputError: PE-VER-008 if it breaks off or is damaged, or as the reader of volumes.
    """
    if path.name.lower().endswith(VOLUMES):
        from pe_nnunet.volumes.files.volume_file import read_file

        return read_file(path)[0]
    reader = _READERS.get(path.suffix.lower())
    try:
        if reader is not None:
            reader(path)
    except PEError:
        raise
    except Exception as error:  # Pillow, pydicom and zipfile raise whatever their parts raise
        raise damaged(path, error) from error
    return None


def damaged(path: Path, error: Exception) -> InputError:
    """The error for a file that cannot be read whole."""
    reason = why(error) if isinstance(error, MALFORMED) else str(error) or type(error).__name__
    return InputError("PE-VER-008", f"{path} cannot be read whole: {reason}", "copy it again, or make it again")


def whole_findings(path: Path) -> list[Finding]:
    """What `read_whole` refuses; nothing for a file that is whole."""
    try:
        read_whole(path)
    except PEError as error:
        return [Finding.of(error)]
    return []


def heading(path: Path) -> str:
    """The first line of a file; empty where there is no such file."""
    if not path.is_file():
        return ""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.readline(_LONGEST).strip()
    except OSError:
        return ""


def read_table(path: Path) -> list[list[str]]:
    """The rows of a table, its heading first.

    Raises:
        InputError: PE-VER-008 if it is none, or rows are longer or shorter than the heading.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file))
        if any(len(row) != len(rows[0]) for row in rows):
            raise ValueError("its rows have different numbers of cells")
    except (*MALFORMED, csv.Error) as error:
        raise damaged(path, error) from error
    return rows


def _read_picture(path: Path) -> None:
    from PIL import Image

    with Image.open(path) as picture:
        picture.verify()  # the checksums of all parts
    with Image.open(path) as picture:
        picture.load()


def _read_page(path: Path) -> None:
    if not path.read_text(encoding="utf-8").rstrip().endswith("</html>"):
        raise ValueError("it has no end")


_REPORTS = "1.2.840.10008.5.1.4.1.1.88."  # SOP classes of structured reports, which have no pixels (PS3.4, B.5)


def _read_dicom(path: Path) -> None:
    import pydicom

    dataset = pydicom.dcmread(path)
    for element in dataset:  # each is parsed on access
        _ = element.value
    if dataset.file_meta.MediaStorageSOPClassUID.startswith(_REPORTS):
        return
    shape = [int(dataset.get(name, 1)) for name in ("Rows", "Columns", "NumberOfFrames", "BitsAllocated")]
    bits = shape[0] * shape[1] * shape[2] * shape[3] * int(dataset.get("SamplesPerPixel", 1))
    held = len(dataset.get("PixelData", b""))
    if not dataset.file_meta.TransferSyntaxUID.is_compressed and held < -(-bits // 8):
        raise ValueError(f"it has {held} bytes of pixels, expected {-(-bits // 8)}")


def _read_arrays(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        broken = archive.testzip()
    if broken is not None:
        raise zipfile.BadZipFile(f"wrong checksum of {broken}")


_READERS: dict[str, Any] = {
    ".png": _read_picture,
    ".json": read_json,
    ".csv": read_table,
    ".html": _read_page,
    ".dcm": _read_dicom,
    ".npz": _read_arrays,
}
