"""Emboli put into further stretches of artery, on phantoms whose vessels, bones and nodes are known."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
from scipy.ndimage import binary_dilation, find_objects, gaussian_filter

from pe_nnunet.phantom import PhantomSettings, make, make_phantom
from pe_nnunet.phantom.great_vessels import AORTA, single
from pe_nnunet.phantom.tubes import rasterise
from pe_nnunet.recipe import TrainingRecipe
from pe_nnunet.sampling import (
    BatchSeeds,
    EmbolusDataLoader,
    PatchSampler,
    index_dataset,
    seeded,
)
from pe_nnunet.sampling.arteries import ArteryMasks, nearest, store_arteries
from pe_nnunet.sampling.bank import HuScale, make_bank
from pe_nnunet.sampling.lumen import branch_lumen, clot_change
from pe_nnunet.sampling.raw_masks import RawMasks
from pe_nnunet.sampling.replicate import ReplicateTargets, Replication, fit, replicate
from pe_nnunet.voxels import label_components

SPACING = (2.0, 2.0, 2.0)
SCALE = HuScale(mean=100.0, std=80.0, highest=3000.0)
SETTINGS = PhantomSettings(
    spacing_mm=SPACING, thorax_width_mm=(240.0, 260.0), negative_fraction=0.0, emboli_per_scan=(5, 8)
)


def often(most=6, below=0.5):
    return Replication(1.0, below, most, 150.0, SPACING)


@pytest.fixture(scope="module")
def patches():
    """Stretches around emboli of two phantoms: HU, emboli, artery, and by name what is no artery."""
    found, scenes = [], []
    with pytest.MonkeyPatch.context() as patch:
        compose = make.compose
        patch.setattr(make, "compose", lambda *what: scenes.append(compose(*what)) or scenes[-1])
        phantoms = [make_phantom(SETTINGS, 5, number) for number in (0, 1)]
    for phantom, scene in zip(phantoms, scenes, strict=True):
        hu, ids, artery, vein = (
            sitk.GetArrayFromImage(image) for image in (phantom.ct, phantom.emboli, phantom.artery, phantom.vein)
        )
        z, y, x = scene.grid.axes()
        nodes = np.zeros(ids.shape, bool)
        for finding in scene.lookalikes:
            if finding.kind == "lymph node":
                cz, cy, cx = finding.centre_mm
                nodes |= (z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2 < min(finding.size_mm) ** 2
        wrong = {
            "vein": vein > 0,
            "aorta": rasterise(single(scene.thorax, AORTA), scene.grid).distance < -1,
            "spine": np.broadcast_to(scene.thorax.spine((z, y, x)) < 0, ids.shape),
            "node": nodes,
        }
        for box in find_objects(ids):
            middle = [(side.start + side.stop) // 2 for side in box]
            cut = tuple(slice(max(0, m - 20), m + 20) for m in middle)
            here = {name: mask[cut] & ~(artery[cut] > 0) for name, mask in wrong.items()}
            found.append((hu[cut].astype(np.float32), ids[cut] > 0, artery[cut] > 0, here))
    return found


@pytest.fixture(scope="module")
def bank(patches):
    kept = []
    for _, pe, _, _ in patches:
        ids, _ = label_components(np.ascontiguousarray(pe))
        kept += [(ids[box] == k, 60.0) for k, box in enumerate(find_objects(ids), 1) if (ids[box] == k).sum() > 4]
    return kept


def test_five_hundred_lie_in_arteries_and_nowhere_else(patches, bank):
    counts = {"artery": 0, "branch": 0}
    rng = np.random.default_rng(3)
    for turn in range(100):
        for hu, pe, artery, wrong in patches:
            mode = "branch" if turn < 2 else "artery"
            change, placed = replicate(hu, pe, artery if mode == "artery" else None, bank, often(20), 3000.0, rng)
            if not placed.any():
                continue
            ids, count = label_components(np.ascontiguousarray(placed))
            counts[mode] += count
            for name, mask in wrong.items():
                assert not (placed & mask).any(), name
            assert not (placed & pe).any()
            inside = np.bincount(ids.reshape(-1), weights=artery.reshape(-1))[1:] / np.bincount(ids.reshape(-1))[1:]
            assert inside.min() == 1 if mode == "artery" else inside.min() > 0.75
            # lumen became clot there, and away from it nothing changed
            assert hu[placed].mean() > 180
            gone = -change[placed].mean() / (hu[placed].mean() - 60)  # the finest ones share their voxels with contrast
            assert gone > (0.6 if placed.sum() > 60 else 0.2)
            assert not change[~binary_dilation(placed, np.ones((3, 3, 3)), iterations=3)].any()
        if counts["artery"] >= 500:
            break
    assert counts["artery"] >= 500


def tube():
    """A vessel of 400 HU in lung along the first axis, with noise and a small embolus."""
    rng = np.random.default_rng(0)
    z, y, x = np.indices((40, 24, 24))
    artery = np.hypot(y - 12, x - 12) < 5
    pe = (z - 6) ** 2 + (y - 12) ** 2 + (x - 12) ** 2 < 6
    hu = np.where(pe, 60.0, np.where(artery, 400.0, -850.0))
    return (gaussian_filter(hu, 0.6) + rng.normal(0, 25, hu.shape)).astype(np.float32), pe, artery


def test_clot_keeps_noise_and_rim():
    hu, _, artery = tube()
    clot = np.zeros_like(artery)
    clot[15:25] = artery[15:25]
    changed = hu + clot_change(hu, clot, 55.0, 3000.0, np.random.default_rng(0))
    core = np.zeros_like(clot)
    core[17:23, 10:15, 10:15] = True
    assert changed[core].mean() == pytest.approx(55, abs=8)
    assert 15 < changed[core].std() < 30
    assert np.abs(changed - hu)[:12].max() == 0
    rim = (hu < 0) & ~artery
    assert np.abs(changed - hu)[rim].max() < 15  # no dark or bright shell in the lung


def test_noise_is_added_where_the_image_was_clipped_flat():
    hu, _, artery = tube()
    hu = np.minimum(hu, 200)
    hu[30:] = np.random.default_rng(1).normal(40, 25, hu[30:].shape)  # soft tissue
    clot = np.zeros_like(artery)
    clot[15:25] = artery[15:25]
    changed = hu + clot_change(hu, clot, 60.0, 200.0, np.random.default_rng(0))
    assert 12 < changed[17:23, 10:15, 10:15].std() < 38


def test_nothing_fits_where_the_lumen_is_too_narrow():
    lumen = np.zeros((20, 20, 20), bool)
    lumen[:, 10, 10] = True
    assert fit(np.ones((6, 6, 6), bool), lumen, (1, 1, 1), np.random.default_rng(0)) is None
    placed = fit(np.ones((1, 4, 1), bool), lumen, (1, 1, 1), np.random.default_rng(0))
    assert 3 <= placed.sum() <= 4  # turned along the lumen
    assert not (placed & ~lumen).any()


def test_along_its_branch_where_nobody_drew_arteries():
    """A vein that touches the artery, a node as wide, a bone, and the aorta: none of them is reached."""
    hu, pe, artery = tube()
    z, y, x = np.indices(hu.shape)
    hu = np.pad(hu, ((0, 0), (8, 8), (8, 20)), constant_values=-850.0)
    pe, artery = (np.pad(mask, ((0, 0), (8, 8), (8, 20))) for mask in (pe, artery))
    z, y, x = np.indices(hu.shape)
    others = (np.hypot(z - 20, y - 20 - (x - 27) * 0.2) < 4) & (x > 24) & ~artery  # a vein that leads to the artery
    hu[others] = 330.0
    aorta = np.hypot(y - 20, x - 46) < 6
    hu[aorta] = 400.0
    spacing_mm = (0.8, 0.8, 0.8)
    lumen = branch_lumen(hu, pe, 150.0, spacing_mm)
    assert lumen.sum() > 300
    assert not (lumen & (others | aorta | pe)).any()
    assert not (lumen & ~binary_dilation(artery)).any()
    settings = Replication(1.0, 0.5, 3, 150.0, spacing_mm)
    _, placed = replicate(hu, pe, None, transform().bank, settings, 3000.0, np.random.default_rng(0))
    assert placed.sum() > 20
    assert not (placed & ~lumen).any()

    assert not branch_lumen(np.minimum(hu, 200), pe, 150.0, spacing_mm, highest_hu=200.0).any()  # contrast clipped flat
    hu[binary_dilation(pe, iterations=4) & ~pe] = -100.0  # nothing bright beside the embolus
    assert not branch_lumen(hu, pe, 150.0, spacing_mm).any()


def test_without_air_there_is_no_branch():
    z, y, x = np.indices((16, 24, 24))
    across = np.hypot(y - 7, x - 7)
    pe = (across < 2) & (z >= 6) & (z < 9)
    hu = np.where(across < 6, 400.0, -850.0).astype(np.float32)  # clot as bright as its branch
    assert branch_lumen(hu, pe, 150.0, (0.25, 0.25, 0.25)).any()
    assert not branch_lumen(np.maximum(hu, 0), pe, 150.0, (0.25, 0.25, 0.25)).any()


def transform(spacing_mm=SPACING, **kwargs):
    ball = np.indices((5, 5, 5)) - 2
    settings = Replication(1.0, 0.1, 2, 150.0, spacing_mm)
    return ReplicateTargets([((ball**2).sum(0) < 6, 60.0)], SCALE, settings, (1,), **kwargs)


def sample():
    hu, pe, artery = tube()
    image = torch.from_numpy(((hu - SCALE.mean) / SCALE.std)[None])
    return image, torch.from_numpy(pe.astype(np.int16))[None], artery


def test_transform_follows_from_the_seed_and_leaves_its_input_alone():
    image, label, artery = sample()
    before = image.clone(), label.clone()
    results = []
    for _ in range(2):
        with seeded(7):
            results.append(transform()(image=image, segmentation=label, artery=artery))
    assert torch.equal(results[0]["image"], results[1]["image"])
    assert torch.equal(image, before[0])
    assert torch.equal(label, before[1])
    assert set(results[0]) == {"image", "segmentation"}
    added = (results[0]["segmentation"] == 1) & (label == 0)
    assert added.sum() > 10
    hu = results[0]["image"][added] * SCALE.std + SCALE.mean
    assert 30 < float(hu.mean()) < 150  # 400 before; its surface shares voxels with contrast


@pytest.mark.parametrize("case", ["no embolus", "much PE", "no lumen"])
def test_other_patches_stay_as_they_are(case):
    image, label, artery = sample()
    if case == "no embolus":
        label = torch.zeros_like(label)
    if case == "much PE":
        label = torch.ones_like(label)
    if case == "no lumen":
        artery = np.zeros_like(artery)
    changed = transform()(image=image, segmentation=label, artery=artery)
    assert torch.equal(changed["image"], image)
    assert torch.equal(changed["segmentation"], label)


def test_labels_that_tell_arteries_and_2d():
    image, label, artery = sample()
    values = torch.from_numpy(artery.astype(np.int16))[None] + label
    told = ReplicateTargets(transform().bank, SCALE, often(2, 0.1), (2,), (1, 2))
    changed = told(image=image, segmentation=values)["segmentation"]
    added = (changed == 2) & (values != 2)
    assert added.any()
    assert (values[added] == 1).all()

    flat = ReplicateTargets(transform().bank, SCALE, Replication(1.0, 0.5, 2, 150.0, (2.0, 2.0)), (1,))
    changed = flat(image=image[:, :, 12], segmentation=label[:, :, 12], artery=artery[:, 12])["segmentation"]
    assert changed.shape == label[:, :, 12].shape
    assert (changed == 1).sum() > (label[:, :, 12] == 1).sum()


def preprocessed(folder):
    hu, pe, artery = tube()
    for name in ("a", "b"):
        whole = {"shape_before_cropping": (20, 24, 24), "bbox_used_for_cropping": [[0, 20], [0, 24], [0, 24]]}
        nnUNetDatasetBlosc2.save_case(
            ((hu - SCALE.mean) / SCALE.std)[None], pe[None].astype(np.int8),
            {"spacing": [1, 1, 1], **whole},
            str(folder / name), chunks=(1, 40, 24, 24), blocks=(1, 8, 8, 8),
        )  # fmt: skip
    return nnUNetDatasetBlosc2(str(folder)), pe, artery


def test_bank_has_the_emboli_and_their_attenuation(tmp_path):
    dataset, pe, _ = preprocessed(tmp_path)
    kept = make_bank(dataset, index_dataset(dataset, (1,), (np.inf, np.inf)), (1,), SCALE, 5)
    assert len(kept) == 2
    assert kept[0][0].sum() == pe.sum()
    assert 50 < kept[0][1] <= 100  # partial volume lifts it a little
    assert make_bank(dataset, index_dataset(dataset, (1,), (np.inf, np.inf)), (1,), SCALE, 1e6) == []


def test_stored_arteries_are_read_by_patch_and_loaders_use_them(tmp_path):
    (tmp_path / "data").mkdir()
    dataset, _, artery = preprocessed(tmp_path / "data")
    (tmp_path / "raw" / "pe_nnunet" / "arteries").mkdir(parents=True)
    image = sitk.GetImageFromArray(nearest(artery, (20, 24, 24)).astype(np.uint8))
    sitk.WriteImage(image, str(tmp_path / "raw" / "pe_nnunet" / "arteries" / "a.nii.gz"))

    class Reader:
        def read_seg(self, path):
            return sitk.GetArrayFromImage(sitk.ReadImage(path))[None], {}

    index = index_dataset(dataset, (1,), (np.inf, np.inf))
    masks = store_arteries(dataset, index, RawMasks(tmp_path / "raw", Reader(), (0, 1, 2)))
    written = masks.path("a").stat().st_mtime_ns
    store_arteries(dataset, index, RawMasks(tmp_path / "raw", Reader(), (0, 1, 2)))  # as the next fold's training does
    assert masks.path("a").stat().st_mtime_ns == written
    box = [[-4, 8], [4, 20], [4, 20]]
    assert masks.crop("b", box) is None
    part = masks.crop("a", box)
    assert part.shape == (12, 16, 16)
    assert not part[:4].any()
    assert (part[4:] == artery[0:8, 4:20, 4:20]).all()
    (tmp_path / "raw" / "pe_nnunet" / "arteries" / "a.nii.gz").unlink()
    assert isinstance(store_arteries(dataset, index, None), ArteryMasks)  # what is stored serves on
    assert masks.crop("a", box) is not None

    class Labels:
        all_labels = [0, 1]  # noqa: RUF012
        has_ignore_label = False

    sampler = PatchSampler(
        index,
        TrainingRecipe(
            positive_fraction=1.0,
            embolus_volume_power=0.25,
            case_ratio_power=0.25,
            hard_negative_fraction=0.5,
            min_embolus_mm3=1.0,
        ),
        1.0,
    )
    for size in ((32, 24, 24), (24, 24)):
        batches = []
        for replicating in (None, transform(SPACING[: len(size)])):
            loader = EmbolusDataLoader(
                dataset, 4, size, size, Labels(), sampler=sampler, center_jitter=0.0, replicate=replicating,
                arteries=masks,
            )  # fmt: skip
            loader.seeds = BatchSeeds()
            batches.append(next(loader))
        assert (batches[1]["target"] == 1).sum() > (batches[0]["target"] == 1).sum() or len(size) == 2
        assert batches[1]["data"].shape == batches[0]["data"].shape
