"""The cases of a fold: the detector is trained on the segmenters' splits."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from pe_nnunet.errors import ConfigurationError

SPLITS = "splits_final.json"


@dataclass(frozen=True)
class Fold:
    """Cases to train and to validate on.

    Attributes:
        name: `0`, `1`, ..., or `all`.
        train: Case ids.
        val: Case ids; for `all` the same as `train`.
    """

    name: str
    train: tuple[str, ...]
    val: tuple[str, ...]


def load_fold(raw: Path, preprocessed: Path, fold: str, cases: list[str]) -> Fold:
    """The split that nnU-Net trains the segmenters with.

    Args:
        raw: The dataset in nnUNet_raw.
        preprocessed: The dataset in nnUNet_preprocessed, whose splits nnU-Net uses where there are any.
        fold: Its number, or `all`.
        cases: All training cases, which is what `all` means.

    Raises:
        ConfigurationError: PE-DET-004 if there are no splits, or not this fold.

    Example:
        >>> load_fold(Path("raw"), Path("preprocessed"), "all", ["a", "b"])
        Fold(name='all', train=('a', 'b'), val=('a', 'b'))
    """
    if fold == "all":
        return Fold("all", tuple(cases), tuple(cases))
    folds = _folds(raw, preprocessed)
    if not fold.isdigit() or int(fold) >= len(folds):
        raise ConfigurationError(
            "PE-DET-004",
            f"the splits of {raw.name} have no fold {fold}",
            f"take one of {', '.join(f.name for f in folds)}, or all",
        )
    return folds[int(fold)]


def fold_names(raw: Path, preprocessed: Path) -> list[str]:
    """Every fold of the splits.

    Raises:
        ConfigurationError: PE-DET-004 if there are none.
    """
    return [fold.name for fold in _folds(raw, preprocessed)]


def _folds(raw: Path, preprocessed: Path) -> list[Fold]:
    path = next((folder / SPLITS for folder in (preprocessed, raw) if (folder / SPLITS).is_file()), None)
    if path is None:
        raise ConfigurationError(
            "PE-DET-004", f"{raw.name} has no {SPLITS}", "convert at least two patients, or take -f all"
        )
    try:
        splits = json.loads(path.read_text(encoding="utf-8"))
        return [Fold(str(k), tuple(split["train"]), tuple(split["val"])) for k, split in enumerate(splits)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError("PE-DET-004", f"{path} cannot be read: {error}", "convert again") from error
