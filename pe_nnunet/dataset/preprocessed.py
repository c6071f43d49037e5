"""A preprocessed dataset: which of its cases are complete, and which hold an embolus, without reading a voxel."""

from __future__ import annotations

import pickle
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from pe_nnunet.errors import ConfigurationError

FORMATS = (("{}.b2nd", "{}_seg.b2nd", "{}.pkl"), ("{}.npz", "{}.pkl"))  # of nnU-Net, now and before 2.6


def preprocessed_cases(folder: Path) -> list[str]:
    """The cases that a folder holds any file of nnU-Net's preprocessing of.

    Args:
        folder: Of a configuration's preprocessed data.

    Raises:
        ConfigurationError: PE-TRAIN-017 if there is none.
    """
    found = [name.rsplit(".", 1) for name in _names(folder) if "." in name]
    images = {stem for stem, ending in found if ending in ("b2nd", "npz") and not stem.endswith("_seg")}
    cases = sorted(images | {stem for stem, ending in found if ending == "pkl"})
    if not cases:
        raise ConfigurationError("PE-TRAIN-017", f"{folder} holds no preprocessed case", _HINT)
    return cases


_HINT = "nnUNetv2_preprocess, or nnUNetv2_plan_and_preprocess, with this configuration"


def require_complete(folder: Path, cases: Iterable[str]) -> None:
    """Refuse cases of which a file of nnU-Net's preprocessing is missing or empty.

    Args:
        folder: Of a configuration's preprocessed data.
        cases: That are needed.

    Raises:
        ConfigurationError: PE-TRAIN-017, which names the files.
    """
    found = _names(folder)
    forms = FORMATS[0] if any(name.endswith(".b2nd") for name in found) else FORMATS[1]
    missing = [name for case in cases for form in forms if not found.get(name := form.format(case))]
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise ConfigurationError(
            "PE-TRAIN-017", f"{folder} lacks {', '.join(missing[:5])}{more}, or they are empty", _HINT
        )


def positive_cases(folder: Path, cases: Iterable[str], pe_values: Collection[int]) -> list[str]:
    """The cases that hold PE after resampling, by the voxels that nnU-Net's preprocessing noted of each label.

    Args:
        folder: Of a configuration's preprocessed data.
        cases: Complete ones.
        pe_values: Label values that mean PE.

    Raises:
        ConfigurationError: PE-TRAIN-017 if what was noted of a case cannot be read.
    """
    wanted = set(pe_values)
    return [case for case in cases if _holds(_properties(folder / f"{case}.pkl"), wanted)]


def _holds(properties: dict[str, Any], wanted: set[int]) -> bool:
    return any(len(places) > 0 and _values(key) <= wanted for key, places in properties["class_locations"].items())


def _values(key: int | Sequence[int]) -> set[int]:
    return set(key) if isinstance(key, tuple) else {int(key)}  # type: ignore[arg-type]


def _properties(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:  # nnU-Net's own file of this machine, which it loads likewise
            content: dict[str, Any] = pickle.load(file)  # noqa: S301 - as above
        content["class_locations"].items()
    except (OSError, EOFError, pickle.UnpicklingError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise ConfigurationError("PE-TRAIN-017", f"{path} cannot be read: {error}", _HINT) from error
    return content


def _names(folder: Path) -> dict[str, int]:
    """Files with their sizes; none where there is no folder."""
    if not folder.is_dir():
        raise ConfigurationError("PE-TRAIN-017", f"{folder} is not there", _HINT)
    return {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file()}
