"""Artery diameters of tubes of known width, in lung and in soft tissue, on grids as scanners make them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from pe_nnunet.fusion import FusionSettings, find_emboli
from pe_nnunet.outputs import artery_diameters_mm
from pe_nnunet.outputs.artery import artery_diameter_mm, level_of
from pe_nnunet.phantom import coarse_settings, make_phantom
from pe_nnunet.volumes.geometry import spacing_zyx
from pe_nnunet.voxels import boxes_by_id

LUNG, TISSUE, BLOOD, CLOT = -850.0, 40.0, 350.0, 60.0


def tube(
    diameter_mm: float,
    *,
    clot_mm: float,
    around: float = LUNG,
    spacing: tuple[float, float, float] = (1.0, 0.75, 0.75),
    axis: int = 0,
    noise: float = 15.0,
) -> tuple[sitk.Image, np.ndarray]:
    """A straight tube with a clot of 16 mm length in its middle: with a scanner's soft edges, and the clot."""
    side = max(40.0, diameter_mm + 20.0)
    shape = [round(side / s) for s in spacing]
    centred = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing, strict=True)]
    place = list(np.meshgrid(*centred, indexing="ij"))
    along = place.pop(axis)
    away = np.hypot(*place)

    def share(distance: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(distance / 0.35))

    inside = share(away - diameter_mm / 2)
    clotted = share(np.maximum(away - clot_mm / 2, abs(along) - 8))
    hu = around + inside * (BLOOD - around) + np.minimum(clotted, inside) * (CLOT - BLOOD)
    hu += np.random.default_rng(0).normal(0, noise, hu.shape)
    image = sitk.GetImageFromArray(np.round(hu).astype(np.int16))
    image.SetSpacing(spacing[::-1])
    angle = np.deg2rad(20)
    image.SetDirection((np.cos(angle), 0, np.sin(angle), 0, 1, 0, -np.sin(angle), 0, np.cos(angle)))
    image.SetOrigin((7.0, -120.0, 33.0))
    return image, (clotted >= 0.5).astype(np.uint8)


def measured(image: sitk.Image, clot: np.ndarray) -> float:
    return artery_diameter_mm(image, clot, 1, boxes_by_id(clot)[1])


@pytest.mark.parametrize("around", [LUNG, TISSUE])
@pytest.mark.parametrize("diameter_mm", [4.0, 6.0, 10.0, 22.0])
def test_a_clot_amid_blood(diameter_mm: float, around: float) -> None:
    image, clot = tube(diameter_mm, clot_mm=0.6 * diameter_mm, around=around)
    assert measured(image, clot) == pytest.approx(diameter_mm, abs=0.9)


@pytest.mark.parametrize("diameter_mm", [3.0, 5.0, 9.0])
@pytest.mark.parametrize("axis", [0, 2])
def test_a_clot_from_wall_to_wall(diameter_mm: float, axis: int) -> None:
    image, clot = tube(diameter_mm, clot_mm=diameter_mm, axis=axis)
    assert measured(image, clot) == pytest.approx(diameter_mm, abs=0.9)


@pytest.mark.parametrize("spacing", [(0.6, 0.6, 0.6), (2.5, 0.7, 0.7)])
def test_whatever_the_voxels(spacing: tuple[float, float, float]) -> None:
    image, clot = tube(8.0, clot_mm=5.0, spacing=spacing, axis=2)
    assert measured(image, clot) == pytest.approx(8.0, abs=1.5)


def test_a_faint_and_noisy_scan() -> None:
    image, clot = tube(8.0, clot_mm=5.0, noise=45.0)
    faint = sitk.Cast(sitk.Clamp(image, upperBound=210), sitk.sitkInt16)
    assert measured(faint, clot) == pytest.approx(8.0, abs=1.2)


def test_a_single_voxel_at_the_border_has_an_answer() -> None:
    image, clot = tube(4.0, clot_mm=2.0)
    clot[:] = 0
    clot[0, 0, 0] = 1
    assert 0 < measured(image, clot) < 40


def test_voxels_that_touch_by_their_corners_alone_are_measured() -> None:
    image, clot = tube(6.0, clot_mm=3.0, spacing=(2.0, 2.0, 2.0))
    middle = np.array(clot.shape) // 2
    clot[:] = 0
    for k in range(-2, 3):
        clot[middle[0] + k, middle[1] + k % 2, middle[2] - k % 2] = 1
    assert measured(image, clot) == pytest.approx(6.0, abs=2.0)


def test_every_kept_embolus_has_a_level() -> None:
    image, clot = tube(5.5, clot_mm=5.0)
    probability = np.where(clot > 0, 0.9, 0).astype(np.float32)
    probability[2, 2, 2] = 0.3
    emboli = find_emboli(probability, spacing_zyx(image), FusionSettings(min_volume_mm3=0))
    assert len(emboli.candidates) == 2
    diameters = artery_diameters_mm(image, emboli)
    assert list(diameters) == [1]
    assert level_of(diameters[1]) == "segmental"
    assert diameters[1] == pytest.approx(5.5, abs=0.9)
    assert artery_diameters_mm(image, replace(emboli, candidates=())) == {}


def test_agrees_with_the_phantoms_tree() -> None:
    """Coarse voxels of 2.5 mm, the true emboli as findings; the tree's radius is where each embolus began to grow."""
    true, found = [], []
    for index in (5, 9):
        phantom = make_phantom(coarse_settings(), seed=0, index=index)
        labels = sitk.GetArrayFromImage(phantom.emboli)
        boxes = boxes_by_id(labels)
        for embolus in phantom.facts["emboli"]:
            true.append(2 * embolus["vessel_radius_mm"])
            found.append(artery_diameter_mm(phantom.ct, labels, embolus["id"], boxes[embolus["id"]]))
    assert len(true) == 8
    assert np.corrcoef(true, found)[0, 1] > 0.9
    assert np.mean(np.abs(np.subtract(true, found))) < 1.6
    assert np.mean([level_of(t) == level_of(f) for t, f in zip(true, found, strict=True)]) >= 0.7
