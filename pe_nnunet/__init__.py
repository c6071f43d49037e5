"""Pulmonary embolism in CT pulmonary angiography: a self-configuring nnU-Net v2 plugin.

`import torch` loads this module through an entry point, so it imports nothing heavy: `PEPredictor` comes on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pe_nnunet.lazy import on_first_use
from pe_nnunet.registration import register

if TYPE_CHECKING:
    from pe_nnunet.inference import PEPredictor

__version__ = "0.1.0"
__all__ = ["PEPredictor", "__version__", "register"]
__getattr__ = on_first_use(__name__, {"PEPredictor": "inference"})
