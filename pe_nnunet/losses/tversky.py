"""The loss that AANet was published with.

Source: Guo et al., AANet: Artery-Aware Network for Pulmonary Embolism Detection in CTPA Images, MICCAI 2022. Tversky
loss after Salehi et al. 2017 with alpha = beta = 0.5, whose false-positive and false-negative terms are squared a
voxel; half over the batch as one sample, half a sample, where samples without the target are left out.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

PE_WEIGHT = 0.75
SMOOTH = 1.0


class AANetLoss(nn.Module):
    """0.75 times the loss of PE, and 0.25 times that of the artery: of all other foreground, shared equally.

    The batch is what this process has of it, under DDP its part.

    Args:
        pe_channel: The output channel of PE; it may be the only foreground, and then has all the weight.
        regions: Whether targets are regions (sigmoid) instead of labels (softmax, channel 0 being background).
        ignore_label: The label that does not count, if any; under regions it is the target's last channel.
    """

    def __init__(self, pe_channel: int, *, regions: bool = True, ignore_label: int | None = None) -> None:
        super().__init__()
        self.pe_channel = pe_channel
        self.regions = regions
        self.ignore_label = ignore_label

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of one output, in float32 or float64.

        Args:
            logits: (batch, classes or regions, ...).
            target: (batch, 1, ...) labels, or (batch, regions [+ 1 for ignore], ...).

        Returns:
            A scalar from 0, perfect, to 1.
        """
        logits = logits if logits.dtype == torch.float64 else logits.float()
        mask = torch.ones_like(target[:, :1], dtype=logits.dtype)
        if self.ignore_label is not None:
            ignored = target[:, -1:] != 0 if self.regions else target == self.ignore_label
            mask = (~ignored).to(logits.dtype)
            target = target[:, :-1] if self.regions else target
        probability = torch.sigmoid(logits) if self.regions else torch.softmax(logits, 1)
        channels = range(0 if self.regions else 1, logits.shape[1])
        losses = {
            channel: tversky(probability[:, channel], self._truth(target, channel).to(logits.dtype), mask[:, 0])
            for channel in channels
        }
        others = [loss for channel, loss in losses.items() if channel != self.pe_channel]
        if not others:
            return losses[self.pe_channel]
        return PE_WEIGHT * losses[self.pe_channel] + (1 - PE_WEIGHT) * torch.stack(others).mean()

    def _truth(self, target: Tensor, channel: int) -> Tensor:
        return target[:, channel] > 0 if self.regions else target[:, 0] == channel


def tversky(probability: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Half the Tversky loss over the batch, half the mean of that of the samples that hold the target.

    Args:
        probability: (batch, ...).
        truth: (batch, ...) 0 or 1.
        mask: (batch, ...) 0 where a voxel does not count.

    Returns:
        A scalar; where no sample holds the target, the loss over the batch alone, by half.
    """
    true_positive = (mask * probability * truth).flatten(1).sum(1)
    false_positive = (mask * probability**2 * (1 - truth)).flatten(1).sum(1)
    false_negative = (mask * (1 - probability) ** 2 * truth).flatten(1).sum(1)
    errors = 0.5 * false_positive + 0.5 * false_negative
    over_batch = 1 - (true_positive.sum() + SMOOTH) / (true_positive.sum() + errors.sum() + SMOOTH)
    held = ((mask * truth).flatten(1).sum(1) > 0).to(probability.dtype)
    of_samples = 1 - (true_positive + SMOOTH) / (true_positive + errors + SMOOTH)
    return 0.5 * over_batch + 0.5 * (of_samples * held).sum() / held.sum().clamp_min(1)
