"""What a verification found, in one line each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from pe_nnunet.cases import CaseFailure
from pe_nnunet.errors import CODES, Note, PEError
from pe_nnunet.errors.shown import shown

Kind = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

    Attributes:
        code: A key of `CODES`.
        kind: `"error"`, or `"warning"` for what may be right and deserves a look.
        message: One line, with the file; control characters in it are escaped.
    """

    code: str
    kind: Kind
    message: str

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise KeyError(self.code)
        object.__setattr__(self, "message", shown(self.message))

    @classmethod
    def of(cls, problem: PEError | CaseFailure | Note) -> Finding:
        """Of what a reader refused, or noted."""
        kind: Kind = "warning" if isinstance(problem, Note) else "error"
        return cls(problem.code, kind, problem.message)

    def __str__(self) -> str:
        """One line: code, kind, message."""
        return f"{self.code} {self.kind}: {self.message}"


@dataclass(frozen=True)
class Checked:
    """What was found in one place of one kind.

    Attributes:
        path: The place.
        kind: What lies there, in words.
        files: How many files were checked.
        findings: What is not as it should be.
    """

    path: Path
    kind: str
    files: int
    findings: Sequence[Finding] = field(default_factory=tuple)

    @property
    def errors(self) -> int:
        """How many findings are errors."""
        return sum(finding.kind == "error" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """In JSON's types."""
        findings = [asdict(finding) for finding in self.findings]
        return {"path": str(self.path), "kind": self.kind, "files": self.files, "findings": findings}


def compare_hashes(recorded: Mapping[str, Any], now: Mapping[str, str], where: str) -> list[Finding]:
    """What differs between the hashes of a record and those of the files that are there.

    Args:
        recorded: Hashes by name, as a record has them.
        now: Those of the files, by the same names.
        where: Of what they are, for the message.
    """
    found = [Finding("PE-VER-003", "error", f"{where}: {name} is missing") for name in recorded if name not in now]
    found += [
        Finding("PE-VER-004", "error", f"{where}: {name} is not the file that was written: its SHA-256 is {now[name]}")
        for name, sha256 in recorded.items()
        if name in now and now[name] != sha256
    ]
    return found + [
        Finding("PE-VER-005", "error", f"{where}: no record of {name}") for name in now if name not in recorded
    ]


def disagree(message: str) -> Finding:
    """The finding for records that contradict each other, or their files."""
    return Finding("PE-VER-006", "error", message)
