"""Checkpoint files: plain types and tensors alone, written whole or not at all, with one older copy."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pe_nnunet.errors import ConfigurationError

LATEST = "checkpoint_latest.pth"
OLDER = "checkpoint_latest_older.pth"


def plain(value: Any) -> Any:
    """The same content in types that `torch.load(weights_only=True)` accepts: numpy's become Python's.

    Args:
        value: Nested dictionaries, lists and tuples of numbers, text, tensors, numpy values and devices.

    Raises:
        TypeError: On anything else, which would tie the file to the code that wrote it.

    Example:
        >>> plain({"dice": [np.float32(0.5)], "ids": np.arange(2)})
        {'dice': [0.5], 'ids': [0, 1]}
    """
    if value is None or isinstance(value, torch.Tensor) or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [plain(item) for item in value]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, (torch.device, os.PathLike, str)):
        return str(value)
    raise TypeError(f"a checkpoint cannot hold a {type(value).__name__}")


def write_checkpoint(path: Path, content: Mapping[str, Any], older: Path | None = None) -> None:
    """Write a checkpoint; a process killed at any moment leaves the old file or the new one.

    Args:
        path: Where to.
        content: See `plain`.
        older: Where the file that is replaced is kept, if it is.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        torch.save(plain(content), file)
        file.flush()
        os.fsync(file.fileno())
    if older is not None and path.exists():
        kept = older.with_name(f".{older.name}.tmp")
        kept.unlink(missing_ok=True)
        try:
            kept.hardlink_to(path)
        except OSError:  # a file system without links
            shutil.copyfile(path, kept)
        kept.replace(older)
    temporary.replace(path)


def read_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    """Read a checkpoint; of the latest, where it is damaged, the older copy.

    Args:
        path: The file.
        device: Where its tensors go.

    Raises:
        ConfigurationError: PE-TRAIN-005 if there is nothing that can be read.
    """
    candidates = [path, path.with_name(OLDER)] if path.name == LATEST else [path]
    for candidate in candidates:
        try:
            content = torch.load(candidate, map_location=device, weights_only=True)
        except Exception as error:  # noqa: BLE001 - torch raises any of a dozen types for a damaged file
            print(f"{candidate} cannot be read: {error}")
            continue
        if isinstance(content, dict) and "pe_recipe" in content:
            return content
    raise ConfigurationError(
        "PE-TRAIN-005",
        f"{path} is damaged or not a checkpoint of this trainer",
        "to start from another model's weights, train with -pretrained_weights",
    )
