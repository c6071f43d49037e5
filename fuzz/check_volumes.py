"""Volume files by our readers, and by nibabel, pynrrd, plain parsing, gzip, zlib, bz2, scipy and h5py."""

from __future__ import annotations

import bz2
import gzip
import re
import warnings
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from fuzz.runner import LIMIT_S
from fuzz.sample import RefusedError
from pe_nnunet.errors import InputError, PEError
from pe_nnunet.processes.case_process import CaseProcess, Lost
from pe_nnunet.volumes.files.image_writer import image_suffix
from pe_nnunet.volumes.files.volume_file import read_file, scan_sha256
from pe_nnunet.volumes.readers import read_label_noted, read_mat, read_scan
from pe_nnunet.volumes.scan import ScanRef


def volume_of(folder: Path) -> Path:
    """The file that is read."""
    return next(path for path in sorted(folder.iterdir()) if image_suffix(path))


def read_volume(folder: Path) -> Any:
    """Our readings: the file as it is, and as a scan in HU if it is one; as a label it is read as well."""
    path = volume_of(folder)
    found: dict[str, Any] = {}
    errors = []
    for name, work in (
        ("label", lambda: read_label_noted(path)),
        ("scan", lambda: read_scan(ScanRef("a", "file", path, (path,)), assume_hu=True)),
        ("file", lambda: read_file(path)),
    ):
        try:
            found[name] = work()
        except PEError as error:
            errors.append(error)
    if not found:
        raise errors[-1]
    scan_sha256(path)
    return found


def compare_volume(folder: Path, found: dict[str, Any]) -> str:
    """Values and geometry of all of our readings."""
    path = volume_of(folder)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            expected = _independent(path)
        except Exception as error:
            if "Valid slope but invalid intercept" in str(error):
                return ""  # a slope of 1 (others are refused) and no intercept: as stored, as ITK has it
            if "missing required field" in str(error) or _capital_name(path):
                return ""  # pynrrd alone takes a name in capitals for another; the format does not
            if "w2 should be positive" in str(error) and _doubtful(found):
                return ""  # a quaternion that is too long: normalised, as ITK does, and said
            raise RefusedError(f"{type(error).__name__}: {str(error)[:150]}") from error
        if path.name.endswith(".seg.nrrd"):
            return _same_label(found, _segment(path, expected)) if "label" in found else ""
        if "file" in found:
            got = sitk.GetArrayFromImage(found["file"][0])
            if got.shape != expected.shape:
                return f"shape {got.shape}, independently {expected.shape}"
            wanted = expected.astype(np.float64)
            if not np.allclose(got.astype(np.float64), wanted, rtol=1e-5, atol=1e-3, equal_nan=True):
                return f"values differ in {np.count_nonzero(got != expected)} of {got.size} voxels"
            if not _doubtful(found) and (problem := _geometry(path, found["file"][0], found["file"][1])):
                return problem
        return _same_hu(found, expected) or _same_label(found, expected.astype(np.float64))


def _doubtful(found: dict[str, Any]) -> bool:
    """Whether a note says that the header contradicts itself, and which grid was taken."""
    return "file" in found and any(note.code == "PE-NII-014" for note in found["file"][1])


def _same_hu(found: dict[str, Any], expected: np.ndarray) -> str:
    if "scan" not in found:
        return ""
    got = sitk.GetArrayFromImage(found["scan"].image).astype(np.float64)
    wanted = expected.astype(np.float32 if expected.dtype.kind == "f" else np.float64).astype(np.float64)
    wanted[~np.isfinite(wanted)] = -1024
    wanted[(wanted <= -1500) | (wanted > 32000)] = -1024
    same = got.shape == wanted.shape and np.allclose(got, wanted, rtol=1e-5, atol=1e-3)
    return "" if same else "HU differ"


def _same_label(found: dict[str, Any], expected: np.ndarray) -> str:
    if "label" not in found:
        return ""
    got = sitk.GetArrayFromImage(found["label"][0]).astype(np.float64)
    return "" if got.shape == expected.shape and np.abs(got - expected).max() <= 1e-3 else "labels differ"


def _geometry(path: Path, image: sitk.Image, notes: Any) -> str:
    """Against ITK's own reading, which ours says that it follows; where ITK refuses, nothing is compared."""
    try:
        other = sitk.ReadImage(str(path))
    except RuntimeError:
        return ""
    n = other.GetDimension()
    spacing, origin = other.GetSpacing()[:3], other.GetOrigin()[:3]
    axes = np.array(other.GetDirection()).reshape(n, n)[:3, :3]
    if n < 3 or image.GetSize() != other.GetSize()[:3]:
        return f"size {image.GetSize()}, ITK {other.GetSize()}"
    if not np.allclose(image.GetSpacing(), spacing, rtol=1e-4):
        return f"spacing {image.GetSpacing()}, ITK {spacing} ({', '.join(note.code for note in notes)})"
    if not np.allclose(image.GetOrigin(), origin, rtol=1e-4, atol=1e-3):
        return f"origin {image.GetOrigin()}, ITK {origin}"
    if not np.allclose(np.array(image.GetDirection()).reshape(3, 3), axes, atol=2e-3):
        return f"direction {image.GetDirection()}, ITK {axes.ravel().tolist()}"
    return ""


def _independent(path: Path) -> np.ndarray:
    """Values as (z, y, x) by other readers; raises whatever they raise."""
    suffix = image_suffix(path)
    if suffix in {".nii", ".nii.gz", ".hdr"}:
        return _by_nibabel(path)
    if suffix in {".nrrd", ".seg.nrrd"}:
        return _by_pynrrd(path)
    return _by_hand(path)


def _by_nibabel(path: Path) -> np.ndarray:
    import nibabel as nib

    if path.suffix == ".gz":
        gzip.decompress(path.read_bytes())  # all of it, with its checksums
    nib.Nifti1Header.quaternion_threshold = 1e-4  # of rounding; what is longer is noted
    image: Any = nib.load(path)
    values = np.asanyarray(image.dataobj)
    while values.ndim > 3 and values.shape[-1] == 1:
        values = values[..., 0]
    return values.T


def _capital_name(path: Path) -> bool:
    """Whether an NRRD header names its data's file with a capital letter in the field."""
    if image_suffix(path) not in {".nrrd", ".seg.nrrd"}:
        return False
    names = re.findall(rb"^(data ?file):", path.read_bytes(), re.MULTILINE | re.IGNORECASE)
    return any(name != name.lower() for name in names)


def _segment(path: Path, values: np.ndarray) -> np.ndarray:
    """The one segment of a segmentation: 1 where the voxels have its value."""
    import nrrd

    stored = int(nrrd.read_header(str(path)).get("Segment0_LabelValue", 1))
    return (values == stored).astype(np.float64)


def _by_pynrrd(path: Path) -> np.ndarray:
    import nrrd

    nrrd.reader.ALLOW_DUPLICATE_FIELD = True  # the same line twice says nothing else; others are ours to refuse
    with path.open("rb") as file:
        header = nrrd.read_header(file)
        rest = file.read()
    if header.get("encoding") == "raw" and not header.keys() & {"data file", "datafile"}:
        count = int(np.prod(header["sizes"]))
        kind = np.dtype(nrrd.reader._determine_datatype(header))
        if not rest[count * kind.itemsize :].strip(b"\0"):  # padding, of which pynrrd makes an error
            return np.frombuffer(rest, kind, count).reshape(np.flip(header["sizes"])).squeeze()
    if "data file" not in header and "datafile" not in header:
        encoding = header.get("encoding")
        if encoding in {"gzip", "gz"}:
            _ended(zlib.decompressobj(wbits=31), rest)
        elif encoding in {"bzip2", "bz2"}:
            _ended(bz2.BZ2Decompressor(), rest)
    values, _ = nrrd.read(str(path), index_order="C")
    while values.ndim > 3 and values.shape[0] == 1:
        values = values[0]
    return values


def _ended(unpacker: Any, content: bytes) -> bytes:
    plain: bytes = unpacker.decompress(content)
    if not unpacker.eof:
        raise EOFError("the stream breaks off")
    return plain


_TYPES = {"CHAR": "i1", "UCHAR": "u1", "SHORT": "i2", "USHORT": "u2", "INT": "i4", "UINT": "u4", "LONG_LONG": "i8",
          "ULONG_LONG": "u8", "LONG": "i4", "ULONG": "u4", "FLOAT": "f4", "DOUBLE": "f8"}  # fmt: skip


def _by_hand(path: Path) -> np.ndarray:
    """MetaImage, by the words of its description alone."""
    content = path.read_bytes()
    end = re.search(rb"^[ \t\r]*ElementDataFile[ \t]*=[^\n]*\n?", content, re.MULTILINE)
    if end is None:
        raise ValueError("no ElementDataFile")
    tags: dict[str, str] = {}
    for line in content[: end.end()].decode("latin-1").splitlines():
        name, _, value = line.partition("=")
        tags[name.strip()] = value.strip()
    rest = content[end.end() :]
    if tags["ElementDataFile"].upper() != "LOCAL":
        rest = (path.parent / tags["ElementDataFile"]).read_bytes()
    size = [int(part) for part in tags["DimSize"].split()][: int(tags["NDims"])]
    big = any(tags.get(k, "False").lower() == "true" for k in ("BinaryDataByteOrderMSB", "ElementByteOrderMSB"))
    kind = np.dtype(_TYPES[tags["ElementType"].removeprefix("MET_")]).newbyteorder(">" if big else "<")
    count = int(np.prod(size)) * int(tags.get("ElementNumberOfChannels", "1"))
    if tags.get("CompressedData", "False").lower() == "true":
        rest = _ended(zlib.decompressobj(), rest)
    elif (skip := int(tags.get("HeaderSize", "0"))) != 0:
        whole = content if tags["ElementDataFile"].upper() == "LOCAL" else rest
        rest = whole[len(whole) - count * kind.itemsize :] if skip == -1 else rest[skip:]
    if tags.get("BinaryData", "True").lower() == "false":
        values = np.array([float(word) for word in rest.split()[:count]])
    else:
        values = np.frombuffer(rest, kind, count)
    return values.reshape([n for n in reversed(size) if n != 1 or len(size) <= 3][-3:])


_APART: list[CaseProcess] = []


def read_matlab(folder: Path) -> Any:
    """The mask of a MATLAB file, read in a process of its own, as conversion does: HDF5 can end a process."""
    if not _APART or not _APART[0].alive:
        _APART[:] = [CaseProcess()]
    _APART[0].begin(read_mat, folder / "a.mat", "Mask", timeout_s=LIMIT_S)
    found = _APART[0].result()
    if isinstance(found, Lost):
        if found.kind != "died":
            raise RuntimeError(f"{found.kind}: {found.reason}")
        raise InputError("PE-IN-008", found.reason)
    return found


def compare_matlab(folder: Path, found: np.ndarray) -> str:
    """Against scipy and h5py as they are."""
    path = folder / "a.mat"
    try:
        if path.read_bytes()[:10] == b"MATLAB 7.3":
            import h5py

            with h5py.File(path, "r") as file:
                expected = file["Mask"][()].T
        else:
            from scipy.io import loadmat

            expected = loadmat(str(path), variable_names=["Mask"])["Mask"]
    except Exception as error:
        raise RefusedError(f"{type(error).__name__}: {str(error)[:150]}") from error
    with suppress(ValueError):
        return "" if np.array_equal(found, expected) else "values differ"
    return "shape differs"
