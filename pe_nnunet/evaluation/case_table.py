"""`cases.csv`: one line a scored case, written by `evaluate` and read by `compare`."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path

from pe_nnunet.errors import InputError
from pe_nnunet.metrics.case_scores import CaseScores
from pe_nnunet.metrics.clot_geometry import ClotGeometry
from pe_nnunet.metrics.outlines import PanopticScores, SurfaceScores

COLUMNS = {
    "case": "case_id",
    "patient": "patient",
    **{name: name for name in ("emboli", "found", "findings", "false_positives", "merged", "split")},
    **{name: name for name in ("dice", "sensitivity", "precision", "f1", "truth_ml", "predicted_ml", "pe_score")},
    **{name: f"surface.{name}" for name in ("surface_dice", "hd95_mm", "assd_mm")},
    **{name: f"panoptic.{name}" for name in ("panoptic_quality", "matched_dice")},
    **{
        f"{side}_{name}": f"{side}_clot.{name}"
        for side in ("truth", "predicted")
        for name in ("largest_ml", "left_ml", "right_ml", "outside_lungs")
    },
}


def cases_csv(cases: Sequence[CaseScores]) -> str:
    """One line a case; empty where a number is not defined."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for case in cases:
        values = [_value(case, path) for path in COLUMNS.values()]
        writer.writerow([f"{value:.6g}" if isinstance(value, float) else value for value in values])
    return text.getvalue()


def read_cases(folder: Path) -> list[CaseScores]:
    """Read the `cases.csv` that `pe-nnunet evaluate` wrote, by case id.

    Raises:
        InputError: PE-IN-002 if there is none, PE-EVAL-008 if it is not such a table.
    """
    path = folder / "cases.csv"
    if not path.is_file():
        raise InputError("PE-IN-002", f"{path} does not exist", "give the folder that `pe-nnunet evaluate -o` wrote")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            cases = [_case(row) for row in csv.DictReader(file)]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError("PE-EVAL-008", f"{path} is no table of scored cases: {error}", "evaluate again") from error
    return sorted(cases, key=lambda case: case.case_id)


def _value(case: CaseScores, path: str) -> object:
    part = path.partition(".")[0]
    return None if getattr(case, part) is None else attrgetter(path)(case)


def _case(row: dict[str, str]) -> CaseScores:
    def number(name: str) -> float | None:
        return float(row[name]) if row[name] else None

    def clot(side: str) -> ClotGeometry | None:
        largest = number(f"{side}_largest_ml")
        rest = (number(f"{side}_{name}") for name in ("left_ml", "right_ml", "outside_lungs"))
        return None if largest is None else ClotGeometry(largest, *rest)

    return CaseScores(
        case_id=row["case"],
        patient=row["patient"],
        emboli=int(row["emboli"]),
        found=int(row["found"]),
        findings=int(row["findings"]),
        true_findings=int(row["findings"]) - int(row["false_positives"]),
        merged=int(row["merged"]),
        split=int(row["split"]),
        dice=number("dice"),
        sensitivity=number("sensitivity"),
        precision=number("precision"),
        f1=number("f1"),
        truth_ml=float(row["truth_ml"]),
        predicted_ml=number("predicted_ml"),
        pe_score=number("pe_score"),
        surface=SurfaceScores(number("surface_dice"), number("hd95_mm"), number("assd_mm")),
        panoptic=PanopticScores(number("panoptic_quality"), number("matched_dice")),
        truth_clot=clot("truth"),
        predicted_clot=clot("predicted"),
    )
