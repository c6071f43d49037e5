from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from pe_nnunet.errors import GeometryError
from pe_nnunet.volumes import from_lps, image_like, require_same_grid, spacing_zyx, to_lps
from pe_nnunet.volumes.geometry import lps_axes
from pe_nnunet.volumes.lps_arrays import lps_view

AXIS_ALIGNED = [
    np.diag(signs)[:, order] for order in permutations(range(3)) for signs in product((1.0, -1.0), repeat=3)
]


def rotation(axis: tuple[float, float, float], angle: float) -> np.ndarray:
    transform = sitk.VersorTransform(axis, angle)
    return np.array(transform.GetMatrix()).reshape(3, 3)


def numbered(direction: np.ndarray, size_xyz: tuple[int, int, int] = (4, 3, 5)) -> sitk.Image:
    image = sitk.GetImageFromArray(np.arange(np.prod(size_xyz), dtype=np.int32).reshape(size_xyz[::-1]))
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((-101.25, 17.5, -300.125))
    image.SetDirection(direction.ravel().tolist())
    return image


def places(image: sitk.Image) -> dict[int, np.ndarray]:
    """Where each voxel, known by its value, lies in LPS mm."""
    return {
        int(image[index]): np.array(image.TransformIndexToPhysicalPoint(index))
        for index in product(*(range(n) for n in image.GetSize()))
    }


def same_grid_exactly(a: sitk.Image, b: sitk.Image) -> bool:
    return (a.GetSize(), a.GetOrigin(), a.GetSpacing(), a.GetDirection()) == (
        b.GetSize(),
        b.GetOrigin(),
        b.GetSpacing(),
        b.GetDirection(),
    )


@pytest.mark.parametrize("direction", AXIS_ALIGNED)
def test_to_lps_moves_no_voxel_in_space_and_comes_back_bit_by_bit(direction: np.ndarray) -> None:
    image = numbered(direction)
    upright = to_lps(image)
    np.testing.assert_allclose(np.array(upright.GetDirection()).reshape(3, 3), np.eye(3), atol=1e-12)
    before, after = places(image), places(upright)
    assert before.keys() == after.keys()
    assert all(np.allclose(before[value], after[value], atol=1e-9) for value in before)
    back = from_lps(upright, image)
    assert same_grid_exactly(back, image)
    assert np.array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(image))


unit = st.floats(-1, 1).filter(lambda v: abs(v) > 1e-3)


@settings(max_examples=60, deadline=None)
@given(
    base=st.sampled_from(AXIS_ALIGNED),
    axis=st.tuples(unit, unit, unit),
    angle=st.floats(-3.2, 3.2),
    size=st.tuples(*[st.integers(1, 6)] * 3),
)
def test_oblique_images_come_back_bit_by_bit(
    base: np.ndarray, axis: tuple[float, float, float], angle: float, size: tuple[int, int, int]
) -> None:
    direction = rotation(axis, angle) @ base
    image = numbered(direction, size)
    upright = to_lps(image)
    before, after = places(image), places(upright)
    assert all(np.allclose(before[value], after[value], atol=1e-6) for value in before)
    back = from_lps(upright, image)
    assert same_grid_exactly(back, image)
    assert np.array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(image))


@settings(max_examples=60, deadline=None)
@given(base=st.sampled_from(AXIS_ALIGNED), axis=st.tuples(unit, unit, unit), angle=st.floats(-0.6, 0.6))
def test_a_tilt_under_35_degrees_keeps_the_axes_of_the_upright_image(
    base: np.ndarray, axis: tuple[float, float, float], angle: float
) -> None:
    assert lps_axes(numbered(rotation(axis, angle) @ base)) == lps_axes(numbered(base))


def test_lps_axes_agree_with_itk_on_axis_aligned_images() -> None:
    for direction in AXIS_ALIGNED:
        image = numbered(direction)
        oriented = sitk.DICOMOrient(image, "LPS")
        upright = to_lps(image)
        assert np.array_equal(sitk.GetArrayFromImage(oriented), sitk.GetArrayFromImage(upright))
        assert np.allclose(oriented.GetOrigin(), upright.GetOrigin())


def test_from_lps_takes_another_pixel_type_and_refuses_another_size() -> None:
    image = numbered(AXIS_ALIGNED[29])
    probability = sitk.Cast(to_lps(image), sitk.sitkFloat32) * 0.5
    assert from_lps(probability, image).GetPixelID() == sitk.sitkFloat32
    with pytest.raises(GeometryError, match="PE-GEO-001"):
        from_lps(numbered(np.eye(3), (2, 2, 2)), image)


def test_an_image_in_lps_axes_is_not_copied() -> None:
    image, moved = numbered(np.eye(3)), numbered(np.eye(3))
    assert to_lps(image) is image
    assert from_lps(image, image) is image
    moved.SetOrigin((1, 2, 3))
    assert from_lps(image, moved).GetOrigin() == (1, 2, 3)
    assert image.GetOrigin() != (1, 2, 3)


@pytest.mark.parametrize("direction", AXIS_ALIGNED)
def test_an_array_is_turned_as_its_image_without_a_copy(direction: np.ndarray) -> None:
    image = numbered(direction)
    array = sitk.GetArrayFromImage(image)
    turned = lps_view(array, image)
    assert np.array_equal(turned, sitk.GetArrayFromImage(to_lps(image)))
    assert np.shares_memory(turned, array)


def test_image_like_and_spacing() -> None:
    image = numbered(np.eye(3))
    assert spacing_zyx(image) == (2.5, 0.8, 0.7)
    mask = image_like(sitk.GetArrayFromImage(image) > 3, image)
    assert mask.GetPixelID() == sitk.sitkUInt8
    assert same_grid_exactly(mask, image)
    with pytest.raises(GeometryError, match="PE-GEO-001"):
        image_like(np.zeros((4, 3, 5)), image)


def test_same_grid_forgives_rounding_only() -> None:
    image = numbered(np.eye(3))
    label = numbered(np.eye(3))
    label.SetOrigin(tuple(v + 0.03 for v in image.GetOrigin()))
    require_same_grid(image, label, "the label")
    label.SetOrigin(tuple(v + 0.2 for v in image.GetOrigin()))
    with pytest.raises(GeometryError, match=r"PE-GEO-002: the label lies up to 0.35 mm"):
        require_same_grid(image, label, "the label")
    with pytest.raises(GeometryError, match="PE-GEO-001"):
        require_same_grid(image, numbered(np.eye(3), (4, 3, 6)), "the label")
    with pytest.raises(GeometryError, match="PE-GEO-002"):
        require_same_grid(image, numbered(np.diag([-1.0, -1.0, 1.0])), "the label")
