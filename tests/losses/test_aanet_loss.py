"""AANet's published loss against hand-computed values and its limits."""

import pytest
import torch
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper

from pe_nnunet.losses import AANetLoss
from pe_nnunet.losses.tversky import tversky

PE, ARTERY = 1, 0


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(5)


def regions(generator, *shape):
    return (torch.rand(*shape, generator=generator) > 0.6).double()


def test_tversky_by_hand():
    probability = torch.tensor([[0.5, 0.8, 0.1, 0.0], [0.2, 0.0, 0.0, 0.0]], dtype=torch.float64)
    truth = torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    tp, errors = 1.3, 0.5 * 0.1**2 + 0.5 * (0.5**2 + 0.2**2)
    sample = 1 - (tp + 1) / (tp + errors + 1)  # the second one holds nothing, and does not count
    batch = 1 - (tp + 1) / (tp + errors + 0.5 * 0.2**2 + 1)
    expected = torch.tensor(0.5 * batch + 0.5 * sample, dtype=torch.float64)
    torch.testing.assert_close(tversky(probability, truth, torch.ones_like(truth)), expected)


def test_pe_weighs_three_quarters(generator):
    logits = torch.randn(2, 2, 4, 4, 4, generator=generator, dtype=torch.float64)
    target = regions(generator, 2, 2, 4, 4, 4)
    parts = [tversky(torch.sigmoid(logits[:, c]), target[:, c], torch.ones_like(target[:, c])) for c in (ARTERY, PE)]
    torch.testing.assert_close(AANetLoss(PE)(logits, target), 0.25 * parts[0] + 0.75 * parts[1])


def test_labels_take_the_same_loss(generator):
    logits = torch.randn(2, 2, 5, 5, generator=generator, dtype=torch.float64)
    labels = (torch.rand(2, 1, 5, 5, generator=generator) > 0.6).short()
    expected = tversky(torch.softmax(logits, 1)[:, 1], labels[:, 0].double(), torch.ones(2, 5, 5, dtype=torch.float64))
    torch.testing.assert_close(AANetLoss(1, regions=False)(logits, labels), expected)


@pytest.mark.parametrize("as_regions", [True, False])
def test_gradients(generator, as_regions):
    logits = torch.randn(2, 2, 3, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    target = regions(generator, 2, 2 if as_regions else 1, 3, 3)
    assert torch.autograd.gradcheck(lambda x: AANetLoss(1, regions=as_regions)(x, target), (logits,))


@pytest.mark.parametrize("as_regions", [True, False])
def test_finite_at_extreme_logits(as_regions):
    logits = torch.tensor([1e4, -1e4, 0.0, 1e4]).reshape(1, 2, 2).requires_grad_()
    target = torch.tensor([0, 1]).reshape(1, 1, 2).expand(1, 2 if as_regions else 1, 2)
    loss = AANetLoss(1, regions=as_regions)(logits, target)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


def test_ends_of_the_scale(generator):
    target = regions(generator, 2, 2, 6, 6, 6)
    assert AANetLoss(PE)(target * 200 - 100, target) < 1e-6
    assert AANetLoss(PE)(100 - target * 200, target) > 0.9


@pytest.mark.parametrize("as_regions", [True, False])
def test_ignored_voxels_have_no_gradient(generator, as_regions):
    logits = torch.randn(1, 2, 4, 4, generator=generator, requires_grad=True)
    ignored = torch.rand(1, 1, 4, 4, generator=generator) > 0.5
    if as_regions:
        target = torch.cat([regions(generator, 1, 2, 4, 4), ignored], 1)
    else:
        target = torch.where(ignored, 3, torch.randint(0, 2, (1, 1, 4, 4), generator=generator))
    AANetLoss(1, regions=as_regions, ignore_label=3)(logits, target).backward()
    assert torch.all(logits.grad[ignored.expand_as(logits)] == 0)
    assert logits.grad[~ignored.expand_as(logits)].abs().max() > 0


def test_under_autocast_and_deep_supervision(generator):
    logits = [torch.randn(2, 2, n, n, n, generator=generator) for n in (8, 4)]
    targets = [regions(generator, 2, 2, n, n, n).bool() for n in (8, 4)]
    loss = DeepSupervisionWrapper(AANetLoss(PE), [0.75, 0.25])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = loss([output.bfloat16() for output in logits], targets)
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, loss(logits, targets), atol=5e-3, rtol=0)
