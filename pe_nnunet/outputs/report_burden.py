"""What masks of the anatomy tell, in the terms of a DICOM SR: where emboli lie, how much they obstruct, ventricles.

What is not known is left out. Bounds stand beside a value under the same name, with a derivation of minimum or maximum.
"""

from __future__ import annotations

from typing import Any

import highdicom.sr as sr
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from pe_nnunet import __version__
from pe_nnunet.burden import Burden, Place, Score
from pe_nnunet.burden.artery_tree import LEVELS
from pe_nnunet.burden.ventricles import Ventricles, View
from pe_nnunet.outputs.algorithm import NAME
from pe_nnunet.volumes.dicom.derived import ContentUids

SCHEME = "99PENNUNET"  # of codes that no public scheme has; the prefix says so (PS3.16, 8)
TREE_LEVEL = Code("LEVEL_BY_TREE", SCHEME, "Level of the pulmonary artery by following the artery tree")
TREE_LEVELS = {name: Code(f"{name.upper()}_BY_TREE", SCHEME, f"{name.capitalize()} by the artery tree") for name, _ in
               LEVELS}  # fmt: skip
SCORES = {
    "qanadli": Code("QANADLI", SCHEME, "Qanadli obstruction score, of 40 points"),
    "mastora": Code("MASTORA", SCHEME, "Mastora obstruction score, of 155 points"),
}
VIEWS = {
    "axial": Code("RV_LV_AXIAL", SCHEME, "Right to left ventricular diameter ratio, axial"),
    "four_chamber": Code("RV_LV_FOUR_CHAMBER", SCHEME, "Right to left ventricular diameter ratio, four-chamber"),
}
RV_LV_VOLUME = Code("RV_LV_VOLUME", SCHEME, "Right to left ventricular volume ratio")
POINTS, MILLILITRE = Code("{points}", "UCUM", "points"), Code("ml", "UCUM", "milliliter")
SIDES = {"right": codes.SCT.Right, "left": codes.SCT.Left, "both": codes.SCT.Bilateral}
LOBES = {
    "right upper": Code("42400003", "SCT", "Upper lobe of right lung"),
    "right middle": codes.SCT.MiddleLobeOfRightLung,
    "right lower": Code("266005", "SCT", "Lower lobe of right lung"),
    "left upper": Code("44714003", "SCT", "Upper lobe of left lung"),
    "left lower": Code("41224006", "SCT", "Lower lobe of left lung"),
}


def measured(name: Code, value: float, unit: Code, **more: Any) -> sr.Measurement:
    """A measurement, to a thousandth of its unit."""
    return sr.Measurement(name=name, value=round(value, 3), unit=unit, **more)


def sites_of(place: Place) -> list[sr.FindingSite]:
    """The artery with its side, and the lobe."""
    side = None if place.side is None else SIDES[place.side]
    artery = sr.FindingSite(codes.SCT.PulmonaryArtery, laterality=side)
    return [artery, *([sr.FindingSite(LOBES[place.lobe])] if place.lobe else [])]


def levels_of(place: Place) -> list[sr.QualitativeEvaluation]:
    """The level by the tree."""
    return [sr.QualitativeEvaluation(TREE_LEVEL, TREE_LEVELS[place.level])] if place.level else []


def obstruction_of(place: Place) -> list[sr.Measurement]:
    """The share of the lumen's cross-section that is clot, in percent, with its bounds."""
    found = place.obstruction
    if found is None:
        return []
    return _with_bounds(
        codes.SCT.LumenAreaStenosis, codes.UCUM.Percent, *(100 * v for v in (found.share, found.low, found.high))
    )


def scores_of(burden: Burden | None) -> list[sr.Measurement]:
    """Points of both scores, with their bounds."""
    scores: dict[str, Score | None] = {} if burden is None else {"qanadli": burden.qanadli, "mastora": burden.mastora}
    return [
        item
        for name, score in scores.items()
        if score is not None
        for item in _with_bounds(SCORES[name], POINTS, score.points, score.low, score.high)
    ]


def ventricles_of(burden: Burden | None, uids: ContentUids) -> list[sr.MeasurementsAndQualitativeEvaluations]:
    """A group of the ventricles, if they were measured."""
    found = None if burden is None else burden.ventricles
    if found is None:
        return []
    group = sr.MeasurementsAndQualitativeEvaluations(
        sr.TrackingIdentifier(uid=uids.of("ventricles"), identifier="ventricles"),
        finding_sites=[sr.FindingSite(codes.SCT.RightVentricle), sr.FindingSite(codes.SCT.LeftVentricle)],
        algorithm_id=sr.AlgorithmIdentification(name=NAME, version=__version__),
        measurements=_ventricles(found),
    )
    return [group]


def _ventricles(found: Ventricles) -> list[sr.Measurement]:
    sides = (codes.SCT.RightVentricle, found.right_ml), (codes.SCT.LeftVentricle, found.left_ml)
    views: dict[str, View | None] = {"axial": found.axial, "four_chamber": found.four_chamber}
    return [
        *(measured(VIEWS[name], view.ratio, codes.UCUM.Ratio) for name, view in views.items() if view is not None),
        measured(RV_LV_VOLUME, found.right_ml / found.left_ml, codes.UCUM.Ratio),
        *(measured(codes.SCT.Volume, ml, MILLILITRE, finding_sites=[sr.FindingSite(site)]) for site, ml in sides),
    ]


def _with_bounds(name: Code, unit: Code, value: float, low: float, high: float) -> list[sr.Measurement]:
    return [
        measured(name, value, unit),
        measured(name, low, unit, derivation=codes.SCT.Minimum),
        measured(name, high, unit, derivation=codes.SCT.Maximum),
    ]
