"""Models by the names that users have for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.inference import named_models
from pe_nnunet.inference.archive_export import export_models
from pe_nnunet.inference.locate import locate_folder
from pe_nnunet.inference.named_models import find_model

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


def test_by_name(model_folder: Callable[..., Path], results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model_folder().parent.rename(results / "Dataset501_PE")
    expected = results / "Dataset501_PE" / MODEL
    for name in ("501", "Dataset501_PE", "PE", MODEL, f"Dataset501_PE/{MODEL}"):
        assert find_model(name) == expected
    with pytest.raises(ConfigurationError, match=f"PE-MODEL-001: 502 is no .*there: Dataset501_PE/{MODEL}"):
        find_model("502")
    monkeypatch.setitem(named_models.SHIPPED, "first", expected)
    assert find_model("first") == expected
