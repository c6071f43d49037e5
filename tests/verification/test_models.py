"""Models, archives and detectors: whole ones have no finding, and each kind of damage has its own."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import SimpleITK as sitk
import torch

from pe_nnunet.detection.raster import Raster
from pe_nnunet.detection.record import DetectorRecord
from pe_nnunet.inference.archive_export import export_models
from pe_nnunet.inference.locate import locate_folder
from pe_nnunet.verification.verify import verify

CHECKPOINT = "fold_0/checkpoint_final.pth"


def codes(place: Path) -> list[str]:
    return [finding.code for checked in verify(place) for finding in checked.findings]


@pytest.fixture
def model(model_folder: Callable[..., Path]) -> Path:
    """A trained model, with a calibration that names its checkpoint."""
    folder = model_folder()
    digest = sha256((folder / CHECKPOINT).read_bytes()).hexdigest()
    chosen = {"model": folder.name, "fold": "0", "checkpoint": "checkpoint_final.pth", "sha256": digest}
    point = {"settings": {"threshold": 0.4}, "budgets": []}
    content = {"format": 2, "segmentation": point, "fusion": None, "boxes": None, "ensemble": [folder.name]}
    (folder / "fusion.json").write_text(json.dumps(content | {"chosen_on": {"models": [chosen], "detector": None}}))
    return folder


def changed(path: Path, change: Callable[[Any], None]) -> None:
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)


def set_nan(content: Any) -> None:
    next(iter(content["network_weights"].values())).view(-1)[0] = float("nan")


def edited(path: Path, change: Callable[[Any], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def name_a_command(plans: Any) -> None:
    plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]["nonlin"] = "subprocess.Popen"


def flip_a_bit_of_the_weights(model: Path) -> None:
    """In the middle of the largest member, so that the zip itself stays readable."""
    path = model / CHECKPOINT
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda member: member.file_size)
    content = bytearray(path.read_bytes())
    content[largest.header_offset + 200 + largest.file_size // 2] ^= 4
    path.write_bytes(content)


def test_a_whole_model_has_no_finding(model: Path) -> None:
    (checked,) = verify(model)
    assert (checked.kind, checked.files, list(checked.findings)) == ("a trained model", 4, [])


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda m: (m / CHECKPOINT).unlink(), {"PE-MODEL-002", "PE-VER-003"}),
        (lambda m: (m / CHECKPOINT).write_bytes((m / CHECKPOINT).read_bytes()[:-500]), {"PE-MODEL-003", "PE-FUS-008"}),
        (flip_a_bit_of_the_weights, {"PE-MODEL-003", "PE-FUS-008"}),
        (lambda m: changed(m / CHECKPOINT, set_nan), {"PE-MODEL-003", "PE-FUS-008"}),
        (lambda m: changed(m / CHECKPOINT, lambda c: c.pop("trainer_name")), {"PE-MODEL-003", "PE-FUS-008"}),
        (lambda m: changed(m / CHECKPOINT, lambda c: c["network_weights"].popitem()), {"PE-MODEL-003", "PE-FUS-008"}),
        (lambda m: changed(m / CHECKPOINT, lambda c: c.update(more=1)), {"PE-FUS-008"}),
        (lambda m: edited(m / "plans.json", name_a_command), {"PE-MODEL-020"}),
        (lambda m: (m / "plans.json").write_text("{"), {"PE-MODEL-003"}),
        (lambda m: (m / "dataset.json").write_text("[]"), {"PE-MODEL-001"}),
        (lambda m: edited(m / "fusion.json", lambda c: c.update(ensemble=["Other"])), {"PE-FUS-005"}),
        (lambda m: edited(m / "fusion.json", lambda c: c.pop("chosen_on")), {"PE-FUS-009"}),
        (lambda m: (m / "fold_0" / ".checkpoint_best.pth.tmp").write_bytes(b"half"), {"PE-VER-007"}),
        (lambda m: (m / ".writing-0123456789abcdef.json").write_text("{"), {"PE-VER-007"}),
        (lambda m: (m / "fold_1").mkdir(), {"PE-MODEL-002"}),
    ],
)
def test_damage_to_a_model_is_named(model: Path, damage: Callable[[Path], Any], expected: set[str]) -> None:
    damage(model)
    assert set(codes(model)) == expected


def test_a_checkpoint_that_would_run_code_is_not_loaded(model: Path, tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "was run",)

    changed(model / CHECKPOINT, lambda content: content.update(more=Harmful()))
    assert "PE-MODEL-003" in codes(model)
    assert not (tmp_path / "was run").exists()


def test_a_validation_by_another_checkpoint_or_without_its_cases(model: Path) -> None:
    place = model / "fold_0" / "validation"
    place.mkdir()
    record = {"checkpoint": "checkpoint_final.pth", "sha256": "0" * 64, "cases": ["a"]}
    (place / "pe_nnunet_validation.json").write_text(json.dumps(record))
    assert codes(model) == ["PE-VER-004", "PE-VER-003"]
    edited(model / "dataset.json", lambda c: c.update(file_ending=".nrrd"))  # as nnU-Net writes its validation too
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((2, 2, 2), np.uint8)), str(place / "a.nrrd"))
    assert codes(model) == ["PE-VER-004"]


def test_an_archive_and_one_with_a_byte_changed(model: Path, tmp_path: Path) -> None:
    archive = tmp_path / "model.zip"
    export_models([locate_folder(model, None)], archive)
    (checked,) = verify(archive)
    assert (checked.kind, checked.files, list(checked.findings)) == ("a model archive", 4, [])
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    archive.write_bytes(content)
    assert codes(archive) == ["PE-MODEL-012"]
    archive.write_bytes(b"no archive")
    assert codes(archive) == ["PE-MODEL-012"]


def network(value: float = 1.0, at: str | None = None) -> bytes:
    constant = onnx.numpy_helper.from_array(np.array([0.5, value], np.float32), "w")
    if at is not None:
        onnx.external_data_helper.set_external_data(constant, at)
        constant.ClearField("raw_data")
    one = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Add", ["x", "w"], ["y"])], "g", [one("x", 1, [2])], [one("y", 1, [2])], [constant]
    )
    return bytes(onnx.helper.make_model(graph).SerializeToString())


@pytest.fixture
def detector(tmp_path: Path) -> Path:
    """Two folds."""
    folder = tmp_path / "PEDetector__yolo11n__192px"
    for fold in ("0", "1"):
        write_fold(folder, fold, network())
    return folder


def write_fold(detector: Path, fold: str, content: bytes) -> None:
    place = detector / f"fold_{fold}"
    place.mkdir(parents=True, exist_ok=True)
    (place / "detector.onnx").write_bytes(content)
    hashes = {"detector.onnx": sha256(content).hexdigest()}
    DetectorRecord("yolo11n", Raster(1.2, 192), "Dataset501_PE", fold, hashes).write(place)


def test_a_whole_detector_and_one_of_its_folds(detector: Path) -> None:
    (checked,) = verify(detector)
    assert (checked.kind, checked.files, list(checked.findings)) == ("a trained detector", 4, [])
    (checked,) = verify(detector / "fold_1")
    assert (checked.files, list(checked.findings)) == (2, [])


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda d: (d / "fold_0/detector.onnx").write_bytes(network()[:-9]), {"PE-DET-006"}),
        (lambda d: (d / "fold_0/detector.onnx").write_bytes(network(2.0)), {"PE-DET-006"}),
        (lambda d: (d / "fold_0/detector.onnx").unlink(), {"PE-DET-006"}),
        (lambda d: (d / "fold_0/detector.json").unlink(), {"PE-DET-005"}),
        (lambda d: write_fold(d, "0", network(float("nan"))), {"PE-DET-006"}),
        (lambda d: write_fold(d, "0", network(at="/etc/hostname")), {"PE-DET-006"}),
        (lambda d: (d / "fold_0" / ".training-abc").mkdir(), {"PE-VER-007"}),
    ],
)
def test_damage_to_a_detector_is_named(detector: Path, damage: Callable[[Path], Any], expected: set[str]) -> None:
    damage(detector)
    assert set(codes(detector)) == expected


def test_all_of_a_folder_of_results_is_checked(model: Path, detector: Path) -> None:
    shutil.move(detector, model.parent / detector.name)
    checked = verify(model.parent.parent)
    assert [place.kind for place in checked] == ["a trained detector", "a trained model"]
    assert not any(place.findings for place in checked)
