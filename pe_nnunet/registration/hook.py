"""When nnU-Net's look-up learns our names: while torch is imported, or on request.

torch (2.5 and later) calls `autoregister` through the entry point group `torch.backends` while it is being imported, so
every nnU-Net process passes through it. Under some nnU-Net commands the look-up module is loaded by then; under others
it comes later, and a finder for that one module name waits for it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from pe_nnunet.registration import lookup

SWITCH = "PE_NNUNET_REGISTER"
TORCH_SWITCH = "TORCH_DEVICE_BACKEND_AUTOLOAD"
_OFF = {"0", "false", "no", "off"}
_problems: list[str] = []


def autoregister() -> None:
    """What torch calls on import: `register`, unless the environment variable `PE_NNUNET_REGISTER` is 0.

    It never raises: an exception here would break `import torch`.
    """
    if not is_switched_off():
        register()


def register() -> bool:
    """Make nnU-Net's commands find our planners and trainers, now or as soon as nnU-Net is imported.

    Calling it again changes nothing, and it never raises. It is what an explicit call asks for, so the switch
    `PE_NNUNET_REGISTER` does not stop it.

    Returns:
        Whether the look-up is, or will be, extended; `problem` says why not.
    """
    try:
        module = sys.modules.get(lookup.MODULE)
        if module is not None and lookup.is_complete(module):
            lookup.extend(module)
        elif not any(isinstance(finder, _LookupFinder) for finder in sys.meta_path):
            sys.meta_path.insert(0, _LookupFinder())
    except Exception as error:  # noqa: BLE001 - whatever goes wrong here, `import torch` must not
        _remember(error)
        return False
    return True


def is_registered() -> bool:
    """Whether the look-up of the nnU-Net in this process knows our classes; imports nnU-Net's look-up module."""
    return lookup.is_extended(import_module(lookup.MODULE))


def is_switched_off() -> bool:
    """Whether the environment variable `PE_NNUNET_REGISTER` asks to leave nnU-Net alone."""
    return os.environ.get(SWITCH, "").strip().lower() in _OFF


def problem() -> str | None:
    """Why nnU-Net's look-up could not be extended in this process, or None if nothing went wrong."""
    return _problems[-1] if _problems else None


def _remember(error: Exception) -> None:
    _problems.append(f"{type(error).__name__}: {error}")


class _LookupFinder(MetaPathFinder):
    """Waits for nnU-Net's look-up module, has it extended right after it has run, and is gone."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != lookup.MODULE:
            # Had the look-up module imported torch itself, it was too late to wait for it and too early to extend it.
            module = sys.modules.get(lookup.MODULE)
            if module is not None and lookup.is_complete(module):
                self.finish(module)
            return None
        spec = self._stock_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _ExtendingLoader(spec.loader, self)
        return spec

    def _stock_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
        for finder in list(sys.meta_path):
            find_spec = getattr(finder, "find_spec", None)  # Python 3.11 still passes over finders without one
            spec: ModuleSpec | None = find_spec(fullname, path, target) if find_spec and finder is not self else None
            if spec is not None:
                return spec
        return None

    def finish(self, module: ModuleType) -> None:
        """Extend the look-up module and stop waiting, whatever comes of it: nnU-Net itself must go on working."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        try:
            lookup.extend(module)
        except Exception as error:  # noqa: BLE001 - see above
            _remember(error)


class _ExtendingLoader(Loader):
    """Loads the look-up module with the loader that it has anyway, then extends it."""

    def __init__(self, stock: Loader, finder: _LookupFinder) -> None:
        self._stock = stock
        self._finder = finder

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._stock.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._stock  # the module keeps no trace of us but the one function
        if module.__spec__ is not None:
            module.__spec__.loader = self._stock
        self._stock.exec_module(module)
        self._finder.finish(module)

    def __getattr__(self, name: str) -> Any:  # get_code and the like, for whoever asks for the spec alone
        return getattr(self._stock, name)
