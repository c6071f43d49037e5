"""Chance of a training by batch: every batch has its own seed, whoever makes it and whenever."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class BatchSeeds:
    """The seeds of the batches that one loader makes.

    They follow from the batch's place in the training alone, so that a training that was cut off goes on with the
    batches that it would have had. Of several workers each makes every n-th batch.

    Attributes:
        seed: The training's.
        rank: Of the process in a distributed training.
        stream: Which loader: 0 for training, 1 for validation.
        per_epoch: Batches an epoch.
        first: Number of the first batch to be made, counted from the training's start.
        workers: Processes that share the work.
    """

    seed: int = 0
    rank: int = 0
    stream: int = 0
    per_epoch: int = 250
    first: int = 0
    workers: int = 1

    def place(self, made: int, worker: int = 0) -> tuple[int, int]:
        """The epoch of a batch, and its number in it; arguments as of `of`."""
        return divmod(self.first + worker + made * self.workers, self.per_epoch)

    def of(self, made: int, worker: int = 0) -> int:
        """The seed of a batch.

        Args:
            made: How many batches this worker has made.
            worker: Its number.

        Example:
            >>> BatchSeeds(per_epoch=10, first=20).of(3) == BatchSeeds(per_epoch=10).of(23)
            True
        """
        epoch, index = self.place(made, worker)
        sequence = np.random.SeedSequence([self.seed, epoch, index, self.rank, self.stream])
        return int(sequence.generate_state(1)[0])


@contextmanager
def seeded(seed: int) -> Iterator[np.random.Generator]:
    """Seed the global sources of chance, which augmentation draws from; after the block they are as before.

    Args:
        seed: Below 2^32.

    Yields:
        A generator of its own with the same seed.
    """
    python, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002 - what the transforms use
    try:
        with torch.random.fork_rng(devices=[]):
            random.seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            torch.default_generator.manual_seed(seed)
            yield np.random.default_rng(seed)
    finally:
        random.setstate(python)
        np.random.set_state(numpy_state)  # noqa: NPY002
