"""Scans that are given with edited labels: by the names of their cases, or known by their content."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pe_nnunet.errors import PEError
from pe_nnunet.volumes import Scan, ScanRef, read_scan


class GivenScans(Mapping[str, ScanRef]):
    """Scans by what they are called, which is after their file or folder and need not be their case's name elsewhere.

    Args:
        refs: By name.
        repairs: Keywords of `read_scan`.
    """

    def __init__(self, refs: Mapping[str, ScanRef], repairs: Mapping[str, bool]) -> None:
        self._refs, self._repairs = dict(refs), dict(repairs)
        self._sha256: dict[str, str] = {}

    def __getitem__(self, name: str) -> ScanRef:
        """The scan of that name."""
        return self._refs[name]

    def __iter__(self) -> Iterator[str]:
        """Names."""
        return iter(self._refs)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._refs)

    def read(self, name: str) -> Scan:
        """Its voxels.

        Raises:
            PEError: As `read_scan`.
        """
        scan = read_scan(self._refs[name], **self._repairs)
        self._sha256[name] = scan.sha256
        return scan

    def sha256(self, name: str) -> str:
        """Of its content; empty where it cannot be read."""
        if name not in self._sha256:
            try:
                self.read(name)
            except PEError:
                self._sha256[name] = ""
        return self._sha256[name]

    def name_of(self, case: str, sha256: str = "") -> str | None:
        """What the scan of a case is called here: as the case, else the one with its content; None if there is none."""
        if case in self._refs or not sha256:
            return case if case in self._refs else None
        return next((name for name in self._refs if self.sha256(name) == sha256), None)
