"""ONNX files of every network: what they compute, what they say of themselves, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from pe_nnunet.architecture import network_of_trainer
from pe_nnunet.cli import main
from pe_nnunet.errors import ConfigurationError, MissingExtraError
from pe_nnunet.inference.locate import locate_folder
from pe_nnunet.inference.model import load_model
from pe_nnunet.inference.onnx_export import export_onnx
from pe_nnunet.networks import NETWORKS, onnx_files

UNETS = "dynamic_network_architectures.architectures.unet."
CASES = {
    **{f"{e.trainer}-{d}d": (e.trainer, e.path, d) for e in NETWORKS.values() for d in e.load().dimensions},
    **{
        f"{trainer}-{name}-{d}d": (trainer, UNETS + name, d)
        for trainer, name, d in (
            ("PETrainer", "PlainConvUNet", 3),
            ("PETrainer", "ResidualEncoderUNet", 3),
            ("PETrainer", "ResidualEncoderUNet", 2),
            ("nnUNetTrainer", "PlainConvUNet", 2),
            ("PETARUNetTrainer", "PlainConvUNet", 3),  # our network with the stages of stock plans
        )
    },
}


@pytest.fixture
def stored(model_folder: Any, tmp_path: Path) -> Any:
    """Writes a model folder of any trainer and network, random weights, with forward order (2, 0, 1)."""

    def make(trainer: str, path: str, dimensions: int, *, folds: tuple[int, ...] = (0,)) -> Path:
        patch, spacing = (16, 24, 32)[-dimensions:], (2.0, 1.5, 1.0)[-dimensions:]
        name = f"{trainer}__P__{'2d' if dimensions == 2 else '3d_fullres'}"
        aanet = path == NETWORKS["AANet"].path
        folder: Path = model_folder(name, patch=patch, spacing=spacing, forward=(2, 0, 1), regions=aanet)
        plans = json.loads((folder / "plans.json").read_text())
        ((configuration, settings),) = plans["configurations"].items()
        kwargs = settings["architecture"]["arch_kwargs"]
        if aanet:
            kwargs = {
                "n_stages": 3, "features_per_stage": [8, 8, 12], "conv_op": kwargs["conv_op"],
                "kernel_sizes": [[3] * 3] * 3, "strides": [[1] * 3, [2] * 3, [2] * 3],
                "aspp_features": 8, "head_features": 8,
            }  # fmt: skip
            settings["architecture"]["_kw_requires_import"] = ["conv_op"]
        elif path.startswith("pe_nnunet"):
            kwargs = {k: v for k, v in kwargs.items() if not k.startswith(("n_conv", "dropout"))}
        elif path.endswith("ResidualEncoderUNet"):
            kwargs["n_blocks_per_stage"] = kwargs.pop("n_conv_per_stage")
        settings["architecture"] |= {"network_class_name": path, "arch_kwargs": kwargs}
        (folder / "plans.json").write_text(json.dumps(plans))
        manager = PlansManager(plans)
        for fold in folds:
            torch.manual_seed(fold)
            network = network_of_trainer(trainer, manager, manager.get_configuration(configuration), 1, 2)
            with torch.no_grad():
                for weight in network.parameters():  # heads that begin at zero would hide the rest
                    weight += 0.1 * torch.randn_like(weight)
            (folder / f"fold_{fold}").mkdir(exist_ok=True)
            checkpoint = {
                "network_weights": network.state_dict(),
                "trainer_name": trainer,
                "init_args": {"configuration": configuration},
                "inference_allowed_mirroring_axes": (0, 1),
            }
            torch.save(checkpoint, folder / f"fold_{fold}" / "checkpoint_final.pth")
        return folder

    return make


@pytest.mark.parametrize("case", CASES)
def test_logits_are_those_of_torch_for_any_number_of_patches(stored: Any, tmp_path: Path, case: str) -> None:
    trainer, path, dimensions = CASES[case]
    folder = stored(trainer, path, dimensions)
    (file,) = export_onnx([locate_folder(folder, None)], tmp_path / "onnx")
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    network = load_model(locate_folder(folder, None), torch.device("cpu")).network
    for batch in (1, 3):
        patches = torch.randn(batch, 1, *(16, 24, 32)[-dimensions:])
        with torch.inference_mode():
            theirs = network(patches).numpy()
        (ours,) = session.run(["logits"], {"image": patches.numpy()})
        assert theirs.std() > 1e-3  # there is something to compare
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, atol=1e-4, rtol=0)


def test_the_file_says_what_it_is(stored: Any, tmp_path: Path) -> None:
    entry = NETWORKS["AANet"]
    folder = stored(entry.trainer, entry.path, 3, folds=(0, 1))
    dataset = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps({**dataset, "licence": "CC-BY-4.0"}))
    assert main(["export-model", "-o", str(tmp_path / "onnx"), "-m", str(folder), "--onnx"]) == 0
    base = f"Dataset501_PE__{folder.name}__fold_"
    names = [path.name for path in sorted((tmp_path / "onnx").iterdir())]
    assert names == [*(f"{base}{fold}.{ending}" for fold in (0, 1) for ending in ("json", "onnx")), "README.md"]
    assert "license: cc-by-4.0\n" in (tmp_path / "onnx" / "README.md").read_text()
    facts = json.loads((tmp_path / "onnx" / f"{base}1.json").read_text())
    model = onnx.load(str(tmp_path / "onnx" / f"{base}1.onnx"))
    (stored_facts,) = model.metadata_props
    assert (stored_facts.key, json.loads(stored_facts.value)) == ("pe_nnunet", facts)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 17)]
    assert facts["opset"] == 17
    given, found = facts["input"], facts["output"]
    # plans with transpose_forward (2, 0, 1) put x first
    assert given["axes"] == ["batch", "channel", "x", "z", "y"]
    assert (given["patch_size"], given["spacing_mm"]) == ([16, 24, 32], [2.0, 1.5, 1.0])
    (channel,) = given["channels"]
    assert channel["normalisation"] == "CTNormalization"
    assert {k: channel[k] for k in ("percentile_00_5", "percentile_99_5", "mean", "std")} == {
        "percentile_00_5": -900.0, "percentile_99_5": 800.0, "mean": 50.0, "std": 300.0
    }  # fmt: skip
    assert found["channels"] == [
        {"channel": 0, "name": "artery", "label_values": [1, 2]},
        {"channel": 1, "name": "PE", "label_values": [2]},
    ]
    assert (found["pe_channel"], found["regions_class_order"]) == (1, [1, 2])
    assert found["activation"].startswith("sigmoid")
    assert facts["licence"]["weights"] == "CC-BY-4.0"
    assert (facts["model"]["fold"], facts["windows"]["mirror_axes"]) == ("1", [0, 1])


def test_classes_of_a_softmax_are_in_the_order_of_their_values(stored: Any, tmp_path: Path) -> None:
    folder = stored("PETrainer", UNETS + "PlainConvUNet", 2)
    (folder / "dataset.json").write_text(
        json.dumps({"channel_names": {"0": "CT"}, "labels": {"ignore": 2, "PE": 1, "background": 0}})
    )
    (file,) = export_onnx([locate_folder(folder, None)], tmp_path)
    found = json.loads(file.with_suffix(".json").read_text())["output"]
    assert [(c["name"], c["label_values"]) for c in found["channels"]] == [("background", [0]), ("PE", [1])]
    assert (found["pe_channel"], found["activation"]) == (1, "softmax over the channels")
    assert found["axes"] == ["batch", "class", "z", "y"]


def test_a_file_that_computes_something_else_is_not_kept(
    stored: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = stored("PETrainer", UNETS + "PlainConvUNet", 2)
    monkeypatch.setattr("pe_nnunet.inference.onnx_export.difference", lambda *_: float("nan"))
    with pytest.raises(ConfigurationError, match="PE-MODEL-014"):
        export_onnx([locate_folder(folder, None)], tmp_path / "onnx")
    assert list((tmp_path / "onnx").iterdir()) == []


def test_what_is_refused(
    stored: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(stored("PETrainer", UNETS + "PlainConvUNet", 2))
    command = ["export-model", "-m", folder, "--onnx"]
    assert main([*command, "-o", str(tmp_path / "m.zip")]) == 2
    assert capsys.readouterr().err.startswith("PE-MODEL-007: -o ")
    assert main([*command, "-o", str(tmp_path / "m"), "--detector", folder]) == 2
    assert "detector.onnx" in capsys.readouterr().err
    with pytest.raises(ConfigurationError, match="PE-MODEL-004"):
        export_onnx([locate_folder(Path(folder), None)] * 2, tmp_path / "m")
    monkeypatch.setattr(onnx_files, "find_spec", lambda name: None if name == "onnx" else object())
    with pytest.raises(MissingExtraError, match=r"PE-MODEL-013: onnx, which .* pip install onnx$"):
        export_onnx([locate_folder(Path(folder), None)], tmp_path / "m")
    assert not (tmp_path / "m").exists()
