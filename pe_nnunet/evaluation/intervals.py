"""Intervals of a cohort's numbers, and the cohort by subgroups."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pe_nnunet.errors import InputError
from pe_nnunet.metrics.bootstrap import Estimate, Resampling, estimates
from pe_nnunet.metrics.case_scores import CaseScores
from pe_nnunet.metrics.cohort_scores import LEAST_NEGATIVES, CohortScores, summarise
from pe_nnunet.metrics.empty_policy import EmptyPolicy
from pe_nnunet.volumes.find import clean


def cohort_numbers(cohort: CohortScores) -> dict[str, float | None]:
    """The numbers that get an interval."""
    return {
        "dice": cohort.dice,
        "surface_dice": cohort.outlines.surface_dice,
        "hd95_mm": cohort.outlines.hd95_mm,
        "assd_mm": cohort.outlines.assd_mm,
        "panoptic_quality": cohort.outlines.panoptic_quality,
        "matched_dice": cohort.outlines.matched_dice,
        "sensitivity": cohort.sensitivity,
        "precision": cohort.precision,
        "f1": cohort.f1,
        "false_positives_per_scan": cohort.false_positives_per_scan,
        "volume_error_ml": cohort.volume_error_ml,
        "patient_sensitivity": cohort.patients.sensitivity,
        "patient_specificity": cohort.patients.specificity,
        "patient_auroc": cohort.patients.auroc,
    }


def cohort_estimates(
    cases: Sequence[CaseScores], resampling: Resampling, empty: EmptyPolicy | None = None
) -> dict[str, Estimate]:
    """A cohort's numbers with 95 % intervals from resampling its patients.

    Args:
        cases: At least one.
        resampling: How often, and the seed.
        empty: As in `summarise`.
    """
    enough = sum(not case.positive for case in cases) >= LEAST_NEGATIVES

    def numbers(weights: NDArray[np.int64]) -> dict[str, float | None]:
        drawn = [case for case, times in zip(cases, weights, strict=True) for _ in range(times)]
        # A sample of a cohort with negatives enough may have fewer.
        return cohort_numbers(summarise(drawn, empty=empty, least_negatives=1 if enough else len(cases) + 1))

    return estimates(numbers, [case.drawn_with for case in cases], resampling)


def read_groups(path: Path, column: str) -> dict[str, str]:
    """Read the subgroup of each case from a CSV with a column `case` and others.

    Args:
        path: A CSV in UTF-8.
        column: Whose values name the subgroups.

    Returns:
        case id, cleaned as results are named -> subgroup; cases with an empty field are in none.

    Raises:
        InputError: PE-IN-002 if there is no such file, PE-EVAL-007 if it lacks `case` or the column.
    """
    if not path.is_file():
        raise InputError("PE-IN-002", f"{path} does not exist", "check the path")
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        missing = [name for name in ("case", column) if name not in (reader.fieldnames or ())]
        if missing:
            raise InputError(
                "PE-EVAL-007",
                f"{path} has no column {', '.join(missing)}",
                f"it has {', '.join(reader.fieldnames or ())}",
            )
        rows = [(clean(row["case"] or ""), (row[column] or "").strip()) for row in reader]
    return {case: group for case, group in rows if group}


def read_patients(path: Path) -> dict[str, str]:
    """Read whose each case is.

    Args:
        path: A CSV with the columns `case` and `patient`, or the `cases.json` of a converted dataset.

    Returns:
        case id, cleaned as results are named -> patient.

    Raises:
        InputError: PE-IN-002 if there is no such file, PE-EVAL-007 if it does not say.
    """
    if path.suffix != ".json":
        return read_groups(path, "patient")
    if not path.is_file():
        raise InputError("PE-IN-002", f"{path} does not exist", "check the path")
    try:
        cases = json.loads(path.read_text(encoding="utf-8"))["cases"]
        return {clean(case): str(record["patient"]) for case, record in cases.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            "PE-EVAL-007", f"{path} names no patients: {error}", "give the cases.json of convert"
        ) from error


def split_cases(cases: Sequence[CaseScores], groups: Mapping[str, str]) -> dict[str, list[CaseScores]]:
    """Cases by subgroup, in the order of the subgroups' names.

    Raises:
        InputError: PE-EVAL-007 if no case has a subgroup.
    """
    split: dict[str, list[CaseScores]] = {}
    for case in cases:
        if case.case_id in groups:
            split.setdefault(groups[case.case_id], []).append(case)
    if not split:
        raise InputError("PE-EVAL-007", "no scored case has a subgroup", "the column `case` must hold the case ids")
    return dict(sorted(split.items()))
