"""Fine-tuning: a training on one's own scans that starts from the weights of a trained model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pe_nnunet.lazy import on_first_use

if TYPE_CHECKING:
    from pe_nnunet.fine_tuning.settings import FineTuneSettings
    from pe_nnunet.fine_tuning.steps import fine_tune

__all__ = ["FineTuneSettings", "fine_tune"]

__getattr__ = on_first_use(__name__, {"FineTuneSettings": "settings", "fine_tune": "steps"})
