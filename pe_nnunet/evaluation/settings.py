"""What an evaluation counts, and how."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from pe_nnunet.metrics.bootstrap import Resampling
from pe_nnunet.metrics.instances import AUTO, LabelKind
from pe_nnunet.metrics.overlap import ANY_OVERLAP, OverlapCriterion
from pe_nnunet.metrics.protocols import PROTOCOLS, ProtocolName
from pe_nnunet.metrics.ratios import EmptyPolicy
from pe_nnunet.options import option, require_limits

KIND = (
    "what a {}'s values mean: instances, binary, class:N (class N is embolus), auto (binary where there is one value, "
    "else instances)"
)


@dataclass(frozen=True)
class EvaluationSettings:
    """How predictions are scored.

    Raises:
        ConfigurationError: PE-EVAL-003 for a negative budget or tolerance, or an unknown protocol.
    """

    overlap: OverlapCriterion = option(
        ANY_OVERLAP,
        "when an embolus counts as found: any (a voxel in common), fraction:NUMBER (that part of it covered, and that "
        "part of a finding inside emboli), iou:NUMBER (paired with at least that intersection over union)",
        kind=OverlapCriterion.parse,
        metavar="RULE",
    )
    empty: EmptyPolicy = field(default_factory=EmptyPolicy)
    label_kind: LabelKind = option(AUTO, KIND.format("label"), kind=LabelKind.parse, metavar="KIND")
    prediction_kind: LabelKind = option(AUTO, KIND.format("prediction"), kind=LabelKind.parse, metavar="KIND")
    fp_budgets: tuple[float, ...] = option(
        (1.0, 2.0, 4.0),
        "false positives a scan at which the sensitivity is read from the candidates' scores",
        low=0,
        metavar="N",
    )
    protocols: tuple[ProtocolName, ...] = option(
        ("cad-pe",), "FROC protocols", choices=tuple(PROTOCOLS), flag="--protocol"
    )
    eps_mm: tuple[float, ...] = option(
        (0.0, 2.0, 5.0), "tolerances of the protocols in mm", low=0, flag="--eps", metavar="MM"
    )
    resampling: Resampling = field(default_factory=Resampling)
    surface_tolerance_mm: float = option(
        1.0,
        "surfaces this near in mm count as the same in the surface Dice",
        low=0,
        flag="--surface-tolerance",
        metavar="MM",
    )

    def __post_init__(self) -> None:
        for part in (self, self.resampling):
            require_limits(part, "PE-EVAL-003")
        for name in ("protocols", "eps_mm"):  # each once
            object.__setattr__(self, name, tuple(dict.fromkeys(getattr(self, name))))

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
