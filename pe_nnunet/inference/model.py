"""A trained nnU-Net model, loaded once: plans, network, the weights of its folds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch import Tensor, nn

from pe_nnunet.architecture import network_of_trainer
from pe_nnunet.dataset.channels import channel_count
from pe_nnunet.dataset.dataset_json import citation_of, licence_of, notice_of, pe_channel, read_dataset_json
from pe_nnunet.dataset.probabilities import READERS
from pe_nnunet.detection.record import ONNX, DetectorRecord
from pe_nnunet.errors import ConfigurationError, PEError
from pe_nnunet.fusion.weights import Weights
from pe_nnunet.inference.checkpoint_file import read_checkpoint
from pe_nnunet.inference.compiled_network import Backend
from pe_nnunet.inference.locate import ModelLocation, no_checkpoint
from pe_nnunet.inference.network_cost import NetworkCost, divisor_of, network_cost
from pe_nnunet.inference.plan_numbers import require_possible_numbers
from pe_nnunet.inference.published import with_terms
from pe_nnunet.named_classes import read_plans
from pe_nnunet.networks.blocks.instance_norm import with_our_norms
from pe_nnunet.outputs import ModelRecord, ModelTerms
from pe_nnunet.precision import channels_last
from pe_nnunet.registration import register
from pe_nnunet.volumes.files.volume_file import file_sha256


@dataclass(frozen=True)
class TrainedModel:
    """One network with the weights of several folds.

    Attributes:
        name: `TRAINER__PLANS__CONFIGURATION`.
        configuration_name: By which the plans know it.
        network: Built without deep supervision, in eval mode.
        folds: (fold, weights) pairs; weights on the CPU.
        records: What a result says of each fold: file and hash.
        plans: nnU-Net's `PlansManager`.
        configuration: nnU-Net's `ConfigurationManager`.
        dataset_json: As nnU-Net wrote it, with licence and citation where these are known, and a notice if it has one.
        mirror_axes: Spatial axes over which prediction may be mirrored; empty for none.
        pe_channel: Output channel of PE.
        regions: Whether outputs are sigmoid regions.
        divisor: What the sides of a window have to be divisible by.
        cost: What a window takes; None where that is not known.
        window: Its sides, if it is not the trained patch; see `pe_nnunet.inference.window_size`.
        backend: What runs the network in torch's place; see `pe_nnunet.inference.backends`.
    """

    name: str
    configuration_name: str
    network: nn.Module
    folds: tuple[tuple[str, dict[str, Tensor]], ...]
    records: tuple[ModelRecord, ...]
    plans: Any
    configuration: Any
    dataset_json: dict[str, Any]
    mirror_axes: tuple[int, ...]
    pe_channel: int
    regions: bool
    divisor: tuple[int, ...]
    cost: NetworkCost | None
    window: tuple[int, ...] | None = None
    backend: Backend | None = None

    @property
    def n_channels(self) -> int:
        """Channels of the images that it was trained on."""
        return channel_count(self.dataset_json)

    @property
    def patch_size(self) -> tuple[int, ...]:
        """That it was trained on: (z, y, x), or (y, x) for a 2D model."""
        return tuple(int(n) for n in self.configuration.patch_size)

    @property
    def window_size(self) -> tuple[int, ...]:
        """What it is given at once: (z, y, x), or (y, x) for a 2D model."""
        return self.window or self.patch_size

    def network_with(self, weights: dict[str, Tensor]) -> nn.Module:
        """What gives logits of windows, with the weights of a fold."""
        if self.backend is not None:
            return self.backend.network_with(self.network, weights, (self.n_channels, *self.window_size))
        self.network.load_state_dict(weights)
        return self.network


def load_model(
    location: ModelLocation,
    device: torch.device,
    trust: bool = False,
    records: tuple[ModelRecord, ...] | None = None,
) -> TrainedModel:
    """Load a model with the weights of its folds.

    Args:
        location: Where it lies.
        device: Where it runs.
        trust: See `read_checkpoint`.
        records: What `model_records` gave, where that was asked before.

    Raises:
        ConfigurationError: PE-MODEL-002, -003 or -020, as `read_checkpoint` and `read_plans`.
    """
    register()  # the trainer is found by name
    plans_json = read_plans(location.folder / "plans.json")
    dataset_json = with_terms(plans_json, read_dataset_json(location.folder))
    paths = [location.folder / f"fold_{fold}" / location.checkpoint for fold in location.folds]
    checkpoints = [_without_optimizer(read_checkpoint(path, trust)) for path in paths]
    first = checkpoints[0]
    require_own_values(first, paths[0])
    try:
        plans = PlansManager(plans_json)
        configuration = plans.get_configuration(first["init_args"]["configuration"])
        labels = plans.get_label_manager(dataset_json)
        parts = (
            first["trainer_name"],
            plans,
            configuration,
            determine_num_input_channels(plans, configuration, dataset_json),
            labels.num_segmentation_heads,
        )
        require_possible_numbers(plans_json, configuration.configuration)
        with torch.device("meta"):  # nothing is taken for a network of other sizes than its weights
            sketch = network_of_trainer(*parts)
        shapes = {name: tuple(tensor.shape) for name, tensor in sketch.state_dict().items()}
        _require_shapes(shapes, checkpoints, paths)
        network = network_of_trainer(*parts)
        channel = pe_channel(dataset_json["labels"], labels.has_regions)
        patch_axes = set(range(len(configuration.patch_size)))
    except PEError:
        raise
    except Exception as error:  # nnU-Net and torch raise whatever plans of other values make them
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ConfigurationError(
            "PE-MODEL-003",
            f"{location.folder}: plans.json, dataset.json and {location.checkpoint} make no network ({reason})",
            "copy the model again",
        ) from error
    for path, checkpoint in zip(paths, checkpoints, strict=True):
        try:
            network.load_state_dict(checkpoint["network_weights"])
        except RuntimeError as error:
            raise ConfigurationError(
                "PE-MODEL-003", f"{path} does not fit the plans beside it: {' '.join(str(error).split())[:200]}"
            ) from error
    mirror_axes = tuple(first.get("inference_allowed_mirroring_axes") or ())
    if not set(mirror_axes) <= patch_axes:
        raise ConfigurationError("PE-MODEL-003", f"{paths[0]} mirrors over axes {mirror_axes}, which its patches lack")
    if device.type == "cpu":
        network = with_our_norms(network)
    return TrainedModel(
        name=location.folder.name,
        configuration_name=str(first["init_args"]["configuration"]),
        network=channels_last(network.to(device).eval(), len(configuration.patch_size)),
        folds=tuple(zip(location.folds, (item["network_weights"] for item in checkpoints), strict=True)),
        records=model_records(location) if records is None else records,
        plans=plans,
        configuration=configuration,
        dataset_json=dataset_json,
        mirror_axes=mirror_axes,
        pe_channel=channel,
        regions=labels.has_regions,
        divisor=divisor_of(network, configuration),
        cost=network_cost(sketch, channel_count(dataset_json), configuration.patch_size),
    )


def _without_optimizer(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint without what only a training goes on with: as many numbers as the weights, for every fold."""
    checkpoint.pop("optimizer_state", None)
    return checkpoint


def require_own_values(checkpoint: dict[str, Any], path: Path) -> None:
    """Check what nnU-Net's own trainers write into a checkpoint beside the weights.

    Raises:
        ConfigurationError: PE-MODEL-003.
    """
    name, arguments = checkpoint["trainer_name"], checkpoint["init_args"]
    configuration = arguments.get("configuration") if isinstance(arguments, dict) else None
    axes = checkpoint.get("inference_allowed_mirroring_axes")
    axes = () if axes is None else axes
    plain = isinstance(axes, (list, tuple)) and all(isinstance(axis, int) for axis in axes)
    if not (isinstance(name, str) and name.isidentifier() and isinstance(configuration, str) and plain):
        raise ConfigurationError(
            "PE-MODEL-003",
            f"{path} names the trainer {name!r:.80}, the configuration {configuration!r:.80} and the axes {axes!r:.80}",
            "it is no checkpoint of nnU-Net's, or damaged: copy it again",
        )


def _require_shapes(shapes: Mapping[str, Any], checkpoints: Sequence[dict[str, Any]], paths: Sequence[Path]) -> None:
    """Check that weights have the network's names and shapes."""
    for path, checkpoint in zip(paths, checkpoints, strict=True):
        weights = checkpoint["network_weights"]
        for name in shapes.keys() | weights.keys():
            found, expected = weights.get(name), shapes.get(name)
            if found is None or expected is None or tuple(found.shape) != expected:
                has = "nothing" if found is None else f"shape {tuple(found.shape)}"
                text = f"{name!s:.100} has {has}, expected {expected or 'nothing'}"
                raise ConfigurationError("PE-MODEL-003", f"{path} does not fit the plans beside it: {text}")


def model_records(location: ModelLocation) -> tuple[ModelRecord, ...]:
    """What outputs say of a model: its names, and the hash of each fold's checkpoint.

    Raises:
        ConfigurationError: PE-MODEL-002 if a checkpoint is not there.
    """
    folder, name = location.folder, location.checkpoint
    if absent := [fold for fold in location.folds if not (folder / f"fold_{fold}" / name).is_file()]:
        raise no_checkpoint(folder, absent, name)
    return tuple(
        ModelRecord(folder.name, folder.parent.name, fold, name, file_sha256(folder / f"fold_{fold}" / name))
        for fold in location.folds
    )


def terms_of(model: TrainedModel) -> ModelTerms | None:
    """Licence, citation and notice that came with a model; None where it states none of them."""
    stated = tuple(read(model.dataset_json) for read in (licence_of, citation_of, notice_of))
    if not any(stated):
        return None
    return ModelTerms(model.name, model.records[0].dataset, *stated)


def weights_of(locations: Sequence[ModelLocation], detector: Sequence[DetectorRecord] = ()) -> Weights:
    """What calibrated settings are compared with.

    Args:
        locations: Models and folds.
        detector: Folds of a detector.
    """
    return weights_of_records([record for place in locations for record in model_records(place)], detector)


def weights_of_records(models: Iterable[ModelRecord], detector: Iterable[DetectorRecord] = ()) -> Weights:
    """See `weights_of`."""
    return Weights(
        {(record.model, record.fold): (record.checkpoint, record.sha256) for record in models},
        {f"fold {record.fold}": record.sha256[ONNX] for record in detector},
    )


def require_one_scheme(models: Sequence[TrainedModel]) -> None:
    """Refuse models whose mean cannot be written in nnU-Net's format.

    Raises:
        ConfigurationError: PE-MODEL-015 if they have different labels, or plans for a reader of pictures.
    """
    schemes = [(model.dataset_json["labels"], model.dataset_json.get("regions_class_order")) for model in models]
    for model, scheme in zip(models, schemes, strict=True):
        if scheme != schemes[0]:
            raise ConfigurationError(
                "PE-MODEL-015",
                f"{models[0].name} and {model.name} have different labels: their classes have no common mean",
                "leave --save-nnunet (--save_probabilities) out, or predict with one of them",
            )
        if (reader := model.plans.plans["image_reader_writer"]) not in READERS:
            raise ConfigurationError(
                "PE-MODEL-015", f"{model.name} was trained on what {reader} reads", f"expected {', '.join(READERS)}"
            )
