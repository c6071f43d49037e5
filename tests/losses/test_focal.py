"""Focal and Dice+focal losses against torchvision, PyTorch and nnU-Net."""

import pytest
import torch
import torch.nn.functional as F
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss
from nnunetv2.utilities.helpers import softmax_helper_dim1
from torchvision.ops import sigmoid_focal_loss

from pe_nnunet.losses import DiceFocalLoss, focal_loss_with_labels, focal_loss_with_regions


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(3)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("alpha", [0.25, 0.75])
def test_regions_equal_torchvision(generator, gamma, alpha):
    logits = torch.randn(2, 3, 4, 5, 6, generator=generator) * 4
    regions = (torch.rand(2, 3, 4, 5, 6, generator=generator) > 0.7).float()
    expected = sigmoid_focal_loss(logits, regions, alpha=alpha, gamma=gamma, reduction="mean")
    torch.testing.assert_close(focal_loss_with_regions(logits, regions, gamma=gamma, foreground_weight=alpha), expected)


def test_two_labels_equal_one_region(generator):
    logits = torch.randn(2, 2, 5, 5, generator=generator)
    labels = (torch.rand(2, 1, 5, 5, generator=generator) > 0.6).short()
    as_region = focal_loss_with_regions(logits[:, 1:] - logits[:, :1], labels, gamma=2, foreground_weight=0.75)
    torch.testing.assert_close(focal_loss_with_labels(logits, labels, gamma=2, foreground_weight=0.75), as_region)


def test_gamma_zero_is_half_the_cross_entropy(generator):
    logits = torch.randn(2, 4, 6, 6, generator=generator)
    labels = torch.randint(0, 4, (2, 1, 6, 6), generator=generator)
    torch.testing.assert_close(
        focal_loss_with_labels(logits, labels, gamma=0, foreground_weight=0.5),
        F.cross_entropy(logits, labels[:, 0]) / 2,
    )


@pytest.mark.parametrize("loss", [focal_loss_with_labels, focal_loss_with_regions])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_finite_at_extreme_logits(loss, gamma):
    logits = torch.tensor([1e4, -1e4, 0.0, 1e4]).reshape(1, 2, 2).requires_grad_()
    target = torch.tensor([0, 1]).reshape(1, 1, 2).expand(1, 1 if loss is focal_loss_with_labels else 2, 2)
    value = loss(logits, target, gamma=gamma, foreground_weight=0.75)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("loss", [focal_loss_with_labels, focal_loss_with_regions])
def test_gradients(generator, loss):
    logits = torch.randn(1, 2, 3, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    target = (torch.rand(1, 1 if loss is focal_loss_with_labels else 2, 3, 3, generator=generator) > 0.5).long()
    assert torch.autograd.gradcheck(lambda x: loss(x, target, gamma=2.0, foreground_weight=0.7), (logits,))


def test_masked_voxels_do_not_count(generator):
    logits = torch.randn(1, 2, 8, generator=generator)
    labels = torch.randint(0, 2, (1, 1, 8), generator=generator)
    mask = torch.arange(8).reshape(1, 1, 8) < 5
    torch.testing.assert_close(
        focal_loss_with_labels(logits, labels, mask=mask), focal_loss_with_labels(logits[..., :5], labels[..., :5])
    )
    assert focal_loss_with_labels(logits, labels, mask=torch.zeros_like(mask)) == 0


def test_sum_of_its_parts(generator):
    logits = torch.randn(2, 3, 6, 6, generator=generator)
    labels = torch.randint(0, 3, (2, 1, 6, 6), generator=generator).short()
    dice = MemoryEfficientSoftDiceLoss(softmax_helper_dim1, batch_dice=True, do_bg=False, smooth=1e-5, ddp=False)
    expected = 0.5 * dice(logits, labels) + 2 * focal_loss_with_labels(logits, labels, gamma=1.5, foreground_weight=0.6)
    loss = DiceFocalLoss(dice_weight=0.5, focal_weight=2, gamma=1.5, foreground_weight=0.6)
    torch.testing.assert_close(loss(logits, labels), expected)


@pytest.mark.parametrize("regions", [False, True])
def test_ignored_voxels_have_no_gradient(generator, regions):
    logits = torch.randn(1, 2, 4, 4, generator=generator, requires_grad=True)
    ignored = torch.rand(1, 1, 4, 4, generator=generator) > 0.5
    if regions:
        target = torch.cat([torch.rand(1, 2, 4, 4, generator=generator) > 0.5, ignored], 1).float()
        loss = DiceFocalLoss(regions=True, ignore_label=3)
    else:
        target = torch.where(ignored, 2, torch.randint(0, 2, (1, 1, 4, 4), generator=generator))
        loss = DiceFocalLoss(ignore_label=2)
    loss(logits, target).backward()
    assert torch.all(logits.grad[ignored.expand_as(logits)] == 0)
    assert logits.grad[~ignored.expand_as(logits)].abs().max() > 0


def test_class_weights(generator):
    logits = torch.randn(2, 3, 6, 6, generator=generator)
    labels = torch.randint(0, 3, (2, 1, 6, 6), generator=generator)
    weights = torch.tensor([1.0, 0.5, 4.0])
    expected = F.cross_entropy(logits, labels[:, 0], weight=weights, reduction="none").mean() / 2
    found = focal_loss_with_labels(logits, labels, gamma=0, foreground_weight=0.5, class_weights=weights)
    torch.testing.assert_close(found, expected)

    regions = (torch.rand(2, 3, 6, 6, generator=generator) > 0.5).float()
    each = torch.stack([sigmoid_focal_loss(logits[:, k], regions[:, k], 0.7, 2.0, "mean") for k in range(3)])
    found = focal_loss_with_regions(logits, regions, foreground_weight=0.7, class_weights=weights)
    torch.testing.assert_close(found, (each * weights).mean())
    loss = DiceFocalLoss(regions=True, dice_weight=0, foreground_weight=0.7, class_weights=weights.tolist())
    torch.testing.assert_close(loss(logits, regions), found)


def test_regions_with_an_ignore_label_are_the_loss_of_what_counts(generator):
    """Against nnU-Net's Dice and torchvision's focal loss on the voxels that are left."""
    logits = torch.randn(2, 2, 4, 6, generator=generator)
    regions = (torch.rand(2, 2, 4, 6, generator=generator) > 0.5).float()
    ignored = torch.zeros(2, 1, 4, 6)
    ignored[..., 4:] = 1
    dice = MemoryEfficientSoftDiceLoss(torch.sigmoid, batch_dice=True, do_bg=True, smooth=1e-5, ddp=False)
    left = logits[..., :4], regions[..., :4]
    expected = dice(*left) + sigmoid_focal_loss(*left, alpha=0.75, gamma=2.0, reduction="mean")
    loss = DiceFocalLoss(regions=True, ignore_label=3)
    torch.testing.assert_close(loss(logits, torch.cat([regions, ignored], 1)), expected)
