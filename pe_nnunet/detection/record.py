"""`detector.json`: what a trained detector is, in plain values, and how to know that its files are still the same."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pe_nnunet.dataset.training_split import TrainingSplit
from pe_nnunet.detection.raster import WINDOWS_HU, Raster
from pe_nnunet.detection.slice_labels import CLASSES
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.files import atomic_json
from pe_nnunet.files.json_reader import MALFORMED, read_object, require_types, why
from pe_nnunet.volumes.files.volume_file import file_sha256

RECORD, ONNX, WEIGHTS, HISTORY = "detector.json", "detector.onnx", "detector.pt", "history.csv"
_FORMAT = 1


@dataclass(frozen=True)
class DetectorRecord:
    """One trained detector.

    Attributes:
        model: Architecture, `yolo11n`.
        raster: Pixels that it was trained on.
        dataset: Name of the dataset.
        fold: `0`, `1`, ..., or `all`.
        sha256: Of its files, by name.
        facts: How it was made, for people.
    """

    model: str
    raster: Raster
    dataset: str
    fold: str
    sha256: dict[str, str]
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def split(self) -> TrainingSplit:
        """What it was trained on; an older detector names cases without hashes."""
        if stored := TrainingSplit.from_plain(self.facts.get("split")):
            return stored
        stored_cases = self.facts.get("cases")
        cases: Mapping[str, Sequence[str]] = stored_cases if isinstance(stored_cases, Mapping) else {}
        train, val = ({case: tuple[str, ...]() for case in cases.get(part, ())} for part in ("train", "val"))
        return TrainingSplit(self.dataset, self.fold, train, val, "" if cases else "its record does not name its scans")

    def brief(self) -> dict[str, Any]:
        """For results: without the hash of every scan."""
        return asdict(self) | {"facts": {name: fact for name, fact in self.facts.items() if name != "split"}}

    def write(self, folder: Path) -> None:
        """Write `detector.json`.

        Raises:
            OutputError: PE-OUT-001 if it cannot be written.
        """
        windows = [list(window) for window in WINDOWS_HU]
        constants = {"format": _FORMAT, "classes": list(CLASSES), "windows_hu": windows}
        atomic_json(folder / RECORD, constants | asdict(self))

    @classmethod
    def read(cls, folder: Path) -> DetectorRecord:
        """Read `detector.json` and check the files that it names.

        Raises:
            ConfigurationError: PE-DET-005 if there is none, PE-DET-006 if it cannot be read or its files have changed,
                PE-DET-015 if its pictures have an impossible size.
        """
        path = folder / RECORD
        try:
            values = read_object(path)
            record = cls(
                values["model"],
                Raster(float(values["raster"]["pixel_mm"]), int(values["raster"]["side"])),
                values["dataset"],
                values["fold"],
                dict(values["sha256"]),
                dict(values["facts"]),
            )
            require_types(record)
            _require_names(record.facts.get("cases"))
            if not all(re.fullmatch(r"[\w.-]{1,100}", name) for name in record.sha256):
                raise ValueError("its files are not named as files of its folder")
            same = (values["format"], values["classes"]) == (_FORMAT, list(CLASSES))
            same = same and [tuple(window) for window in values["windows_hu"]] == list(WINDOWS_HU)
        except FileNotFoundError:
            raise ConfigurationError(
                "PE-DET-005", f"no detector in {folder}", "train one with pe-nnunet train-detector"
            ) from None
        except MALFORMED as error:
            raise ConfigurationError("PE-DET-006", f"{path} cannot be read: {why(error)}", "train it again") from error
        if not same:
            raise ConfigurationError(
                "PE-DET-006", f"{path} is of another version: format, classes or windows differ", "train it again"
            )
        record.raster.require_possible(path)
        for name, expected in record.sha256.items():
            if name != ONNX and not (folder / name).exists():
                continue  # only ONNX is needed to detect
            if not (folder / name).is_file() or file_sha256(folder / name) != expected:
                raise ConfigurationError(
                    "PE-DET-006", f"{folder / name} is not the file that {RECORD} was written for", "train it again"
                )
        return record


def _require_names(cases: Any) -> None:
    """Check what an older record says of its scans, if anything: lists of names."""
    parts = [cases[part] for part in ("train", "val") if part in cases] if isinstance(cases, Mapping) else []
    if not all(isinstance(part, list) and all(isinstance(name, str) for name in part) for part in parts):
        raise ValueError("its scans are no lists of names")
