"""`fusion.json` in a model folder as prediction reads it, and the settings that a prediction takes from it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Generic, TypeVar

from pe_nnunet.errors import ConfigurationError, Note
from pe_nnunet.files.json_reader import MALFORMED, read_object, why
from pe_nnunet.fusion.settings import FusionSettings
from pe_nnunet.fusion.weights import Weights

NAME = "fusion.json"
FORMAT = 2
DEFAULTS = "defaults"

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
        weights: Of the models and the detector that they were chosen with; None if it does not say.
    """

    segmentation: OperatingPoints[FusionSettings]
    fusion: OperatingPoints[FusionSettings] | None = None
    boxes_confidence: float | None = None
    ensemble: tuple[str, ...] = ()
    weights: Weights | None = None

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
        return StoredFusion(
            _points(content["segmentation"]),
            None if fusion is None else _points(fusion),
            None if boxes is None else _settings({"box_confidence": boxes["confidence"]}).box_confidence,
            tuple(str(name) for name in content["ensemble"]),
            Weights.from_json(content.get("chosen_on")),
        )
    except (*MALFORMED, ConfigurationError) as error:
        reason = error.message.removeprefix("--") if isinstance(error, ConfigurationError) else why(error)
        raise ConfigurationError(
            "PE-FUS-004",
            f"{path} holds no calibrated settings: {reason}",
            "remove it, or run pe-nnunet calibrate again",
        ) from error


@dataclass(frozen=True)
class Misfit:
    """Why calibrated settings are not, or not surely, for the weights that are used.

    Attributes:
        code: PE-FUS-005 another ensemble, PE-FUS-008 other weights, PE-FUS-009 nothing is known of the weights.
        text: In words, without what follows from it.
    """

    code: str
    text: str

    def note(self, outcome: str) -> Note:
        """With what follows from it."""
        return Note(self.code, "warning", f"{self.text}; {outcome}")


def misfit(path: Path, models: Collection[str], weights: Weights) -> Misfit | None:
    """Compare a `fusion.json` with the weights that are used.

    Args:
        path: The file.
        models: Names of the model folders.
        weights: Their weights.

    Returns:
        None if it was chosen for these models and weights, or for more folds of them.

    Raises:
        ConfigurationError: PE-FUS-004 if it cannot be read.
    """
    stored = read_fusion(path)
    if sorted(stored.ensemble) != sorted(models):
        return Misfit("PE-FUS-005", f"{path} was chosen for other models")
    if stored.weights is None:
        return Misfit("PE-FUS-009", f"{path} does not say for which weights it was chosen")
    if others := weights.not_among(stored.weights):
        return Misfit("PE-FUS-008", f"{path} was chosen for other weights ({', '.join(others)})")
    return None


@dataclass(frozen=True)
class FusionChoice:
    """The settings of a prediction and where they come from.

    Attributes:
        settings: They.
        notes: What a person should know about them.
        source: `"defaults"`, or the model folder whose `fusion.json` they are from, before what a person gave.
        source_sha256: Of that file; empty without one.
    """

    settings: FusionSettings
    notes: tuple[Note, ...] = ()
    source: str = DEFAULTS
    source_sha256: str = ""


def choose_settings(
    folders: Sequence[Path],
    weights: Weights,
    *,
    target_fp: float | None = None,
    accept: bool = False,
    **asked: float | None,
) -> FusionChoice:
    """Find the settings of an ensemble.

    Args:
        folders: Its model folders.
        weights: What is used of them; a detector among it has boxes.
        target_fp: Take those calibrated for at most this many false positives a scan.
        accept: Take settings that were chosen for other weights of this ensemble.
        **asked: Fields of `FusionSettings` that a person gave; those that are None were not given.

    Raises:
        ConfigurationError: PE-FUS-004 if a number of false positives is asked for and nothing is calibrated, or what is
            cannot be read; PE-FUS-001 if the settings are impossible.
    """
    path, why = _find(folders, weights, accept)
    notes: list[Note] = []
    given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    settings, detector = FusionSettings(), bool(weights.detector)
    if path is not None:
        settings = read_fusion(path).at(target_fp, detector=detector)
        if why is not None:
            notes.append(why.note("it is used nevertheless"))
        if "threshold" in given:
            given.setdefault("seed_threshold", None)  # hysteresis belongs to the threshold that it was chosen with
            given["candidate_threshold"] = min(settings.candidate_threshold, given["threshold"])
    elif target_fp is not None:
        raise ConfigurationError(
            "PE-FUS-004",
            f"no fusion.json for this ensemble in {folders[0]}, so nothing is known of {target_fp:g} false "
            f"positives a scan{'' if why is None else f': {why.text}'}",
            "run pe-nnunet calibrate, or give --threshold",
        )
    elif why is not None:
        hint = "" if why.code == "PE-FUS-005" else "; pe-nnunet calibrate chooses anew, --accept-calibration takes it"
        notes.append(why.note(f"the defaults count{hint}"))
    settings = replace(settings, **given)
    if detector and not settings.uses_detection:
        text = "boxes have weight zero: the detector's lungs count alone; pe-nnunet calibrate --detector finds weights"
        notes.append(Note("PE-FUS-007", "warning", text))
    if path is None:
        return FusionChoice(settings, tuple(notes))
    return FusionChoice(settings, tuple(notes), path.parent.name, sha256(path.read_bytes()).hexdigest())


def _find(folders: Sequence[Path], weights: Weights, accept: bool) -> tuple[Path | None, Misfit | None]:
    """The `fusion.json` to use, and what is doubtful about it, or about one that is not to be used."""
    models, why = [folder.resolve().name for folder in folders], None
    for folder in folders:
        path = folder / NAME
        if not path.is_file():
            continue
        why = misfit(path, models, weights)
        if why is None or why.code == "PE-FUS-009" or (accept and why.code == "PE-FUS-008"):
            return path, why
    return None, why


def _points(content: Mapping[str, Any]) -> OperatingPoints[FusionSettings]:
    budgets = {_budget(entry["target_fp"]): _settings(entry["settings"]) for entry in content["budgets"]}
    return OperatingPoints(_settings(content["settings"]), budgets)


def _budget(value: Any) -> float:
    number = float(value)
    if not 0 <= number < float("inf"):
        raise ValueError(f"target_fp is {number}, expected at least 0 and finite")
    return number


def _require_format(number: Any) -> None:
    if number != FORMAT:
        raise ValueError(f"it has format {number}, expected {FORMAT}")


def _settings(content: Mapping[str, Any]) -> FusionSettings:
    numbers = {name: None if value is None else float(value) for name, value in content.items()}
    return FusionSettings(**numbers)  # type: ignore[arg-type]  # of the fields only seed_threshold may be None
