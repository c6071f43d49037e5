"""Copies to and from a device: the same values in the same order, whatever lies how in memory."""

import numpy as np
import pytest
import torch

from pe_nnunet.inference.transfer import SLICES, arriving, sent, volume_on

CPU = torch.device("cpu")
VOLUME = np.random.default_rng(0).integers(-1024, 3000, (2 * SLICES + 5, 6, 7))


def frozen(volume):
    volume = volume.copy()
    volume.flags.writeable = False
    return volume


@pytest.mark.parametrize("number_format", ["int16", "int32", "float32", "float64"])
@pytest.mark.parametrize(
    "laid", [frozen, lambda v: v.transpose(2, 0, 1), lambda v: v[:, ::-1, ::-1], lambda v: v[3:20, 1:, 2:]]
)
def test_a_volume_arrives_as_it_is(laid, number_format):
    volume = laid(VOLUME.astype(number_format))
    copied = volume_on(volume, CPU)
    assert copied.dtype == getattr(torch, number_format)
    assert np.array_equal(copied.numpy(), volume)
    assert copied.is_contiguous()
    assert not np.shares_memory(copied.numpy(), volume)


def test_unsigned_numbers_arrive_as_float32():
    volume = np.abs(VOLUME).astype(np.uint16)
    copied = volume_on(volume, CPU)
    assert copied.dtype == torch.float32
    assert np.array_equal(copied.numpy(), volume)


def test_what_is_there_is_not_copied():
    tensor = torch.zeros(3)
    assert sent(tensor, CPU) is tensor


def test_on_the_cpu_each_tensor_comes_before_the_next_is_computed():
    seen = []

    def tensors():
        for k in range(4):
            seen.append(f"computed {k}")
            yield k, torch.full((2,), float(k))

    for label, tensor in arriving(tensors(), CPU):
        seen.append(f"came {label}")
        assert (tensor == label).all()
    assert seen == [f"{what} {k}" for k in range(4) for what in ("computed", "came")]
