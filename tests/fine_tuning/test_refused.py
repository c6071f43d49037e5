"""What cannot be fine-tuned is said in one line, before anything is computed or written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pe_nnunet.cli import main
from pe_nnunet.dataset.folders import RAW, nnunet_folder
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.fine_tuning import FineTuneSettings, fine_tune
from pe_nnunet.fine_tuning.fit import larger_than_scans
from tests.fine_tuning.conftest import OWN, describe

Change = Callable[[Path, Path], None]


def edited(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def dataset(**facts: Any) -> Change:
    return lambda nnunet, _model: describe(nnunet, **facts)


def model_dataset(**facts: Any) -> Change:
    return lambda _nnunet, model: edited(model / "dataset.json", lambda content: content.update(facts))


def plans(**settings: Any) -> Change:
    """Settings of the model's configuration."""
    return lambda _nnunet, model: edited(
        model / "plans.json", lambda content: content["configurations"]["3d_fullres"].update(settings)
    )


def arguments(**kwargs: Any) -> Change:
    """Of the architecture in the model's plans."""

    def change(content: dict[str, Any]) -> None:
        content["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"].update(kwargs)

    return lambda _nnunet, model: edited(model / "plans.json", change)


def checkpoint(content: Callable[[dict[str, Any]], Any]) -> Change:
    def change(_nnunet: Path, model: Path) -> None:
        path = model / "fold_0" / "checkpoint_final.pth"
        torch.save(content(torch.load(path, weights_only=True)), path)

    return change


def other_plans(nnunet: Path, _model: Path) -> None:
    folder = nnunet / "nnUNet_preprocessed" / OWN
    folder.mkdir()
    (folder / "nnUNetPlansFrom501.json").write_text('{"configurations": {}}')


def trained_on_validation(content: dict[str, Any]) -> dict[str, Any]:
    """As if the model had been trained on the scan that fold 0 holds out, under another name."""
    from pe_nnunet.volumes.files.volume_file import file_sha256

    image = nnunet_folder(RAW) / OWN / "imagesTr" / "c_0000.nii.gz"
    train = {"patient_9": (file_sha256(image),)}
    return content | {"pe_split": {"dataset": "Dataset501_PE", "fold": "0", "train": train, "val": {}, "unknown": ""}}


class Harmful:
    def __reduce__(self) -> Any:
        return os.system, ("false",)


CASES: dict[str, tuple[Change, dict[str, Any], str, str]] = {
    "two channels": (
        dataset(channel_names={"0": "CT", "1": "noNorm"}),
        {},
        "PE-TRAIN-022",
        r"2 image channel\(s\) \(CT, noNorm\), Dataset501_PE/\S+ was trained on 1 \(CT\)",
    ),
    "another modality": (
        dataset(channel_names={"0": "zscore"}),
        {},
        "PE-TRAIN-022",
        r"'zscore'.*trained on 'CT' \(CTNormalization\)",
    ),
    "a model of another modality": (
        lambda nnunet, model: (
            model_dataset(channel_names={"0": "MR"})(nnunet, model),
            plans(normalization_schemes=["ZScoreNormalization"])(nnunet, model),
        ),
        {},
        "PE-TRAIN-022",
        r"'CT'.*trained on 'MR' \(ZScoreNormalization\)",
    ),
    "2D": (dataset(), {"configuration": "2d"}, "PE-TRAIN-023", "is 2d, but the weights .* with 3d_fullres"),
    "a cascade": (plans(previous_stage="3d_lowres"), {}, "PE-TRAIN-023", "3d_lowres has predicted"),
    "labels without PE": (
        dataset(labels={"background": 0, "artery": 1, "vein": 2}),
        {},
        "PE-PLN-004",
        "which label is PE",
    ),
    "an unknown dataset": (dataset(), {"dataset": "702"}, "PE-ENV-002", "702.*Dataset701_Own"),
    "no such fold": (dataset(), {"folds": ["1"]}, "PE-TRAIN-013", "no fold 1"),
    "a fold that is none": (dataset(), {"folds": ["first"]}, "PE-TRAIN-028", "first"),
    "a fold twice": (dataset(), {"folds": ["0", "0"]}, "PE-TRAIN-028", "0 0"),
    "wider plans": (
        arguments(features_per_stage=[4, 16]),
        {},
        "PE-TRAIN-024",
        r"has shape \(8,\), in the network that PETrainer makes of its plans shape \(16,\)",
    ),
    "weights that lack a layer": (
        checkpoint(lambda c: c | {"network_weights": dict(list(c["network_weights"].items())[1:])}),
        {},
        "PE-TRAIN-024",
        "has nothing",
    ),
    "a patch that the strides do not divide": (
        dataset(),
        {"settings": {"patch_size": (16, 16, 15)}},
        "PE-TRAIN-027",
        r"--patch-size.*\[16, 16, 16\] is",
    ),
    "a flat patch": (dataset(), {"settings": {"patch_size": (16, 16)}}, "PE-TRAIN-027", "--patch-size"),
    "a patch beyond the memory": (
        dataset(),
        {"settings": {"patch_size": (4096, 4096, 4096)}},
        "PE-TRAIN-027",
        r"GiB at least, the cpu has",
    ),
    "plans that are not ours to change": (other_plans, {}, "PE-TRAIN-026", "not from fine-tuning"),
    "weights that have seen what is held out": (
        checkpoint(trained_on_validation),
        {},
        "PE-TRAIN-010",
        r"c \(the same scan as Dataset501_PE/patient_9\)",
    ),
    "a checkpoint that runs code": (checkpoint(lambda c: c | {"x": Harmful()}), {}, "PE-MODEL-003", "cannot read"),
    "a checkpoint of NaN": (
        checkpoint(lambda c: c | {"network_weights": {k: v * float("nan") for k, v in c["network_weights"].items()}}),
        {},
        "PE-MODEL-003",
        "NaN",
    ),
    "plans that name another class": (arguments(norm_op="os.system"), {}, "PE-MODEL-020", "os.system"),
    "a preprocessor from elsewhere": (plans(preprocessor_name="Mine"), {}, "PE-MODEL-020", "Mine"),
    "an impossible spacing": (plans(spacing=[0, 1, 1]), {}, "PE-MODEL-003", "spacing"),
    "plans whose data lie elsewhere": (plans(data_identifier="../../x"), {}, "PE-MODEL-003", "'../../x' is no name"),
    "plans that are called after a path": (
        lambda _, model: edited(model / "plans.json", lambda content: content.update(plans_name="/srv/x")),
        {},
        "PE-MODEL-003",
        "'/srv/x' is no name",
    ),
    "a dataset without images": (
        lambda nnunet, _: (nnunet / "nnUNet_raw" / OWN / "imagesTr").rename(nnunet / "nnUNet_raw" / OWN / "imagesTs"),
        {},
        "PE-PLN-006",
        "no training image",
    ),
    "a dataset without file_ending": (dataset(file_ending=None), {}, "PE-PLN-006", "no training image"),
    "a case without label": (
        lambda nnunet, _: (nnunet / "nnUNet_raw" / OWN / "labelsTr" / "b.nii.gz").unlink(),
        {},
        "PE-PLN-007",
        "b.nii.gz is not there",
    ),
    "no model": (dataset(), {"model": "starter-of-none"}, "PE-MODEL-001", "no folder, no archive and no model"),
}


@pytest.mark.parametrize("name", CASES)
def test_refused_before_anything_is_computed(name: str, nnunet: Path, stock: Path) -> None:
    change, given, code, text = CASES[name]
    change(nnunet, stock)
    given = {"model": str(stock), "dataset": "701", "folds": ["0"], "device": "cpu", **given}
    before = sorted(nnunet.rglob("*"))
    with pytest.raises(ConfigurationError, match=f"{code}: .*{text}") as caught:
        fine_tune(
            given.pop("model"), given.pop("dataset"), given.pop("folds"),
            FineTuneSettings(**given.pop("settings", {})), **given,
        )  # fmt: skip
    assert "\n" not in str(caught.value)
    assert sorted(nnunet.rglob("*")) == before


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"learning_rate": -1e-4}, "--learning-rate is -0.0001"),
        ({"learning_rate": float("nan")}, "--learning-rate"),
        ({"epochs": 0}, "--epochs is 0"),
        ({"patch_size": (0, 16, 16)}, "--patch-size"),
        ({"plans_name": "a__b"}, "--plans-name"),
        ({"plans_name": "../a"}, "--plans-name"),
    ],
)
def test_bad_options(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=f"PE-TRAIN-028.*{text}"):
        FineTuneSettings(**settings)


def test_a_patch_much_longer_than_the_scans_is_noted() -> None:
    scans = [(300.0, 250.0, 250.0), (280.0, 240.0, 240.0), (310.0, 260.0, 260.0)]
    assert larger_than_scans((200, 300, 300), (1.5, 0.8, 0.8), scans) is None
    note = larger_than_scans((224, 320, 320), (1.0, 0.5, 1.25), scans)
    assert note is not None
    assert note.message.startswith("a patch has 224x320x320 voxels, the median scan 300x500x200")
    assert larger_than_scans((320, 320), (1.25, 1.25), scans) is not None  # 2D, in the plane


def test_aanet_needs_its_labels(nnunet: Path, stock: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint(lambda content: content | {"trainer_name": "PEAANetTrainer"})(nnunet, stock)
    assert main(["fine-tune", "-m", str(stock), "-d", "701"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("PE-PLN-003: ")
    assert error.count("\n") == 1
