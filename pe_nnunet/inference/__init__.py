"""Prediction on the region of interest with an ensemble of folds and models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pe_nnunet.lazy import on_first_use

if TYPE_CHECKING:
    from pe_nnunet.inference.locate import ModelLocation, locate_folder, locate_models
    from pe_nnunet.inference.predictor import PEPredictor

__all__ = ["ModelLocation", "PEPredictor", "locate_folder", "locate_models"]

__getattr__ = on_first_use(
    __name__,
    {"ModelLocation": "locate", "PEPredictor": "predictor", "locate_folder": "locate", "locate_models": "locate"},
)
