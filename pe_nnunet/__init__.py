"""Pulmonary embolism in CT pulmonary angiography: a self-configuring nnU-Net v2 plugin.

`import torch` loads this module through an entry point, so it imports nothing heavy: `PEPredictor` comes on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pe_nnunet.registration import register

if TYPE_CHECKING:
    from pe_nnunet.inference import PEPredictor

__version__ = "0.1.0"
__all__ = ["PEPredictor", "__version__", "register"]


def __getattr__(name: str) -> Any:
    if name == "PEPredictor":
        from pe_nnunet.inference import PEPredictor

        return PEPredictor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
