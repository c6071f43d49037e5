"""Resampling by matrices, against nnU-Net's functions."""

import numpy as np
import pytest
import torch
from nnunetv2.preprocessing.resampling.default_resampling import (
    compute_new_shape,
    determine_do_sep_z_and_axis,
    resample_data_or_seg_to_shape,
)
from nnunetv2.preprocessing.resampling.resample_torch import resample_torch_fornnunet

from pe_nnunet.inference.resampling import Resampling, axis_weights, coarse_axis, resampled_shape

SKIMAGE = {"is_seg": False, "order_z": 0, "force_separate_z": None}
CASES = [
    ((23, 30, 17), (35, 21, 40), (1.5, 0.7, 2.0), (1.0, 1.0, 0.85)),  # finer and coarser
    ((9, 30, 17), (20, 21, 25), (5.0, 0.7, 0.8), (2.25, 1.0, 0.55)),  # coarse z: slice by slice
    ((23, 30, 17), (23, 40, 20), (2.0, 1.0, 1.0), (2.0, 0.75, 0.85)),  # one axis as it is
    ((40, 4, 3), (20, 4, 3), (1.0, 1.0, 1.0), (2.0, 1.0, 1.0)),
]


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize(("shape", "new_shape", "old_mm", "new_mm"), CASES)
def test_equals_scikit_image(shape, new_shape, old_mm, new_mm, order):
    data = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    settings = {**SKIMAGE, "order": order}
    ours = Resampling.of_plans("resample_data_or_seg_to_shape", settings, shape, new_shape, old_mm, new_mm)
    volume = torch.from_numpy(data)
    result = ours.whole(lambda low, high: volume[low:high], (float(data.min()), float(data.max())))
    theirs = resample_data_or_seg_to_shape(data[None], new_shape, old_mm, new_mm, **settings)[0]
    np.testing.assert_allclose(result.numpy(), theirs, atol=1e-5)


@pytest.mark.parametrize(("shape", "new_shape", "old_mm", "new_mm"), CASES)
def test_equals_torch(shape, new_shape, old_mm, new_mm):
    data = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    settings = {"is_seg": False, "force_separate_z": None}
    ours = Resampling.of_plans("resample_torch_fornnunet", settings, shape, new_shape, old_mm, new_mm)
    volume = torch.from_numpy(data)
    result = ours.whole(lambda low, high: volume[low:high])
    theirs = resample_torch_fornnunet(data[None], new_shape, old_mm, new_mm, **settings)[0]
    np.testing.assert_allclose(result.numpy(), theirs, atol=1e-5)


def test_shape_and_coarse_axis_are_those_of_nnunet():
    rng = np.random.default_rng(0)
    choices = [0.24, 0.7, 0.75, 1.0, 1.25, 2.0, 2.25, 3.0, 5.0]
    seen = set()
    for _ in range(500):
        old, new = rng.choice(choices, (2, 3)).tolist()
        shape = rng.integers(1, 600, 3).tolist()
        assert resampled_shape(shape, old, new) == tuple(compute_new_shape(shape, old, new))
        for force in (None, True, False):
            separate, axis = determine_do_sep_z_and_axis(force, old, new)
            assert (separate, axis) == (coarse_axis(force, old, new) is not None, coarse_axis(force, old, new))
            seen.add(axis)
    assert seen == {None, 0, 1, 2}


def test_a_constant_stays_and_the_same_grid_changes_nothing():
    for order in (0, 1, 3):
        torch.testing.assert_close(axis_weights(30, 47, order).sum(1), torch.ones(47))
    assert torch.equal(axis_weights(8, 8, 3), torch.eye(8))


def test_only_a_part_of_the_slices_is_asked_for_at_a_time():
    asked = []
    volume = torch.rand(200, 3, 3)

    def planes(low, high):
        asked.append(high - low)
        return volume[low:high]

    Resampling((200, 3, 3), (100, 3, 3), 3, False).whole(planes, (0.0, 1.0))
    assert max(asked) < 90
    assert len(asked) == 7


@pytest.mark.parametrize(
    ("function", "settings"),
    [
        ("resample_data_or_seg_to_shape", {**SKIMAGE, "order": 2}),
        ("resample_data_or_seg_to_shape", {**SKIMAGE, "order": 3, "order_z": 1}),
        ("resample_torch_fornnunet", {"mode": "nearest"}),
        ("something_else", {}),
        ("resample_data_or_seg_to_shape", {**SKIMAGE, "is_seg": True, "order": 1}),
    ],
)
def test_other_plans_are_left_to_nnunet(function, settings):
    assert Resampling.of_plans(function, settings, (9, 9, 9), (5, 5, 5), (1, 1, 1), (2, 2, 2)) is None
