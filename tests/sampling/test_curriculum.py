"""The first epochs on few cases or small patches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2

from pe_nnunet.recipe import TrainingRecipe
from pe_nnunet.sampling import BatchSeeds, EmbolusDataLoader, PatchSampler, index_dataset
from pe_nnunet.sampling.curriculum import Curriculum, middle

SIDE = 20
SETTINGS = TrainingRecipe(
    positive_fraction=0.6,
    embolus_volume_power=0.25,
    case_ratio_power=0.25,
    hard_negative_fraction=0.5,
    min_embolus_mm3=1.0,
)


class Labels:
    all_labels = [0, 1]  # noqa: RUF012
    has_ignore_label = False


class AsTwoScales:
    """Stands in for augmentation with deep supervision."""

    def __call__(self, image, segmentation):
        coarse = segmentation[(slice(None), *[slice(None, None, 2)] * (segmentation.ndim - 1))]
        return {"image": image, "segmentation": [segmentation, coarse]}


@pytest.fixture
def dataset(tmp_path):
    """Cases of two, four, six and no voxels of embolus in the middle."""
    for name, length in (("a", 2), ("b", 4), ("c", 6), ("d", 0)):
        label = np.zeros((1, SIDE, SIDE, SIDE), np.int8)
        label[0, 10, 10, 8 : 8 + length] = 1
        nnUNetDatasetBlosc2.save_case(
            np.zeros(label.shape, np.float32), label, {}, str(tmp_path / name),
            chunks=(1, SIDE, SIDE, SIDE), blocks=(1, 8, 8, 8),
        )  # fmt: skip
    return nnUNetDatasetBlosc2(str(tmp_path))


def loader(dataset, start, size=(16, 16, 16), first=0):
    sampler = PatchSampler(index_dataset(dataset, (1,), (2.0, np.inf)), SETTINGS, 1.0)
    made = EmbolusDataLoader(
        dataset, 2, size, size, Labels(), transforms=AsTwoScales(), sampler=sampler, center_jitter=0.25,
        curriculum=start, divisor=(4,) * len(size),
    )  # fmt: skip
    made.seeds = BatchSeeds(per_epoch=6, first=first)
    return made


def test_few_cases_then_all(dataset):
    batches = loader(dataset, Curriculum(2, "cases", 2, 1.0))
    seen = [{case for _ in range(6) for case in next(batches)["keys"]} for _ in range(6)]
    assert seen[0] | seen[1] == {"b", "c"}
    assert set.union(*seen[2:]) == {"a", "b", "c", "d"}


def test_few_of_cases_without_emboli_are_all():
    start = Curriculum(1, "cases", 1, 1.0)
    empty = type("Case", (), {"target_ratio": 0.0})
    assert set(start.few_cases({"a": empty, "b": empty})) == {"a", "b"}


@pytest.mark.parametrize("size", [(16, 16, 16), (16, 16)])
def test_patches_grow_with_their_targets_and_hold_what_was_drawn(dataset, size):
    batches = loader(dataset, Curriculum(2, "patches", 1, 0.5), size)
    for epoch, edge in enumerate((8, 12, 16, 16)):
        for _ in range(6):
            batch = next(batches)
            fine, coarse = batch["target"]
            assert batch["data"].shape[2:] == fine.shape[2:] == (edge,) * len(size), epoch
            assert coarse.shape[2:] == (edge // 2,) * len(size)
            for kind, target in zip(batch["kinds"], fine, strict=True):
                assert kind != "positive" or (target == 1).any()


def test_small_patches_reach_emboli_at_the_borders(tmp_path):
    label = np.zeros((1, SIDE, SIDE, SIDE), np.int8)
    label[0, 0, 0, :2] = label[0, -1, -1, -2:] = 1
    nnUNetDatasetBlosc2.save_case(
        np.zeros(label.shape, np.float32), label, {}, str(tmp_path / "a"),
        chunks=(1, SIDE, SIDE, SIDE), blocks=(1, 8, 8, 8),
    )  # fmt: skip
    batches = loader(nnUNetDatasetBlosc2(str(tmp_path)), Curriculum(2, "patches", 1, 0.5))
    for _ in range(12):
        batch = next(batches)
        for kind, target in zip(batch["kinds"], batch["target"][0], strict=True):
            assert kind != "positive" or (target == 1).any()


@pytest.mark.parametrize("on", ["cases", "patches"])
def test_going_on_within_it_gives_the_same_batches(dataset, on):
    start = Curriculum(2, on, 2, 0.5)
    whole, later = loader(dataset, start), loader(dataset, start, first=8)
    for _ in range(8):
        next(whole)
    for _ in range(6):
        expected, batch = next(whole), next(later)
        assert batch["keys"] == expected["keys"]
        assert all(torch.equal(a, b) for a, b in zip(batch["target"], expected["target"], strict=True))


def test_middle_is_the_same_place_at_each_scale():
    fine = torch.arange(16.0)[None]
    kept = middle([fine, fine[:, ::2]], (8,), (16,))
    assert kept[0].tolist() == [list(range(4, 12))]
    assert kept[1].tolist() == [[4, 6, 8, 10]]
