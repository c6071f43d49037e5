"""Models by the names that users have for them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.inference.archive_export import export_models
from pe_nnunet.inference.checkpoint_file import read_checkpoint
from pe_nnunet.inference.locate import locate_folder
from pe_nnunet.inference.named_models import find_model, locate_model, name_notes
from pe_nnunet.inference.shipped import SHIPPED, shipped_as

MODEL = "nnUNetTrainer__nnUNetPlans__3d_fullres"


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "nnUNet_results"
    folder.mkdir()
    monkeypatch.setenv("nnUNet_results", str(folder))
    return folder


def test_by_folder(model_folder: Callable[..., Path], results: Path) -> None:
    folder = model_folder()
    for path in (folder, folder / "fold_0", folder.parent):
        assert find_model(str(path)) == folder
    model_folder("Other__nnUNetPlans__3d_fullres")
    with pytest.raises(ConfigurationError, match=r"PE-MODEL-001: .* 2 models, 1 expected.*Other__nnUNetPlans"):
        find_model(str(folder.parent))
    with pytest.raises(ConfigurationError, match=r"PE-MODEL-001: .* 0 models"):
        find_model(str(results))


def test_by_archive_which_is_installed_once(model_folder: Callable[..., Path], results: Path, tmp_path: Path) -> None:
    archive = tmp_path / "model.zip"
    export_models([locate_folder(model_folder(), None)], archive, [])
    expected = results / "Dataset501_PE" / MODEL
    assert find_model(str(archive)) == expected
    assert (expected / "fold_0" / "checkpoint_final.pth").is_file()
    assert find_model(str(archive)) == expected
    archive.write_bytes(b"no archive")
    with pytest.raises(ConfigurationError, match=r"PE-MODEL-001: .*neither"):
        find_model(str(archive))


def test_by_name(model_folder: Callable[..., Path], results: Path) -> None:
    model_folder().parent.rename(results / "Dataset501_PE")
    expected = results / "Dataset501_PE" / MODEL
    for name in ("501", "Dataset501_PE", "PE", MODEL, f"Dataset501_PE/{MODEL}"):
        assert find_model(name) == expected
    with pytest.raises(ConfigurationError, match=f"PE-MODEL-001: 502 is no .*there: .*Dataset501_PE/{MODEL}"):
        find_model("502")


def test_a_shipped_name_goes_before_a_folder_and_is_said(
    model_folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = model_folder()
    monkeypatch.setitem(SHIPPED, "first", shipped)
    monkeypatch.chdir(tmp_path)
    assert name_notes(["first"]) == []
    other = shipped.parent / "Other__nnUNetPlans__3d_fullres"
    shutil.copytree(shipped, other)
    (tmp_path / "first").symlink_to(other, target_is_directory=True)
    assert find_model("first") == shipped
    assert find_model("./first").absolute() == tmp_path / "first" == locate_model(Path("first")).folder.absolute()
    (note,) = name_notes(["first", "./first", Path("first"), "502"])
    assert note.code == "PE-MODEL-031"
    assert shipped_as(tmp_path / "first") is None
    assert shipped_as(shipped) == "first"


def test_a_fold_that_is_named_by_its_path_is_the_one_that_is_taken(model_folder: Callable[..., Path]) -> None:
    folder = model_folder(folds=(0, 1))
    assert locate_model(str(folder)).folds == ("0", "1")
    assert locate_model(str(folder / "fold_1")).folds == ("1",)


@pytest.mark.parametrize(("typed", "meant"), [("strater", "starter"), ("Starter", "starter"), ("Dataset501_pe", "PE")])
def test_near_misses(
    typed: str, meant: str, model_folder: Callable[..., Path], results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_folder().parent.rename(results / "Dataset501_PE")
    with pytest.raises(ConfigurationError, match=f"PE-MODEL-001: {typed} is no .*did you mean .*{meant}"):
        find_model(typed)
    monkeypatch.delenv("nnUNet_results")
    with pytest.raises(ConfigurationError, match=r"PE-MODEL-001: .*nnUNet_results, .* is not set"):
        find_model("502")


def test_a_shipped_model_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(SHIPPED, "starter", tmp_path / "starter")
    with pytest.raises(ConfigurationError, match=r"PE-MODEL-030: the model starter is not in this installation"):
        find_model("starter")


def test_half_precision_is_read_as_single_and_shared_weights_stay_shared(model_folder: Callable[..., Path]) -> None:
    path = model_folder() / "fold_0" / "checkpoint_final.pth"
    content = torch.load(path, weights_only=True)
    plain = read_checkpoint(path)["network_weights"]
    half = {name: value.half() for name, value in plain.items()}
    half["again"] = half[next(iter(half))]
    torch.save(content | {"network_weights": half}, path)
    read = read_checkpoint(path)["network_weights"]
    assert all(value.dtype == torch.float32 for value in read.values())
    assert read["again"].data_ptr() == read[next(iter(half))].data_ptr()
    assert all(torch.allclose(read[name], plain[name], atol=1e-3) for name in plain)
