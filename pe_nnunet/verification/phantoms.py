"""A cohort of synthetic scans: every file as `phantom.json` says."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pe_nnunet.cases import CaseLimits, work_through
from pe_nnunet.files.json_reader import MALFORMED, read_object
from pe_nnunet.verification.findings import Checked, Finding, compare_hashes
from pe_nnunet.verification.whole_files import damaged, whole_findings

KIND = "a phantom cohort"
MANIFEST = "phantom.json"


def is_kind(folder: Path) -> bool:
    """Whether `pe-nnunet phantom` wrote into this folder."""
    return (folder / MANIFEST).is_file()


def check(folder: Path, limits: CaseLimits | None) -> Checked:
    """Compare hashes, and read every scan and mask."""
    try:
        cases = dict(read_object(folder / MANIFEST)["cases"])
        if any(Path(name).name != name or not isinstance(facts, dict) for name, facts in cases.items()):
            raise ValueError("its cases are no folders here")
    except MALFORMED as error:
        return Checked(folder, KIND, 1, [Finding.of(damaged(folder / MANIFEST, error))])
    results, lost = work_through(
        partial(_check_case, folder), {name: (name, facts) for name, facts in cases.items()}, limits=limits, quiet=True
    )
    found = [finding for _, findings in results.values() for finding in findings]
    found += [Finding.of(failure) for failure in lost]
    found += [
        Finding("PE-VER-005", "error", f"{path} is no case that {MANIFEST} has")
        for path in sorted(folder.glob("phantom_*"))
        if path.name not in cases
    ]
    return Checked(folder, KIND, 1 + sum(files for files, _ in results.values()), found)


def _check_case(folder: Path, case: tuple[str, Mapping[str, Any]]) -> tuple[int, list[Finding]]:
    """How many files a case has, and what is wrong with them; in a process of its own."""
    from pe_nnunet.phantom.cohort import case_hashes

    name, facts = case
    place = folder / name
    if not place.is_dir():
        return 0, [Finding("PE-VER-003", "error", f"{place} is missing")]
    files = sorted(path for path in place.rglob("*") if path.is_file())
    recorded = facts.get("files_sha256")
    if isinstance(recorded, Mapping):
        found = compare_hashes(recorded, case_hashes(place), str(place))
    else:
        found = [Finding("PE-VER-009", "warning", f"{place}: no hashes are recorded: files were read, not compared")]
    return len(files), found + [finding for path in files for finding in whole_findings(path)]
