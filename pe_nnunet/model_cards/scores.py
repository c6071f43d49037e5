"""What a card says of scores: the numbers of `fusion.json` and of evaluations, with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.files.json_reader import MALFORMED, read_object, why
from pe_nnunet.fusion.settings import FusionSettings
from pe_nnunet.fusion.stored import read_fusion
from pe_nnunet.metrics.definitions import COMPARED, METRICS, place
from pe_nnunet.volumes.files.volume_file import file_sha256

SUMMARY = "summary.json"
_OF_A_POINT = ("sensitivity", "false_positives_per_scan", "f1")
_COUNTS = ("found", "emboli")
_NAMES = {
    "f1": "F1 of emboli",
    "sensitivity": "sensitivity, emboli",
    "precision": "precision, emboli",
    "assd_mm": "ASSD",
}


def calibration_facts(path: Path) -> dict[str, Any]:
    """What was calibrated, on how many scans, and what it came to.

    Args:
        path: A `fusion.json`.

    Raises:
        ConfigurationError: PE-FUS-004 if it cannot be read.
    """
    read_fusion(path)
    try:
        content = read_object(path)
        chosen_on = content.get("chosen_on") or {}
        points = {
            "segmentation alone": content["segmentation"],
            "detection alone": content["boxes"],
            "segmentation and detection": content["fusion"],
            "default settings": content.get("default"),
        }
        held = content.get("cross_validated")
        return {
            "sha256": file_sha256(path),
            "objective": str(content.get("objective") or ""),
            "scans": len(chosen_on["scans"]) if isinstance(chosen_on.get("scans"), list) else None,
            "models": {str(name): (content.get("model_weights") or {}).get(name) for name in content["ensemble"]},
            "points": {name: _point(point) for name, point in points.items() if point is not None},
            "on_other_patients": None if held is None else _estimate(held),
        }
    except MALFORMED as error:
        raise ConfigurationError("PE-FUS-004", f"{path} cannot be read: {why(error)}", "calibrate again") from error


def evaluation_facts(folder: Path, name: str) -> dict[str, Any]:
    """The numbers of a cohort with their 95 % intervals; nothing of single scans.

    Args:
        folder: Written by `pe-nnunet evaluate`.
        name: What the card calls it.

    Raises:
        ConfigurationError: PE-MODEL-027 if it holds no evaluation.
    """
    path = folder / SUMMARY
    try:
        content = read_object(path)
        cohort, intervals = content["cohort"], content["intervals"]
        return {
            "name": name,
            "sha256": file_sha256(path),
            "pe_nnunet": str(content["version"]),
            "scans": int(cohort["scans"]),
            "positive_scans": int(cohort["positive_scans"]),
            "emboli": int(cohort["emboli"]),
            "failed": int(content["failed"]),
            "doubts": sorted({str(note["code"]) for note in content["notes"]}),
            "metrics": {
                metric: _measured(value, intervals.get(metric))
                for metric in COMPARED
                if (value := _of_cohort(cohort, metric)) is not None
            },
            "sensitivity_at_fp": [
                _curve(protocol, *next(iter(by_eps.items()))) for protocol, by_eps in content["froc"].items() if by_eps
            ],
        }
    except MALFORMED as error:
        raise ConfigurationError(
            "PE-MODEL-027", f"{folder} holds no evaluation: {path.name}: {why(error)}", "name what evaluate wrote"
        ) from error


def label_of(metric: str) -> str:
    """A metric for people, with its unit.

    Example:
        >>> label_of("hd95_mm"), label_of("false_positives_per_scan"), label_of("f1")
        ('HD95 (mm)', 'false positives per scan', 'F1 of emboli')
    """
    if metric not in METRICS:
        return metric.replace("_", " ")
    unit = METRICS[metric].unit
    name = _NAMES.get(metric) or METRICS[metric].heading or metric.removesuffix(f"_{unit}").replace("_", " ")
    return f"{name} ({unit})" if unit else name


def _of_cohort(cohort: Mapping[str, Any], metric: str) -> Any:
    section, key = place(metric)
    return (cohort.get(section) or {}).get(key) if section else cohort.get(key)


def _curve(protocol: str, eps: str, found: Mapping[str, Any]) -> dict[str, Any]:
    at, intervals = found["sensitivity_at_fp"], found["sensitivity_at_fp_interval"]
    return {
        "protocol": str(protocol),
        "eps_mm": float(eps),
        "at": {f"{rate}": _measured(value, intervals.get(rate)) for rate, value in at.items() if value is not None},
    }


def _point(point: Mapping[str, Any]) -> dict[str, Any]:
    """Settings, with the defaults for those that are not there, and what they came to."""
    if "settings" in point:
        settings = asdict(FusionSettings(**point["settings"]))
        kept = {key: settings[key] for key in ("threshold", "min_volume_mm3")}
        if settings["box_weight"] or settings["no_box_penalty"]:
            kept["box_confidence"] = settings["box_confidence"]
    else:
        kept = {"box_confidence": point["confidence"]}
    return {**kept, **_numbers(point, _OF_A_POINT), **{key: point.get(key) for key in _COUNTS}}


def _estimate(held: Mapping[str, Any]) -> dict[str, Any]:
    intervals = held.get("intervals") or {}
    return {
        "patients": int(held["patients"]),
        **{key: int(held[key]) for key in _COUNTS},
        **{key: _measured(held[key], intervals.get(key)) for key in _OF_A_POINT},
    }


def _measured(value: Any, interval: Sequence[Any] | None) -> dict[str, float | None]:
    """A number with its 95 % interval, null where none was recorded."""
    low, high = interval or (None, None)
    numbers = {"value": value, "low": low, "high": high}
    return {key: None if number is None else round(float(number), 6) for key, number in numbers.items()}


def _numbers(content: Mapping[str, Any], keys: Sequence[str]) -> dict[str, float | None]:
    return {key: None if content.get(key) is None else round(float(content[key]), 6) for key in keys}
