"""Score a folder of predictions against a folder of labels."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pe_nnunet.cases import CaseFailure, work_through
from pe_nnunet.errors import Note
from pe_nnunet.evaluation.intervals import cohort_estimates, split_cases
from pe_nnunet.evaluation.lung_masks import find_lung_masks
from pe_nnunet.evaluation.pairs import find_pairs
from pe_nnunet.evaluation.score_case import CaseJob, ScoredCase, score_case
from pe_nnunet.evaluation.settings import EvaluationSettings
from pe_nnunet.metrics.bootstrap import Estimate
from pe_nnunet.metrics.case_scores import CaseScores
from pe_nnunet.metrics.cohort_scores import CohortScores, summarise
from pe_nnunet.metrics.detection_curves import Detection, detection
from pe_nnunet.metrics.froc import OperatingPoint, froc, operating_points
from pe_nnunet.metrics.markers import VoxelMarker


@dataclass(frozen=True)
class Subgroup:
    """The cases of one subgroup.

    Attributes:
        cohort: Their numbers.
        intervals: And how far to trust them.
    """

    cohort: CohortScores
    intervals: dict[str, Estimate]


@dataclass(frozen=True)
class Evaluation:
    """Everything that an evaluation gives.

    Attributes:
        cases: Scored cases, by case id.
        cohort: Over the scored cases; failed ones are in none of its numbers.
        failures: Cases that could not be scored, among them those without a prediction.
        missing: Ids of the cases without a prediction.
        unlabelled: Ids of predictions without a label, which are not scored.
        notes: What deserves a look.
        settings: How it was scored.
        intervals: 95 % intervals of the cohort's numbers.
        detections: FROC, one a protocol and tolerance.
        groups: By subgroup, where these were given.
        calibration: (probability, true or not) of all markers whose tool gives scores.
        markers: By case id, on the label's grid.
        marker_tables: The same as `id,x,y,z,prob` in LPS mm.
    """

    cases: tuple[CaseScores, ...]
    cohort: CohortScores
    failures: tuple[CaseFailure, ...]
    missing: tuple[str, ...]
    unlabelled: tuple[str, ...]
    notes: tuple[Note, ...]
    settings: EvaluationSettings
    intervals: dict[str, Estimate]
    detections: tuple[Detection, ...]
    groups: dict[str, Subgroup]
    calibration: tuple[tuple[float, bool], ...]
    markers: dict[str, tuple[VoxelMarker, ...]]
    marker_tables: dict[str, str]


def evaluate_folder(
    predictions: Path,
    labels: Path,
    settings: EvaluationSettings | None = None,
    *,
    groups: Mapping[str, str] | None = None,
    patients: Mapping[str, str] | None = None,
    lungs: Path | None = None,
    only: Collection[str] | None = None,
    workers: int | None = 1,
    progress: bool = False,
) -> Evaluation:
    """Score all cases that have a label; a case that fails is listed, and the rest goes on.

    Args:
        predictions: What `find_pairs` knows: masks, with tables or probabilities beside them or without, or markers.
        labels: Folder of `<case>.nii.gz` or .nrrd with ids or a mask, or of one folder a case, `emboli.nii.gz` in it.
        settings: How to score; the defaults if None.
        groups: case id -> subgroup, from `read_groups`.
        patients: case id -> patient, from `read_patients`; a case that is not in it is a patient of its own.
        lungs: Folder of lung masks, for the clot on each side; see `find_lung_masks`.
        only: Ids of the cases to score; all that have a label if None.
        workers: Processes; 1 for none beside this one; None for as many as are sensible.
        progress: Show a bar on a terminal.

    Raises:
        ConfigurationError: PE-IN-002 if a folder does not exist.
        InputError: PE-IN-001 if there is no label; PE-EVAL-007 if no case has a subgroup.
    """
    settings = settings or EvaluationSettings()
    files = find_pairs(predictions, labels, only)
    masks = {} if lungs is None else find_lung_masks(lungs, files.pairs)
    jobs = {
        case_id: CaseJob(case_id, prediction, label, (patients or {}).get(case_id, ""), masks.get(case_id))
        for case_id, (prediction, label) in sorted(files.pairs.items())
    }
    bar = "evaluate" if progress else ""
    scored, failures = work_through(partial(score_case, settings=settings), jobs, workers, bar=bar, quiet=True)
    done = list(scored.values())
    whose = [case.scores.drawn_with for case in done]
    cases = tuple(case.scores for case in done)
    unscored = [case.scores.case_id for case in done if not case.scored]
    split = split_cases(cases, groups) if groups and cases else {}
    resampling = settings.resampling
    return Evaluation(
        cases=cases,
        cohort=summarise(cases, empty=settings.empty, sensitivity_at_fp=_points(done, settings)),
        failures=tuple(sorted([*files.failures, *failures], key=lambda failure: failure.case_id)),
        missing=files.missing,
        unlabelled=files.unlabelled,
        notes=_notes(files.unlabelled, unscored, [] if lungs is None else sorted(files.pairs.keys() - masks.keys())),
        settings=settings,
        intervals=cohort_estimates(cases, resampling, settings.empty) if cases else {},
        detections=tuple(
            detection(protocol, eps, [case.hits[protocol, eps] for case in done], resampling, whose)
            for protocol in settings.protocols
            for eps in settings.eps_mm
            if done
        ),
        groups={
            name: Subgroup(summarise(part, empty=settings.empty), cohort_estimates(part, resampling, settings.empty))
            for name, part in split.items()
        },
        calibration=tuple(pair for case in done for pair in case.calibration),
        markers={case.scores.case_id: case.markers for case in done},
        marker_tables={case.scores.case_id: case.marker_table for case in done},
    )


def _points(done: list[ScoredCase], settings: EvaluationSettings) -> tuple[OperatingPoint, ...] | None:
    """Only where every case has scores, and there are emboli."""
    if not all(case.scored for case in done) or not any(case.scores.emboli for case in done):
        return None
    return operating_points(froc([case.hits["cad-pe", 0.0] for case in done]), settings.fp_budgets)


def _notes(unlabelled: Sequence[str], unscored: Sequence[str], no_lungs: Sequence[str]) -> tuple[Note, ...]:
    notes = []
    if unlabelled:
        notes.append(
            Note("PE-EVAL-002", "warning", f"{len(unlabelled)} predictions without a label: {', '.join(unlabelled)}")
        )
    if unscored:
        message = f"neither scores nor a probability for {', '.join(unscored)}: a curve of one point, all scores 1"
        notes.append(Note("PE-EVAL-005", "warning", message))
    if no_lungs:
        notes.append(Note("PE-EVAL-009", "warning", f"no lung mask, so no clot by side: {', '.join(no_lungs)}"))
    return tuple(notes)
