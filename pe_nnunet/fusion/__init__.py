"""From a probability map to emboli."""

from __future__ import annotations

from pe_nnunet.fusion.candidate import Candidate
from pe_nnunet.fusion.emboli import Emboli, find_emboli
from pe_nnunet.fusion.settings import FusionSettings

__all__ = ["Candidate", "Emboli", "FusionSettings", "find_emboli"]
