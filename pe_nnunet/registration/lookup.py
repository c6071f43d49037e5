"""Extend nnU-Net's class look-up with our names.

nnU-Net finds planners only inside its own folder, and trainers there or in `nnUNet_extTrainer`. Every look-up ends in
`nnunetv2.utilities.find_class_by_name._recursive_find_python_class`, which the public function calls by its global
name: replacing that one name serves every module that has bound the public function already.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from types import ModuleType
from typing import Any

from pe_nnunet.registration.names import CLASSES, EXTRACTORS, STOCK_FINGERPRINT, load_class, meant_by

MODULE = "nnunetv2.utilities.find_class_by_name"
PUBLIC, PRIVATE = "recursive_find_python_class", "_recursive_find_python_class"
MARK = "_pe_nnunet"

Lookup = Callable[..., Any]


def is_complete(module: ModuleType) -> bool:
    """Whether nnU-Net's look-up module has run as far as its public function, which stands last in it."""
    return PUBLIC in vars(module)


def is_extended(module: ModuleType) -> bool:
    """Whether the look-up functions in nnU-Net's look-up module know our classes."""
    return any(hasattr(vars(module).get(name), MARK) for name in (PRIVATE, PUBLIC))


def extend(module: ModuleType) -> None:
    """Make the look-up functions in nnU-Net's look-up module know our classes; a second call changes nothing.

    Args:
        module: `nnunetv2.utilities.find_class_by_name`, or one like it without the private function: then the public
            one is replaced, in `module` and in every module that has bound it.

    Raises:
        LookupError: If the module has neither function.
    """
    if is_extended(module):
        return
    name = PRIVATE if PRIVATE in vars(module) else PUBLIC
    stock = vars(module).get(name)
    if stock is None:
        raise LookupError(f"{MODULE} has no {PUBLIC}: this nnU-Net is not one of 2.8 to 2.x")
    ours = _ours_first(stock)
    setattr(module, name, ours)
    if name == PUBLIC:
        _rebind(stock, ours)


def _ours_first(stock: Lookup) -> Lookup:
    depth = 0  # nnU-Net's function calls this one for every folder below the first

    @wraps(stock)
    def find(folder: str, class_name: str, *args: Any, **kwargs: Any) -> Any:
        nonlocal depth
        # ours first: a miss makes nnU-Net import every trainer that it ships, which takes seconds
        meant = meant_by(class_name, sys.argv)
        if meant in CLASSES or meant in EXTRACTORS:
            from pe_nnunet.registration.one_line import end_in_one_line

            end_in_one_line(sys.argv[0])
            return load_class(meant)
        depth += 1
        try:
            if depth == 1 and class_name == STOCK_FINGERPRINT:
                _refuse_misspelt_planner(lambda name: stock(folder, name, *args, **kwargs))
            found = stock(folder, class_name, *args, **kwargs)
        finally:
            depth -= 1
        if found is None and depth == 0:
            from pe_nnunet.registration.near_miss import remember

            remember(class_name)
        return found

    setattr(find, MARK, True)
    return find


def _refuse_misspelt_planner(look_up: Callable[[str], Any]) -> None:
    """Say that a planner does not exist before the fingerprint reads every image, not after it.

    Args:
        look_up: nnU-Net's, in its folder of planners.

    Raises:
        ConfigurationError: PE-ENV-007 if the command names a planner that nnU-Net has not, and one of ours is near.
    """
    from pe_nnunet.registration.near_miss import misspelt_planner, remember

    name = misspelt_planner(sys.argv)
    if name is not None and look_up(name) is None and (error := remember(name)):
        raise error


def _rebind(stock: Lookup, ours: Lookup) -> None:
    for module in list(sys.modules.values()):
        try:  # not vars(): reading the namespace of a module that loads lazily would load it
            names = object.__getattribute__(module, "__dict__")
        except AttributeError:
            continue
        if names.get(PUBLIC) is stock:
            names[PUBLIC] = ours
