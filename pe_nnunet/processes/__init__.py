"""Worker processes and threads: how many make sense, and workers that get in nobody's way."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from math import prod
from pathlib import Path

from pe_nnunet.errors import ConfigurationError, InputError


def usable_processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def compute_threads() -> int:
    """Threads for a training on a CPU: `OMP_NUM_THREADS` where it is set, else one a processor that may be used.

    nnU-Net takes one for each processor that the machine has, whatever this process may use of them.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdigit() and int(asked) else usable_processors()


def no_workers(error: Exception, hint: str) -> ConfigurationError:
    """The error where the system allows no worker process: PE-CONV-032."""
    return ConfigurationError("PE-CONV-032", f"worker processes cannot be started: {error}", hint)


def worker_pool(workers: int, alone: str = "--num-processes 1") -> ProcessPoolExecutor:
    """A pool of spawned workers, each of one thread, that leave Ctrl-C to their parent and end with it.

    Args:
        workers: How many.
        alone: The option by which a command does without workers, for the error's advice.

    Raises:
        ConfigurationError: PE-CONV-032 if the system has no semaphores, as where /dev/shm is missing, full or not
            writable.
    """
    # spawned, not forked: ITK's threads do not survive a fork
    context = multiprocessing.get_context("spawn")
    try:
        return ProcessPoolExecutor(workers, mp_context=context, initializer=_prepare_worker)
    except (OSError, ImportError) as error:
        raise no_workers(error, f"give {alone}, or enlarge /dev/shm") from error


def one_core_for_other_threads() -> None:
    """Let torch compute with one core in threads that are started from now on; this thread keeps its number.

    torch gives every thread that computes OpenMP helpers of its own. Once there are more of them than processors, GNU's
    OpenMP puts all helpers to sleep between two operations, and small networks take twice the time on a CPU. nnU-Net's
    sliding window copies each window in a thread beside the one that predicts.
    """
    import torch

    # torch keeps the number for threads to come in one place, and the present one's with OpenMP, which knows threads
    setter = threading.Thread(target=torch.set_num_threads, args=(1,))
    setter.start()
    setter.join()


def end_with_parent(poll_seconds: float = 0.5) -> None:
    """Watch, in a thread, for the death of the process that started this one, and end this one then.

    A process killed by SIGKILL cannot stop its workers: one that waits to hand over its work would wait for ever, and
    one that writes would write on, into what a later run may be working on. In a process that was not started by
    multiprocessing nothing is done.

    Args:
        poll_seconds: Between two looks, where a death is not heard of: forked workers keep each other's pipes open.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        # an orphan gets another parent; Windows keeps the number, but knows whether it is alive
        while parent.is_alive() if os.name == "nt" else os.getppid() == parent.pid:
            parent.join(poll_seconds)
        os._exit(1)

    threading.Thread(target=watch, name="end with parent", daemon=True).start()


def end_with_stdin() -> None:
    """End this process, and all of its session, when its standard input closes: when the process that holds it ends.

    For a process that was started with a pipe as its standard input, in a session of its own.
    """

    def watch() -> None:
        while os.read(0, 1 << 16):  # not by sys.stdin: a forked process closes that, and would wait for this thread
            pass
        if hasattr(os, "killpg") and os.getpgrp() == os.getpid():  # its own processes too: they load data
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=watch, name="end with stdin", daemon=True).start()


def _prepare_worker() -> None:
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)  # or the workers' libraries would fight for the processors
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it too, and lets each worker finish its case
    end_with_parent()


# Measured with 52 million voxels: reading int16 takes 6 from .nii.gz and .nrrd and 4 from DICOM, float64 20; converting
# 12; predicting 11 until emboli are parted, and from then on 20 and more, by how much is taken for one.
BYTES_PER_VOXEL = 20
_CGROUP = Path("/sys/fs/cgroup")


def require_memory(shape: Sequence[int], what: str) -> None:
    """Check that a volume can be read and worked on without swapping.

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
            f"{what} has {size} voxels: reading it takes {needed / 2**30:.1f} GiB of memory with the work on it, "
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
