"""Write an evaluation: files for programs, a page and pictures for people."""

from __future__ import annotations

from pathlib import Path

from pe_nnunet.evaluation.case_table import cases_csv
from pe_nnunet.evaluation.folder import Evaluation
from pe_nnunet.evaluation.marker_files import cad_pe_text
from pe_nnunet.evaluation.page import page
from pe_nnunet.evaluation.plots import write_plots
from pe_nnunet.evaluation.report import froc_csv, summary
from pe_nnunet.files import atomic_json, atomic_text


def write_evaluation(evaluation: Evaluation, folder: Path, *, markers: bool = False) -> None:
    """Write `summary.json`, `cases.csv` (one line a scored case), `froc.csv`, plots and `report.html`.

    Args:
        evaluation: From `evaluate_folder`.
        folder: Where to; made if missing.
        markers: Write what was scored too, in others' forms: `markers.txt` as the CAD-PE challenge takes it, and
            `markers/<case>.csv` as AANet has it.

    Raises:
        OutputError: PE-OUT-001 if a file cannot be written.
    """
    atomic_text(folder / "cases.csv", cases_csv(evaluation.cases))
    if evaluation.detections:
        atomic_text(folder / "froc.csv", froc_csv(evaluation.detections))
    if markers:
        atomic_text(folder / "markers.txt", cad_pe_text(evaluation.markers))
        for case, text in evaluation.marker_tables.items():
            atomic_text(folder / "markers" / f"{case}.csv", text)
    pictures = write_plots(evaluation, folder)
    atomic_text(folder / "report.html", page(evaluation, pictures))
    atomic_json(folder / "summary.json", summary(evaluation))
