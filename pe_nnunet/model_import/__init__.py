"""Published weights, in the layouts in which their authors give them, as nnU-Net models."""

from __future__ import annotations

from pe_nnunet.model_import.import_model import ImportedModel, import_model

__all__ = ["ImportedModel", "import_model"]
