"""Whether a `splits_final.json` says what a training needs: known cases, each on one side, patients kept together."""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pe_nnunet.dataset.folders import SPLITS, Split, fold_spellings
from pe_nnunet.errors import ConfigurationError, Note
from pe_nnunet.errors.near import did_you_mean, nearest
from pe_nnunet.files.json_reader import read_json

N_FOLDS = 5  # of the splits that nnU-Net makes where there are none
SHOWN = 5


_HINT = (
    f"correct it, or remove {SPLITS} from nnUNet_raw and nnUNet_preprocessed for nnU-Net's own folds; "
    "`pe-nnunet convert` writes one by patient"
)
_HINT_TRAINED = "correct it: the folds must be those that the models were trained with"


def read_splits(*folders: Path, code: str, hint: str = "") -> list[Split]:
    """The folds in the `splits_final.json` of the first of these folders that holds one, every one of them checked.

    Args:
        folders: Of a dataset; that in nnUNet_preprocessed first, as nnU-Net trains with its splits.
        code: Of the error.
        hint: Of the error where there are no splits.

    Raises:
        ConfigurationError: With that code if there are none, or they cannot be used.
    """
    path = next((folder / SPLITS for folder in folders if (folder / SPLITS).is_file()), None)
    if path is None:
        raise ConfigurationError(code, f"no {SPLITS} in {' or '.join(map(str, folders))}", hint)
    return read_checked_splits(path, code=code)


def split_of(splits: Sequence[Split], fold: str, *, dataset: str, code: str) -> Split:
    """The cases of a fold, given by its number, of what `read_splits` gave.

    Raises:
        ConfigurationError: With that code if the splits of the dataset have no such fold.
    """
    if not fold.isdigit() or int(fold) >= len(splits):
        there = ", ".join(map(str, range(len(splits))))
        known = fold_spellings(map(str, range(len(splits))))
        hint = did_you_mean(fold, otherwise=f"take one of {there}", spellings=known)
        raise ConfigurationError(code, f"the splits of {dataset} have no fold {fold}", hint)
    return splits[int(fold)]


def read_checked_splits(path: Path, cases: Collection[str] | None = None, *, code: str = "PE-TRAIN-012") -> list[Split]:
    """The folds of a `splits_final.json`, every one of them checked.

    Args:
        path: The file.
        cases: Ids of the dataset's training cases; None: no case is compared with them.
        code: Of the error.

    Raises:
        ConfigurationError: With that code, which names the first thing that is wrong.
    """
    hint = _HINT if code == "PE-TRAIN-012" else _HINT_TRAINED
    try:
        if path.read_bytes()[:3] == codecs.BOM_UTF8:
            raise ConfigurationError(
                code,
                f"{path} begins with a byte order mark, at which nnU-Net stops",
                "save it as UTF-8 without one",
            )
        content = read_json(path)
    except (OSError, ValueError) as error:
        raise ConfigurationError(code, f"{path} cannot be read: {error}", hint) from error
    problem = what_is_wrong(content, cases)
    if problem is not None:
        raise ConfigurationError(code, f"{path}: {problem}", hint)
    return [{part: list(fold[part]) for part in ("train", "val")} for fold in content]


def what_is_wrong(content: Any, cases: Collection[str] | None = None) -> str | None:
    """The first thing that is wrong with the content of a `splits_final.json`, or None.

    Args:
        content: As JSON gave it.
        cases: Ids of the dataset's training cases; None: no case is compared with them.

    Example:
        >>> what_is_wrong([{"train": ["case_1"], "val": ["case-2"]}], ["case_1", "case_2"])
        'fold 0, val: no case case-2 (case_2?)'
    """
    if not isinstance(content, list) or not content:
        found = "an empty list, which has no folds" if content == [] else type(content).__name__
        return f'expected a list of folds, [{{"train": [...], "val": [...]}}, ...], found {found}'
    for number, fold in enumerate(content):
        for part, what in (("train", "training"), ("val", "validation")):
            names = fold.get(part) if isinstance(fold, dict) else None
            where = f"fold {number}, {part}"
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                return f"{where}: expected a list of case names in quotation marks"
            if not names:
                return f"fold {number} has no {what} cases"
            twice = sorted(name for name, times in Counter(names).items() if times > 1)
            if twice:
                return f"{where}: {_listed(twice)} more than once"
            unknown = [] if cases is None else sorted(set(names).difference(cases))
            if cases is not None and unknown:
                return f"{where}: no case {_listed([_with_near(name, cases) for name in unknown])}"
        both = sorted(set(fold["train"]) & set(fold["val"]))
        if both:
            return f"fold {number}: {_listed(both)} in training and in validation"
    return None


def check_fold(fold: int | str, n_folds: int, where: str) -> None:
    """Refuse a fold that the splits do not have: nnU-Net would divide the cases at random, not by patient.

    Args:
        fold: Counted from 0, or what was given for it.
        n_folds: How many there are.
        where: Whose folds they are, for the message.

    Raises:
        ConfigurationError: PE-TRAIN-013.
    """
    if not str(fold).isdecimal() or int(fold) >= n_folds:
        there = "fold 0" if n_folds == 1 else f"folds 0 to {n_folds - 1}"
        raise ConfigurationError(
            "PE-TRAIN-013",
            f"there is no fold {fold}: {where} has {there}",
            "nnU-Net would divide the cases at random, not by patient: name one of these, or all",
        )


def too_few_cases(count: int) -> str | None:
    """What to say where there are no splits and too few cases for the five folds that nnU-Net makes; else None.

    Args:
        count: Training cases.
    """
    if count >= N_FOLDS:
        return None
    cases = "1 training case" if count == 1 else f"{count} training cases"
    return f"{cases} and no {SPLITS}: nnU-Net's own {N_FOLDS} folds need {N_FOLDS}"


TOO_FEW_HINT = "train fold all, or convert with as many --folds as there are patients"


def shared_patients(splits: Iterable[Split], patients: Mapping[str, str]) -> list[Note]:
    """A note for each fold in which scans of one patient are in training and in validation.

    Args:
        splits: Checked.
        patients: A key that scans of one patient share, by case, as far as it is known.
    """
    notes = []
    for number, fold in enumerate(splits):
        sides = [{patients[case] for case in fold[part] if case in patients} for part in ("train", "val")]
        shared = sorted(sides[0] & sides[1])
        if shared:
            scans = [
                " and ".join(case for part in ("train", "val") for case in fold[part] if patients.get(case) == key)
                for key in shared
            ]
            text = f"fold {number}: scans of one patient in training and validation, {_listed(scans)}: scores too high"
            notes.append(Note("PE-TRAIN-016", "warning", text))
    return notes


def left_out(splits: Sequence[Split], cases: Iterable[str]) -> list[Note]:
    """What cases no fold uses, and which no fold of several validates.

    Args:
        splits: Checked.
        cases: Ids of the dataset's training cases.
    """
    validated = {case for fold in splits for case in fold["val"]}
    used = validated.union(case for fold in splits for case in fold["train"])
    unused = sorted(set(cases) - used)
    unseen = sorted((set(cases) & used) - validated) if len(splits) > 1 else []  # one fold alone is a choice
    texts = (
        (unused, "in no fold, neither in training nor in validation"),
        (unseen, "in the validation of no fold: no score tells of them, and nothing is calibrated on them"),
    )
    return [Note("PE-TRAIN-012", "warning", f"{SPLITS}: {_listed(names)} {text}") for names, text in texts if names]


def _with_near(name: str, cases: Iterable[str]) -> str:
    meant = nearest(name, cases)
    return f"{name} ({meant}?)" if meant else name


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
