"""Whether a model's weights can go on learning from a dataset; what cannot is said before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from nnunetv2.preprocessing.normalization.map_channel_name_to_normalization import get_normalization_scheme
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch import Tensor, nn

from pe_nnunet.dataset.channels import channel_names
from pe_nnunet.dataset.dataset_json import output_names
from pe_nnunet.errors import ConfigurationError, Note
from pe_nnunet.fine_tuning.first_model import FirstModel
from pe_nnunet.planners.memory import GIB
from pe_nnunet.processes import free_bytes
from pe_nnunet.registration.names import load_class
from pe_nnunet.trainers.check_plans import check_network, check_plans, what_is_wrong
from pe_nnunet.trainers.first_weights import is_head

BYTES_PER_PARAMETER = 20  # weight, gradient, the averages of both, and what a step is made in, in single precision
BYTES_PER_FEATURE = 2  # what a convolution puts out is kept for the backward pass, in half precision
MOST_PADDING = 1.5  # a patch may be so many times as long as the median scan


def check_configuration(model: FirstModel, asked: str | None) -> None:
    """Refuse another configuration than the model's, and one that builds on another model's result.

    Args:
        model: The weights' model.
        asked: What the user named, if anything.

    Raises:
        ConfigurationError: PE-TRAIN-023.
    """
    own = model.configuration
    if asked not in (None, own):
        raise ConfigurationError(
            "PE-TRAIN-023",
            f"the configuration is {asked}, but the weights of {model.name} were trained with {own}",
            f"leave -c out, or name a model that was trained with {asked}",
        )
    before = PlansManager(model.plans).get_configuration(own).previous_stage_name
    if before is not None:
        raise ConfigurationError(
            "PE-TRAIN-023",
            f"{own} of {model.name} works on what a model of {before} has predicted, which a single model lacks",
            "name a model of 2d, 3d_fullres or 3d_lowres",
        )


def check_images(model: FirstModel, dataset_json: dict[str, Any], dataset: str) -> None:
    """Refuse a dataset whose images are not of the kind that the model was trained on.

    Args:
        model: The weights' model.
        dataset_json: Of the dataset.
        dataset: Its name.

    Raises:
        ConfigurationError: PE-TRAIN-022, PE-PLN-005.
    """
    now, before = channel_names(dataset_json), model.channel_names
    if len(now) != len(before):
        raise ConfigurationError(
            "PE-TRAIN-022",
            f"{dataset} has {len(now)} image channel(s) ({', '.join(now)}), {model.name} was trained on {len(before)} "
            f"({', '.join(before)})",
            "name a model that was trained on as many channels",
        )
    settings = PlansManager(model.plans).get_configuration(model.configuration).configuration
    problem = what_is_wrong(settings, len(before))
    if problem is not None:
        raise ConfigurationError("PE-TRAIN-018", f"the plans of {model.name}: {problem}", "copy the model again")
    for index, (name, trained, scheme) in enumerate(zip(now, before, settings["normalization_schemes"], strict=True)):
        if name.casefold() != trained.casefold() and get_normalization_scheme(name).__name__ != scheme:
            raise ConfigurationError(
                "PE-TRAIN-022",
                f"channel {index} of {dataset} is called {name!r}, {model.name} was trained on {trained!r} ({scheme})",
                "name a model that was trained on such images, or correct channel_names in dataset.json",
            )


def check_plans_and_network(
    model: FirstModel, plans: dict[str, Any], dataset_json: dict[str, Any], patch_asked: bool
) -> nn.Module:
    """Refuse what the trainer that goes on cannot train; returns its network, whose weights take no memory.

    Args:
        model: The weights' model.
        plans: Those that the training will have.
        dataset_json: Of the dataset.
        patch_asked: Whether the patch is not the model's own.

    Raises:
        ConfigurationError: PE-TRAIN-027 if the patch is the reason, else PE-TRAIN-018, PE-TRAIN-004 or PE-PLN-003.
    """
    trainer = load_class(model.trainer)
    manager = PlansManager(plans)
    configuration = manager.get_configuration(model.configuration)
    channels = len(channel_names(dataset_json))
    if patch_asked and (problem := what_is_wrong(configuration.configuration, channels)):
        raise ConfigurationError("PE-TRAIN-027", f"--patch-size: {problem}", "choose a patch that the network can take")
    check_plans(plans, model.configuration, dataset_json)
    trainer.check(plans, model.configuration, dataset_json)
    check_network(trainer, plans, model.configuration, dataset_json)
    heads = manager.get_label_manager(dataset_json).num_segmentation_heads
    with torch.device("meta"):
        network: nn.Module = trainer.build_network_architecture(manager, configuration, channels, heads, True)
    return network


def check_weights(model: FirstModel, fold: str, weights: Mapping[str, Tensor], network: nn.Module) -> None:
    """Refuse weights that are not those of the network, its segmentation heads apart.

    Args:
        model: The weights' model.
        fold: Theirs.
        weights: By name.
        network: That of `check_plans_and_network`.

    Raises:
        ConfigurationError: PE-TRAIN-024.
    """
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items() if not is_head(name)}
    found = {name: tuple(value.shape) for name, value in weights.items() if not is_head(name)}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            has, needed = (_shape(shapes.get(name)) for shapes in (found, expected))
            raise ConfigurationError(
                "PE-TRAIN-024",
                f"{model.path(fold)}: {name!s:.100} has {has}, in the network that {model.trainer} makes of its plans "
                f"{needed}",
                f"a model by {model.trained_by} whose network its plans do not describe cannot be fine-tuned",
            )


def heads_fit(
    model: FirstModel, dataset_json: Mapping[str, Any], weights: Mapping[str, Tensor], network: nn.Module
) -> bool:
    """Whether the segmentation heads mean the same in the dataset, so that they are kept.

    Args:
        model: The weights' model.
        dataset_json: Of the dataset.
        weights: Its, by name.
        network: That of `check_plans_and_network`.
    """
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items() if is_head(name)}
    same_shapes = all(name in weights and tuple(weights[name].shape) == shape for name, shape in shapes.items())
    return same_shapes and output_names(model.dataset_json) == output_names(dataset_json)


def what_is_exchanged(model: FirstModel, dataset_json: Mapping[str, Any], kept: bool) -> Note | None:
    """What to say of the segmentation heads; nothing where they are kept."""
    if kept:
        return None
    before, now = (", ".join(output_names(facts)) for facts in (model.dataset_json, dataset_json))
    text = f"the segmentation heads start anew: outputs of the model are {before}, of the dataset {now}"
    return Note("PE-TRAIN-025", "warning", text)


def check_memory(network: nn.Module, patch: Sequence[int], batch: int, device: torch.device) -> None:
    """Refuse patches that the device cannot hold, by the least that a training step takes.

    Args:
        network: As it is trained.
        patch: Voxels per axis.
        batch: Patches a step.
        device: Where it is trained.

    Raises:
        ConfigurationError: PE-TRAIN-027.
    """
    there = torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else free_bytes()
    features = getattr(network, "compute_conv_feature_map_size", None)
    if there is None or features is None:
        return
    parameters = sum(value.numel() for value in network.parameters())
    needed = parameters * BYTES_PER_PARAMETER + batch * int(features(tuple(patch))) * BYTES_PER_FEATURE
    if needed > there:
        size = "x".join(map(str, patch))
        raise ConfigurationError(
            "PE-TRAIN-027",
            f"{batch} patches of {size} voxels take {needed / GIB:.1f} GiB at least, the {device.type} has "
            f"{there / GIB:.1f}",
            "a smaller --patch-size, PE_NNUNET_RECIPE=batch_size=N, or another -device",
        )


def larger_than_scans(
    patch: Sequence[int], spacing_mm: Sequence[float], sizes_mm: Sequence[Sequence[float]]
) -> Note | None:
    """Say of a patch that it is much larger than the scans: the rest of it is padding, which takes memory and time.

    Args:
        patch: Voxels per axis, of the last axes where it has fewer.
        spacing_mm: Per axis of the patch.
        sizes_mm: Of the scans, per axis.

    Example:
        >>> larger_than_scans((64, 64, 64), (1, 1, 1), [(30.0, 60.0, 60.0)] * 3).code
        'PE-TRAIN-027'
        >>> larger_than_scans((64, 64, 64), (1, 1, 1), [(60.0, 60.0, 60.0)] * 3)
    """
    ordered = [sorted(size[axis] for size in sizes_mm) for axis in range(-len(patch), 0)]
    median = [round(sizes[len(sizes) // 2] / mm) for sizes, mm in zip(ordered, spacing_mm, strict=True)]
    if all(side <= MOST_PADDING * there for side, there in zip(patch, median, strict=True)):
        return None
    has, scan = ("x".join(map(str, size)) for size in (patch, median))
    text = f"a patch has {has} voxels, the median scan {scan}: the rest is padding; a smaller --patch-size saves time"
    return Note("PE-TRAIN-027", "warning", text)


def _shape(shape: tuple[int, ...] | None) -> str:
    return "nothing" if shape is None else f"shape {shape}"
