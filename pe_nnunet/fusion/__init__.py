"""From a probability map, and a detector's boxes, to emboli."""

from __future__ import annotations

from pe_nnunet.fusion.candidates import Candidate
from pe_nnunet.fusion.detections import fuse
from pe_nnunet.fusion.emboli import Emboli, find_emboli
from pe_nnunet.fusion.settings import FusionSettings

__all__ = ["Candidate", "Emboli", "FusionSettings", "find_emboli", "fuse"]
