"""Where trained detectors lie: a detector's folder, and its folds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pe_nnunet.dataset.folders import fold_spellings
from pe_nnunet.detection.record import RECORD
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.errors.near import did_you_mean

PATTERN = "PEDetector__*"


def fold_folders(folder: Path, folds: Sequence[str] | None = None) -> list[Path]:
    """The folders of folds in a detector's folder, or the folder itself if it is one.

    Args:
        folder: `PEDetector__...`, or a fold of it.
        folds: Which; all that are trained if None, `fold_all` only where there is no other.

    Raises:
        ConfigurationError: PE-DET-005 if there are none, one of them is missing, or the folder is another fold.
    """
    if (folder / RECORD).is_file():
        if folds is not None and [f"fold_{fold}" for fold in folds] != [folder.resolve().name]:
            text = f"{folder} is one fold, and fold {', '.join(folds)} was asked for"
            raise ConfigurationError("PE-DET-005", text, "name the folder above it")
        return [folder]
    trained = sorted(path.parent for path in folder.glob(f"fold_*/{RECORD}"))
    if folds is not None:
        wanted = [folder / f"fold_{fold}" for fold in folds]
    else:  # "all" was trained on every case; mixing it with folds would count those cases twice
        wanted = [path for path in trained if path.name != "fold_all"] or trained
    if not wanted or not set(wanted) <= set(trained):
        names = ", ".join(path.name for path in wanted if path not in trained) or "fold"
        there = f"trained: {', '.join(path.name for path in trained) or 'none'}; pe-nnunet train-detector makes one"
        spellings = fold_spellings(path.name.removeprefix("fold_") for path in trained)
        hint = did_you_mean(names, otherwise=there, spellings=spellings)
        raise ConfigurationError("PE-DET-005", f"no trained {names} in {folder}", hint)
    return wanted


def locate_detector(results: Path, folds: Sequence[str] | None) -> list[Path]:
    """The folds of a dataset's one detector.

    Args:
        results: The dataset's folder in nnUNet_results.
        folds: Which; all that are trained if None.

    Raises:
        ConfigurationError: PE-DET-005 if there is no detector, several, or a fold is missing.
    """
    known = sorted(path for path in results.glob(PATTERN) if any(path.glob(f"fold_*/{RECORD}")))
    if len(known) != 1:
        raise ConfigurationError(
            "PE-DET-005",
            f"{len(known) or 'no'} trained detector{'s' * (len(known) > 1)} in {results}",
            f"name one with --detector: {', '.join(path.name for path in known)}"
            if known
            else "train one with pe-nnunet train-detector",
        )
    return fold_folders(known[0], folds)
