"""Our trainers under one roof, for nnU-Net's own way of finding trainers outside its package.

`export nnUNet_extTrainer=FOLDER_OF_THIS_FILE` lets stock nnU-Net find them without registration; planners have no
such way. `pe-nnunet doctor` prints that line.
"""

from __future__ import annotations

from typing import Any

from pe_nnunet.registration.names import TRAINERS, load_class


def __getattr__(name: str) -> Any:
    """The trainer of that name, loaded when nnU-Net asks for it."""
    if name in TRAINERS:
        return load_class(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
