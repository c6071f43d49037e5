"""Which models, together or alone, and which settings of the fusion find emboli best, by cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pe_nnunet.calibration.counts import FOUND, Grid, LabelledScan, count_findings
from pe_nnunet.calibration.objective import best, held_out, rates, require_found
from pe_nnunet.calibration.out_of_fold import stored_probability
from pe_nnunet.calibration.validation_cases import VALIDATION, ValidationCase
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.fusion import FusionSettings, find_emboli
from pe_nnunet.inference.locate import model_names
from pe_nnunet.metrics.case_scores import CaseScores, evaluate_case
from pe_nnunet.metrics.ignored import without_ignored
from pe_nnunet.volumes.geometry import spacing_zyx
from pe_nnunet.voxels import Box

Candidate = tuple[tuple[str, ...], FusionSettings]
"""Names of the models whose mean probability is taken, and what emboli are found with in it."""


def model_folders(
    results: Path, trainers: Sequence[str] | None, plans: Sequence[str], configurations: Sequence[str]
) -> list[Path]:
    """The models to try.

    Args:
        results: The dataset's folder below `nnUNet_results`.
        trainers: Without any, all models that hold validation probabilities.
        plans: One, or as many as trainers.
        configurations: As plans.

    Raises:
        ConfigurationError: PE-MODEL-004 if the lists do not fit; PE-EVAL-011 if there is no such model.
    """
    if trainers is None:
        found = sorted({path.parents[2] for path in results.glob(f"*__*/fold_*/{VALIDATION}/*.npz")})
        if not found:
            raise ConfigurationError(
                "PE-EVAL-011",
                f"no model in {results} has validation probabilities",
                "nnUNetv2_train ... --npz, or --val --npz for a fold that is trained",
            )
        return found
    return [results / name for name in model_names(trainers, plans, configurations)]


def candidates_of(
    models: Sequence[str], max_models: int, thresholds: Sequence[float], min_volumes_mm3: Sequence[float]
) -> list[Candidate]:
    """Every model alone, then every combination of up to so many, each with all settings.

    Args:
        models: Names of their folders.
        max_models: Of an ensemble.
        thresholds: Of the probability.
        min_volumes_mm3: Of a finding.

    Raises:
        ConfigurationError: PE-FUS-001 for settings out of range.
    """
    base = FusionSettings()
    base = replace(base, candidate_threshold=min(base.candidate_threshold, *thresholds))
    settings = dict.fromkeys(Grid(tuple(thresholds), (0.0,), tuple(min_volumes_mm3)).settings(base, detector=False))
    sizes = range(1, max(1, min(max_models, len(models))) + 1)
    return [(chosen, choice) for size in sizes for chosen in combinations(models, size) for choice in settings]


def count_case(case: ValidationCase, candidates: Sequence[Candidate]) -> NDArray[np.int64]:
    """What the candidates find in a case, (candidates, 7); see `count_findings`."""
    lowest = min(settings.threshold for _, settings in candidates)
    by_models: dict[tuple[str, ...], list[int]] = {}
    for number, (models, _) in enumerate(candidates):
        by_models.setdefault(models, []).append(number)
    counts = np.zeros((len(candidates), 7), np.int64)
    truth = case.truth_and_ignored()
    for models, numbers in by_models.items():
        scan = _scan(case, truth, models, lowest)
        counts[numbers] = count_findings([scan], [candidates[number][1] for number in numbers])[:, 0]
    return counts


def score_case(chosen: tuple[ValidationCase, Sequence[Candidate]]) -> list[CaseScores]:
    """All scores of a case under each of the candidates that were chosen for it."""
    case, candidates = chosen
    scores, truth = [], case.truth_and_ignored()
    for models, settings in candidates:
        scan = _scan(case, truth, models, settings.threshold)
        settings = replace(settings, candidate_threshold=settings.threshold)
        found = find_emboli(scan.probability, scan.spacing_mm, settings)
        scores.append(
            evaluate_case(
                without_ignored(found.labels, scan.ignored),
                scan.truth,
                scan.spacing_mm,
                case_id=case.case_id,
                pe_score=found.pe_score if scan.ignored is None else _highest_counted(scan, settings.threshold),
            )
        )
    return scores


def _highest_counted(scan: LabelledScan, threshold: float) -> float:
    """The highest probability of a finding outside ignored voxels; 0 without one."""
    highest = without_ignored(scan.probability, scan.ignored).max(initial=0.0)
    return float(highest) if highest >= np.float32(threshold) else 0.0


def _scan(
    case: ValidationCase,
    truth_and_ignored: tuple[sitk.Image, sitk.Image | None],
    models: Sequence[str],
    threshold: float,
) -> LabelledScan:
    """The part of a case that holds emboli or a probability of at least the threshold."""
    truth, ignored = truth_and_ignored
    ids = sitk.GetArrayViewFromImage(truth)
    probability = stored_probability(case, models, truth)
    box = (Box.around((probability >= threshold) | (ids != 0)) or Box((0, 0, 0), (1, 1, 1))).slices
    mask = None if ignored is None else sitk.GetArrayViewFromImage(ignored)[box] > 0
    return LabelledScan(case.case_id, probability[box], ids[box], spacing_zyx(truth), ignored=mask)


def choose(
    candidates: Sequence[Candidate],
    counts: NDArray[np.int64],
    folds: Sequence[str],
    max_fp_per_scan: float | None = None,
) -> tuple[int, NDArray[np.intp] | None]:
    """Take the best candidate, and make the same choice for each fold on the others.

    Of equals that with fewer models wins, then that with fewer false findings, then the first.

    Args:
        candidates: Models and settings, in the order in which they were counted.
        counts: (candidates, scans, 7).
        folds: Of each scan.
        max_fp_per_scan: The highest sensitivity at no more than so many false findings a scan is taken; None: the
            highest F1 of emboli, pooled over scans.

    Returns:
        The number of the best, and for each scan the number of that which is best on the other folds; None with a
        single fold, or where nothing can be chosen on the others.

    Raises:
        InputError: PE-FUS-010 if nothing can be chosen.
    """
    sizes = [len(models) for models, _ in candidates]
    volumes = [settings.min_volume_mm3 for _, settings in candidates]

    def choice(of: NDArray[np.int64]) -> int:
        _, false, _ = rates(of.sum(axis=1), of.shape[1])
        return best(of, max_fp_per_scan, volumes, (sizes, false))

    number = choice(counts)
    require_found(counts, number, max_fp_per_scan)
    names, parts = np.unique(folds, return_inverse=True)
    if len(names) == 1:
        return number, None
    chosen = held_out(counts, parts, choice)
    made = all(counts[chosen[parts == part][0]][parts != part, FOUND].any() for part in np.unique(parts))
    return number, chosen if made else None
