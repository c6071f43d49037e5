"""The folder to name in `nnUNet_extTrainer`: it holds one module, since nnU-Net imports all that it finds there."""

from __future__ import annotations

from pathlib import Path

VARIABLE = "nnUNet_extTrainer"
FOLDER = Path(__file__).parent
