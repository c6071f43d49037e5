"""A trained nnU-Net model, loaded once: plans, network, the weights of its folds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import torch
from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch import Tensor, nn

from pe_nnunet.architecture import network_of_trainer
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.inference.checkpoint import read_checkpoint
from pe_nnunet.inference.locate import ModelLocation
from pe_nnunet.labels import pe_channel
from pe_nnunet.networks.blocks.instance_norm import with_our_norms
from pe_nnunet.outputs import ModelRecord
from pe_nnunet.precision import channels_last
from pe_nnunet.registration import register
from pe_nnunet.volumes.files import file_sha256


@dataclass(frozen=True)
class TrainedModel:
    """One network with the weights of several folds.

    Attributes:
        name: `TRAINER__PLANS__CONFIGURATION`.
        network: Built without deep supervision, in eval mode.
        folds: (fold, weights) pairs; weights on the CPU.
        records: What a result says of each fold: file and hash.
        plans: nnU-Net's `PlansManager`.
        configuration: nnU-Net's `ConfigurationManager`.
        dataset_json: As nnU-Net wrote it.
        mirror_axes: Spatial axes over which prediction may be mirrored; empty for none.
        pe_channel: Output channel of PE.
        regions: Whether outputs are sigmoid regions.
    """

    name: str
    network: nn.Module
    folds: tuple[tuple[str, dict[str, Tensor]], ...]
    records: tuple[ModelRecord, ...]
    plans: Any
    configuration: Any
    dataset_json: dict[str, Any]
    mirror_axes: tuple[int, ...]
    pe_channel: int
    regions: bool

    @property
    def patch_size(self) -> tuple[int, ...]:
        """Of a window: (z, y, x), or (y, x) for a 2D model."""
        return tuple(int(n) for n in self.configuration.patch_size)


def load_model(location: ModelLocation, device: torch.device, trust: bool = False) -> TrainedModel:
    """Load a model with the weights of its folds.

    Args:
        location: Where it lies.
        device: Where it runs.
        trust: See `read_checkpoint`.

    Raises:
        ConfigurationError: PE-MODEL-002 or -003.
    """
    register()  # the trainer is found by name
    plans = PlansManager(json.loads((location.folder / "plans.json").read_text(encoding="utf-8")))
    dataset_json = json.loads((location.folder / "dataset.json").read_text(encoding="utf-8"))
    paths = [location.folder / f"fold_{fold}" / location.checkpoint for fold in location.folds]
    checkpoints = [read_checkpoint(path, trust) for path in paths]
    first = checkpoints[0]
    configuration = plans.get_configuration(first["init_args"]["configuration"])
    labels = plans.get_label_manager(dataset_json)
    network = network_of_trainer(
        first["trainer_name"],
        plans,
        configuration,
        determine_num_input_channels(plans, configuration, dataset_json),
        labels.num_segmentation_heads,
    )
    for path, checkpoint in zip(paths, checkpoints, strict=True):
        try:
            network.load_state_dict(checkpoint["network_weights"])
        except RuntimeError as error:
            raise ConfigurationError(
                "PE-MODEL-003", f"{path} does not fit the plans beside it: {' '.join(str(error).split())[:200]}"
            ) from error
    if device.type == "cpu":
        network = with_our_norms(network)
    return TrainedModel(
        name=location.folder.name,
        network=channels_last(network.to(device).eval(), len(configuration.patch_size)),
        folds=tuple(zip(location.folds, (item["network_weights"] for item in checkpoints), strict=True)),
        records=tuple(
            ModelRecord(location.folder.name, location.folder.parent.name, fold, path.name, file_sha256(path))
            for fold, path in zip(location.folds, paths, strict=True)
        ),
        plans=plans,
        configuration=configuration,
        dataset_json=dataset_json,
        mirror_axes=tuple(first.get("inference_allowed_mirroring_axes") or ()),
        pe_channel=pe_channel(dataset_json["labels"], labels.has_regions),
        regions=labels.has_regions,
    )
