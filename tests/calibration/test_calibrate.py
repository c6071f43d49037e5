"""The command on a tiny dataset with two folds and a known best choice."""

import json
import shutil
from hashlib import sha256
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from pe_nnunet.calibration import calibrate_models as module
from pe_nnunet.calibration import predict_members as prediction
from pe_nnunet.calibration.fold_shift import measure_shift
from pe_nnunet.calibration.further_scans import read_further_scans
from pe_nnunet.cli import main
from pe_nnunet.dataset.folders import RAW, nnunet_folder
from pe_nnunet.detection import Detections, SliceBox, Tube
from pe_nnunet.fusion import FusionSettings
from pe_nnunet.fusion.stored import read_fusion
from pe_nnunet.inference import PEPredictor
from pe_nnunet.inference.locate import locate_folder
from pe_nnunet.voxels import Box

CASES = ("a", "b", "c", "d")


@pytest.fixture
def dataset(tmp_path, monkeypatch, thorax, model_folder):
    """Four scans with two clots; fold 0 was validated on a and b, fold 1 on c and d."""
    folders = {name: tmp_path / name for name in ("raw", "preprocessed", "results")}
    for name, folder in folders.items():
        monkeypatch.setenv(f"nnUNet_{name}", str(folder))
        (folder / "Dataset501_PE").mkdir(parents=True)
    raw = folders["raw"] / "Dataset501_PE"
    model = model_folder("PETARUNetTrainer__PETARUNetPlans__3d_fullres", folds=(0, 1), log_odds=(-1.0, -0.5))
    splits = [{"train": ["c", "d"], "val": ["a", "b"]}, {"train": ["a", "b"], "val": ["c", "d"]}]
    (folders["preprocessed"] / "Dataset501_PE" / "splits_final.json").write_text(json.dumps(splits))
    clots = np.abs(sitk.GetArrayFromImage(thorax) - 40) < 60
    z, y, x = np.indices(clots.shape)
    truth = np.zeros(clots.shape, np.uint8)
    for centre in (25, 52):
        truth[(np.abs(z - 28) < 3) & (np.abs(y - 30) < 3) & (np.abs(x - centre) < 3)] = 1
    for folder in ("imagesTr", "labelsTr"):
        (raw / folder).mkdir()
    for case in CASES:
        sitk.WriteImage(thorax, str(raw / "imagesTr" / f"{case}_0000.nii.gz"))
        label = sitk.GetImageFromArray(truth)
        label.CopyInformation(thorax)
        sitk.WriteImage(label, str(raw / "labelsTr" / f"{case}.nii.gz"))
        fold = model / f"fold_{int(case in 'cd')}" / "validation"
        fold.mkdir(exist_ok=True)
        mask = truth.copy()
        mask[10, 10, 5 : 5 + CASES.index(case)] = 1  # a false finding of 0, 64, 128, 192 mm3
        image = sitk.GetImageFromArray(mask)
        image.CopyInformation(thorax)
        sitk.WriteImage(image, str(fold / f"{case}.nii.gz"))
    return model


def test_masks_of_training_choose_the_smallest_volume_and_prediction_uses_it(dataset, capsys, thorax):
    arguments = [
        "calibrate",
        "-d",
        "501",
        "--from",
        "masks",
        "--target-fp",
        "0.5",
        "--min-embolus-mm3",
        "50",
        "100",
        "200",
    ]
    assert main(arguments) == 0
    assert "8 of 8 emboli, 0.50 false positives a scan" in capsys.readouterr().out
    stored = read_fusion(dataset / "fusion.json")
    assert stored.segmentation.chosen.min_volume_mm3 == 100
    described = json.loads((dataset / "fusion.json").read_text())["chosen_on"]
    assert described["scans"] == list(CASES)
    assert [model["fold"] for model in described["models"]] == ["0", "1"]
    assert PEPredictor([dataset], device="cpu").fusion.min_volume_mm3 == 100
    assert PEPredictor([locate_folder(dataset, ["0"])], device="cpu").fusion == stored.segmentation.chosen


MASKS = ["calibrate", "-d", "501", "--from", "masks", "--min-embolus-mm3", "50", "100"]


def test_prediction_does_not_use_what_was_chosen_for_other_weights(dataset, capsys, thorax, tmp_path):
    assert main(MASKS) == 0
    stored = read_fusion(dataset / "fusion.json").segmentation.chosen
    sitk.WriteImage(thorax, str(tmp_path / "scan.nii.gz"))
    command = ["predict-fused", "-i", str(tmp_path / "scan.nii.gz"), "-d", "501", "-device", "cpu", "--disable_tta"]
    command += ["-step_size", "1", "-o"]

    def predicted(name, *more):
        capsys.readouterr()
        assert main([*command, str(tmp_path / name), *more]) == 0
        manifest = json.loads((tmp_path / name / "scan.json").read_text())
        codes = [note["code"] for note in manifest["notes"] if note["code"].startswith("PE-FUS")]
        return capsys.readouterr().out, codes, manifest["arguments"], manifest["settings"]["min_volume_mm3"]

    told, codes, arguments, volume = predicted("fresh")
    assert ("PE-FUS" in told, codes, volume) == (False, [], 100)
    assert arguments["fusion_from"] == dataset.name
    assert arguments["fusion_sha256"] == sha256((dataset / "fusion.json").read_bytes()).hexdigest()

    path = dataset / "fold_1" / "checkpoint_final.pth"
    torch.save(torch.load(path, weights_only=True) | {"current_epoch": 9}, path)  # as after another training
    told, codes, arguments, volume = predicted("stale")
    assert told.count("PE-FUS-008") == 1
    assert f"fold 1 of {dataset.name} was trained again" in told
    assert (codes, volume) == (["PE-FUS-008"], FusionSettings().min_volume_mm3)
    assert (arguments["fusion_from"], arguments["fusion_sha256"]) == ("defaults", "")
    predictor = PEPredictor([dataset], device="cpu")
    assert (predictor.fusion, predictor.choice.notes[0].code) == (FusionSettings(), "PE-FUS-008")
    assert PEPredictor([locate_folder(dataset, ["0"])], device="cpu").fusion == stored

    told, codes, arguments, volume = predicted("accepted", "--accept-calibration")
    assert (codes, volume, arguments["fusion_from"]) == (["PE-FUS-008"], 100, dataset.name)
    assert "it is used nevertheless" in told
    assert main([*command, str(tmp_path / "x"), "--target-fp", "2"]) == 2
    assert "PE-FUS-004" in capsys.readouterr().err


def test_the_probabilities_that_training_left_choose_the_threshold(dataset, capsys):
    """The clots have 0.6, a false finding of 320 mm3 in every scan 0.45; a reader that turns axes gives the same."""
    for path in dataset.glob("fold_*/validation/*.nii.gz"):
        probability = 0.6 * sitk.GetArrayFromImage(sitk.ReadImage(str(path))).astype(np.float32)
        probability[10, 10, 5:10] = 0.45
        np.savez_compressed(
            path.with_name(f"{path.name[0]}.npz"), probabilities=np.stack([1 - probability, probability])
        )
    command = [
        "calibrate",
        "-d",
        "501",
        "--from",
        "npz",
        "--thresholds",
        "0.4",
        "0.5",
        "0.65",
        "--min-embolus-mm3",
        "0",
    ]
    for reader in ("SimpleITKIO", "SimpleITKIOWithReorient"):
        plans = json.loads((dataset / "plans.json").read_text())
        (dataset / "plans.json").write_text(json.dumps({**plans, "image_reader_writer": reader}))
        if reader != "SimpleITKIO":
            for path in dataset.glob("fold_*/validation/*.npz"):
                maps = np.load(path)["probabilities"][:, :, ::-1, ::-1]  # LPS to RAS
                np.savez_compressed(path, probabilities=maps)
        assert main(command) == 0
        assert "8 of 8 emboli, 0.00 false positives a scan" in capsys.readouterr().out
        assert read_fusion(dataset / "fusion.json").segmentation.chosen.threshold == 0.5
    assert json.loads((dataset / "fusion.json").read_text())["chosen_on"]["source"] == "npz"
    (dataset / "fold_0" / "validation" / "a.npz").unlink()
    assert main(command) == 2
    assert "PE-EVAL-011" in capsys.readouterr().err


def test_a_second_model_that_is_noise_gets_weight_zero_and_is_not_run(dataset, model_folder, capsys):
    """The first has the clots at 0.8; the second nothing but one place, at 0.9, that is none."""
    second = model_folder("PEAttentionUNetTrainer__PETARUNetPlans__3d_fullres", folds=(0, 1), log_odds=(0.0, 0.0))
    for path in dataset.glob("fold_*/validation/*.nii.gz"):
        mask = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
        mask[10] = 0
        noise = np.zeros(mask.shape, np.float32)
        noise[40, 10, 5:10] = 0.9
        for model, probability in ((dataset, 0.8 * mask.astype(np.float32)), (second, noise)):
            folder = model / path.parent.parent.name / "validation"
            folder.mkdir(exist_ok=True)
            maps = np.stack([1 - probability, probability])
            np.savez_compressed(folder / f"{path.name[0]}.npz", probabilities=maps)
    command = ["calibrate", "-d", "501", "-tr", "PETARUNetTrainer", "PEAttentionUNetTrainer", "--from", "npz"]
    assert main([*command, "--thresholds", "0.3", "0.5", "--min-embolus-mm3", "0"]) == 0
    told = capsys.readouterr().out
    assert "the best alone is taken" in told
    assert "the mean of all: 8 of 8 emboli, 1.00 false positives a scan, F1 0.80" in told  # 0.4 and 0.45
    assert f"{second.name} alone: 0 of 8 emboli" in told
    stored = read_fusion(dataset / "fusion.json")
    assert stored.model_weights == {dataset.name: 1.0, second.name: 0.0}
    content = json.loads((dataset / "fusion.json").read_text())
    assert (content["format"], content["weight_choice"]["taken"], content["weight_choice"]["tried"]) == (3, "alone", 11)
    predictor = PEPredictor([dataset, second], device="cpu")
    assert [model.name for model in predictor.models] == [dataset.name]
    assert [note.code for note in predictor.choice.notes] == ["PE-FUS-021"]
    assert predictor.fusion == stored.segmentation.chosen


def test_each_fold_predicts_its_own_scans_and_the_shift_to_their_mean_is_told(dataset, capsys, thorax, tmp_path):
    """Outputs are 0.27 and 0.38 everywhere, so that single folds and their mean differ by what is known."""
    (tmp_path / "scans").mkdir()
    (tmp_path / "labels").mkdir()
    sitk.WriteImage(thorax + 1, str(tmp_path / "scans" / "further.nii.gz"))
    source = tmp_path / "raw" / "Dataset501_PE" / "labelsTr" / "a.nii.gz"
    sitk.WriteImage(sitk.ReadImage(str(source)), str(tmp_path / "labels" / "further.nii.gz"))
    arguments = ["calibrate", "-d", "501", "-device", "cpu", "--disable_tta", "-step_size", "1", "--thresholds", "0.35"]
    check = ["--check", str(tmp_path / "scans"), "--check-labels", str(tmp_path / "labels")]
    assert main([*arguments, *check]) == 0
    told = capsys.readouterr().out
    assert "2 of 8 emboli" in told  # of fold 1 alone, whose one finding joins both of each scan
    shift = json.loads((dataset / "fusion.json").read_text())["chosen_on"]["fold_shift"]
    assert shift["single_sensitivity"] == pytest.approx(0.25)  # fold 1 finds one of both, fold 0 none
    assert shift["mean_sensitivity"] == 0  # the mean is 0.32
    assert "with 2 emboli: single folds find 25%" in told


def test_the_detector_of_each_fold_looks_at_the_scans_that_it_was_not_trained_on(
    dataset, monkeypatch, tmp_path, capsys
):
    """A stand-in for the detector that boxes the clots and nothing else; the networks see half of everything."""
    asked = []

    def load(folders, device):
        (folder,) = folders
        return SimpleNamespace(records=(), fold=folder.name)

    def look(image, detector):
        asked.append(detector.fold)
        z, y, x = 26, 28, 50
        slices = tuple(SliceBox(k, y, x, y + 5, x + 5, 0.9) for k in range(z, z + 5))
        return Detections(None, (Tube(Box((z, y, x), (z + 5, y + 5, x + 5)), 0.9, slices),))

    for fold in ("0", "1"):
        (tmp_path / "PEDetector" / f"fold_{fold}").mkdir(parents=True)
        (tmp_path / "PEDetector" / f"fold_{fold}" / "detector.json").write_text("{}")
    monkeypatch.setattr(module, "load_detector", load)
    monkeypatch.setattr(module, "detect", look)
    arguments = ["calibrate", "-d", "501", "--from", "masks", "--detector", str(tmp_path / "PEDetector")]
    assert main([*arguments, "--min-embolus-mm3", "0", "50"]) == 0
    assert asked == ["fold_0", "fold_0", "fold_1", "fold_1"]
    detection = json.loads((dataset / "fusion.json").read_text())["detection"]
    assert not detection["helps"]  # four scans are too few to be sure
    assert "on fewer than 5 scans nothing shows whether boxes help" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("-f", "0", "4"), "PE-MODEL-002"),
        (("--check", "x"), "PE-MODEL-007"),
        (("--target-fp", "-1"), "PE-MODEL-007"),
        (("--thresholds", "2"), "PE-FUS-001"),
        (("--check", ".", "--check-labels", ".", "-f", "0", "--from", "masks"), "PE-MODEL-007"),
    ],
)
def test_what_cannot_be_calibrated(dataset, capsys, arguments, code):
    assert main(["calibrate", "-d", "501", "-device", "cpu", *arguments]) == 2
    assert code in capsys.readouterr().err
    assert not (dataset / "fusion.json").exists()


def test_a_scan_that_is_gone(dataset, capsys, tmp_path):
    (tmp_path / "raw" / "Dataset501_PE" / "imagesTr" / "b_0000.nii.gz").unlink()
    assert main(["calibrate", "-d", "501", "--from", "masks"]) == 2
    assert "PE-FUS-006" in capsys.readouterr().err


def test_the_threshold_at_which_the_mean_of_folds_has_as_many_false_positives():
    """Alone one fold has two false findings and the other none; their mean has one at 0.45."""
    image = sitk.GetImageFromArray(np.zeros((8, 8, 8), np.int16))
    truth = np.zeros((8, 8, 8), np.uint8)
    truth[1:3, 1:3, 1:3] = 1
    maps = {name: np.zeros((8, 8, 8), np.float32) for name in "01"}
    for place, values in (((1, 1), (0.9, 0.9)), ((1, 5), (0.8, 0.0)), ((5, 1), (0.6, 0.3)), ((5, 5), (0.0, 0.2))):
        for name, value in zip("01", values, strict=True):
            maps[name][place[0] : place[0] + 2, place[1] : place[1] + 2, 1:3] = value
    scans = [("a", image, truth, None, [])]
    shift = measure_shift(scans, ("0", "1"), lambda _, fold, __: maps[fold], FusionSettings())
    assert (shift["single_fp_per_scan"], shift["mean_fp_per_scan"], shift["equal_threshold"]) == (1, 0, 0.45)
    assert (shift["single_sensitivity"], shift["mean_sensitivity"], shift["emboli"]) == (1, 1, 1)


def rewrite(tmp_path, change):
    """Change every label."""
    for path in (tmp_path / "raw" / "Dataset501_PE" / "labelsTr").iterdir():
        label = sitk.ReadImage(str(path))
        changed = sitk.GetImageFromArray(change(sitk.GetArrayFromImage(label)).astype(np.uint8))
        changed.CopyInformation(label)
        sitk.WriteImage(changed, str(path))


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (lambda label: label * 0, "PE-FUS-006", "no embolus in the 4 scans"),
        (lambda label: np.roll(label, 15, axis=0), "PE-FUS-010", "finds one of the 8 emboli in the 4 scans"),
    ],
)
def test_where_nothing_is_found_nothing_is_chosen(dataset, capsys, tmp_path, change, code, words):
    rewrite(tmp_path, change)
    for older in (False, True):
        if older:
            (dataset / "fusion.json").write_text("older")
        assert main(["calibrate", "-d", "501", "--from", "masks"]) == 2
        error = capsys.readouterr().err
        assert code in error
        assert words in error
        assert (f"{dataset / 'fusion.json'}, chosen earlier, stays as it is" in error) == older
    assert (dataset / "fusion.json").read_text() == "older"


def test_ignored_voxels_count_neither_way(dataset, capsys, tmp_path):
    """The false findings lie in the slice z = 10, which is ignored; so any smallest volume does."""

    def ignore_slice(label):
        label[10] = 2
        return label

    rewrite(tmp_path, ignore_slice)
    labels = {"labels": {"background": 0, "PE": 1, "ignore": 2}}
    (tmp_path / "raw" / "Dataset501_PE" / "dataset.json").write_text(json.dumps(labels))
    assert main(["calibrate", "-d", "501", "--from", "masks", "--min-embolus-mm3", "0", "100"]) == 0
    assert "8 of 8 emboli, 0.00 false positives a scan, F1 1.00" in capsys.readouterr().out
    described = json.loads((dataset / "fusion.json").read_text())
    assert described["segmentation"]["settings"]["min_volume_mm3"] == 0
    assert described["chosen_on"]["labels"] == {"kinds": ["class:1"], "ignored_values": [2]}


def test_a_shift_without_emboli_has_no_sensitivity():
    image = sitk.GetImageFromArray(np.zeros((4, 8, 8), np.int16))
    nothing = np.zeros((4, 8, 8), np.uint8)
    found = np.zeros((4, 8, 8), np.float32)
    found[1:3, 1:3, 1:7] = 0.9
    ignored = np.zeros((4, 8, 8), bool)
    ignored[:, :, 2:] = True  # one layer of the finding is left, and all of it in the other scan
    scans = [("a", image, nothing, ignored, []), ("b", image, nothing, None, []), ("c", image, nothing, found > 0, [])]
    shift = measure_shift(scans, ("0", "1"), lambda *_: found, FusionSettings(min_volume_mm3=20))
    assert (shift["emboli"], shift["single_sensitivity"], shift["mean_sensitivity"]) == (0, None, None)
    assert shift["single_fp_per_scan"] == pytest.approx(2 / 3)


def test_labels_of_further_scans_are_read_by_the_dataset_json_beside_them(thorax, tmp_path):
    values = np.zeros(thorax.GetSize()[::-1], np.uint8)
    values[5, 5, 5:9] = (1, 2, 2, 3)  # artery, PE, PE, ignored
    label = sitk.GetImageFromArray(values)
    label.CopyInformation(thorax)
    for folder, image in (("scans", thorax), ("labels", label)):
        (tmp_path / folder).mkdir()
        sitk.WriteImage(image, str(tmp_path / folder / "further.nii.gz"))
    ((_, _, ids, ignored, _),) = read_further_scans(tmp_path / "scans", tmp_path / "labels", None, [])
    assert (ids[5, 5, 5:9].tolist(), ignored) == ([1, 2, 2, 3], None)  # ids, as far as anybody says
    described = {"labels": {"background": 0, "artery": [1, 2], "PE": 2, "ignore": 3}}
    (tmp_path / "labels" / "dataset.json").write_text(json.dumps(described))
    ((_, _, ids, ignored, _),) = read_further_scans(tmp_path / "scans", tmp_path / "labels", None, [])
    assert (ids[5, 5, 5:9].tolist(), ids.max()) == ([0, 1, 1, 0], 1)
    assert (ignored[5, 5, 5:9].tolist(), ignored.sum()) == ([False, False, False, True], 1)


def test_models_of_two_channels_are_calibrated_on_both(dataset, model_folder, thorax, monkeypatch, capsys, tmp_path):
    shutil.rmtree(dataset)
    model_folder(dataset.name, folds=(0, 1), log_odds=(-1.0, -0.5), channels=("CT", "lung mask"))
    raw = nnunet_folder(RAW) / "Dataset501_PE" / "imagesTr"
    seen = []
    real = prediction.predict_ensemble

    def watched(models, image, *args, further=(), **more):
        seen.append([float(sitk.GetArrayViewFromImage(channel).max()) for channel in further])
        return real(models, image, *args, further=further, **more)

    monkeypatch.setattr(prediction, "predict_ensemble", watched)
    command = ["calibrate", "-d", "501", "-f", "0", "1", "-device", "cpu", "--disable_tta", "-step_size", "1"]
    assert main(command) == 2
    assert "PE-MODEL-005" in capsys.readouterr().err
    for number, case in enumerate(CASES, 1):
        sitk.WriteImage(sitk.Cast(thorax > 0, sitk.sitkUInt8) * number, str(raw / f"{case}_0001.nii.gz"))
    for folder in ("scans", "labels"):
        (tmp_path / folder).mkdir()
    sitk.WriteImage(thorax + 1, str(tmp_path / "scans" / "further_0000.nii.gz"))
    shutil.copy(raw.parent / "labelsTr" / "a.nii.gz", tmp_path / "labels" / "further.nii.gz")
    command += ["--thresholds", "0.35", "--check", str(tmp_path / "scans"), "--check-labels", str(tmp_path / "labels")]
    assert main(command) == 2
    assert "further_0001.nii.gz is not there" in capsys.readouterr().err
    assert seen == []
    channel = sitk.Cast(thorax > 0, sitk.sitkUInt8) * 5
    sitk.WriteImage(channel, str(tmp_path / "scans" / "further_0001.nii.gz"))
    assert main(command) == 0
    assert seen == [[1.0], [2.0], [3.0], [4.0], [5.0], [5.0]]  # a further scan by each fold
    assert json.loads((dataset / "fusion.json").read_text())["chosen_on"]["fold_shift"]["scans"] == 1
