"""Find the lungs in a CT by intensity and shape, on any axis order and spacing.

The shape of the aerated lungs also says where lung is missing from them: cut by the image, or dense at the bases. Clot
lies in consolidated and collapsed lung as well, and under effusions, where no air shows. Healthy lungs end below in the
thin recesses behind the diaphragm; filled ones end in a plane or come out short.
"""

from __future__ import annotations

from dataclasses import dataclass

import cc3d
import numpy as np
import SimpleITK as sitk

from pe_nnunet.errors import InputError, Note
from pe_nnunet.roi.airspaces import AIR_BELOW_HU, enclosed_air, gas, gas_level, open_air_level, trachea
from pe_nnunet.roi.coarse import Bools, Coarse, Hu, Spacing, distance_mm, with_neighbours
from pe_nnunet.voxels import Box

MIN_LUNGS_MM3 = 250_000.0  # an adult's smaller lung at full expiration holds about a litre
MIN_PART_MM3 = 30_000.0
LUNG_BELOW_HU = -500.0  # median of the inner voxels
VESSEL_CONTRAST_HU = 60.0  # of the brightest twentieth against the median; under noise, gas stays below
WALL_MM = 3.0  # nearer to the surface a coarse voxel is part chest wall
MISSING_SIDE_SHARE = 0.25  # of the other side's volume
ONE_SIDED = "only one lung shows: the other is missing, collapsed, white or outside the field of view"
SIDES_APART_MM = 70.0  # of their centroids along x; within one lung parts lie nearer to each other


@dataclass(frozen=True)
class Lungs:
    """What was found.

    Attributes:
        mask: uint8, 1 in lung, on the image's grid. Airways, stomach and bowel are left out, and so are large vessels.
        notes: PE-ROI-002 where only one lung shows, PE-ROI-008 where the bases look dense, PE-ROI-005 where the image
            cuts the lungs.
        missing_below_mm: How much further down dense bases may reach; 0 where they do not look it.
    """

    mask: sitk.Image
    notes: tuple[Note, ...]
    missing_below_mm: float = 0.0

    @property
    def one_sided(self) -> bool:
        """Whether one lung is missing, collapsed or white."""
        return any(note.code == "PE-ROI-002" for note in self.notes)


def find_lungs(image: sitk.Image) -> Lungs:
    """Find the lungs in a CT.

    Lungs are told from tissue and from other air on a grid of about 2 mm; the mask is then refined on the image's own
    voxels.

    Args:
        image: HU, any orientation and spacing.

    Returns:
        The mask, with notes.

    Raises:
        InputError: PE-ROI-001 if there are none.
    """
    coarse = Coarse.of(image)
    found, both_sides = coarse_lungs(coarse.hu, coarse.spacing_mm)
    if not found.any():
        raise InputError(
            "PE-ROI-001",
            "no lungs in the image: no enclosed air of lung density and size",
            "check that it is a chest CT in HU, or pass --on-no-lungs full-volume",
        )
    notes = truncation_notes(found)
    missing_below_mm, dense = nonaerated_bases(found, coarse.spacing_mm)
    notes += dense
    if not both_sides:
        notes = (Note("PE-ROI-002", "warning", ONE_SIDED), *notes)
    other_air = (coarse.hu < AIR_BELOW_HU) & ~found
    hu, mask = sitk.GetArrayViewFromImage(image), sitk.Image(image.GetSize(), sitk.sitkUInt8)
    mask.CopyInformation(image)
    for fine, box in coarse.to_fine(with_neighbours(found) & ~other_air):
        z, y, x = box.slices
        mask[x, y, z] = sitk.GetImageFromArray((fine & (hu[z, y, x] < AIR_BELOW_HU)).view(np.uint8))
    return Lungs(mask, notes, missing_below_mm)


def coarse_lungs(hu: Hu, spacing_mm: Spacing) -> tuple[Bools, bool]:
    """Lungs on a coarse grid in LPS axes, and whether both sides are there; nothing where there are none."""
    level = open_air_level(hu)
    inside = enclosed_air(hu, level, spacing_mm)
    lungs = np.zeros_like(inside)
    voxel_mm3 = float(np.prod(spacing_mm))
    large = cc3d.dust(inside, threshold=max(1, round(MIN_PART_MM3 / voxel_mm3)), connectivity=6)
    box = Box.around(large)
    if box is None:
        return lungs, False
    box = box.grown(2 * max(spacing_mm), spacing_mm, inside.shape)  # everything from here on happens in this box
    hu, air = hu[box.slices], np.ascontiguousarray(large[box.slices])
    air &= ~trachea(air, spacing_mm)
    depth_mm = distance_mm(air, spacing_mm)
    air &= ~gas(hu, air, depth_mm, spacing_mm)
    inner = hu[air & (depth_mm > WALL_MM)]
    darkest = gas_level(inner) if inner.size else LUNG_BELOW_HU
    labels = cc3d.connected_components(air, connectivity=6)
    volumes_mm3 = np.bincount(labels.ravel()) * voxel_mm3
    kept = np.zeros(len(volumes_mm3), dtype=bool)
    for label in np.flatnonzero(volumes_mm3 >= MIN_PART_MM3):
        kept[label] = label > 0 and _is_lung(
            hu[(labels == label) & (depth_mm > WALL_MM)], volumes_mm3[label], max(level, darkest)
        )
    if volumes_mm3[kept].sum() >= MIN_LUNGS_MM3:
        lungs[box.slices] = kept[labels]
    return lungs, _both_sides(kept[labels], spacing_mm)


def _is_lung(inner_hu: Hu, volume_mm3: float, level: float) -> bool:
    """Whether the inner voxels of an air space have the density of lung, or its size and its vessels.

    An emphysematous lung can be as dark as gas, but not as even.
    """
    if not inner_hu.size:
        return False
    middle, high = np.percentile(inner_hu, [50, 95])
    has_vessels = volume_mm3 >= MIN_LUNGS_MM3 and high - middle >= VESSEL_CONTRAST_HU
    return bool(middle < LUNG_BELOW_HU and (middle > level or has_vessels))


def _both_sides(lungs: Bools, spacing_mm: Spacing) -> bool:
    """Whether a lung mask has a left and a right part of comparable volume.

    The lungs often touch where they meet before the heart, so the mask is eroded until it parts.
    """
    box = Box.around(lungs)
    if box is None:
        return False
    depth_mm = distance_mm(np.pad(lungs[box.slices], 1), spacing_mm)
    for radius_mm in (2.0, 4.0, 7.0, 10.0, 14.0, 18.0):
        stats = cc3d.statistics(cc3d.connected_components(depth_mm > radius_mm, connectivity=6))
        counts, x_mm = stats["voxel_counts"][1:], stats["centroids"][1:, 2] * spacing_mm[2]
        if not len(counts):
            return False
        first = int(np.argmax(counts))
        comparable = counts >= MISSING_SIDE_SHARE * counts[first]
        if (comparable & (np.abs(x_mm - x_mm[first]) >= SIDES_APART_MM)).any():
            return True
    return False


TIP_SHARE = 0.02  # of the largest cross-section; less may be a film of air between wall and fluid
ABOVE_END_SHARE = 0.04  # of the lungs' height: 8 to 11 mm in adults
BLUNT_SHARE = 0.3  # of the largest cross-section, there; at most 0.1 in the scans that hold the recess
SHORT_RATIO = 0.6  # height over width; 0.71 to 1.16 in eleven scans, those cut by the image included
USUAL_RATIO = 0.9
MIN_EXTENSION_MM = 30.0
CUT_SHARE = 0.1  # of the largest cross-section; less may be the tip of a recess


def nonaerated_bases(lungs: Bools, spacing_mm: Spacing) -> tuple[float, tuple[Note, ...]]:
    """How far dense lung may reach below the aerated lungs, judged by their cross-sections.

    Args:
        lungs: Both lungs, (z, y, x) growing towards superior, posterior, left; not empty.
        spacing_mm: z, y, x.

    Returns:
        By how much the box should go further down, in mm, with PE-ROI-008; 0 and nothing where the bases are aerated.
    """
    box = Box.around(lungs)
    if box is None:
        return 0.0, ()
    areas = np.count_nonzero(lungs, axis=(1, 2))
    areas = areas / areas.max()
    lowest = int(np.argmax(areas >= TIP_SHARE))
    height_mm, width_mm = (box.stop[0] - lowest) * spacing_mm[0], box.shape[2] * spacing_mm[2]
    above = min(lowest + max(1, int(ABOVE_END_SHARE * (box.stop[0] - lowest))), box.stop[0] - 1)
    blunt, short = areas[above] >= BLUNT_SHARE, height_mm < SHORT_RATIO * width_mm
    if lowest == 0 or not (blunt or short):
        return 0.0, ()
    missing_mm = max(MIN_EXTENSION_MM, USUAL_RATIO * width_mm - height_mm)
    text = (
        f"the lungs end {'bluntly' if blunt else f'after {height_mm:.0f} mm'} below, as with effusion or consolidation "
        f"of both bases: the box goes {missing_mm:.0f} mm further down, and to the back"
    )
    return missing_mm, (Note("PE-ROI-008", "warning", text),)


def truncation_notes(lungs: Bools) -> tuple[Note, ...]:
    """PE-ROI-005 where the field of view truncates the lungs: cuts through one, and does not just touch it.

    Args:
        lungs: (z, y, x) in LPS axes, of any spacing.
    """
    sides = (("below", 0, 0), ("above", 0, -1), ("in front", 1, 0), ("behind", 1, -1), ("right", 2, 0), ("left", 2, -1))
    cut = []
    for name, axis, end in sides:
        areas = np.count_nonzero(lungs, axis=tuple(a for a in range(3) if a != axis))
        if areas[end] and areas[end] >= CUT_SHARE * areas.max():
            cut.append(name)
    return (Note("PE-ROI-005", "warning", f"the image cuts the lungs {', '.join(cut)}"),) if cut else ()
