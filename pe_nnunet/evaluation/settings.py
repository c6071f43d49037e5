"""What an evaluation counts, and how."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.metrics.bootstrap import Resampling
from pe_nnunet.metrics.instances import AUTO, LabelKind
from pe_nnunet.metrics.overlap import ANY_OVERLAP, OverlapCriterion
from pe_nnunet.metrics.protocols import PROTOCOLS, ProtocolName
from pe_nnunet.metrics.ratios import EmptyPolicy


@dataclass(frozen=True)
class EvaluationSettings:
    """How predictions are scored.

    Attributes:
        overlap: When an embolus counts as found, and a finding as true.
        empty: What Dice and F1 are worth where a side is empty.
        label_kind: What the values of labels mean.
        prediction_kind: What the values of predictions mean.
        fp_budgets: False positives a scan at which the sensitivity is read from the candidates' scores.
        protocols: FROC protocols.
        eps_mm: Tolerances of the protocols.
        resampling: For the intervals.
        surface_tolerance_mm: Surfaces this near count as the same in the surface Dice.

    Raises:
        ConfigurationError: PE-EVAL-003 for a negative budget or tolerance, or an unknown protocol.
    """

    overlap: OverlapCriterion = ANY_OVERLAP
    empty: EmptyPolicy = field(default_factory=EmptyPolicy)
    label_kind: LabelKind = AUTO
    prediction_kind: LabelKind = AUTO
    fp_budgets: tuple[float, ...] = (1.0, 2.0, 4.0)
    protocols: tuple[ProtocolName, ...] = ("cad-pe",)
    eps_mm: tuple[float, ...] = (0.0, 2.0, 5.0)
    resampling: Resampling = field(default_factory=Resampling)
    surface_tolerance_mm: float = 1.0

    def __post_init__(self) -> None:
        if not all(budget >= 0 for budget in self.fp_budgets):
            raise ConfigurationError("PE-EVAL-003", f"false positives a scan {self.fp_budgets}: expected 0 or more")

        tolerances = (*self.eps_mm, self.surface_tolerance_mm)
        if not all(0 <= mm < float("inf") for mm in tolerances):
            raise ConfigurationError("PE-EVAL-003", f"tolerances {tolerances} mm: expected 0 or more")
        if unknown := set(self.protocols) - set(PROTOCOLS):
            raise ConfigurationError(
                "PE-EVAL-003", f"protocol {', '.join(sorted(unknown))}: expected {' or '.join(PROTOCOLS)}"
            )
        if self.resampling.samples < 0:
            raise ConfigurationError("PE-EVAL-003", f"{self.resampling.samples} bootstrap samples: expected 0 or more")

    def to_dict(self) -> dict[str, Any]:
        """In JSON's types, in the forms that the command line reads."""
        return {
            "overlap": str(self.overlap),
            "empty": asdict(self.empty),
            "label_kind": str(self.label_kind),
            "prediction_kind": str(self.prediction_kind),
            "fp_budgets": list(self.fp_budgets),
            "protocols": list(self.protocols),
            "eps_mm": list(self.eps_mm),
            "bootstrap": asdict(self.resampling),
            "surface_tolerance_mm": self.surface_tolerance_mm,
        }
