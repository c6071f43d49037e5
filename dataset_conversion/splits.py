"""Cross-validation folds: no patient in two of them, and the burden of clot spread evenly over all.

Patients, not scans, are dealt out. Those with emboli are sorted by their volume of clot and cut into blocks of as many
patients as there are folds; of each block every fold gets one, so that each fold sees the whole range from a single
subsegmental embolus to a saddle embolus. Patients without emboli are dealt out afterwards, to the folds that hold
fewest. Within a block the fold that holds fewest scans, then least clot, is served first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SplitCase:
    """What the split needs to know of a case.

    Attributes:
        patient: Key of the patient; cases of one key stay together.
        clot_mm3: Volume of all emboli; 0 for a scan without.
    """

    patient: str
    clot_mm3: float


@dataclass(frozen=True)
class _Patient:
    key: str
    cases: tuple[str, ...]
    clot_mm3: float
    tie: float


def make_splits(cases: Mapping[str, SplitCase], *, folds: int, seed: int) -> list[dict[str, list[str]]]:
    """Deal the cases out to folds.

    For patients of one scan each, the folds differ by at most one in their number of scans, of scans with emboli, and
    of scans without.

    Args:
        cases: By case id; the order does not matter.
        folds: Number of folds; fewer are made where there are fewer patients.
        seed: Decides between folds that are equally good.

    Returns:
        nnU-Net's `splits_final.json`: for each fold the sorted case ids under `"train"` and `"val"`. Empty where
        there are fewer than two patients, which cannot be split.

    Example:
        >>> cases = {"a1": SplitCase("a", 900.0), "a2": SplitCase("a", 0.0), "b": SplitCase("b", 50.0)}
        >>> make_splits(cases, folds=5, seed=0) == [
        ...     {"train": ["b"], "val": ["a1", "a2"]},
        ...     {"train": ["a1", "a2"], "val": ["b"]},
        ... ]
        True
    """
    patients = _patients(cases, np.random.default_rng(seed))
    count = min(folds, len(patients))
    if count < 2:
        return []
    held: list[list[_Patient]] = [[] for _ in range(count)]
    for has_clot in (True, False):
        stratum = sorted(
            (p for p in patients if (p.clot_mm3 > 0) == has_clot), key=lambda p: (-p.clot_mm3, -len(p.cases), p.tie)
        )
        for first in range(0, len(stratum), count):
            _deal(stratum[first : first + count], held)
    validation = [sorted(case for patient in fold for case in patient.cases) for fold in held]
    everyone = sorted(cases)
    return [{"train": [c for c in everyone if c not in set(val)], "val": val} for val in validation]


def _patients(cases: Mapping[str, SplitCase], rng: np.random.Generator) -> list[_Patient]:
    by_patient: dict[str, list[str]] = defaultdict(list)
    for case in sorted(cases):
        by_patient[cases[case].patient].append(case)
    return [
        _Patient(key, tuple(names), sum(cases[name].clot_mm3 for name in names), float(rng.random()))
        for key, names in sorted(by_patient.items())
    ]


def _deal(block: Iterable[_Patient], held: list[list[_Patient]]) -> None:
    """Give each patient of a block to a fold of its own, the one with most scans first."""
    free = set(range(len(held)))
    for patient in sorted(block, key=lambda p: (-len(p.cases), -p.clot_mm3, p.tie)):
        fold = min(
            free,
            key=lambda f: (sum(len(p.cases) for p in held[f]), sum(p.clot_mm3 for p in held[f]), f),
        )
        held[fold].append(patient)
        free.remove(fold)
