"""A trained nnU-Net model, loaded once: plans, network, the weights of its folds."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch import Tensor, nn

from pe_nnunet.architecture import network_of_trainer
from pe_nnunet.dataset.channels import channel_count
from pe_nnunet.dataset.dataset_json import pe_channel, read_dataset_json
from pe_nnunet.dataset.probabilities import READERS
from pe_nnunet.detection.record import ONNX, DetectorRecord
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.fusion.weights import Weights
from pe_nnunet.inference.locate import ModelLocation, no_checkpoint
from pe_nnunet.named_classes import read_plans
from pe_nnunet.networks.blocks.instance_norm import with_our_norms
from pe_nnunet.outputs import ModelRecord
from pe_nnunet.precision import channels_last
from pe_nnunet.registration import register
from pe_nnunet.volumes.files.volume_file import file_sha256


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
    def n_channels(self) -> int:
        """Channels of the images that it was trained on."""
        return channel_count(self.dataset_json)

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
        ConfigurationError: PE-MODEL-002, -003 or -020, as `read_checkpoint` and `read_plans`.
    """
    register()  # the trainer is found by name
    plans = PlansManager(read_plans(location.folder / "plans.json"))
    dataset_json = read_dataset_json(location.folder)
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
        records=model_records(location),
        plans=plans,
        configuration=configuration,
        dataset_json=dataset_json,
        mirror_axes=tuple(first.get("inference_allowed_mirroring_axes") or ()),
        pe_channel=pe_channel(dataset_json["labels"], labels.has_regions),
        regions=labels.has_regions,
    )


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


def weights_of(locations: Sequence[ModelLocation], detector: Sequence[DetectorRecord] = ()) -> Weights:
    """What calibrated settings are compared with.

    Args:
        locations: Models and folds.
        detector: Folds of a detector.
    """
    return Weights(
        {(r.model, r.fold): (r.checkpoint, r.sha256) for place in locations for r in model_records(place)},
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


MOST_UNPACKED = 20
REQUIRED = ("network_weights", "trainer_name", "init_args")


def _numpy_globals() -> list[Any]:
    """What checkpoints often hold beside tensors, nnU-Net's among them: numpy scalars, the metrics of a training."""
    core = np._core if hasattr(np, "_core") else np.core
    kinds = {type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i4", "i8", "?")}
    return [core.multiarray.scalar, np.dtype, *kinds]


def load_file(path: Path, trust: bool = False) -> Any:
    """What `torch.save` wrote, on the CPU; tensors and plain values alone, unless the file is trusted.

    Args:
        path: The file.
        trust: Whether arbitrary pickled objects may be loaded, which runs code from the file.

    Raises:
        Exception: Of many kinds, as `torch.load`, where the file is damaged (by its checksums) or holds more.
    """
    if zipfile.is_zipfile(path):  # torch does not compare the checksums of its own format
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
            if unpacked > MOST_UNPACKED * path.stat().st_size:  # torch.save does not compress
                raise zipfile.BadZipFile(f"it unpacks to {unpacked} bytes, more than {MOST_UNPACKED} times its size")
            damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"wrong checksum of {damaged}")
    with torch.serialization.safe_globals(_numpy_globals()):
        return torch.load(path, map_location="cpu", weights_only=not trust)


def read_checkpoint(path: Path, trust: bool = False) -> dict[str, Any]:
    """The content of an nnU-Net checkpoint, on the CPU.

    Args:
        path: A `.pth` file.
        trust: Whether arbitrary pickled objects may be loaded, which runs code from the file.

    Raises:
        ConfigurationError: If it is absent (PE-MODEL-002), or unreadable, unsafe or none of nnU-Net's (PE-MODEL-003).
    """
    if not path.is_file():
        raise no_checkpoint(path.parents[1], (path.parent.name.removeprefix("fold_"),), path.name)
    try:
        content = load_file(path, trust)
    except Exception as error:
        damage = f", {error}" if isinstance(error, zipfile.BadZipFile) else ""
        raise ConfigurationError(
            "PE-MODEL-003",
            f"cannot read the checkpoint {path}: {type(error).__name__}{damage}",
            "it is damaged, or holds more than weights; --trust-checkpoint loads it if you trust its source",
        ) from error
    missing = [key for key in REQUIRED if not isinstance(content, dict) or key not in content]
    if missing:
        raise ConfigurationError("PE-MODEL-003", f"{path} is no nnU-Net checkpoint: it lacks {', '.join(missing)}")
    return dict(content)


CHOICES = ("auto", "cuda", "cpu", "mps")


def pick_device(name: str = "auto") -> torch.device:
    """The device of that name; `auto` takes CUDA, else Apple's MPS, else the CPU.

    Args:
        name: One of `CHOICES`.

    Raises:
        ConfigurationError: PE-ENV-004 if it is not there.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if available[kind])
    if not available.get(name, False):
        there = ", ".join(kind for kind, ready in available.items() if ready)
        raise ConfigurationError("PE-ENV-004", f"no device {name!r} here", f"available: {there}")
    return torch.device(name)
