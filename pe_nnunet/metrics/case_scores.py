"""The scores of one scan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pe_nnunet.errors import GeometryError
from pe_nnunet.metrics.clot_geometry import ClotGeometry, LungGeometry, clot_geometry
from pe_nnunet.metrics.empty_policy import EmptyPolicy
from pe_nnunet.metrics.froc import ScanHits
from pe_nnunet.metrics.outlines import PanopticScores, SurfaceScores, panoptic_scores, surface_scores
from pe_nnunet.metrics.overlap import ANY_OVERLAP, OverlapCriterion, contingency, match


@dataclass(frozen=True)
class CaseScores:
    """Counts and ratios of one scan; None where a ratio is not defined.

    Attributes:
        case_id: The case.
        emboli: True emboli.
        found: True emboli that are found.
        findings: Predicted emboli.
        true_findings: Predicted emboli that are true.
        merged: Found emboli that no finding has to itself.
        split: Emboli that several findings touch.
        dice: Of the voxels, all emboli together; `EmptyPolicy` decides where one side is empty.
        sensitivity: Found emboli of all emboli; None without emboli.
        precision: True findings of all findings; None without findings.
        f1: Harmonic mean of sensitivity and precision; `EmptyPolicy` decides where one side is empty.
        truth_ml: Volume of the emboli.
        predicted_ml: Volume of the findings; None where the prediction is markers alone.
        pe_score: The scan's score: of its most certain marker; None where the tool gives no scores.
        patient: Key that scans of one patient share; empty where each scan is one.
        surface: Distances of surfaces; None in all where they were not asked for, or the prediction is markers alone.
        panoptic: Outlines of single emboli; likewise.
        truth_clot: Geometry of the label's clot.
        predicted_clot: And of the prediction's; None where it is markers alone.
    """

    case_id: str
    emboli: int
    found: int
    findings: int
    true_findings: int
    merged: int
    split: int
    dice: float | None
    sensitivity: float | None
    precision: float | None
    f1: float | None
    truth_ml: float
    predicted_ml: float | None
    pe_score: float | None = None
    patient: str = ""
    surface: SurfaceScores = field(default_factory=SurfaceScores)
    panoptic: PanopticScores = field(default_factory=PanopticScores)
    truth_clot: ClotGeometry | None = None
    predicted_clot: ClotGeometry | None = None

    @property
    def false_positives(self) -> int:
        """Findings that are no embolus."""
        return self.findings - self.true_findings

    @property
    def drawn_with(self) -> str:
        """Whose scan it is: scans of the same key are resampled together."""
        return f"patient {self.patient}" if self.patient else f"scan {self.case_id}"

    @property
    def positive(self) -> bool:
        """Whether the scan has an embolus."""
        return self.emboli > 0


def evaluate_case(
    prediction_ids: NDArray[Any],
    truth_ids: NDArray[Any],
    spacing_mm: Sequence[float],
    *,
    case_id: str = "",
    overlap: OverlapCriterion = ANY_OVERLAP,
    empty: EmptyPolicy | None = None,
    pe_score: float | None = None,
    surface_tolerance_mm: float | None = None,
    lungs: LungGeometry | None = None,
) -> CaseScores:
    """Score one prediction. Both maps hold one id per embolus; `to_instances` makes them from masks.

    Args:
        prediction_ids: Ids of the findings, 0 background, (z, y, x).
        truth_ids: Ids of the emboli, the same shape.
        spacing_mm: (z, y, x).
        case_id: Names the case in the result and in errors.
        overlap: When an embolus counts as found.
        empty: What Dice and F1 are worth where a side is empty; the default policy if None.
        pe_score: Passed on.
        surface_tolerance_mm: Of the surface Dice; no distances of surfaces if None.
        lungs: On the same grid, for the clot on each side; None where there is no mask.

    Raises:
        GeometryError: PE-GEO-001 if the shapes differ.

    Example:
        >>> truth = np.array([[[1, 1, 0, 0, 2, 0]]])
        >>> finding = np.array([[[1, 0, 0, 0, 0, 2]]])
        >>> scores = evaluate_case(finding, truth, (10, 10, 10))
        >>> scores.found, scores.false_positives, scores.dice, scores.truth_ml
        (1, 1, 0.4, 3.0)
    """
    if prediction_ids.shape != truth_ids.shape:
        raise GeometryError(
            "PE-GEO-001",
            f"the prediction of case {case_id} has shape {prediction_ids.shape} (z, y, x), its label {truth_ids.shape}",
        )
    policy = empty or EmptyPolicy()
    table = contingency(prediction_ids, truth_ids)
    matching = match(table, overlap)
    emboli, findings = len(table.truth_ids), len(table.prediction_ids)
    found, true = len(matching.found_ids), len(matching.true_ids)
    sensitivity = found / emboli if emboli else None
    precision = true / findings if findings else None
    voxels, true_voxels = int(table.prediction_voxels.sum()), int(table.truth_voxels.sum())
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    return CaseScores(
        case_id=case_id,
        emboli=emboli,
        found=found,
        findings=findings,
        true_findings=true,
        merged=matching.merged,
        split=matching.split,
        dice=policy.harmonic(int(table.common_voxels.sum()), voxels, true_voxels),
        sensitivity=sensitivity,
        precision=precision,
        f1=f1_score(sensitivity, precision, policy),
        truth_ml=true_voxels * voxel_ml,
        predicted_ml=voxels * voxel_ml,
        pe_score=pe_score,
        surface=SurfaceScores()
        if surface_tolerance_mm is None
        else surface_scores(prediction_ids, truth_ids, spacing_mm, surface_tolerance_mm, policy),
        panoptic=panoptic_scores(table, policy),
        truth_clot=clot_geometry(truth_ids, spacing_mm, lungs),
        predicted_clot=clot_geometry(prediction_ids, spacing_mm, lungs),
    )


def evaluate_markers(
    hits: ScanHits,
    markers_in_emboli: int,
    *,
    truth_clot: ClotGeometry | None = None,
    empty: EmptyPolicy | None = None,
    scored: bool = True,
) -> CaseScores:
    """Score a prediction of markers alone: a marker inside an embolus is true, and voxels are not scored.

    Args:
        hits: Of the protocol `cad-pe` without a tolerance.
        markers_in_emboli: Markers that hit, several in one embolus included.
        truth_clot: Passed on.
        empty: What F1 is worth where a side is empty; the default policy if None.
        scored: Whether the markers' probabilities mean anything.
    """
    emboli, found, findings = len(hits.embolus_scores), hits.true_positives, markers_in_emboli + len(hits.false_scores)
    sensitivity = found / emboli if emboli else None
    precision = markers_in_emboli / findings if findings else None
    probabilities = [score for score in (*hits.embolus_scores, *hits.false_scores) if score is not None]
    return CaseScores(
        case_id=hits.case_id,
        emboli=emboli,
        found=found,
        findings=findings,
        true_findings=markers_in_emboli,
        merged=0,
        split=0,
        dice=None,
        sensitivity=sensitivity,
        precision=precision,
        f1=f1_score(sensitivity, precision, empty or EmptyPolicy()),
        truth_ml=sum(hits.volumes_mm3) / 1000,
        predicted_ml=None,
        pe_score=max(probabilities, default=0.0) if scored else None,
        truth_clot=truth_clot,
    )


def f1_score(sensitivity: float | None, precision: float | None, policy: EmptyPolicy) -> float | None:
    """The harmonic mean of both; by the policy where there are no emboli, no findings, or neither.

    Args:
        sensitivity: None where there are no emboli.
        precision: None where there are no findings.
        policy: Decides about the empty.

    Example:
        >>> f1_score(0.5, 1.0, EmptyPolicy())
        0.6666666666666666
    """
    if sensitivity is None or precision is None:
        return policy.harmonic(0, precision is not None, sensitivity is not None)
    total = sensitivity + precision
    return 2 * sensitivity * precision / total if total else 0.0
