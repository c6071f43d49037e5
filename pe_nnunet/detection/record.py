"""`detector.json`: what a trained detector is, in plain values, and how to know that its files are still the same."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pe_nnunet.detection.labels import CLASSES
from pe_nnunet.detection.raster import Raster
from pe_nnunet.detection.windows import WINDOWS_HU
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.volumes import atomic_json
from pe_nnunet.volumes.files import file_sha256

RECORD, ONNX, WEIGHTS, HISTORY = "detector.json", "detector.onnx", "detector.pt", "history.csv"
_FORMAT = 1


@dataclass(frozen=True)
class DetectorRecord:
    """One trained detector.

    Attributes:
        model: Architecture, `yolo11n`.
        raster: Pixels that it was trained on.
        dataset: Name of the dataset.
        fold: Its fold.
        sha256: Of its files, by name.
        facts: How it was made, for people.
    """

    model: str
    raster: Raster
    dataset: str
    fold: str
    sha256: dict[str, str]
    facts: dict[str, Any] = field(default_factory=dict)

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
            ConfigurationError: PE-DET-005 if there is none, PE-DET-006 if it cannot be read or its files have changed.
        """
        path = folder / RECORD
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            record = cls(
                values["model"],
                Raster(float(values["raster"]["pixel_mm"]), int(values["raster"]["side"])),
                values["dataset"],
                values["fold"],
                dict(values["sha256"]),
                dict(values["facts"]),
            )
            same = (values["format"], values["classes"]) == (_FORMAT, list(CLASSES))
            same = same and [tuple(window) for window in values["windows_hu"]] == list(WINDOWS_HU)
        except FileNotFoundError:
            raise ConfigurationError(
                "PE-DET-005", f"no detector in {folder}", "train one with pe-nnunet train-detector"
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError("PE-DET-006", f"{path} cannot be read: {error}", "train it again") from error
        if not same:
            raise ConfigurationError(
                "PE-DET-006", f"{path} is of another version: format, classes or windows differ", "train it again"
            )
        for name, expected in record.sha256.items():
            if name != ONNX and not (folder / name).exists():
                continue  # only ONNX is needed to detect
            if not (folder / name).is_file() or file_sha256(folder / name) != expected:
                raise ConfigurationError(
                    "PE-DET-006", f"{folder / name} is not the file that {RECORD} was written for", "train it again"
                )
        return record
