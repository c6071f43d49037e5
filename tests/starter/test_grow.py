"""Weights of a narrow network in a wider one."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pe_nnunet.networks.tar_unet import TARUNet
from starter.grow import grown_weights


def network(features: tuple[int, ...], units: int = 1) -> TARUNet:
    made = TARUNet(
        1,
        2,
        n_stages=3,
        features_per_stage=features,
        conv_op=nn.Conv3d,
        norm_op=nn.InstanceNorm3d,
        norm_op_kwargs={"affine": True},
        units=units,
        deep_supervision=True,
    )
    for weight in made.parameters():
        nn.init.normal_(weight, std=0.3)
    return made.eval()


def test_a_wider_network_computes_the_same_and_its_new_channels_can_learn() -> None:
    torch.manual_seed(0)
    narrow, wide = network((2, 3, 4)), network((5, 3, 6))
    wide.load_state_dict(grown_weights(narrow.state_dict(), wide.state_dict()))
    image = torch.randn(1, 1, 16, 16, 16)
    for before, after in zip(narrow(image), wide(image), strict=True):
        torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)
    wide(image)[0].square().mean().backward()
    gradient = wide.get_parameter("decoder.seg_layers.1.weight").grad
    assert gradient is not None
    assert (gradient[:, 2:] != 0).all()


@pytest.mark.parametrize(
    ("features", "units", "message"), [((5, 2, 6), 1, "does not fit into"), ((5, 3, 6), 2, "not the same layers")]
)
def test_other_layers_are_refused(features: tuple[int, ...], units: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        grown_weights(network((2, 3, 4)).state_dict(), network(features, units).state_dict())
