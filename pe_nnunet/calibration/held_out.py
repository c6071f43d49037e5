"""Whether scans that count as held out were: what is to be scored against what was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pe_nnunet.calibration.trained_on import Trained, split_of_checkpoint
from pe_nnunet.calibration.validation_cases import ValidationCase
from pe_nnunet.dataset.folders import Split
from pe_nnunet.dataset.scan_hashes import ScanHashes, scan_hashes
from pe_nnunet.dataset.training_split import TrainingSplit, some_names
from pe_nnunet.errors import ConfigurationError, Note
from pe_nnunet.inference.locate import FINAL

ALL = "all"
_NAMES_ALONE = "scans were compared by name alone, as their images are not, or were not, in nnUNet_raw"


def refuse_fold_all(folds: Sequence[str]) -> None:
    """Fold `all` holds nothing out.

    Raises:
        ConfigurationError: PE-EVAL-012 if it is among the folds.
    """
    if ALL in folds:
        raise ConfigurationError(
            "PE-EVAL-012", "fold all was trained on every scan, so none is held out", "name numbered folds with -f"
        )


def require_held_out(trained: Trained, cases: Sequence[ValidationCase]) -> tuple[Note, ...]:
    """Refuse scans that were trained on, and scans that only bear the names of those that were held out.

    Args:
        trained: Models and detectors.
        cases: What is to be scored, each with the fold that it is held out from.

    Returns:
        PE-EVAL-013 for what could not be checked.

    Raises:
        ConfigurationError: PE-EVAL-012.
    """
    dataset = next(iter(cases[0].outputs.values())).parents[3].name if cases else ""
    hashed = any(any((split.train | split.val).values()) for _, _, split in trained)
    ids = [case.case_id for case in cases]
    now = scan_hashes(dataset, ids) if hashed else dict.fromkeys(ids, ())
    unchecked: dict[tuple[str, str], list[str]] = {}
    for who, fold, split in trained:
        scans = {case.case_id: now[case.case_id] for case in cases if case.fold == fold}
        _refuse_others(f"fold {fold} of {who}", split, scans)
        by_name = not all(now[case] and split.val.get(case, now[case]) for case in scans)
        if reason := split.unknown or (_NAMES_ALONE if by_name else ""):
            unchecked.setdefault((who, reason), []).append(fold)
    return _doubts(unchecked, "for sure that its validation scans were held out")


def require_unseen(trained: Trained, scans: Mapping[str, Sequence[str]]) -> None:
    """Refuse further scans that any fold was trained or validated on; their names mean nothing.

    Args:
        trained: Models.
        scans: Name -> hashes.

    Raises:
        ConfigurationError: PE-EVAL-012.
    """
    of_hash = seen_scans(trained)
    seen = [
        f"{name} (the same scan as {of_hash[sha256]})"
        for name, hashes in scans.items()
        for sha256 in hashes
        if sha256 in of_hash
    ]
    if seen:
        raise ConfigurationError(
            "PE-EVAL-012", f"further scans that belong to the folds ({some_names(seen)})", "give scans of their own"
        )


def seen_scans(trained: Trained) -> dict[str, str]:
    """What any fold was trained or validated on: hash -> case, as far as anything tells.

    Args:
        trained: Models and detectors.
    """
    of_hash: dict[str, str] = {}
    for _, _, split in trained:
        of_split = split.train | split.val
        known = of_split if any(of_split.values()) else scan_hashes(split.dataset, of_split)
        of_hash |= {sha256: case for case, hashes in known.items() for sha256 in hashes}
    return of_hash


def unseen_notes(trained: Trained) -> tuple[Note, ...]:
    """PE-EVAL-013 for each model and detector of which nobody can tell whether it has seen further scans.

    Args:
        trained: Models and detectors.
    """
    folds: dict[tuple[str, str], list[str]] = {}
    for who, fold, split in trained:
        unhashed = not seen_scans([(who, fold, split)])
        if reason := split.unknown or ("no hashes of its training scans are known" if unhashed else ""):
            folds.setdefault((who, reason), []).append(fold)
    return _doubts(folds, "whether it was trained on one of the scans")


def _doubts(folds: Mapping[tuple[str, str], Sequence[str]], what: str) -> tuple[Note, ...]:
    """PE-EVAL-013 for each model and reason, with its folds: what nobody can tell."""
    return tuple(
        Note("PE-EVAL-013", "warning", f"fold {' '.join(of)} of {who}: {reason}; nobody can tell {what}")
        for (who, reason), of in folds.items()
    )


def segmenters_of_other_splits(results: Path, fold: str, split: Split) -> list[Note]:
    """Models whose fold disagrees with a detector's that is about to be trained: they cannot be calibrated together.

    Args:
        results: The dataset's folder in nnUNet_results.
        fold: Its name.
        split: Case ids that the detector is trained and validated on.
    """
    notes = []
    for path in sorted(results.glob(f"*__*__*/fold_{fold}/{FINAL}")) if fold != ALL else ():
        trained = split_of_checkpoint(path, fold)
        if trained.unknown:
            continue
        both = sorted({*split["train"]} & {*trained.val} | {*split["val"]} & {*trained.train})
        if both:
            text = f"fold {fold} of {path.parents[1].name} was trained on another split ({some_names(both)})"
            notes.append(Note("PE-TRAIN-011", "warning", f"{text}; it cannot be calibrated with this detector"))
    return notes


def _refuse_others(who: str, split: TrainingSplit, scans: ScanHashes) -> None:
    if seen := split.trained_on(scans):
        raise ConfigurationError(
            "PE-EVAL-012",
            f"scans that {who} was trained on would be scored as held out ({some_names(seen)})",
            "take back the splits and scans that it was trained with, or train it again and validate it",
        )
    if others := split.replaced(scans):
        raise ConfigurationError(
            "PE-EVAL-012",
            f"other scans bear the names of those that {who} held out ({some_names(others)})",
            "take back the dataset that it was trained with, or train it again",
        )
