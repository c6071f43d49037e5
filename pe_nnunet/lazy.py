"""Names of a package that are imported, or made, on first use."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def on_first_use(
    package: str, modules: Mapping[str, str], made: Mapping[str, Callable[[], Any]] | None = None
) -> Callable[[str], Any]:
    """What a package calls `__getattr__` (PEP 562).

    Args:
        package: Its `__name__`.
        modules: By name, the module within the package that has it.
        made: By name, what makes it; the package keeps what is made.

    Example:
        >>> on_first_use("pe_nnunet", {"PEError": "errors"})("PEError").__name__
        'PEError'
    """
    made = made or {}

    def get(name: str) -> Any:
        if name in modules:
            return getattr(import_module(f"{package}.{modules[name]}"), name)
        if name in made:
            return vars(sys.modules[package]).setdefault(name, made[name]())
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return get
