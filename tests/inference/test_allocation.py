"""Freed memory: used again within the block, given back after it."""

import platform
from pathlib import Path

import pytest
import torch

from pe_nnunet.inference.allocation import freed_memory_kept

resource = pytest.importorskip("resource")  # not on Windows

VALUES = 2**24  # 64 MB
PAGES = VALUES * 4 // resource.getpagesize()

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told what to keep")


def page_faults(values: int = VALUES) -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(values)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_a_block_that_was_freed_is_used_again():
    with freed_memory_kept():
        assert page_faults(2 * VALUES) > PAGES  # twice: an aligned block need not fit where one of its size has been
        assert page_faults() < PAGES / 10


def test_nothing_stays_after_an_error_either():
    def fail() -> None:
        with freed_memory_kept():
            torch.ones(VALUES)
            inside.append(resident_bytes())
            raise RuntimeError("no memory")

    inside: list[int] = []
    before = resident_bytes()
    with pytest.raises(RuntimeError):
        fail()
    assert inside[0] - before > VALUES * 3
    assert resident_bytes() - before < VALUES
