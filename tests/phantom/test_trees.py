from __future__ import annotations

import numpy as np
import pytest

from pe_nnunet.phantom.anatomy import LOBES, Thorax
from pe_nnunet.phantom.settings import PhantomSettings
from pe_nnunet.phantom.trees import Trees, grow_trees


@pytest.fixture(scope="module")
def thorax() -> Thorax:
    return Thorax.draw(np.random.default_rng(0), PhantomSettings())


@pytest.fixture(scope="module")
def trees(thorax: Thorax) -> Trees:
    return grow_trees(thorax, np.random.default_rng(0), tips_per_lung=200)


@pytest.mark.parametrize("name", ["arteries", "veins", "bronchi"])
def test_pieces_hang_together(trees: Trees, name: str) -> None:
    tubes = getattr(trees, name)
    children = np.flatnonzero(tubes.parent >= 0)
    assert (tubes.parent[children] < children).all()
    assert tubes.start[children] == pytest.approx(tubes.end[tubes.parent[children]])
    assert (tubes.generation[children] >= tubes.generation[tubes.parent[children]]).all()


def test_arteries_have_one_root_and_veins_four(trees: Trees) -> None:
    assert (trees.arteries.parent == -1).sum() == 1
    assert (trees.veins.parent == -1).sum() == 4


@pytest.mark.parametrize("name", ["arteries", "veins"])
def test_vessels_taper_over_many_generations_into_every_lobe(trees: Trees, thorax: Thorax, name: str) -> None:
    tubes = getattr(trees, name)
    assert tubes.generation.max() >= 7
    mean_radius = [float(tubes.radius[tubes.generation == g].mean()) for g in (1, 3, 5, 7)]
    assert mean_radius == sorted(mean_radius, reverse=True)
    tips = tubes.end[~np.isin(np.arange(len(tubes)), tubes.parent)]
    assert set(np.unique(thorax.lobe(tips)).tolist()) == set(range(len(LOBES)))
    inside = thorax.lungs(tuple(tips.T.astype(np.float32))) < 0
    assert inside.mean() > 0.97


def test_bronchi_keep_company_with_arteries(trees: Trees) -> None:
    """Segmental bronchi lie nearer to an artery than veins of the same generation do."""

    def gap(name: str) -> float:
        tubes = getattr(trees, name)
        points = tubes.middle[(tubes.generation >= 4) & (tubes.generation <= 6)]
        away = np.linalg.norm(points[:, None] - trees.arteries.middle[None], axis=2)
        return float(np.median(away.min(axis=1)))

    assert gap("bronchi") < gap("veins")


def test_the_same_seed_grows_the_same_trees(thorax: Thorax, trees: Trees) -> None:
    again = grow_trees(thorax, np.random.default_rng(0), tips_per_lung=200)
    np.testing.assert_array_equal(again.arteries.end, trees.arteries.end)
    np.testing.assert_array_equal(again.bronchi.parent, trees.bronchi.parent)
