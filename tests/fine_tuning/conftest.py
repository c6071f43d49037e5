"""A tiny dataset of one's own, and trained models with random weights: stock plain, stock ResEnc, and one of ours."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from tests.conftest import run_nnunet_here

SIDE = 32
CASES = ("a", "b", "c")
OWN = "Dataset701_Own"
RECIPE = "iterations=2 validation_iterations=1 test_time_mirroring=no batch_size=2"
RESENC = "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet"


@pytest.fixture
def nnunet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """nnU-Net's three folders, and in nnUNet_raw three scans of 32 voxels a side at 4 mm with a clot each."""
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("PE_NNUNET_RECIPE", RECIPE)
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    monkeypatch.setenv("nnUNet_compile", "f")
    run_nnunet_here(monkeypatch)
    _write_scans(tmp_path / "nnUNet_raw" / OWN)
    describe(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so small that threads would only wait for each other
    yield tmp_path
    torch.set_num_threads(threads)


def describe(nnunet: Path, **facts: Any) -> None:
    """Write the dataset's `dataset.json`."""
    own = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "PE": 1},
        "numTraining": 3,
        "file_ending": ".nii.gz",
    }
    (nnunet / "nnUNet_raw" / OWN / "dataset.json").write_text(json.dumps(own | facts))


def _write_scans(folder: Path) -> None:
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    rng = np.random.default_rng(0)
    z, y, x = np.indices((SIDE, SIDE, SIDE))
    for case, centre in zip(CASES, (10, 16, 22), strict=True):
        clot = (z - centre) ** 2 + (y - 16) ** 2 + (x - 16) ** 2 < 25
        hu = np.where(clot, 60, np.where(np.hypot(y - 16, x - 16) < 7, 350, -850)) + rng.normal(0, 20, clot.shape)
        for part, name, array in (
            ("imagesTr", f"{case}_0000", hu.astype(np.int16)),
            ("labelsTr", case, clot.astype(np.uint8)),
        ):
            image = sitk.GetImageFromArray(array)
            image.SetSpacing((4.0, 4.0, 4.0))
            sitk.WriteImage(image, str(folder / part / f"{name}.nii.gz"))
    (folder / "splits_final.json").write_text(json.dumps([{"train": ["a", "b"], "val": ["c"]}]))


@pytest.fixture
def stock(nnunet: Path, model_folder: Callable[..., Path]) -> Path:
    """A plain U-Net as `nnUNetTrainer` leaves it, of labels background and PE."""
    return model_folder()


@pytest.fixture
def resenc(stock: Path) -> Path:
    """A residual encoder U-Net by a trainer of nnU-Net's that we have none of, with numpy values in its checkpoint."""
    return rebuilt(
        stock,
        "nnUNetTrainer_500epochs__nnUNetResEncUNetPlans__3d_fullres",
        RESENC,
        {"n_blocks_per_stage": [1, 2], "n_conv_per_stage": None},
        plans_name="nnUNetResEncUNetPlans",
        trainer="nnUNetTrainer_500epochs",
        further={"_best_ema": np.float64(0.5), "current_epoch": 500},
    )


@pytest.fixture
def tar_unet(stock: Path) -> Path:
    """A TAR-UNet of ours, whose checkpoint says that it was trained on another scan `c`."""
    split = {
        "dataset": "Dataset501_PE",
        "fold": "0",
        "train": {"c": ("f" * 64,)},
        "val": {"a": ("e" * 64,)},
        "unknown": "",
    }
    return rebuilt(
        stock,
        "PETARUNetTrainer__PETARUNetPlans__3d_fullres",
        "pe_nnunet.networks.tar_unet.TARUNet",
        dict.fromkeys(("n_conv_per_stage", "n_conv_per_stage_decoder", "dropout_op", "dropout_op_kwargs")),
        plans_name="PETARUNetPlans",
        trainer="PETARUNetTrainer",
        further={"pe_split": split},
    )


def rebuilt(
    source: Path,
    name: str,
    network: str,
    kwargs: dict[str, Any],
    *,
    plans_name: str,
    trainer: str,
    further: dict[str, Any] | None = None,
) -> Path:
    """A model of another network than the one in `source`, with random weights; kwargs of None are taken away."""
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    plans = json.loads((source / "plans.json").read_text())
    plans["plans_name"] = plans_name
    described = plans["configurations"]["3d_fullres"]["architecture"]
    described["network_class_name"] = network
    merged = described["arch_kwargs"] | kwargs
    described["arch_kwargs"] = {key: value for key, value in merged.items() if value is not None or key not in kwargs}
    described["_kw_requires_import"] = [
        key for key in described["_kw_requires_import"] if key in described["arch_kwargs"]
    ]
    torch.manual_seed(7)
    made = get_network_from_plans(
        network, described["arch_kwargs"], described["_kw_requires_import"], 1, 2, deep_supervision=True
    )
    folder = source.parent / name
    (folder / "fold_0").mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text((source / "dataset.json").read_text())
    content = {
        "network_weights": made.state_dict(),
        "trainer_name": trainer,
        "init_args": {"configuration": "3d_fullres", "fold": 0},
        "inference_allowed_mirroring_axes": (0, 1, 2),
    }
    torch.save(content | (further or {}), folder / "fold_0" / "checkpoint_final.pth")
    return folder
