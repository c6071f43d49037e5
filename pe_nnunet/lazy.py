"""Names of a package whose modules are imported on first use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def on_first_use(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """What a package calls `__getattr__` (PEP 562).

    Args:
        package: Its `__name__`.
        modules: By name, the module within the package that has it.

    Example:
        >>> on_first_use("pe_nnunet", {"PEError": "errors"})("PEError").__name__
        'PEError'
    """

    def get(name: str) -> Any:
        if name in modules:
            return getattr(import_module(f"{package}.{modules[name]}"), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return get
