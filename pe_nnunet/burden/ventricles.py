"""Right over left ventricle: diameters in axial slices and in a four-chamber plane, and volumes, from given masks.

A diameter is the longest line across a ventricle at a right angle to the long axis of the left one, from the middle of
the mitral valve to the apex: in axial slices to the axis as it looks there, the two ventricles each in the slice where
it is widest (Quiroz et al., Circulation 109 (2004), who compare both views). The four-chamber plane holds the long axis
and the middle of the tricuspid valve. A valve is where the masks of atrium and ventricle come closest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from pe_nnunet.burden.planes import Chord, Plane, Point, widest_chord
from pe_nnunet.volumes.geometry import spacing_zyx, to_lps
from pe_nnunet.voxels import Box, foreground

CHAMBERS = {
    "heart_ventricle_right": "right ventricle",
    "heart_ventricle_left": "left ventricle",
    "heart_atrium_right": "right atrium",
    "heart_atrium_left": "left atrium",
}
"""As TotalSegmentator's task `heartchambers_highres` calls its files, and what they hold."""

MAX_GAP_MM = 10.0  # between atrium and ventricle: further apart, there is no valve that could be told
VALVE_MM = 2.0  # beyond the least distance, what counts as next to the valve
MIN_TILT = 0.2  # share of the long axis that lies in the axial plane; less, and it has no direction there
MARGIN = 2  # voxels
SEARCH_MM, STEP_MM = 1.0, 0.25  # of the lines that are tried: for the slice, and in it


@dataclass(frozen=True)
class View:
    """The diameters in one kind of plane.

    Attributes:
        right: Across the right ventricle.
        left: Across the left one.
        planes: Those that they lie in, in that order.
    """

    right: Chord
    left: Chord
    planes: tuple[Plane, Plane]

    @property
    def ratio(self) -> float:
        """Right over left."""
        return self.right.length_mm / self.left.length_mm


@dataclass(frozen=True)
class Ventricles:
    """What the masks of the chambers say; lengths from the first voxel of the scan in LPS axes.

    Attributes:
        right_ml: Volume of the right ventricle.
        left_ml: Of the left one.
        axial: In axial slices; None where it could not be told.
        four_chamber: In the four-chamber plane, likewise.
        missing: Why something is None, or empty.
    """

    right_ml: float
    left_ml: float
    axial: View | None
    four_chamber: View | None
    missing: tuple[str, ...]


def measure_ventricles(masks: Mapping[str, sitk.Image]) -> Ventricles | None:
    """Measure the ventricles.

    Args:
        masks: By the names of `CHAMBERS`, on one grid; others are left alone.

    Returns:
        None without both ventricles. Diameters need both atria as well.
    """
    found = {name: to_lps(masks[name]) for name in CHAMBERS if name in masks}
    filled = {name: sitk.GetArrayViewFromImage(image) > 0 for name, image in found.items()}
    filled = {name: mask for name, mask in filled.items() if mask.any()}
    if not {"heart_ventricle_right", "heart_ventricle_left"} <= filled.keys():
        return None
    spacing = spacing_zyx(found["heart_ventricle_right"])
    voxel_ml = float(np.prod(spacing)) / 1000
    right_ml, left_ml = (float(filled[f"heart_ventricle_{s}"].sum()) * voxel_ml for s in ("right", "left"))
    absent = [what for name, what in CHAMBERS.items() if name not in filled]
    if absent:
        return Ventricles(right_ml, left_ml, None, None, (f"diameters need a mask of the {' and the '.join(absent)}",))
    places = {name: foreground(mask)[0] * np.array(spacing) for name, mask in filled.items()}
    mitral = _valve(places["heart_ventricle_left"], places["heart_atrium_left"])
    tricuspid = _valve(places["heart_ventricle_right"], places["heart_atrium_right"])
    if mitral is None or tricuspid is None:
        which = "left" if mitral is None else "right"
        why = f"diameters: {which} atrium and ventricle are more than {MAX_GAP_MM:g} mm apart"
        return Ventricles(right_ml, left_ml, None, None, (why,))
    cavity = places["heart_ventricle_left"]
    apex = cavity[np.linalg.norm(cavity - mitral, axis=1).argmax()]
    axis = (apex - mitral) / np.linalg.norm(apex - mitral)
    parts = tuple(_part(filled[f"heart_ventricle_{side}"], spacing) for side in ("right", "left"))
    missing = []
    if (axial := _axial(parts, spacing, axis)) is None:
        missing.append("axial diameters: no slice shows both ventricles, or the heart stands upright")
    if (four := _four_chamber(parts, spacing, mitral, axis, tricuspid)) is None:
        missing.append("four-chamber diameters: the plane through both valves and the apex misses a ventricle")
    return Ventricles(right_ml, left_ml, axial, four, tuple(missing))


def _valve(ventricle: NDArray[np.float64], atrium: NDArray[np.float64]) -> Point | None:
    """Middle of the part of a ventricle that is next to its atrium."""
    away = cKDTree(atrium).query(ventricle, distance_upper_bound=MAX_GAP_MM)[0]
    if not np.isfinite(away).any():
        return None
    return np.asarray(ventricle[away <= away.min() + VALVE_MM].mean(axis=0))


@dataclass(frozen=True)
class _Part:
    mask: NDArray[np.float32]
    corner_mm: Point


def _part(mask: NDArray[np.bool_], spacing: tuple[float, float, float]) -> _Part:
    box = Box.around(mask)
    assert box is not None  # noqa: S101 - empty masks were left out
    held = box.padded((MARGIN,) * 3, mask.shape)
    return _Part(np.pad(mask[held.slices], 1).astype(np.float32), (np.array(held.start) - 1) * np.array(spacing))


def _chord(part: _Part, spacing: tuple[float, float, float], plane: Plane, step_mm: float = STEP_MM) -> Chord | None:
    moved = Plane(plane.origin_mm - part.corner_mm, plane.along, plane.across)
    chord = widest_chord(part.mask, spacing, moved, step_mm)
    return None if chord is None else Chord(chord.start_mm + part.corner_mm, chord.end_mm + part.corner_mm)


def _axial(parts: tuple[_Part, ...], spacing: tuple[float, float, float], axis: Point) -> View | None:
    flat = np.array([0.0, *axis[1:]])
    if np.linalg.norm(flat) < MIN_TILT:
        return None
    along = flat / np.linalg.norm(flat)
    across = np.array([0.0, along[2], -along[1]])
    held = [p.mask.any(axis=(1, 2)) for p in parts]
    slices = [np.flatnonzero(h) + round(p.corner_mm[0] / spacing[0]) for h, p in zip(held, parts, strict=True)]
    planes = [Plane(np.array([z * spacing[0], 0.0, 0.0]), along, across) for z in np.intersect1d(*slices).tolist()]
    widest = []
    for part in parts:
        tried = [
            (chord.length_mm, k) for k, plane in enumerate(planes) if (chord := _chord(part, spacing, plane, SEARCH_MM))
        ]
        if not tried:
            return None
        widest.append(planes[max(tried)[1]])
    right, left = (_chord(part, spacing, plane) for part, plane in zip(parts, widest, strict=True))
    return None if right is None or left is None else View(right, left, (widest[0], widest[1]))


def _four_chamber(
    parts: tuple[_Part, ...], spacing: tuple[float, float, float], mitral: Point, axis: Point, tricuspid: Point
) -> View | None:
    across = tricuspid - mitral
    across = across - (across @ axis) * axis
    if np.linalg.norm(across) < 1:
        return None
    plane = Plane(mitral, axis, across / np.linalg.norm(across))
    right, left = (_chord(part, spacing, plane) for part in parts)
    return None if right is None or left is None else View(right, left, (plane, plane))
