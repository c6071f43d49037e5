"""What a scan and its truth promise, measured on the voxels."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import cc3d
import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage as ndi

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.phantom import Phantom, PhantomSettings, clots, coarse_settings, make_phantom
from pe_nnunet.phantom.contrast import MUSCLE_HU
from pe_nnunet.phantom.make import blur, paint
from pe_nnunet.phantom.scene import compose, stream

IMAGES = ("ct", "emboli", "artery", "vein", "lung")


def array(image: sitk.Image) -> NDArray[np.generic]:
    return sitk.GetArrayFromImage(image)


def voxel_mm3(image: sitk.Image) -> float:
    return float(np.prod(image.GetSpacing()))


def artery_core_hu(phantom: Phantom) -> float:
    """Median HU of arterial blood away from walls and clot; NaN where clot leaves too little of it."""
    lumen = ndi.binary_erosion(array(phantom.artery) > 0)
    core = array(phantom.ct)[lumen & ~ndi.binary_dilation(array(phantom.emboli) > 0)]
    return float(np.median(core)) if core.size >= 100 else float("nan")


def test_the_same_seed_gives_the_same_voxels_and_another_does_not() -> None:
    first, second = (make_phantom(coarse_settings(), 3, 1) for _ in range(2))
    for name in IMAGES:
        np.testing.assert_array_equal(array(getattr(first, name)), array(getattr(second, name)))
    assert first.facts == second.facts
    assert make_phantom(coarse_settings(), 4, 1).facts != first.facts


def test_images_share_one_grid_and_have_the_wanted_spacing(coarse_cohort: list[Phantom]) -> None:
    for phantom in coarse_cohort:
        for name in IMAGES:
            image = getattr(phantom, name)
            assert image.GetSize() == phantom.ct.GetSize()
            assert image.GetSpacing() == pytest.approx((2.5, 2.5, 2.5))
            assert image.GetOrigin() == phantom.ct.GetOrigin()
        assert phantom.ct.GetPixelID() == sitk.sitkInt16
        assert phantom.emboli.GetPixelID() == sitk.sitkUInt16


def test_emboli_lie_in_arteries_alone_and_are_one_piece_each(coarse_cohort: list[Phantom]) -> None:
    for phantom in coarse_cohort:
        ids = array(phantom.emboli)
        assert (array(phantom.artery)[ids > 0] == 1).all()
        assert not (array(phantom.vein)[ids > 0]).any()
        pieces = cc3d.connected_components(ids > 0, connectivity=26)
        assert pieces.max() == ids.max() == len(phantom.facts["emboli"])
        assert len(np.unique(pieces[ids > 0].astype(int) * 1000 + ids[ids > 0])) == ids.max()


def test_facts_say_where_and_how_large_the_emboli_are(coarse_cohort: list[Phantom]) -> None:
    settings = coarse_settings()
    for phantom in coarse_cohort:
        ids = array(phantom.emboli)
        for fact in phantom.facts["emboli"]:
            voxels = np.argwhere(ids == fact["id"])
            assert len(voxels) * voxel_mm3(phantom.ct) == pytest.approx(fact["volume_mm3"], abs=0.1)
            assert fact["volume_mm3"] >= settings.min_embolus_mm3
            centre = phantom.ct.TransformContinuousIndexToPhysicalPoint(voxels.mean(axis=0)[::-1].tolist())
            assert centre == pytest.approx(fact["centre_lps_mm"], abs=0.1)


def test_all_kinds_of_emboli_occur_and_central_ones_have_a_rim_of_contrast(coarse_cohort: list[Phantom]) -> None:
    kinds = [fact["kind"] for phantom in coarse_cohort for fact in phantom.facts["emboli"]]
    assert set(kinds) == {"central", "mural", "occlusive"}
    bare = {"central": [], "occlusive": []}
    for phantom in coarse_cohort:
        ids, lumen = array(phantom.emboli), array(phantom.artery) > 0
        for fact in phantom.facts["emboli"]:
            if fact["kind"] in bare and fact["vessel_radius_mm"] > 4:
                clot = ids == fact["id"]
                shell = ndi.binary_dilation(clot, ndi.generate_binary_structure(3, 1)) & ~clot
                bare[fact["kind"]].append(float((~lumen[shell]).mean()))  # share of the surface that meets the wall
    assert np.median(bare["central"]) < 0.35 < np.median(bare["occlusive"])


def test_clot_has_its_own_attenuation(coarse_cohort: list[Phantom]) -> None:
    measured, expected = [], []
    for phantom in coarse_cohort:
        ids = array(phantom.emboli)
        for fact in phantom.facts["emboli"]:
            core = ndi.binary_erosion(ids == fact["id"])
            if core.sum() >= 40:
                measured.append(float(np.median(array(phantom.ct)[core])))
                expected.append(fact["hu"])
    assert len(measured) >= 6
    assert all(30 <= hu <= 90 for hu in expected)
    assert measured == pytest.approx(expected, abs=22)
    assert np.mean(np.subtract(measured, expected)) == pytest.approx(0, abs=10)


def test_arteries_are_as_bright_as_in_patients(coarse_cohort: list[Phantom]) -> None:
    levels = [(artery_core_hu(phantom), phantom.facts["contrast"]["poor"]) for phantom in coarse_cohort]
    measured = [(hu, poor) for hu, poor in levels if not np.isnan(hu)]
    assert len(measured) >= len(levels) - 2
    for hu, poor in measured:
        assert 140 < hu < 600
        assert (hu < 215) == poor
    assert 0 < sum(phantom.facts["contrast"]["poor"] for phantom in coarse_cohort) < len(coarse_cohort) / 2


@pytest.mark.parametrize("index", [0, 1, 5])
def test_contrast_to_noise_is_5_to_15(index: int, coarse_cohort: list[Phantom]) -> None:
    """(Median of arterial blood - muscle) / standard deviation of what blur alone does not explain."""
    settings, phantom = coarse_settings(), coarse_cohort[index]
    clean = blur(paint(compose(settings, 0, index), stream(0, index, "tissue")), settings.spacing_mm)
    inside = (clean > -900) & (clean < 2500)  # away from the ends of the scale
    noise = float((array(phantom.ct) - clean)[inside].std())
    assert 5 <= (artery_core_hu(phantom) - MUSCLE_HU) / noise <= 15


def test_there_are_at_least_as_many_lookalikes_as_emboli(coarse_cohort: list[Phantom]) -> None:
    kinds = set()
    for phantom in coarse_cohort:
        assert len(phantom.facts["lookalikes"]) >= max(1, len(phantom.facts["emboli"]))
        kinds |= {finding["kind"] for finding in phantom.facts["lookalikes"]}
    assert kinds >= {"unmixed contrast", "lymph node", "plugged bronchus", "unopacified vein", "caval streak"}


def test_negatives_have_no_emboli_and_their_share_holds_for_any_count(coarse_cohort: list[Phantom]) -> None:
    settings = coarse_settings()
    for index, phantom in enumerate(coarse_cohort):
        negative = settings.is_negative(0, index)
        assert phantom.facts["negative"] == negative == (not array(phantom.emboli).any())
    for count in (5, 10, 24):
        share = [settings.is_negative(7, index) for index in range(count)]
        assert abs(sum(share) - 0.2 * count) < 1
    assert all(replace(settings, negative_fraction=1.0).is_negative(0, index) for index in range(6))
    assert not any(replace(settings, negative_fraction=0.0).is_negative(0, index) for index in range(6))


def test_lungs_are_air_and_vessels_are_apart(coarse_cohort: list[Phantom]) -> None:
    for phantom in coarse_cohort[:4]:
        ct, lung = array(phantom.ct), array(phantom.lung) > 0
        assert -930 < np.median(ct[lung]) < -700
        assert 0.8e6 < lung.sum() * voxel_mm3(phantom.ct) < 5e6
        assert not ((array(phantom.artery) > 0) & (array(phantom.vein) > 0)).any()
        assert cc3d.connected_components(lung, connectivity=26, return_N=True)[1] < 40


def test_thick_slices_keep_truth_and_volume() -> None:
    fine = coarse_settings(negative_fraction=0.0)
    thick = replace(fine, spacing_mm=(5.0, 2.5, 2.5), min_embolus_voxels=4)
    phantom = make_phantom(thick, 0, 0)
    assert phantom.ct.GetSpacing() == pytest.approx((2.5, 2.5, 5.0))
    assert (array(phantom.artery)[array(phantom.emboli) > 0] == 1).all()
    volumes = [float(array(p.lung).sum()) * voxel_mm3(p.lung) for p in (phantom, make_phantom(fine, 0, 0))]
    assert volumes[0] == pytest.approx(volumes[1], rel=0.05)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("spacing_mm", (0.1, 1, 1)),
        ("spacing_mm", (1.0, 1.0)),
        ("thorax_width_mm", (370.0, 310.0)),
        ("negative_fraction", 1.5),
        ("emboli_per_scan", (0, 3)),
        ("artery_hu", (100.0, 300.0)),
    ],
)
def test_impossible_settings_are_refused_by_name(setting: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=setting) as caught:
        PhantomSettings(**{setting: value})  # type: ignore[arg-type]
    assert caught.value.code == "PE-PHA-001"


def test_emboli_that_fit_nowhere_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []
    monkeypatch.setattr(clots, "TRIES", 5)
    monkeypatch.setattr(clots, "_try_one", lambda *_: bool(tried.append(1)))
    grid = SimpleNamespace(shape=(4, 4, 4))
    settings, rng = PhantomSettings(emboli_per_scan=(1, 1)), np.random.default_rng(0)
    with pytest.raises(ConfigurationError, match="PE-PHA-001: no embolus of at least 0 mm3 and 4 voxels fits"):
        clots.place_emboli(None, None, grid, (1, 1, 1), settings, rng)  # type: ignore[arg-type]
    assert len(tried) == 12 + 5
