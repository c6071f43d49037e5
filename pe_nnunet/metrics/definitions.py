"""The table of metrics: how each number is computed of a case and over a cohort, and how it is shown.

A metric is one entry: `cases.csv`, `summary.json`, the intervals, the comparison of two methods, the page and the
printed table all go through this table, whose order is that of `summary.json`. docs/evaluation.md says what each means.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Literal, get_args

import numpy as np

from pe_nnunet.metrics.inputs import CaseInputs, CohortInputs, Value
from pe_nnunet.metrics.outlines import Distances, assd_mm, hd95_mm, matched_dice, panoptic_quality, surface_dice
from pe_nnunet.metrics.overlap import Contingency, dice
from pe_nnunet.metrics.ratios import EmptyPolicy, f1, mean, ratio

Level = Literal["counts", "voxels", "outlines", "emboli", "scans", "patients", "negatives"]
OfCase = Callable[[CaseInputs], Value]
OverCohort = Callable[[CohortInputs, str], Value]
SECTIONS = {"outlines": "", "patients": "patient_", "negatives": "negative_"}


@dataclass(frozen=True)
class Metric:
    """One number.

    Attributes:
        level: What it is a number of; `counts` are those of emboli and findings, `negatives` are scans without emboli,
            which are reported apart and without intervals.
        of_case: Computes it; None where a single case has no such number.
        over_cohort: Computes it from the cases' values, and its own name; None where it is not brought together.
        unit: Empty for counts and shares.
        digits: Decimals in what people read, 0 for a count; of a single case no more than two are shown.
        heading: Of its column in the page's table of cases, which has none without it.
        brief: Whether the table that is printed has the column too.
    """

    level: Level
    of_case: OfCase | None = None
    over_cohort: OverCohort | None = None
    unit: str = ""
    digits: int = 3
    heading: str = ""
    brief: bool = False

    def text(self, value: Value, *, of_case: bool = False) -> str:
        """A value for people, `-` where it is not defined."""
        return decimal(value, min(self.digits, 2) if of_case else self.digits)


def decimal(value: Value, digits: int) -> str:
    """A number with so many decimals, or `-`."""
    return "-" if value is None else f"{value:.{digits}f}"


def place(name: str) -> tuple[str, str]:
    """Section and key of a cohort's number in `summary.json`; no section, but for those of a level that has its own.

    Example:
        >>> place("dice"), place("hd95_mm"), place("patient_auroc")
        (('', 'dice'), ('outlines', 'hd95_mm'), ('patients', 'auroc'))
    """
    level = METRICS[name].level
    prefix = SECTIONS.get(level)
    return ("", name) if prefix is None or not name.startswith(prefix) else (level, name.removeprefix(prefix))


# Of a case.


def _of_masks(function: Callable[[Contingency, EmptyPolicy], Value]) -> OfCase:
    """Not defined where the prediction is markers alone."""
    return lambda case: None if case.table is None else function(case.table, case.empty)


def _of_surfaces(function: Callable[[tuple[Distances, Distances]], float]) -> OfCase:
    """Not defined where a side is empty, as there is nothing to measure to."""
    return lambda case: None if case.surfaces is None else function(case.surfaces)


def _surface_dice(case: CaseInputs) -> Value:
    if case.table is None or case.surface_tolerance_mm is None:
        return None
    if case.surfaces is None:
        return dice(case.table, case.empty)  # by the policy, as a side is empty
    return surface_dice(case.surfaces, case.surface_tolerance_mm)


# Of a case, and of a cohort from its pooled counts.


def _sensitivity(of: CaseInputs | CohortInputs, _: str = "") -> Value:
    return ratio(of.found, of.emboli)


def _precision(of: CaseInputs | CohortInputs, _: str = "") -> Value:
    return ratio(of.findings - of.false_positives, of.findings)


def _f1(of: CaseInputs | CohortInputs, _: str = "") -> Value:
    sensitivity, precision = _sensitivity(of), _precision(of)
    if sensitivity is None or precision is None:
        return of.empty.harmonic(0, precision is not None, sensitivity is not None)
    return f1(sensitivity, precision)


# Over a cohort. A case is called positive if anything is found in it.


def _mean(cohort: CohortInputs, name: str) -> Value:
    """Over the scans with emboli in which it is defined."""
    return mean(case[name] for case in cohort.positive)


def _negative_mean(name: str) -> OverCohort:
    return lambda cohort, _: mean(case[name] for case in cohort.negative)


def _volume_error(cohort: CohortInputs, _: str) -> Value:
    pairs = ((case["predicted_ml"], case["truth_ml"]) for case in cohort.positive)
    return mean(None if found is None or true is None else abs(found - true) for found, true in pairs)


def _auroc(cohort: CohortInputs, _: str) -> Value:
    """How often a scan with emboli scores above one without, ties by half."""
    high, low = ([s for c in cases if (s := c["pe_score"]) is not None] for cases in (cohort.positive, cohort.negative))
    if len(cohort.negative) < cohort.min_negatives or not high or len(high) + len(low) < len(cohort.cases):
        return None
    ordered = np.sort(low)
    twice_below = np.searchsorted(ordered, high, "left") + np.searchsorted(ordered, high, "right")
    return float(twice_below.sum() / (2 * len(high) * len(low)))


def _called(cases: Sequence[Mapping[str, Value]]) -> int:
    return sum(case["findings"] != 0 for case in cases)


def _quiet(cases: Sequence[Mapping[str, Value]]) -> int:
    return len(cases) - _called(cases)


def _count(level: Level, over_cohort: Callable[[CohortInputs], int]) -> Metric:
    """A whole number of a cohort."""
    return Metric(level, over_cohort=lambda cohort, _: over_cohort(cohort), digits=0)


def _total(name: str, heading: str = "", *, brief: bool = False) -> Metric:
    """A whole number of each case, and its sum."""
    return Metric("counts", attrgetter(name), CohortInputs.total, digits=0, heading=heading, brief=brief)


def _share(level: Level, part: Callable[[CohortInputs], int], whole: str, digits: int = 3) -> Metric:
    """Of a cohort's cases, positive cases or negative cases."""
    return Metric(level, over_cohort=lambda c, _: ratio(part(c), len(getattr(c, whole))), digits=digits)


def _clot(side: Literal["truth", "predicted"], name: str, heading: str = "") -> Metric:
    """Of what `clot_geometry` gives for one side of the comparison."""
    unit = "ml" if name.endswith("_ml") else ""
    return Metric("scans", lambda c: getattr(c, f"{side}_clot").get(name), unit=unit, digits=2, heading=heading)


METRICS: dict[str, Metric] = {
    "scans": _count("scans", lambda c: len(c.cases)),
    "positive_scans": _count("scans", lambda c: len(c.positive)),
    "dice": Metric("voxels", _of_masks(dice), _mean, heading="Dice", brief=True),
    "dice_negative": Metric("negatives", None, _negative_mean("dice")),
    "emboli": _total("emboli", "emboli", brief=True),
    "found": _total("found", "found", brief=True),
    "sensitivity": Metric("emboli", _sensitivity, _sensitivity),
    "findings": _total("findings"),
    "false_positives": _total("false_positives", "false+", brief=True),
    "false_positives_per_scan": _share("scans", lambda c: c.false_positives, "cases", 2),
    "precision": Metric("emboli", _precision, _precision),
    "f1": Metric("emboli", _f1, _f1),
    "merged": _total("merged", "merged", brief=True),
    "split": _total("split", "split"),
    "volume_error_ml": Metric("scans", None, _volume_error, "ml", 2),
    "truth_ml": Metric("scans", attrgetter("truth_ml"), None, "ml", 2, "truth", brief=True),
    "predicted_ml": Metric("scans", attrgetter("predicted_ml"), None, "ml", 2, "found", brief=True),
    "pe_score": Metric("patients", attrgetter("pe_score"), heading="PE score", brief=True),
    "negative_scans": _count("negatives", lambda c: len(c.negative)),
    "negative_clean": _count("negatives", lambda c: _quiet(c.negative)),
    "negative_false_positives": _count("negatives", lambda c: c.negative_findings),
    "negative_false_positives_per_scan": _share("negatives", lambda c: c.negative_findings, "negative", 2),
    "negative_predicted_ml": Metric("negatives", None, _negative_mean("predicted_ml"), "ml", 2),
    "patient_true_positive": _count("patients", lambda c: _called(c.positive)),
    "patient_false_negative": _count("patients", lambda c: _quiet(c.positive)),
    "patient_true_negative": _count("patients", lambda c: _quiet(c.negative)),
    "patient_false_positive": _count("patients", lambda c: _called(c.negative)),
    "patient_sensitivity": _share("patients", lambda c: _called(c.positive), "positive"),
    "patient_specificity": _share("patients", lambda c: _quiet(c.negative), "negative"),
    "patient_auroc": Metric("patients", None, _auroc),
    "surface_dice": Metric("outlines", _surface_dice, _mean, heading="surface Dice"),
    "hd95_mm": Metric("outlines", _of_surfaces(hd95_mm), _mean, "mm", 1, "HD95"),
    "assd_mm": Metric("outlines", _of_surfaces(assd_mm), _mean, "mm", 1),
    "measured": _count("outlines", lambda c: sum(case["assd_mm"] is not None for case in c.positive)),
    "panoptic_quality": Metric("outlines", _of_masks(panoptic_quality), _mean, heading="panoptic quality"),
    "matched_dice": Metric("outlines", _of_masks(matched_dice), _mean),
    "truth_largest_ml": _clot("truth", "largest_ml"),
    "truth_left_ml": _clot("truth", "left_ml", "truth left"),
    "truth_right_ml": _clot("truth", "right_ml", "right"),
    "truth_outside_lungs": _clot("truth", "outside_lungs"),
    "predicted_largest_ml": _clot("predicted", "largest_ml"),
    "predicted_left_ml": _clot("predicted", "left_ml"),
    "predicted_right_ml": _clot("predicted", "right_ml"),
    "predicted_outside_lungs": _clot("predicted", "outside_lungs"),
}
# Where cases are listed, counts come first; where people read, and in intervals, then voxels, outlines and so on.
_BY_LEVEL = sorted(METRICS, key=lambda name: get_args(Level).index(METRICS[name].level))
_COUNTS_FIRST = sorted(METRICS, key=lambda name: METRICS[name].level != "counts")
OF_CASE: dict[str, OfCase] = {name: of_case for name in _COUNTS_FIRST if (of_case := METRICS[name].of_case)}
OVER_COHORT: dict[str, OverCohort] = {name: over for name, metric in METRICS.items() if (over := metric.over_cohort)}
COMPARED = [
    name for name in _BY_LEVEL if name in OVER_COHORT and METRICS[name].digits and METRICS[name].level != "negatives"
]
SHOWN = [name for name in _BY_LEVEL if name in OF_CASE and METRICS[name].heading]
