"""How stock nnU-Net finds our planners, trainers and networks. Imported by torch itself, so it imports nothing heavy."""

from __future__ import annotations

from pe_nnunet.registration.register import is_registered, register
from pe_nnunet.registration.table import CLASSES, load_class

__all__ = ["CLASSES", "is_registered", "load_class", "register"]
