"""Whether the aerated lungs that were found are the whole lungs: cut by the image, or dense at their bases.

Clot lies in consolidated and collapsed lung as well, and under effusions, where no air shows. Healthy lungs end below
in the thin recesses behind the diaphragm; filled ones end in a plane or come out short.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pe_nnunet.errors import Note
from pe_nnunet.roi.coarse import Bools, Spacing
from pe_nnunet.voxels import Box

TIP_SHARE = 0.02  # of the largest cross-section; less may be a film of air between wall and fluid
ABOVE_END_SHARE = 0.04  # of the lungs' height: 8 to 11 mm in adults
BLUNT_SHARE = 0.3  # of the largest cross-section, there; at most 0.1 in the scans that hold the recess
SHORT_RATIO = 0.6  # height over width; 0.71 to 1.16 in eleven scans, those cut by the image included
USUAL_RATIO = 0.9
LEAST_EXTENSION_MM = 30.0
CUT_SHARE = 0.1  # of the largest cross-section; less may be the tip of a recess


@dataclass(frozen=True)
class Wholeness:
    """What the shape of the aerated lungs says about the rest.

    Attributes:
        missing_below_mm: By how much the box should go further down for dense bases; 0 where there are none.
        notes: PE-ROI-008 for dense bases, PE-ROI-005 where the image cuts the lungs.
    """

    missing_below_mm: float
    notes: tuple[Note, ...]


def wholeness(lungs: Bools, spacing_mm: Spacing) -> Wholeness:
    """Judge a lung mask by its cross-sections.

    Args:
        lungs: Both lungs, (z, y, x) growing towards superior, posterior, left; not empty.
        spacing_mm: z, y, x.
    """
    box = Box.around(lungs)
    if box is None:
        return Wholeness(0.0, ())
    notes = cut_note(lungs)
    areas = np.count_nonzero(lungs, axis=(1, 2)) / np.count_nonzero(lungs, axis=(1, 2)).max()
    lowest = int(np.argmax(areas >= TIP_SHARE))
    height_mm, width_mm = (box.stop[0] - lowest) * spacing_mm[0], box.shape[2] * spacing_mm[2]
    above = min(lowest + max(1, int(ABOVE_END_SHARE * (box.stop[0] - lowest))), box.stop[0] - 1)
    blunt, short = areas[above] >= BLUNT_SHARE, height_mm < SHORT_RATIO * width_mm
    if lowest == 0 or not (blunt or short):
        return Wholeness(0.0, notes)
    missing_mm = max(LEAST_EXTENSION_MM, USUAL_RATIO * width_mm - height_mm)
    text = (
        f"the lungs end {'bluntly' if blunt else f'after {height_mm:.0f} mm'} below, as with effusion or consolidation "
        f"of both bases: the box goes {missing_mm:.0f} mm further down, and to the back"
    )
    return Wholeness(missing_mm, (*notes, Note("PE-ROI-008", "warning", text)))


def cut_note(lungs: Bools) -> tuple[Note, ...]:
    """PE-ROI-005 where the image cuts the lungs; a mask (z, y, x) in LPS axes, of any spacing."""
    cut = _cut_sides(lungs)
    return (Note("PE-ROI-005", "warning", f"the image cuts the lungs {', '.join(cut)}"),) if cut else ()


def _cut_sides(lungs: Bools) -> list[str]:
    """The sides of the image at which a lung is cut through, not just touched."""
    sides = (("below", 0, 0), ("above", 0, -1), ("in front", 1, 0), ("behind", 1, -1), ("right", 2, 0), ("left", 2, -1))
    cut = []
    for name, axis, end in sides:
        plane = np.count_nonzero(lungs.take(end, axis))
        if plane and plane >= CUT_SHARE * np.count_nonzero(lungs, axis=_others(axis)).max():
            cut.append(name)
    return cut


def _others(axis: int) -> tuple[int, int]:
    first, second = (a for a in range(3) if a != axis)
    return first, second
