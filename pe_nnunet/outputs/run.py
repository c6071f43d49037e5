"""The tables of a whole run: `summary.csv` for the cases that worked, `errors.json` for those that did not."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pe_nnunet.errors import InputError, PEError
from pe_nnunet.volumes.write import atomic_json, atomic_text

SUMMARY_COLUMNS = ("case", "pe_score", "emboli", "volume_mm3", "seconds", "notes")


@dataclass(frozen=True)
class CaseSummary:
    """One line of `summary.csv`.

    Attributes:
        case_id: The case.
        pe_score: The highest probability of any candidate.
        emboli: How many are kept.
        volume_mm3: Of all kept emboli.
        seconds: What the case took.
        notes: Repairs and warnings, as text.
    """

    case_id: str
    pe_score: float
    emboli: int
    volume_mm3: float
    seconds: float
    notes: tuple[str, ...] = ()

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any]) -> CaseSummary:
        """The line that belongs to a case's manifest."""
        return cls(
            case_id=manifest["case"],
            pe_score=float(manifest["pe_score"]),
            emboli=int(manifest["emboli"]),
            volume_mm3=float(manifest["volume_mm3"]),
            seconds=float(manifest["seconds"]),
            notes=tuple(f"{n['code']} {n['kind']}: {n['message']}" for n in manifest["notes"]),
        )


@dataclass(frozen=True)
class CaseFailure:
    """A case without a result, and why.

    Attributes:
        case_id: The case.
        code: A key of `pe_nnunet.errors.CODES`.
        message: What is wrong.
        hint: What to do.
    """

    case_id: str
    code: str
    message: str
    hint: str = ""

    @classmethod
    def of(cls, case_id: str, error: Exception) -> CaseFailure:
        """From what was raised; anything but a `PEError` is an internal error with its type's name."""
        if isinstance(error, PEError):
            return cls(case_id, error.code, error.message, error.hint)
        return cls(case_id, "PE-ENV-006", " ".join(f"{type(error).__name__}: {error}".split()))

    def __str__(self) -> str:
        """One line: case, code, message, hint."""
        return f"{self.case_id}: {self.code}: {self.message}" + (f"; {self.hint}" if self.hint else "")


def read_case_summary(path: Path) -> CaseSummary:
    """The summary of a case that an earlier run has written.

    Args:
        path: The case's JSON manifest, which is written last: where it is, the case is complete.

    Raises:
        InputError: PE-OUT-012 if it is not such a manifest.
    """
    try:
        return CaseSummary.from_manifest(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            "PE-OUT-012", f"{path} is no manifest of a case: {error}", "remove it and predict again"
        ) from error


def write_summary(rows: Sequence[CaseSummary], folder: Path) -> Path:
    """Write `summary.csv`, one line a case in the order given.

    Returns:
        The file's path.

    Raises:
        OutputError: If it cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(SUMMARY_COLUMNS)
    for row in rows:
        writer.writerow(
            [
                row.case_id,
                f"{row.pe_score:.6g}",
                row.emboli,
                f"{row.volume_mm3:.3f}",
                f"{row.seconds:.2f}",
                " | ".join(row.notes),
            ]
        )
    path = folder / "summary.csv"
    atomic_text(path, text.getvalue())
    return path


def write_errors(failures: Sequence[CaseFailure], folder: Path) -> Path:
    """Write `errors.json`; an empty list where every case worked, so that no older file can be mistaken for this run's.

    Returns:
        The file's path.

    Raises:
        OutputError: If it cannot be written.
    """
    path = folder / "errors.json"
    rows = [
        {"case": f.case_id, **{key: value for key, value in asdict(f).items() if key != "case_id"}} for f in failures
    ]
    atomic_json(path, rows)
    return path
