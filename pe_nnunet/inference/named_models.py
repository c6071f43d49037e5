"""A trained model by what a user calls it: one that is shipped, a folder, an archive, or one in `nnUNet_results`."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from pe_nnunet.dataset.folders import RESULTS, nnunet_folder
from pe_nnunet.errors import ConfigurationError, Note
from pe_nnunet.errors.near import did_you_mean
from pe_nnunet.inference.archive_install import install_models
from pe_nnunet.inference.locate import FINAL, ModelLocation, locate_folder
from pe_nnunet.inference.shipped import PLANS, SHIPPED, shipped_folder

FOLD = "fold_"


def find_model(name: str) -> Path:
    """The folder of a model, `TRAINER__PLANS__CONFIGURATION`, or that of a shipped one.

    Args:
        name: Of a shipped model, which goes before a folder of the same name (`./NAME` is that folder); the path of a
            model folder, of a fold of it, or of a folder that holds one model; the path of an archive that `pe-nnunet
            export-model` wrote, which is installed; or, of a model in `nnUNet_results`,
            `DatasetXXX_Name/TRAINER__PLANS__CONFIGURATION` or an end or a beginning of that which no other has: the
            dataset's id or name where it has one model, or the model's name.

    Raises:
        ConfigurationError: PE-MODEL-001 if that is no model, or several; PE-MODEL-030 if it is a shipped one that this
            installation does not have; as `install_models` for an archive.
    """
    if name in SHIPPED:
        return shipped_folder(name)
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
    results = _results()
    there = [] if results is None else [folder.parent for folder in sorted(results.glob(f"Dataset*/*__*__*/{PLANS}"))]
    found = [folder for folder in there if name in _names(folder)]
    if not found:
        raise _unknown(name, there, results)
    return _the_one(name, found, f"{results} holds")


def locate_model(name: str | Path, folds: Sequence[str] | None = None, checkpoint: str = FINAL) -> ModelLocation:
    """A model with its folds checked.

    Args:
        name: See `find_model`; a `Path` is a folder and never a name.
        folds: Which; None: the one that was named by its path, else all that hold the checkpoint.
        checkpoint: File name within a fold.

    Raises:
        ConfigurationError: As `find_model` and `locate_folder`.
    """
    path = Path(name)
    folder = find_model(name) if isinstance(name, str) else path
    if folds is None and path.name.startswith(FOLD) and folder == path.parent:
        folds = [path.name.removeprefix(FOLD)]
    return locate_folder(folder, folds, checkpoint)


def name_notes(names: Iterable[str | Path]) -> list[Note]:
    """A warning for each name of a shipped model that is that of another model here as well.

    Args:
        names: As `locate_model` takes them.
    """
    shipped = [name for name in names if isinstance(name, str) and name in SHIPPED]
    both = [name for name in shipped if Path(name).is_file() or _models_in(Path(name))]
    return [
        Note(
            "PE-MODEL-031",
            "warning",
            f"{name} is the model that ships with the package, not the one in this folder: ./{name} names that",
        )
        for name in dict.fromkeys(both)
    ]


def _results() -> Path | None:
    """`nnUNet_results`, or None where that is not set."""
    try:
        return nnunet_folder(RESULTS)
    except ConfigurationError:
        return None


def _unknown(name: str, there: Sequence[Path], results: Path | None) -> ConfigurationError:
    """The error for a name that is nobody's, with the nearest one, or else all."""
    parent = Path(name).parent
    beside = sorted(str(parent / path.name) for path in parent.glob("*__*__*") if (path / PLANS).is_file())
    known = [*SHIPPED, *(f"{folder.parent.name}/{folder.name}" for folder in there), *beside]
    spellings = {called: f"{folder.parent.name}/{folder.name}" for folder in there for called in _names(folder)}
    place = f"and no model in {results}" if results is not None else f"({RESULTS}, where others could lie, is not set)"
    return ConfigurationError(
        "PE-MODEL-001",
        f"{name} is no shipped model, no folder, no archive {place}",
        did_you_mean(name, known, f"there: {', '.join(dict.fromkeys(known))}", spellings=spellings),
    )


def _models_in(folder: Path) -> list[Path]:
    """The model folder that a folder is, that it is a fold of, or those that it holds."""
    for candidate in (folder, folder.parent) if folder.name.startswith(FOLD) else (folder,):
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
