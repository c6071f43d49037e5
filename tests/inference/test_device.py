"""Pages for a network's maps."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

VALUES = 2**24  # 64 MB
HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


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
