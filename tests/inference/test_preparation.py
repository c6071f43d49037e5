"""What a network is given: where it lies, and nnU-Net's normalisation of CT on any device."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from nnunetv2.preprocessing.normalization.default_normalization_schemes import CTNormalization
from scipy import ndimage as ndi

from pe_nnunet.inference import preparation
from pe_nnunet.inference.preparation import NETWORK_BYTES, NetworkGrid, place_of_scan
from pe_nnunet.inference.transfer import volume_on

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize("number_format", [np.int16, np.float32])
def test_ct_is_normalised_bit_for_bit_as_by_nnunet_and_the_scan_stays_as_it_is(number_format):
    hu = np.random.default_rng(0).normal(-200, 600, (20, 9, 11)).astype(number_format)
    properties = {"mean": 97.3, "std": 81.7, "percentile_00_5": -120.5, "percentile_99_5": 405}
    theirs = CTNormalization(False, properties).run(hu.astype(np.float32))
    for held in (hu, volume_on(hu, CPU)):
        before = torch.as_tensor(held).clone()
        ours = preparation._normalised(preparation._float32_copy(held), properties)
        assert np.array_equal(ours.numpy(), theirs)
        assert torch.equal(torch.as_tensor(held), before)


def test_a_scan_lies_on_a_gpu_where_half_of_what_is_free_takes_it(monkeypatch):
    fine, coarse, mm = (40, 50, 60), (10, 20, 30), (1.0, 1.0, 1.0)
    grid = NetworkGrid((slice(40), slice(50), slice(60)), fine, mm, coarse, mm)
    for count in (1, 3):
        channels = [np.zeros(fine, np.int16)] * count
        needed = 10 * 20 * 30 * (NETWORK_BYTES + 4 * (count - 1)) + 40 * 50 * 60 * 4
        for free, place in ((2 * needed, GPU), (2 * needed - 1, CPU)):
            monkeypatch.setattr(preparation, "free_memory", lambda _, free=free: free)
            assert place_of_scan(grid, channels, GPU) == place
            assert place_of_scan(grid, channels, GPU, window_bytes=1) == CPU  # beside which no window has room
    assert place_of_scan(grid, channels, CPU) == CPU


@given(shape=st.tuples(*[st.integers(1, 9)] * 3), seed=st.integers(0, 99), share=st.sampled_from((0.0, 0.02, 0.3, 1.0)))
def test_a_mask_grows_by_a_voxel_in_all_directions(shape, seed, share):
    mask = (np.random.default_rng(seed).random(shape) < share).transpose(1, 2, 0)
    before = mask.copy()
    wider = preparation._a_voxel_wider(mask)
    assert np.array_equal(wider, ndi.binary_dilation(mask, np.ones((3, 3, 3), bool)))
    assert np.array_equal(mask, before)
