"""`fusion.json`, and which settings a prediction takes from it."""

import json

import pytest

from pe_nnunet.calibration.results import write_fusion
from pe_nnunet.calibration.search import Calibration, DetectionTest, OperatingPoint
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.fusion import FusionSettings
from pe_nnunet.fusion.stored import OperatingPoints, choose_settings, find_fusion, read_fusion


def choice(**settings):
    return OperatingPoint(FusionSettings(**settings), 0.75, 1.5, 0.6, 3, 4)


@pytest.fixture
def folder(tmp_path):
    found = Calibration(
        2.0,
        OperatingPoints(choice(threshold=0.4), {1.0: choice(threshold=0.9)}),
        OperatingPoints(
            choice(threshold=0.3, seed_threshold=0.7, min_volume_mm3=20, box_weight=1.0),
            {1.0: choice(threshold=0.8), 4.0: choice(threshold=0.2, min_volume_mm3=0)},
        ),
        OperatingPoint(FusionSettings(box_confidence=0.35), 0.5, 1.0, 0.5, 2, 4),
        DetectionTest(0.1, 0.99, True),
    )
    (tmp_path / "A__P__3d").mkdir()
    write_fusion(tmp_path / "A__P__3d", found, ["A__P__3d"], {"scans": ["x"], "folds": ["0"]})
    return tmp_path / "A__P__3d"


def test_round_trip(folder):
    stored = read_fusion(folder / "fusion.json")
    assert stored.fusion.chosen == FusionSettings(0.3, 0.7, min_volume_mm3=20, box_weight=1.0)
    assert stored.segmentation.chosen == FusionSettings(0.4)
    assert stored.boxes_confidence == 0.35
    content = json.loads((folder / "fusion.json").read_text())
    assert content["objective"] == "sensitivity at 2 false positives a scan"
    assert content["chosen_on"]["scans"] == ["x"]
    assert (content["fusion"]["found"], content["fusion"]["emboli"]) == (3, 4)
    assert list(content["boxes"]) == ["confidence", "sensitivity", "false_positives_per_scan", "f1", "found", "emboli"]


@pytest.mark.parametrize(("target", "threshold"), [(None, 0.3), (1.0, 0.8), (3.9, 0.8), (4.0, 0.2), (100.0, 0.2)])
def test_budgets(folder, target, threshold):
    assert read_fusion(folder / "fusion.json").at(target, detector=True).threshold == threshold


def test_a_budget_below_all(folder):
    with pytest.raises(ConfigurationError, match=r"PE-FUS-001.*there: 1, 4"):
        read_fusion(folder / "fusion.json").at(0.5, detector=True)


def test_prediction_takes_it_and_a_person_overrules_it(folder):
    settings, notes = choose_settings([folder], detector=True)
    assert (settings.threshold, settings.seed, settings.box_weight, notes) == (0.3, 0.7, 1.0, ())
    settings, _ = choose_settings([folder], detector=True, threshold=0.6, nms_mm=None)
    assert (settings.threshold, settings.seed, settings.min_volume_mm3) == (0.6, 0.6, 20)
    settings, _ = choose_settings([folder], target_fp=4, detector=True, min_volume_mm3=7)
    assert (settings.threshold, settings.min_volume_mm3) == (0.2, 7)
    assert choose_settings([folder], threshold=0.02)[0].candidate_threshold == 0.02


def test_without_the_detector_the_settings_are_those_chosen_without_it(folder):
    assert choose_settings([folder]) == (FusionSettings(0.4), ())
    assert choose_settings([folder], target_fp=4)[0].threshold == 0.9


def test_another_ensemble_takes_the_defaults_and_this_is_said(folder, tmp_path):
    (tmp_path / "B").mkdir()
    settings, (note,) = choose_settings([folder, tmp_path / "B"])
    assert settings == FusionSettings()
    assert note.code == "PE-FUS-005"
    assert find_fusion([tmp_path / "B"]) == (None, None)
    with pytest.raises(ConfigurationError, match="PE-FUS-004"):
        choose_settings([tmp_path / "B"], target_fp=2.0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"format": 1}',
        '{"format": 2, "segmentation": {"settings": {"threshold": 0.5, "magic": 1}, "budgets": []}, "fusion": null,'
        ' "boxes": null, "ensemble": []}',
        '{"format": 2, "segmentation": {"settings": {"threshold": "x"}, "budgets": []}, "fusion": null,'
        ' "boxes": null, "ensemble": []}',
    ],
)
def test_damaged_files_have_a_code(tmp_path, text):
    (tmp_path / "fusion.json").write_text(text)
    with pytest.raises(ConfigurationError, match="PE-FUS-004"):
        choose_settings([tmp_path])


def test_impossible_numbers_in_it_have_a_code(folder):
    content = json.loads((folder / "fusion.json").read_text())
    content["segmentation"]["settings"]["threshold"] = 3
    (folder / "fusion.json").write_text(json.dumps(content))
    with pytest.raises(ConfigurationError, match="PE-FUS-001"):
        choose_settings([folder])


def test_a_detector_without_weights_is_said_and_weights_can_be_given(folder, tmp_path):
    (tmp_path / "B").mkdir()
    settings, (note,) = choose_settings([tmp_path / "B"], detector=True)
    assert (settings.uses_detection, note.code) == (False, "PE-FUS-007")
    settings, notes = choose_settings([tmp_path / "B"], detector=True, box_weight=0.5)
    assert (settings.box_weight, notes) == (0.5, ())
    settings, (note,) = choose_settings([folder], detector=True, target_fp=4)
    assert note.code == "PE-FUS-007"
