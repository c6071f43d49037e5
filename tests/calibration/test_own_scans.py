"""`calibrate --scans`: on labelled scans of one's own, for models that were trained elsewhere."""

import json
import os

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from pe_nnunet import PEPredictor
from pe_nnunet.calibration.counts import Grid
from pe_nnunet.calibration.own_scans import OwnScans, calibrate_on_scans
from pe_nnunet.cli import main
from pe_nnunet.dataset.training_split import TrainingSplit
from pe_nnunet.evaluation.prediction_pairing import find_labels
from pe_nnunet.fusion.choice import choose_settings
from pe_nnunet.fusion.stored import read_fusion
from pe_nnunet.inference.locate import locate_folder
from pe_nnunet.inference.model import weights_of
from pe_nnunet.inference.settings import InferenceSettings
from pe_nnunet.volumes import find_scans
from pe_nnunet.volumes.files.volume_file import scan_sha256

A, B = "A__P__3d_fullres", "B__P__3d_fullres"


@pytest.fixture
def place(tmp_path, monkeypatch, model_folder, thorax):
    """Two models of constant outputs, one of two folds; four scans, of which three have a label with two emboli."""
    for name in ("raw", "preprocessed", "results"):
        monkeypatch.delenv(f"nnUNet_{name}", raising=False)
    model_folder(A, folds=(0, 1), log_odds=(-2.0, -3.0))
    model_folder(B, folds=(0,), log_odds=(2.0,))
    truth = np.zeros(thorax.GetSize()[::-1], np.uint8)
    truth[26:31, 28:33, 23:28], truth[26:31, 28:33, 50:55] = 1, 2
    label = sitk.GetImageFromArray(truth)
    label.CopyInformation(thorax)
    for folder in ("scans", "labels", "labels/c"):
        (tmp_path / folder).mkdir()
    for number, case in enumerate("abcd"):
        sitk.WriteImage(thorax + number, str(tmp_path / "scans" / f"{case}.nii.gz"))
    for name in ("a.nii.gz", "b.nrrd", "c/emboli.nii.gz"):
        sitk.WriteImage(label, str(tmp_path / "labels" / name))
    return tmp_path


def command(place, *more):
    models = [str(place / "results" / "Dataset501_PE" / name) for name in (A, B)]
    quick = ["-device", "cpu", "--disable_tta", "-step_size", "1", "--case-timeout", "0"]
    grid = ["--thresholds", "0.3", "0.7", "--min-embolus-mm3", "0"]
    return [
        "calibrate",
        "-m",
        *models,
        "--scans",
        str(place / "scans"),
        "--labels",
        str(place / "labels"),
        *more,
        *quick,
        *grid,
    ]


def test_models_from_elsewhere_are_calibrated_and_prediction_is_told_to_use_it(place, capsys):
    """A says 0.08 everywhere, B 0.88, and the mean of all three folds 0.35: one finding that joins both emboli."""
    path = place / "out" / "mine.json"
    assert main(command(place, "-o", str(path))) == 3  # d has no label
    told = capsys.readouterr()
    assert "PE-LBL-001" in told.err
    assert f"PE-EVAL-013 warning: fold 0 1 of {A}" in told.out  # of the models nobody knows what they have seen
    assert "the mean is taken" in told.out
    assert "highest F1 of emboli on 3 scans with 6 emboli:\n    threshold 0.3, seed 0.3" in told.out
    assert "3 of 6 emboli, 0.00 false positives a scan, F1 0.67" in told.out
    assert not (place / "results" / "Dataset501_PE" / A / "fusion.json").exists()
    stored = read_fusion(path)
    assert stored.model_weights == pytest.approx({A: 2 / 3, B: 1 / 3})
    content = json.loads(path.read_text())
    assert content["chosen_on"]["scans"] == ["a", "b", "c"]
    assert content["chosen_on"]["left_out"] == [{"case": "d", "code": "PE-LBL-001"}]
    assert content["cross_validated"]["patients"] == 3
    assert content["cross_validated"]["f1"] == pytest.approx(2 / 3, abs=1e-6)
    assert content["weight_choice"]["each_alone"][A]["found"] == 0
    assert content["weight_choice"]["alone"]["weights"] == {A: 0.0, B: 1.0}

    folders = [place / "results" / "Dataset501_PE" / name for name in (A, B)]
    locations = [locate_folder(folder, None) for folder in folders]
    choice = choose_settings(folders, weights_of(locations), file=path)
    assert (choice.settings.threshold, choice.source, choice.notes) == (0.3, "mine.json", ())
    predictor = PEPredictor(locations, device="cpu", fusion=choice)
    assert predictor.ensemble.weights == pytest.approx((2 / 3, 1 / 3))
    predict = ["predict-fused", "-i", str(place / "scans"), "-o", str(place / "predicted"), "-device", "cpu", "-m"]
    assert main([*predict, str(folders[0]), "--fusion", str(path)]) == 2  # it was chosen for both
    assert "PE-FUS-005" in capsys.readouterr().err


def on_scans(place, **more):
    """As the command, in this process."""
    locations = [locate_folder(place / "results" / "Dataset501_PE" / name, None) for name in (A, B)]
    scans = OwnScans(find_scans(place / "scans"), find_labels(place / "labels"), place / "labels", **more)
    quick = InferenceSettings(mirroring=False, step=1.0)
    return calibrate_on_scans(
        locations, scans, None, Grid((0.3, 0.7), (0.0,), (0.0,)), device="cpu", inference=quick, output=place / "m.json"
    )[1]


def test_a_scan_that_a_model_was_trained_on_is_left_out(place):
    checkpoint = place / "results" / "Dataset501_PE" / B / "fold_0" / "checkpoint_final.pth"
    split = TrainingSplit("Dataset001_X", "0", {"case_7": scan_sha256(place / "scans" / "b.nii.gz")}, {})
    torch.save(torch.load(checkpoint, weights_only=True) | {"pe_split": split.to_plain()}, checkpoint)
    (place / "scans" / "d.nii.gz").unlink()
    (failed,) = on_scans(place, patients={"a": "p", "c": "p"})
    assert (failed.case_id, failed.code) == ("b", "PE-EVAL-012")
    assert "the same scan as case_7" in failed.message
    content = json.loads((place / "m.json").read_text())
    assert content["chosen_on"]["scans"] == ["a", "c"]
    assert content["cross_validated"] is None  # both are of one patient


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (("--from", "npz"), "PE-MODEL-007"),
        (("--check", "x", "--check-labels", "y"), "PE-MODEL-007"),
        (("-o", "results"), "PE-OUT-001"),
        (("-m", "results/Dataset501_PE/A__P__3d_fullres", "copy/A__P__3d_fullres"), "PE-FUS-023"),
        (("--labels", "none"), "PE-IN-002"),
        (("--patients", "none.csv"), "PE-IN-002"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_predicted(place, capsys, monkeypatch, more, code):
    monkeypatch.chdir(place)
    (place / "copy").symlink_to(place / "results" / "Dataset501_PE")
    monkeypatch.setattr("pe_nnunet.calibration.own_scans.load_model", None)
    assert main(command(place, *more)) == 2
    assert code in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="folders are writable to all")
def test_a_read_only_model_folder_is_known_before_anything_is_predicted(place, capsys, monkeypatch):
    folder = place / "results" / "Dataset501_PE" / A
    folder.chmod(0o555)
    monkeypatch.setattr("pe_nnunet.calibration.own_scans.load_model", None)
    assert main(command(place)) == 2
    assert "--output" in capsys.readouterr().err


def test_scans_without_labels_and_the_other_way_round(place, capsys):
    assert main([*command(place)[:6], "-device", "cpu"]) == 2
    assert "--scans and --labels belong together" in capsys.readouterr().err
