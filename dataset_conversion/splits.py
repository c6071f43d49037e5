"""Cross-validation folds and the test set: no patient on two sides, and the burden of clot spread evenly over folds.

Patients, not scans, are dealt out. Those with emboli are sorted by their volume of clot and cut into blocks of as many
patients as there are folds; of each block every fold gets one, so that each fold sees the whole range from a single
subsegmental embolus to a saddle embolus. Patients without emboli are dealt out afterwards, to the folds that hold
fewest. Within a block the fold that holds fewest scans, then least clot, is served first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from pe_nnunet.dataset.folders import Split
from pe_nnunet.dataset.records import CaseRecord
from pe_nnunet.dataset_conversion.convert_options import ConvertOptions
from pe_nnunet.errors import ConfigurationError, Note


def make_splits(cases: Mapping[str, tuple[str, float]], *, folds: int, seed: int) -> list[Split]:
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


def splits_of(records: Mapping[str, CaseRecord], patient: Mapping[str, str], options: ConvertOptions) -> list[Split]:
    """The folds of converted cases, by their patients and volumes of clot; see `make_splits`.

    Args:
        records: Of the training cases.
        patient: The patient of each of them.
        options: Number of folds, and seed.
    """
    cases = {case: (patient[case], record.clot_mm3) for case, record in records.items()}
    return make_splits(cases, folds=options.folds, seed=options.seed)


def training_cases(records: Mapping[str, CaseRecord]) -> dict[str, CaseRecord]:
    """The training cases, checked for leakage: no patient of theirs may be in the test set.

    Raises:
        ConfigurationError: PE-CONV-024 if a test patient has training scans as well, or no training case was converted.
    """
    training = {case: record for case, record in records.items() if not record.test}
    if not training:
        raise ConfigurationError("PE-CONV-024", "no training case could be converted", "see the errors above")
    patient = patients_of(records)
    trained_on = {patient[case] for case in training}
    leaks = sorted(case for case, record in records.items() if record.test and patient[case] in trained_on)
    if leaks:
        raise ConfigurationError(
            "PE-CONV-024",
            f"the patients of {len(leaks)} test cases have training scans as well: {', '.join(leaks[:5])}",
            "put all scans of a patient on one side; --resume keeps what is done",
        )
    return training


def patients_of(records: Mapping[str, CaseRecord]) -> dict[str, str]:
    """The patient of each case: scans of one PatientID are of one, and so is one scan that lies there twice."""
    same: dict[str, str] = {}

    def first(key: str) -> str:
        while same.setdefault(key, key) != key:
            key = same[key]
        return key

    for case in sorted(records):
        record = records[case]
        same[first(f"image {record.sha256['image']}")] = first(record.patient)
    return {case: first(record.patient) for case, record in records.items()}


def duplicate_notes(records: Mapping[str, CaseRecord]) -> list[Note]:
    """A warning where one scan lies in the source under several names."""
    cases: dict[str, list[str]] = {}
    for case in sorted(records):
        cases.setdefault(records[case].sha256["image"], []).append(case)
    twice = [" = ".join(names) for names in cases.values() if len(names) > 1]
    if not twice:
        return []
    text = f"the same scan under several names, kept on one side of each fold: {', '.join(twice[:8])}"
    return [Note("PE-CONV-038", "warning", text)]


def split_notes(records: Mapping[str, CaseRecord], splits: Sequence[Split], options: ConvertOptions) -> list[Note]:
    """Warnings where the training cases do not give the folds that were asked for, or a fold has no embolus."""
    patients, texts = len(set(patients_of(records).values())), []
    bare = [str(k) for k, fold in enumerate(splits) if not any(records[case].embolus_count for case in fold["val"])]
    if not splits:
        texts.append("the cases are of one patient and cannot be split: train with fold `all`")
    elif len(splits) < options.folds:
        texts.append(f"{patients} patients give {len(splits)} folds instead of {options.folds}")
    if bare and options.scheme != "artery":
        texts.append(f"no embolus to validate on in fold {', '.join(bare)}")
    return [Note("PE-CONV-020", "warning", text) for text in texts]
