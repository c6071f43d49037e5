"""Memory for a network's maps."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pe_nnunet.inference.allocation import large_blocks_apart

resource = pytest.importorskip("resource")  # not on Windows

VALUES = 2**24  # 64 MB
HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told what to do")


@pytest.mark.skipif(not HUGE_PAGES.is_file() or "[never]" in HUGE_PAGES.read_text(), reason="no huge pages here")
def test_maps_come_in_huge_pages_unless_the_environment_says_otherwise():
    code = (
        "import resource, torch, pe_nnunet.inference\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        f"torch.ones({VALUES})\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)"
    )
    environment = {key: value for key, value in os.environ.items() if key != "THP_MEM_ALLOC_ENABLE"}
    faults = [
        int(
            subprocess.run(
                [sys.executable, "-c", code], env=environment | chosen, capture_output=True, check=True
            ).stdout
        )
        for chosen in ({}, {"THP_MEM_ALLOC_ENABLE": "0"})
    ]
    assert faults[0] < faults[1] / 4


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_a_large_block_goes_back_at_once_and_nothing_stays_after_an_error_either():
    def fail() -> None:
        with large_blocks_apart():
            held.append(torch.ones(VALUES))
            seen.append(resident_bytes())
            held.clear()
            seen.append(resident_bytes())
            raise RuntimeError("no memory")

    held: list[torch.Tensor] = []
    seen: list[int] = []
    before = resident_bytes()
    with pytest.raises(RuntimeError):
        fail()
    assert seen[0] - before > VALUES * 3
    assert seen[1] - before < VALUES
    assert resident_bytes() - before < VALUES
