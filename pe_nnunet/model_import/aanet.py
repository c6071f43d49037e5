"""AANet's network from a checkpoint of its authors' code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.inference.checkpoint_file import load_file
from pe_nnunet.inference.published import PUBLISHED
from pe_nnunet.model_import.aanet_plans import LABELS, REGIONS_CLASS_ORDER, published_plans
from pe_nnunet.model_import.content import ModelContent, dataset_of, description
from pe_nnunet.networks.aanet import AANet
from pe_nnunet.volumes.files.volume_file import file_sha256

FIRST_ENTRY = "in_conv.conv.weight"


def read_aanet(path: Path, dataset_name: str) -> ModelContent:
    """AANet as its authors give it, as fold 0.

    Args:
        path: See `read_weights`.
        dataset_name: `DatasetXXX_Name`.

    Raises:
        ConfigurationError: As `read_weights`.
    """
    network = read_weights(path)
    about = description(PUBLISHED["aanet"], f"{path.name}, SHA-256 {file_sha256(path)}")
    return ModelContent(
        plans=published_plans(network, dataset_name),
        dataset_json=dataset_of(about, LABELS, 0, regions_class_order=list(REGIONS_CLASS_ORDER)),
        folds={"0": network.state_dict()},
        mirror_axes=None,  # the original does not mirror
        parameters=sum(parameter.numel() for parameter in network.parameters()),
    )


def read_weights(path: Path) -> AANet:
    """The network that a checkpoint holds, with its weights, in evaluation mode.

    The weights may lie at the top or one level down (`state_dict`), and their names may begin with `module.`. Nothing
    but tensors and plain values is unpickled: no code from the file runs.

    Args:
        path: A file written by `torch.save`.

    Raises:
        ConfigurationError: PE-MODEL-002 if there is none, PE-MODEL-008 if it is unreadable, holds more than weights, or
            its weights are not AANet's for one image channel.
    """
    if not path.is_file():
        raise ConfigurationError("PE-MODEL-002", f"no checkpoint {path}", "give the file with AANet's weights")
    try:
        content = load_file(path)
    except Exception as error:
        raise ConfigurationError(
            "PE-MODEL-008",
            f"cannot read the checkpoint {path}: {type(error).__name__}",
            "it is damaged, or holds more than weights; fetch it again, or save its state dict alone",
        ) from error
    weights = {name: value.float() for name, value in _state_dict(content, path).items()}
    try:
        network = AANet.from_reference(weights)
    except ConfigurationError as error:
        raise ConfigurationError("PE-MODEL-008", f"{path} is not AANet's: {error.message}", error.hint) from error
    except ValueError as error:  # widths that no AANet has
        raise ConfigurationError("PE-MODEL-008", f"{path} is not AANet's: {error}") from error
    channels = network.state_dict()["encoder.stem.conv.weight"].shape[1]
    if channels != 1:
        raise ConfigurationError("PE-MODEL-008", f"{path} is for {channels} image channels, expected 1, CT")
    broken = [name for name, value in weights.items() if not torch.isfinite(value).all()]
    if broken:
        raise ConfigurationError(
            "PE-MODEL-008", f"{path} holds values that are no numbers: {', '.join(broken[:8])}", "fetch it again"
        )
    return network


def _state_dict(content: Any, path: Path) -> Mapping[str, Tensor]:
    """The mapping of names to tensors: the content itself, or the part of it that has AANet's first entry."""
    parts = [content, *(content.values() if isinstance(content, Mapping) else ())]
    found = [part for part in parts if _is_state_dict(part)]
    if not found:
        raise ConfigurationError(
            "PE-MODEL-008", f"{path} holds no weights", "give the file that AANet's authors published, aanet.pth"
        )
    return next((part for part in found if any(name.endswith(FIRST_ENTRY) for name in part)), found[0])


def _is_state_dict(part: Any) -> bool:
    return (
        isinstance(part, Mapping)
        and bool(part)
        and all(isinstance(name, str) and isinstance(value, Tensor) for name, value in part.items())
    )
