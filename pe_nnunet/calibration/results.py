"""What `pe-nnunet calibrate` has chosen: `fusion.json`, and a text."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pe_nnunet.calibration.cross_validation import MIN_SCANS, Estimate
from pe_nnunet.calibration.ensemble_calibration import EnsembleCalibration
from pe_nnunet.calibration.search import Calibration, OperatingPoint
from pe_nnunet.calibration.weight_search import WeightChoice
from pe_nnunet.errors import InputError, OutputError
from pe_nnunet.files import atomic_json
from pe_nnunet.fusion.model_weights import weights_text
from pe_nnunet.fusion.stored import FORMAT, OperatingPoints
from pe_nnunet.inference.shipped import require_not_shipped

NOTHING_CHOSEN = ("PE-FUS-002", "PE-FUS-006", "PE-FUS-010")


def require_writable(path: Path) -> None:
    """Check, before hours of work, that a file can be written.

    Raises:
        OutputError: PE-OUT-001 if it cannot.
        ConfigurationError: PE-MODEL-032 if it would lie in a shipped model.
    """
    require_not_shipped(path.parent, path.name, "name a file with --output; predict-fused takes it by --fusion")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(0, "it is a folder")
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        hint = "name a file elsewhere with --output"
        raise OutputError("PE-OUT-001", f"{path} cannot be written: {error.strerror}", hint) from error


def write_fusion(path: Path, chosen: EnsembleCalibration, chosen_on: Mapping[str, Any]) -> None:
    """Write `fusion.json`.

    Args:
        path: The file.
        chosen: What was chosen.
        chosen_on: Scans, folds, models, detector: whatever a person needs to judge it.

    Raises:
        OutputError: PE-OUT-001 if it cannot be written.
    """
    found, boxes = chosen.found, None
    if found.boxes is not None:
        boxes = {"confidence": found.boxes.settings.box_confidence} | asdict(found.boxes)
        del boxes["settings"]
    atomic_json(
        path,
        {
            "format": FORMAT,
            "objective": _objective(found),
            "segmentation": _points(found.segmentation),
            "fusion": None if found.fusion is None else _points(found.fusion),
            "boxes": boxes,
            "detection": None if found.detection is None else asdict(found.detection),
            "default": None if found.default is None else _rounded(found.default),
            "cross_validated": None if found.cross_validated is None else _rounded(found.cross_validated),
            "ensemble": sorted(chosen.models),
            "model_weights": dict(sorted(zip(chosen.models, chosen.weights, strict=True))),
            "weight_choice": None if chosen.choice is None else _weight_choice(chosen.models, chosen.choice),
            "chosen_on": dict(chosen_on),
        },
    )


def _weight_choice(models: Sequence[str], choice: WeightChoice) -> dict[str, Any]:
    ways: dict[str, Any] = {
        str(way): {
            "weights": dict(zip(models, one.weights, strict=True)),
            **_rounded(one.point),
            "cross_validated": None if one.cross_validated is None else _rounded(one.cross_validated),
        }
        for way, one in choice.ways.items()
    }
    return {
        "taken": choice.taken,
        "tried": choice.tried,
        **ways,
        "each_alone": {model: _rounded(point) for model, point in zip(models, choice.alone, strict=True)},
        "searched_against_the_others": asdict(choice.comparison),
    }


def _points(points: OperatingPoints[OperatingPoint]) -> dict[str, Any]:
    budgets = [{"target_fp": budget, **_rounded(point)} for budget, point in points.budgets.items()]
    return {**_rounded(points.chosen), "budgets": budgets}


def _rounded(point: OperatingPoint | Estimate) -> dict[str, Any]:
    return {key: round(value, 6) if isinstance(value, float) else value for key, value in asdict(point).items()}


def _objective(found: Calibration) -> str:
    if found.max_fp_per_scan is None:
        return "F1 of emboli"
    return f"sensitivity at {found.max_fp_per_scan:g} false positives a scan"


@contextmanager
def naming_older(*files: Path) -> Iterator[None]:
    """Let the error that nothing can be chosen name what an earlier choice has left, which stays as it is."""
    try:
        yield
    except InputError as error:
        older = " and ".join(str(path) for path in files if path.is_file())
        if error.code not in NOTHING_CHOSEN or not older:
            raise
        raise InputError(error.code, error.message, f"{error.hint}; {older}, chosen earlier, stays as it is") from error


def calibration_text(chosen: EnsembleCalibration, scans: int, shift: Mapping[str, Any] | None) -> str:
    """What was chosen, for a person.

    Args:
        chosen: What was chosen.
        scans: On how many scans.
        shift: From `measure_shift`; None where it was not measured.
    """
    found = chosen.found
    lines = [] if chosen.choice is None else _weights_lines(chosen.models, chosen.choice, found)
    best = found.best
    lines.append(f"highest {_objective(found)} on {scans} scans with {best.chosen.emboli} emboli:")
    if found.fusion is None or found.detection is None:
        lines.append(f"    {_point(best.chosen)}")
    else:
        test = found.detection
        helps = f"on fewer than {MIN_SCANS} scans nothing shows whether boxes help: they get weight zero"
        if scans >= MIN_SCANS:
            helps = (
                f"gain {test.gain:+.3f} on scans it was not chosen on, positive in {test.certainty:.0%} of resamples: "
                f"boxes {'count' if test.helps else 'get weight zero'}"
            )
        alone = "PE-FUS-011: no confidence can be chosen, as no box finds an embolus"
        if found.boxes is not None:
            alone = f"from confidence {found.boxes.settings.box_confidence:g}: {_outcome(found.boxes)}"
        lines += [
            f"    segmentation alone, {_point(found.segmentation.chosen)}",
            f"    detection alone, {alone}",
            f"    both, {_point(found.fusion.chosen)}",
            f"    {helps}",
        ]
    if found.default is not None:
        lines.append(f"    the defaults, {_point(found.default)}")
    if found.cross_validated is not None:
        held = found.cross_validated
        lines.append(f"the same choice, made on other patients than it is counted on: {_outcome(held)}")
    lines += [f"at most {n:g} false positives a scan: {_point(point)}" for n, point in best.budgets.items()]
    if shift is not None:
        lines += [
            f"on {shift['scans']} further scans with {shift['emboli']} emboli: single folds find "
            f"{_percent(shift['single_sensitivity'])} with {shift['single_fp_per_scan']:.2f} false positives a scan, "
            f"their mean {_percent(shift['mean_sensitivity'])} with {shift['mean_fp_per_scan']:.2f}",
            f"    the mean comes nearest to the single folds' false positives at threshold "
            f"{shift['equal_threshold']:g} instead of {shift['threshold']:g}",
        ]
    return "\n".join(lines)


def _weights_lines(models: Sequence[str], choice: WeightChoice, found: Calibration) -> list[str]:
    """What the weights were compared with, and by how much."""
    searched, test = choice.ways["searched"], choice.comparison

    def line(name: str, point: OperatingPoint, held: Estimate | None = None) -> str:
        other = "" if held is None else f"; on other patients {_outcome(held)}"
        return f"    {name}: {_outcome(point)}{other}"

    lines = [f"weights of the models, by {_objective(found)}, {choice.tried} sets tried:"]
    lines.append(line("the mean of all", choice.ways["mean"].point, choice.ways["mean"].cross_validated))
    lines += [line(f"{model} alone", point) for model, point in zip(models, choice.alone, strict=True)]
    alone = choice.ways["alone"]
    best = weights_text(alone.weights, models)
    lines.append(line(f"the best alone ({best})", alone.point, alone.cross_validated))
    text = weights_text(searched.weights, models)
    lines.append(line(f"the best of all sets ({text})", searched.point, searched.cross_validated))
    taken = {"mean": "the mean is taken", "alone": "the best alone is taken", "searched": "the best set is taken"}
    shown = f"{test.gain:+.3f} on patients that nothing was chosen on, better in {test.certainty:.0%} of resamples"
    if test.patients < MIN_SCANS:
        shown = f"on fewer than {MIN_SCANS} patients nothing shows that it is better elsewhere"
    return [*lines, f"    the search against the mean and the best alone: {shown}: {taken[choice.taken]}"]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def _point(point: OperatingPoint) -> str:
    s = point.settings
    boxes = ""
    if s.uses_detection:
        boxes = f", boxes from {s.box_confidence:g}: {s.box_weight:g}, without -{s.no_box_penalty:g}"
    return f"threshold {s.threshold:g}, seed {s.seed:g}, from {s.min_volume_mm3:g} mm3{boxes}: {_outcome(point)}"


def _outcome(point: OperatingPoint | Estimate) -> str:
    return (
        f"{point.found} of {point.emboli} emboli, {point.false_positives_per_scan:.2f} false positives a scan, "
        f"F1 {point.f1:.2f}"
    )
