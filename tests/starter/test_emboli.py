import numpy as np
import pytest
from scipy import ndimage

from starter.emboli import VOLUMES_MM3, add_emboli

SPACING_MM = (2.0, 2.0, 2.0)


def tree():
    """An artery of 8 mm radius that gives off one of 3 mm, with an embolus in it."""
    z, y, x = np.mgrid[:40, :40, :60]
    artery = ((y - 12) ** 2 + (z - 20) ** 2 <= 16) | ((x - 40) ** 2 + (z - 20) ** 2 <= 2) & (y > 12)
    emboli = np.where(artery & (x < 6), 1, 0)
    return {"artery": artery.astype(np.uint8), "emboli": emboli.astype(np.uint16)}


@pytest.mark.parametrize("seed", range(8))
def test_emboli_lie_in_arteries_apart_from_each_other_and_what_was_there_stays(seed):
    masks = tree()
    emboli = add_emboli(masks, SPACING_MM, 5, np.random.default_rng(seed))
    added = emboli > 1
    assert added.any()
    assert not added[masks["artery"] == 0].any()
    assert np.array_equal(emboli == 1, masks["emboli"] == 1)
    for number in range(1, emboli.max() + 1):
        clot = emboli == number
        assert ndimage.label(clot, np.ones((3, 3, 3)))[1] == 1
        near = ndimage.binary_dilation(clot, np.ones((3, 3, 3)), iterations=2)
        assert not (near & (emboli > 0) & ~clot).any()
        assert number == 1 or clot.sum() * 8 <= VOLUMES_MM3[-1]


def test_small_emboli_prefer_small_arteries_and_lie_in_wide_ones_too_some_at_the_wall():
    masks = tree()
    narrow = np.s_[:, 18:]
    middle = np.s_[20, 12, :]
    small = large = at_wall = 0
    for seed in range(60):
        emboli = add_emboli(masks, SPACING_MM, 1, np.random.default_rng(seed)) > 1
        if emboli.any() and emboli.sum() * 8 < 600:
            small += bool(emboli[narrow].any())
            in_wide = not emboli[narrow].any()
            large += in_wide
            at_wall += in_wide and not emboli[middle].any()
    assert small > large > 0
    assert at_wall


def test_nothing_is_added_where_nothing_is_wanted_or_no_artery_is():
    masks = tree()
    assert np.array_equal(add_emboli(masks, SPACING_MM, 0, np.random.default_rng(0)), masks["emboli"])
    masks = {"artery": np.zeros_like(masks["artery"]), "emboli": np.zeros_like(masks["emboli"])}
    assert not add_emboli(masks, SPACING_MM, 3, np.random.default_rng(0)).any()
