"""Ventricles of known widths, and what is said where masks do not allow one."""

from __future__ import annotations

import numpy as np
import pytest

from pe_nnunet.burden.ventricles import measure_ventricles
from pe_nnunet.phantom.heart_chambers import exact_widths_mm, heart_chambers
from pe_nnunet.volumes.geometry import image_like

SPACING = (3.0, 2.0, 2.0)


@pytest.fixture(scope="module")
def heart():
    return heart_chambers(SPACING, np.random.default_rng(0))


def test_widths_and_volumes_are_those_that_were_drawn(heart):
    found = measure_ventricles(heart.masks)
    assert found.missing == ()
    for view in (found.axial, found.four_chamber):
        exact = exact_widths_mm(heart, view.planes)
        np.testing.assert_allclose((view.right.length_mm, view.left.length_mm), exact, atol=2.0)
        assert view.ratio == pytest.approx(exact[0] / exact[1], rel=0.04)
    assert found.right_ml / found.left_ml == pytest.approx(heart.volume_ratio, rel=0.01)


def test_axial_lines_lie_in_one_slice(heart):
    axial = measure_ventricles(heart.masks).axial
    for chord in (axial.right, axial.left):
        assert chord.start_mm[0] == chord.end_mm[0]
        assert chord.start_mm[0] % SPACING[0] == 0


def test_without_atria_volumes_alone(heart):
    found = measure_ventricles({name: m for name, m in heart.masks.items() if "ventricle" in name})
    assert (found.axial, found.four_chamber) == (None, None)
    assert found.missing == ("diameters need a mask of the right atrium and the left atrium",)
    assert found.right_ml > 0


def test_without_a_ventricle_nothing(heart):
    left = heart.masks["heart_ventricle_left"]
    empty = image_like(np.zeros(left.GetSize()[::-1], np.uint8), left)
    assert measure_ventricles({**heart.masks, "heart_ventricle_left": empty}) is None
    assert measure_ventricles({}) is None


def test_an_atrium_far_from_its_ventricle_has_no_valve(heart):
    swapped = {**heart.masks, "heart_atrium_left": heart.masks["heart_atrium_right"]}
    found = measure_ventricles(swapped)
    assert found.axial is None
    assert "left atrium and ventricle are more than 10 mm apart" in found.missing[0]
