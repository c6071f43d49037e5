"""Cases on Ray: actors on one machine or on many, which do what a process here would do with a case."""

from __future__ import annotations

from pe_nnunet.cluster.settings import EngineSettings
from pe_nnunet.cluster.start import engine_of

__all__ = ["EngineSettings", "engine_of"]
