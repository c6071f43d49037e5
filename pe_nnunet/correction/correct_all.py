"""All edited labels of a run; one that fails does not stop the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pe_nnunet.correction.correct import CorrectedDataset, Correction
from pe_nnunet.errors import ConfigurationError, PEError
from pe_nnunet.volumes.find import clean


def correct_all(
    dataset: CorrectedDataset, edited: Sequence[Path], case: str | None = None, *, dry_run: bool = False
) -> tuple[list[Correction], list[tuple[str, PEError]]]:
    """Take all edited files; one that fails does not stop the others.

    Args:
        dataset: To be corrected.
        edited: The files, or folders of them.
        case: Of the only file.
        dry_run: Say what would change, and write nothing.

    Returns:
        What was done, and why the others were not, by name of their file.

    Raises:
        ConfigurationError: PE-COR-001 if two files are of one case, one case is named for several files, or a folder
            holds none.
    """
    edited = [file for path in edited for file in _files_of(path)]
    if case is not None and len(edited) != 1:
        raise ConfigurationError("PE-COR-001", f"--case names one case, and {len(edited)} files are given", "give one")
    if case is not None and case != clean(case):
        raise ConfigurationError("PE-COR-001", f"--case {case!r} is no case id", "take letters, digits, `_` and `-`")
    done: list[Correction] = []
    failed: list[tuple[str, PEError]] = []
    case_by_path: dict[Path, str] = {}
    for path in edited:
        try:
            case_by_path[path] = case or dataset.case_of(path)
        except PEError as error:
            failed.append((path.name, error))
    twice = [name for name, count in Counter(case_by_path.values()).items() if count > 1]
    if twice:
        names = ", ".join(path.name for path, of in case_by_path.items() if of == twice[0])
        raise ConfigurationError("PE-COR-001", f"several files are of {twice[0]}: {names}", "give one a case")
    for path, of in case_by_path.items():
        try:
            done.append(dataset.correct(path, of, dry_run=dry_run))
        except PEError as error:
            failed.append((path.name, error))
    return done, failed


def _files_of(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    if not files:
        raise ConfigurationError("PE-COR-001", f"the folder {path} holds no file", "save the edited labels into it")
    return files
