"""What metrics are functions of: one case's prediction and label, and the values of a cohort's cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pe_nnunet.metrics.clot_geometry import LungGeometry, clot_geometry
from pe_nnunet.metrics.markers import VoxelMarker
from pe_nnunet.metrics.outlines import Distances, surface_distances
from pe_nnunet.metrics.overlap import Contingency, OverlapCriterion, contingency, match
from pe_nnunet.metrics.ratios import EmptyPolicy
from pe_nnunet.voxels import foreground

Value = float | None
MIN_NEGATIVES = 10  # with fewer, as the two each of FUMPE and CAD-PE, one scan moves an AUROC by too much


class CaseInputs:
    """Prediction and label of one case, with what several metrics need of the two; what costs time is done once.

    Attributes:
        emboli: True emboli.
        found: True emboli that are found.
        findings: Predicted emboli, or markers.
        false_positives: Findings that are no embolus.
        merged: Found emboli that no finding has to itself.
        split: Emboli that several findings touch.
        table: Sizes of emboli, findings and their overlaps; None where the prediction is markers alone.
    """

    def __init__(
        self,
        prediction: NDArray[Any] | Sequence[VoxelMarker],
        truth_ids: NDArray[Any],
        spacing_mm: Sequence[float],
        overlap: OverlapCriterion,
        empty: EmptyPolicy,
        pe_score: float | None,
        surface_tolerance_mm: float | None,
        lungs: LungGeometry | None,
    ) -> None:
        """Count emboli and findings; arguments are those of `evaluate_case`."""
        self.truth_ids, self.voxel_ml, self.spacing_mm = truth_ids, float(np.prod(spacing_mm)) / 1000, spacing_mm
        self.empty, self.pe_score, self.surface_tolerance_mm, self.lungs = empty, pe_score, surface_tolerance_mm, lungs
        self.table: Contingency | None = None
        if not isinstance(prediction, np.ndarray):
            hit = [marker.value_in(truth_ids) for marker in prediction]
            self.emboli, self.found = len(np.unique(foreground(truth_ids)[1])), len({*hit} - {0})
            self.findings, self.false_positives = len(hit), hit.count(0)
            self.merged = self.split = 0
            return
        self.prediction_ids = prediction
        self.table = contingency(prediction, truth_ids)
        found, true = match(self.table, overlap)
        self.emboli, self.found = len(found), int(found.sum())
        self.findings, self.false_positives = len(true), int((~true).sum())
        self.merged, self.split = self.table.merged(found), self.table.split

    @property
    def truth_ml(self) -> float:
        """Volume of the emboli."""
        return len(foreground(self.truth_ids)[1]) * self.voxel_ml

    @property
    def predicted_ml(self) -> float | None:
        """Volume of the findings; None where the prediction is markers alone."""
        return None if self.table is None else int(self.table.prediction_voxels.sum()) * self.voxel_ml

    @cached_property
    def surfaces(self) -> tuple[Distances, Distances] | None:
        """Distances of the surfaces; None where they were not asked for, or a side has no voxels."""
        if self.table is None or self.surface_tolerance_mm is None:
            return None
        return surface_distances(self.prediction_ids, self.truth_ids, self.spacing_mm)

    @cached_property
    def truth_clot(self) -> dict[str, Value]:
        """From `clot_geometry`."""
        return clot_geometry(self.truth_ids, self.spacing_mm, self.lungs)

    @cached_property
    def predicted_clot(self) -> dict[str, Value]:
        """From `clot_geometry`; empty where the prediction is markers alone."""
        return {} if self.table is None else clot_geometry(self.prediction_ids, self.spacing_mm, self.lungs)


class CohortInputs:
    """The values of several cases, emboli and findings pooled.

    Attributes:
        cases: Values by the names of the metrics.
        positive: Those with emboli.
        negative: Those without.
        empty: What the cohort's F1 is worth where there are no emboli, or no findings at all.
        min_negatives: Cases without emboli that an AUROC needs.
        emboli: True emboli.
        found: Of these, found.
        findings: Predicted emboli.
        false_positives: Of these, false.
        negative_findings: In the cases without emboli, where all are false.
    """

    def __init__(
        self,
        cases: Sequence[Mapping[str, Value]],
        empty: EmptyPolicy | None = None,
        min_negatives: int = MIN_NEGATIVES,
    ) -> None:
        self.cases, self.empty, self.min_negatives = cases, empty or EmptyPolicy(), min_negatives
        self.positive = [case for case in cases if case["emboli"]]
        self.negative = [case for case in cases if not case["emboli"]]
        self.emboli, self.found, self.findings, self.false_positives = (
            self.total(name) for name in ("emboli", "found", "findings", "false_positives")
        )
        self.negative_findings = sum(count(case, "false_positives") for case in self.negative)

    def total(self, name: str) -> int:
        """The sum of a count over all cases."""
        return sum(count(case, name) for case in self.cases)


def count(case: Mapping[str, Value], name: str) -> int:
    """A value that is a whole number in every case."""
    return int(case[name] or 0)
