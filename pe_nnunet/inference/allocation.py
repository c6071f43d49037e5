"""Memory that was freed: kept for the next window, given back to the system after the last.

glibc returns every large block to the system when it is freed, and the system fills the next one with zeros, page by
page: each of a network's maps costs that anew, as much as the norm over it does.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of mallopt(3)
KEEP = {MMAP_THRESHOLD: 2**30, TRIM_THRESHOLD: 2**31 - 1}
USUAL = {MMAP_THRESHOLD: 2**25, TRIM_THRESHOLD: 2**26}  # where glibc's own adjustment ends


@lru_cache(maxsize=1)
def _glibc() -> Any:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Within the block what is freed is used again; before and after it, it goes back. Nothing without glibc."""
    if _glibc() is None:
        yield
        return
    _glibc().malloc_trim(0)
    _set(KEEP)
    try:
        yield
    finally:
        _set(USUAL)
        _glibc().malloc_trim(0)


def _set(thresholds: dict[int, int]) -> None:
    for name, size in thresholds.items():
        _glibc().mallopt(name, size)
