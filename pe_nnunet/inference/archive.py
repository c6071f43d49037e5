"""What an archive of models is: its index, what may be in it, and how doubts about it are said.

The layout is that of `nnUNet_results`, so stock nnU-Net's `nnUNetv2_install_pretrained_model_from_zip` takes it too.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.fusion.choice import Misfit, misfit
from pe_nnunet.fusion.weights import Weights

INDEX = "pe_nnunet_model.json"
FORMAT = 1
FINGERPRINT = "dataset_fingerprint.json"  # nnU-Net writes NaN into it where no voxel is foreground
BLOCK = 1 << 20


def calibration_doubt(path: Path, models: Collection[str], weights: Weights) -> Misfit | None:
    """As `misfit`; here one that cannot be read stops nothing."""
    try:
        return misfit(path, models, weights)
    except ConfigurationError as error:
        return Misfit(error.code, error.message)


def refused(path: Path, why: str) -> ConfigurationError:
    """The error for an archive that is not taken."""
    return ConfigurationError("PE-MODEL-012", f"{path} is not installed: {why}", "get it anew from whoever made it")
