"""The stock commands, with nothing set but nnU-Net's three variables, and ours behind them."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from pe_nnunet.cli import main

pytestmark = pytest.mark.chain
MODEL = "PETARUNetTrainer__PETARUNetPlans__3d_fullres"


def test_plans_come_from_our_planner(planned):
    plans = json.loads((planned.preprocessed / "PETARUNetPlans.json").read_text())
    assert plans["experiment_planner_used"] == "PETARUNetPlanner"
    for name in ("2d", "3d_fullres"):
        assert plans["configurations"][name]["architecture"]["network_class_name"].endswith("TARUNet")
    splits = json.loads((planned.preprocessed / "splits_final.json").read_text())
    assert splits == json.loads((planned.raw / "splits_final.json").read_text())


def test_training_writes_averaged_weights_recipe_and_validation(trained):
    fold = trained.results / MODEL / "fold_0"
    checkpoint = torch.load(fold / "checkpoint_final.pth", weights_only=False)
    assert checkpoint["trainer_name"] == "PETARUNetTrainer"
    assert checkpoint["pe_recipe"]["iterations"] == 2
    assert checkpoint["pe_average_updates"] == 2
    key = next(key for key in checkpoint["network_weights"] if key.endswith("weight"))
    assert not torch.equal(checkpoint["network_weights"][key], checkpoint["pe_trained_weights"][key])
    assert (fold / "validation" / "summary.json").is_file()
    assert list((fold / "validation").glob("*.npz"))


def test_stock_predict(trained, stock_predicted):
    (written,) = stock_predicted.glob("*.nii.gz")
    source = trained.raw / "imagesTr" / written.name.replace(".nii.gz", "_0000.nii.gz")
    assert sitk.ReadImage(str(written)).GetSize() == sitk.ReadImage(str(source)).GetSize()


def test_wheel_trains_in_2d_and_best_configuration_is_found(trained_2d):
    assert (trained_2d.results / "PETARUNetTrainer__PETARUNetPlans__2d" / "fold_0" / "checkpoint_final.pth").is_file()
    trained_2d.run(
        *("nnUNetv2_find_best_configuration", "501", "-c", "2d", "3d_fullres", "-f", "0", "-np", "1"),
        *("-tr", "PETARUNetTrainer", "-p", "PETARUNetPlans"),
    )
    best = json.loads((trained_2d.results / "inference_information.json").read_text())
    assert len(best["considered_models"]) == 2


def test_stock_plans_train_our_network_and_continue_from_a_checkpoint(planned, train):
    planned.run(
        *("nnUNetv2_plan_experiment", "-d", "501", "-pl", "ExperimentPlanner", "-gpu_memory_target", "1"),
    )
    planned.run("nnUNetv2_preprocess", "-d", "501", "-plans_name", "nnUNetPlans", "-c", "3d_fullres", "-np", "1")
    train(planned, "3d_fullres", "nnUNetPlans")
    fold = planned.results / "PETARUNetTrainer__nnUNetPlans__3d_fullres" / "fold_0"
    checkpoint = torch.load(fold / "checkpoint_final.pth", weights_only=False)
    plans = json.loads((planned.preprocessed / "nnUNetPlans.json").read_text())
    stages = plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]["n_stages"]
    heads = [key for key in checkpoint["network_weights"] if key.startswith("decoder.seg_layers") and "weight" in key]
    assert len(heads) == stages - 1


@pytest.fixture(scope="session")
def predicted(trained, tmp_path_factory):
    """Our command on a DICOM folder and a NIfTI file, the one with axes turned."""
    folder = tmp_path_factory.mktemp("predicted")
    scans = folder / "in"
    shutil.copytree(trained.scans / "phantom_002" / "ct", scans / "dicom study")
    turned = sitk.DICOMOrient(sitk.ReadImage(str(trained.scans / "phantom_001" / "ct.nii.gz")), "SAR")
    sitk.WriteImage(turned, str(scans / "turned.nrrd"))
    (scans / "broken.nii.gz").write_text("no image")
    done = trained.run(
        *("pe-nnunet-predict-fused", "-i", scans, "-o", folder / "out", "-d", "501", "-f", "0", "-device", "cpu"),
        *("--save-probability", "--threshold", "0.05", "--on-no-lungs", "full-volume"),
        code=3,
    )
    return folder, done


def test_predict_fused_writes_everything_on_the_input_grid(predicted):
    folder, done = predicted
    out = folder / "out"
    for case, image in (("dicom-study", None), ("turned", folder / "in" / "turned.nrrd")):
        names = {path.name for path in out.glob(f"{case}*")}
        expected = {".nii.gz", ".json", ".png", "_emboli.csv", "_probability.nii.gz", "_report.html"}
        if image is None:
            emboli = int(sitk.GetArrayFromImage(sitk.ReadImage(str(out / f"{case}.nii.gz"))).max())
            expected |= {"_sr.dcm", *(f"_key_{number:02d}.dcm" for number in range(1, min(emboli, 8) + 1))}
            expected |= {"_seg.dcm"} if emboli else set()
        assert names == {case + ending for ending in expected}
        probability = sitk.ReadImage(str(out / f"{case}_probability.nii.gz"))
        if image is not None:
            given = sitk.ReadImage(str(image))
            assert probability.GetSize() == given.GetSize()
            np.testing.assert_allclose(probability.GetDirection(), given.GetDirection(), atol=1e-6)
            np.testing.assert_allclose(probability.GetOrigin(), given.GetOrigin(), atol=1e-3)
        array = sitk.GetArrayFromImage(probability)
        assert array.min() >= 0
        assert 0 < array.max() <= 1
    with (out / "summary.csv").open() as file:
        assert {row["case"] for row in csv.DictReader(file)} == {"dicom-study", "turned"}
    (error,) = json.loads((out / "errors.json").read_text())
    assert error["case"] == "broken"
    assert "no detector" in done.stdout


def test_predict_fused_equals_stock_on_the_same_region(trained, predicted, stock_predicted):
    """Stock predicts the crop that conversion made; ours finds the crop itself on the whole scan."""
    stock = np.load(stock_predicted / "phantom_001.npz")["probabilities"][1]
    folder, _ = predicted
    ours = sitk.DICOMOrient(sitk.ReadImage(str(folder / "out" / "turned_probability.nii.gz")), "LPS")
    crop = sitk.ReadImage(str(trained.raw / "imagesTr" / "phantom_001_0000.nii.gz"))
    same = sitk.GetArrayFromImage(sitk.Resample(ours, crop, sitk.Transform(), sitk.sitkNearestNeighbor))
    assert same.shape == stock.shape
    hull = same > 0  # outside the lungs' convex hull ours is zero
    assert 0.3 < hull.mean() < 1
    assert float(np.abs(same - stock)[hull].mean()) < 1e-3


def assert_one_line(error, code):
    assert error.startswith(code)
    assert len(error.strip().splitlines()) == 1


def test_predict_fused_says_which_fold_is_missing_and_writes_nothing(trained, tmp_path):
    done = trained.run(
        *("pe-nnunet", "predict-fused", "-i", trained.scans / "phantom_001" / "ct.nii.gz", "-o", tmp_path / "out"),
        *("-d", "501", "-f", "0", "3"),
        code=2,
    )
    assert_one_line(done.stderr, "PE-MODEL-002")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("-d", "777"), "PE-ENV-002"), (("-d", "501", "-tr", "PEOtherTrainer"), "PE-MODEL-001"), ((), "PE-MODEL-001")],
)
def test_predict_fused_says_what_is_missing_and_writes_nothing(trained, tmp_path, monkeypatch, capfd, arguments, code):
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        monkeypatch.setenv(name, trained.environment[name])
    scan = trained.scans / "phantom_001" / "ct.nii.gz"
    assert main(["predict-fused", "-i", str(scan), "-o", str(tmp_path / "out"), *arguments]) == 2
    assert_one_line(capfd.readouterr().err, code)
    assert not (tmp_path / "out").exists()


def test_run_and_plain_commands_where_registration_is_switched_off(planned):
    command = ("nnUNetv2_plan_experiment", "-d", "501", "-pl", "PETARUNetPlanner", "-overwrite_plans_name", "Other")
    switched_off = {"PE_NNUNET_REGISTER": "0", "TORCH_DEVICE_BACKEND_AUTOLOAD": "0"}
    done = planned.run(*command, code=1, **switched_off)
    assert "'NoneType' object is not callable" in done.stderr  # stock nnU-Net's way to say: no such planner
    assert not (planned.preprocessed / "Other.json").exists()
    planned.run("pe-nnunet", "run", *command, **switched_off)
    assert (planned.preprocessed / "Other.json").is_file()
