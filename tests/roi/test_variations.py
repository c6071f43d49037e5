"""What chests can be like, each made of one phantom whose lungs are known: the box must hold all of them.

Truth is the phantom's lung, also where it is filled with fluid, consolidated or collapsed: clot lies there too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from pe_nnunet.errors import InputError
from pe_nnunet.inference.search_region import lung_region
from pe_nnunet.phantom import coarse_settings, make_phantom
from pe_nnunet.roi import Roi, find_roi
from pe_nnunet.volumes import image_like, spacing_zyx
from pe_nnunet.voxels import Box

SPACING_MM = 2.5
MARGIN_MM = 10.0


@dataclass
class Chest:
    """Arrays (z, y, x) growing towards superior, posterior, left."""

    hu: np.ndarray
    lung: np.ndarray

    def image(self, spacing_xyz: tuple[float, float, float] = (SPACING_MM,) * 3) -> sitk.Image:
        image = sitk.GetImageFromArray(self.hu.astype(np.int16))
        image.SetSpacing(spacing_xyz)
        return image

    @property
    def box(self) -> Box:
        box = Box.around(self.lung)
        assert box is not None
        return box

    def fill(self, mean_hu: float, where: np.ndarray) -> None:
        """Fill a part of the lungs without leaving the film of half-air at their surface."""
        film = (self.hu < -150) & ndimage.binary_dilation(where & self.lung) & ~(self.lung & ~where)
        self.noise(mean_hu, where | film)

    def noise(self, mean_hu: float, where: np.ndarray) -> None:
        self.hu[where] = np.random.default_rng(1).normal(mean_hu, 15, np.count_nonzero(where))

    def side(self, name: str) -> np.ndarray:
        x = np.arange(self.hu.shape[2])
        return (x < x.mean() if name == "right" else x > x.mean())[None, None, :] & self.lung

    def height(self) -> np.ndarray:
        """0 at the lowest, 1 at the highest lung."""
        z = np.arange(self.hu.shape[0])
        return ((z - self.box.start[0]) / self.box.shape[0])[:, None, None]

    def depth(self) -> np.ndarray:
        """0 at the front, 1 at the back of the lungs."""
        y = np.arange(self.hu.shape[1])
        return ((y - self.box.start[1]) / self.box.shape[1])[None, :, None]

    def balls(self, hu: float, centres_zyx: list[tuple[float, float, float]], radius_mm: float) -> None:
        z, y, x = np.ogrid[tuple(slice(n) for n in self.hu.shape)]
        for cz, cy, cx in centres_zyx:
            ball = np.hypot(np.hypot(z - cz, y - cy), x - cx) * SPACING_MM < radius_mm
            self.noise(hu, np.broadcast_to(ball, self.hu.shape) & ~self.lung)


@pytest.fixture(scope="module")
def phantom() -> Chest:
    """With 50 mm more of abdomen below, for a box to be too large in."""
    made = make_phantom(coarse_settings(), seed=3, index=0)
    hu, lung = sitk.GetArrayFromImage(made.ct).astype(np.float32), sitk.GetArrayFromImage(made.lung) > 0
    below = np.repeat(hu[:1], 20, axis=0)
    below[(below < -150) & ndimage.binary_fill_holes(hu[0] > -150)] = 40  # neither lung tip nor stomach gas goes on
    below += np.random.default_rng(0).normal(0, 10, below.shape)
    return Chest(np.concatenate([below, hu]), np.pad(lung, ((20, 0), (0, 0), (0, 0))))


@pytest.fixture
def chest(phantom: Chest) -> Chest:
    return Chest(phantom.hu.copy(), phantom.lung.copy())


def held(roi: Roi, truth: Box) -> bool:
    return roi.box.union(truth) == roi.box


def ratio(roi: Roi, chest: Chest) -> float:
    wished = chest.box.grown(MARGIN_MM, (SPACING_MM,) * 3, chest.hu.shape)
    return roi.box.voxels / wished.voxels


def searched(chest: Chest) -> tuple[float, bool]:
    """The share of the lungs in which networks look for emboli, and whether they leave out part of the box."""
    region = lung_region(chest.image(), MARGIN_MM, "error")
    assert region.within is not None
    lung = chest.lung[region.box.slices]
    return float(lung[region.within].sum() / chest.lung.sum()), bool(region.within.mean() < 0.97)


def codes(roi: Roi) -> list[str]:
    return [note.code for note in roi.notes]


def test_as_it_is(chest: Chest) -> None:
    roi = find_roi(chest.image())
    assert (codes(roi), held(roi, chest.box)) == ([], True)
    assert ratio(roi, chest) < 1.1


@pytest.mark.parametrize("share", [0.25, 0.4])
def test_consolidation_of_both_bases(chest: Chest, share: float) -> None:
    chest.fill(60, chest.lung & (chest.height() < share))
    roi = find_roi(chest.image())
    assert codes(roi) == ["PE-ROI-008"]
    assert held(roi, chest.box)
    assert searched(chest) == (pytest.approx(1, abs=0.025), True)


@pytest.mark.parametrize("level", [0.45, 0.6])
def test_effusion_on_both_sides(chest: Chest, level: float) -> None:
    """A patient on the back: fluid fills the bases, and the back as high as its level."""
    chest.fill(10, chest.lung & ((chest.depth() > level) & (chest.height() < 0.7) | (chest.height() < 0.3)))
    roi = find_roi(chest.image())
    assert "PE-ROI-008" in codes(roi)
    assert held(roi, chest.box)
    assert searched(chest) == (pytest.approx(1, abs=0.025), True)


@pytest.mark.parametrize("side", ["right", "left"])
def test_effusion_or_consolidation_of_one_side_is_held_by_the_other(chest: Chest, side: str) -> None:
    chest.fill(25, chest.side(side) & (chest.height() < 0.45))
    roi = find_roi(chest.image())
    assert "PE-ROI-008" not in codes(roi)
    assert held(roi, chest.box)


@pytest.mark.parametrize("side", ["right", "left"])
def test_one_lung(chest: Chest, side: str) -> None:
    chest.fill(30, chest.side(side))
    roi = find_roi(chest.image())
    assert "PE-ROI-002" in codes(roi)
    assert held(roi, chest.box)


def test_emphysema(chest: Chest) -> None:
    """Dark lungs with bullae, the vessels left."""
    vessels = chest.lung & (chest.hu > -700)
    chest.noise(-955, chest.lung & ~vessels)
    bullae = ndimage.gaussian_filter(np.random.default_rng(2).normal(size=chest.hu.shape), 4)
    chest.noise(-995, chest.lung & ~vessels & (bullae > np.quantile(bullae, 0.9)) & (chest.height() > 0.5))
    roi = find_roi(chest.image())
    assert held(roi, chest.box)
    assert ratio(roi, chest) < 1.1


@pytest.mark.parametrize("share", [0.35, 1.0])
def test_pneumothorax(chest: Chest, share: float) -> None:
    """Air in front of a lung that is partly, or in whole, collapsed towards its hilum."""
    side = chest.side("right")
    deep = ndimage.distance_transform_edt(side) * SPACING_MM
    collapsed = deep > (30 if share == 1.0 else 0)
    chest.noise(-1000, side & ((chest.depth() < share) & ~collapsed if share == 1.0 else chest.depth() < share))
    if share == 1.0:
        chest.noise(-300, side & collapsed)
    roi = find_roi(chest.image())
    assert held(roi, chest.box)


def test_arms_down_on_a_table(chest: Chest) -> None:
    wide = Chest(np.pad(chest.hu, ((0, 0), (0, 0), (30, 30)), constant_values=-1000), chest.lung)
    wide.lung = np.pad(chest.lung, ((0, 0), (0, 0), (30, 30)))
    y, x = np.ogrid[: wide.hu.shape[1], : wide.hu.shape[2]]
    for centre in (19, wide.hu.shape[2] - 20):
        away_mm = np.hypot(y - 45, x - centre) * SPACING_MM
        wide.noise(40, np.broadcast_to((away_mm < 45) & (wide.hu[0] < -500), wide.hu.shape))
        wide.noise(900, np.broadcast_to(away_mm < 12, wide.hu.shape))
        wide.noise(-100, np.broadcast_to((away_mm < 8), wide.hu.shape))
    roi = find_roi(wide.image())
    assert (codes(roi), held(roi, wide.box)) == ([], True)
    assert ratio(roi, wide) < 1.1, "the arms are no part of it"


def test_foam_and_a_hollow_table(chest: Chest) -> None:
    back = chest.hu.shape[1] - 8
    chest.noise(-940, np.broadcast_to((np.arange(chest.hu.shape[1]) >= back)[None, :, None], chest.hu.shape))
    roi = find_roi(chest.image())
    assert (codes(roi), held(roi, chest.box)) == ([], True)
    assert ratio(roi, chest) < 1.1


@pytest.mark.parametrize(
    ("part", "where"),
    [
        (np.s_[45:], "below"),
        (np.s_[:70], "above"),
        (np.s_[:, :, 35:], "right"),
        (np.s_[:, :, :80], "left"),
        (np.s_[:, 18:], "in front"),
        (np.s_[:, :62], "behind"),
    ],
)
def test_a_field_of_view_that_cuts_the_lungs(chest: Chest, part: tuple[slice, ...], where: str) -> None:
    cut = Chest(np.ascontiguousarray(chest.hu[part]), np.ascontiguousarray(chest.lung[part]))
    roi = find_roi(cut.image())
    (note,) = [note for note in roi.notes if note.code == "PE-ROI-005"]
    assert where in note.message
    assert held(roi, cut.box)


def test_abdomen_and_neck_with_bowel_gas(chest: Chest) -> None:
    """From the chin to the pelvis: windpipe above, gas of stomach and colon below, some against the diaphragm."""
    depth, rows, columns = chest.hu.shape
    neck, abdomen = np.repeat(chest.hu[-1:], 40, axis=0), np.repeat(chest.hu[:1], 100, axis=0)
    chest.hu = np.concatenate([abdomen, chest.hu, neck])
    chest.lung = np.pad(chest.lung, ((100, 40), (0, 0), (0, 0)))
    middle, side = rows // 2, columns // 2
    colon = [(z, middle - 12 + 6 * np.sin(z / 5), side + 25 * np.cos(z / 7)) for z in range(5, 105, 4)]
    chest.balls(-990, colon, 20)
    chest.balls(-995, [(112, middle - 8, side + 28)], 45)
    chest.balls(-990, [(depth + 130, middle - 15, side)], 18)
    roi = find_roi(chest.image())
    assert held(roi, chest.box)
    assert "PE-ROI-002" not in codes(roi)
    assert ratio(roi, chest) < 1.25


def test_padding_around_a_round_field_of_view(chest: Chest) -> None:
    y, x = np.ogrid[: chest.hu.shape[1], : chest.hu.shape[2]]
    outside = np.hypot((y - chest.hu.shape[1] / 2) / 47, (x - chest.hu.shape[2] / 2) / 56) > 1
    chest.hu[:, outside] = -1024
    roi = find_roi(chest.image())
    assert (codes(roi), held(roi, chest.box)) == ([], True)
    assert ratio(roi, chest) < 1.1


@pytest.mark.parametrize("spacing_z_mm", [5.0, 0.5])
def test_thick_and_thin_slices(chest: Chest, spacing_z_mm: float) -> None:
    size = [*chest.hu.shape[:0:-1], int(chest.hu.shape[0] * SPACING_MM / spacing_z_mm)]
    spacing = (SPACING_MM, SPACING_MM, spacing_z_mm)
    image = chest.image()
    lung = image_like(chest.lung, image)
    place = ((0.0, 0.0, 0.0), spacing, image.GetDirection())
    thick = sitk.Resample(image, size, sitk.Transform(), sitk.sitkLinear, *place, -1000)
    truth = sitk.GetArrayFromImage(sitk.Resample(lung, size, sitk.Transform(), sitk.sitkNearestNeighbor, *place, 0)) > 0
    tight = Box.around(truth)
    assert tight is not None
    roi = find_roi(thick)
    assert (codes(roi), held(roi, tight)) == ([], True)
    assert roi.box.voxels < 1.15 * tight.grown(MARGIN_MM, spacing_zyx(thick), truth.shape).voxels


@pytest.mark.parametrize(
    "change",
    [lambda hu: hu + 1024, lambda hu: np.clip((hu + 1000) / 8, 0, 255), lambda hu: (hu + 1024) / 4096],
    ids=["HU + 1024", "8 bits", "0..1"],
)
def test_values_that_are_no_hu_are_refused(chest: Chest, change: Callable[[np.ndarray], np.ndarray]) -> None:
    image = sitk.GetImageFromArray(change(chest.hu).astype(np.float32))
    image.SetSpacing((SPACING_MM,) * 3)
    with pytest.raises(InputError, match=r"PE-ROI-001.*in HU"):
        find_roi(image)
