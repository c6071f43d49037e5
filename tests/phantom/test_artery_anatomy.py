"""What is known of a phantom's arteries: segments add up, levels go outwards, obstruction is what was drawn."""

from __future__ import annotations

import numpy as np
import pytest

from pe_nnunet.phantom import Phantom
from pe_nnunet.phantom.anatomy import Thorax
from pe_nnunet.phantom.artery_anatomy import IN_LOBE, LEVELS, NAMED, ArteryAnatomy
from pe_nnunet.phantom.clots import obstructed_share
from pe_nnunet.phantom.settings import coarse_settings
from pe_nnunet.phantom.trees import grow_trees


def test_twenty_segments_and_levels_outwards() -> None:
    thorax = Thorax.draw(np.random.default_rng(0), coarse_settings())
    arteries = grow_trees(thorax, np.random.default_rng(1), tips_per_lung=120).arteries
    anatomy = ArteryAnatomy.of(arteries)
    rank = np.array([LEVELS.index(level) for level in anatomy.level])
    drawn = np.flatnonzero(arteries.branch >= len(NAMED))
    by_segments = {k: [fewest <= anatomy.segments[k] for _, fewest in IN_LOBE].index(True) for k in drawn}
    assert all(rank[k] == 1 + by_segments[k] for k in drawn)
    assert set(rank.tolist()) == {0, 1, 2, 3}
    inner = arteries.parent >= 0
    assert (rank[inner] >= rank[arteries.parent[inner]]).all()
    crossing = [k for k, p in enumerate(arteries.parent) if p >= 0 and rank[p] == 1 < rank[k]]
    assert anatomy.segments[crossing].sum() == pytest.approx(20)
    assert 15 <= sum(anatomy.level[k] == "segmental" for k in crossing) <= 25


def test_every_embolus_has_a_place(coarse_cohort: list[Phantom]) -> None:
    facts = [fact for phantom in coarse_cohort for fact in phantom.facts["emboli"]]
    assert {fact["level"] for fact in facts} <= set(LEVELS)
    assert all(fact["lobe"] is None or fact["lobe"].startswith(fact["side"]) for fact in facts)
    assert all((fact["obstruction"] == 1) == (fact["kind"] == "occlusive") for fact in facts)


@pytest.mark.parametrize(("kind", "width"), [("central", 0.6), ("mural", -0.3), ("mural", 0.2)])
def test_obstruction_is_an_area(kind: str, width: float) -> None:
    y, x = np.mgrid[-1:1:801j, -1:1:801j]
    away = np.hypot(y, x)
    clot = away <= width if kind == "central" else x >= width
    assert obstructed_share(kind, width) == pytest.approx((clot & (away <= 1)).sum() / (away <= 1).sum(), abs=0.004)
