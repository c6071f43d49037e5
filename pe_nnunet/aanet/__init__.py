"""AANet's published weights as an nnU-Net model."""

from __future__ import annotations

from pe_nnunet.aanet.model_folder import ImportedModel, import_checkpoint
from pe_nnunet.aanet.weights import read_weights

__all__ = ["ImportedModel", "import_checkpoint", "read_weights"]
