"""Where trained detectors lie."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pe_nnunet.detection.detector import fold_folders
from pe_nnunet.errors import ConfigurationError

PATTERN = "PEDetector__*"


def locate_detector(results: Path, folds: Sequence[str] | None) -> list[Path]:
    """The folds of a dataset's one detector.

    Args:
        results: The dataset's folder in nnUNet_results.
        folds: Which; all that are trained if None.

    Raises:
        ConfigurationError: PE-DET-005 if there is no detector, several, or a fold is missing.
    """
    known = sorted(path for path in results.glob(PATTERN) if any(path.glob("fold_*/detector.json")))
    if len(known) != 1:
        raise ConfigurationError(
            "PE-DET-005",
            f"{len(known) or 'no'} trained detector{'s' * (len(known) > 1)} in {results}",
            f"name one with --detector: {', '.join(path.name for path in known)}"
            if known
            else "train one with pe-nnunet train-detector",
        )
    return fold_folders(known[0], folds)
