from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from pe_nnunet.errors import InputError
from pe_nnunet.roi import find_lungs, find_roi
from pe_nnunet.roi.coarse import with_neighbours
from pe_nnunet.volumes import image_like, spacing_zyx
from pe_nnunet.voxels import Box


def voxels(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b)))


def truth(make_thorax, **options) -> np.ndarray:
    """The lungs of the schematic thorax: what is of lung density without gas."""
    hu = ndimage.median_filter(voxels(make_thorax(gas=False, **options)), 3)
    return (hu < -700) & (hu > -930)


def test_lungs_without_trachea_stomach_table_and_outside(make_thorax) -> None:
    image = make_thorax()
    lungs = find_lungs(image)
    mask = voxels(lungs.mask)
    assert (lungs.notes, lungs.one_sided) == ((), False)
    assert lungs.mask.GetPixelID() == sitk.sitkUInt8
    assert set(np.unique(mask)) == {0, 1}
    assert dice(mask > 0, truth(make_thorax)) > 0.97
    assert not mask[:, 32, 45].any(), "the trachea"
    assert not mask[5, 27, 65].any(), "the stomach"


def test_the_box_is_the_lungs_with_the_margin(make_thorax) -> None:
    image = make_thorax()
    tight = Box.around(truth(make_thorax))
    roi = find_roi(image, margin_mm=10.0)
    wished = tight.grown(10.0, spacing_zyx(image), voxels(image).shape)
    assert roi.box.union(tight) == roi.box
    assert roi.box.voxels <= 1.1 * wished.voxels
    assert find_roi(image, margin_mm=0.0).box.voxels < roi.box.voxels


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_any_orientation_gives_the_same_lungs(make_thorax, order: tuple[int, int, int]) -> None:
    image = make_thorax()
    expected = voxels(find_lungs(image).mask)
    for flips in product((False, True), repeat=3):
        turned = sitk.Flip(sitk.PermuteAxes(image, order), flips, flipAboutOrigin=False)
        mask = find_lungs(turned).mask
        assert mask.GetDirection() == turned.GetDirection()
        assert mask.GetOrigin() == turned.GetOrigin()
        back = sitk.PermuteAxes(sitk.Flip(mask, flips, flipAboutOrigin=False), [order.index(k) for k in range(3)])
        assert np.array_equal(voxels(back), expected)


@pytest.mark.parametrize("spacing_xyz", [(0.8, 0.8, 1.0), (1.0, 1.0, 5.0), (1.7, 1.7, 0.7), (3.1, 2.9, 3.3)])
def test_any_spacing(make_thorax, spacing_xyz: tuple[float, float, float]) -> None:
    image = make_thorax()
    size = [int(n * s / t) for n, s, t in zip(image.GetSize(), image.GetSpacing(), spacing_xyz, strict=True)]
    place = (sitk.Transform(), sitk.sitkNearestNeighbor, image.GetOrigin(), spacing_xyz, image.GetDirection())
    fine = sitk.Resample(image, size, *place, -1000)
    lung = sitk.Resample(image_like(truth(make_thorax), image), size, *place, 0)
    assert dice(voxels(find_lungs(fine).mask) > 0, voxels(lung) > 0) > 0.95


def test_float_images_and_oblique_ones(make_thorax) -> None:
    image = make_thorax()
    expected = voxels(find_lungs(image).mask)
    tilted = sitk.Cast(image, sitk.sitkFloat32)
    rotation = sitk.VersorTransform((0.1, 0.2, 0.97), 0.3).GetMatrix()
    tilted.SetDirection(rotation)
    found = find_lungs(tilted).mask
    assert found.GetDirection() == tilted.GetDirection()
    assert dice(voxels(found) > 0, expected > 0) > 0.99


@pytest.mark.parametrize("side", ["left", "right"])
def test_one_lung_missing_keeps_the_whole_width_of_the_body(make_thorax, side: str) -> None:
    image = make_thorax(**{side: False})
    roi = find_roi(image)
    assert [note.code for note in roi.notes] == ["PE-ROI-002"]
    assert roi.lungs is not None
    assert roi.lungs.one_sided
    body = Box.around(voxels(image)[:, :56] > -300)  # without the table
    assert roi.box.start[2] <= body.start[2]
    assert roi.box.stop[2] >= body.stop[2]
    assert roi.box.shape[0] < image.GetSize()[2], "the height stays that of the lung"


def test_a_collapsed_lung_counts_as_missing(make_thorax) -> None:
    image = make_thorax()
    hu = voxels(image)
    hu[:, :, :45][truth(make_thorax)[:, :, :45] & (np.arange(70) < 50)[:, None, None]] = 30
    roi = find_roi(image_like(hu, image))
    assert [note.code for note in roi.notes] == ["PE-ROI-002"]
    assert roi.box.start[2] <= 8
    assert roi.box.stop[2] >= 82


def test_lungs_that_touch_before_the_heart_are_two(make_thorax) -> None:
    image = make_thorax()
    hu = voxels(image)
    hu[38:55, 20:26, 30:60] = -850
    assert find_lungs(image_like(hu, image)).notes == ()


def test_a_round_field_of_view_that_cuts_the_lungs(make_thorax) -> None:
    image = make_thorax()
    hu = voxels(image)
    y, x = np.mgrid[: hu.shape[1], : hu.shape[2]]
    outside = np.hypot(y - 32, x - 45) > 28
    hu[:, outside] = -1024
    seen = truth(make_thorax) & ~outside
    assert seen.sum() < 0.99 * truth(make_thorax).sum(), "the field of view does cut them"
    roi = find_roi(image_like(hu, image))
    assert roi.lungs is not None
    assert dice(voxels(roi.lungs.mask) > 0, seen) > 0.9
    assert roi.box.union(Box.around(seen)) == roi.box


def test_an_image_cropped_close_to_the_lungs(make_thorax) -> None:
    image, lung = make_thorax(), truth(make_thorax)
    box = Box.around(lung).grown(4, (4, 4, 4), lung.shape)
    cut = sitk.RegionOfInterest(image, box.shape[::-1], box.start[::-1])
    assert dice(voxels(find_lungs(cut).mask) > 0, lung[box.slices]) > 0.97


def test_dark_lungs_with_vessels_are_lungs_and_even_gas_is_not(make_thorax) -> None:
    image, lung = make_thorax(), truth(make_thorax)
    hu = voxels(image)
    rng = np.random.default_rng(0)
    hu[lung] = rng.normal(-975, 10, np.count_nonzero(lung))
    with pytest.raises(InputError, match="PE-ROI-001"):
        find_lungs(image_like(hu, image))
    vessels = ndimage.gaussian_filter(rng.normal(size=hu.shape), 1)
    hu[lung & (vessels > np.quantile(vessels, 0.93))] = -850
    assert dice(voxels(find_lungs(image_like(hu, image)).mask) > 0, lung) > 0.95


def in_air(values: np.ndarray) -> sitk.Image:
    image = sitk.GetImageFromArray(values.astype(np.int16))
    image.SetSpacing((5.0, 5.0, 5.0))
    return image


def no_lungs(kind: str) -> sitk.Image:
    z, y, x = np.mgrid[:40, :60, :80]
    body = np.where(((y - 30) / 22) ** 2 + ((x - 40) / 32) ** 2 < 1, 30, -1000)
    rng = np.random.default_rng(0)
    if kind == "abdomen":
        for cz, cy, cx in rng.integers((4, 20, 18), (36, 42, 62), (14, 3)):
            body[(z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2 < rng.uniform(2, 7) ** 2] = -990
    constant = {"air": -1000, "zero": 0, "lung density": -850}
    if kind in constant:
        return in_air(np.full(body.shape, constant[kind]))
    return in_air(body + rng.normal(0, 15, body.shape))


@pytest.mark.parametrize("kind", ["water", "abdomen", "air", "zero", "lung density"])
def test_38_no_lungs(kind: str) -> None:
    image = no_lungs(kind)
    with pytest.raises(InputError, match=r"PE-ROI-001.*--on-no-lungs full-volume"):
        find_lungs(image)
    with pytest.raises(InputError, match="PE-ROI-001"):
        find_roi(image)
    roi = find_roi(image, on_no_lungs="full-volume")
    assert (roi.box, roi.lungs) == (Box((0, 0, 0), (40, 60, 80)), None)
    assert [note.code for note in roi.notes] == ["PE-ROI-003"]


def test_38_flat_images_have_no_lungs() -> None:
    image = in_air(np.random.default_rng(0).normal(-200, 300, (1, 64, 64)))
    with pytest.raises(InputError, match="PE-ROI-001"):
        find_lungs(image)


def test_with_neighbours_is_dilation_by_a_cube() -> None:
    mask = np.random.default_rng(0).random((9, 8, 7)) > 0.97
    assert np.array_equal(with_neighbours(mask), ndimage.binary_dilation(mask, np.ones((3, 3, 3))))
