"""Weights of another model, from which a training starts; its checkpoints say which they were."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from pe_nnunet.trainers.callback import Callback

if TYPE_CHECKING:
    from pe_nnunet.trainers.base import PETrainer

KEY = "pe_first_weights"
"""Of the record in a checkpoint."""

HEADS = ".seg_layers."
"""In the names of the weights of segmentation heads, as nnU-Net's `-pretrained_weights` knows them."""


class FirstWeights(Callback):
    """Loads the weights of another model, and keeps in every checkpoint of the training which they were.

    Attributes:
        record: What is known of them; None where the training started from chance.
    """

    def __init__(self) -> None:
        self.record: dict[str, Any] | None = None

    def load(
        self, trainer: PETrainer, weights: Mapping[str, Tensor], record: dict[str, Any], *, keep_heads: bool
    ) -> None:
        """Give a network the weights of another model of the same shapes.

        Args:
            trainer: Initialised, and not started.
            weights: By name.
            record: What every checkpoint is to say of them, in plain types.
            keep_heads: Whether its segmentation heads are taken too; else those of the trainer stay.
        """
        network = trainer.bare_network()
        own = network.state_dict()
        network.load_state_dict(
            {name: own[name] if is_head(name) and not keep_heads else weights[name] for name in own}
        )
        self.record = record

    def on_save_checkpoint(self, trainer: PETrainer, checkpoint: dict[str, Any], /) -> None:  # noqa: ARG002
        """The record goes with the weights."""
        if self.record is not None:
            checkpoint[KEY] = self.record

    def on_load_checkpoint(self, trainer: PETrainer, checkpoint: dict[str, Any], /) -> None:  # noqa: ARG002
        """A training that goes on keeps it."""
        self.record = checkpoint.get(KEY)


def is_head(name: str) -> bool:
    """Whether a weight of that name belongs to a segmentation head.

    Example:
        >>> is_head("decoder.seg_layers.0.weight"), is_head("decoder.stages.0.weight")
        (True, False)
    """
    return HEADS in name
