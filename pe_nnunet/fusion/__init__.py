"""From a probability map, and a detector's boxes, to emboli."""

from __future__ import annotations

from pe_nnunet.fusion.box_prior import fuse
from pe_nnunet.fusion.candidates import Candidate, Emboli
from pe_nnunet.fusion.emboli import find_emboli
from pe_nnunet.fusion.settings import FusionSettings

__all__ = ["Candidate", "Emboli", "FusionSettings", "find_emboli", "fuse"]
