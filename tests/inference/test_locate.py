"""Finding models, and saying what is missing."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from pe_nnunet.cli import main
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.inference.checkpoint_file import read_checkpoint
from pe_nnunet.inference.locate import locate_folder, locate_models


@pytest.fixture
def results(tmp_path, monkeypatch):
    for name in ("PETARUNetTrainer__PETARUNetPlans__3d_fullres", "PETrainer__nnUNetPlans__2d"):
        folder = tmp_path / "Dataset501_PE" / name
        for fold in ("0", "2", "all"):
            (folder / f"fold_{fold}").mkdir(parents=True)
            (folder / f"fold_{fold}" / "checkpoint_final.pth").touch()
        (folder / "fold_3").mkdir()
        (folder / "plans.json").write_text("{}")
        (folder / "dataset.json").write_text("{}")
    monkeypatch.setenv("nnUNet_results", str(tmp_path))
    return tmp_path


TRAINER, PLANS, CONFIG = ["PETARUNetTrainer"], ["PETARUNetPlans"], ["3d_fullres"]


@pytest.mark.parametrize("dataset", ["501", "0501", "Dataset501_PE"])
def test_all_trained_folds_but_not_all_beside_them(results, dataset):
    (location,) = locate_models(dataset, TRAINER, PLANS, CONFIG, None)
    assert location.folds == ("0", "2")
    assert location.folder.name == "PETARUNetTrainer__PETARUNetPlans__3d_fullres"


def test_several_models(results):
    found = locate_models("501", [*TRAINER, "PETrainer"], [*PLANS, "nnUNetPlans"], [*CONFIG, "2d"], ["2"])
    assert [location.folder.name.split("__")[0] for location in found] == ["PETARUNetTrainer", "PETrainer"]
    assert all(location.folds == ("2",) for location in found)


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (("777", TRAINER, PLANS, CONFIG, None), "PE-ENV-002", "Dataset501_PE"),
        (("501", ["PEOther"], PLANS, CONFIG, None), "PE-MODEL-001", "PETARUNetTrainer__PETARUNetPlans__3d_fullres"),
        (("501", TRAINER, PLANS, CONFIG, ["0", "3", "4"]), "PE-MODEL-002", "fold 3, 4"),
        (("501", [*TRAINER, "A", "B"], [*PLANS, "Q"], CONFIG, None), "PE-MODEL-004", "-p has 2"),
        (("501", TRAINER, PLANS, CONFIG, None, "checkpoint_best.pth"), "PE-MODEL-002", "checkpoint_best.pth"),
    ],
)
def test_errors(results, arguments, code, named):
    with pytest.raises(ConfigurationError) as caught:
        locate_models(*arguments)
    assert caught.value.code == code
    assert named in str(caught.value)


def put(folder, held):
    """Fold -> names of its checkpoints, in a model folder."""
    folder.mkdir()
    for name in ("plans.json", "dataset.json"):
        (folder / name).write_text("{}")
    for fold, names in held.items():
        (folder / f"fold_{fold}").mkdir()
        for name in names:
            (folder / f"fold_{fold}" / f"checkpoint_{name}.pth").touch()
    return folder


@pytest.mark.parametrize(
    ("held", "folds", "checkpoint", "named", "not_named"),
    [
        (
            {"0": ["best", "latest", "latest_older"], "1": ["best"]}, None, "final",
            ["no fold", "-chk checkpoint_best.pth", "fold 0 holds checkpoint_best.pth and checkpoint_latest.pth",
             "fold 1 holds checkpoint_best.pth", "still runs"], ["older"],
        ),
        ({"0": ["latest"]}, ["0"], "final", ["-chk checkpoint_latest.pth", "fold 0 of M has no"], ["_best"]),
        (
            {"0": ["final", "best"], "1": ["best", "latest"], "2": []}, ["0", "1"], "final",
            ["fold 1 of M", "-chk checkpoint_best.pth", "fold 0 holds checkpoint_final.pth", "fold 2 holds none"], [],
        ),
        # no one name does for both: none is advised
        ({"0": ["best"], "1": ["latest"]}, None, "final", ["fold 0 holds checkpoint_best.pth", "fold 1"], ["-chk"]),
        ({"0": ["final"]}, None, "best", ["holds checkpoint_best.pth", "-chk checkpoint_final.pth"], ["runs"]),
        ({"0": ["epoch_50"]}, None, "final", ["fold 0 holds checkpoint_epoch_50.pth"], ["-chk"]),
        ({"0": [], "1": []}, None, "final", ["train one first"], ["-chk"]),
        ({"0": ["final"]}, ["7"], "final", ["fold 7 of M has no", "fold 0 holds checkpoint_final.pth"], ["-chk"]),
    ],
)  # fmt: skip
def test_what_is_there_instead_of_a_checkpoint_is_named(tmp_path, held, folds, checkpoint, named, not_named):
    folder = put(tmp_path / "M", held)
    with pytest.raises(ConfigurationError, match="PE-MODEL-002") as caught:
        locate_folder(folder, folds, f"checkpoint_{checkpoint}.pth")
    assert [part for part in named if part not in str(caught.value)] == []
    assert [part for part in not_named if part in str(caught.value)] == []


def test_every_command_names_it(tmp_path, model_folder, monkeypatch, capsys):
    folder = model_folder(folds=(0, 1))
    monkeypatch.setenv("nnUNet_results", str(folder.parents[1]))
    for fold in ("0", "1"):
        (folder / f"fold_{fold}" / "checkpoint_final.pth").rename(folder / f"fold_{fold}" / "checkpoint_best.pth")
    scan = tmp_path / "a.nii.gz"
    sitk.WriteImage(sitk.Image([8, 8, 8], sitk.sitkInt16), str(scan))
    model = ["-d", "501", "-tr", "nnUNetTrainer", "-p", "nnUNetPlans"]
    for command in (
        ["predict-fused", "-i", str(scan), "-o", str(tmp_path / "out"), *model],
        ["predict-fused", "-i", str(scan), "-o", str(tmp_path / "out"), "-m", str(folder)],
        ["calibrate", *model],
        ["export-model", "-o", str(tmp_path / "x.zip"), *model],
        ["export-model", "-o", str(tmp_path / "x.zip"), "-m", str(folder), "-f", "0"],
    ):
        assert main(command) == 2
        error = capsys.readouterr().err
        assert error.startswith("PE-MODEL-002: ")
        assert "-chk checkpoint_best.pth takes what is there; there: fold 0, 1 hold checkpoint_best.pth" in error
    assert main(["export-model", "-o", str(tmp_path / "x.zip"), *model, "-chk", "checkpoint_best.pth"]) == 0
    capsys.readouterr()
    assert main(["find-best", "-d", "501", "-tr", "nnUNetTrainer", "-p", "nnUNetPlans", "-f", "0"]) == 2
    assert "it holds checkpoint_best.pth, but no checkpoint_final.pth: end its training" in capsys.readouterr().err


def test_folder_without_model(tmp_path):
    with pytest.raises(ConfigurationError, match="PE-MODEL-001"):
        locate_folder(tmp_path, None)


GOOD = {"network_weights": {"a": torch.ones(2)}, "trainer_name": "T", "init_args": {"configuration": "2d"}}


def test_stock_checkpoints_are_read_without_unpickling_objects(tmp_path):
    path = tmp_path / "checkpoint.pth"
    logging = {"mean_fg_dice": [np.float64(0.5), np.float32(0.25)], "lrs": [0.1]}
    torch.save(GOOD | {"logging": logging, "_best_ema": np.float64(1), "device": torch.device("cpu")}, path)
    assert torch.equal(read_checkpoint(path)["network_weights"]["a"], torch.ones(2))


class Hostile:
    def __reduce__(self):
        return Path.touch, (Path("hacked"),)


def test_a_checkpoint_cannot_run_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(GOOD | {"x": Hostile()}, "bad.pth")
    with pytest.raises(ConfigurationError, match=r"PE-MODEL-003.*trust"):
        read_checkpoint(Path("bad.pth"))
    assert not Path("hacked").exists()


def test_a_flipped_bit_in_the_weights_is_damage(model_folder):
    path = model_folder() / "fold_0" / "checkpoint_final.pth"
    weights = torch.load(path, weights_only=True)["network_weights"]
    content = bytearray(path.read_bytes())
    place = content.index(max(weights.values(), key=torch.numel).numpy().tobytes())
    content[place + 5] ^= 1
    path.write_bytes(content)
    torch.load(path, weights_only=True)  # says nothing of it
    with pytest.raises(ConfigurationError, match=r"PE-MODEL-003.*BadZipFile, wrong checksum"):
        read_checkpoint(path)


@pytest.mark.parametrize("content", [b"", b"<html>", pickle.dumps([1])])
def test_what_is_no_checkpoint(tmp_path, content):
    path = tmp_path / "checkpoint.pth"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="PE-MODEL-003"):
        read_checkpoint(path)


def test_absent_checkpoint_and_foreign_content(tmp_path):
    with pytest.raises(ConfigurationError, match="PE-MODEL-002"):
        read_checkpoint(tmp_path / "none.pth")
    torch.save({"weights": 1}, tmp_path / "other.pth")
    with pytest.raises(ConfigurationError, match="lacks network_weights"):
        read_checkpoint(tmp_path / "other.pth")
