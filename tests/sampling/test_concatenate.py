"""Joining patches of low target ratio."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2

from pe_nnunet.recipe import TrainingRecipe
from pe_nnunet.sampling import EmbolusDataLoader, PatchSampler, index_dataset
from pe_nnunet.sampling.concatenate import ConcatenateLowRatio, join_halves


def patch(seed, shape=(8, 6, 10)):
    label = (np.random.default_rng(seed).random((1, *shape)) < 0.03).astype(np.int16) * 2
    return torch.full((1, *shape), float(seed)), torch.from_numpy(label)


@given(seeds=st.tuples(st.integers(0, 99), st.integers(0, 99)), axis=st.integers(0, 2), length=st.integers(5, 9))
@settings(max_examples=40, deadline=None)
def test_joined_holds_at_least_half_of_both(seeds, axis, length):
    shape = [8, 6, 10]
    shape[axis] = length - length % 2  # of an odd length one of the halves is the smaller
    first, second = patch(seeds[0], shape), patch(seeds[1], shape)
    image, label = join_halves(first, second, axis, (2,), shape[axis], 0)
    assert image.shape == first[0].shape
    assert label.shape == first[1].shape
    half = shape[axis] // 2
    before, behind = label.split(half, dim=axis + 1)
    assert 2 * (before == 2).sum() >= (first[1] == 2).sum()
    assert 2 * (behind == 2).sum() >= (second[1] == 2).sum()
    assert (image.narrow(axis + 1, 0, half) == seeds[0]).all()
    assert (image.narrow(axis + 1, half, half) == seeds[1]).all()


def test_seam_fades_and_the_label_follows_the_heavier_image():
    first = (torch.zeros(1, 8, 2, 2), torch.ones(1, 8, 2, 2, dtype=torch.int16))
    second = (torch.ones(1, 8, 2, 2), torch.zeros(1, 8, 2, 2, dtype=torch.int16))
    image, label = join_halves(first, second, 0, (1,), 8, 2)
    assert image[0, :, 0, 0].tolist() == [0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1]
    assert label[0, :, 0, 0].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]


def test_emboli_are_kept_where_the_rim_is_cut_away():
    first, second = patch(0, (16, 4, 4)), patch(1, (16, 4, 4))
    for _, label in (first, second):
        label.zero_()
    first[1][0, 4, 2, 2] = second[1][0, 11, 1, 1] = 1
    _, label = join_halves(first, second, 0, (1,), 10, 1)
    assert (label[:, 3:13] == 1).sum() == 2


def test_2d_and_low():
    joiner = ConcatenateLowRatio(1.0, 0.1, 2, 0)
    label = torch.zeros(1, 4, 6, dtype=torch.int16)
    assert not joiner.is_low(label, (1,))
    label[0, 1, 1] = 1
    assert joiner.is_low(label, (1,))
    assert not joiner.is_low(torch.ones_like(label), (1,))
    image, joined = joiner.join((label.float(), label), (-label.float(), label), (1,), (4, 6))
    assert (joined == 1).sum() == 2
    assert (image[..., :3] >= 0).all()
    assert (image[..., 3:] <= 0).all()


@pytest.mark.parametrize("size", [(12, 12, 12), (12, 12)])
def test_loader_joins_two_cases(tmp_path, size):
    for value, name in enumerate("ab", 1):
        label = np.zeros((1, 20, 20, 20), np.int8)
        label[0, 9:11, 9:11, 9:11] = 1
        nnUNetDatasetBlosc2.save_case(
            np.full(label.shape, value, np.float32), label, {}, str(tmp_path / name),
            chunks=(1, 20, 20, 20), blocks=(1, 8, 8, 8),
        )  # fmt: skip

    class Labels:
        all_labels = [0, 1]  # noqa: RUF012
        has_ignore_label = False

    dataset = nnUNetDatasetBlosc2(str(tmp_path))
    sampler = PatchSampler(
        index_dataset(dataset, (1,), (9.0, np.inf)),
        TrainingRecipe(
            positive_fraction=1.0,
            embolus_volume_power=0.25,
            case_ratio_power=0.25,
            hard_negative_fraction=0.5,
            min_embolus_mm3=1.0,
        ),
        1.0,
    )

    def batch(probability):
        joiner = ConcatenateLowRatio(probability, 0.1, 0, 0)
        return next(
            EmbolusDataLoader(dataset, 8, size, size, Labels(), sampler=sampler, center_jitter=0.0, concatenate=joiner)
        )

    plain, joined = batch(0.0), batch(1.0)
    cases = [set(image.unique().tolist()) for image in joined["data"]]
    assert {1.0, 2.0} in cases
    assert all(len(image.unique()) == 1 for image in plain["data"])
    assert (joined["target"] == 1).sum() == 2 * (plain["target"] == 1).sum()
