"""A trained model by what a user calls it: a folder, an archive, an installed model, or one that is shipped."""

from __future__ import annotations

import zipfile
from pathlib import Path

from pe_nnunet.dataset.folders import RESULTS, nnunet_folder
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.errors.near import did_you_mean
from pe_nnunet.inference.archive_install import install_models

SHIPPED: dict[str, Path] = {}
"""Name -> folder of a model that comes with the package."""

PLANS = "plans.json"


def find_model(name: str) -> Path:
    """The folder of a model, `TRAINER__PLANS__CONFIGURATION`.

    Args:
        name: Of a shipped model; the path of a model folder, or of a folder that holds one; the path of an archive that
            `pe-nnunet export-model` wrote, which is installed; or, of a model in `nnUNet_results`,
            `DatasetXXX_Name/TRAINER__PLANS__CONFIGURATION` or an end or a beginning of that which no other has: the
            dataset's id or name where it has one model, or the model's name.

    Raises:
        ConfigurationError: PE-MODEL-001 if that is no model, or several; as `install_models` for an archive.
    """
    if name in SHIPPED:
        return SHIPPED[name]
    path = Path(name)
    if path.is_dir():
        return _the_one(name, _models_in(path), f"{path} holds")
    if path.is_file():
        if not zipfile.is_zipfile(path):
            raise ConfigurationError(
                "PE-MODEL-001", f"{path} is neither a model folder nor an archive of models", "name one of these"
            )
        folders, _, _ = install_models(path, nnunet_folder(RESULTS), again=True)
        return _the_one(name, [folder for folder in folders if (folder / PLANS).is_file()], f"{path} holds")
    results = nnunet_folder(RESULTS)
    there = [folder.parent for folder in sorted(results.glob(f"Dataset*/*__*__*/{PLANS}"))]
    found = [folder for folder in there if name in _names(folder)]
    if not found:
        known = [*SHIPPED, *(f"{folder.parent.name}/{folder.name}" for folder in there)]
        spellings = {called: f"{folder.parent.name}/{folder.name}" for folder in there for called in _names(folder)}
        raise ConfigurationError(
            "PE-MODEL-001",
            f"{name} is no folder, no archive and no model in {results}",
            did_you_mean(name, SHIPPED, f"there: {', '.join(known) or 'none'}", spellings=spellings),
        )
    return _the_one(name, found, f"{results} holds")


def _models_in(folder: Path) -> list[Path]:
    """The model folder that a folder is, that it is a fold of, or those that it holds."""
    for candidate in (folder, folder.parent) if folder.name.startswith("fold_") else (folder,):
        if (candidate / PLANS).is_file():
            return [candidate]
    return [path.parent for path in sorted(folder.glob(f"*/{PLANS}"))]


def _names(folder: Path) -> set[str]:
    """What a model in `nnUNet_results` may be called."""
    dataset, model = folder.parent.name, folder.name
    number, _, name = dataset.removeprefix("Dataset").partition("_")
    return {f"{dataset}/{model}", dataset, name, model, number, number.lstrip("0")}


def _the_one(name: str, found: list[Path], holder: str) -> Path:
    if len(found) != 1:
        there = ", ".join(f"{folder.parent.name}/{folder.name}" for folder in found)
        hint = f"name one of them: {there}" if found else "name the folder that holds plans.json and fold_*"
        raise ConfigurationError("PE-MODEL-001", f"{name}: {holder} {len(found)} models, 1 expected", hint)
    return found[0]
