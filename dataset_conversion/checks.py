"""Doubts about a label that are noted and stop nothing: the density under it, its extent, the order of its slices.

A label lies where clot can be: dark in contrast. A mask with its slices in reverse order shows in that.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pe_nnunet.errors import Note

CLOT_HU = (0.0, 150.0)
CONTRAST_ABOVE_HU = 180.0
REACH_MM = (4.0, 8.0)  # how far beside a clot's voxel contrast is looked for
FLIP_GAIN = 0.25  # by so much more of the label must look like clot once its slices are reversed


def label_notes(
    hu: npt.NDArray[np.number], ids: npt.NDArray[np.uint16], volumes_mm3: dict[int, float], min_mm3: float
) -> list[Note]:
    """Warnings where the density under the label is not that of clot, and of emboli under a volume."""
    notes = []
    if volumes_mm3:
        median = float(np.median(hu[ids > 0]))
        if not CLOT_HU[0] <= median <= CLOT_HU[1]:
            text = (
                f"the median under the label is {median:.0f} HU, {CLOT_HU[0]:.0f} to {CLOT_HU[1]:.0f} expected: "
                "look whether it is shifted or flipped, or drawn over contrast"
            )
            notes.append(Note("PE-CONV-016", "warning", text))
    small = [k for k, volume in volumes_mm3.items() if volume < min_mm3]
    if small:
        listed = ", ".join(map(str, small[:8])) + (", ..." if len(small) > 8 else "")
        text = f"{len(small)} emboli of less than {min_mm3:g} mm3 were kept: id {listed}"
        notes.append(Note("PE-CONV-017", "warning", text))
    return notes


def flip_note(
    hu: npt.NDArray[np.number], label: npt.NDArray[np.integer], spacing_zyx_mm: tuple[float, float, float]
) -> list[Note]:
    """A warning where the label looks more like clot with its slices in reverse order than as it is.

    Args:
        hu: The whole scan, (z, y, x), for a reversed mask is reversed in all of its slices.
        label: Embolus mask or ids of the same shape.
        spacing_zyx_mm: Millimetres.
    """
    voxels = np.argwhere(label)
    if not len(voxels):
        return []
    reversed_voxels = voxels.copy()
    reversed_voxels[:, 0] = hu.shape[0] - 1 - voxels[:, 0]
    as_is, flipped = (clot_share(hu, where, spacing_zyx_mm) for where in (voxels, reversed_voxels))
    if flipped - as_is < FLIP_GAIN:
        return []
    text = (
        f"{as_is:.0%} of the label looks like clot in contrast, {flipped:.0%} with its slices in reverse order: "
        "look whether it is upside down"
    )
    return [Note("PE-CONV-028", "warning", text)]


def clot_share(
    hu: npt.NDArray[np.number], voxels: npt.NDArray[np.signedinteger], spacing_zyx_mm: tuple[float, float, float]
) -> float:
    """Share of voxels that have the density of clot, and contrast near them in their own slice.

    Args:
        hu: The scan, (z, y, x).
        voxels: Indices (n, 3) in order z, y, x, n above 0.
        spacing_zyx_mm: Millimetres.

    Example:
        >>> hu = np.full((1, 9, 9), 300); hu[0, 4, 4] = 50
        >>> clot_share(hu, np.array([[0, 4, 4], [0, 0, 0]]), (1.0, 1.0, 1.0))
        0.5
    """
    z, y, x = voxels.T
    density = hu[z, y, x]
    lit = np.zeros(len(voxels), bool)
    for reach_mm in REACH_MM:
        dy, dx = (max(1, round(reach_mm / mm)) for mm in spacing_zyx_mm[1:])
        for step_y, step_x in ((dy, 0), (-dy, 0), (0, dx), (0, -dx)):
            beside = hu[z, np.clip(y + step_y, 0, hu.shape[1] - 1), np.clip(x + step_x, 0, hu.shape[2] - 1)]
            lit |= beside > CONTRAST_ABOVE_HU
    return float(np.mean((density >= CLOT_HU[0]) & (density <= CLOT_HU[1]) & lit))
