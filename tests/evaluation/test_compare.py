from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

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


def save(values: np.ndarray, path: Path) -> None:
    image = sitk.GetImageFromArray(values.astype(np.uint8))
    image.SetSpacing((0.7123, 0.7123, 1.25))
    image.SetOrigin((-171.6665, -93.3335, 12.0005))
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))


def label() -> np.ndarray:
    """Two emboli, and a block that is ignored."""
    values = np.zeros((4, 12, 16), np.uint8)
    values[1, 2:4, 2:4] = values[2, 8:10, 5:9] = 1
    values[0, 6:8, 12:15] = 2
    return values


def moved(part: int) -> np.ndarray:
    """The same with one part one voxel on: the two emboli, or what is ignored."""
    values = label()
    return np.where(values == part, 0, values) + np.roll(np.where(values == part, part, 0), 1, axis=2)


def scored(folder: Path, labels: dict[str, np.ndarray], prediction: np.ndarray, ending: str = ".nii.gz") -> str:
    """Labels a and b with one prediction of both, evaluated."""
    for case, values in labels.items():
        save(values, folder / "labelsTr" / f"{case}{ending}")
        save(prediction, folder / "p" / f"{case}.nii.gz")
    described = {"labels": {"background": 0, "PE": 1, "ignore": 2}, "file_ending": ending}
    (folder / "dataset.json").write_text(json.dumps(described))
    out = str(folder / "scores")
    asked = ["evaluate", "-i", str(folder / "p"), "-g", str(folder / "labelsTr"), "-o", out]
    assert main([*asked, "--label-kind", "class:1", "--bootstrap", "0", "--workers", "1"]) == 0
    return out


def test_other_labels_of_the_same_scans_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    far = np.zeros((4, 12, 16))
    far[3, 11, 15] = 1  # makes another part of the scan be looked at
    both = {"a": label(), "b": label()}
    first = scored(tmp_path / "1", both, label() == 1)
    same = scored(tmp_path / "2", both, far, ".nrrd")
    capsys.readouterr()
    assert main(["compare", first, same, "--bootstrap", "0"]) == 0
    assert "PE-EVAL-" not in capsys.readouterr().out
    for part in (1, 2):
        other = scored(tmp_path / f"moved {part}", {"a": label(), "b": moved(part)}, label() == 1)
        assert main(["compare", first, other, "--bootstrap", "0"]) == 2
        said = capsys.readouterr().err
        assert "PE-EVAL-008" in said
        assert "other labels of b" in said
    summary = Path(other) / "summary.json"  # as older versions wrote it
    summary.write_text(json.dumps({k: v for k, v in json.loads(summary.read_text()).items() if k != "scored_labels"}))
    assert main(["compare", first, other, "--bootstrap", "0"]) == 0
    assert "PE-EVAL-017 warning" in capsys.readouterr().out
