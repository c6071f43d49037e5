"""The lumen of the arteries in cubes, and which place of the tree each part of it belongs to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from pe_nnunet.burden.centre_lines import CentreLines, Floats
from pe_nnunet.errors import InputError
from pe_nnunet.volumes.geometry import spacing_zyx, to_lps
from pe_nnunet.voxels import Box, foreground, label_components

STEP_MM = 0.8  # finer cubes show no further artery that has a level of its own
THIN = 2.5  # cubes: a smaller radius says little


@dataclass(frozen=True)
class Lumen:
    """Arteries and the emboli in them, along LPS axes.

    Attributes:
        inside: Artery or embolus, (z, y, x) in cubes; the largest connected part alone.
        ids: Of the emboli, on the same grid.
        step_mm: Edge of the cubes.
    """

    inside: NDArray[np.bool_]
    ids: NDArray[np.uint16]
    step_mm: float

    @classmethod
    def of(cls, artery: sitk.Image, ids: sitk.Image) -> Lumen:
        """From masks on one grid.

        An embolus is lumen even where the artery mask leaves it out, as masks of bright blood do.

        Raises:
            InputError: PE-BUR-001 if there is no artery.
        """
        arteries, emboli = to_lps(artery) > 0, to_lps(ids)
        both = sitk.GetArrayFromImage(arteries).astype(bool)
        if not both.any():
            raise InputError("PE-BUR-001", "the mask of the arteries is empty", "give one of the whole tree")
        both |= sitk.GetArrayViewFromImage(emboli) > 0
        box = Box.around(both)
        assert box is not None  # noqa: S101 - there is an artery
        step = max(min(spacing_zyx(arteries)), STEP_MM)
        part = emboli[tuple(slice(a, b) for a, b in zip(box.start[::-1], box.stop[::-1], strict=True))]
        held = sitk.GetImageFromArray(both[box.slices].astype(np.float32))
        held.CopyInformation(part)
        labels = _in_cubes(part, step, sitk.sitkNearestNeighbor).astype(np.uint16)
        inside = (_in_cubes(held, step, sitk.sitkLinear) >= 0.5) | (labels > 0)
        pieces, _ = label_components(inside)
        inside = pieces == 1 + int(np.bincount(pieces.ravel())[1:].argmax())
        return cls(np.asarray(inside), labels, step)

    @property
    def cubes(self) -> tuple[Floats, NDArray[np.uint16]]:
        """Middles of the cubes of the lumen in mm, (n, 3), and the embolus that each is of, 0 none."""
        where, _ = foreground(self.inside)
        return where * self.step_mm, self.ids[tuple(where.T)]


def _in_cubes(part: sitk.Image, step_mm: float, interpolator: int) -> NDArray[np.float32]:
    spacing = np.array(part.GetSpacing())
    size = np.maximum(1, np.ceil((np.array(part.GetSize()) - 1) * spacing / step_mm).astype(int) + 1).tolist()
    resampler = sitk.ResampleImageFilter()
    resampler.SetSize(size)
    resampler.SetOutputSpacing([step_mm] * 3)
    resampler.SetOutputOrigin(part.GetOrigin())
    resampler.SetOutputDirection(part.GetDirection())
    resampler.SetInterpolator(interpolator)
    return np.asarray(sitk.GetArrayFromImage(resampler.Execute(part)))


def areas_mm2(lines: CentreLines, place: NDArray[np.int64], step_mm: float) -> Floats:
    """Mean cross-section of each branch.

    Of a wide artery by the radius of its centre line, as its cubes at a division are not clearly its own; of a thin
    one, whose radius is a cube or two, by its volume, of one cube or more, over its length.

    Args:
        lines: The branches.
        place: For each cube of the lumen, the point of the lines that it belongs to.
        step_mm: Edge of the cubes.
    """
    count, length = len(lines.parent), lines.length_mm
    radius = np.array([np.median(lines.radius[lines.of(branch)]) for branch in range(count)])
    volume = np.maximum(1, np.bincount(lines.branch[place], minlength=count)) * step_mm**3
    thin = (radius < THIN * step_mm) & (length > radius)
    return np.where(thin, volume / np.maximum(length, step_mm), np.pi * radius**2)


class NearestPlace:
    """Which point of the centre lines a place in the lumen belongs to.

    The nearest by |p - c|^2 - r^2 (a power diagram; Aurenhammer, SIAM J. Comput. 16 (1987)), so that the rim of a wide
    artery does not go to a thin one beside it. It is the nearest in four dimensions with sqrt(R^2 - r^2) as the fourth.
    """

    def __init__(self, lines: CentreLines) -> None:
        fourth = np.sqrt(np.maximum(lines.radius.max() ** 2 - lines.radius**2, 0))
        self._tree = cKDTree(np.c_[lines.points, fourth])

    def of(self, places: Floats) -> NDArray[np.int64]:
        """Indices of points of the centre lines.

        Args:
            places: (n, 3), mm.
        """
        return np.asarray(self._tree.query(np.c_[places, np.zeros(len(places))])[1], np.int64)
