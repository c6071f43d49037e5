"""What is too large to travel to other processes, as models are: each makes it itself, once."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import lru_cache
from typing import Any


class MadeThere:
    """Becomes what a function returns where it is unpickled.

    Args:
        make: A class, or a function of a module.
        arguments: Its arguments, which are pickled.
        named: Those with names.

    Example:
        >>> pickle.loads(pickle.dumps(MadeThere(max, 1, 2)))
        2
    """

    def __init__(self, make: Callable[..., Any], *arguments: Any, **named: Any) -> None:
        self._recipe = pickle.dumps((make, arguments, named))

    def __reduce__(self) -> tuple[Callable[[bytes], Any], tuple[bytes]]:
        """How pickle makes it."""
        return _made, (self._recipe,)


@lru_cache(maxsize=1)
def _made(recipe: bytes) -> Any:
    """What this process has of it."""
    make, arguments, named = pickle.loads(recipe)  # noqa: S301 - from the process that hands out cases
    return make(*arguments, **named)
