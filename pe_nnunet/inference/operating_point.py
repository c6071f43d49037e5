"""Which fusion settings a prediction uses: as asked for, else as calibrated for the ensemble, else the defaults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pe_nnunet.errors import ConfigurationError, Note
from pe_nnunet.fusion import FusionSettings
from pe_nnunet.fusion.stored import find_fusion


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
    if stored is None:
        if target_fp is not None:
            raise ConfigurationError(
                "PE-FUS-004",
                f"no fusion.json for this ensemble in {folders[0]}, so nothing is known of {target_fp:g} false "
                "positives a scan",
                "run pe-nnunet calibrate, or give --threshold",
            )
        if other is not None:
            notes.append(Note("PE-FUS-005", "warning", f"{other} was chosen for other models; the defaults count"))
        settings = replace(FusionSettings(), **given)
        return settings, (*notes, *_without_weight(settings, detector))
    settings = stored.at(target_fp, detector=detector)
    if "threshold" in given and "seed_threshold" not in given:
        given["seed_threshold"] = None  # hysteresis belongs to the threshold that it was chosen with
    if "threshold" in given:
        given["candidate_threshold"] = min(settings.candidate_threshold, given["threshold"])
    settings = replace(settings, **given)
    return settings, _without_weight(settings, detector)


def _without_weight(settings: FusionSettings, detector: bool) -> tuple[Note, ...]:
    if settings.uses_detection or not detector:
        return ()
    text = "boxes have weight zero: the detector's lungs count alone; pe-nnunet calibrate --detector finds weights"
    return (Note("PE-FUS-007", "warning", text),)
