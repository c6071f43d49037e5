"""Cross-validation folds: no patient in two of them, and the burden of clot spread evenly over all.

Patients, not scans, are dealt out. Those with emboli are sorted by their volume of clot and cut into blocks of as many
patients as there are folds; of each block every fold gets one, so that each fold sees the whole range from a single
subsegmental embolus to a saddle embolus. Patients without emboli are dealt out afterwards, to the folds that hold
fewest. Within a block the fold that holds fewest scans, then least clot, is served first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np


def make_splits(cases: Mapping[str, tuple[str, float]], *, folds: int, seed: int) -> list[dict[str, list[str]]]:
    """Deal the cases out to folds.

    For patients of one scan each, the folds differ by at most one in their number of scans, of scans with emboli, and
    of scans without.

    Args:
        cases: By case id, in any order: the key of its patient, whose cases stay together, and the volume of its
            emboli in mm3.
        folds: Number of folds; fewer are made where there are fewer patients.
        seed: Decides between folds that are equally good.

    Returns:
        nnU-Net's `splits_final.json`: for each fold the sorted case ids under `"train"` and `"val"`. Empty where
        there are fewer than two patients, which cannot be split.

    Example:
        >>> cases = {"a1": ("a", 900.0), "a2": ("a", 0.0), "b": ("b", 50.0)}
        >>> make_splits(cases, folds=5, seed=0) == [
        ...     {"train": ["b"], "val": ["a1", "a2"]},
        ...     {"train": ["a1", "a2"], "val": ["b"]},
        ... ]
        True
    """
    scans: dict[str, list[str]] = defaultdict(list)  # by patient
    for case in sorted(cases):
        scans[cases[case][0]].append(case)
    clot_mm3 = {patient: sum(cases[case][1] for case in of_one) for patient, of_one in scans.items()}
    rng = np.random.default_rng(seed)
    tie = {patient: float(rng.random()) for patient in sorted(scans)}
    count = min(folds, len(scans))
    if count < 2:
        return []
    held: list[list[str]] = [[] for _ in range(count)]  # patients by fold
    for has_clot in (True, False):
        stratum = [patient for patient in scans if (clot_mm3[patient] > 0) == has_clot]
        stratum.sort(key=lambda p: (-clot_mm3[p], -len(scans[p]), tie[p]))
        for first in range(0, len(stratum), count):
            free = set(range(count))
            block = sorted(stratum[first : first + count], key=lambda p: (-len(scans[p]), -clot_mm3[p], tie[p]))
            for patient in block:  # each to a fold of its own, the one with most scans first
                fold = min(
                    free, key=lambda f: (sum(len(scans[p]) for p in held[f]), sum(clot_mm3[p] for p in held[f]), f)
                )
                held[fold].append(patient)
                free.remove(fold)
    validation = [sorted(case for patient in fold for case in scans[patient]) for fold in held]
    return [{"train": [case for case in sorted(cases) if case not in set(val)], "val": val} for val in validation]
