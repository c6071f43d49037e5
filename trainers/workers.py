"""Batches made in other processes, or in this one."""

from __future__ import annotations

from typing import Any

from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter
from batchgenerators.dataloading.single_threaded_augmenter import SingleThreadedAugmenter

from pe_nnunet.sampling import EmbolusDataLoader


def in_processes(loader: EmbolusDataLoader, count: int, *, pin_memory: bool) -> Any:
    """An iterator over a loader's batches.

    Args:
        loader: Its `seeds` must know the number of workers.
        count: Worker processes; with 0 batches are made where they are asked for.
        pin_memory: For faster copies to a GPU.
    """
    if count == 0:
        return SingleThreadedAugmenter(loader, None)
    return NonDetMultiThreadedAugmenter(
        data_loader=loader,
        transform=None,
        num_processes=count,
        num_cached=max(3, count // 2),
        pin_memory=pin_memory,
        wait_time=0.002,
    )


def stop_processes(iterator: Any) -> None:
    """End the workers of `in_processes`, if there are any."""
    if isinstance(iterator, NonDetMultiThreadedAugmenter):
        iterator._finish(timeout=2, force=True)
