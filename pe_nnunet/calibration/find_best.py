"""Which models, together or alone, and which settings of the fusion find emboli best, by cross-validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from pe_nnunet.calibration.cross_validation import CrossValidated, mean_probability
from pe_nnunet.fusion import FusionSettings, find_emboli
from pe_nnunet.metrics.case_scores import CaseScores, evaluate_case
from pe_nnunet.metrics.cohort_scores import CohortScores, summarise
from pe_nnunet.metrics.instances import LabelKind, to_instances
from pe_nnunet.volumes.geometry import spacing_zyx
from pe_nnunet.volumes.readers import read_label
from pe_nnunet.voxels import Box


@dataclass(frozen=True)
class Candidate:
    """One way to find emboli.

    Attributes:
        models: Names of the models whose mean probability is taken.
        threshold: Of that probability.
        min_volume_mm3: Smaller findings are left out.
    """

    models: tuple[str, ...]
    threshold: float
    min_volume_mm3: float


@dataclass(frozen=True)
class CandidateJob:
    """One case to score under all candidates.

    Attributes:
        case_id: The case.
        label: Its label, ids of emboli or classes.
        kind: Which of the two.
        ensembles: Models that are tried, alone and together.
        thresholds: That are tried.
        min_volumes_mm3: That are tried.
    """

    case_id: str
    label: Path
    kind: LabelKind
    ensembles: tuple[tuple[CrossValidated, ...], ...]
    thresholds: tuple[float, ...]
    min_volumes_mm3: tuple[float, ...]


@dataclass(frozen=True)
class Best:
    """The choice.

    Attributes:
        candidate: The best.
        cohort: Its numbers on the scans that it was chosen on.
        held_out: What the same choice gives on scans that it was not made on: made anew for each fold on the others;
            None with a single fold.
    """

    candidate: Candidate
    cohort: CohortScores
    held_out: CohortScores | None


def ensembles(models: Sequence[CrossValidated], largest: int) -> tuple[tuple[CrossValidated, ...], ...]:
    """Every model alone, then every combination of up to `largest`."""
    return tuple(chosen for size in range(1, largest + 1) for chosen in combinations(models, size))


def score_candidates(job: CandidateJob) -> dict[Candidate, CaseScores]:
    """Score one case under every candidate."""
    grid = read_label(job.label)
    spacing_mm = spacing_zyx(grid)
    whole = sitk.GetArrayViewFromImage(grid)
    result = {}
    for models in job.ensembles:
        probability = mean_probability(models, job.case_id, whole.shape)
        box = Box.around((probability >= min(job.thresholds)) | (whole != 0)) or Box((0, 0, 0), (1, 1, 1))
        truth = to_instances(whole[box.slices], job.kind)
        for threshold in job.thresholds:
            settings = FusionSettings(threshold, candidate_threshold=threshold, min_volume_mm3=0.0)
            found = find_emboli(probability[box.slices], spacing_mm, settings)
            volumes = {row.id: row.volume_mm3 for row in found.kept}
            for least in job.min_volumes_mm3:
                keep = np.zeros(len(volumes) + 1, bool)
                for number, volume in volumes.items():
                    keep[number] = volume >= least * (1 - 1e-9)  # as the fusion itself compares
                labels = np.where(keep[found.labels], found.labels, 0)
                candidate = Candidate(tuple(model.name for model in models), threshold, least)
                result[candidate] = evaluate_case(
                    labels, truth, spacing_mm, case_id=job.case_id, pe_score=found.pe_score
                )
    return result


def choose(
    scores: Mapping[str, Mapping[Candidate, CaseScores]],
    fold_of: Mapping[str, str],
    most_false_positives: float | None = None,
) -> Best:
    """Take the best candidate, and say what such a choice is worth on other scans.

    Args:
        scores: case id -> the scores of all candidates, at least one case.
        fold_of: case id -> fold.
        most_false_positives: Without it the best has the highest F1 of emboli, pooled over scans. With it, the highest
            sensitivity at no more than so many false findings a scan; where none keeps to that, the fewest of them.
            Of equals the one with fewer models wins, then the fewer false findings, then the first.
    """
    best = _best(scores, most_false_positives)
    chosen = [by_candidate[best] for by_candidate in scores.values()]
    folds = sorted({fold_of[case] for case in scores})
    held_out: list[CaseScores] = []
    for fold in folds if len(folds) > 1 else ():
        rest = {case: rows for case, rows in scores.items() if fold_of[case] != fold}
        theirs = _best(rest, most_false_positives)
        held_out += [rows[theirs] for case, rows in scores.items() if fold_of[case] == fold]
    return Best(best, summarise(chosen), summarise(held_out) if held_out else None)


def cohort_of(scores: Mapping[str, Mapping[Candidate, CaseScores]], candidate: Candidate) -> CohortScores:
    """The numbers of one candidate."""
    return summarise([rows[candidate] for rows in scores.values()])


def _best(scores: Mapping[str, Mapping[Candidate, CaseScores]], most_false_positives: float | None) -> Candidate:
    candidates = list(next(iter(scores.values())))

    def merit(candidate: Candidate) -> tuple[float, ...]:
        cohort = cohort_of(scores, candidate)
        false = cohort.false_positives_per_scan or 0.0
        if most_false_positives is None:
            main: tuple[float, ...] = (cohort.f1 or 0.0,)
        elif false <= most_false_positives:
            main = (1.0, cohort.sensitivity or 0.0)
        else:
            main = (0.0, -false)
        return (*main, -len(candidate.models), -false)

    return max(candidates, key=merit)
