"""Score a folder of predictions against a folder of labels."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from pe_nnunet.cases import CaseFailure, CaseLimits, work_through
from pe_nnunet.cases.engine import Engine
from pe_nnunet.errors import InputError, Note
from pe_nnunet.evaluation.prediction_pairing import NO_PREDICTION, find_lung_masks, find_pairs
from pe_nnunet.evaluation.read_as import (
    ReadAs,
    labels_read_as,
    notes_on_reading,
    predictions_read_as,
    with_kinds,
)
from pe_nnunet.evaluation.score_case import MAIN_PROTOCOL, ScoredCase, score_case
from pe_nnunet.evaluation.settings import EvaluationSettings
from pe_nnunet.metrics.case_scores import CaseScores
from pe_nnunet.metrics.cohort_scores import CohortScores, summarise
from pe_nnunet.metrics.detection_curves import Detection, detection
from pe_nnunet.metrics.froc import froc, operating_points


@dataclass(frozen=True)
class Evaluation:
    """Everything that an evaluation gives.

    Attributes:
        scored: Cases that could be scored, by case id.
        cohort: Over these; failed ones are in none of its numbers.
        failures: Cases that could not be scored, among them those without a prediction.
        unlabelled: Ids of predictions without a label, which are not scored.
        notes: What deserves a look.
        settings: How it was scored.
        detections: FROC, one a protocol and tolerance.
        groups: By subgroup, where these were given.
        labels: As what the labels were read.
        predictions: As what the predictions were read.
    """

    scored: tuple[ScoredCase, ...]
    cohort: CohortScores
    failures: tuple[CaseFailure, ...]
    unlabelled: tuple[str, ...]
    notes: tuple[Note, ...]
    settings: EvaluationSettings
    detections: tuple[Detection, ...]
    groups: dict[str, CohortScores]
    labels: ReadAs
    predictions: ReadAs

    @property
    def cases(self) -> tuple[CaseScores, ...]:
        """Their scores."""
        return tuple(case.scores for case in self.scored)

    @property
    def missing(self) -> tuple[str, ...]:
        """Ids of the cases without a prediction."""
        return tuple(failure.case_id for failure in self.failures if failure.code == NO_PREDICTION)

    @property
    def calibration(self) -> tuple[tuple[float, bool], ...]:
        """(probability, true or not) of all markers whose tool gives scores."""
        return tuple(pair for case in self.scored for pair in case.calibration)


def evaluate_folder(
    predictions: Path,
    labels: Path,
    settings: EvaluationSettings | None = None,
    *,
    groups: Mapping[str, str] | None = None,
    patients: Mapping[str, str] | None = None,
    lungs: Path | None = None,
    dataset_json: Path | None = None,
    only: Collection[str] | None = None,
    workers: int | None = 1,
    progress: bool = False,
    limits: CaseLimits | None = None,
    engine: Engine | None = None,
) -> Evaluation:
    """Score all cases that have a label; a case that fails is listed, and the rest goes on.

    Args:
        predictions: What `find_pairs` knows: masks, with tables or probabilities beside them or without, or markers.
        labels: Folder of `<case>.nii.gz` or .nrrd with ids or a mask, or of one folder a case, `emboli.nii.gz` in it.
        settings: How to score; the defaults if None.
        groups: case id -> subgroup, from `read_groups`.
        patients: case id -> patient, from `read_patients`; a case that is not in it is a patient of its own.
        lungs: Folder of lung masks, for the clot on each side; see `find_lung_masks`.
        dataset_json: What the labels' values mean, if that file does not lie beside them; see `labels_read_as`.
        only: Ids of the cases to score; all that have a label if None.
        workers: Processes; 1 for none beside this one; None for as many as are sensible.
        progress: Show a bar on a terminal.
        limits: What a case may take: each is then scored in a process beside this one.
        engine: What hands out the cases to workers elsewhere, in place of `workers`.

    Raises:
        ConfigurationError: PE-IN-002 if a folder does not exist; PE-EVAL-014 if a dataset.json does not say what is an
            embolus.
        InputError: PE-IN-001 if there is no label; PE-EVAL-007 if no case has a subgroup.
    """
    settings = settings or EvaluationSettings()
    files, missing, unlabelled = find_pairs(predictions, labels, only)
    masks = {} if lungs is None else find_lung_masks(lungs, files)
    of_labels = labels_read_as(labels, settings.label_kind, dataset_json)
    of_predictions = ReadAs(settings.prediction_kind)
    if any(of_case.mask is not None for of_case in files.values()):
        of_predictions = predictions_read_as(predictions, settings.prediction_kind, of_labels)
    jobs = {
        case_id: replace(
            with_kinds(of_case, of_labels, of_predictions, named=dataset_json is not None),
            patient=(patients or {}).get(case_id, ""),
            lungs=masks.get(case_id),
        )
        for case_id, of_case in files.items()
    }
    bar = "evaluate" if progress else ""
    score = partial(score_case, settings=settings)
    scored, failures = work_through(
        score, jobs, workers, limits=limits, died="PE-EVAL-010", bar=bar, quiet=True, engine=engine
    )
    done = list(scored.values())
    cases = [case.scores for case in done]
    whose = [case.drawn_with for case in cases]
    resampling = settings.resampling
    return Evaluation(
        scored=tuple(done),
        cohort=summarise(cases, empty=settings.empty, sensitivity_at_fp=_points(done, settings), resampling=resampling),
        failures=tuple(sorted([*missing, *failures], key=lambda failure: failure.case_id)),
        unlabelled=tuple(unlabelled),
        notes=(
            *notes_on_reading(jobs, of_labels, of_predictions),
            *_notes(
                unlabelled,
                [case.scores.case_id for case in done if not case.scored],
                [] if lungs is None else sorted(files.keys() - masks.keys()),
                [case.scores.case_id for case in done if case.ignores and not case.scores.positive],
            ),
            *(note for case in done for note in case.notes),
        ),
        settings=settings,
        detections=tuple(
            detection(protocol, eps, [case.hits[protocol, eps] for case in done], resampling, whose)
            for protocol in settings.protocols
            for eps in settings.eps_mm
            if done
        ),
        groups={
            name: summarise(part, empty=settings.empty, resampling=resampling)
            for name, part in (_split(cases, groups) if groups and cases else {}).items()
        },
        labels=of_labels,
        predictions=of_predictions,
    )


def _split(cases: Sequence[CaseScores], groups: Mapping[str, str]) -> dict[str, list[CaseScores]]:
    """Cases by subgroup, in the order of the subgroups' names."""
    split: dict[str, list[CaseScores]] = {}
    for case in cases:
        if case.case_id in groups:
            split.setdefault(groups[case.case_id], []).append(case)
    if not split:
        raise InputError("PE-EVAL-007", "no scored case has a subgroup", "the column `case` must hold the case ids")
    return dict(sorted(split.items()))


def _points(done: list[ScoredCase], settings: EvaluationSettings) -> list[dict[str, float | None]] | None:
    """Only where every case has scores, and there are emboli."""
    if not all(case.scored for case in done) or not any(case.scores.emboli for case in done):
        return None
    return operating_points(froc([case.hits[MAIN_PROTOCOL, 0.0] for case in done]), settings.fp_budgets)


def _notes(
    unlabelled: Sequence[str], unscored: Sequence[str], no_lungs: Sequence[str], doubtful: Sequence[str]
) -> tuple[Note, ...]:
    texts = (
        ("PE-EVAL-002", unlabelled, f"{len(unlabelled)} predictions without a label: {{}}"),
        ("PE-EVAL-005", unscored, "neither scores nor a probability for {}: a curve of one point, all scores 1"),
        ("PE-EVAL-009", no_lungs, "no lung mask, so no clot by side: {}"),
        ("PE-EVAL-018", doubtful, "no embolus outside ignored voxels, so counted as scans without emboli: {}"),
    )
    return tuple(Note(code, "warning", text.format(", ".join(cases))) for code, cases, text in texts if cases)
