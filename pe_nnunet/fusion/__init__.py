"""From a probability map, and a detector's boxes, to emboli."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pe_nnunet.fusion.settings import FusionSettings
from pe_nnunet.lazy import on_first_use

if TYPE_CHECKING:
    from pe_nnunet.fusion.box_prior import fuse
    from pe_nnunet.fusion.candidates import Candidate, Emboli
    from pe_nnunet.fusion.emboli import find_emboli

__all__ = ["Candidate", "Emboli", "FusionSettings", "find_emboli", "fuse"]

__getattr__ = on_first_use(
    __name__, {"Candidate": "candidates", "Emboli": "candidates", "find_emboli": "emboli", "fuse": "box_prior"}
)
