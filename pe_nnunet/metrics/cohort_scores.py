"""The scores of a cohort, with scans that have no embolus kept apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from pe_nnunet.metrics.case_scores import CaseScores, f1_score
from pe_nnunet.metrics.empty_policy import EmptyPolicy
from pe_nnunet.metrics.froc import OperatingPoint

LEAST_NEGATIVES = 10  # with fewer, as the two each of FUMPE and CAD-PE, one scan moves an AUROC by too much


@dataclass(frozen=True)
class NegativeScans:
    """Scans without an embolus.

    Attributes:
        scans: How many.
        clean: In how many nothing is found.
        false_positives: Findings in all of them.
        false_positives_per_scan: None without such scans.
        predicted_ml: Mean volume of what is found; None without such scans.
    """

    scans: int
    clean: int
    false_positives: int
    false_positives_per_scan: float | None
    predicted_ml: float | None


@dataclass(frozen=True)
class PatientLevel:
    """Does the scan show an embolus: a scan is called positive if anything is found in it.

    Attributes:
        true_positive: Scans with emboli, called positive.
        false_negative: Scans with emboli, called negative.
        true_negative: Scans without, called negative.
        false_positive: Scans without, called positive.
        sensitivity: None without positive scans.
        specificity: None without negative scans.
        auroc: Of the scans' scores; None under ten negative scans, or where a scan has no score.
    """

    true_positive: int
    false_negative: int
    true_negative: int
    false_positive: int
    sensitivity: float | None
    specificity: float | None
    auroc: float | None = None


@dataclass(frozen=True)
class Outlines:
    """How well clot is outlined: means over scans with emboli, of those in which each number is defined.

    Attributes:
        surface_dice: See `SurfaceScores`.
        hd95_mm: See there; scans where nothing is found have none.
        assd_mm: Likewise.
        measured: Scans that the two distances are means of.
        panoptic_quality: See `PanopticScores`.
        matched_dice: See there; scans without a match have none.
    """

    surface_dice: float | None
    hd95_mm: float | None
    assd_mm: float | None
    measured: int
    panoptic_quality: float | None
    matched_dice: float | None


@dataclass(frozen=True)
class CohortScores:
    """All scans together; emboli are pooled over scans (a scan of many emboli weighs more), Dice is a mean over scans.

    Attributes:
        scans: Scored scans.
        positive_scans: Of these, with emboli.
        dice: Mean over positive scans.
        dice_negative: Mean over the others, where the `EmptyPolicy` gives them a value.
        emboli: True emboli.
        found: Of these, found.
        sensitivity: Their ratio; None without emboli.
        findings: Predicted emboli.
        false_positives: Of these, false, in all scans.
        false_positives_per_scan: Over all scans, with and without emboli.
        precision: True findings of all findings; None without findings.
        f1: Harmonic mean of sensitivity and precision.
        merged: Found emboli that no finding has to itself.
        split: Emboli that several findings touch.
        volume_error_ml: Mean absolute difference of volumes over positive scans.
        negatives: Scans without emboli.
        patients: Scans as a whole.
        outlines: Surfaces and single emboli.
        sensitivity_at_fp: Where every scan came with a table of candidates, else None.
    """

    scans: int
    positive_scans: int
    dice: float | None
    dice_negative: float | None
    emboli: int
    found: int
    sensitivity: float | None
    findings: int
    false_positives: int
    false_positives_per_scan: float | None
    precision: float | None
    f1: float | None
    merged: int
    split: int
    volume_error_ml: float | None
    negatives: NegativeScans
    patients: PatientLevel
    outlines: Outlines
    sensitivity_at_fp: tuple[OperatingPoint, ...] | None = None


def summarise(
    cases: Sequence[CaseScores],
    *,
    empty: EmptyPolicy | None = None,
    sensitivity_at_fp: tuple[OperatingPoint, ...] | None = None,
    least_negatives: int = LEAST_NEGATIVES,
) -> CohortScores:
    """Bring the scans of a cohort together.

    Args:
        cases: The scans.
        empty: What the cohort's F1 is worth where there are no emboli or no findings at all; the default if None.
        sensitivity_at_fp: Passed on.
        least_negatives: Negative scans that an AUROC needs.
    """
    positive = [case for case in cases if case.positive]
    negative = [case for case in cases if not case.positive]
    emboli, found = sum(c.emboli for c in cases), sum(c.found for c in cases)
    findings, false = sum(c.findings for c in cases), sum(c.false_positives for c in cases)
    sensitivity, precision = _ratio(found, emboli), _ratio(findings - false, findings)
    return CohortScores(
        scans=len(cases),
        positive_scans=len(positive),
        dice=_mean(c.dice for c in positive),
        dice_negative=_mean(c.dice for c in negative),
        emboli=emboli,
        found=found,
        sensitivity=sensitivity,
        findings=findings,
        false_positives=false,
        false_positives_per_scan=_ratio(false, len(cases)),
        precision=precision,
        f1=f1_score(sensitivity, precision, empty or EmptyPolicy()),
        merged=sum(c.merged for c in cases),
        split=sum(c.split for c in cases),
        volume_error_ml=_mean(abs(c.predicted_ml - c.truth_ml) for c in positive if c.predicted_ml is not None),
        negatives=_negatives(negative),
        patients=_patients(positive, negative, least_negatives),
        outlines=_outlines(positive),
        sensitivity_at_fp=sensitivity_at_fp,
    )


def _outlines(cases: Sequence[CaseScores]) -> Outlines:
    return Outlines(
        surface_dice=_mean(c.surface.surface_dice for c in cases),
        hd95_mm=_mean(c.surface.hd95_mm for c in cases),
        assd_mm=_mean(c.surface.assd_mm for c in cases),
        measured=sum(c.surface.assd_mm is not None for c in cases),
        panoptic_quality=_mean(c.panoptic.panoptic_quality for c in cases),
        matched_dice=_mean(c.panoptic.matched_dice for c in cases),
    )


def _negatives(cases: Sequence[CaseScores]) -> NegativeScans:
    false = sum(c.false_positives for c in cases)
    return NegativeScans(
        scans=len(cases),
        clean=sum(c.findings == 0 for c in cases),
        false_positives=false,
        false_positives_per_scan=_ratio(false, len(cases)),
        predicted_ml=_mean(c.predicted_ml for c in cases),
    )


def _patients(positive: Sequence[CaseScores], negative: Sequence[CaseScores], least_negatives: int) -> PatientLevel:
    called, quiet = sum(c.findings > 0 for c in positive), sum(c.findings == 0 for c in negative)
    return PatientLevel(
        true_positive=called,
        false_negative=len(positive) - called,
        true_negative=quiet,
        false_positive=len(negative) - quiet,
        sensitivity=_ratio(called, len(positive)),
        specificity=_ratio(quiet, len(negative)),
        auroc=_auroc(positive, negative) if len(negative) >= least_negatives else None,
    )


def _auroc(positive: Sequence[CaseScores], negative: Sequence[CaseScores]) -> float | None:
    """How often a scan with emboli scores above one without, ties by half."""
    high, low = ([c.pe_score for c in cases if c.pe_score is not None] for cases in (positive, negative))
    if not high or not low or len(high) + len(low) < len(positive) + len(negative):
        return None
    difference = np.subtract.outer(high, low)
    return float((difference > 0).mean() + (difference == 0).mean() / 2)


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _mean(values: Iterable[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None
