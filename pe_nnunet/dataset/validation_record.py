"""Beside the predictions of a fold's validation: which checkpoint made them, and of which cases."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from pe_nnunet.files import atomic_json
from pe_nnunet.files.json_reader import MALFORMED, read_json
from pe_nnunet.volumes.files.volume_file import file_sha256

NAME = "pe_nnunet_validation.json"


@dataclass(frozen=True)
class ValidationRecord:
    """Who predicted what.

    Attributes:
        checkpoint: Name of its file in the fold's folder; empty for weights that were not kept.
        sha256: Of that file.
        cases: Case ids.
    """

    checkpoint: str
    sha256: str
    cases: tuple[str, ...]

    @classmethod
    def read(cls, folder: Path) -> ValidationRecord | None:
        """The record in a `validation` folder; None if there is none that can be read."""
        try:
            content = read_json(folder / NAME)
            return cls(str(content["checkpoint"]), str(content["sha256"]), tuple(map(str, content["cases"])))
        except MALFORMED:
            return None


def write_validation_record(folder: Path, checkpoint: Path | None, cases: Iterable[str]) -> None:
    """Say that a checkpoint predicted these cases.

    Args:
        folder: `fold_*/validation`.
        checkpoint: The file, in the folder above; None for weights that are in none.
        cases: Case ids.

    Raises:
        OutputError: PE-OUT-001 if it cannot be written.
    """
    name, sha256 = ("", "") if checkpoint is None else (checkpoint.name, file_sha256(checkpoint))
    record = ValidationRecord(name, sha256, tuple(sorted(cases)))
    atomic_json(folder / NAME, asdict(record))


def remove_validation_record(folder: Path) -> None:
    """Before new predictions take the place of the old ones."""
    (folder / NAME).unlink(missing_ok=True)
