"""Errors of ours that end nnU-Net's commands: one line with the code, as in our own commands."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from pe_nnunet.errors import PEError

PREFIX = "nnUNetv2_"
_Hook = Callable[[type[BaseException], BaseException, TracebackType | None], Any]


def end_in_one_line(program: str) -> None:
    """Let a `PEError` that ends this process be shown as a line, if the process is a command of nnU-Net.

    Everything else keeps its traceback, and so do scripts of other people. `pe-nnunet run --debug nnUNetv2_...` shows
    the traceback of our errors as well. A second call changes nothing.

    Args:
        program: `sys.argv[0]`.
    """
    if Path(program).name.startswith(PREFIX) and not isinstance(sys.excepthook, _OneLine):
        sys.excepthook = _OneLine(sys.excepthook)


class _OneLine:
    def __init__(self, stock: _Hook) -> None:
        self._stock = stock

    def __call__(self, kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if isinstance(error, PEError):
            print(error, file=sys.stderr)
        else:
            self._stock(kind, error, traceback)
