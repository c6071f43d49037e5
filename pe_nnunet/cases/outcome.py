"""What a case came to if it came to nothing, and how long it may take."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from pe_nnunet.errors import InputError, PEError
from pe_nnunet.errors.shown import shown, without
from pe_nnunet.options import option, require_limits
from pe_nnunet.processes.case_process import Lost

READING_S = 3600.0
"""Seconds after which the reading or the work of a case in a process of its own is given up, unless another is said."""

MOST_S = 1e6
"""Longest limit, some eleven days: systems count waits in whole numbers."""

CODES = {"time": "PE-IN-007", "memory": "PE-IN-006", "died": "PE-IN-008"}
HINTS = {
    "time": "look at the file; --case-timeout gives it longer, 0 any time",
    "memory": "free some, use fewer processes, or cut or resample the scan",
    "died": "the file makes a library crash: get it anew, or convert it with another program",
}


@dataclass(frozen=True, kw_only=True)
class CaseLimits:
    """What a case may take, where it is read or done in a process of its own.

    Raises:
        ConfigurationError: PE-IN-007 if the limit is below zero.
    """

    case_timeout_s: float | None = option(
        None,
        "a case that takes longer is given up, and the others go on; 0 for no limit",
        low=0,
        high=MOST_S,
        flag="--case-timeout",
        kind=float,
        metavar="SECONDS",
        default_text=f"{READING_S:g}, and none on what networks take",
    )

    def __post_init__(self) -> None:
        require_limits(self, "PE-IN-007")

    @property
    def apart_s(self) -> float | None:
        """Limit of a job in a process of its own, None for none."""
        return READING_S if self.case_timeout_s is None else self.case_timeout_s or None


@dataclass(frozen=True)
class CaseFailure:
    """A case without a result, and why.

    Attributes:
        case_id: The case.
        code: A key of `pe_nnunet.errors.CODES`.
        message: What is wrong.
        hint: What to do. Control characters in all three are escaped.
    """

    case_id: str
    code: str
    message: str
    hint: str = ""

    def __post_init__(self) -> None:
        for name in ("case_id", "message", "hint"):
            object.__setattr__(self, name, shown(getattr(self, name)))

    def without(self, names: Iterable[str]) -> CaseFailure:
        """The failure with names of folders and files hidden."""
        return replace(self, message=without(self.message, names), hint=without(self.hint, names))

    @classmethod
    def of(cls, case_id: str, error: Exception) -> CaseFailure:
        """From what was raised; anything but a `PEError` is an internal error with its type's name."""
        if isinstance(error, PEError):
            return cls(case_id, error.code, error.message, error.hint)
        if isinstance(error, MemoryError):
            text = "it needs more memory than is free" + (f": {' '.join(str(error).split())}" if str(error) else "")
            return cls(case_id, CODES["memory"], text, HINTS["memory"])
        return cls(case_id, "PE-ENV-006", f"{type(error).__name__}: {error}")

    @classmethod
    def of_lost(cls, case_id: str, lost: Lost, died: str = CODES["died"]) -> CaseFailure:
        """Of a case whose process was lost; `died` is the code where it died."""
        hint = "for want of memory? free some, or use fewer processes" if lost.killed else HINTS[lost.kind]
        return cls(case_id, died if lost.kind == "died" else CODES[lost.kind], lost.reason, hint)

    def __str__(self) -> str:
        """One line: case, code, message, hint."""
        return f"{self.case_id}: {self.code}: {self.message}" + (f"; {self.hint}" if self.hint else "")


def took_too_long(seconds: float) -> InputError:
    """The error for a case that is given up, in the process that computes it."""
    return InputError(CODES["time"], f"it took longer than {seconds:g} s", HINTS["time"])
