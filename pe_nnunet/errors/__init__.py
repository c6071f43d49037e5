"""What goes wrong, said in one line with a stable code.

Every error that a user can cause derives from `PEError`; the command line prints it without a traceback. What was
repaired or only deserves a warning is a `Note`, collected beside the result instead of being printed and lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from pe_nnunet.errors.codes import CODES
from pe_nnunet.errors.shown import shown, without

__all__ = [
    "CODES",
    "ConfigurationError",
    "GeometryError",
    "InputError",
    "MissingExtraError",
    "Note",
    "OutputError",
    "PEError",
]


class PEError(Exception):
    """Base of all errors that are the input's or the configuration's, not the program's.

    Args:
        code: A key of `CODES`, for example `"PE-DCM-003"`.
        message: What is wrong, with which case or file, what was expected and what was found, in one line. Control
            characters in it, which come from files and names, are escaped.
        hint: What to do about it.

    Raises:
        KeyError: If the code is not in `CODES`.

    Example:
        >>> str(InputError("PE-IN-001", "scans/ is empty", "name a folder that holds DICOM series or NIfTI files"))
        'PE-IN-001: scans/ is empty; name a folder that holds DICOM series or NIfTI files'
    """

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        if code not in CODES:
            raise KeyError(code)
        super().__init__(code, message, hint)
        self.code = code
        self.message = shown(message)
        self.hint = shown(hint)

    def __str__(self) -> str:
        """One line: code, message, hint."""
        return f"{self.code}: {self.message}" + (f"; {self.hint}" if self.hint else "")


class InputError(PEError):
    """A scan, label or table that cannot be used as it is."""


class GeometryError(InputError):
    """Positions, orientations, spacings or shapes that are missing or contradict each other."""


class ConfigurationError(PEError):
    """Settings, paths, dataset ids, models or folds that do not exist or do not fit together."""


class OutputError(PEError):
    """A result that cannot be written."""


class MissingExtraError(PEError):
    """An optional package that the wished-for function needs is not installed."""


@dataclass(frozen=True)
class Note:
    """Something that was repaired or deserves a look, without stopping the case.

    Attributes:
        code: A key of `CODES`.
        kind: `"repaired"`, or `"warning"`.
        message: One line; control characters in it are escaped.
    """

    code: str
    kind: Literal["repaired", "warning"]
    message: str

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise KeyError(self.code)
        object.__setattr__(self, "message", shown(self.message))

    def without(self, names: Iterable[str]) -> Note:
        """The note with names of folders and files hidden."""
        return replace(self, message=without(self.message, names))

    def __str__(self) -> str:
        """One line: code, kind, message."""
        return f"{self.code} {self.kind}: {self.message}"
