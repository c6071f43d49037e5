"""Fine-tuning: a training on one's own scans that starts from the weights of a trained model."""

from __future__ import annotations

from pe_nnunet.fine_tuning.fine_tune import fine_tune
from pe_nnunet.fine_tuning.settings import FineTuneSettings

__all__ = ["FineTuneSettings", "fine_tune"]
