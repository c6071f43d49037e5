"""Units and recurrence per stage; and networks that are what they were where neither is given."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from torch import nn

from pe_nnunet.networks.blocks.layers import Layers
from pe_nnunet.networks.blocks.recurrent import RecurrentResidual
from pe_nnunet.networks.blocks.unet import ConvBlock
from tests.networks.test_contract import count_by_hooks, stock_kwargs

# before blocks had options: hash of the names and shapes in the state dict, values that convolutions put out, mean
# absolute logit of one patch
BEFORE = {
    ("TARUNet", 2): ("6410dc73f83a0461", 27988, 10.768),
    ("TARUNet", 3): ("8d01908cf1b0d2af", 334856, 9.4154),
    ("AttentionUNet", 2): ("70ea409039299d12", 40852, 0.5996),
    ("AttentionUNet", 3): ("99b13c514e76155f", 956296, 0.8266),
    ("AANet", 3): ("db5fba261b4fd4e5", 1028480, 4.5951),
    ("R2UNet", 2): ("b99791d692a5c811", 105424, 28.4218),
    ("R2UNet", 3): ("ea72a2a27289939c", 2491488, 6.2007),
    ("AttentionR2UNet", 2): ("eb99f00708abd57d", 114724, 9.0307),
    ("AttentionR2UNet", 3): ("c499e3ca5a400935", 2688552, 22.8544),
    ("NestedUNet", 2): ("062cd2bb0d2727a8", 65184, 0.5213),
    ("NestedUNet", 3): ("c8e84eb896df64f4", 1679680, 0.8041),
}
LAYERS = Layers(nn.Conv3d, norm_op=nn.InstanceNorm3d)


def test_without_options_weights_and_function_are_what_they_were(name, dimensions, build):
    network = build(name, dimensions, deep_supervision=True)
    entries = "\n".join(f"{key} {tuple(value.shape)}" for key, value in network.state_dict().items())
    size = tuple(2 * d for d in network.divisor)
    torch.manual_seed(1)
    with torch.no_grad():
        logit = float(network(torch.randn(1, 1, *size))[0].abs().mean())
    keys, features, expected = BEFORE[name, dimensions]
    assert hashlib.sha256(entries.encode()).hexdigest()[:16] == keys
    assert network.compute_conv_feature_map_size(size) == features
    assert logit == pytest.approx(expected, rel=1e-3)


def test_each_stage_has_its_units_and_recurrence_in_encoder_and_decoder(build):
    options = {"units": [1, 3, 2, 4], "recurrence": [0, 1, 2, 3]}
    network = build("TARUNet", 3, deep_supervision=True, **options)
    encoder, decoder = network.encoder.stages, network.decoder.stages
    for stages in (encoder, decoder[::-1]):  # the decoder's are deepest first
        for i, stage in enumerate(stages):
            assert [unit.recurrence for unit in stage.units] == [options["recurrence"][i]] * options["units"][i]
    names = {name for name in network.state_dict() if name.startswith("encoder.stages.1.units.")}
    assert {name.split(".")[4] for name in names} == {"first", "second", "third"}
    size = tuple(2 * d for d in network.divisor)
    assert network.compute_conv_feature_map_size(size) == count_by_hooks(network, torch.randn(1, 1, *size))


def test_double_convolutions_become_as_many_as_wished(build):
    network = build("AttentionUNet", 2, units=[1, 2, 3, 1, 2])
    assert [len(stage) for stage in network.encoder.stages] == [1, 2, 3, 1, 2]
    assert [len(stage.convs) for stage in network.decoder.stages] == [1, 3, 2, 1]
    size = tuple(2 * d for d in network.divisor)
    assert network.compute_conv_feature_map_size(size) == count_by_hooks(network, torch.randn(1, 1, *size))


@pytest.mark.parametrize(("name", "options"), [("TARUNet", {"recurrence": 2, "units": 2}), ("AttentionUNet", {})])
def test_one_number_is_the_same_for_all_stages(build, name, options):
    network = build(name, 2, **options)
    written_out = {key: [value] * 4 for key, value in options.items()} or {"units": [2] * 5, "recurrence": [0] * 5}
    other = build(name, 2, **written_out)
    other.load_state_dict(network.state_dict())
    x = torch.randn(1, 1, 32, 32)
    with torch.no_grad():
        assert torch.equal(network(x), other(x))


def test_units_follow_one_another_and_their_input_is_added():
    block = RecurrentResidual(LAYERS, 4, (3, 3, 3), 1, 3)
    x = torch.randn(1, 4, 4, 4, 4)
    torch.testing.assert_close(block(x), block.third(block.second(block.first(x))) + x)
    convs = ConvBlock(LAYERS, 2, 4, (3, 3, 3), units=3)
    torch.testing.assert_close(convs(x[:, :2]), convs.third(convs.second(convs.first(x[:, :2]))))


def test_plans_carry_both_as_json(build):
    options = {"units": [1, 2, 2, 2], "recurrence": [0, 0, 1, 2], "attention": False}
    kwargs = json.loads(json.dumps({**stock_kwargs(2), **options}))
    del kwargs["n_conv_per_stage"], kwargs["n_conv_per_stage_decoder"], kwargs["n_blocks_per_stage"]
    del kwargs["dropout_op"], kwargs["dropout_op_kwargs"]
    network = get_network_from_plans(
        "pe_nnunet.networks.tar_unet.TARUNet", kwargs, ["conv_op", "norm_op", "nonlin"], 1, 2, deep_supervision=False
    )
    assert [len(stage.units) for stage in network.encoder.stages] == options["units"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"units": [1, 2]}, "units needs one entry for each of 4 stages"),
        ({"recurrence": [0] * 5}, "recurrence needs one entry for each of 4 stages"),
        ({"units": 0}, "units must be 1 to 6"),
        ({"units": [1, 2, 7, 1]}, "units must be 1 to 6"),
        ({"recurrence": [0, 0, -1, 0]}, "at least 0"),
        ({"recurrence": [0, 0, 1, 0], "residual": False}, "do not recur"),
    ],
)
def test_what_cannot_be_is_named(build, wrong, message):
    with pytest.raises(ValueError, match=message):
        build("TARUNet", 3, **wrong)
