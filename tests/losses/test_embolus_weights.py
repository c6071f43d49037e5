"""Emboli that weigh alike whatever their volume, and the focal loss of each foreground voxel; values by hand."""

from __future__ import annotations

import math

import pytest
import torch

from pe_nnunet.losses import DiceFocalLoss, focal_loss_with_labels, focal_loss_with_regions
from pe_nnunet.losses.embolus_weights import embolus_weights
from pe_nnunet.losses.focal import MIN_FOREGROUND


def two_patches() -> torch.Tensor:
    """Emboli of 8 and 1 voxels in the first patch, one of 2, joined across a corner, in the second."""
    pe = torch.zeros(2, 6, 6, 6, dtype=torch.bool)
    pe[0, 0:2, 0:2, 0:2] = True
    pe[0, 5, 5, 5] = True
    pe[1, 1, 1, 1] = pe[1, 2, 2, 2] = True
    return pe


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_weights_are_the_median_over_the_volume_to_the_power(power):
    pe = two_patches()
    weights = embolus_weights(pe, power)
    assert weights.dtype == torch.float32
    assert weights.shape == pe.shape
    assert torch.all(weights[~pe] == 1)
    for voxel, volume in (((0, 1, 1, 1), 8), ((0, 5, 5, 5), 1), ((1, 1, 1, 1), 2), ((1, 2, 2, 2), 2)):
        assert weights[voxel] == pytest.approx((2 / volume) ** power)  # the median of 8, 1 and 2 is 2
    if power == 1:
        assert weights[pe].sum() == pytest.approx(3 * 2)


def test_slices_and_patches_without_emboli():
    flat = two_patches()[:, 0]
    assert embolus_weights(flat, 1.0)[0, 0, 0] == 1  # the only embolus is the median
    assert torch.equal(embolus_weights(torch.zeros(2, 4, 4, 4, dtype=torch.bool), 1.0), torch.ones(2, 4, 4, 4))


@pytest.mark.parametrize("regions", [False, True])
def test_both_losses_by_hand(regions):
    """Logits of 0: probability one half everywhere."""
    pe = two_patches()
    shape = (2, 2, 6, 6, 6)
    target = torch.stack([torch.ones_like(pe), pe], 1).float() if regions else pe[:, None].long()
    loss = DiceFocalLoss(regions=regions, embolus_weight_power=1.0, foreground_weight=0.75)
    voxels, weighted = pe.numel(), 6.0  # three emboli of weight 2
    background = voxels - pe.sum().item()
    each = 0.25 * math.log(2)  # (1 - 0.5)^2 log 2
    focal = (0.75 * weighted + 0.25 * background) * each / voxels
    dice = 2 * weighted / 2 / (weighted + (weighted + background) / 2)
    if regions:  # the first region is everything, and its voxels weigh alike
        focal = (focal + 0.75 * each) / 2
        dice = (dice + 2 * voxels / 2 / (voxels + voxels / 2)) / 2
    assert loss(torch.zeros(shape), target).item() == pytest.approx(focal - dice, rel=1e-5)


def test_ignored_voxels_are_no_part_of_an_embolus():
    labels = two_patches()[:, None].long()
    labels[0, 0, 0, 0, 0:2] = 2  # six of the first embolus are left, so the median is still 2
    loss = DiceFocalLoss(ignore_label=2, embolus_weight_power=1.0)
    weights = loss._weights(torch.where(labels == 2, 0, labels), labels != 2)
    assert weights[0, 0, 1, 1, 1] == pytest.approx(2 / 6)
    logits = torch.randn(2, 2, 6, 6, 6, requires_grad=True)
    loss(logits, labels).backward()
    assert torch.all(logits.grad[(labels == 2).expand_as(logits)] == 0)


def test_power_zero_is_the_loss_without_weights():
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(2, 2, 6, 6, 6, generator=generator), two_patches()[:, None].long()
    assert DiceFocalLoss(embolus_weight_power=0.0)(logits, labels) == DiceFocalLoss()(logits, labels)
    tiny = DiceFocalLoss(embolus_weight_power=1e-9)(logits, labels)
    torch.testing.assert_close(tiny, DiceFocalLoss()(logits, labels))


@pytest.mark.parametrize("function", [focal_loss_with_labels, focal_loss_with_regions])
def test_the_sum_is_divided_by_foreground_voxels_or_a_thousandth_of_all(function):
    generator = torch.Generator().manual_seed(0)
    channels = 2 if function is focal_loss_with_labels else 1
    logits = torch.randn(2, channels, 6, 6, 6, generator=generator)
    target = two_patches()[:, None].long()
    total = function(logits, target) * 432
    torch.testing.assert_close(function(logits, target, per_foreground=True), total / 11)
    none = torch.zeros_like(target)
    least = max(1, MIN_FOREGROUND * 432)
    torch.testing.assert_close(function(logits, none, per_foreground=True), function(logits, none) * 432 / least)
    mask = torch.zeros_like(target, dtype=torch.bool)
    mask[0] = True
    expected = function(logits[:1], target[:1]) * 216 / 9
    torch.testing.assert_close(function(logits, target, per_foreground=True, mask=mask), expected)
