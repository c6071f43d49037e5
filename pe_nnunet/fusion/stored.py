"""`fusion.json` as prediction reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.files.json_reader import MALFORMED, read_object, why
from pe_nnunet.fusion.model_weights import normalised
from pe_nnunet.fusion.settings import FusionSettings
from pe_nnunet.fusion.weights import Weights

NAME = "fusion.json"
FORMAT = 3
MEAN_ALONE = 2
"""The format before models had weights: what it holds is for the mean of all folds."""

Point = TypeVar("Point")


@dataclass(frozen=True)
class OperatingPoints(Generic[Point]):
    """Settings, or settings with what they come to, for several goals.

    Attributes:
        chosen: For the objective of the calibration.
        budgets: For several numbers of false positives a scan, those that some setting keeps to.
    """

    chosen: Point
    budgets: Mapping[float, Point] = field(default_factory=dict)


@dataclass(frozen=True)
class StoredFusion:
    """What `fusion.json` says that prediction needs.

    Attributes:
        segmentation: For the segmenters alone.
        fusion: For segmenters and a detector; None if it was calibrated without one.
        boxes_confidence: Lowest confidence of the detector's boxes as findings of their own; None without one.
        ensemble: Names of the model folders whose mean they are for.
        weights: Of the models and the detector that they were chosen with, by their hashes; None if it does not say.
        model_weights: How much each model counts, by its folder's name; None for the mean of all folds.
    """

    segmentation: OperatingPoints[FusionSettings]
    fusion: OperatingPoints[FusionSettings] | None = None
    boxes_confidence: float | None = None
    ensemble: tuple[str, ...] = ()
    weights: Weights | None = None
    model_weights: Mapping[str, float] | None = None

    def weights_of(self, models: Sequence[str]) -> tuple[float, ...] | None:
        """How much each of the models counts, in their order; None for the mean of all folds.

        Args:
            models: Names of the folders of this ensemble.
        """
        if self.model_weights is None:
            return None
        return normalised([self.model_weights[name] for name in models], models)

    def at(self, target_fp: float | None, *, detector: bool) -> FusionSettings:
        """The settings for at most that many false positives a scan.

        Args:
            target_fp: None: those of the objective. Otherwise the highest calibrated number that is not above it.
            detector: Whether there are boxes.

        Raises:
            ConfigurationError: PE-FUS-001 if none is that low.
        """
        points = (self.fusion if detector else None) or self.segmentation
        if target_fp is None:
            return points.chosen
        low = [budget for budget in points.budgets if budget <= target_fp]
        if not low:
            known = ", ".join(f"{budget:g}" for budget in sorted(points.budgets)) or "none"
            raise ConfigurationError(
                "PE-FUS-001", f"no calibrated settings for {target_fp:g} false positives a scan", f"there: {known}"
            )
        return points.budgets[max(low)]


def read_fusion(path: Path) -> StoredFusion:
    """Read `fusion.json`.

    Raises:
        ConfigurationError: PE-FUS-004 if it is damaged or of a newer form, or one of its numbers is impossible.
    """
    try:
        content = read_object(path)
        _require_format(content["format"])
        fusion, boxes = content["fusion"], content["boxes"]
        ensemble = tuple(str(name) for name in content["ensemble"])
        return StoredFusion(
            _points(content["segmentation"]),
            None if fusion is None else _points(fusion),
            None if boxes is None else _settings({"box_confidence": boxes["confidence"]}).box_confidence,
            ensemble,
            Weights.from_json(content.get("chosen_on")),
            None if content["format"] == MEAN_ALONE else _model_weights(content["model_weights"], ensemble),
        )
    except (*MALFORMED, ConfigurationError) as error:
        reason = error.message.removeprefix("--") if isinstance(error, ConfigurationError) else why(error)
        raise ConfigurationError(
            "PE-FUS-004",
            f"{path} holds no calibrated settings: {reason}",
            "remove it, or run pe-nnunet calibrate again",
        ) from error


def _points(content: Mapping[str, Any]) -> OperatingPoints[FusionSettings]:
    budgets = {_budget(entry["target_fp"]): _settings(entry["settings"]) for entry in content["budgets"]}
    return OperatingPoints(_settings(content["settings"]), budgets)


def _budget(value: Any) -> float:
    number = float(value)
    if not 0 <= number < float("inf"):
        raise ValueError(f"target_fp is {number}, expected at least 0 and finite")
    return number


def _require_format(number: Any) -> None:
    if number not in (MEAN_ALONE, FORMAT):
        raise ValueError(f"it has format {number}, expected {FORMAT}")


def _model_weights(content: Mapping[str, Any], ensemble: Sequence[str]) -> dict[str, float]:
    if sorted(content) != sorted(ensemble):
        raise ValueError("model_weights are not those of the ensemble")
    normalised(list(map(float, content.values())), list(content))
    return {name: float(weight) for name, weight in content.items()}


def _settings(content: Mapping[str, Any]) -> FusionSettings:
    numbers = {name: None if value is None else float(value) for name, value in content.items()}
    return FusionSettings(**numbers)  # type: ignore[arg-type]  # of the fields only seed_threshold may be None
