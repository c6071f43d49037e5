"""From a probability map, and a detector's boxes, to emboli."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pe_nnunet.fusion.settings import FusionSettings
from pe_nnunet.lazy import on_first_use

if TYPE_CHECKING:
    from pe_nnunet.fusion.candidates import Candidate
    from pe_nnunet.fusion.detections import fuse
    from pe_nnunet.fusion.emboli import Emboli, find_emboli

__all__ = ["Candidate", "Emboli", "FusionSettings", "find_emboli", "fuse"]

__getattr__ = on_first_use(
    __name__, {"Candidate": "candidates", "Emboli": "emboli", "find_emboli": "emboli", "fuse": "detections"}
)
