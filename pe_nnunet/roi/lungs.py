"""Find the lungs in a CT by intensity and shape, on any axis order and spacing."""

from __future__ import annotations

from dataclasses import dataclass

import cc3d
import numpy as np
import SimpleITK as sitk

from pe_nnunet.errors import InputError, Note
from pe_nnunet.roi.airspaces import AIR_BELOW_HU, enclosed_air, gas, open_air_level, trachea
from pe_nnunet.roi.coarse import Bools, Coarse, Floats, distance_mm
from pe_nnunet.volumes.geometry import image_like

LEAST_LUNGS_MM3 = 250_000.0  # an adult's smaller lung at full expiration holds about a litre
LEAST_PART_MM3 = 30_000.0
LUNG_BELOW_HU = -500.0
MISSING_SIDE_SHARE = 0.25  # of the other side's volume
SIDES_APART_MM = 70.0


@dataclass(frozen=True)
class Lungs:
    """What was found.

    Attributes:
        mask: uint8, 1 in lung, on the image's grid. Airways, stomach and bowel are left out, and so are large vessels.
        notes: PE-ROI-002 where only one lung shows.
    """

    mask: sitk.Image
    notes: tuple[Note, ...]

    @property
    def one_sided(self) -> bool:
        """Whether one lung is missing, collapsed or white."""
        return any(note.code == "PE-ROI-002" for note in self.notes)


def find_lungs(image: sitk.Image) -> Lungs:
    """Find the lungs in a CT.

    Args:
        image: HU, any orientation and spacing.

    Returns:
        The mask, with notes.

    Raises:
        InputError: PE-ROI-001 if there are none.
    """
    coarse = Coarse.of(image)
    mask = coarse_lungs(coarse.hu, coarse.spacing_mm)
    if not mask.any():
        raise InputError(
            "PE-ROI-001",
            "no lungs in the image: no enclosed air of lung density and size",
            "check that it is a chest CT in HU, or pass --on-no-lungs full-volume",
        )
    notes = ()
    if not has_two_sides(mask, coarse.spacing_mm):
        text = "only one lung shows: the other is missing, collapsed, white or outside the field of view"
        notes = (Note("PE-ROI-002", "warning", text),)
    near = distance_mm(~mask, coarse.spacing_mm) <= 1.5 * max(coarse.spacing_mm)
    rest = (coarse.hu < AIR_BELOW_HU) & ~mask  # trachea, gas, outside: coarse voxels that are air but no lung
    fine = coarse.to_fine(near & ~rest) & (sitk.GetArrayViewFromImage(image) < AIR_BELOW_HU)
    return Lungs(image_like(fine, image), notes)


def coarse_lungs(hu: Floats, spacing_mm: tuple[float, float, float]) -> Bools:
    """Lungs on a coarse grid in LPS axes; empty where there are none."""
    air = enclosed_air(hu, spacing_mm)
    air &= ~trachea(air, spacing_mm)
    air &= ~gas(hu, air, spacing_mm)
    labels = cc3d.connected_components(air, connectivity=6)
    volumes = np.bincount(labels.ravel()) * float(np.prod(spacing_mm))
    core = distance_mm(air, spacing_mm) > 3.0
    level = open_air_level(hu)
    kept = np.zeros(len(volumes), dtype=bool)
    for label in np.flatnonzero(volumes >= LEAST_PART_MM3):
        inside = hu[core & (labels == label)] if label else hu[:0]
        kept[label] = inside.size > 0 and level < float(np.median(inside)) < LUNG_BELOW_HU
    if volumes[kept].sum() < LEAST_LUNGS_MM3:
        kept[:] = False
    lungs: Bools = kept[labels]
    return lungs


def has_two_sides(mask: Bools, spacing_mm: tuple[float, float, float]) -> bool:
    """Whether a lung mask has a left and a right part of comparable volume.

    The lungs often touch where they meet before the heart, so the mask is eroded until it parts.
    """
    depth = distance_mm(mask, spacing_mm)
    for radius_mm in (2.0, 4.0, 7.0, 10.0, 14.0, 18.0):
        labels = cc3d.connected_components(depth > radius_mm, connectivity=6)
        stats = cc3d.statistics(labels)
        counts, centroids = stats["voxel_counts"][1:], stats["centroids"][1:]
        if not len(counts):
            return False
        order = np.argsort(counts)[::-1]
        first = order[0]
        for second in order[1:]:
            if counts[second] < MISSING_SIDE_SHARE * counts[first]:
                break
            if abs(centroids[first][2] - centroids[second][2]) * spacing_mm[2] >= SIDES_APART_MM:
                return True
    return False
