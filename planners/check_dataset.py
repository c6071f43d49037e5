"""What a raw dataset must hold to be planned for and trained on: told before the first image is read for it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from pe_nnunet.dataset.channels import channel_names, check_channels
from pe_nnunet.dataset.dataset_json import pe_label_values
from pe_nnunet.dataset.folders import SPLITS, Split
from pe_nnunet.dataset.label_checks import UNDECLARED_HINT, check_label_names, declared_values, undeclared
from pe_nnunet.dataset.raw import load_cases
from pe_nnunet.dataset.split_checks import TOO_FEW_HINT, left_out, read_checked_splits, shared_patients, too_few_cases
from pe_nnunet.errors import ConfigurationError, Note

LABELS_READ = 20  # of them all values; training looks at every label, when it has to read it anyway


def check_dataset(
    raw: Path, preprocessed: Path, dataset_json: dict[str, Any], files: Mapping[str, Mapping[str, Any]]
) -> list[Note]:
    """Refuse a dataset that cannot be trained on, and note what will be refused or misleading later.

    Label images are read until one holds PE, and of others twenty at most.

    Args:
        raw: The dataset's folder in nnUNet_raw.
        preprocessed: That in nnUNet_preprocessed; it need not be there.
        dataset_json: Its `dataset.json`.
        files: Paths by case: `images`, one a channel, and `label`.

    Raises:
        ConfigurationError: PE-PLN-004 labels of which none or several are PE; PE-PLN-005 channels; PE-PLN-007 label
            images without PE, or with values that dataset.json does not name; PE-TRAIN-012 splits; PE-PLN-006 no case.
    """
    check_label_names(dataset_json)
    notes = check_channels(dataset_json)
    named = [Path(path) for paths in files.values() for path in (*paths["images"], paths["label"])]
    if named and not any(path.exists() for path in named):
        return notes  # planned elsewhere, from a fingerprint that was brought along
    _check_files(raw, dataset_json, files)
    splits = _splits(raw, preprocessed, list(files))
    patients, positive = _from_record(raw)
    seen = _look_at_labels(dataset_json, files)
    if not any(seen.values()):
        raise ConfigurationError(
            "PE-PLN-007", f"none of the {len(files)} label images of {raw.name} holds PE", "look at the labels"
        )
    positive |= {case for case, holds in seen.items() if holds}
    known = set(seen) | set(patients)
    if splits:
        notes += left_out(splits, files)
        notes += shared_patients(splits, patients)
        notes += _without_emboli(splits, positive, known)
    elif (few := too_few_cases(len(files))) is not None:
        notes.append(Note("PE-TRAIN-014", "warning", f"{few}; {TOO_FEW_HINT}"))
    return notes


def _check_files(raw: Path, dataset_json: dict[str, Any], files: Mapping[str, Mapping[str, Any]]) -> None:
    if not files:
        ending = dataset_json.get("file_ending")
        raise ConfigurationError(
            "PE-PLN-006", f"{raw} holds no training case", f"dataset.json says: imagesTr/<case>_0000{ending}"
        )
    names = channel_names(dataset_json)
    for case, paths in files.items():
        if len(paths["images"]) != len(names):
            raise ConfigurationError(
                "PE-PLN-005",
                f"{case} has {len(paths['images'])} image files, dataset.json names {len(names)} channels "
                f"({', '.join(names)})",
                f"one file a channel: {', '.join(f'{case}_{index:04d}' for index in range(len(names)))}",
            )
        lacking = next((path for path in (*paths["images"], paths["label"]) if not Path(path).is_file()), None)
        if lacking is not None:
            raise ConfigurationError("PE-PLN-007", f"{case}: {lacking} is not there", "add it, or take the case out")


def _splits(raw: Path, preprocessed: Path, cases: list[str]) -> list[Split]:
    """The folds that training will take: those in nnUNet_preprocessed, whereto nnU-Net copies the raw dataset's."""
    paths = [folder / SPLITS for folder in (preprocessed, raw) if (folder / SPLITS).is_file()]
    checked = [read_checked_splits(path, cases) for path in paths]
    return checked[0] if checked else []


def _from_record(raw: Path) -> tuple[dict[str, str], set[str]]:
    """Of a converted dataset, the patient of each case, and the cases with emboli."""
    try:
        records = load_cases(raw)
    except ConfigurationError:  # made by hand
        return {}, set()
    return {case: record.patient for case, record in records.items()}, {
        case for case, record in records.items() if record.embolus_count
    }


def _look_at_labels(dataset_json: dict[str, Any], files: Mapping[str, Mapping[str, Any]]) -> dict[str, bool]:
    """Whether a label holds PE, of those that were read."""
    declared, pe = declared_values(dataset_json), set(pe_label_values(dataset_json["labels"]))
    cases = sorted(files)
    spread = cases[:: -(-len(cases) // LABELS_READ)]
    seen: dict[str, bool] = {}
    for case in [*spread, *(case for case in cases if case not in set(spread))]:
        if len(seen) >= len(spread) and any(seen.values()):
            break
        path = Path(files[case]["label"])
        values = _values_in(path, path.stat().st_mtime_ns)
        problem = undeclared(values, declared)
        if problem is not None:
            raise ConfigurationError("PE-PLN-007", f"{path} holds {problem}", UNDECLARED_HINT)
        seen[case] = not pe.isdisjoint(values)
    return seen


@lru_cache(maxsize=4096)  # the fingerprint and the planner ask in turn
def _values_in(path: Path, _modified_ns: int) -> tuple[int, ...]:
    try:
        array = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    except RuntimeError as error:
        raise ConfigurationError("PE-PLN-007", f"{path} cannot be read: {error}", "write the label anew") from error
    foreground = array[array != 0]  # a thousandth of them: all could be sorted only slowly
    values = np.unique(foreground)
    if not np.array_equal(values, np.rint(values)):
        raise ConfigurationError("PE-PLN-007", f"{path} holds values that are no whole numbers", UNDECLARED_HINT)
    return tuple(int(value) for value in values)


def _without_emboli(splits: list[Split], positive: set[str], known: set[str]) -> list[Note]:
    """Of each fold all of whose cases are known, that a part of it holds no embolus."""
    notes = []
    for number, fold in enumerate(splits):
        for part, code, text in (
            ("train", "PE-TRAIN-008", "no training case holds an embolus: this fold cannot be trained"),
            ("val", "PE-TRAIN-015", "no validation case holds an embolus: its scores will be undefined"),
        ):
            if known.issuperset(fold[part]) and positive.isdisjoint(fold[part]):
                notes.append(Note(code, "warning", f"fold {number}: {text}"))
    return notes
