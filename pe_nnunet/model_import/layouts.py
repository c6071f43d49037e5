"""In which layout a published model lies at a path, as its authors give it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.files.json_reader import MALFORMED, read_object
from pe_nnunet.inference.published import PUBLISHED, PublishedModel
from pe_nnunet.model_import.aanet import read_aanet
from pe_nnunet.model_import.content import ModelContent
from pe_nnunet.model_import.nnunet_folder import published_model, read_nnunet_folder
from pe_nnunet.model_import.portable import CONFIG, MODEL_TYPE, WEIGHTS, read_portable

AANET_FILES = ("aanet.pth", "save_models/aanet.pth")  # the second in a clone of its repository
DEEPEST = 3  # folders above that of an nnU-Net model: dataset, nnUNet_results, and what holds that


@dataclass(frozen=True)
class Layout:
    """A way in which a published model is given.

    Attributes:
        name: In words.
        model: Which.
        read: Reads it from `found`, for a dataset of that name.
        source: The file of the weights; the folder, where there are several.
    """

    name: str
    model: PublishedModel
    read: Callable[[Path, str], ModelContent]
    source: Path


def find_layout(path: Path) -> Layout:
    """The layout of what lies at a path.

    Args:
        path: AANet's file or a folder with it; a portable folder (`config.json` and weights) or its weights; an nnU-Net
            model's folder, one of its checkpoints, or a folder above it.

    Raises:
        ConfigurationError: PE-MODEL-002 if there is nothing, PE-MODEL-021 if it is no published model that is known.
    """
    if not path.exists():
        raise ConfigurationError("PE-MODEL-002", f"no file or folder {path}", "give the published file or folder")
    if path.is_file():
        if path.name in WEIGHTS and _is_portable(path.parent):
            return Layout("portable", PUBLISHED["duke"], read_portable, path)
        fold = path.absolute().parent  # the file may be given by its bare name
        if fold.name.startswith("fold_") and (fold.parent / "plans.json").is_file():
            return _nnunet(fold.parent)
        return Layout("checkpoint", PUBLISHED["aanet"], read_aanet, path)
    if _is_portable(path):
        files = [path / name for name in WEIGHTS if (path / name).is_file()]
        if not files:
            raise ConfigurationError(
                "PE-MODEL-002", f"{path} holds {CONFIG} and no weights", f"fetch {' or '.join(WEIGHTS)} beside it"
            )
        return Layout("portable", PUBLISHED["duke"], read_portable, files[0])
    if aanet := next((path / name for name in AANET_FILES if (path / name).is_file()), None):
        return Layout("checkpoint", PUBLISHED["aanet"], read_aanet, aanet)
    models = [plans.parent for depth in range(DEEPEST + 1) for plans in sorted(path.glob("*/" * depth + "plans.json"))]
    if len(models) == 1:
        return _nnunet(models[0])
    there = f"{len(models)} model folders" if models else ", ".join(sorted(p.name for p in path.iterdir())[:5])
    raise ConfigurationError(
        "PE-MODEL-021",
        f"{path} is no published model: it holds {there or 'nothing'}",
        f"give AANet's aanet.pth, a folder with {CONFIG} and {' or '.join(WEIGHTS)}, or one nnU-Net model folder",
    )


def _nnunet(folder: Path) -> Layout:
    return Layout("nnU-Net", published_model(folder), read_nnunet_folder, folder)


def _is_portable(folder: Path) -> bool:
    """Whether a folder's `config.json` is of the kind that is known here; one that cannot be read may be."""
    if not (folder / CONFIG).is_file():
        return False
    try:
        kind = read_object(folder / CONFIG).get("model_type")
    except MALFORMED:
        return True  # reading it says what is wrong
    if kind != MODEL_TYPE:
        raise ConfigurationError(
            "PE-MODEL-021",
            f"{folder / CONFIG} is of the model type {str(kind)!r:.80}, expected {MODEL_TYPE!r}",
            "give the folder of a published model of pulmonary embolism",
        )
    return True
