"""What masks of the anatomy tell about a case, in terms that JSON, tables and pages have."""

from __future__ import annotations

from typing import Any

import SimpleITK as sitk

from pe_nnunet.burden import Burden, Place, Score
from pe_nnunet.burden.planes import Chord
from pe_nnunet.burden.ventricles import Ventricles, View
from pe_nnunet.volumes.geometry import spacing_zyx, to_lps


def place_record(burden: Burden | None, embolus: int) -> dict[str, Any]:
    """Where an embolus lies; None for what is not known."""
    place = Place() if burden is None else burden.places.get(embolus, Place())
    found = place.obstruction
    return {
        "tree_level": place.level or None,
        "generation": place.generation if place.level else None,
        "side": place.side,
        "lobe": place.lobe or None,
        "obstruction_percent": None if found is None else round(100 * found.share),
        "obstruction_low_high": None if found is None else [round(100 * found.low), round(100 * found.high)],
    }


def burden_record(burden: Burden | None, image: sitk.Image) -> dict[str, Any] | None:
    """Scores and ventricles of a case; None without masks.

    Args:
        burden: What was measured.
        image: The scan, which turns places into LPS mm.
    """
    if burden is None:
        return None
    return {
        "masks": list(burden.masks),
        "qanadli": None if burden.qanadli is None else burden.qanadli.to_dict(),
        "mastora": None if burden.mastora is None else burden.mastora.to_dict(),
        "ventricles": None if burden.ventricles is None else _ventricles(burden.ventricles, to_lps(image)),
        "not_told": [note.message for note in burden.notes],
    }


def burden_lines(burden: Burden) -> list[tuple[str, str]]:
    """For people: headings and texts."""
    scores = (("Qanadli index", burden.qanadli), ("Mastora score", burden.mastora))
    lines = [(name, _points(points)) for name, points in scores if points is not None]
    if (found := burden.ventricles) is not None:
        for name, view in (("RV/LV, axial", found.axial), ("RV/LV, four-chamber", found.four_chamber)):
            if view is not None:
                right, left = view.right.length_mm, view.left.length_mm
                lines.append((name, f"{view.ratio:.2f}: {right:.0f} mm right, {left:.0f} mm left"))
        volumes = f"{found.right_ml / found.left_ml:.2f}: {found.right_ml:.0f} ml right, {found.left_ml:.0f} ml left"
        lines.append(("RV/LV, volume", volumes))
    return [*lines, *(("Not told", note.message) for note in burden.notes)]


def _points(score: Score) -> str:
    percent, low, high = (100 * points / score.most for points in (score.points, score.low, score.high))
    bounds = f"{score.low} to {score.high} points, {low:.0f} to {high:.0f} %"
    return f"{percent:.0f} %, {score.points} of {score.most} points (the masks allow {bounds})"


def _ventricles(found: Ventricles, image_lps: sitk.Image) -> dict[str, Any]:
    return {
        "right_ml": round(found.right_ml, 1),
        "left_ml": round(found.left_ml, 1),
        "volume_ratio": round(found.right_ml / found.left_ml, 3),
        "axial": None if found.axial is None else _view(found.axial, image_lps),
        "four_chamber": None if found.four_chamber is None else _view(found.four_chamber, image_lps),
    }


def _view(view: View, image_lps: sitk.Image) -> dict[str, Any]:
    return {
        "right_mm": round(view.right.length_mm, 1),
        "left_mm": round(view.left.length_mm, 1),
        "ratio": round(view.ratio, 3),
        "right_line_lps_mm": _line(view.right, image_lps),
        "left_line_lps_mm": _line(view.left, image_lps),
    }


def _line(chord: Chord, image_lps: sitk.Image) -> list[list[float]]:
    spacing = spacing_zyx(image_lps)
    ends = ([float(v / s) for v, s in zip(end, spacing, strict=True)][::-1] for end in (chord.start_mm, chord.end_mm))
    return [[round(v, 1) for v in image_lps.TransformContinuousIndexToPhysicalPoint(end)] for end in ends]
