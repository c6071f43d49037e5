"""Two methods on the same scans: differences with intervals, and a paired test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pe_nnunet.errors import InputError, Note
from pe_nnunet.evaluation.label_identity import SCORED_LABELS, LabelIdentity
from pe_nnunet.evaluation.read_as import READ_AS
from pe_nnunet.files.json_reader import MALFORMED, read_json
from pe_nnunet.metrics.bootstrap import Estimate, Resampling, estimates
from pe_nnunet.metrics.case_scores import CaseScores
from pe_nnunet.metrics.cohort_scores import compared_numbers


class Difference(NamedTuple):
    """One number of two methods.

    Attributes:
        first: Of the first method.
        second: Of the second.
        difference: Second less first, with its interval over resampled patients, the same for both.
        p_value: Two-sided, of the paired permutation test.
    """

    first: float | None
    second: float | None
    difference: Estimate
    p_value: float | None


def compare(first: Sequence[CaseScores], second: Sequence[CaseScores], resampling: Resampling) -> dict[str, Difference]:
    """Compare two methods scan by scan.

    The permutation test swaps the two methods in a random half of the patients and asks how often the difference is
    then as large as the real one; emboli of one scan, and scans of one patient, stay together. With `samples` draws p
    is at least 1 / (samples + 1).

    Args:
        first: Scores of the first method.
        second: Of the second, for the same scans in the same order.
        resampling: Samples of the interval and of the test, and their seed.

    Raises:
        InputError: PE-EVAL-008 if the scans differ, or there are none.
    """
    if not first or _scans(first) != _scans(second):
        raise InputError("PE-EVAL-008", "the two results hold other scans, other labels, or none", "score both alike")
    numbers = compared_numbers(first)

    def change(one: list[CaseScores], other: list[CaseScores]) -> dict[str, float | None]:
        a, b = numbers(one), numbers(other)
        return {name: None if a[name] is None or b[name] is None else b[name] - a[name] for name in a}  # type: ignore[operator]  # both are checked

    def resampled(weights: NDArray[np.int64]) -> dict[str, float | None]:
        drawn = np.repeat(np.arange(len(first)), weights).tolist()
        return change([first[i] for i in drawn], [second[i] for i in drawn])

    patients = [case.drawn_with for case in first]
    number = {patient: place for place, patient in enumerate(dict.fromkeys(patients))}
    of_scan = [number[patient] for patient in patients]
    differences = estimates(resampled, patients, resampling)
    as_large = dict.fromkeys(differences, 0)
    random = np.random.default_rng(resampling.seed)
    for _ in range(resampling.samples):
        swap = random.integers(2, size=len(number)).astype(bool)[of_scan]
        one = [b if s else a for a, b, s in zip(first, second, swap, strict=True)]
        other = [a if s else b for a, b, s in zip(first, second, swap, strict=True)]
        for name, value in change(one, other).items():
            real = differences[name].value
            # What is not defined under a swap counts against a difference; the rounding of sums must not count for it.
            as_large[name] += value is None or real is None or abs(value) >= abs(real) - 1e-12
    a, b = numbers(list(first)), numbers(list(second))
    return {
        name: Difference(
            a[name],
            b[name],
            found,
            None if found.value is None or not resampling.samples else (as_large[name] + 1) / (resampling.samples + 1),
        )
        for name, found in differences.items()
    }


def _scans(cases: Sequence[CaseScores]) -> list[tuple[str, str, int]]:
    return [(case.case_id, case.patient, case.emboli) for case in cases]


def require_same_reading(first: Path, second: Path) -> list[Note]:
    """Check that both results took the same for embolus, and ignored the same.

    Args:
        first: Folder that `write_evaluation` wrote.
        second: Another.

    Returns:
        Where a result does not record it, or predictions were read in different ways, which may be right.

    Raises:
        InputError: PE-EVAL-017 if the labels were read in different ways.
    """
    a, b = _read_as(first), _read_as(second)
    if a is None or b is None:
        silent = [str(folder) for folder, side in ((first, a), (second, b)) if side is None]
        text = (
            f"{' and '.join(silent)} do not say what was taken for embolus: evaluate again to be sure that it is alike"
        )
        return [Note("PE-EVAL-017", "warning", text)]
    if (one := _meaning(a, "labels")) != (other := _meaning(b, "labels")):
        raise InputError(
            "PE-EVAL-017",
            f"the labels were read in different ways: {one} in {first}, {other} in {second}",
            "evaluate both with the same dataset.json and --label-kind",
        )
    if (one := _meaning(a, "predictions")) != (other := _meaning(b, "predictions")):
        return [Note("PE-EVAL-017", "warning", f"predictions: {one} in {first}, {other} in {second}")]
    return []


def require_same_labels(first: Path, second: Path) -> list[Note]:
    """Check that the scans of both results were scored against the same labels.

    Args:
        first: Folder that `write_evaluation` wrote.
        second: Another.

    Returns:
        Where a result does not record its labels, as those of older versions do not.

    Raises:
        InputError: PE-EVAL-008 if the labels of scans in both differ.
    """
    a, b = _labels(first), _labels(second)
    if a is None or b is None:
        silent = [str(folder) for folder, side in ((first, a), (second, b)) if side is None]
        text = f"{' and '.join(silent)} do not record their labels: evaluate again to be sure that they are the same"
        return [Note("PE-EVAL-017", "warning", text)]
    if other := [case for case in a if case in b and not a[case].same_as(b[case])]:
        raise InputError(
            "PE-EVAL-008",
            f"{first} and {second} were scored against other labels of {', '.join(other)}",
            "score both against the same labels",
        )
    return []


def _labels(folder: Path) -> dict[str, LabelIdentity] | None:
    """What `summary.json` says of them; None where it says nothing, or does not exist."""
    try:
        found = read_json(folder / "summary.json", finite=False)[SCORED_LABELS]
        return {
            case: LabelIdentity(str(of["sha256"]), tuple(map(float, of["place"]))) for case, of in sorted(found.items())
        }
    except MALFORMED:
        return None


def _meaning(read: Mapping[str, Any], side: str) -> str:
    """What was taken for embolus and what was ignored, as text."""
    of = read[side]
    ignored = ", ".join(map(str, of["ignored_values"])) or "nothing"
    return f"embolus is {of['kind']}, ignored is {ignored}" if side == "labels" else f"embolus is {of['kind']}"


def _read_as(folder: Path) -> Mapping[str, Any] | None:
    """What `summary.json` says of it; None where it says nothing, or does not exist."""
    try:
        found: Mapping[str, Any] = read_json(folder / "summary.json", finite=False)[READ_AS]
        for side in ("labels", "predictions"):
            _meaning(found, side)
    except MALFORMED:
        return None
    return found
