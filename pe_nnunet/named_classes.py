"""Which classes plans may name.

nnU-Net imports and calls whatever `plans.json` names, so plans from elsewhere could run any command. Here every name is
checked before it is imported: networks and their parts must be modules of `torch.nn`, of
dynamic_network_architectures or of this package, and what nnU-Net looks up by a plain name must be nnU-Net's own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from pydoc import locate
from typing import Any

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.files.json_reader import MALFORMED, read_object, why

TRUSTED = "PE_NNUNET_TRUST_CLASSES"
"""Environment variable: further packages or names that plans may name, with commas between."""

PACKAGES = ("dynamic_network_architectures", "pe_nnunet.networks", "torch.nn")
READERS = frozenset(
    {"SimpleITKIO", "SimpleITKIOWithReorient", "NibabelIO", "NibabelIOWithReorient", "NaturalImage2DIO", "Tiff3DIO"}
)
_RESAMPLING = frozenset(
    {
        "resample_data_or_seg_to_shape",
        "resample_data_or_seg_to_spacing",
        "resample_torch_simple",
        "resample_torch_fornnunet",
        "no_resampling_hack",
    }
)
_NORMALISATION = frozenset(
    {
        "CTNormalization",
        "ZScoreNormalization",
        "NoNormalization",
        "RescaleTo01Normalization",
        "RGBTo01Normalization",
    }
)
_OF_PLANS = {"label_manager": frozenset({"LabelManager"}), "image_reader_writer": READERS}
_OF_CONFIGURATION = {
    "preprocessor_name": frozenset({"DefaultPreprocessor"}),
    "resampling_fn_data": _RESAMPLING,
    "resampling_fn_seg": _RESAMPLING,
    "resampling_fn_probabilities": _RESAMPLING,
    "normalization_schemes": _NORMALISATION,
}


def read_plans(path: Path, source: str | None = None) -> dict[str, Any]:
    """Plans that name parts of networks and of nnU-Net alone.

    Args:
        path: A `plans.json`.
        source: What messages call it; None: the path.

    Raises:
        ConfigurationError: PE-MODEL-003 if it cannot be read, PE-MODEL-020 if it names anything else.
    """
    try:
        plans = read_object(path)
    except MALFORMED as error:
        raise ConfigurationError(
            "PE-MODEL-003", f"{source or path} cannot be read: {why(error)}", "copy the model again"
        ) from error
    check_plans(plans, source or str(path))
    return plans


def check_plans(plans: Any, source: str) -> None:
    """Refuse plans that name anything but parts of networks and of nnU-Net; nothing that they name is called.

    Args:
        plans: The content of a `plans.json`.
        source: Where it is from, for the message.

    Raises:
        ConfigurationError: PE-MODEL-020 for a name that is not allowed, or plans that are not laid out as nnU-Net's.
    """
    if not isinstance(plans, Mapping) or not isinstance(plans.get("configurations"), Mapping):
        raise ConfigurationError("PE-MODEL-020", f"{source} holds no plans of nnU-Net", "get the model anew")
    _check_names(plans, _OF_PLANS, source)
    for name, configuration in plans["configurations"].items():
        if not isinstance(configuration, Mapping):
            raise ConfigurationError("PE-MODEL-020", f"{source}: the configuration {name!r} is no table of settings")
        _check_names(configuration, _OF_CONFIGURATION, source)
        if "architecture" in configuration:  # plans that inherit, and those of nnU-Net 2.2 and older, have none
            check_architecture(configuration["architecture"], source)


def check_architecture(architecture: Any, source: str) -> None:
    """Refuse an architecture that names anything but a network and its parts.

    Args:
        architecture: Of a configuration in the plans: `network_class_name`, `arch_kwargs`, `_kw_requires_import`.
        source: Where it is from, for the message.

    Raises:
        ConfigurationError: PE-MODEL-020, as `check_plans`.
    """
    for path in _class_paths(architecture, source):
        if not _is_allowed(path):
            raise _refused(source, path)


def _class_paths(architecture: Any, source: str) -> Iterator[Any]:
    """What nnU-Net would import by its path."""
    if isinstance(architecture, Mapping):
        arguments, imported = architecture.get("arch_kwargs"), architecture.get("_kw_requires_import")
        if (
            isinstance(arguments, Mapping)
            and isinstance(imported, list | tuple)
            and all(isinstance(key, str) for key in imported)
        ):
            yield architecture.get("network_class_name")
            yield from (arguments.get(key) for key in imported if arguments.get(key) is not None)
            return
    raise ConfigurationError("PE-MODEL-020", f"{source}: an architecture is not laid out as nnU-Net's")


def _is_allowed(path: Any) -> bool:
    """Whether a path leads to a module of torch in one of the packages; only those packages are imported for it."""
    from torch import nn

    if not isinstance(path, str) or not all(part.isidentifier() for part in path.split(".")):
        return False
    if _lies_in(path, _trusted()):
        return True
    if not _lies_in(path, PACKAGES):
        return False
    # a module of an allowed package may hold functions of others: what counts is where it was defined
    found = locate(path) or _moved(path)
    return isinstance(found, type) and issubclass(found, nn.Module) and _lies_in(found.__module__, PACKAGES)


def _moved(path: str) -> Any:
    """The class that nnU-Net takes where the path leads nowhere: one of that name among the known architectures."""
    import dynamic_network_architectures
    from nnunetv2.utilities.find_class_by_name import recursive_find_python_class

    folder = Path(dynamic_network_architectures.__path__[0], "architectures")
    return recursive_find_python_class(str(folder), path.split(".")[-1], "dynamic_network_architectures.architectures")


def _lies_in(path: str, packages: tuple[str, ...]) -> bool:
    return any(f"{path}.".startswith(f"{package}.") for package in packages)


def _check_names(settings: Mapping[str, Any], allowed: Mapping[str, frozenset[str]], source: str) -> None:
    for key, names in allowed.items():
        given = settings.get(key, [])
        for name in given if isinstance(given, list) else [given]:
            if not isinstance(name, str) or (name not in names and name not in _trusted()):
                raise _refused(source, name)


def _trusted() -> tuple[str, ...]:
    return tuple(filter(None, (part.strip() for part in os.environ.get(TRUSTED, "").split(","))))


def _refused(source: str, name: Any) -> ConfigurationError:
    return ConfigurationError(
        "PE-MODEL-020",
        f"{source} names {str(name)[:200]!r}, which is no part of a network known here",
        f"if you trust where the model is from: --trust-classes, or {TRUSTED}, with that name or its package",
    )
