from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from pe_nnunet.errors import GeometryError
from pe_nnunet.roi import crop, paste
from pe_nnunet.volumes import to_lps
from pe_nnunet.voxels import Box

unit = st.floats(-1, 1).filter(lambda v: abs(v) > 1e-3)


@st.composite
def images_and_boxes(draw: st.DrawFn) -> tuple[sitk.Image, Box]:
    shape = draw(st.tuples(*[st.integers(1, 7)] * 3))
    start = tuple(draw(st.integers(0, n - 1)) for n in shape)
    stop = tuple(draw(st.integers(a + 1, n)) for a, n in zip(start, shape, strict=True))
    image = sitk.GetImageFromArray(np.arange(1, np.prod(shape) + 1, dtype=np.int32).reshape(shape))
    image.SetSpacing(draw(st.tuples(*[st.floats(0.3, 5)] * 3)))
    image.SetOrigin(draw(st.tuples(*[st.floats(-500, 500)] * 3)))
    rotation = np.array(sitk.VersorTransform(draw(st.tuples(unit, unit, unit)), draw(st.floats(-3, 3))).GetMatrix())
    flips = np.diag(draw(st.tuples(*[st.sampled_from([1.0, -1.0])] * 3)))
    image.SetDirection((rotation.reshape(3, 3) @ flips).ravel().tolist())
    return image, Box(start, stop)


def voxels(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image)


def grid(image: sitk.Image) -> tuple[object, ...]:
    return image.GetSize(), image.GetOrigin(), image.GetSpacing(), image.GetDirection()


@settings(max_examples=80, deadline=None)
@given(images_and_boxes())
def test_paste_undoes_crop_on_any_grid(case: tuple[sitk.Image, Box]) -> None:
    image, box = case
    part = crop(image, box)
    x, y, z = box.start[::-1]
    assert np.allclose(part.GetOrigin(), image.TransformIndexToPhysicalPoint((x, y, z)))
    upright = to_lps(image)
    fitting = Box.around(np.isin(voxels(upright), voxels(part)))
    whole = paste(voxels(crop(upright, fitting)), fitting, image)
    assert grid(whole) == grid(image)
    before, after = voxels(image), voxels(whole)
    assert np.array_equal(before[box.slices], after[box.slices])
    assert np.count_nonzero(after) == box.voxels


@settings(max_examples=40, deadline=None)
@given(images_and_boxes(), st.randoms(use_true_random=False))
def test_a_result_in_a_box_of_the_lps_image_comes_back_to_the_source_grid(
    case: tuple[sitk.Image, Box], random: object
) -> None:
    """The way of a prediction: to LPS, crop, predict, paste, back; every voxel ends where it began."""
    source, _ = case
    upright = to_lps(source)
    shape = upright.GetSize()[::-1]
    start = tuple(random.randint(0, n - 1) for n in shape)
    box = Box(start, tuple(random.randint(a + 1, n) for a, n in zip(start, shape, strict=True)))
    predicted = voxels(crop(upright, box)).astype(np.float32)
    back = paste(predicted, box, source, fill=-1)
    assert grid(back) == grid(source)
    before, after = sitk.GetArrayFromImage(source), sitk.GetArrayFromImage(back)
    assert np.array_equal(after[after >= 0], before[after >= 0])
    assert np.count_nonzero(after >= 0) == box.voxels


def test_what_does_not_fit_is_refused() -> None:
    image = sitk.GetImageFromArray(np.zeros((3, 4, 5), np.uint8))
    with pytest.raises(GeometryError, match="PE-GEO-001"):
        crop(image, Box((0, 0, 0), (4, 4, 5)))
    with pytest.raises(GeometryError, match="PE-GEO-001"):
        paste(voxels(image), Box((0, 0, 0), (2, 4, 5)), image)
    with pytest.raises(GeometryError, match="PE-GEO-001"):
        paste(voxels(image), Box((1, 0, 0), (4, 4, 5)), image)


def test_pixel_type_and_fill_are_the_parts() -> None:
    image = sitk.GetImageFromArray(np.zeros((3, 4, 5), np.int16))
    part = np.full((1, 1, 1), 0.5, np.float32)
    whole = paste(part, Box((1, 1, 1), (2, 2, 2)), image, fill=-1.5)
    values = sitk.GetArrayFromImage(whole)
    assert values.dtype == np.float32
    assert np.unique(values).tolist() == [-1.5, 0.5]


def test_a_large_part_is_pasted_in_slabs(peak_bytes: Callable[[Callable[[], object]], int]) -> None:
    part = np.arange(80 * 32 * 32, dtype=np.float32).reshape(80, 32, 32)[::-1]
    image = sitk.GetImageFromArray(np.zeros((81, 32, 32), np.uint8))
    whole = voxels(paste(part, Box((1, 0, 0), (81, 32, 32)), image))
    assert np.array_equal(whole[1:], part)
    assert not whole[0].any()
    assert peak_bytes(lambda: paste(part, Box((1, 0, 0), (81, 32, 32)), image)) < part.nbytes / 2
