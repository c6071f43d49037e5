"""Small valid volume files: NIfTI, NRRD, MetaImage and MATLAB, compressed and not."""

from __future__ import annotations

import bz2
import gzip
import io
import struct
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from fuzz.sample import Files

SHAPE = (6, 10, 12)  # z, y, x
SPACING = (0.7, 0.8, 2.5)


def thorax(seed: int = 0) -> np.ndarray:
    """HU of air, soft tissue and noise, (z, y, x), int16."""
    rng = np.random.default_rng(seed)
    hu = np.where(np.indices(SHAPE)[2] % 5 < 2, -850, 40) + rng.integers(-20, 20, SHAPE)
    hu[0, 0, :3] = (-1024, 1200, 3071)
    return hu.astype(np.int16)


def label(seed: int = 0) -> np.ndarray:
    """Few whole numbers, (z, y, x), uint8."""
    return np.random.default_rng(seed).integers(0, 3, SHAPE, dtype="u1")


def nifti_seeds() -> list[Files]:
    """NIfTI-1 and -2, single files and pairs, either order of bytes, scaled, with and without gzip."""
    import nibabel as nib

    affine = np.diag([-0.7, -0.8, 2.5, 1.0])
    affine[:3, 3] = (100.0, 50.0, -300.0)
    found: list[Files] = []
    for kind, data, scale in (
        (nib.Nifti1Image, thorax(), None), (nib.Nifti2Image, thorax(1).astype("f4"), None),
        (nib.Nifti1Image, thorax(2), (2.0, -1000.0)), (nib.Nifti1Image, label(), None),
    ):  # fmt: skip
        image = kind(data.T, affine)
        image.set_qform(affine, 1)
        image.set_sform(affine, 1)
        image.header.set_xyzt_units("mm")
        if scale is not None:
            image.header.set_slope_inter(*scale)
        plain = image.to_bytes()
        found += [{"a.nii": plain}, {"a.nii.gz": gzip.compress(plain, 1, mtime=0)}]
    swapped = nib.Nifti1Image(thorax(3).T.astype(">i2"), affine, nib.Nifti1Header(endianness=">"))
    found.append({"a.nii": swapped.to_bytes()})
    pair = nib.Nifti1Pair(thorax(4).T, affine)
    maps = pair.make_file_map({"image": io.BytesIO(), "header": io.BytesIO()})  # type: ignore[arg-type]
    pair.to_file_map(maps)
    found.append({"a.hdr": maps["header"].fileobj.getvalue(), "a.img": maps["image"].fileobj.getvalue()})
    return found


def nrrd_seeds() -> list[Files]:
    """Attached and detached, raw, gzip, bzip2 and text, either order, and a segmentation of 3D Slicer."""
    hu = thorax()
    where = "space: left-posterior-superior\nspace directions: (0.7,0,0) (0,0.8,0) (0,0,2.5)\n"
    where += "space origin: (-100,-50,-300)\n"
    kinds = "kinds: domain domain domain\n"

    def head(kind: str, encoding: str, *, more: str = "", order: str = "little") -> bytes:
        text = f"NRRD0004\n# made\ntype: {kind}\ndimension: 3\nsizes: 12 10 6\n{where}{kinds}"
        return f"{text}endian: {order}\nencoding: {encoding}\n{more}".encode()

    raw = hu.tobytes()
    text = " ".join(map(str, hu.ravel())).encode()
    segment = "Segment0_ID:=Segment_1\nSegment0_Name:=PE\nSegment0_LabelValue:=1\nSegment0_Layer:=0\n"
    segment += "Segment0_Extent:=0 11 0 9 0 5\n"
    segment += "Segmentation_ContainedRepresentationNames:=Binary labelmap|\n"
    plain = f"NRRD0004\ntype: short\ndimension: 3\nsizes: 12 10 6\nspacings: 0.7 0.8 2.5\n{kinds}".encode()
    mask = gzip.compress(label().clip(0, 1).tobytes(), mtime=0)
    return [
        {"a.nrrd": head("short", "raw") + b"\n" + raw},
        {"a.nrrd": head("int16", "gzip") + b"\n" + gzip.compress(raw, mtime=0)},
        {"a.nrrd": head("short", "bzip2") + b"\n" + bz2.compress(raw)},
        {"a.nrrd": head("short", "text") + b"\n" + text},
        {"a.nrrd": head("float", "raw", order="big") + b"\n" + hu.astype(">f4").tobytes()},
        {"a.nrrd": head("short", "raw", more="data file: a.raw\n"), "a.raw": raw, "other.raw": raw[::-1]},
        {"a.nrrd": head("short", "gzip", more="data file: a.raw.gz\n"), "a.raw.gz": gzip.compress(raw, mtime=0)},
        {"a.nrrd": plain + b"endian: little\nencoding: raw\n\n" + raw},
        {"a.nrrd": head("uchar", "raw") + b"\n" + label().tobytes()},
        {"a.seg.nrrd": head("uchar", "gzip", more=segment) + b"\n" + mask},
    ]  # fmt: skip


def meta_seeds() -> list[Files]:
    """MHA and MHD, raw and compressed, either order."""
    hu = thorax()
    raw, packed = hu.tobytes(), zlib.compress(hu.tobytes())

    def head(kind: str, data: str, *, packed_size: int = 0, order: str = "False") -> bytes:
        compressed = f"CompressedData = True\nCompressedDataSize = {packed_size}\n" if packed_size else ""
        return (
            f"ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = {order}\n{compressed}"
            "TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = -100 -50 -300\nCenterOfRotation = 0 0 0\n"
            f"AnatomicalOrientation = RAI\nElementSpacing = 0.7 0.8 2.5\nDimSize = 12 10 6\nElementType = {kind}\n"
            f"ElementDataFile = {data}\n"
        ).encode()

    return [
        {"a.mha": head("MET_SHORT", "LOCAL") + raw},
        {"a.mha": head("MET_SHORT", "LOCAL", packed_size=len(packed)) + packed},
        {"a.mha": head("MET_FLOAT", "LOCAL", order="True") + hu.astype(">f4").tobytes()},
        {"a.mha": head("MET_UCHAR", "LOCAL") + label().tobytes()},
        {"a.mhd": head("MET_SHORT", "a.raw"), "a.raw": raw, "other.raw": raw[::-1]},
        {"a.mhd": head("MET_SHORT", "a.zraw", packed_size=len(packed)), "a.zraw": packed},
    ]


def matlab_seeds() -> list[Files]:
    """A mask in version 5, compressed and not, and in version 7.3."""
    import h5py
    from scipy.io import savemat

    found: list[Files] = []
    for compressed in (False, True):
        stream = io.BytesIO()
        savemat(stream, {"Mask": label().T, "note": "a"}, do_compression=compressed)
        found.append({"a.mat": b"MATLAB 5.0 MAT-file".ljust(116) + stream.getvalue()[116:]})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.mat")
        for options in ({}, {"compression": "gzip", "chunks": (3, 5, 6)}):
            settings: Any = {"userblock_size": 512, "libver": "earliest", "track_order": False}
            with h5py.File(path, "w", **settings) as file:
                file.create_dataset("Mask", data=label(), track_times=False, **options)
                file.create_dataset("other", data=label(1), track_times=False)
            content = bytearray(path.read_bytes())
            content[:128] = b"MATLAB 7.3 MAT-file".ljust(124) + struct.pack("<H2s", 0x0200, b"IM")
            found.append({"a.mat": bytes(content)})
    return found
