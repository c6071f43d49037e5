"""A published model to an nnU-Net model folder below `nnUNet_results`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path
from typing import Any

import torch

from pe_nnunet.dataset.dataset_json import DATASET
from pe_nnunet.dataset.folders import RESULTS, VARIABLES, dataset_folder_name, nnunet_folder, require_free_id
from pe_nnunet.dataset.training_split import KEY, TrainingSplit
from pe_nnunet.errors import ConfigurationError, Note
from pe_nnunet.files import atomic_folder, atomic_json
from pe_nnunet.inference.locate import FINAL
from pe_nnunet.inference.published import PublishedModel
from pe_nnunet.model_import.content import CONFIGURATION, ModelContent
from pe_nnunet.model_import.layouts import Layout, find_layout
from pe_nnunet.volumes.files.volume_file import file_sha256

BLOCK = 1 << 20


@dataclass(frozen=True)
class ImportedModel:
    """What was imported.

    Attributes:
        folder: `TRAINER__PLANS__CONFIGURATION` below the dataset's.
        model: The published model.
        layout: In which it lay, in words.
        parameters: How many numbers the network has.
        sha256: Of each file of weights, by its name.
        notes: What is doubtful about it.
    """

    folder: Path
    model: PublishedModel
    layout: str
    parameters: int
    sha256: Mapping[str, str]
    notes: tuple[Note, ...]


def import_model(path: Path, dataset_id: int | None = None, name: str | None = None) -> ImportedModel:
    """Make what the authors of a published model give a model below `nnUNet_results`.

    The folder appears whole or not at all. `dataset.json` in it states the weights' licence and citation.

    Args:
        path: See `find_layout`.
        dataset_id: 1 to 999; if None, the published model's own. A dataset that has this id already gets the model
            beside its own.
        name: Of the dataset; if None, that of the dataset with this id, or the published model's where there is none.

    Raises:
        ConfigurationError: PE-ENV-001 if `nnUNet_results` is not set or no folder, PE-CONV-001 for an
            impossible id or name, PE-ENV-003 if the id has another name, PE-MODEL-009 if such a model is there,
            PE-MODEL-002, -021 if no published model lies at the path, and as the layout's reader.
        OutputError: PE-OUT-001 if it cannot be written.
    """
    results = nnunet_folder(RESULTS)
    layout = find_layout(path)
    model = layout.model
    number = model.dataset_id if dataset_id is None else dataset_id
    dataset = dataset_folder_name(number, name or _known_name(number) or model.dataset_name)
    require_free_id(number, dataset)
    folder = results / dataset / model.model
    if folder.exists():
        raise ConfigurationError(
            "PE-MODEL-009", f"there is a model already: {folder}", "delete that folder, or choose another -d"
        )
    content = layout.read(layout.source, dataset)
    _write(content, folder, model)
    files = _weights_of(layout, content)
    hashes = {name: file_sha256(file) for name, file in files.items()}
    notes = tuple(_doubts(model, files, hashes))
    return ImportedModel(folder, model, layout.name, content.parameters, hashes, notes)


def _write(content: ModelContent, folder: Path, model: PublishedModel) -> None:
    with atomic_folder(folder) as temporary:
        atomic_json(temporary / "plans.json", dict(content.plans))
        atomic_json(temporary / DATASET, dict(content.dataset_json))
        for fold, weights in content.folds.items():
            held = temporary / f"fold_{fold}"
            held.mkdir()
            if isinstance(weights, Path):
                shutil.copyfile(weights, held / FINAL)
                continue
            split = TrainingSplit(folder.parent.name, fold, {}, {}, f"its weights are {model.title}'s published ones")
            torch.save(_checkpoint(content, fold, weights, model) | {KEY: split.to_plain()}, held / FINAL)


def _checkpoint(content: ModelContent, fold: str, weights: Mapping[str, Any], model: PublishedModel) -> dict[str, Any]:
    """What nnU-Net's trainer writes, as far as prediction reads it."""
    return {
        "network_weights": dict(weights),
        "trainer_name": model.model.split("__")[0],
        "init_args": {
            "plans": dict(content.plans),
            "configuration": CONFIGURATION,
            "fold": int(fold) if fold.isdigit() else fold,
            "dataset_json": dict(content.dataset_json),
        },
        "inference_allowed_mirroring_axes": content.mirror_axes,
    }


def _weights_of(layout: Layout, content: ModelContent) -> dict[str, Path]:
    """The published files of weights, by a name for people."""
    if layout.source.is_file():
        return {layout.source.name: layout.source}
    return {f"fold_{fold}/{path.name}": path for fold, path in content.folds.items() if isinstance(path, Path)}


def _doubts(model: PublishedModel, files: Mapping[str, Path], hashes: Mapping[str, str]) -> list[Note]:
    """A note for each file that is not one of those that are known, where any are."""
    if not model.sha256 and not model.git_sha1:
        return []
    text = f"{{}} is not the file at {model.origin} that is known here: its hash is another"
    return [
        Note("PE-MODEL-023", "warning", text.format(name))
        for name, path in files.items()
        if hashes[name] not in model.sha256 and git_sha1(path) not in model.git_sha1
    ]


def git_sha1(path: Path) -> str:
    """The hash by which git names a file's content: a published file in a repository is known by it.

    Args:
        path: The file.
    """
    found = sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            found.update(block)
    return found.hexdigest()


def _known_name(dataset_id: int) -> str | None:
    """The name of the dataset with this id in any of nnU-Net's folders."""
    start = f"Dataset{dataset_id:03d}_"
    roots = (Path(root) for variable in VARIABLES if (root := os.environ.get(variable, "")))
    names = (path.name.removeprefix(start) for root in roots for path in sorted(root.glob(f"{start}*")))
    return next(names, None)
