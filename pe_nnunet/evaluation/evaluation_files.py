"""Write an evaluation: files for programs, a page and pictures for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pe_nnunet import __version__
from pe_nnunet.evaluation.folder import Evaluation
from pe_nnunet.evaluation.label_identity import SCORED_LABELS
from pe_nnunet.evaluation.page import page
from pe_nnunet.evaluation.plots import write_plots
from pe_nnunet.evaluation.read_as import READ_AS
from pe_nnunet.evaluation.text_tables import cad_pe_text, cases_csv
from pe_nnunet.files import atomic_entries, atomic_json, atomic_text
from pe_nnunet.metrics.cohort_scores import CohortScores
from pe_nnunet.metrics.detection_curves import Detection


def write_evaluation(evaluation: Evaluation, folder: Path, *, markers: bool = False) -> None:
    """Write `summary.json`, `cases.csv` (one line a scored case), `froc.csv`, plots and `report.html`.

    They appear together, `summary.json` last: where it is, the others are of the same evaluation.

    Args:
        evaluation: From `evaluate_folder`.
        folder: Where to; made if missing.
        markers: Write what was scored too, in others' forms: `markers.txt` as the CAD-PE challenge takes it, and
            `markers/<case>.csv` as AANet has it.

    Raises:
        OutputError: PE-OUT-001 if a file cannot be written.
    """
    with atomic_entries(folder, last="summary.json") as staged:
        atomic_text(staged / "cases.csv", cases_csv(evaluation.cases))
        if evaluation.detections:
            atomic_text(staged / "froc.csv", froc_csv(evaluation.detections))
        if markers:
            atomic_text(
                staged / "markers.txt", cad_pe_text({case.scores.case_id: case.markers for case in evaluation.scored})
            )
            for case in evaluation.scored:
                atomic_text(staged / "markers" / f"{case.scores.case_id}.csv", case.marker_table)
        pictures = write_plots(evaluation, staged)
        atomic_text(staged / "report.html", page(evaluation, pictures))
        atomic_json(staged / "summary.json", summary(evaluation))


def summary(evaluation: Evaluation) -> dict[str, Any]:
    """Everything but the numbers of single cases, in JSON's types; null where a number is not defined."""
    return {
        **_numbers(evaluation.cohort),
        "froc": _froc(evaluation.detections),
        "groups": {name: _numbers(group) for name, group in evaluation.groups.items()},
        "failed": len(evaluation.failures),
        "failures": [asdict(failure) for failure in evaluation.failures],
        "missing": list(evaluation.missing),
        "unlabelled": list(evaluation.unlabelled),
        "notes": [asdict(note) for note in evaluation.notes],
        "settings": evaluation.settings.to_dict(),
        READ_AS: {"labels": evaluation.labels.to_dict(), "predictions": evaluation.predictions.to_dict()},
        SCORED_LABELS: {case.scores.case_id: case.label._asdict() for case in evaluation.scored},
        "version": __version__,
    }


def froc_csv(detections: Sequence[Detection]) -> str:
    """Every point of every curve: protocol, eps_mm, threshold, false_positives_per_scan, sensitivity."""
    lines = ["protocol,eps_mm,threshold,false_positives_per_scan,sensitivity"]
    for found in detections:
        curve = found.curve
        if len(curve.sensitivity):
            points = zip(curve.thresholds, curve.fp_per_scan, curve.sensitivity, strict=True)
            lines += [f"{found.protocol},{found.eps_mm:g}," + ",".join(f"{v:.6g}" for v in point) for point in points]
    return "\n".join(lines) + "\n"


def _numbers(cohort: CohortScores) -> dict[str, Any]:
    intervals = {name: [estimate.low, estimate.high] for name, estimate in cohort.intervals.items()}
    return {"cohort": cohort.to_dict(), "intervals": intervals}


def _froc(detections: Sequence[Detection]) -> dict[str, dict[str, Any]]:
    nested: dict[str, dict[str, Any]] = {}
    for found in detections:
        nested.setdefault(found.protocol, {})[f"{found.eps_mm:g}"] = found.to_dict()
    return nested
