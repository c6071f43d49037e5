"""JSON from elsewhere: each reader says in one coded line what is wrong, whatever lies in the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from pe_nnunet.dataset.dataset_json import read_dataset_json
from pe_nnunet.dataset.label_values import read_label_values
from pe_nnunet.dataset.raw import load_cases
from pe_nnunet.dataset.split_checks import read_splits
from pe_nnunet.detection.raster import WINDOWS_HU
from pe_nnunet.detection.record import DetectorRecord
from pe_nnunet.detection.results import read_detections
from pe_nnunet.detection.slice_labels import CLASSES
from pe_nnunet.errors import PEError
from pe_nnunet.evaluation.text_tables import read_patients
from pe_nnunet.files.json_reader import read_json
from pe_nnunet.fusion.settings import FusionSettings
from pe_nnunet.fusion.stored import read_fusion
from pe_nnunet.named_classes import read_plans
from pe_nnunet.outputs import read_case_summary
from pe_nnunet.slices.png import read_png_scan

GRID = {
    "size_xyz": [4, 4, 1], "spacing_xyz_mm": [1.0, 1.0, 1.0], "origin_lps_mm": [0.0, 0.0, 0.0],
    "direction": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0], "orientation": "LPS",
}  # fmt: skip
SETTINGS = {"settings": asdict(FusionSettings()), "budgets": []}
CASE = {
    "case": "a", "kind": "nifti", "source": "a", "sha256": {}, "digest": "d", "patient": "p", "geometry": GRID,
    "box": [[0, 0, 0], [1, 4, 4]], "margin_mm": 1.0, "lungs_found": True, "ids_from": "none", "embolus_mm3": {},
    "embolus_voxels": 0, "target_ratio_before": 0.0, "target_ratio_after": 0.0, "target_ratio_factor": 1.0, "notes": [],
}  # fmt: skip

# file -> its reader, given the file, and content that it takes
READERS: dict[str, tuple[Callable[[Path], Any], Any]] = {
    "fusion.json": (
        read_fusion, {"format": 2, "segmentation": SETTINGS, "fusion": SETTINGS, "boxes": None, "ensemble": ["m"]},
    ),
    "a_detections.json": (
        read_detections,
        {"lps_grid": {"shape_zyx": [4, 9, 9], "lungs": None, "tubes": [[[1, 2.0, 2.0, 5.0, 5.0, 0.9]]]}},
    ),
    "detector.json": (
        lambda path: DetectorRecord.read(path.parent),
        {
            "format": 1, "classes": list(CLASSES), "windows_hu": [list(w) for w in WINDOWS_HU], "model": "yolo11n",
            "raster": {"pixel_mm": 0.7, "side": 640}, "dataset": "D", "fold": "0", "sha256": {}, "facts": {},
        },
    ),
    "splits_final.json": (
        lambda path: read_splits(path.parent, code="PE-DET-004", hint=""), [{"train": ["a"], "val": ["b"]}],
    ),
    "dataset.json": (lambda path: read_dataset_json(path.parent), {"labels": {"background": 0, "PE": 1}}),
    "labels.json": (read_label_values, {"labels": {"background": 0, "PE": 1}}),
    "plans.json": (read_plans, {"configurations": {"2d": {}}}),
    "slices.json": (
        lambda path: read_png_scan(path.parent),
        {"format": 1, "hu_offset": -1024, "masks": False, "grid": GRID, "grid_before": GRID, "slices": ["IM1"]},
    ),
    "pe_nnunet/cases.json": (lambda path: load_cases(path.parents[1]), {"cases": {"a": CASE}}),
    "patients.json": (read_patients, {"cases": {"a": {"patient": "p"}}}),
    "case.json": (
        read_case_summary,
        {"case": "a", "pe_score": 0.5, "emboli": 1, "volume_mm3": 2.0, "seconds": 3.0, "notes": []},
    ),
}  # fmt: skip
ODD = {
    "empty": b"", "null": b"null", "number": b"7", "list": b"[]", "list of lists": b"[[[]]]", "object": b"{}",
    "text": b'"labels"', "deep": b"[" * 100_000, "deep object": b'{"labels":' * 100_000 + b"1" + b"}" * 100_000,
    "not UTF-8": b'{"labels": "\xff\xfe"}', "NUL": b"\0" * 64, "huge": b'{"labels": ' + b"9" * 5000 + b"}",
    "infinite": b'{"labels": Infinity}', "cut": b'{"labels": {"PE":', "surrogate": b'{"labels": {"\\ud800": 1}}',
}  # fmt: skip
WRONG: tuple[Any, ...] = (None, [], {}, "x", -1, 1e300, 10**40, float("nan"), float("inf"), [[[]]], {"a": [None]})


@pytest.mark.parametrize("name", READERS)
def test_odd_files_have_a_code(name: str, tmp_path: Path) -> None:
    read, _ = READERS[name]
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    for what, content in ODD.items():
        if (name, what) == ("splits_final.json", "list"):  # no folds: that is what it says
            continue
        path.write_bytes(content)
        with pytest.raises(PEError) as raised:
            read(path)
        assert "\n" not in str(raised.value), what
        assert len(str(raised.value)) < 800, what


@pytest.mark.parametrize("name", READERS)
def test_values_of_other_kinds_have_a_code_or_mean_something(name: str, tmp_path: Path) -> None:
    read, good = READERS[name]
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(good))
    if name != "slices.json":  # whose slices are not there
        read(path)
    for place in _places(good):
        for value in (*WRONG, _MISSING):
            path.write_text(json.dumps(_replaced(good, place, value)))
            with suppress(PEError):  # anything else has no code
                read(path)


def test_infinite_numbers_and_odd_text_are_no_values(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for text, reason in (
        ('{"a": [1e999]}', "1e999"), ('{"a": NaN}', "NaN"), ('["\\u0000"]', "text that is none"),
        ('["\\udfff"]', "text that is none"), ("[" * 101 + "]" * 101, "100 deep"), ("9" * 5000, "digits"),
    ):  # fmt: skip
        path.write_text(text)
        with pytest.raises(ValueError, match=reason):
            read_json(path)
    path.write_text('{"a": [1.5, "\\u00fc", true, null, 10000000000000000000000]}', encoding="utf-8")
    assert read_json(path) == {"a": [1.5, "ü", True, None, 10**22]}


_MISSING = object()


def _places(content: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    keys = (
        list(content) if isinstance(content, dict) else range(min(len(content), 2)) if isinstance(content, list) else []
    )
    return [place for key in keys for place in ((*at, key), *_places(content[key], (*at, key)))]


def _replaced(content: Any, place: tuple[Any, ...], value: Any) -> Any:
    copied = json.loads(json.dumps(content))
    inner = copied
    for key in place[:-1]:
        inner = inner[key]
    if value is _MISSING:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return copied
