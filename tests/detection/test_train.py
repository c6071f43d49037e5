from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from pe_nnunet.cli import main
from pe_nnunet.detection.architectures import architectures, find_architecture
from pe_nnunet.detection.raster import Raster
from pe_nnunet.detection.record import DetectorRecord
from pe_nnunet.detection.settings import DetectorSettings, parse_overrides
from pe_nnunet.detection.train import _start_from
from pe_nnunet.errors import ConfigurationError, MissingExtraError

if TYPE_CHECKING:
    from tests.detection.conftest import Training
else:
    Training = Any


def test_training_touches_neither_network_nor_home_nor_other_programs(training: Training) -> None:
    assert training.answer["code"] == 0
    assert training.answer["broken"] == []
    assert list(training.home.rglob("*")) == []


@pytest.mark.parametrize("model", ["yolo11n", "yolo26n", "yolov8n-p2"])
def test_an_embolus_of_eight_pixels_counts_from_the_first_step_on(training: Training, model: str) -> None:
    ours, theirs = training.answer["credits"][model]
    assert min(ours) > 0.1, "its target does not vanish, wherever it lies"
    assert max(theirs) < 0.05, "with the boxes that ultralytics starts with it does"


def test_the_settings_of_ultralytics_are_gone_when_the_process_ends(training: Training) -> None:
    assert not Path(training.answer["settings"]).exists()


def test_the_fold_holds_the_detector_its_record_and_its_history(training: Training) -> None:
    names = {path.name for path in training.fold.iterdir()}
    assert names == {"detector.json", "detector.onnx", "detector.pt", "history.csv"}
    assert len((training.fold / "history.csv").read_text().splitlines()) == 3
    assert "epoch 2/2: box " in training.output


def test_the_record_says_what_the_detector_is(training: Training) -> None:
    record = DetectorRecord.read(training.fold)
    assert (record.model, record.dataset, record.fold) == ("yolo11n", "Dataset007_Boxes", "0")
    assert record.raster == Raster(1.5, 64)
    assert record.facts["cases"] == {"train": ["n", "p"], "val": ["q"]}
    assert (list(record.split.train), list(record.split.val)) == (["n", "p", "Dataset008_Further/p"], ["q"])
    assert all(record.split.train.values())
    assert record.facts["pictures"] == {"train": 26, "val": 12, "extra": 6}  # of p, as q is validated on
    assert record.facts["settings"]["overrides"] == {"fliplr": 0.25}
    assert set(record.facts["validation"]) == {"precision(B)", "recall(B)", "mAP50(B)", "mAP50-95(B)"}


def test_weights_are_plain(training: Training) -> None:
    held = torch.load(training.fold / "detector.pt", weights_only=True)
    assert set(held) == {"model", "state_dict"}


def test_a_trained_fold_is_not_trained_again_unasked(training: Training) -> None:
    assert training.answer["again"] == 2
    assert "PE-MODEL-009" in training.output


@pytest.mark.parametrize("name", ["detector.onnx", "detector.pt"])
def test_a_file_that_was_changed_is_found_out(training: Training, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "fold_0"
    shutil.copytree(training.fold, copy)
    (copy / name).write_bytes((copy / name).read_bytes()[:-1])
    with pytest.raises(ConfigurationError, match=rf"PE-DET-006.*{name}"):
        DetectorRecord.read(copy)


def test_detecting_needs_the_onnx_file_and_not_the_weights(training: Training, tmp_path: Path) -> None:
    for name in ("detector.json", "detector.onnx"):
        shutil.copy(training.fold / name, tmp_path)
    assert DetectorRecord.read(tmp_path) == DetectorRecord.read(training.fold)
    (tmp_path / "detector.onnx").unlink()
    with pytest.raises(ConfigurationError, match="PE-DET-006"):
        DetectorRecord.read(tmp_path)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"format": 2}, "PE-DET-006"),
        ({"classes": ["embolus"]}, "PE-DET-006"),
        ({"raster": {}}, "PE-DET-006"),
        ({"facts": {"cases": {"train": 2}}}, "PE-DET-006"),
        ({"sha256": {"a" * 400: "0"}}, "PE-DET-006"),
        ({"sha256": {"../detector.onnx": "0"}}, "PE-DET-006.*named as files"),
        ({"facts": {"cases": {"train": [[]]}}}, "PE-DET-006"),
    ],
)
def test_a_record_of_something_else_is_refused(
    training: Training, tmp_path: Path, change: dict[str, Any], code: str
) -> None:
    values = json.loads((training.fold / "detector.json").read_text()) | change
    (tmp_path / "detector.json").write_text(json.dumps(values))
    with pytest.raises(ConfigurationError, match=code):
        DetectorRecord.read(tmp_path)


def test_no_detector_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"PE-DET-005.*train-detector"):
        DetectorRecord.read(tmp_path)


class Net(torch.nn.Sequential):
    def __init__(self) -> None:
        super().__init__(torch.nn.Linear(2, 3), torch.nn.Linear(3, 4))


def test_training_can_start_from_weights_and_leaves_out_a_head_of_another_shape(tmp_path: Path) -> None:
    state = {"0.weight": torch.ones(3, 2), "0.bias": torch.ones(3), "1.weight": torch.ones(9, 3)}
    torch.save({"state_dict": state}, tmp_path / "w.pt")
    net = Net()
    _start_from(net, tmp_path / "w.pt", trusted=False)
    assert (net[0].weight == 1).all()
    assert not (net[1].weight == 1).any()


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {"other": torch.ones(1)}}, tmp_path / "w.pt")
    with pytest.raises(ConfigurationError, match=r"PE-DET-009.*fits 0 of the 4"):
        _start_from(Net(), tmp_path / "w.pt", trusted=False)


def test_a_checkpoint_that_holds_code_is_not_loaded_unasked(tmp_path: Path) -> None:
    torch.save({"model": Net()}, tmp_path / "pickled.pt")
    with pytest.raises(ConfigurationError, match=r"PE-DET-009.*--trust-weights"):
        _start_from(Net(), tmp_path / "pickled.pt", trusted=False)


def test_every_family_of_architectures_is_there() -> None:
    names = set(architectures())
    assert {"yolo11n", "yolo11x", "yolov8s", "yolov8n-p2", "yolov10m", "yolov9t"} <= names
    assert not [name for name in names if name.endswith(("-seg", "-pose", "-cls", "-obb", "-p6"))]


def test_an_unknown_architecture_is_named_with_those_that_exist() -> None:
    with pytest.raises(ConfigurationError, match=r"PE-DET-002.*yolo99.*yolo11n"):
        find_architecture("yolo99")


@pytest.mark.parametrize("setting", [{"epochs": 0}, {"batch": 0}, {"overrides": {"amp": True}}])
def test_settings_out_of_range_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="PE-DET-003"):
        DetectorSettings(**setting)


@pytest.mark.parametrize("pair", ["lr0", "=1", "lr0="])
def test_an_override_that_is_no_pair_is_refused(pair: str) -> None:
    with pytest.raises(ConfigurationError, match="PE-DET-003"):
        parse_overrides([pair])


def test_without_ultralytics_training_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ultralytics", None)
    with pytest.raises(MissingExtraError, match="PE-DET-001"):
        find_architecture("yolo11n")
    assert main(["train-detector", "-d", "7"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("PE-DET-001: ultralytics, which trains the detector, is not installed; pip install")


def test_only_training_imports_ultralytics(training: Training) -> None:
    assert training.answer["early"] is False
