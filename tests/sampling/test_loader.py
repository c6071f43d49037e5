"""The loader over nnU-Net's own preprocessed format."""

import numpy as np
import pytest
import torch
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2

from pe_nnunet.recipe import TrainingRecipe
from pe_nnunet.sampling import BatchSeeds, EmbolusDataLoader, PatchSampler, index_dataset
from pe_nnunet.sampling.index import FOLDER

SETTINGS = TrainingRecipe(
    positive_fraction=1.0,
    embolus_volume_power=0.25,
    case_ratio_power=0.25,
    hard_negative_fraction=0.5,
    min_embolus_mm3=1.0,
)


class Labels:
    """What the loader asks of nnU-Net's label manager."""

    def __init__(self):
        self.all_labels = [0, 1]

    has_ignore_label = False


@pytest.fixture
def dataset(tmp_path):
    rng = np.random.default_rng(1)
    for name in ("a", "b"):
        image = rng.normal(size=(1, 20, 24, 28)).astype(np.float32)
        label = np.zeros((1, 20, 24, 28), np.int8)
        label[0, 3:6, 20:23, 2:4] = 1
        label[0, 17, 3, 25] = 1  # a single voxel far from the large one
        nnUNetDatasetBlosc2.save_case(
            image, label, {"spacing": [1, 1, 1]}, str(tmp_path / name), chunks=(1, 20, 24, 28), blocks=(1, 8, 8, 8)
        )
    return nnUNetDatasetBlosc2(str(tmp_path))


def loader(dataset, patch, final=None, **kwargs):
    sampler = PatchSampler(index_dataset(dataset, (1,), (2.0, np.inf)), SETTINGS, 1.0)
    return EmbolusDataLoader(dataset, 4, patch, final or patch, Labels(), sampler=sampler, center_jitter=0.25, **kwargs)


@pytest.mark.parametrize("patch", [(8, 8, 8), (12, 24, 40), (12, 10)])
def test_positive_patches_hold_an_embolus(dataset, patch):
    batch = next(loader(dataset, patch))
    assert tuple(batch["data"].shape) == (4, 1, *patch)
    assert tuple(batch["target"].shape) == (4, 1, *patch)
    assert batch["kinds"] == ["positive"] * 4
    if len(patch) == 3:
        assert all((target == 1).any() for target in batch["target"])


def test_small_embolus_is_drawn_beside_a_large_one(dataset):
    source = loader(dataset, (6, 6, 6))
    totals = [int((target == 1).sum()) for _ in range(20) for target in next(source)["target"]]
    share_of_speck = np.mean([total == 1 for total in totals])
    assert 0.2 < share_of_speck < 0.6  # 1 voxel against 18: 1 / (1 + 18 ** 0.25) = 0.33


def test_a_batch_follows_from_its_place_in_the_training_alone(dataset):
    def at(first, skipped=0, **facts):
        source = loader(dataset, (8, 8, 8))
        source.seeds = BatchSeeds(per_epoch=3, first=first, **facts)
        for _ in range(skipped):
            next(source)
        return next(source)

    state = np.random.get_state()[1].copy()  # noqa: NPY002
    expected = at(0, skipped=4)
    for same in (at(4), at(1, skipped=3)):
        assert (same["data"] == expected["data"]).all()
        assert same["keys"] == expected["keys"]
    for other in (at(5), at(1), at(4, rank=1), at(4, stream=1), at(4, seed=1)):
        assert not torch.equal(other["data"], expected["data"])
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002 - global sources are left as they were


def test_workers_share_the_batches():
    seeds = BatchSeeds(per_epoch=5, workers=2)
    alone = BatchSeeds(per_epoch=5)
    assert [seeds.of(made, worker) for made in range(3) for worker in range(2)] == [alone.of(n) for n in range(6)]


def test_index_is_cached_and_renewed(dataset, tmp_path):
    index_dataset(dataset, (1,), (2.0, np.inf))
    cached = tmp_path / FOLDER / "a.npz"
    before = cached.stat().st_mtime_ns
    index_dataset(dataset, (1,), (2.0, np.inf))
    assert cached.stat().st_mtime_ns == before
    other = index_dataset(dataset, (2,), (2.0, np.inf))
    assert cached.stat().st_mtime_ns != before
    assert other["a"].voxel_counts.size == 0
    cached.write_bytes(b"damaged")
    assert index_dataset(dataset, (1,), (2.0, np.inf))["a"].voxel_counts.tolist() == [18, 1]
