"""`fusion.json` in a model folder: calibrated settings, and what they were chosen on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.files import atomic_json
from pe_nnunet.fusion.settings import FusionSettings

if TYPE_CHECKING:  # prediction, which only reads, calibrates and evaluates nothing
    from pe_nnunet.calibration.search import Calibration, Choice, Points

NAME = "fusion.json"
FORMAT = 2


@dataclass(frozen=True)
class StoredPoints:
    """Operating points.

    Attributes:
        settings: Those of the objective.
        budgets: Those for several numbers of false positives a scan.
    """

    settings: FusionSettings
    budgets: Mapping[float, FusionSettings] = field(default_factory=dict)


@dataclass(frozen=True)
class StoredFusion:
    """What `fusion.json` says that prediction needs.

    Attributes:
        segmentation: For the segmenters alone.
        fusion: For segmenters and a detector; None if it was calibrated without one.
        boxes_confidence: Least confidence of the detector's boxes as findings of their own; None without one.
        ensemble: Names of the model folders whose mean they are for.
    """

    segmentation: StoredPoints
    fusion: StoredPoints | None = None
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
            return points.settings
        low = [budget for budget in points.budgets if budget <= target_fp]
        if not low:
            known = ", ".join(f"{budget:g}" for budget in sorted(points.budgets)) or "none"
            raise ConfigurationError(
                "PE-FUS-001", f"no calibrated settings for {target_fp:g} false positives a scan", f"there: {known}"
            )
        return points.budgets[max(low)]


def write_fusion(folder: Path, calibration: Calibration, ensemble: Sequence[str], chosen_on: Mapping[str, Any]) -> Path:
    """Write `fusion.json`.

    Args:
        folder: A model folder.
        calibration: What was chosen.
        ensemble: Names of the model folders.
        chosen_on: Scans, folds, models, detector: whatever a person needs to judge it.

    Returns:
        The file.

    Raises:
        OutputError: If it cannot be written.
    """
    path = folder / NAME
    atomic_json(
        path,
        {
            "format": FORMAT,
            "objective": str(calibration.objective),
            "segmentation": _described(calibration.segmentation),
            "fusion": None if calibration.fusion is None else _described(calibration.fusion),
            "boxes": None if calibration.boxes is None else asdict(calibration.boxes),
            "detection": None if calibration.detection is None else asdict(calibration.detection),
            "ensemble": sorted(ensemble),
            "chosen_on": dict(chosen_on),
        },
    )
    return path


def read_fusion(path: Path) -> StoredFusion:
    """Read `fusion.json`.

    Raises:
        ConfigurationError: PE-FUS-004 if it is damaged or of a newer form, PE-FUS-001 if its numbers are impossible.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        _require_format(content["format"])
        fusion, boxes = content["fusion"], content["boxes"]
        return StoredFusion(
            _points(content["segmentation"]),
            None if fusion is None else _points(fusion),
            None if boxes is None else float(boxes["confidence"]),
            tuple(str(name) for name in content["ensemble"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            "PE-FUS-004", f"{path} holds no calibrated settings: {error}", "remove it, or run pe-nnunet calibrate again"
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


def _described(points: Points) -> dict[str, Any]:
    return {
        **_outcome(points.chosen),
        "budgets": [{"target_fp": budget, **_outcome(choice)} for budget, choice in points.budgets.items()],
    }


def _outcome(choice: Choice) -> dict[str, Any]:
    return {
        "settings": asdict(choice.settings),
        "sensitivity": round(choice.sensitivity, 6),
        "false_positives_per_scan": round(choice.false_positives_per_scan, 6),
        "f1": round(choice.f1, 6),
        "found": choice.found,
        "emboli": choice.emboli,
    }


def _points(content: Mapping[str, Any]) -> StoredPoints:
    budgets = {float(entry["target_fp"]): _settings(entry["settings"]) for entry in content["budgets"]}
    return StoredPoints(_settings(content["settings"]), budgets)


def _require_format(number: Any) -> None:
    if number != FORMAT:
        raise ValueError(f"it has format {number}, expected {FORMAT}")


def _settings(content: Mapping[str, Any]) -> FusionSettings:
    known = {item.name for item in fields(FusionSettings)}
    unknown = sorted(set(content) - known)
    if unknown:
        raise ValueError(f"unknown setting {unknown[0]}")
    numbers = {name: None if value is None else float(value) for name, value in content.items()}
    return FusionSettings(**numbers)  # type: ignore[arg-type]  # of the fields only seed_threshold may be None
