"""Where the files of a case lie in a folder of results: there itself, or in subfolders, where cases are many."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pe_nnunet.errors import InputError
from pe_nnunet.files import atomic_json, text_sha256
from pe_nnunet.files.json_reader import MALFORMED, read_object, why

LAYOUT, ERRORS = "layout.json", "errors.json"
FLAT_UP_TO = 2000
CASES_EACH = 500  # of a subfolder, on average; with pages, pictures and DICOM some ten files each
MOST_DIGITS = 4


@dataclass(frozen=True)
class OutputFolder:
    """A folder of results.

    Each case has all its files in one folder, which is laid out as if there were no others.

    Attributes:
        root: The folder.
        digits: Of the names of subfolders: the first hexadecimal digits of the SHA-256 of the case's name. 0: there are
            none.

    Example:
        >>> OutputFolder(Path("out")).of("a").as_posix(), OutputFolder(Path("out"), 2).of("a").as_posix()
        ('out', 'out/ca')
    """

    root: Path
    digits: int = 0

    @property
    def indexed(self) -> bool:
        """Whether an index in Parquet says what is there, instead of `summary.csv`."""
        return self.digits > 0

    def below(self, case_id: str) -> str:
        """The name of the subfolder of a case; empty where there are none."""
        return text_sha256(case_id)[: self.digits]

    def of(self, case_id: str) -> Path:
        """The folder that holds the files of a case."""
        return self.root / self.below(case_id)

    def folders(self) -> list[Path]:
        """All folders that hold files of cases, or may."""
        if not self.digits:
            return [self.root]
        return sorted(path for path in self.root.iterdir() if self.is_subfolder(path) and path.is_dir())

    def is_subfolder(self, path: Path) -> bool:
        """Whether a path in the folder is called as a subfolder is."""
        return 0 < self.digits == len(path.name) and not set(path.name) - set("0123456789abcdef")

    @contextmanager
    def writing(self, case_id: str) -> Iterator[Path]:
        """The folder into which the files of a case are written, the manifest last."""
        yield self.of(case_id)

    @contextmanager
    def reading(self, case_id: str) -> Iterator[Path]:
        """A folder that holds the files of a case."""
        yield self.of(case_id)

    def subfolders(self) -> list[str]:
        """The names of all that there may be; an empty one where there are none."""
        return [f"{number:0{self.digits}x}" for number in range(16**self.digits)] if self.digits else [""]

    def manifest(self, case_id: str) -> str:
        """The path of the manifest of a case, from the root."""
        return f"{self.below(case_id)}/{case_id}.json".lstrip("/")

    def manifests(self) -> set[str]:
        """The paths of all manifests, from the root, and of whatever else is JSON; no file is opened."""
        found: set[str] = set()
        for folder in self.folders():
            below = "" if folder == self.root else f"{folder.name}/"
            with os.scandir(folder) as entries:
                found |= {below + entry.name for entry in entries if entry.name.endswith(".json")}
        return found

    def renew(self) -> None:
        """Other processes may have written tables since they were looked at."""

    def has(self, case_id: str, name: str) -> bool:
        """Whether a case has a file of this name."""
        return (self.of(case_id) / name).is_file()

    def publish(self, *names: str) -> None:
        """Tables of the run were written, or removed, under these paths from the root."""


def output_folder(root: Path) -> OutputFolder:
    """A folder of results as it is.

    Raises:
        InputError: PE-CLU-023 if what it says of its layout cannot be read.
    """
    path = root / LAYOUT
    if not path.is_file():
        return OutputFolder(root)
    try:
        digits = read_object(path)["subfolder_digits"]
        if digits not in range(1, MOST_DIGITS + 1):
            raise ValueError(f"{digits!r} digits")
    except MALFORMED as error:
        raise InputError(
            "PE-CLU-023",
            f"{path} does not say how the folder is laid out: {why(error)}",
            "restore it, or name another -o",
        ) from error
    return OutputFolder(root, digits)


def begun_output(root: Path, cases: int) -> OutputFolder:
    """A folder of results that cases are to be written into; the first run decides how it is laid out.

    Args:
        root: The folder, held by `sole_writer`.
        cases: Of the run, of all its parts.

    Raises:
        InputError: PE-CLU-023 if what it says of its layout cannot be read.
        OutputError: PE-OUT-001 if it cannot be written.
    """
    if cases <= FLAT_UP_TO or (root / LAYOUT).exists() or (root / ERRORS).exists() or any(root.glob("part_*")):
        return output_folder(root)
    digits = next(n for n in range(2, MOST_DIGITS + 1) if cases <= CASES_EACH * 16**n or n == MOST_DIGITS)
    atomic_json(root / LAYOUT, {"subfolder_digits": digits, "of": "SHA-256 of the case's name, in hexadecimal"})
    return OutputFolder(root, digits)
