"""Prediction on the region of interest with an ensemble of folds and models."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pe_nnunet.lazy import on_first_use

if TYPE_CHECKING:
    from pe_nnunet.inference.locate import ModelLocation, locate_folder, locate_models
    from pe_nnunet.inference.predictor import PEPredictor

# The maps of a network in huge pages, unless the environment says otherwise; read when torch first allocates. With
# `python benchmarks/machine_tricks.py` for what it gains.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

__all__ = ["ModelLocation", "PEPredictor", "locate_folder", "locate_models"]

__getattr__ = on_first_use(
    __name__,
    {"ModelLocation": "locate", "PEPredictor": "predictor", "locate_folder": "locate", "locate_models": "locate"},
)
