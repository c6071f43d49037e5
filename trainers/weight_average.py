"""Moving average of the weights, with the decay rising from a short memory to its full length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from pe_nnunet.trainers.callback import Callback

if TYPE_CHECKING:
    from pe_nnunet.trainers.base import PETrainer


class WeightAverage(Callback):
    """Averages the weights step by step; the average is what is validated and what a checkpoint calls the network's.

    So stock `nnUNetv2_predict` uses it. The trained weights lie beside it in the checkpoint, for resuming.

    Source: Polyak and Juditsky 1992; the rising decay min(decay, (1 + n) / (10 + n)) after n updates as in TensorFlow's
    ExponentialMovingAverage. The averaging is `torch.optim.swa_utils.AveragedModel`; batch statistics are averaged too.

    Attributes:
        average: Torch's; None before the training, and where nothing is averaged.

    Args:
        decay: Share of the old average kept in an update; 0 averages nothing.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.average: AveragedModel | None = None
        self._in_validation = ExitStack()

    def _start(self, network: nn.Module) -> AveragedModel:
        average = AveragedModel(network, multi_avg_fn=self._blend, use_buffers=True)
        average.requires_grad_(False)
        return average

    def _blend(self, averaged: Sequence[Tensor], current: Sequence[Tensor], updates: Any) -> None:
        n = int(updates)
        weight = 1 - min(self.decay, (1 + n) / (10 + n))
        with torch.no_grad():
            for old, new in zip(averaged, current, strict=True):
                if old.is_floating_point():
                    old.lerp_(new.to(old.dtype), weight)
                else:
                    old.copy_(new)

    @contextmanager
    def applied(self, network: nn.Module) -> Iterator[None]:
        """The network has the averaged weights inside the block, if there are any, and its own again after it."""
        self._swap(network)
        try:
            yield
        finally:
            self._swap(network)

    def _swap(self, network: nn.Module) -> None:
        if self.average is None:
            return
        averaged = self.average.module
        with torch.no_grad():
            for ours, theirs in zip(
                [*network.parameters(), *network.buffers()],
                [*averaged.parameters(), *averaged.buffers()],
                strict=True,
            ):
                ours.data, theirs.data = theirs.data, ours.data

    def on_train_start(self, trainer: PETrainer, /) -> None:
        """The average starts from the weights that training starts from."""
        if self.decay and self.average is None:
            self.average = self._start(trainer.bare_network())

    def on_train_batch_end(self, trainer: PETrainer, /) -> None:
        """The average follows the network by one step."""
        if self.average is not None:
            self.average.update_parameters(trainer.bare_network())

    def on_validation_start(self, trainer: PETrainer, /) -> None:
        """Validation sees the averaged weights."""
        self._in_validation.enter_context(self.applied(trainer.bare_network()))

    def on_validation_end(self, trainer: PETrainer, /) -> None:  # noqa: ARG002
        """Training goes on with its own."""
        self._in_validation.close()

    def on_sigterm(self, trainer: PETrainer, /) -> None:  # noqa: ARG002
        """The checkpoint to come needs the trained weights, within a validation too."""
        self._in_validation.close()

    def on_save_checkpoint(self, trainer: PETrainer, checkpoint: dict[str, Any], /) -> None:  # noqa: ARG002
        """The averaged weights take the place of the trained ones."""
        average = self.average
        checkpoint["pe_trained_weights"] = None if average is None else checkpoint["network_weights"]
        checkpoint["pe_average_updates"] = 0 if average is None else int(average.n_averaged)
        if average is not None:
            checkpoint["network_weights"] = average.module.state_dict()

    def on_load_checkpoint(self, trainer: PETrainer, checkpoint: dict[str, Any], /) -> None:
        """Training goes on from the trained weights, validation from the averaged ones."""
        if checkpoint["pe_trained_weights"] is None:
            return
        network = trainer.bare_network()  # it has got the averaged ones
        if self.decay:
            self.average = self._start(network)
            self.average.n_averaged.fill_(checkpoint["pe_average_updates"])
        network.load_state_dict(checkpoint["pe_trained_weights"])
