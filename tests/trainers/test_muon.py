"""Muon: what its steps are, and that a training goes on with them as if it had not stopped."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from pe_nnunet.trainers.muon import Muon, orthogonal


def svd_of(matrix):
    """The orthogonal matrix nearest to a matrix."""
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    return left @ right


@pytest.mark.parametrize("shape", [(16, 27), (16, 432), (128, 3456), (32, 16), (2, 16), (16, 16)])
def test_singular_values_are_near_one_and_directions_are_kept(shape):
    torch.manual_seed(0)
    matrices = torch.randn(3, *shape) * torch.tensor([1e-6, 1.0, 1e4])[:, None, None]
    found = orthogonal(matrices)
    values = torch.linalg.svdvals(found)
    assert 0.6 < float(values.min()) <= float(values.max()) < 1.3
    for one, matrix in zip(found, matrices, strict=True):
        nearest = svd_of(matrix)
        assert float((one * nearest).sum() / one.norm() / nearest.norm()) > 0.97


def test_matrices_of_one_batch_do_not_mix_and_zeros_stay():
    torch.manual_seed(0)
    matrices = torch.stack([torch.randn(8, 27), torch.zeros(8, 27), 100 * torch.randn(8, 27)])
    together = orthogonal(matrices)
    for one, matrix in zip(together, matrices, strict=True):
        torch.testing.assert_close(one, orthogonal(matrix[None])[0], rtol=1e-4, atol=1e-5)
    assert torch.equal(together[1], torch.zeros(8, 27))


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv3d(1, 4, 3, padding=1, bias=False), nn.InstanceNorm3d(4, affine=True), nn.LeakyReLU(), nn.Conv3d(4, 1, 1)
    )


def given():
    torch.manual_seed(1)
    x = torch.randn(2, 1, 6, 6, 6)
    return x, x.roll(1, 2)


def descend(net, optimizer, steps):
    x, y = given()
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (net(x) - y).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_all_but_kernels_takes_the_steps_of_adamw():
    ours, theirs = network(), network()
    for net in (ours, theirs):
        net[0].weight.requires_grad_(False)
    mine = Muon(ours.parameters(), 1e-2, 0.1)
    reference = torch.optim.AdamW([p for p in theirs.parameters() if p.requires_grad], 1e-2, weight_decay=0.1)
    first = ours[0].weight.clone()
    descend(ours, mine, 20)
    descend(theirs, reference, 20)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    assert torch.equal(ours[0].weight, first), "a parameter without a gradient stays, and does not decay"


def test_a_kernels_step_has_the_size_of_adamws():
    net = network()
    before = net[0].weight.detach().clone()
    descend(net, Muon(net.parameters(), 1e-2, 0.0), 1)
    step = net[0].weight.detach() - before
    assert 0.7 < float(step.square().mean().sqrt()) / (0.2 * 1e-2) < 1.2
    values = torch.linalg.svdvals(step.reshape(4, -1)) / (1e-2 * 0.2 * math.sqrt(27))
    assert 0.6 < float(values.min()) <= float(values.max()) < 1.3


def test_layout_of_the_weights_does_not_matter():
    plain, last = network(), network().to(memory_format=torch.channels_last_3d)
    for net in (plain, last):
        descend(net, Muon(net.parameters(), 1e-2, 1e-4), 5)
    for a, b in zip(plain.parameters(), last.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


def test_a_stopped_training_goes_on_as_one_that_was_not():
    whole, parts = network(), network()
    straight = Muon(whole.parameters(), 1e-2, 1e-4)
    losses = descend(whole, straight, 10)
    first = Muon(parts.parameters(), 1e-2, 1e-4)
    descend(parts, first, 6)
    again = Muon(parts.parameters(), 3.0, 0.0)
    again.load_state_dict(copy.deepcopy(first.state_dict()))
    assert descend(parts, again, 4) == losses[6:]
    assert losses[-1] < losses[0]


def test_a_closure_is_called_with_gradients():
    net = network()
    optimizer = Muon(net.parameters(), 1e-2, 0.0)
    x, y = given()

    def closure():
        loss = (net(x) - y).square().mean()
        loss.backward()
        return loss.item()

    assert optimizer.step(closure) == pytest.approx(float((network()(x) - y).square().mean().detach()))
