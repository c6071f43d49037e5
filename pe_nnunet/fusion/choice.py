"""Which settings a prediction takes: those of a `fusion.json` that was chosen for these very weights, or defaults."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from pe_nnunet.errors import ConfigurationError, Note
from pe_nnunet.fusion.model_weights import normalised, weight_notes
from pe_nnunet.fusion.settings import FusionSettings
from pe_nnunet.fusion.stored import NAME, read_fusion
from pe_nnunet.fusion.weights import Weights

DEFAULTS = "defaults"


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
        source: `"defaults"`, or the model folder whose `fusion.json` they are from, or the name of the file that was
            given, before what a person gave.
        source_sha256: Of that file; empty without one.
        model_weights: How much each model counts, in their order; they add up to 1. None: every fold of every model
            counts alike.
    """

    settings: FusionSettings
    notes: tuple[Note, ...] = ()
    source: str = DEFAULTS
    source_sha256: str = ""
    model_weights: tuple[float, ...] | None = None


def choose_settings(
    folders: Sequence[Path],
    weights: Weights,
    *,
    target_fp: float | None = None,
    accept: bool = False,
    file: Path | None = None,
    model_weights: Sequence[float] | None = None,
    **asked: float | None,
) -> FusionChoice:
    """Find the settings of an ensemble.

    Args:
        folders: Its model folders.
        weights: What is used of them; a detector among it has boxes.
        target_fp: Take those calibrated for at most this many false positives a scan.
        accept: Take settings that were chosen for other weights of this ensemble.
        file: The `fusion.json` to take; None looks for one in the folders.
        model_weights: How much each model counts, by hand; None takes what was calibrated, or else every fold alike.
        **asked: Fields of `FusionSettings` that a person gave; those that are None were not given.

    Raises:
        ConfigurationError: PE-FUS-004 if a number of false positives is asked for and nothing is calibrated, or what is
            cannot be read, or a file that was given is not there; PE-FUS-005 or -008 if it was chosen for others;
            PE-FUS-001 if the settings are impossible, PE-FUS-020 if the weights of the models are.
    """
    models = [folder.resolve().name for folder in folders]
    path, why = _find(folders, models, weights, accept) if file is None else _given(file, models, weights, accept)
    notes: list[Note] = []
    mixed = None if model_weights is None else normalised(model_weights, models)
    calibrated = None
    given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    settings, detector = FusionSettings(), bool(weights.detector)
    if path is not None:
        stored = read_fusion(path)
        settings, calibrated = stored.at(target_fp, detector=detector), stored.weights_of(models)
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
    used = calibrated if mixed is None else mixed
    folds = [sum(name == model for name, _ in weights.models) for model in models]
    notes += weight_notes(used, models, calibrated, given=mixed is not None and path is not None, folds=folds)
    if path is None:
        return FusionChoice(settings, tuple(notes), model_weights=used)
    source = path.parent.name if file is None else path.name
    return FusionChoice(settings, tuple(notes), source, sha256(path.read_bytes()).hexdigest(), used)


def given_settings(
    settings: FusionSettings | FusionChoice, folders: Sequence[Path], model_weights: Sequence[float] | None = None
) -> FusionChoice:
    """Settings that are given, with the weights of the models; no `fusion.json` is looked for.

    Args:
        settings: They, or what was chosen.
        folders: Model folders of the ensemble.
        model_weights: As in `choose_settings`; None for every fold alike.

    Raises:
        ConfigurationError: PE-FUS-020 if the weights are impossible.
    """
    models = [folder.resolve().name for folder in folders]
    used = None if model_weights is None else normalised(model_weights, models)
    notes = weight_notes(used, models, None, given=False)
    choice = settings if isinstance(settings, FusionChoice) else FusionChoice(settings, source="given")
    return replace(choice, notes=(*choice.notes, *notes), model_weights=used)


def _given(path: Path, models: Sequence[str], weights: Weights, accept: bool) -> tuple[Path, Misfit | None]:
    """A file that a person names, which is used or refused, and what is doubtful about it."""
    why = misfit(path, models, weights)
    if why is None or why.code == "PE-FUS-009" or (accept and why.code == "PE-FUS-008"):
        return path, why
    hint = "; --accept-calibration takes it nevertheless" if why.code == "PE-FUS-008" else ""
    raise ConfigurationError(why.code, why.text, f"name another with --fusion, or calibrate these models{hint}")


def _find(
    folders: Sequence[Path], models: Sequence[str], weights: Weights, accept: bool
) -> tuple[Path | None, Misfit | None]:
    """The `fusion.json` to use, and what is doubtful about it, or about one that is not to be used."""
    why = None
    for folder in folders:
        path = folder / NAME
        if not path.is_file():
            continue
        why = misfit(path, models, weights)
        if why is None or why.code == "PE-FUS-009" or (accept and why.code == "PE-FUS-008"):
            return path, why
    return None, why
