"""Masks of the raw dataset, carried through transpose, crop and resampling."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
from scipy.ndimage import zoom

from pe_nnunet.sampling import index_case, index_dataset
from pe_nnunet.sampling.raw_masks import RawMasks, artery_points, nearest_ids, resampled_positions

NO_BRIGHT = (np.inf, np.inf)


@given(old=st.integers(1, 40), new=st.integers(1, 40))
@settings(max_examples=30, deadline=None)
def test_edges_stay_in_place(old, new):
    centres = resampled_positions(np.arange(old)[:, None], (old,), (new,))[:, 0]
    step = new / old
    assert centres[0] - step / 2 == pytest.approx(-0.5)
    assert centres[-1] + step / 2 == pytest.approx(new - 0.5)


def touching_emboli():
    """Two emboli side by side, one component; a third apart; ids with a gap."""
    ids = np.zeros((12, 16, 20), np.uint16)
    ids[2:6, 4:8, 4:10] = 7
    ids[2:6, 4:8, 10:14] = 3
    ids[8:11, 12:14, 15:18] = 5
    return ids


@pytest.mark.parametrize("factors", [(1, 1, 1), (2, 1, 0.5), (0.5, 1.5, 1.5)])
def test_ids_survive_resampling(factors):
    ids = touching_emboli()
    label = zoom((ids > 0).astype(np.uint8), factors, order=0, grid_mode=True, mode="nearest")
    expected = zoom(ids, factors, order=0, grid_mode=True, mode="nearest")
    found = index_case(
        np.zeros(label.shape), label, (1,), NO_BRIGHT, 0, instances=ids, source_spacing_mm=np.array([2.0, 1.0, 1.0])
    )
    assert found.ids.tolist() == [7, 3, 5]
    for k, number in enumerate(found.ids):
        assert found.voxel_counts[k] == pytest.approx((expected == number).sum(), rel=0.35)
        assert ((found.points[k] >= found.boxes[k, 0]) & (found.points[k] < found.boxes[k, 1])).all()
    assert found.voxel_counts.sum() == label.sum()


def test_ids_of_another_label_are_not_taken():
    ids = touching_emboli()
    label = np.zeros(ids.shape, np.uint8)
    label[11, 0, 0] = 1
    assert nearest_ids(np.argwhere(label), label.shape, ids, np.ones(3)) is None
    found = index_case(np.zeros(ids.shape), label, (1,), NO_BRIGHT, 0, instances=ids, source_spacing_mm=np.ones(3))
    assert found.ids.tolist() == [1]
    assert nearest_ids(np.argwhere(label), label.shape, ids * 0, np.ones(3)) is None


def test_artery_points_lie_in_arteries_outside_emboli():
    artery = np.zeros((10, 10, 10), np.uint8)
    artery[4:6] = 1
    pe = np.zeros((20, 10, 5), bool)
    pe[8:10] = True
    points = artery_points(artery, pe, 30, np.random.default_rng(0))
    assert 0 < len(points) <= 30
    assert set(points[:, 0]) <= {10, 11}


def test_masks_are_transposed_cropped_and_cached(tmp_path):
    """Written as the converter and nnU-Net's preprocessing write it: axes turned, an empty rim cropped away."""
    ids, raw, preprocessed = touching_emboli(), tmp_path / "raw", tmp_path / "preprocessed"
    for kind in ("instances", "arteries"):
        (raw / "pe_nnunet" / kind).mkdir(parents=True)
    image = sitk.GetImageFromArray(ids)
    image.SetSpacing((1.0, 2.0, 3.0))
    sitk.WriteImage(image, str(raw / "pe_nnunet" / "instances" / "a.nii.gz"))
    sitk.WriteImage(image > 0, str(raw / "pe_nnunet" / "arteries" / "a.nii.gz"))
    turned = ids.transpose(2, 0, 1)[2:, 1:, :]
    properties = {
        "spacing": [3.0, 2.0, 1.0],
        "shape_before_cropping": (20, 12, 16),
        "bbox_used_for_cropping": [[2, 20], [1, 12], [0, 16]],
    }
    preprocessed.mkdir()
    label = (turned > 0).astype(np.int8)
    label[turned == 3] = 0  # an embolus that preprocessing lost; its artery stays
    nnUNetDatasetBlosc2.save_case(
        np.zeros((1, *turned.shape), np.float32), label[None], properties, str(preprocessed / "a"),
        chunks=(1, *turned.shape), blocks=(1, 8, 8, 8),
    )  # fmt: skip
    dataset = nnUNetDatasetBlosc2(str(preprocessed))
    source = RawMasks(raw, SimpleITKIO(), (2, 0, 1))
    assert source.spacing_mm(properties).tolist() == [1.0, 3.0, 2.0]
    found = index_dataset(dataset, (1,), NO_BRIGHT, source)["a"]
    assert sorted(found.ids.tolist()) == [5, 7]
    for k, number in enumerate(found.ids):
        assert (turned[tuple(found.points[k].T)] == number).all()
    assert (turned[tuple(found.artery_points.T)] == 3).all()
    for path in (raw / "pe_nnunet").rglob("*.nii.gz"):  # the raw dataset is moved away: the index stays
        path.unlink()
    assert index_dataset(dataset, (1,), NO_BRIGHT, source)["a"].ids.tolist() == found.ids.tolist()
