"""What is written is valid DICOM: the modules and types of PS3.3, as tables that highdicom has from the standard.

No validator is used that fetches the standard from the network. The tables say which modules an object class has and
which of their attributes must be there (type 1, with a value) or may be empty (type 2); conditions are written here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from pe_nnunet.cli import main

TABLES = files("highdicom") / "_standard"
# Conditional attributes that apply here: an image with a VOI window, text beyond ASCII, pixels, a rescale to HU of a
# derived image (CT); a binary segmentation in the frame of reference of its slices (SEG).
CONDITIONAL = {
    "ct-image": {"PixelData", "PatientPosition", "RescaleType", "WindowCenter", "WindowWidth", "SpecificCharacterSet"},
    "segmentation": {"PixelData", "FrameOfReferenceUID"},
}
GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")


def table(name: str) -> dict:
    return json.loads((TABLES / f"{name}.json").read_text(encoding="utf-8"))


MODULES, ATTRIBUTES, CLASSES = table("iod_module_map"), table("module_attribute_map"), table("sop_class_iod_map")


def complaints(dataset: Dataset) -> Iterator[str]:
    """What contradicts the tables, at the top level and, for types 1 and 2, in every item of every sequence."""
    iod = CLASSES[dataset.SOPClassUID]
    allowed: set[str] = set()
    for module in MODULES[iod]:
        rows = ATTRIBUTES.get(module["key"], [])
        top = {row["keyword"] for row in rows if not row["path"]}
        allowed |= top
        if module["usage"] == "M" or module["key"] == "voi-lut":
            for row in rows:
                if row["path"] not in ([GROUPS[0]], [GROUPS[1]]):  # a macro stands in one of them, see below
                    yield from _missing(dataset, row, module["key"])
    for element in dataset:
        if element.keyword not in allowed:
            yield f"{element.keyword} belongs to no module of {iod}"
    for keyword in CONDITIONAL[iod]:
        if keyword not in dataset:
            yield f"{keyword} is missing (conditional)"


def _missing(dataset: Dataset, row: dict, module: str) -> Iterator[str]:
    items = [dataset]
    for keyword in row["path"]:
        items = [inner for item in items for inner in item.get(keyword, ())]
    for item in items:
        value = item.get(row["keyword"])
        where = ".".join((module, *row["path"], row["keyword"]))
        if row["type"] in {"1", "2"} and row["keyword"] not in item:
            yield f"{where} is missing (type {row['type']})"
        elif row["type"] == "1" and (value is None or value == "" or (isinstance(value, list) and not value)):
            yield f"{where} is empty (type 1)"


def strict(path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """Read with every value checked against its representation: length, characters, form."""
    monkeypatch.setattr(pydicom.config.settings, "reading_validation_mode", pydicom.config.RAISE)
    dataset = pydicom.dcmread(path)
    for element in dataset.iterall():
        assert element.VR != "UN", element
    assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
    pydicom.dataset.validate_file_meta(dataset.file_meta, enforce_standard=True)
    return dataset


@pytest.fixture
def written(volume: tuple[Path, Path], tmp_path: Path) -> Path:
    assert main(["slices", "dicom", str(volume[0]), str(tmp_path / "out"), "--labels", str(volume[1])]) == 0
    return tmp_path / "out" / "a"


def test_slices_are_valid_ct_images(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = [strict(path, monkeypatch) for path in sorted((written / "ct").iterdir())]
    assert len(datasets) == 8
    for dataset in datasets:
        assert list(complaints(dataset)) == []
        assert 12 <= dataset.BitsStored <= 16  # CT Image, table C.8-3
        assert dataset.HighBit == dataset.BitsStored - 1
        assert dataset.ImageType[2] == "AXIAL"
        assert len(dataset.PixelData) == dataset.Rows * dataset.Columns * 2
    assert len({d.SOPInstanceUID for d in datasets}) == len({d.InstanceNumber for d in datasets}) == 8
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        assert len({d[keyword].value for d in datasets}) == 1


def test_masks_are_valid_segmentations(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seg = strict(written / "emboli.dcm", monkeypatch)
    assert list(complaints(seg)) == []
    shared = seg.SharedFunctionalGroupsSequence[0]
    macros = "PixelMeasures PlaneOrientation PlanePosition FrameContent SegmentIdentification DerivationImage"
    for frame in seg.PerFrameFunctionalGroupsSequence:
        assert all((f"{macro}Sequence" in shared) != (f"{macro}Sequence" in frame) for macro in macros.split())
    assert len(seg.PerFrameFunctionalGroupsSequence) == seg.NumberOfFrames
    slices = {pydicom.dcmread(path).SOPInstanceUID for path in (written / "ct").iterdir()}
    referred = {item.ReferencedSOPInstanceUID for item in seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence}
    assert referred
    assert referred <= slices


@pytest.mark.parametrize(("change", "complaint"), [("KVP", "KVP is missing"), ("Modality", "Modality is missing")])
def test_the_check_finds_what_is_missing(written: Path, change: str, complaint: str) -> None:
    dataset = pydicom.dcmread(written / "ct" / "IM00001.dcm")
    del dataset[change]
    assert any(complaint in line for line in complaints(dataset))
    dataset.add_new("EchoTime", "DS", "1")
    assert "EchoTime belongs to no module of ct-image" in complaints(dataset)
