"""What is chosen for an ensemble: how much each model counts, then the settings of their mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pe_nnunet.calibration.counts import Grid
from pe_nnunet.calibration.member_maps import MemberMaps, MixedScans
from pe_nnunet.calibration.search import Calibration, calibrate
from pe_nnunet.calibration.weight_search import WeightChoice, choose_weights
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.fusion.model_weights import plain_mean
from pe_nnunet.inference.locate import ModelLocation


@dataclass(frozen=True)
class EnsembleCalibration:
    """What was chosen.

    Attributes:
        models: Names of the model folders.
        weights: How much each counts.
        found: The settings for the mean with these weights.
        choice: What the weights were compared with; None where there was nothing to choose.
    """

    models: tuple[str, ...]
    weights: tuple[float, ...]
    found: Calibration
    choice: WeightChoice | None


def calibrate_ensemble(
    locations: Sequence[ModelLocation],
    members: Sequence[MemberMaps],
    max_fp_per_scan: float | None,
    grid: Grid,
    patients: Mapping[str, str],
) -> EnsembleCalibration:
    """Choose weights of models, where each has a map of its own, and settings.

    Args:
        locations: The models.
        members: What each model, or all together, say of each scan.
        max_fp_per_scan: As in `calibrate`.
        grid: As in `calibrate`.
        patients: As in `calibrate`.

    Raises:
        InputError: As `calibrate`.
    """
    names = model_names_of(locations)
    weights, choice = plain_mean([len(place.folds) for place in locations]), None
    emboli = any(member.has_emboli for member in members)
    if emboli and len(members[0].maps) > 1:
        choice = choose_weights(members, weights, max_fp_per_scan, grid, patients)
        weights = choice.weights
    found = calibrate(MixedScans(members, weights), max_fp_per_scan, grid, patients)
    if choice is not None and not (found.detection and found.detection.helps):
        # of the whole choice, weights included
        found = replace(found, cross_validated=choice.ways[choice.taken].cross_validated)
    return EnsembleCalibration(names, weights, found, choice)


def model_names_of(locations: Sequence[ModelLocation]) -> tuple[str, ...]:
    """Names of the folders, by which `fusion.json` tells models apart.

    Raises:
        ConfigurationError: PE-FUS-023 if two have the same.
    """
    names = tuple(place.folder.resolve().name for place in locations)
    if double := [name for name, count in Counter(names).items() if count > 1]:
        raise ConfigurationError(
            "PE-FUS-023",
            f"two of the models lie in folders called {double[0]}, by which their weights could not be told apart",
            "give one of the folders another name",
        )
    return names
