"""Reading checkpoints without running what is in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from pe_nnunet.errors import ConfigurationError

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
        Exception: Of many kinds, as `torch.load`, where the file is damaged or holds more.
    """
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
        raise ConfigurationError(
            "PE-MODEL-002", f"no checkpoint {path}", "train that fold, or name other folds with -f"
        )
    try:
        content = load_file(path, trust)
    except Exception as error:
        raise ConfigurationError(
            "PE-MODEL-003",
            f"cannot read the checkpoint {path}: {type(error).__name__}",
            "it is damaged, or holds more than weights; --trust-checkpoint loads it if you trust its source",
        ) from error
    missing = [key for key in REQUIRED if not isinstance(content, dict) or key not in content]
    if missing:
        raise ConfigurationError("PE-MODEL-003", f"{path} is no nnU-Net checkpoint: it lacks {', '.join(missing)}")
    return dict(content)
