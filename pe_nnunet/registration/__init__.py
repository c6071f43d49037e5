"""How stock nnU-Net finds our planners, trainers and networks. torch imports it: nothing heavy here."""

from __future__ import annotations

from pe_nnunet.registration.hook import autoregister, is_registered, register
from pe_nnunet.registration.names import CLASSES, PLANNERS, TRAINERS, load_class

__all__ = ["CLASSES", "PLANNERS", "TRAINERS", "autoregister", "is_registered", "load_class", "register"]
