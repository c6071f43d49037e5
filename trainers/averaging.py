"""Moving average of the weights, with the decay rising from a short memory to its full length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


class WeightAverage:
    """A copy of a network whose weights follow the trained ones slowly.

    Source: Polyak and Juditsky 1992; the rising decay min(decay, (1 + n) / (10 + n)) after n updates as in TensorFlow's
    ExponentialMovingAverage. The averaging is `torch.optim.swa_utils.AveragedModel`; batch statistics are averaged too.

    Args:
        network: The trained network, not wrapped or compiled.
        decay: Share of the old average kept in an update.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = network
        self.decay = decay
        self.average = AveragedModel(network, multi_avg_fn=self._blend, use_buffers=True)
        self.average.requires_grad_(False)

    def _blend(self, averaged: Sequence[Tensor], current: Sequence[Tensor], updates: Any) -> None:
        n = int(updates)
        weight = 1 - min(self.decay, (1 + n) / (10 + n))
        with torch.no_grad():
            for old, new in zip(averaged, current, strict=True):
                if old.is_floating_point():
                    old.lerp_(new.to(old.dtype), weight)
                else:
                    old.copy_(new)

    def update(self) -> None:
        """Follow the network by one step."""
        self.average.update_parameters(self.network)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The network has the averaged weights inside the block, and its own again after it."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        with torch.no_grad():
            for ours, theirs in zip(
                [*self.network.parameters(), *self.network.buffers()],
                [*self.average.module.parameters(), *self.average.module.buffers()],
                strict=True,
            ):
                ours.data, theirs.data = theirs.data, ours.data

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged weights, under the network's own keys."""
        return dict(self.average.module.state_dict())

    @property
    def updates(self) -> int:
        """How often the average was updated."""
        return int(self.average.n_averaged)

    def load(self, weights: dict[str, Tensor], updates: int) -> None:
        """Go on from stored weights and their number of updates."""
        self.average.module.load_state_dict(weights)
        self.average.n_averaged.fill_(updates)
