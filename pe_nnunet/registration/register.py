"""Teach nnU-Net's class look-up our names, without a file outside this package.

nnU-Net finds planners only inside its own folder, and trainers there or in `nnUNet_extTrainer`. Every look-up ends in
`nnunetv2.utilities.find_class_by_name._recursive_find_python_class`, called by its global name, so replacing that one
name serves all the modules that have bound the public function already. torch calls `register` through the entry point
group `torch.backends` while it is being imported; under some nnU-Net commands the look-up module is loaded by then,
under others it comes later, and then a finder for that one module name waits for it.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from pe_nnunet.registration.table import CLASSES, load_class

TARGET = "nnunetv2.utilities.find_class_by_name"
PUBLIC, PRIVATE = "recursive_find_python_class", "_recursive_find_python_class"
MARK = "_pe_nnunet_registered"
SWITCH = "PE_NNUNET_REGISTER"

Lookup = Callable[..., Any]


def register() -> bool:
    """Make nnU-Net's commands find the classes in `CLASSES`, now or as soon as nnU-Net is imported.

    Calling it again changes nothing. It never raises: an exception here would break `import torch`.

    Returns:
        Whether the look-up is, or will be, extended; False where the environment variable `PE_NNUNET_REGISTER` is 0.
    """
    if os.environ.get(SWITCH, "1").strip() == "0":
        return False
    module = sys.modules.get(TARGET)
    if module is not None and hasattr(module, PUBLIC):
        _extend(module)
    elif not any(isinstance(finder, _TargetFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _TargetFinder())
    return True


def is_registered() -> bool:
    """Whether the look-up of the nnU-Net in this process knows our classes; imports nnU-Net's look-up module."""
    module = importlib.import_module(TARGET)
    return any(hasattr(getattr(module, name, None), MARK) for name in (PRIVATE, PUBLIC))


def _extend(module: ModuleType) -> None:
    name = PRIVATE if hasattr(module, PRIVATE) else PUBLIC
    stock = getattr(module, name)
    if hasattr(stock, MARK):
        return
    ours = _ours_first(stock)
    setattr(module, name, ours)
    if name == PUBLIC:  # an nnU-Net without the private function: others hold the public one by value
        for other in list(sys.modules.values()):
            if getattr(other, "__dict__", {}).get(PUBLIC) is stock:
                setattr(other, PUBLIC, ours)


def _ours_first(stock: Lookup) -> Lookup:
    @wraps(stock)
    def find(folder: str, class_name: str, *args: Any, **kwargs: Any) -> Any:
        # ours first: a miss makes nnU-Net import every trainer that it ships, which takes seconds
        if class_name in CLASSES:
            return load_class(class_name)
        return stock(folder, class_name, *args, **kwargs)

    setattr(find, MARK, True)
    return find


class _TargetFinder(MetaPathFinder):
    """Waits for nnU-Net's look-up module, extends it right after it has run, and is gone."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != TARGET:
            return None
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _ExtendingLoader(spec.loader)
        return spec


class _ExtendingLoader(Loader):
    def __init__(self, stock: Loader) -> None:
        self.stock = stock

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.stock.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.stock.exec_module(module)
        _extend(module)

    def __getattr__(self, name: str) -> Any:  # get_source and the like, for inspect and pickle
        return getattr(self.stock, name)
