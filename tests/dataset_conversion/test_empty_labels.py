"""A label that ends up without a voxel is said (PE-LBL-006), whatever it was read from and for whatever reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid
from scipy.io import savemat

from pe_nnunet.dataset_conversion import ConvertOptions, fumpe, sources
from pe_nnunet.dataset_conversion.labels import parse_label_map
from pe_nnunet.dataset_conversion.sources import CaseSource, CaseVolumes
from pe_nnunet.volumes import ScanRef, find_scans, image_like, write_dicom_series, write_image


@dataclass(frozen=True)
class Drawn:
    """A scan as DICOM, and an empty mask on its grid."""

    ref: ScanRef
    nothing: np.ndarray
    ids: np.ndarray
    like: sitk.Image
    folder: Path

    def read(self, label: Path, artery: Path | None = None, read: Any = sources.read_case, **how: Any) -> CaseVolumes:
        case = CaseSource("a", self.ref, "a", label, artery, "auto")
        volumes: CaseVolumes = read(case, ConvertOptions(**how))
        return volumes


@pytest.fixture
def drawn(tmp_path: Path, thorax: Any) -> Drawn:
    slices = thorax.ct[:, :, :6]
    write_dicom_series(slices, tmp_path / "scan", patient_id="P")
    (ref,) = find_scans(tmp_path / "scan")
    nothing = np.zeros(slices.GetSize()[::-1], np.uint8)
    ids = nothing.copy()
    ids[2, 4:8, 4:8] = 1
    return Drawn(ref, nothing, ids, slices, tmp_path)


def said(volumes: CaseVolumes) -> list[str]:
    return [note.message for note in volumes.notes if note.code == "PE-LBL-006"]


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_volumes(drawn: Drawn, suffix: str) -> None:
    write_image(image_like(drawn.nothing, drawn.like), drawn.folder / f"m{suffix}")
    assert said(drawn.read(drawn.folder / f"m{suffix}")) == [f"label: m{suffix} is empty: a scan without emboli"]


def test_values_that_a_map_leaves_out(drawn: Drawn) -> None:
    path = drawn.folder / "m.nii.gz"
    write_image(image_like(drawn.ids, drawn.like), path)
    assert said(drawn.read(path, label_map=parse_label_map("1=1"))) == []
    assert said(drawn.read(path, label_map=parse_label_map("3=1"))) == [
        "label: m.nii.gz is empty: a scan without emboli"
    ]


def test_segments_without_a_pixel(drawn: Drawn, write_seg: Callable[..., Path]) -> None:
    slices = sorted(drawn.ref.path.iterdir())
    path = write_seg(drawn.folder / "m.dcm", slices, drawn.ids, ["Lung", "Embolus"])
    assert said(drawn.read(path, segments="embol*")) == ["label: m.dcm is empty: a scan without emboli"]
    assert said(drawn.read(path, segments="lung")) == []


def test_a_structure_set_without_a_contour(drawn: Drawn) -> None:
    ds = pydicom.Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = RTStructureSetStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = generate_uid()
    ds.StructureSetROISequence, ds.ROIContourSequence = pydicom.Sequence(), pydicom.Sequence()
    ds.save_as(drawn.folder / "m.dcm", enforce_file_format=True)
    assert said(drawn.read(drawn.folder / "m.dcm")) == ["label: m.dcm is empty: a scan without emboli"]


def test_matlab_files(drawn: Drawn) -> None:
    for mask, expected in ((drawn.nothing, 1), (drawn.ids, 0)):
        savemat(drawn.folder / "m.mat", {"Mask": mask.transpose(1, 2, 0)})
        assert len(said(drawn.read(drawn.folder / "m.mat", read=fumpe.read_case))) == expected


def test_arteries(drawn: Drawn) -> None:
    for name, mask in (("m", drawn.ids), ("v", drawn.nothing)):
        write_image(image_like(mask, drawn.like), drawn.folder / f"{name}.nii.gz")
    volumes = drawn.read(drawn.folder / "m.nii.gz", drawn.folder / "v.nii.gz")
    assert said(volumes) == ["artery: v.nii.gz is empty: a scan without arteries"]
