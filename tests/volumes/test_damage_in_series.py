"""No damage to a slice leaves a shorter series that reads as a whole one."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from pe_nnunet.errors import PEError
from pe_nnunet.volumes import find_scans, read_scan

SLICES = 8


def renamed(folder: Path, ending: str) -> list[Path]:
    for path in sorted(folder.iterdir()):
        path.rename(path.with_suffix(ending))
    return sorted(folder.iterdir())


@pytest.mark.parametrize("place", [0, 3, -1], ids=["first", "inner", "last"])
@pytest.mark.parametrize("left", [b"", bytes(100), bytes(range(256)) * 20], ids=["empty", "short", "garbage"])
@pytest.mark.parametrize("ending", ["", ".IMA", ".7"])
def test_files_called_as_the_slices(make_series, place: int, left: bytes, ending: str) -> None:
    folder = make_series()
    renamed(folder, ending)[place].write_bytes(left)
    (folder / "DICOMDIR").write_bytes(b"")
    (folder / "README").write_text("no slice")
    (ref,) = find_scans(folder)
    with pytest.raises(PEError, match=rf"PE-DCM-022: .* 1 file\(s\) .* \({len(left)} bytes\)"):
        read_scan(ref)


@pytest.mark.parametrize("pick", [None, "largest-ct"])
def test_a_header_that_breaks_off_anywhere(make_series, pick: str | None) -> None:
    folder = make_series()
    last = max(folder.iterdir())
    whole, rng = last.read_bytes(), np.random.default_rng(0)
    start_of_pixels = whole.index(b"\xe0\x7f\x10\x00")
    for end in rng.integers(0, start_of_pixels, 60):
        last.write_bytes(whole[:end])
        for ref in find_scans(folder, pick=pick):
            with pytest.raises(PEError):
                read_scan(ref)


@pytest.mark.parametrize("slope", ["1e-30", "-1", "1e9", "1e-4"])
def test_a_slope_that_no_scan_in_hu_has(make_series, only, slope: str) -> None:
    def edit(dataset: pydicom.Dataset, k: int) -> None:
        dataset.RescaleSlope = slope if k == 3 else "1"

    with pytest.raises(PEError, match="PE-DCM-009"):
        read_scan(only(make_series(edit=edit)))


def test_a_place_that_no_scanner_has(make_series, only, thorax: sitk.Image, tmp_path: Path) -> None:
    def edit(dataset: pydicom.Dataset, k: int) -> None:
        dataset.ImagePositionPatient = ["1e30", "0", str(2.5 * k)]

    with pytest.raises(PEError, match="PE-DCM-016"):
        read_scan(only(make_series(edit=edit)))
    thorax.SetOrigin((0.0, 1e30, 0.0))
    sitk.WriteImage(thorax, str(tmp_path / "a.nrrd"))
    with pytest.raises(PEError, match="PE-NII-007"):
        read_scan(only(tmp_path / "a.nrrd"))


def test_a_stream_that_goes_on_far_behind_its_voxels(thorax: sitk.Image, only, tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    sitk.WriteImage(thorax, str(path), useCompression=True)
    assert (sitk.GetArrayFromImage(read_scan(only(path)).image) == sitk.GetArrayFromImage(thorax)).all()
    header, packed = path.read_bytes().split(b"\n\n", 1)
    path.write_bytes(header + b"\n\n" + gzip.compress(gzip.decompress(packed) + bytes(2 << 20)))
    with pytest.raises(PEError, match=r"PE-IN-003.*holds more"):
        read_scan(only(path))
