from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from pe_nnunet.cli import main
from pe_nnunet.errors import InputError
from pe_nnunet.evaluation.compare import compare
from pe_nnunet.evaluation.text_tables import cases_csv, read_cases
from pe_nnunet.files import atomic_text
from pe_nnunet.metrics.bootstrap import Resampling
from pe_nnunet.metrics.case_scores import CaseScores, evaluate_case


def scan(name: str, *values: int) -> CaseScores:
    finding = np.array(values, np.uint16)[None, None]
    return evaluate_case(finding, np.array([[[1, 0, 2, 0, 3]]], np.uint16), (10, 10, 10), case_id=name)


BAD = [scan("a", 1, 0, 0, 0, 0), scan("b", 0, 1, 0, 0, 0), scan("c", 1, 0, 2, 0, 0), scan("d", 0, 0, 0, 0, 0)]
GOOD = [scan("a", 1, 0, 2, 0, 0), scan("b", 1, 0, 2, 0, 3), scan("c", 1, 0, 2, 0, 0), scan("d", 1, 0, 0, 0, 0)]


def test_the_permutation_test_against_all_swaps() -> None:
    found = compare(BAD, GOOD, Resampling(4000))["sensitivity"]
    assert (found.first, found.second, found.difference.value) == (0.25, pytest.approx(8 / 12), pytest.approx(5 / 12))
    swaps = [
        sum((g.found - b.found) * (-1) ** s for b, g, s in zip(BAD, GOOD, swap, strict=True))
        for swap in product((0, 1), repeat=4)
    ]
    assert found.p_value == pytest.approx(np.mean([abs(total) >= 5 for total in swaps]), abs=0.03)


def test_a_method_does_not_differ_from_itself() -> None:
    for row in compare(GOOD, GOOD, Resampling(50)).values():
        assert row.difference.value in (0, None)
        assert row.p_value in (1, None)


def test_the_sign_turns_with_the_order() -> None:
    there, back = compare(BAD, GOOD, Resampling(50)), compare(GOOD, BAD, Resampling(50))
    assert there["dice"].difference.value == pytest.approx(-(back["dice"].difference.value or 0))
    assert there["dice"].p_value == back["dice"].p_value


def test_other_scans_are_refused() -> None:
    with pytest.raises(InputError, match="PE-EVAL-008"):
        compare(BAD, GOOD[:3], Resampling(5))
    with pytest.raises(InputError, match="PE-EVAL-008"):
        compare([], [], Resampling(5))


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, cases in (("A", BAD), ("B", GOOD)):
        atomic_text(tmp_path / name / "cases.csv", cases_csv(cases))
    assert [case.found for case in read_cases(tmp_path / "A")] == [1, 0, 2, 0]
    out = tmp_path / "compare.json"
    assert main(["compare", str(tmp_path / "A"), str(tmp_path / "B"), "-o", str(out), "--bootstrap", "20"]) == 0
    assert "sensitivity                  0.250   0.667  0.417 [" in capsys.readouterr().out
    assert json.loads(out.read_text())["sensitivity"]["second"] == pytest.approx(2 / 3)
    assert main(["compare", str(tmp_path), str(tmp_path / "B")]) == 2
    assert "PE-IN-002" in capsys.readouterr().err
    (tmp_path / "A" / "cases.csv").write_text("case,what\na,1\n")
    assert main(["compare", str(tmp_path / "A"), str(tmp_path / "B")]) == 2
    assert "PE-EVAL-008" in capsys.readouterr().err
