"""What predict-fused wrote of scans, as the correction of results and the choice of scans to correct need it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pe_nnunet.cases.output_folder import output_folder
from pe_nnunet.errors import InputError
from pe_nnunet.files.json_reader import MALFORMED, read_object
from pe_nnunet.outputs.writers import WRITERS


@dataclass(frozen=True)
class Predicted:
    """One scan's result.

    Attributes:
        case: Case id.
        folder: Where its files are.
        scan_sha256: Of the scan.
        threshold: That the highest probability of a finding is compared with.
        members: How many networks were averaged.
    """

    case: str
    folder: Path
    scan_sha256: str
    threshold: float
    members: int

    def file(self, kind: str) -> Path:
        """One of its files, a key of `outputs.writers.WRITERS`; it need not be there."""
        return self.folder / WRITERS[kind].name(self.case)


def predicted_cases(folder: Path) -> dict[str, Predicted]:
    """The scans that predict-fused wrote results of, by case id.

    Args:
        folder: What it wrote into.

    Raises:
        InputError: PE-IN-002 if there is no such folder, PE-COR-007 if it holds no result.
    """
    if not folder.is_dir():
        raise InputError("PE-IN-002", f"{folder} does not exist", "give the folder that predict-fused wrote")
    found = {}
    for path in sorted(path for below in output_folder(folder).folders() for path in below.glob("*.json")):
        try:
            case = _predicted(path.parent, read_object(path))
        except MALFORMED:  # another file of JSON
            continue
        if case.case == path.stem:
            found[case.case] = case
    if not found:
        raise InputError("PE-COR-007", f"{folder} holds no result of predict-fused", "give the folder of its -o")
    return found


def _predicted(folder: Path, manifest: Mapping[str, Any]) -> Predicted:
    settings = manifest["settings"]
    seed = settings["seed_threshold"]
    threshold = float(settings["threshold"] if seed is None else seed)
    if not 0 < threshold <= 1:
        raise ValueError(threshold)
    return Predicted(
        str(manifest["case"]), folder, str(manifest["source"]["sha256"]), threshold, len(manifest["models"])
    )
