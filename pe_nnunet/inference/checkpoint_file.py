"""Checkpoints as files: whole, finite, and nothing but weights and plain values, unless they are trusted."""

from __future__ import annotations

import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.inference.locate import no_checkpoint

MOST_UNPACKED = 20
_DOS_FOLDER = 0x10  # of the attributes of a member (APPNOTE 4.4.15)
HALF = (torch.float16, torch.bfloat16)
REQUIRED = ("network_weights", "trainer_name", "init_args")


def _numpy_globals() -> list[Any]:
    """What checkpoints often hold beside tensors, nnU-Net's among them: numpy scalars, the metrics of a training.

    NumPy 1 and 2 name the function that makes a scalar differently, and a file has the name of the one that wrote it.
    """
    core = np._core if hasattr(np, "_core") else np.core
    scalar = [(core.multiarray.scalar, f"numpy.{name}.multiarray.scalar") for name in ("core", "_core")]
    kinds = {type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i4", "i8", "?")}
    return [*scalar, np.dtype, *kinds]


def load_file(path: Path, trust: bool = False) -> Any:
    """What `torch.save` wrote, on the CPU; tensors and plain values alone, unless the file is trusted.

    Args:
        path: The file.
        trust: Whether arbitrary pickled objects may be loaded, which runs code from the file.

    Raises:
        Exception: Of many kinds, as `torch.load`, where the file is damaged (by its checksums) or holds more.
    """
    if not zipfile.is_zipfile(path):
        if not trust:
            raise zipfile.BadZipFile("it breaks off, or is in the format before torch 1.6, which has no checksums")
    else:  # torch does not compare the checksums of its own format
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
            if unpacked > MOST_UNPACKED * path.stat().st_size:  # torch.save does not compress
                raise zipfile.BadZipFile(f"it unpacks to {unpacked} bytes, more than {MOST_UNPACKED} times its size")
            folders = [member.filename for member in archive.infolist() if member.external_attr & _DOS_FOLDER]
            if folders:  # torch reads nothing for them, and takes what lies in memory for weights
                raise zipfile.BadZipFile(f"{folders[0]!r:.100} is marked as a folder")
            damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"wrong checksum of {damaged}")
    with torch.serialization.safe_globals(_numpy_globals()):
        return torch.load(path, map_location="cpu", weights_only=not trust)


def read_checkpoint(path: Path, trust: bool = False) -> dict[str, Any]:
    """The content of an nnU-Net checkpoint, on the CPU; weights that are stored in half precision are float32.

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
    require_finite(content["network_weights"], path)
    return {**content, "network_weights": cast_weights(content["network_weights"], HALF, torch.float32)}


def cast_weights(
    weights: Mapping[str, Tensor], those: Collection[torch.dtype], become: torch.dtype
) -> Mapping[str, Tensor]:
    """Weights with those of some types in another; what shares its memory still does.

    Args:
        weights: By name.
        those: The types that are changed.
        become: What they become.
    """
    if not any(value.dtype in those for value in weights.values()):
        return weights
    made: dict[tuple[Any, ...], Tensor] = {}

    def cast(value: Tensor) -> Tensor:
        key = (value.untyped_storage().data_ptr(), value.storage_offset(), value.shape, value.stride(), value.dtype)
        if key not in made:
            made[key] = value.to(become)
        return made[key]

    return {name: cast(value) if value.dtype in those else value for name, value in weights.items()}


def require_finite(weights: Any, path: Path) -> None:
    """Check that weights are tensors of finite numbers: a network with others finds nothing, and does not say why.

    Args:
        weights: By name.
        path: The file that they are from.

    Raises:
        ConfigurationError: PE-MODEL-003 if not.
    """
    if not isinstance(weights, Mapping) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise ConfigurationError("PE-MODEL-003", f"{path} holds weights that are no table of tensors", "get it anew")
    for name, value in weights.items():
        if (
            value.numel() * value.element_size() > value.untyped_storage().nbytes()
        ):  # strides that repeat what is stored
            raise ConfigurationError(
                "PE-MODEL-003",
                f"{path} names shape {tuple(value.shape)} for {name!s:.100}, more than it stores",
                "it is damaged: copy it again",
            )
    broken = [str(name) for name, value in weights.items() if not torch.isfinite(value).all()]
    if broken:
        names = ", ".join(broken[:3]) + (f" and {len(broken) - 3} more" if len(broken) > 3 else "")
        raise ConfigurationError(
            "PE-MODEL-003", f"{path} holds weights that are NaN or infinite: {names}", "train it again, or get it anew"
        )
