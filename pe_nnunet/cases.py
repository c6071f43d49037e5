"""What every command that works through cases shares: the failure of one, `errors.json`, and the notice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pe_nnunet.errors import PEError
from pe_nnunet.files import atomic_json

DISCLAIMER = "Research use only. Not a medical device; not for diagnosis or treatment decisions."


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
