"""The scores of one case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pe_nnunet.errors import GeometryError
from pe_nnunet.metrics.clot_geometry import LungGeometry
from pe_nnunet.metrics.definitions import OF_CASE
from pe_nnunet.metrics.inputs import CaseInputs, Value, count
from pe_nnunet.metrics.markers import VoxelMarker
from pe_nnunet.metrics.overlap import ANY_OVERLAP, OverlapCriterion
from pe_nnunet.metrics.ratios import EmptyPolicy


class Scores:
    """Numbers by the names of `METRICS`: `scores["hd95_mm"]`; those that the code itself needs have their types.

    Attributes:
        values: By name; None where a number is not defined.
    """

    values: Mapping[str, Value]

    def __getitem__(self, name: str) -> Value:
        return self.values[name]

    @property
    def emboli(self) -> int:
        """True emboli."""
        return count(self.values, "emboli")

    @property
    def found(self) -> int:
        """True emboli that are found."""
        return count(self.values, "found")

    @property
    def findings(self) -> int:
        """Predicted emboli."""
        return count(self.values, "findings")

    @property
    def false_positives(self) -> int:
        """Findings that are no embolus."""
        return count(self.values, "false_positives")

    @property
    def dice(self) -> Value:
        """Of the voxels."""
        return self["dice"]

    @property
    def sensitivity(self) -> Value:
        """Found emboli of all emboli; None without emboli."""
        return self["sensitivity"]

    @property
    def f1(self) -> Value:
        """Harmonic mean of sensitivity and precision; `EmptyPolicy` decides where one side is empty."""
        return self["f1"]


@dataclass(frozen=True)
class CaseScores(Scores):
    """The numbers of one case.

    Attributes:
        case_id: The case.
        values: By the names in `OF_CASE`.
        patient: Key that scans of one patient share; empty where each scan is one.
    """

    case_id: str
    values: Mapping[str, Value]
    patient: str = ""

    @property
    def drawn_with(self) -> str:
        """Whose scan it is: scans of the same key are resampled together."""
        return f"patient {self.patient}" if self.patient else f"scan {self.case_id}"

    @property
    def positive(self) -> bool:
        """Whether the scan has an embolus."""
        return self.emboli > 0


def evaluate_case(
    prediction: NDArray[Any] | Sequence[VoxelMarker],
    truth_ids: NDArray[Any],
    spacing_mm: Sequence[float],
    *,
    case_id: str = "",
    patient: str = "",
    overlap: OverlapCriterion = ANY_OVERLAP,
    empty: EmptyPolicy | None = None,
    pe_score: float | None = None,
    surface_tolerance_mm: float | None = None,
    lungs: LungGeometry | None = None,
) -> CaseScores:
    """Score one prediction. Maps hold one id per embolus; `to_instances` makes them from masks.

    Args:
        prediction: Ids of the findings, 0 background, (z, y, x); or markers alone, of which one inside an embolus is
            true, and voxels are not scored.
        truth_ids: Ids of the emboli, the same shape.
        spacing_mm: (z, y, x).
        case_id: Names the case in the result and in errors.
        patient: Passed on.
        overlap: When an embolus counts as found.
        empty: What Dice and F1 are worth where a side is empty; the default policy if None.
        pe_score: The scan's score: of its most certain marker; None where the tool gives no scores.
        surface_tolerance_mm: Of the surface Dice; no distances of surfaces if None.
        lungs: On the same grid, for the clot on each side; None where there is no mask.

    Raises:
        GeometryError: PE-GEO-001 if the shapes differ.

    Example:
        >>> truth = np.array([[[1, 1, 0, 0, 2, 0]]])
        >>> finding = np.array([[[1, 0, 0, 0, 0, 2]]])
        >>> scores = evaluate_case(finding, truth, (10, 10, 10))
        >>> scores.found, scores.false_positives, scores.dice, scores["truth_ml"]
        (1, 1, 0.4, 3.0)
    """
    if isinstance(prediction, np.ndarray) and prediction.shape != truth_ids.shape:
        raise GeometryError(
            "PE-GEO-001",
            f"the prediction of case {case_id} has shape {prediction.shape} (z, y, x), its label {truth_ids.shape}",
        )
    policy = empty or EmptyPolicy()
    inputs = CaseInputs(prediction, truth_ids, spacing_mm, overlap, policy, pe_score, surface_tolerance_mm, lungs)
    return CaseScores(case_id, {name: of_case(inputs) for name, of_case in OF_CASE.items()}, patient)
