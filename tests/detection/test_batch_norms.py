from __future__ import annotations

import pytest
import torch
from torch import nn

from pe_nnunet.detection.train import recompute_batch_norm_statistics


def test_norms_hold_the_means_and_variances_of_the_pictures_and_not_of_the_past() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, momentum=0.03), nn.Conv2d(4, 2, 1), nn.BatchNorm2d(2))
    network.eval()
    network[1].running_mean += 50  # of weights long gone
    pictures = torch.rand(6, 3, 8, 8)
    recompute_batch_norm_statistics(network, [pictures, pictures.flip(0)])
    scaled = (network(pictures) - network[3].bias[:, None, None]) / network[3].weight[:, None, None]
    assert scaled.mean(dim=(0, 2, 3)).tolist() == pytest.approx([0, 0], abs=1e-4)
    assert scaled.var(dim=(0, 2, 3)).tolist() == pytest.approx([1, 1], abs=1e-2)
    assert not any(module.training for module in network.modules())
    assert [network[1].momentum, network[3].momentum] == [0.03, 0.1]


def test_settling_learns_nothing() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).eval()
    before = [parameter.clone() for parameter in network.parameters()]
    recompute_batch_norm_statistics(network, [torch.rand(2, 3, 8, 8)])
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in network.parameters())
