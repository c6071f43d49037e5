"""What is drawn, over many draws."""

from dataclasses import replace

import numpy as np
import pytest

from pe_nnunet.recipe import TrainingRecipe
from pe_nnunet.sampling import CaseEmboli, PatchSampler, index_case

SETTINGS = TrainingRecipe(
    positive_fraction=0.75,
    embolus_volume_power=0.25,
    case_ratio_power=0.0,
    hard_negative_fraction=0.5,
    min_embolus_mm3=5.0,
)


def case(*counts, ratio=1e-3, bright=7, arteries=0):
    """A case whose embolus k has all its points at z = k."""
    return CaseEmboli(
        shape=(100, 100, 100),
        ids=np.arange(1, len(counts) + 1),
        boxes=np.array([[[k] * 3, [k + 1] * 3] for k in range(len(counts))]).reshape(-1, 2, 3),
        artery_points=np.full((arteries, 3), 77, np.int32),
        voxel_counts=np.array(counts, np.int64),
        points=tuple(np.full((3, 3), k, np.int32) for k in range(len(counts))),
        bright_points=np.full((bright, 3), 99, np.int32),
        target_ratio=ratio if counts else 0.0,
    )


def shares(sampler, of, n=4000):
    rng = np.random.default_rng(0)
    names, counts = np.unique([of(sampler.draw(rng)) for _ in range(n)], return_counts=True)
    return dict(zip(names.tolist(), (counts / n).tolist(), strict=True))


@pytest.mark.parametrize("negatives", [0, 9])
def test_share_of_positives_does_not_depend_on_negative_scans(negatives):
    index = {"a": case(100, 3)} | {f"n{k}": case() for k in range(negatives)}
    kinds = shares(PatchSampler(index, SETTINGS, 2.0), lambda draw: draw.kind)
    assert kinds["positive"] == pytest.approx(0.75, abs=0.02)
    assert kinds["hard negative"] == pytest.approx(0.125, abs=0.02)


def test_emboli_are_drawn_by_volume_power():
    sampler = PatchSampler({"a": case(16, 256)}, SETTINGS, 2.0)
    drawn = shares(sampler, lambda draw: int(draw.voxel[0]) if draw.kind == "positive" else -1)
    assert drawn[1] / drawn[0] == pytest.approx(2, rel=0.15)  # 16 times the volume, to the power 1/4


def test_specks_are_no_centres_unless_there_is_nothing_else():
    with_large = shares(PatchSampler({"a": case(2, 50)}, SETTINGS, 2.0), lambda d: d.kind + str(d.voxel))
    assert not any(name.startswith("positive[0") for name in with_large)
    only_speck = shares(PatchSampler({"a": case(2)}, SETTINGS, 2.0), lambda d: d.kind)
    assert only_speck["positive"] == pytest.approx(0.75, abs=0.02)


def test_low_target_ratio_is_drawn_more_often():
    settings = replace(SETTINGS, case_ratio_power=0.5)
    index = {"low": case(50, ratio=1e-4), "high": case(50, ratio=16e-4)}
    drawn = shares(PatchSampler(index, settings, 2.0), lambda d: d.case if d.kind == "positive" else "-")
    assert drawn["low"] / drawn["high"] == pytest.approx(4, rel=0.15)


def test_hard_negatives_lie_in_arteries_where_these_are_known():
    settings = replace(SETTINGS, hard_negatives="artery")
    for known, z in ((5, 77), (0, 99)):
        sampler = PatchSampler({"a": case(9, arteries=known)}, settings, 2.0)
        draws = [sampler.draw_negative(np.random.default_rng(seed)) for seed in range(20)]
        assert {int(draw.voxel[0]) for draw in draws if draw.kind == "hard negative"} == {z}


def test_without_any_embolus_only_others_are_drawn():
    kinds = shares(PatchSampler({"n": case(), "m": case(bright=0)}, SETTINGS, 2.0), lambda d: d.kind, n=500)
    assert set(kinds) == {"hard negative", "anywhere"}


def test_index_finds_diagonal_emboli_and_bright_voxels():
    image = np.zeros((8, 8, 8), np.float32)
    image[7, 7, :4] = 3
    label = np.zeros((8, 8, 8), np.int8)
    label[1, 1, 1] = label[2, 2, 2] = 2  # one embolus: they touch at a corner
    label[5, 5, 5] = 2
    label[0, 0, 0] = -1
    found = index_case(image, label, (2,), (1.0, np.inf), seed=0)
    assert sorted(found.voxel_counts.tolist()) == [1, 2]
    assert {tuple(p) for points in found.points for p in points.tolist()} == {(1, 1, 1), (2, 2, 2), (5, 5, 5)}
    assert {tuple(p) for p in found.bright_points.tolist()} == {(7, 7, x) for x in range(4)}
    assert found.target_ratio == pytest.approx(3 / 512)


def test_ignored_voxels_are_neither_emboli_nor_hard_negatives() -> None:
    label = np.zeros((6, 6, 6), np.uint8)
    label[0, 0, :2] = 1
    label[3:] = 2
    image = np.full(label.shape, 2.0)
    artery = np.ones(label.shape, np.uint8)
    given = {"artery": artery, "source_spacing_mm": np.ones(3), "instances": np.where(label == 1, 9, 0)}
    found = index_case(image, label, (1,), (1.0, np.inf), seed=0, ignored=(2,), **given)
    assert (found.ids.tolist(), found.voxel_counts.tolist()) == ([9], [2])
    assert len(found.bright_points) == len(found.artery_points) == 3 * 36 - 2
    assert found.bright_points[:, 0].max() == found.artery_points[:, 0].max() == 2
    assert index_case(image, label, (1,), (1.0, np.inf), seed=0, **given).bright_points[:, 0].max() == 5
