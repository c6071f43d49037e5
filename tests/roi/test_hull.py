"""What lies between the lungs, and what does not."""

import numpy as np
import pytest
import SimpleITK as sitk

from pe_nnunet.roi import coarse_hull, lung_hull


def two_lungs(spacing_zyx):
    """Two balls of 40 mm radius, 120 mm apart, in a volume of 120 x 120 x 260 mm."""
    shape = [round(mm / s) for mm, s in zip((120, 120, 260), spacing_zyx, strict=True)]
    z, y, x = np.meshgrid(*((np.arange(n) + 0.5) * s for n, s in zip(shape, spacing_zyx, strict=True)), indexing="ij")
    lungs = np.minimum(np.hypot(np.hypot(z - 60, y - 60), x - 70), np.hypot(np.hypot(z - 60, y - 60), x - 190)) < 40
    image = sitk.GetImageFromArray(lungs.astype(np.uint8))
    image.SetSpacing([float(s) for s in spacing_zyx[::-1]])
    return image, lungs, (z, y, x)


@pytest.mark.parametrize("spacing", [(1.5, 1.0, 1.0), (5.0, 2.0, 2.0), (4.0, 4.0, 4.0)])
def test_between_the_lungs_is_inside_and_the_wall_is_not(spacing):
    image, lungs, (z, y, x) = two_lungs(spacing)
    hull = lung_hull(image, margin_mm=10)
    assert hull.shape == lungs.shape
    assert hull[lungs].all()
    radius = np.hypot(z - 60, y - 60)
    assert hull[(radius < 38) & (x > 70) & (x < 190)].all()  # a central artery
    assert not hull[(radius > 40 + 10 + 1.5 * np.linalg.norm(np.maximum(spacing, 4)))].any()
    assert not hull[x > 190 + 40 + 10 + 1.5 * np.linalg.norm(np.maximum(spacing, 4))].any()


def test_flat_lungs_leave_everything():
    mask = np.zeros((4, 40, 40), np.uint8)
    mask[2, 10:30, 10:30] = 1
    assert lung_hull(sitk.GetImageFromArray(mask)).all()
    assert lung_hull(sitk.GetImageFromArray(np.zeros((4, 40, 40), np.uint8))).all()


def test_the_hull_is_that_of_blocks():
    image, _, _ = two_lungs((3.0, 2.0, 1.0))
    image = image[3:, 2:, 1:]  # sides that blocks do not divide
    blocks, step = coarse_hull(image, 3.0)
    hull = lung_hull(image)
    assert step == (1, 2, 4)
    assert hull.shape == image.GetSize()[::-1]
    assert hull.flags.c_contiguous
    np.testing.assert_array_equal(hull[:: step[0], :: step[1], :: step[2]], blocks)
    np.testing.assert_array_equal(hull[1 :: step[0], 1 :: step[1], 3 :: step[2]], blocks[1:, :, :64])
