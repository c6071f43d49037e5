"""An nnU-Net model folder with AANet's published weights, as if they had been trained here as fold 0."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from pe_nnunet.dataset.dataset_json import DATASET
from pe_nnunet.dataset.folders import RESULTS, VARIABLES, dataset_folder_name, nnunet_folder, require_free_id
from pe_nnunet.dataset.training_split import KEY, TrainingSplit
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.files import atomic_folder, atomic_json
from pe_nnunet.model_import.plans import CONFIGURATION, PLANS, dataset_json, published_plans
from pe_nnunet.model_import.weights import read_weights
from pe_nnunet.volumes.files.volume_file import file_sha256

TRAINER = "PEAANetTrainer"
DEFAULT_NAME = "AANet"


def import_checkpoint(checkpoint: Path, dataset_id: int, name: str | None = None) -> tuple[Path, int]:
    """Make a checkpoint of AANet's authors a model below `nnUNet_results`.

    The folder appears whole or not at all.

    Args:
        checkpoint: See `read_weights`.
        dataset_id: 1 to 999. A dataset that has this id already gets the model beside its own.
        name: Of the dataset; if None, that of the dataset with this id, or AANet where there is none.

    Returns:
        The model folder, `TRAINER__PLANS__CONFIGURATION`, and how many numbers the network has.

    Raises:
        ConfigurationError: PE-ENV-001 if `nnUNet_results` is not set or no folder, PE-CONV-001 for an
            impossible id or name, PE-ENV-003 if the id has another name, PE-MODEL-009 if such a model is there,
            and as `read_weights`.
        OutputError: PE-OUT-001 if it cannot be written.
    """
    results = nnunet_folder(RESULTS)
    dataset = dataset_folder_name(dataset_id, name or _known_name(dataset_id) or DEFAULT_NAME)
    require_free_id(dataset_id, dataset)
    folder = results / dataset / f"{TRAINER}__{PLANS}__{CONFIGURATION}"
    if folder.exists():
        raise ConfigurationError(
            "PE-MODEL-009", f"there is a model already: {folder}", "delete that folder, or choose another -d"
        )
    network = read_weights(checkpoint)
    source = f"AANet's published weights, imported from {checkpoint.name}, SHA-256 {file_sha256(checkpoint)}"
    plans, dataset_facts = published_plans(network, dataset), dataset_json(source)
    with atomic_folder(folder) as temporary:
        atomic_json(temporary / "plans.json", plans)
        atomic_json(temporary / DATASET, dataset_facts)
        fold = temporary / "fold_0"
        fold.mkdir()
        torch.save(
            {
                "network_weights": network.state_dict(),
                "trainer_name": TRAINER,
                "init_args": {
                    "plans": plans,
                    "configuration": CONFIGURATION,
                    "fold": 0,
                    "dataset_json": dataset_facts,
                },
                "inference_allowed_mirroring_axes": None,  # the original does not mirror
                KEY: TrainingSplit(dataset, "0", {}, {}, "its weights are AANet's published ones").to_plain(),
            },
            fold / "checkpoint_final.pth",
        )
    return folder, sum(parameter.numel() for parameter in network.parameters())


def _known_name(dataset_id: int) -> str | None:
    """The name of the dataset with this id in any of nnU-Net's folders."""
    start = f"Dataset{dataset_id:03d}_"
    roots = (Path(root) for variable in VARIABLES if (root := os.environ.get(variable, "")))
    names = (path.name.removeprefix(start) for root in roots for path in sorted(root.glob(f"{start}*")))
    return next(names, None)
