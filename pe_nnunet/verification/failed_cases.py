"""`errors.json`, the list of the cases of a run that failed, which is there even where it is empty."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pe_nnunet.errors import CODES
from pe_nnunet.files.json_reader import MALFORMED, read_json
from pe_nnunet.verification.findings import Finding
from pe_nnunet.verification.whole_files import damaged


def failed_cases(paths: Iterable[Path]) -> tuple[set[str], list[Finding]]:
    """Read lists of failed cases.

    Args:
        paths: The first may be missing where there are others: parts of a run have lists of their own.

    Returns:
        The cases, and what is wrong with the lists.
    """
    cases: set[str] = set()
    found: list[Finding] = []
    paths = list(paths)
    if not any(path.is_file() for path in paths):
        return cases, [Finding("PE-VER-003", "error", f"{paths[0]} is missing")]
    for path in filter(Path.is_file, paths):
        try:
            rows = {str(row["case"]): str(row["code"]) for row in read_json(path)}
            unknown = sorted(set(rows.values()) - CODES.keys())
            if unknown:
                raise ValueError(f"no such code as {', '.join(unknown)}")
            cases |= rows.keys()
        except MALFORMED as error:
            found.append(Finding.of(damaged(path, error)))
    return cases, found
