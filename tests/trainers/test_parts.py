"""Schedule, steps, weight average and what ends a training, by themselves."""

import copy
import itertools
import math
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.recipe import TrainingRecipe
from pe_nnunet.trainers.checkpoints import Checkpoints
from pe_nnunet.trainers.loss import initialise_heads
from pe_nnunet.trainers.optimizer import backward_and_step, make_optimizer, warmup_cosine
from pe_nnunet.trainers.stopping import Stopping
from pe_nnunet.trainers.weight_average import WeightAverage

FACTOR = partial(warmup_cosine, steps=100, warmup_steps=10, final_fraction=0.05)


def schedule(**recipe):
    keys = {"iterations": 10, "epochs": 10, "warmup_fraction": 0.1, "final_learning_rate_fraction": 0.05}
    return make_optimizer([nn.Parameter(torch.zeros(1))], TrainingRecipe(**keys | {"learning_rate": 1.0} | recipe))[1]


def rate(scheduler):
    return scheduler.optimizer.param_groups[0]["lr"]


def test_rises_then_falls_to_its_end():
    rates = [FACTOR(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == 1.0
    assert all(a > b for a, b in itertools.pairwise(rates[10:]))
    assert FACTOR(55) == pytest.approx((1 + 0.05) / 2)
    assert FACTOR(100) == FACTOR(500) == pytest.approx(0.05)


def test_epoch_and_steps_agree():
    by_step, by_epoch = schedule(), schedule()
    for _ in range(30):
        by_step.optimizer.step()
        by_step.step()
    by_epoch.step(3)
    assert rate(by_step) == rate(by_epoch) == FACTOR(30)


@pytest.mark.parametrize("optimizer", ["muon", "adamw", "sgd"])
@pytest.mark.parametrize(("warmup", "final"), [(0.02, 0.01), (0.0, 0.0), (0.5, 1.0)])
def test_rate_of_every_step(optimizer, warmup, final):
    scheduler = schedule(
        optimizer=optimizer, learning_rate=3e-3, warmup_fraction=warmup, final_learning_rate_fraction=final
    )
    rising = math.ceil(100 * warmup)
    for step in range(105):  # and a few after the training's end
        if step < rising:
            expected = 3e-3 * (step + 1) / rising
        else:
            cosine = (1 + math.cos(math.pi * min(1, (step - rising) / (100 - rising)))) / 2
            expected = 3e-3 * (final + (1 - final) * cosine)
        assert rate(scheduler) == pytest.approx(expected, rel=1e-14, abs=1e-18)
        scheduler.optimizer.step()
        scheduler.step()


def test_goes_on_at_any_epoch_without_a_word(recwarn):
    scheduler = schedule()
    scheduler.step(0)  # as nnU-Net does before the first step of the optimizer
    assert rate(scheduler) == FACTOR(0)
    scheduler.step(7)
    for _ in range(4):
        scheduler.optimizer.step()
        scheduler.step()
    assert rate(scheduler) == FACTOR(74)
    assert not recwarn.list


@pytest.mark.parametrize(("clip_norm", "expected"), [(0.0, -100.0), (2.0, -2.0), (200.0, -100.0)])
def test_gradients_are_clipped_to_a_norm_or_not_at_all(clip_norm, expected):
    net = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(net.weight)
    loss = net(torch.full((1, 1), 100.0)).sum()
    backward_and_step(loss, net, torch.optim.SGD(net.parameters(), 1.0), None, clip_norm)
    assert net.weight.item() == pytest.approx(expected)


def resumed(folder, before, now):
    """The callback, and a stand-in for a trainer by the recipe `now` that has loaded a checkpoint made by `before`."""
    trained, going_on = nn.Linear(1, 1), nn.Linear(1, 1)
    optimizer = make_optimizer(trained.parameters(), before)[0]
    trained(torch.ones(1, 1)).sum().backward()
    optimizer.step()
    stored = {
        "pe_recipe": before.as_dict(),
        "network_weights": trained.state_dict(),
        "optimizer_state": optimizer.state_dict(),
        "grad_scaler_state": None,
        "logging": {},
        "_best_ema": None,
        "current_epoch": 1,
        "inference_allowed_mirroring_axes": None,
        "pe_outputs_so_far": [],
    }
    trainer = SimpleNamespace(
        recipe=now,
        bare_network=lambda: going_on,
        optimizer=make_optimizer(going_on.parameters(), now)[0],
        grad_scaler=None,
        logger=SimpleNamespace(get_checkpoint=dict, load_checkpoint=lambda _: None),
        callbacks=[],
        print_to_log_file=lambda _: None,
    )
    checkpoints = Checkpoints(folder, 0, 30.0)
    checkpoints.load(trainer, stored)
    return checkpoints, trainer


def test_a_changed_weight_decay_holds_from_where_it_goes_on(tmp_path):
    checkpoints, trainer = resumed(tmp_path, TrainingRecipe(weight_decay=0.1), TrainingRecipe(weight_decay=0.2))
    checkpoints.on_train_start(trainer)
    assert {group["weight_decay"] for group in trainer.optimizer.param_groups} == {0.2}
    assert len(trainer.optimizer.state) == 2  # of weight and bias


@pytest.mark.parametrize(("before", "now"), [("adamw", "sgd"), ("sgd", "adamw"), ("adamw", "muon"), ("muon", "adamw")])
def test_another_optimizer_cannot_go_on_but_can_validate(tmp_path, before, now):
    checkpoints, trainer = resumed(tmp_path, TrainingRecipe(optimizer=before), TrainingRecipe(optimizer=now))
    with pytest.raises(ConfigurationError, match=f"PE-TRAIN-005: .*optimizer={before}"):
        checkpoints.on_train_start(trainer)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))


def averaging(net, decay):
    """The callback, and a stand-in for the trainer that calls it."""
    average, trainer = WeightAverage(decay), SimpleNamespace(bare_network=lambda: net)
    average.on_train_start(trainer)
    return average, trainer


def stored_by(average, trainer):
    checkpoint = {"network_weights": trainer.bare_network().state_dict()}
    average.on_save_checkpoint(trainer, checkpoint)
    return copy.deepcopy(checkpoint)


def test_average_follows_by_the_rising_decay():
    net = network()
    average, trainer = averaging(net, decay=0.9)
    expected = net[0].bias.detach().clone()
    for step in range(12):
        with torch.no_grad():
            net[0].bias += 1
            net[1].running_mean += 1
        average.on_train_batch_end(trainer)
        if step == 0:  # the first update takes the network as it is
            expected = net[0].bias.detach().clone()
        else:
            weight = 1 - min(0.9, (1 + step) / (10 + step))
            expected = expected + weight * (net[0].bias.detach() - expected)
    weights = stored_by(average, trainer)["network_weights"]
    torch.testing.assert_close(weights["0.bias"], expected)
    assert weights["1.running_mean"][0] != net[1].running_mean[0]


def test_applied_swaps_and_swaps_back():
    net = network()
    average, trainer = averaging(net, decay=0.9)
    average.on_train_batch_end(trainer)
    own = {key: value.clone() for key, value in net.state_dict().items()}
    with torch.no_grad():
        net[0].weight += 1
    changed = net[0].weight.detach().clone()
    with average.applied(net):
        torch.testing.assert_close(dict(net.state_dict()), own)
    torch.testing.assert_close(net[0].weight.detach(), changed)
    torch.testing.assert_close(stored_by(average, trainer)["network_weights"]["0.weight"], own["0.weight"])


def test_goes_on_from_stored_weights():
    net = network()
    average, trainer = averaging(net, decay=0.99)
    for _ in range(5):
        with torch.no_grad():
            net[0].weight += 1
        average.on_train_batch_end(trainer)
    stored = stored_by(average, trainer)
    assert not torch.equal(stored["network_weights"]["0.weight"], stored["pe_trained_weights"]["0.weight"])
    other = network()
    other.load_state_dict(stored["network_weights"])  # as `Checkpoints` does before it calls the callbacks
    again, trainer = WeightAverage(0.99), SimpleNamespace(bare_network=lambda: other)
    again.on_load_checkpoint(trainer, stored)
    torch.testing.assert_close(dict(other.state_dict()), dict(stored["pe_trained_weights"]))
    again.on_train_start(trainer)
    assert stored_by(again, trainer)["pe_average_updates"] == 5
    torch.testing.assert_close(stored_by(again, trainer)["network_weights"], stored["network_weights"])


@pytest.mark.parametrize(("regions", "channels"), [(True, 2), (False, 2), (False, 4)])
def test_heads_start_from_the_prior(regions, channels):
    net = nn.Module()
    net.decoder = nn.Module()
    net.decoder.seg_layers = nn.ModuleList([nn.Conv3d(3, channels, 1)])
    initialise_heads(net, 0.02, regions)
    logits = net.decoder.seg_layers[0](torch.randn(1, 3, 4, 4, 4))
    probability = torch.sigmoid(logits) if regions else torch.softmax(logits, 1)[:, 1:]
    torch.testing.assert_close(probability, torch.full_like(probability, 0.02), atol=2e-3, rtol=0)


@pytest.mark.parametrize(("rank", "there"), [(0, True), (0, False), (1, True), (1, False)])
@pytest.mark.parametrize("told", [True, False])
def test_rank_0_tells_the_others_of_the_stop_file_before_it_deletes_it(tmp_path, monkeypatch, rank, there, told):
    file = tmp_path / "stop"
    if there:
        file.touch()

    def broadcast(found, src):
        assert src == 0
        assert found == [there] == [file.exists()]
        if rank != 0:
            found[0] = told

    monkeypatch.setattr("pe_nnunet.trainers.stopping.distributed.broadcast_object_list", broadcast)
    trainer = SimpleNamespace(
        current_epoch=1, num_epochs=4, is_ddp=True, local_rank=rank, should_stop=False, print_to_log_file=lambda _: None
    )
    Stopping(tmp_path, 0).on_epoch_end(trainer)
    assert trainer.should_stop == (there if rank == 0 else told)
    assert file.exists() == (there and rank != 0)
