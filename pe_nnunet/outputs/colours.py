"""Colours of pictures."""

from __future__ import annotations

PREDICTION_COLOUR, TRUTH_COLOUR = "#ff9d2e", "#35d0ff"  # orange and sky blue: told apart with any colour vision
BACKGROUND, TEXT, FAINT = "#101214", "#f2f2f2", "#9aa0a6"
