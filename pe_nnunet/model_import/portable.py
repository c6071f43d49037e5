"""Duke's model in its portable layout, that of its Hugging Face release: `config.json` and one file of weights.

The weights have nnU-Net's names behind a prefix. Modules of nnU-Net's networks hold some of their parts under several
names (the encoder also as the decoder's, a convolution also in the sequence that runs it); the portable files may hold
all of these names or one of each.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.inference.checkpoint_file import load_file, require_finite
from pe_nnunet.inference.published import PUBLISHED
from pe_nnunet.model_import.content import ModelContent, dataset_of, description
from pe_nnunet.model_import.portable_plans import (
    CONFIG,
    LABELS,
    TRAINING_SCANS,
    network_of,
    portable_plans,
    read_config,
)
from pe_nnunet.volumes.files.volume_file import file_sha256

__all__ = ["CONFIG", "MODEL_TYPE", "WEIGHTS", "read_portable"]

MODEL_TYPE = "pulmonary-embolism-segmentation"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # in this order, as both hold the same
PREFIXES = ("module.", "_orig_mod.", "segmentation_model.")  # of parallel and of compiled networks, and of this layout
FOLD = "all"  # the release is one network, trained on every scan
MIRROR_AXES = (0, 1, 2)  # as stock nnU-Net, by which it was trained, allows


def read_portable(path: Path, dataset_name: str) -> ModelContent:
    """Duke's model from its portable layout, as fold `all`.

    Args:
        path: The weights; `config.json` lies beside them.
        dataset_name: `DatasetXXX_Name`.

    Raises:
        ConfigurationError: PE-MODEL-022 if the configuration cannot be read or describes no such network, PE-MODEL-008
            if the weights cannot be read, or are not that network's.
    """
    config = read_config(path.parent / CONFIG)
    about = description(PUBLISHED["duke"], f"{path.name}, SHA-256 {file_sha256(path)}")
    plans = portable_plans(config, dataset_name)
    with torch.device("meta"):  # names and shapes alone
        network = network_of(plans, path.parent / CONFIG)
    return ModelContent(
        plans=plans,
        dataset_json=dataset_of(about, LABELS, TRAINING_SCANS),
        folds={FOLD: nnunet_weights(read_weights(path), network, path)},
        mirror_axes=MIRROR_AXES,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
    )


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by their names without prefixes; nothing but tensors and plain values is unpickled.

    Args:
        path: `.safetensors`, or what `torch.save` wrote.

    Raises:
        ConfigurationError: PE-MODEL-008 if it cannot be read, or holds other than finite tensors.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file as load_safetensors

            content: Any = load_safetensors(path)
        else:
            content = load_file(path)
    except Exception as error:
        raise ConfigurationError(
            "PE-MODEL-008",
            f"cannot read the weights {path}: {type(error).__name__}",
            "the file is damaged, or holds more than weights; fetch it again",
        ) from error
    try:
        require_finite(content, path)
    except ConfigurationError as error:
        raise ConfigurationError("PE-MODEL-008", error.message, "fetch it again") from error
    return {_without_prefixes(str(name)): value for name, value in content.items()}


def nnunet_weights(given: Mapping[str, Tensor], network: nn.Module, path: Path) -> dict[str, Tensor]:
    """Weights under all of nnU-Net's names, float32; what a network holds under several names is one tensor.

    Args:
        given: By nnU-Net's names, of each part at least one.
        network: That they are for; its own weights may be on the meta device.
        path: Of the file, for messages.

    Raises:
        ConfigurationError: PE-MODEL-008 for weights that are missing, unknown, of another shape, or not the same under
            two names of one part.
    """
    expected = network.state_dict(keep_vars=True)
    if unknown := sorted(given.keys() - expected.keys()):
        raise _not_of_network(path, f"{_some(unknown)} unknown")
    names_of: dict[int, list[str]] = {}
    for name, parameter in expected.items():
        names_of.setdefault(id(parameter), []).append(name)
    weights: dict[str, Tensor] = {}
    missing = []
    for names in names_of.values():
        held = [given[name] for name in names if name in given]
        if not held:
            missing.append(names[0])
            continue
        shape = tuple(expected[names[0]].shape)
        if other := [tuple(one.shape) for one in held if tuple(one.shape) != shape]:
            raise _not_of_network(path, f"{names[0]} has shape {other[0]}, expected {shape}")
        if any(one.data_ptr() != held[0].data_ptr() and not torch.equal(one, held[0]) for one in held[1:]):
            raise _not_of_network(path, f"{names[0]} has other values than {names[1]}, which is the same part")
        weights |= dict.fromkeys(names, held[0].float())
    if missing:
        raise _not_of_network(path, f"{_some(missing)} missing")
    return {name: weights[name] for name in expected}


def _without_prefixes(name: str) -> str:
    while prefix := next((one for one in PREFIXES if name.startswith(one)), ""):
        name = name.removeprefix(prefix)
    return name


def _not_of_network(path: Path, what: str) -> ConfigurationError:
    return ConfigurationError(
        "PE-MODEL-008", f"{path} is not of the network that its {CONFIG} describes: {what}", "fetch both again"
    )


def _some(names: list[str]) -> str:
    return ", ".join(name[:100] for name in names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
