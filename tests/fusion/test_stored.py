"""`fusion.json`, and which settings a prediction takes from it."""

import json
from hashlib import sha256

import pytest

from pe_nnunet.calibration.ensemble_calibration import EnsembleCalibration
from pe_nnunet.calibration.results import write_fusion
from pe_nnunet.calibration.search import Calibration, DetectionTest, OperatingPoint
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.fusion import FusionSettings
from pe_nnunet.fusion.choice import FusionChoice, choose_settings
from pe_nnunet.fusion.stored import OperatingPoints, read_fusion
from pe_nnunet.fusion.weights import Weights

A, FINAL = "A__P__3d", "checkpoint_final.pth"
CHOSEN_ON = {
    "scans": ["x"],
    "folds": ["0", "1"],
    "models": [{"model": A, "dataset": "D", "fold": fold, "checkpoint": FINAL, "sha256": fold * 64} for fold in "01"],
    "detector": [{"fold": fold, "sha256": {"detector.onnx": "d" + fold}} for fold in "01"],
}
ALONE = Weights({(A, fold): (FINAL, fold * 64) for fold in "01"})
WITH_BOXES = Weights(ALONE.models, {"fold 0": "d0", "fold 1": "d1"})
NONE = Weights({})


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
    write_fusion(tmp_path / A / "fusion.json", EnsembleCalibration((A,), (1.0,), found, None), CHOSEN_ON)
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
    chosen = choose_settings([folder], WITH_BOXES)
    settings = chosen.settings
    assert (settings.threshold, settings.seed, settings.box_weight, chosen.notes) == (0.3, 0.7, 1.0, ())
    assert chosen.source == A
    assert chosen.source_sha256 == sha256((folder / "fusion.json").read_bytes()).hexdigest()
    settings = choose_settings([folder], WITH_BOXES, threshold=0.6, nms_mm=None).settings
    assert (settings.threshold, settings.seed, settings.min_volume_mm3) == (0.6, 0.6, 20)
    settings = choose_settings([folder], WITH_BOXES, target_fp=4, min_volume_mm3=7).settings
    assert (settings.threshold, settings.min_volume_mm3) == (0.2, 7)
    assert choose_settings([folder], ALONE, threshold=0.02).settings.candidate_threshold == 0.02


def test_without_the_detector_the_settings_are_those_chosen_without_it(folder):
    chosen = choose_settings([folder], ALONE)
    assert (chosen.settings, chosen.notes) == (FusionSettings(0.4), ())
    assert choose_settings([folder], ALONE, target_fp=4).settings.threshold == 0.9


def test_another_ensemble_takes_the_defaults_and_this_is_said(folder, tmp_path):
    (tmp_path / "B").mkdir()
    chosen = choose_settings([folder, tmp_path / "B"], ALONE)
    assert (chosen.settings, chosen.source) == (FusionSettings(), "defaults")
    assert [note.code for note in chosen.notes] == ["PE-FUS-005"]
    assert choose_settings([tmp_path / "B"], NONE) == FusionChoice(FusionSettings())
    with pytest.raises(ConfigurationError, match="PE-FUS-004"):
        choose_settings([tmp_path / "B"], NONE, target_fp=2.0)


STALE = {
    "trained again": (Weights({(A, "0"): (FINAL, "9")}), "fold 0 of A__P__3d was trained again"),
    "another fold": (
        Weights({**ALONE.models, (A, "2"): (FINAL, "2" * 64)}),
        "fold 2 of A__P__3d instead of 0 1",
    ),
    "a copy of another fold": (
        Weights({(A, "0"): (FINAL, "0" * 64), (A, "1"): (FINAL, "0" * 64)}),
        "fold 1 of A__P__3d holds the weights of fold 0 of A__P__3d",
    ),
    "a copy alone": (
        Weights({(A, "1"): (FINAL, "0" * 64)}),
        "fold 1 of A__P__3d holds the weights of fold 0 of A__P__3d",
    ),
    "a copy beside its fold": (
        Weights({**ALONE.models, (A, "2"): (FINAL, "1" * 64)}),
        "fold 2 of A__P__3d holds the weights of fold 1 of A__P__3d",
    ),
    "a detector's fold copied": (Weights(ALONE.models, {"fold 0": "d0", "fold 1": "d0"}), "another detector, fold 1"),
    "another checkpoint": (
        Weights({(A, "1"): ("checkpoint_best.pth", "9")}),
        "checkpoint_best.pth of fold 1 of A__P__3d instead of checkpoint_final.pth",
    ),
    "another detector": (Weights(ALONE.models, {"fold 0": "d0", "fold 1": "e"}), "another detector, fold 1"),
}


@pytest.mark.parametrize("what", STALE)
def test_other_weights_or_folds_take_the_defaults_unless_a_person_accepts(folder, what):
    weights, text = STALE[what]
    chosen = choose_settings([folder], weights)
    assert chosen.settings == FusionSettings()
    assert (chosen.notes[0].code, chosen.source) == ("PE-FUS-008", "defaults")
    assert f"({text}); the defaults count" in chosen.notes[0].message
    with pytest.raises(ConfigurationError, match=r"PE-FUS-004.*was chosen for other weights"):
        choose_settings([folder], weights, target_fp=4)
    accepted = choose_settings([folder], weights, accept=True)
    assert accepted.settings.threshold == (0.3 if weights.detector else 0.4)
    assert (accepted.notes[0].code, accepted.source) == ("PE-FUS-008", A)
    assert accepted.notes[0].message.endswith("it is used nevertheless")


@pytest.mark.parametrize(
    "weights",
    [
        Weights({(A, "1"): (FINAL, "1" * 64)}),
        Weights({("renamed", "5"): ("copy.pth", "1" * 64)}),
        Weights(ALONE.models, {"fold 0": "d0"}),
    ],
)
def test_some_of_the_folds_are_what_it_was_chosen_on(folder, weights):
    chosen = choose_settings([folder], weights)
    assert (chosen.notes, chosen.source) == ((), A)


@pytest.mark.parametrize("chosen_on", [None, {}, {"folds": ["0"]}, {"models": []}, {"models": [{"model": A}]}])
def test_a_file_without_hashes_is_used_and_this_is_said(folder, chosen_on):
    content = json.loads((folder / "fusion.json").read_text())
    content["chosen_on"] = chosen_on
    (folder / "fusion.json").write_text(json.dumps(content))
    chosen = choose_settings([folder], ALONE)
    assert chosen.settings == FusionSettings(0.4)
    assert [note.code for note in chosen.notes] == ["PE-FUS-009"]


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
        choose_settings([tmp_path], NONE)


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ('"threshold": 0.4', '"threshold": 3', "threshold is 3.0"),
        ('"threshold": 0.4', '"threshold": NaN', "it holds NaN, which is no number"),
        ('"threshold": 0.8', '"threshold": 0', "threshold is 0.0"),
        ('"threshold": 0.4', '"threshold": 0.01', "candidate threshold 0.05, threshold 0.01"),
        ('"min_volume_mm3": 20', '"min_volume_mm3": Infinity', "it holds Infinity, which is no number"),
        ('"confidence": 0.35', '"confidence": NaN', "it holds NaN, which is no number"),
        ('"target_fp": 4.0', '"target_fp": NaN', "it holds NaN, which is no number"),
        ('"target_fp": 4.0', '"target_fp": -1', "target_fp is -1.0"),
    ],
)
def test_impossible_numbers_in_it_have_a_code_and_the_file(folder, old, new, text):
    content = json.dumps(json.loads((folder / "fusion.json").read_text()))
    assert old in content
    (folder / "fusion.json").write_text(content.replace(old, new))
    with pytest.raises(ConfigurationError, match=rf"PE-FUS-004: .*fusion.json holds .*: {text}"):
        choose_settings([folder], ALONE)


def test_a_detector_without_weights_is_said_and_weights_can_be_given(folder, tmp_path):
    (tmp_path / "B").mkdir()
    chosen = choose_settings([tmp_path / "B"], WITH_BOXES)
    assert (chosen.settings.uses_detection, [note.code for note in chosen.notes]) == (False, ["PE-FUS-007"])
    chosen = choose_settings([tmp_path / "B"], WITH_BOXES, box_weight=0.5)
    assert (chosen.settings.box_weight, chosen.notes) == (0.5, ())
    chosen = choose_settings([folder], WITH_BOXES, target_fp=4)
    assert [note.code for note in chosen.notes] == ["PE-FUS-007"]


B = "B__P__3d"
BOTH = Weights({**ALONE.models, (B, "0"): (FINAL, "b" * 64)})


@pytest.fixture
def two(tmp_path):
    """A calibration of two models of weights 0.7 and 0.3."""
    found = Calibration(None, OperatingPoints(choice(threshold=0.4)))
    models = [*CHOSEN_ON["models"], {"model": B, "dataset": "D", "fold": "0", "checkpoint": FINAL, "sha256": "b" * 64}]
    for name in (A, B):
        (tmp_path / name).mkdir()
    chosen = EnsembleCalibration((B, A), (0.3, 0.7), found, None)
    write_fusion(tmp_path / A / "fusion.json", chosen, {"models": models})
    return [tmp_path / A, tmp_path / B]


def test_calibrated_weights_follow_the_models_in_whatever_order_they_are_named(two):
    assert choose_settings(two, BOTH).model_weights == (0.7, 0.3)
    assert choose_settings(two[::-1], BOTH).model_weights == (0.3, 0.7)
    assert choose_settings(two[:1], ALONE).model_weights is None  # PE-FUS-005: of other models
    assert choose_settings(two[1:], NONE).model_weights is None


def test_weights_by_hand_overrule_the_calibrated_and_this_is_said(two):
    assert choose_settings(two, BOTH, model_weights=(7, 3)).notes == ()
    chosen = choose_settings(two, BOTH, model_weights=(0, 4))
    assert (chosen.model_weights, chosen.settings.threshold) == ((0, 1), 0.4)
    assert [note.code for note in chosen.notes] == ["PE-FUS-022", "PE-FUS-021"]
    assert f"({A} 0.7, {B} 0.3)" in chosen.notes[0].message
    with pytest.raises(ConfigurationError, match=r"PE-FUS-020.*1 weights for 2 models"):
        choose_settings(two, BOTH, model_weights=(1,))


def test_files_of_the_format_before_hold_the_mean_of_all_folds(two):
    content = json.loads((two[0] / "fusion.json").read_text())
    del content["model_weights"]
    (two[0] / "fusion.json").write_text(json.dumps(content | {"format": 2}))
    chosen = choose_settings(two, BOTH)
    assert (chosen.model_weights, chosen.settings.threshold, chosen.notes) == (None, 0.4, ())
    assert choose_settings(two, BOTH, model_weights=(2, 1)).notes == ()  # the mean: A has two folds, and B one
    (note,) = choose_settings(two, BOTH, model_weights=(1, 1)).notes
    assert (note.code, "for other weights (the mean)" in note.message) == ("PE-FUS-022", True)
    (two[0] / "fusion.json").write_text(json.dumps(content))
    with pytest.raises(ConfigurationError, match="PE-FUS-004"):
        choose_settings(two, BOTH)


@pytest.mark.parametrize(
    "weights", [{A: 1.0}, {A: -1.0, B: 2.0}, {A: 0.0, B: 0.0}, {A: "x", B: 1.0}, {A: 1.0, "C": 1.0}, [0.5, 0.5], None]
)
def test_impossible_weights_of_a_file_have_a_code(two, weights):
    content = json.loads((two[0] / "fusion.json").read_text())
    (two[0] / "fusion.json").write_text(json.dumps(content | {"model_weights": weights}))
    with pytest.raises(ConfigurationError, match=r"PE-FUS-004.*fusion.json"):
        choose_settings(two, BOTH)


def test_a_file_that_is_named_is_used_or_refused(two, tmp_path):
    file = tmp_path / "elsewhere.json"
    (two[0] / "fusion.json").rename(file)
    assert choose_settings(two, BOTH).source == "defaults"
    chosen = choose_settings(two, BOTH, file=file)
    assert (chosen.source, chosen.model_weights, chosen.settings.threshold) == ("elsewhere.json", (0.7, 0.3), 0.4)
    assert chosen.source_sha256 == sha256(file.read_bytes()).hexdigest()
    with pytest.raises(ConfigurationError, match="PE-FUS-005"):
        choose_settings(two[:1], ALONE, file=file)
    again = Weights({**BOTH.models, (B, "0"): (FINAL, "c" * 64)})
    with pytest.raises(ConfigurationError, match=r"PE-FUS-008.*--accept-calibration"):
        choose_settings(two, again, file=file)
    assert choose_settings(two, again, file=file, accept=True).model_weights == (0.7, 0.3)
    with pytest.raises(ConfigurationError, match=r"PE-FUS-004.*none.json"):
        choose_settings(two, BOTH, file=tmp_path / "none.json")
