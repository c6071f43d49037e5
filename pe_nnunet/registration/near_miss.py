"""A misspelt name of ours in nnU-Net's commands: one line with the name that is near, where nnU-Net has a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.errors.near import did_you_mean, nearest
from pe_nnunet.registration.names import CLASSES, PLANNERS

LIKENESS = 0.85
"""How like a name has to be: nnU-Net's own, nnUNetTrainer and PETARUNetTrainer for example, are at most 0.83."""

_missing: dict[str, ConfigurationError] = {}
_Hook = Callable[[type[BaseException], BaseException, TracebackType | None], Any]


def remember(name: str) -> ConfigurationError | None:
    """Let the error that nnU-Net will end with, as it has no class of that name, be a line if one of ours is near.

    Args:
        name: That nnU-Net has looked up in vain. It may look on in `nnUNet_extTrainer`, so nothing is raised.

    Returns:
        What the line is, or None where none of ours is near.
    """
    if nearest(name, CLASSES, LIKENESS) is None:
        return None
    if not _missing:
        sys.excepthook = _line_instead(sys.excepthook)
    hint = did_you_mean(name, CLASSES)
    return _missing.setdefault(name, ConfigurationError("PE-ENV-007", f"nnU-Net has no {name}", hint))


def misspelt_planner(arguments: Sequence[str]) -> str | None:
    """The argument of a command that is no planner of ours, and near to one; None if there is none."""
    words = [argument.rpartition("=")[2] for argument in arguments[1:]]
    return next((word for word in words if word not in PLANNERS and nearest(word, PLANNERS, LIKENESS)), None)


def _line_instead(stock: _Hook) -> _Hook:
    def hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        line = next((line for name, line in _missing.items() if error is line or _is_of(error, name)), None)
        if line is None:
            stock(kind, error, traceback)
        else:
            print(line, file=sys.stderr)

    return hook


def _is_of(error: BaseException, name: str) -> bool:
    """Whether this is how nnU-Net 2.8 ends that does not find a trainer, or calls a planner that it has not found."""
    if isinstance(error, RuntimeError):
        return name in str(error)
    is_planner = nearest(name, CLASSES, LIKENESS) in PLANNERS  # those are sought in nnU-Net's own folder alone
    return is_planner and isinstance(error, TypeError) and "'NoneType' object is not callable" in str(error)
