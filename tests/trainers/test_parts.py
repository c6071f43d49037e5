"""Schedule and weight average, by themselves."""

import itertools

import pytest
import torch
from torch import nn

from pe_nnunet.trainers.averaging import WeightAverage
from pe_nnunet.trainers.prior import start_from_prior
from pe_nnunet.trainers.schedule import WarmupCosine


def schedule():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 1.0)
    return WarmupCosine(optimizer, 1.0, steps_per_epoch=10, epochs=10, warmup_fraction=0.1, final_fraction=0.05)


def test_rises_then_falls_to_its_end():
    rates = [schedule().rate_at(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == 1.0
    assert all(a > b for a, b in itertools.pairwise(rates[10:]))
    assert schedule().rate_at(55) == pytest.approx((1 + 0.05) / 2)
    assert schedule().rate_at(100) == schedule().rate_at(500) == pytest.approx(0.05)


def test_epoch_and_steps_agree():
    by_step, by_epoch = schedule(), schedule()
    for _ in range(30):
        by_step.advance()
    by_epoch.step(3)
    assert by_step.optimizer.param_groups[0]["lr"] == by_epoch.optimizer.param_groups[0]["lr"] == by_step.rate_at(30)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))


def test_average_follows_by_the_rising_decay():
    net = network()
    average = WeightAverage(net, decay=0.9)
    expected = net[0].bias.detach().clone()
    for step in range(12):
        with torch.no_grad():
            net[0].bias += 1
            net[1].running_mean += 1
        average.update()
        if step == 0:  # the first update takes the network as it is
            expected = net[0].bias.detach().clone()
        else:
            weight = 1 - min(0.9, (1 + step) / (10 + step))
            expected = expected + weight * (net[0].bias.detach() - expected)
    torch.testing.assert_close(average.state_dict()["0.bias"], expected)
    assert average.state_dict()["1.running_mean"][0] != net[1].running_mean[0]


def test_applied_swaps_and_swaps_back():
    net = network()
    average = WeightAverage(net, decay=0.9)
    average.update()
    own = {key: value.clone() for key, value in net.state_dict().items()}
    with torch.no_grad():
        net[0].weight += 1
    changed = net[0].weight.detach().clone()
    with average.applied():
        torch.testing.assert_close(dict(net.state_dict()), own)
    torch.testing.assert_close(net[0].weight.detach(), changed)
    torch.testing.assert_close(average.state_dict()["0.weight"], own["0.weight"])


def test_goes_on_from_stored_weights():
    net = network()
    average = WeightAverage(net, decay=0.99)
    for _ in range(5):
        average.update()
    stored = {key: value.clone() for key, value in average.state_dict().items()}
    again = WeightAverage(network(), decay=0.99)
    again.load(stored, average.updates)
    assert again.updates == 5
    torch.testing.assert_close(again.state_dict(), stored)


@pytest.mark.parametrize(("regions", "channels"), [(True, 2), (False, 2), (False, 4)])
def test_heads_start_from_the_prior(regions, channels):
    net = nn.Module()
    net.decoder = nn.Module()
    net.decoder.seg_layers = nn.ModuleList([nn.Conv3d(3, channels, 1)])
    start_from_prior(net, 0.02, regions)
    logits = net.decoder.seg_layers[0](torch.randn(1, 3, 4, 4, 4))
    probability = torch.sigmoid(logits) if regions else torch.softmax(logits, 1)[:, 1:]
    torch.testing.assert_close(probability, torch.full_like(probability, 0.02), atol=2e-3, rtol=0)
