"""Whether a volume fits into memory, asked before any of it is allocated."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from math import prod
from pathlib import Path

from pe_nnunet.errors import InputError

BYTES_PER_VOXEL = 6  # measured while 48 million voxels of int16 were read from .nii.gz and .nrrd; from DICOM 4.4
_CGROUP = Path("/sys/fs/cgroup")


def require_memory(shape: Sequence[int], what: str) -> None:
    """Check that a volume can be read without swapping.

    Args:
        shape: Voxels along its axes, in any order.
        what: Case or file, for the message.

    Raises:
        InputError: PE-IN-006 if not; where the system does not say what is free, nothing is refused.
    """
    free, needed = free_bytes(), prod(map(int, shape)) * BYTES_PER_VOXEL
    if free is not None and needed > free:
        size = "x".join(str(int(n)) for n in shape)
        raise InputError(
            "PE-IN-006",
            f"{what} has {size} voxels: reading it takes {needed / 2**30:.1f} GiB of memory, "
            f"and {free / 2**30:.1f} GiB are free",
            "free some, use fewer processes, or cut or resample the scan; a damaged header can name any size",
        )


def free_bytes() -> int | None:
    """Memory that can be had without swapping, in the machine and in the container; None where nobody says."""
    free: list[int] = []
    with suppress(OSError, StopIteration, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free.append(int(next(line for line in lines if line.startswith("MemAvailable")).split()[1]) << 10)
    with suppress(OSError, ValueError, StopIteration):  # absent outside a container, and `max` where there is no limit
        limit, used = (int((_CGROUP / name).read_text(encoding="ascii")) for name in ("memory.max", "memory.current"))
        stat = (_CGROUP / "memory.stat").read_text(encoding="ascii").splitlines()
        cache = int(next(line for line in stat if line.startswith("file ")).split()[1])  # given up when asked for
        free.append(max(0, limit - used + cache))
    return min(free) if free else None
