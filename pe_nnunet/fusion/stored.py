"""`fusion.json` in a model folder as prediction reads it, and the settings that a prediction takes from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from pe_nnunet.errors import ConfigurationError, Note
from pe_nnunet.files.json_reader import MALFORMED, read_object, why
from pe_nnunet.fusion.settings import FusionSettings

NAME = "fusion.json"
FORMAT = 2

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
    """

    segmentation: OperatingPoints[FusionSettings]
    fusion: OperatingPoints[FusionSettings] | None = None
    boxes_confidence: float | None = None
    ensemble: tuple[str, ...] = ()

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
        ConfigurationError: PE-FUS-004 if it is damaged or of a newer form, PE-FUS-001 if its numbers are impossible.
    """
    try:
        content = read_object(path)
        _require_format(content["format"])
        fusion, boxes = content["fusion"], content["boxes"]
        return StoredFusion(
            _points(content["segmentation"]),
            None if fusion is None else _points(fusion),
            None if boxes is None else float(boxes["confidence"]),
            tuple(str(name) for name in content["ensemble"]),
        )
    except MALFORMED as error:
        raise ConfigurationError(
            "PE-FUS-004",
            f"{path} holds no calibrated settings: {why(error)}",
            "remove it, or run pe-nnunet calibrate again",
        ) from error


def find_fusion(folders: Sequence[Path]) -> tuple[StoredFusion | None, Path | None]:
    """The settings for this very ensemble among its model folders.

    Args:
        folders: All model folders that are used.

    Returns:
        The settings, and a `fusion.json` that is there but for another ensemble, if that is all there is.

    Raises:
        ConfigurationError: PE-FUS-004 if one cannot be read.
    """
    names = sorted(folder.resolve().name for folder in folders)
    other = None
    for folder in folders:
        if (folder / NAME).is_file():
            stored = read_fusion(folder / NAME)
            if sorted(stored.ensemble) == names:
                return stored, None
            other = folder / NAME
    return None, other


def choose_settings(
    folders: Sequence[Path], *, target_fp: float | None = None, detector: bool = False, **asked: float | None
) -> tuple[FusionSettings, tuple[Note, ...]]:
    """Find the settings of an ensemble.

    Args:
        folders: Its model folders.
        target_fp: Take those calibrated for at most this many false positives a scan.
        detector: Whether there are boxes.
        **asked: Fields of `FusionSettings` that a person gave; those that are None were not given.

    Returns:
        The settings, and what a person should know about them.

    Raises:
        ConfigurationError: PE-FUS-004 if a number of false positives is asked for and nothing is calibrated, or what is
            cannot be read; PE-FUS-001 if the settings are impossible.
    """
    stored, other = find_fusion(folders)
    notes: list[Note] = []
    given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    settings = FusionSettings()
    if stored is not None:
        settings = stored.at(target_fp, detector=detector)
        if "threshold" in given:
            given.setdefault("seed_threshold", None)  # hysteresis belongs to the threshold that it was chosen with
            given["candidate_threshold"] = min(settings.candidate_threshold, given["threshold"])
    elif target_fp is not None:
        raise ConfigurationError(
            "PE-FUS-004",
            f"no fusion.json for this ensemble in {folders[0]}, so nothing is known of {target_fp:g} false "
            "positives a scan",
            "run pe-nnunet calibrate, or give --threshold",
        )
    elif other is not None:
        notes.append(Note("PE-FUS-005", "warning", f"{other} was chosen for other models; the defaults count"))
    settings = replace(settings, **given)
    if detector and not settings.uses_detection:
        text = "boxes have weight zero: the detector's lungs count alone; pe-nnunet calibrate --detector finds weights"
        notes.append(Note("PE-FUS-007", "warning", text))
    return settings, tuple(notes)


def _points(content: Mapping[str, Any]) -> OperatingPoints[FusionSettings]:
    budgets = {float(entry["target_fp"]): _settings(entry["settings"]) for entry in content["budgets"]}
    return OperatingPoints(_settings(content["settings"]), budgets)


def _require_format(number: Any) -> None:
    if number != FORMAT:
        raise ValueError(f"it has format {number}, expected {FORMAT}")


def _settings(content: Mapping[str, Any]) -> FusionSettings:
    numbers = {name: None if value is None else float(value) for name, value in content.items()}
    return FusionSettings(**numbers)  # type: ignore[arg-type]  # of the fields only seed_threshold may be None
