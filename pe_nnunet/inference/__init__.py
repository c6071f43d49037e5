"""Prediction on the region of interest with an ensemble of folds and models."""

from __future__ import annotations

from pe_nnunet.inference.locate import ModelLocation, locate_folder, locate_models
from pe_nnunet.inference.model import ask_for_huge_pages
from pe_nnunet.inference.predictor import PEPredictor

ask_for_huge_pages()

__all__ = ["ModelLocation", "PEPredictor", "locate_folder", "locate_models"]
