"""What counts where there is nothing to count: empty labels and empty predictions."""

from __future__ import annotations

from dataclasses import dataclass

from pe_nnunet.errors import ConfigurationError


@dataclass(frozen=True)
class EmptyPolicy:
    """Value of a case's Dice, and of its embolus F1, where label, prediction or both are empty.

    A number enters the means; None leaves the case out of them. By default a scan without emboli has no Dice: 1 for an
    empty prediction would reward a model that finds nothing, and 0 for one stray voxel would hide how little that is.
    What is found in such scans is reported apart (false positives, volume), and enters false positives a scan,
    precision and specificity. An empty prediction on a scan with emboli scores 0.

    Attributes:
        both_empty: No embolus, none found.
        label_empty: No embolus, something found.
        prediction_empty: Emboli, none found.

    Raises:
        ConfigurationError: PE-EVAL-003 for a number outside [0, 1].
    """

    both_empty: float | None = None
    label_empty: float | None = None
    prediction_empty: float | None = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and not 0 <= value <= 1:
                raise ConfigurationError("PE-EVAL-003", f"{name} {value}: expected None or a number from 0 to 1")

    def harmonic(self, common: float, prediction: float, truth: float) -> float | None:
        """Twice the common part over the sum of both, or what the policy says where one is empty.

        Args:
            common: Size of the common part.
            prediction: Size of the prediction.
            truth: Size of the truth.

        Example:
            >>> EmptyPolicy().harmonic(common=2, prediction=4, truth=4)
            0.5
            >>> EmptyPolicy().harmonic(common=0, prediction=3, truth=0) is None
            True
        """
        if not truth:
            return self.label_empty if prediction else self.both_empty
        if not prediction:
            return self.prediction_empty
        return 2 * common / (prediction + truth)
