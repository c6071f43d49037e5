"""AANet's published weights as an nnU-Net model."""

from __future__ import annotations

from pe_nnunet.model_import.model_folder import import_checkpoint
from pe_nnunet.model_import.weights import read_weights

__all__ = ["import_checkpoint", "read_weights"]
