"""A schematic thorax of any orientation, and the real data where they are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import SimpleITK as sitk

MakeThorax = Callable[..., sitk.Image]


def ellipsoid(mm: np.ndarray, centre: tuple[float, float, float], radii: tuple[float, float, float]) -> np.ndarray:
    return sum(((mm[k] - centre[k]) / radii[k]) ** 2 for k in range(3)) < 1


@pytest.fixture
def make_thorax() -> MakeThorax:
    """Two lungs of 1.2 litres, heart, spine, table, trachea and stomach gas in a body, at 4 mm in LPS."""

    def make(*, left: bool = True, right: bool = True, gas: bool = True, spacing_mm: float = 4.0) -> sitk.Image:
        z, y, x = (int(n / spacing_mm) for n in (280, 280, 360))
        mm = (np.mgrid[:z, :y, :x] + 0.5) * spacing_mm - np.array([140, 130, 180])[:, None, None, None]
        hu = np.full((z, y, x), -1000.0)
        hu[(mm[1] / 100) ** 2 + (mm[2] / 150) ** 2 < 1] = 40
        hu[(np.abs(mm[1] - 112) < 5) & (np.abs(mm[2]) < 160)] = 100
        hu[(mm[1] - 60) ** 2 + mm[2] ** 2 < 18**2] = 300
        for side, there in ((-1, right), (1, left)):
            if there:
                hu[ellipsoid(mm, (0, 0, side * 72), (110, 75, 52))] = -850
        hu[ellipsoid(mm, (-20, -20, 20), (50, 45, 45))] = 45
        if gas:
            hu[(mm[1] ** 2 + mm[2] ** 2 < 9**2) & (mm[0] > 10)] = -1000
            hu[ellipsoid(mm, (-118, -20, 80), (22, 30, 30))] = -1000
        hu += np.random.default_rng(0).normal(0, 15, hu.shape)
        image = sitk.GetImageFromArray(hu.astype(np.int16))
        image.SetSpacing([spacing_mm] * 3)
        image.SetOrigin((-180.0, -130.0, -140.0))
        return image

    return make
