"""Score a folder of predictions against a folder of labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk
from tqdm import tqdm

from pe_nnunet.errors import Note
from pe_nnunet.evaluation.case import CaseScores, evaluate_case
from pe_nnunet.evaluation.cohort import CohortScores, summarise
from pe_nnunet.evaluation.instances import to_instances
from pe_nnunet.evaluation.operating_point import OperatingPoint, ScoredMarker, locate_markers, sensitivity_at
from pe_nnunet.evaluation.pairs import find_pairs
from pe_nnunet.evaluation.settings import EvaluationSettings
from pe_nnunet.outputs.run import CaseFailure
from pe_nnunet.outputs.table import read_emboli_csv
from pe_nnunet.volumes.geometry import require_same_grid, spacing_zyx
from pe_nnunet.volumes.labels import read_label
from pe_nnunet.volumes.write import image_suffix


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
    """

    cases: tuple[CaseScores, ...]
    cohort: CohortScores
    failures: tuple[CaseFailure, ...]
    missing: tuple[str, ...]
    unlabelled: tuple[str, ...]
    notes: tuple[Note, ...]
    settings: EvaluationSettings


def evaluate_folder(
    predictions: Path, labels: Path, settings: EvaluationSettings | None = None, *, progress: bool = False
) -> Evaluation:
    """Score all cases that have a label; a case that fails is listed, and the rest goes on.

    Args:
        predictions: Folder of `<case>.nii.gz` with ids or a mask, and `<case>_emboli.csv` beside them where there are
            scored candidates.
        labels: Folder of `<case>.nii.gz` or .nrrd with ids or a mask, or of one folder a case, `emboli.nii.gz` in it.
        settings: How to score; the defaults if None.
        progress: Show a bar on a terminal.

    Raises:
        ConfigurationError: PE-IN-002 if a folder does not exist.
        InputError: PE-IN-001 if there is no label.
    """
    settings = settings or EvaluationSettings()
    files = find_pairs(predictions, labels)
    cases: list[CaseScores] = []
    failures = list(files.failures)
    markers: list[ScoredMarker] = []
    without_table = []
    bar = tqdm(sorted(files.pairs.items()), desc="evaluate", unit="case", disable=None if progress else True)
    for case_id, (prediction, label) in bar:
        try:
            scores, located = _score(case_id, prediction, label, settings)
        except Exception as error:  # noqa: BLE001 - a case that fails is listed with its reason, and never stops the rest
            failures.append(CaseFailure.of(case_id, error))
            continue
        cases.append(scores)
        if located is None:
            without_table.append(case_id)
        else:
            markers += located
    points = None if without_table else _points(markers, cases, settings)
    return Evaluation(
        cases=tuple(cases),
        cohort=summarise(cases, empty=settings.empty, sensitivity_at_fp=points),
        failures=tuple(sorted(failures, key=lambda failure: failure.case_id)),
        missing=files.missing,
        unlabelled=files.unlabelled,
        notes=_notes(files.unlabelled, without_table),
        settings=settings,
    )


def _score(
    case_id: str, prediction: Path, label: Path, settings: EvaluationSettings
) -> tuple[CaseScores, list[ScoredMarker] | None]:
    found, true = read_label(prediction), read_label(label)
    require_same_grid(true, found, f"the prediction of case {case_id}")
    truth_ids = to_instances(sitk.GetArrayViewFromImage(true), settings.label_kind)
    found_ids = to_instances(sitk.GetArrayViewFromImage(found), settings.prediction_kind)
    table = prediction.with_name(f"{prediction.name[: -len(image_suffix(prediction))]}_emboli.csv")
    rows = read_emboli_csv(table) if table.is_file() else None
    scores = evaluate_case(
        found_ids,
        truth_ids,
        spacing_zyx(true),
        case_id=case_id,
        overlap=settings.overlap,
        empty=settings.empty,
        pe_score=None if rows is None else max((row.probability for row in rows), default=0.0),
    )
    return scores, None if rows is None else locate_markers(case_id, rows, truth_ids, true)


def _points(
    markers: list[ScoredMarker], cases: list[CaseScores], settings: EvaluationSettings
) -> tuple[OperatingPoint, ...] | None:
    emboli = sum(case.emboli for case in cases)
    if not emboli:
        return None
    return sensitivity_at(settings.fp_budgets, markers, emboli=emboli, scans=len(cases))


def _notes(unlabelled: tuple[str, ...], without_table: list[str]) -> tuple[Note, ...]:
    notes = []
    if unlabelled:
        notes.append(
            Note("PE-EVAL-002", "warning", f"{len(unlabelled)} predictions without a label: {', '.join(unlabelled)}")
        )
    if without_table:
        message = f"no <case>_emboli.csv for {', '.join(without_table)}: no sensitivity at a false-positive budget"
        notes.append(Note("PE-EVAL-005", "warning", message))
    return tuple(notes)
