"""Memory for a network's maps: in huge pages, and given back to the system where it is freed.

A window's maps are large and live for milliseconds. By default glibc has the system fill each with zeros page by page,
or keeps it in a heap whose gaps the next map may not fit. torch asks for huge pages if told so before it first
allocates, and large blocks that are mapped by themselves leave no gaps. `tests/inference/test_allocation.py` counts the
page faults.
"""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of mallopt(3)
APART = {MMAP_THRESHOLD: 2**22, TRIM_THRESHOLD: 2**26}
USUAL = {MMAP_THRESHOLD: 2**25, TRIM_THRESHOLD: 2**26}  # where glibc's own adjustment ends


def ask_for_huge_pages() -> None:
    """Have torch use them, unless the environment says otherwise; on Linux, and before torch first allocates."""
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


@lru_cache(maxsize=1)
def _glibc() -> Any:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None


def give_back_freed_memory() -> None:
    """Return to the system what small blocks have left; only with glibc."""
    if _glibc() is not None:
        _glibc().malloc_trim(0)


@contextmanager
def large_blocks_apart() -> Iterator[None]:
    """Within the block what is large is mapped by itself, and goes back when it is freed. Only with glibc."""
    _set(APART)
    try:
        yield
    finally:
        _set(USUAL)
        give_back_freed_memory()


def _set(thresholds: dict[int, int]) -> None:
    for name, size in thresholds.items():
        if _glibc() is not None:
            _glibc().mallopt(name, size)
