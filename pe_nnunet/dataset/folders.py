"""nnU-Net's folders: where they are, and what nnU-Net would wrongly reuse."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from pe_nnunet.errors import ConfigurationError, Note
from pe_nnunet.errors.near import did_you_mean
from pe_nnunet.errors.shown import is_utf8
from pe_nnunet.files.json_reader import MALFORMED, read_json

RAW, PREPROCESSED, RESULTS = VARIABLES = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
SPLITS = "splits_final.json"

Split = dict[str, list[str]]  # case ids under `train` and under `val`


def nnunet_folder(variable: str) -> Path:
    """The folder that one of nnU-Net's variables names, as it is now, not as it was on import.

    Args:
        variable: One of `VARIABLES`.

    Raises:
        ConfigurationError: PE-ENV-001 if the variable is not set, or names no folder.
    """
    value = os.environ.get(variable, "")
    if not value.strip():
        raise ConfigurationError("PE-ENV-001", f"{variable} is not set", f"export {variable}=/path/to/a/folder")
    if not Path(value).is_dir():
        quoted = value[0] in "\"'" or value[-1] in "\"'"
        hint = "take the quotation marks out of the value" if quoted else "make the folder, or correct the variable"
        raise ConfigurationError("PE-ENV-001", f"{variable} is {value!r}, which is no folder", hint)
    if not is_utf8(value):
        raise ConfigurationError("PE-ENV-001", f"{variable} is {value!r}, which is not UTF-8", "rename the folder")
    return Path(value)


def dataset_folder_name(dataset_id: int, name: str) -> str:
    """nnU-Net's name of a dataset folder.

    Raises:
        ConfigurationError: If nnU-Net cannot hold such an id or name.

    Example:
        >>> dataset_folder_name(7, "FUMPE")
        'Dataset007_FUMPE'
    """
    if not 1 <= dataset_id <= 999:
        raise ConfigurationError("PE-CONV-001", f"the dataset id is {dataset_id}", "choose 1 to 999")
    if not re.fullmatch(r"[A-Za-z0-9](_?[A-Za-z0-9-])*", name):
        raise ConfigurationError(
            "PE-CONV-001",
            f"the dataset name is {name!r}",
            "use letters, digits, - and single _, beginning with a letter or digit",
        )
    return f"Dataset{dataset_id:03d}_{name}"


def require_free_id(dataset_id: int, folder_name: str) -> None:
    """Check that no dataset of another name has this id: nnU-Net refuses an id with two names.

    Raises:
        ConfigurationError: If the id is taken, in any of nnU-Net's three folders.
    """
    for variable in VARIABLES:
        root = os.environ.get(variable, "")
        if not root or not Path(root).is_dir():
            continue
        for other in sorted(Path(root).glob(f"Dataset{dataset_id:03d}*")):
            if other.is_dir() and other.name != folder_name:
                raise ConfigurationError(
                    "PE-ENV-003",
                    f"dataset id {dataset_id} is taken by {other.name} in {variable}, {folder_name} expected",
                    "choose another -d, or the same --name",
                )


def stale_preprocessed(folder_name: str, splits: Sequence[Split], *, cases_changed: bool) -> list[Note]:
    """What lies in nnUNet_preprocessed for this dataset and does not fit it any more.

    nnU-Net keeps the splits that it holds, stops at a bare AssertionError where ours differ, and reuses a fingerprint
    without asking.

    Args:
        folder_name: Name of the dataset's folder.
        splits: Content of the new splits_final.json.
        cases_changed: Whether any case was written anew.
    """
    root = os.environ.get(PREPROCESSED, "")
    folder = Path(root) / folder_name
    if not root or not folder.is_dir():
        return []
    notes = []
    if (folder / SPLITS).is_file() and not _begins_with(folder, splits):
        text = (
            f"{folder / SPLITS} holds other splits than the new dataset: nnU-Net would stop at them without a word; "
            "delete that file before planning"
        )
        notes.append(Note("PE-CONV-018", "warning", text))
    fingerprint = folder / "dataset_fingerprint.json"
    if cases_changed and fingerprint.is_file():
        text = (
            f"{fingerprint} is of an older state of the dataset and nnU-Net would reuse it: "
            "give nnUNetv2_plan_and_preprocess the flag --clean"
        )
        notes.append(Note("PE-CONV-019", "warning", text))
    return notes


def _begins_with(folder: Path, splits: Sequence[Split]) -> bool:
    """Whether a folder's splits begin with these folds: nnU-Net allows it to hold more."""
    try:
        held = read_json(folder / SPLITS)
        return len(held) >= len(splits) and all(
            set(old[part]) == set(new[part])
            for old, new in zip(held, splits, strict=False)
            for part in ("train", "val")
        )
    except MALFORMED:
        return False


def dataset_folder(parent: Path, dataset: str, code: str = "PE-ENV-002") -> Path:
    """The folder `DatasetXXX_Name` of a dataset id or name.

    Args:
        parent: `nnUNet_raw`, `nnUNet_preprocessed` or `nnUNet_results`.
        dataset: `501`, or `Dataset501_Name`.
        code: Of the error.

    Raises:
        ConfigurationError: With that code if there is none or more than one.
    """
    known = sorted(path for path in parent.glob("Dataset*_*") if path.is_dir())
    start = f"Dataset{int(dataset):03d}_" if dataset.isdecimal() else None
    found = [path for path in known if (path.name.startswith(start) if start else path.name == dataset)]
    if len(found) != 1:
        there = f"there: {', '.join(path.name for path in known) or 'none'}"
        raise ConfigurationError(
            code,
            f"{len(found)} datasets {dataset} in {parent}, 1 expected",
            there
            if found
            else did_you_mean(dataset, otherwise=there, spellings=_spellings(path.name for path in known)),
        )
    return found[0]


def _spellings(folders: Iterable[str]) -> dict[str, str]:
    """What is meant by the whole name of a dataset's folder, by its number and by the name after that."""
    meant = {}
    for folder in folders:
        number, _, name = folder.removeprefix("Dataset").partition("_")
        meant |= {name: folder, number: folder, folder: folder}
    return meant


def plans_in(folder: Path) -> list[str]:
    """Names of the plans in a dataset's folder in nnUNet_preprocessed."""
    return sorted(file.stem for file in folder.glob("*Plans.json"))


def fold_spellings(folds: Iterable[str]) -> dict[str, str]:
    """What is meant by a fold's number, or `all`, and by the name of its folder."""
    return {spelling: fold for fold in folds for spelling in (fold, f"fold{fold}", f"fold_{fold}")}
