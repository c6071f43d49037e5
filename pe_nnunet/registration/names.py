"""The classes that nnU-Net looks up by name, and the packages that have them; all follow from the table of networks."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from pe_nnunet.networks import NETWORKS

PLANNERS: dict[str, str] = {entry.planner: "pe_nnunet.planners" for entry in NETWORKS.values()}
TRAINERS: dict[str, str] = dict.fromkeys(
    ["PETrainer", *(entry.trainer for entry in NETWORKS.values())], "pe_nnunet.trainers"
)
FINGERPRINT, STOCK_FINGERPRINT = "PEFingerprintExtractor", "DatasetFingerprintExtractor"
CLASSES: dict[str, str] = PLANNERS | TRAINERS
EXTRACTORS: dict[str, str] = {FINGERPRINT: "pe_nnunet.planners"}  # given by -fpe, or see `meant_by`


def meant_by(name: str, arguments: Sequence[str]) -> str:
    """The class that a command means by a name.

    Planning begins with the fingerprint, which reads every image. Where a command plans with one of our planners, our
    extractor stands in for nnU-Net's, to look at the dataset first.

    Args:
        name: That nnU-Net looks up.
        arguments: Of the command.

    Example:
        >>> meant_by("DatasetFingerprintExtractor", ["-d", "501", "-pl", "PETARUNetPlanner"])
        'PEFingerprintExtractor'
    """
    planned = any(argument.rpartition("=")[2] in PLANNERS for argument in arguments)
    return FINGERPRINT if planned and name == STOCK_FINGERPRINT else name


def load_class(name: str) -> Any:
    """The class of that name.

    Args:
        name: A key of `CLASSES` or `EXTRACTORS`.

    Raises:
        KeyError: If the name is in neither table.
    """
    return getattr(import_module((CLASSES | EXTRACTORS)[name]), name)
