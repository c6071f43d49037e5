"""What is no published model, or a damaged one, is refused before anything is written."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pe_nnunet.cli import main
from pe_nnunet.inference.checkpoint_file import load_file
from pe_nnunet.model_import.import_model import git_sha1
from tests.model_import.conftest import make_network, write_nnunet_layout, write_portable_layout

LAST = "segmentation_model.decoder.seg_layers.1.bias"


def weights() -> dict[str, torch.Tensor]:
    state = make_network(0).state_dict()
    return {f"segmentation_model.{name}": value.clone() for name, value in state.items() if "all_modules" not in name}


def refusal(path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["import-model", str(path)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features_per_stage": [4, 6]}, "kernel_sizes has 3 entries, expected 2"),
        ({"features_per_stage": [4, 6, 10**9]}, "whole numbers of 1 to 4096"),
        ({"n_blocks_per_stage": [1, 2, "1"]}, "n_blocks_per_stage"),
        ({"patch_size": [16, 32]}, "patch_size"),
        ({"patch_size": [16, 32, 30]}, "not divisible"),
        ({"patch_size": None}, "values are of other kinds"),
        ({"spacing": [1.0, 0.7, 0.0]}, "spacing"),
        ({"ct_std": 0.0}, "standard deviation 0"),
        ({"input_channels": 2}, "2 image channels"),
        ({"label2id": {"pulmonary_embolism": 0, "background": 1}}, "its labels"),
        ({"norm_eps": "small"}, "norm_eps"),
    ],
)
def test_an_impossible_configuration(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], message: str
) -> None:
    line = refusal(write_portable_layout(tmp_path / "portable", {}, **changes), capsys)
    assert line.startswith("PE-MODEL-022")
    assert message in line
    assert not list(results.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({LAST: None}, "decoder.seg_layers.1.bias missing"),
        ({"segmentation_model.extra": torch.zeros(1)}, "extra unknown"),
        ({LAST: torch.zeros(3)}, "has shape (3,), expected (2,)"),
        ({LAST: torch.tensor([0.0, torch.nan])}, "NaN"),
        ({"segmentation_model.decoder.encoder.stem.convs.0.conv.bias": torch.ones(4)}, "the same part"),
        ({LAST: Path("x")}, "cannot read"),
    ],
)
def test_weights_of_another_network(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any], message: str
) -> None:
    content = {name: value for name, value in {**weights(), **change}.items() if value is not None}
    line = refusal(write_portable_layout(tmp_path / "portable", content), capsys)
    assert line.startswith("PE-MODEL-008")
    assert message in line
    assert not list(results.iterdir())


def test_what_is_no_published_model(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert refusal(tmp_path / "none", capsys).startswith("PE-MODEL-002")
    (tmp_path / "empty").mkdir()
    assert refusal(tmp_path / "empty", capsys).startswith("PE-MODEL-021")
    other = write_portable_layout(tmp_path / "other", weights(), model_type="bert")
    assert refusal(other, capsys).startswith("PE-MODEL-021")
    bare = write_portable_layout(tmp_path / "bare", {})
    (bare / "pytorch_model.bin").unlink()
    assert "fetch model.safetensors or pytorch_model.bin" in refusal(bare, capsys)
    (bare / "config.json").write_text("{")
    (bare / "model.safetensors").write_bytes(b"\x10")
    assert refusal(bare, capsys).startswith("PE-MODEL-022")
    cut = write_portable_layout(tmp_path / "cut", {})
    (cut / "model.safetensors").write_bytes(b"\xff" * 40)
    assert "cannot read the weights" in refusal(cut, capsys)
    broken = write_nnunet_layout(tmp_path / "broken", {0: make_network(0)})
    file = broken / "fold_0" / "checkpoint_final.pth"
    file.write_bytes(file.read_bytes()[:-500])
    assert refusal(broken, capsys).startswith("PE-MODEL-003")
    assert not list(results.iterdir())


def test_checkpoints_of_numpy_1_and_2_load_as_data(tmp_path: Path) -> None:
    """NumPy 1 called the function that makes a scalar `numpy.core.multiarray.scalar`."""
    path, older = tmp_path / "2.pth", tmp_path / "1.pth"
    torch.save({"_best_ema": np.float64(0.25), "logging": {"loss": [np.float32(-0.5)]}}, path)
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(older, "w") as target:
        for member in source.infolist():
            content = source.read(member)
            for name in (b"core", b"_core"):
                content = content.replace(b"cnumpy." + name + b".multiarray\n", b"cnumpy.@.multiarray\n")
            target.writestr(member.filename, content.replace(b"cnumpy.@.", b"cnumpy.core."))
    for one in (path, older):
        assert load_file(one) == {"_best_ema": 0.25, "logging": {"loss": [-0.5]}}


def test_the_hash_of_a_file_is_gits(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"hello\n")  # `git hash-object` says so
    assert git_sha1(path) == "ce013625030ba8dba906f756967f9e9ca394464a"


def test_the_former_name_of_the_command_is_understood(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import-aanet", str(tmp_path / "none.pth"), "-d", "900"]) == 2
    assert capsys.readouterr().err.startswith("PE-MODEL-002")
