"""A quick start and end of a command that imports a great deal."""

from __future__ import annotations

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """For imports, which stay to the end: there is no garbage among them, and a quarter of a second to gain.

    Nor is it looked for there afterwards.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()


def end_without_garbage_collection() -> None:
    """Have the interpreter end without a last search for cycles among its objects: half a second with torch."""
    atexit.register(gc.freeze)
