"""The share of positive patches as the network gets them, augmented."""

import numpy as np
import pytest
import torch
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2

from pe_nnunet.recipe import TrainingRecipe
from pe_nnunet.sampling import EmbolusDataLoader, PatchSampler, index_dataset
from pe_nnunet.sampling.batch_seeds import seeded
from pe_nnunet.sampling.draw import PositiveRule

SETTINGS = TrainingRecipe(
    positive_fraction=0.75,
    embolus_volume_power=0.25,
    case_ratio_power=0.25,
    hard_negative_fraction=0.5,
    min_embolus_mm3=5.0,
)
RULE = PositiveRule(8.0, (1,))
SIDE, FINAL, INITIAL = 40, (12, 12, 12), (16, 16, 16)


class Labels:
    def __init__(self):
        self.all_labels = [0, 1]

    has_ignore_label = False


def turned():
    """Turning and zooming as nnU-Net does, always, which is harder than its one in five."""
    return SpatialTransform(
        FINAL, 0, False, 0, p_rotation=1, rotation=(-0.5, 0.5), p_scaling=1, scaling=(0.7, 1.4),
        p_synchronize_scaling_across_axes=1, mode_seg="nearest",
    )  # fmt: skip


def write(folder, negatives):
    rng = np.random.default_rng(3)
    for name in ["p0", "p1", *(f"n{k}" for k in range(negatives))]:
        image = rng.normal(size=(1, SIDE, SIDE, SIDE)).astype(np.float32)
        label = np.zeros((1, SIDE, SIDE, SIDE), np.int8)
        if name[0] == "p":
            label[0, 5:7, 6:8, 30:32] = 1  # 64 mm3
            label[0, 18:24, 18:24, 18:24] = 1  # 1.7 ml in the middle, where other patches meet it
            label[0, 33, 2:6, 3] = 1
        nnUNetDatasetBlosc2.save_case(
            image, label, {}, str(folder / name), chunks=(1, SIDE, SIDE, SIDE), blocks=(1, 8, 8, 8)
        )
    return nnUNetDatasetBlosc2(str(folder))


def achieved(dataset, strictly, draws=2000):
    """The share of positive patches by the rule, each judged against the embolus that it was drawn around."""
    sampler = PatchSampler(index_dataset(dataset, (1,), (2.0, np.inf)), SETTINGS, 8.0)
    source = EmbolusDataLoader(
        dataset, 1, INITIAL, FINAL, Labels(), sampler=sampler, center_jitter=0.25, transforms=turned(),
        strictly=strictly,
    )  # fmt: skip
    positive = []
    with seeded(7) as rng:
        for _ in range(draws):
            draw, _, target = source.sample(sampler.draw(rng), rng)
            positive.append(RULE.pe_voxels(target) >= source.needed_voxels(RULE, draw, target))
    return float(np.mean(positive))


@pytest.mark.parametrize("negatives", [0, 6])
def test_share_is_the_one_that_was_set(tmp_path, negatives):
    dataset = write(tmp_path, negatives)
    assert achieved(dataset, RULE) == pytest.approx(0.75, abs=0.02)


def test_without_the_rule_the_share_is_another(tmp_path):
    assert abs(achieved(write(tmp_path, 0), None, draws=400) - 0.75) > 0.03


def test_rule():
    rule = PositiveRule(2.0, (2,))
    target = torch.zeros(1, 4, 4, 4)
    target[0, 0] = 2
    assert rule.pe_voxels([target, target[:, ::2]]) == 16
    assert PositiveRule(2.0, (2,), channel=1).pe_voxels(torch.stack([target[0] < 2, target[0] == 2])) == 16
    assert rule.needed_voxels(None) == 50  # 100 mm3
    assert rule.needed_voxels(60) == 30  # half of the drawn
    assert rule.needed_voxels(1000) == 50
