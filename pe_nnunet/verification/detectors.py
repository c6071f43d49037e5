"""A trained detector: its record, the files that the record names, and the network in them."""

from __future__ import annotations

from pathlib import Path

from pe_nnunet.cases import CaseLimits
from pe_nnunet.errors import ConfigurationError, PEError
from pe_nnunet.verification.findings import Checked, Finding
from pe_nnunet.verification.whole_files import whole_findings

KIND = "a trained detector"
_OURS = ("detector.json", "detector.onnx", "detector.pt")


def is_kind(folder: Path) -> bool:
    """Whether a detector, or one fold of it, lies here."""
    return any((folder / name).is_file() or any(folder.glob(f"fold_*/{name}")) for name in _OURS)


def check(folder: Path, limits: CaseLimits | None) -> Checked:  # noqa: ARG001 - as the other kinds
    """Read every fold; torch is needed where weights to train on (`detector.pt`) are beside the network."""
    single = any((folder / name).is_file() for name in _OURS)
    folds = [folder] if single else sorted(path for path in folder.glob("fold_*") if path.is_dir())
    found, files = list[Finding](), 0
    for fold in folds:
        there = [name for name in (*_OURS, "history.csv") if (fold / name).is_file()]
        files += len(there)
        found += _fold_findings(fold)
    return Checked(folder, KIND, files, found)


def _fold_findings(fold: Path) -> list[Finding]:
    from pe_nnunet.detection.onnx_checks import require_sound
    from pe_nnunet.detection.record import HISTORY, ONNX, RECORD, WEIGHTS, DetectorRecord

    found = []
    recorded: dict[str, str] = {}
    try:
        recorded = DetectorRecord.read(fold).sha256
        if ONNX not in recorded:
            found.append(Finding("PE-VER-009", "warning", f"{fold / RECORD} records no hash of {ONNX}"))
    except PEError as error:
        found.append(Finding.of(error))
    if (fold / ONNX).is_file():
        try:
            require_sound(fold / ONNX)
        except PEError as error:
            found.append(Finding.of(error))
    if (fold / WEIGHTS).is_file():
        found += _weights_findings(fold / WEIGHTS)
        if recorded and WEIGHTS not in recorded:
            found.append(Finding("PE-VER-005", "error", f"{fold / RECORD} has no record of {WEIGHTS}"))
    return found + (whole_findings(fold / HISTORY) if (fold / HISTORY).is_file() else [])


def _weights_findings(path: Path) -> list[Finding]:
    """Why weights would be refused for a further training."""
    from pe_nnunet.inference.checkpoint_file import load_file, require_finite

    try:
        require_finite(load_file(path)["state_dict"], path)
    except PEError as error:
        return [Finding.of(error)]
    except Exception as error:  # noqa: BLE001 - of many kinds, as torch.load
        text = f"{path} cannot be read, or holds more than weights: {type(error).__name__}: {error}"
        return [Finding.of(ConfigurationError("PE-DET-006", text))]
    return []
