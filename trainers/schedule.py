"""Learning rate: a linear rise, then cosine annealing, both by step."""

from __future__ import annotations

import math

from torch.optim import Optimizer


class WarmupCosine:
    """Sets the learning rate from the step alone, so that a resumed training goes on exactly.

    Source: Loshchilov and Hutter, SGDR, ICLR 2017 (without restarts); linear warm-up as in Goyal et al. 2017.

    Args:
        optimizer: Whose parameter groups are set.
        learning_rate: The highest value.
        steps_per_epoch: Steps an epoch.
        epochs: Epochs in all.
        warmup_fraction: Share of all steps in which the rate rises from near 0.
        final_fraction: The last value, of the highest.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        learning_rate: float,
        steps_per_epoch: int,
        epochs: int,
        warmup_fraction: float,
        final_fraction: float,
    ) -> None:
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.steps_per_epoch = steps_per_epoch
        self.total = steps_per_epoch * epochs
        self.warmup = math.ceil(self.total * warmup_fraction)
        self.final_fraction = final_fraction
        self.current = 0
        self._apply()

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        progress = min(1.0, (step - self.warmup) / max(1, self.total - self.warmup))
        cosine = (1 + math.cos(math.pi * progress)) / 2
        return self.learning_rate * (self.final_fraction + (1 - self.final_fraction) * cosine)

    def step(self, epoch: int) -> None:
        """Go to the first step of an epoch (nnU-Net calls this as each epoch starts)."""
        self.current = epoch * self.steps_per_epoch
        self._apply()

    def advance(self) -> None:
        """Go to the next step."""
        self.current += 1
        self._apply()

    def _apply(self) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate_at(self.current)
