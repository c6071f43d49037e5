"""The table of metrics against its page, and against the order and names of the files that hold the numbers."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pe_nnunet.evaluation.compare import compare
from pe_nnunet.evaluation.text_report import case_rows, cohort_lines
from pe_nnunet.evaluation.text_tables import cases_csv, read_cases
from pe_nnunet.metrics.bootstrap import Resampling
from pe_nnunet.metrics.case_scores import CaseScores, evaluate_case
from pe_nnunet.metrics.cohort_scores import summarise
from pe_nnunet.metrics.definitions import COMPARED, METRICS, OF_CASE, OVER_COHORT, SHOWN, place
from pe_nnunet.metrics.ratios import f1

DOCUMENTED = Path(__file__).parents[2] / "docs" / "evaluation.md"
COLUMNS = (
    "case patient emboli found findings false_positives merged split dice sensitivity precision f1 truth_ml "
    "predicted_ml pe_score surface_dice hd95_mm assd_mm panoptic_quality matched_dice truth_largest_ml truth_left_ml "
    "truth_right_ml truth_outside_lungs predicted_largest_ml predicted_left_ml "
    "predicted_right_ml predicted_outside_lungs"
)
COHORT = (
    "scans positive_scans dice dice_negative emboli found sensitivity findings false_positives "
    "false_positives_per_scan precision f1 merged split volume_error_ml negatives patients outlines sensitivity_at_fp"
)
SECTIONS = {
    "negatives": "scans clean false_positives false_positives_per_scan predicted_ml",
    "patients": "true_positive false_negative true_negative false_positive sensitivity specificity auroc",
    "outlines": "surface_dice hd95_mm assd_mm measured panoptic_quality matched_dice",
}
INTERVALS = (
    "dice surface_dice hd95_mm assd_mm panoptic_quality matched_dice sensitivity precision f1 false_positives_per_scan "
    "volume_error_ml patient_sensitivity patient_specificity patient_auroc"
)


def scan(name: str, *values: int) -> CaseScores:
    finding = np.array(values, np.uint16)[None, None]
    truth = np.array([[[1, 0, 2, 0, 3]]], np.uint16)
    return evaluate_case(finding, truth, (10, 10, 10), case_id=name, surface_tolerance_mm=1.0)


CASES = [scan("a", 1, 0, 2, 0, 0), scan("b", 0, 1, 0, 0, 3), scan("c", 0, 0, 0, 0, 0)]


def test_the_page_documents_every_metric() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| (\w*) \| (?:`([\w.]+)`)?(, interval)? \| (\w*) \| (.+) \|$",
        DOCUMENTED.read_text(),
        re.MULTILINE,
    )
    expected = [
        (
            name,
            "yes" if name in OF_CASE else "",
            ".".join(part for part in place(name) if part) if name in OVER_COHORT else "",
            ", interval" if name in COMPARED else "",
            metric.unit,
        )
        for name, metric in METRICS.items()
    ]
    assert [row[:-1] for row in rows] == expected


def known(names: Iterable[str], old: str) -> str:
    """Of some names, separated by spaces, those that are not new."""
    return " ".join(name for name in names if name in old.split())


def test_names_and_order_of_what_is_written_stay(tmp_path: Path) -> None:
    text = cases_csv(CASES)
    assert known(text.splitlines()[0].split(","), COLUMNS) == COLUMNS
    (tmp_path / "cases.csv").write_text(text)
    assert cases_csv(read_cases(tmp_path)) == text
    scores = summarise(CASES, resampling=Resampling(5))
    cohort = scores.to_dict()
    assert known(cohort, COHORT) == COHORT
    for section, old in SECTIONS.items():
        assert known(cohort[section], old) == old
    assert known(scores.intervals, INTERVALS) == INTERVALS
    assert list(compare(CASES, CASES, Resampling(2))) == list(scores.intervals) == COMPARED


def test_a_case_as_people_read_it() -> None:
    head, first, *_ = case_rows(CASES, SHOWN, "scan", unit=", ")
    shown = dict(zip(head, first, strict=True))
    old = ["scan", "emboli", "found", "false+", "merged", "split", "Dice", "surface Dice", "HD95, mm"]
    old += ["panoptic quality", "truth, ml", "found, ml", "truth left, ml", "right, ml", "PE score"]
    assert [name for name in head if name in old] == old
    assert [shown[name] for name in old[:7]] == ["a", "3", "2", "0", "0", "0", "0.80"]
    assert (shown["HD95, mm"], shown["truth, ml"], shown["right, ml"]) == ("20.0", "3.00", "-")
    (line,) = (line for line in cohort_lines(summarise(CASES)).splitlines() if line.startswith("embolus sensitivity"))
    assert line.endswith("  0.333 (3 of 9; 0 merged, 0 split)")


def test_f1_is_one_rule_for_numbers_and_arrays() -> None:
    sensitivity, precision = np.array([0, 0.5, 1 / 3, 1]), np.array([0, 1, 0.7, 1])
    together = f1(sensitivity, precision)
    for s, p, value in zip(sensitivity.tolist(), precision.tolist(), together.tolist(), strict=True):
        assert f1(s, p) == value == (2 * s * p / (s + p) if s + p else 0.0)
        assert type(f1(s, p)) is float
    with pytest.raises(KeyError):
        CASES[0]["no such number"]


def test_auroc_of_many_scans_takes_no_table_of_all_pairs() -> None:
    rng = np.random.default_rng(0)
    high, low = ([{"pe_score": score} for score in rng.integers(0, 50, 1000) / 50] for _ in range(2))
    cohort = SimpleNamespace(positive=high, negative=low, cases=high + low, min_negatives=10)
    tracemalloc.start()
    found = METRICS["patient_auroc"].over_cohort(cohort, "")
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most_bytes < 1e6
    difference = np.subtract.outer(*([case["pe_score"] for case in cases] for cases in (high, low)))
    assert found == pytest.approx((difference > 0).mean() + (difference == 0).mean() / 2)
