"""An evaluation: tables, numbers and pictures, and whether the numbers of the cohort are those of its cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pe_nnunet.cases import CaseLimits
from pe_nnunet.errors import InputError, PEError
from pe_nnunet.files.json_reader import MALFORMED, read_object, why
from pe_nnunet.verification.findings import Checked, Finding, disagree
from pe_nnunet.verification.whole_files import heading, whole_findings

if TYPE_CHECKING:
    from pe_nnunet.metrics.case_scores import CaseScores

KIND = "an evaluation"
TABLE, SUMMARY, PAGE = "cases.csv", "summary.json", "report.html"
_SUMS = ("emboli", "found", "findings", "false_positives")


def is_kind(folder: Path) -> bool:
    """Whether `pe-nnunet evaluate` wrote into this folder."""
    if heading(folder / TABLE).startswith("case,patient,emboli,"):
        return True
    try:
        return {"cohort", "settings", "failures"} <= read_object(folder / SUMMARY).keys()
    except MALFORMED:
        return False


def check(folder: Path, limits: CaseLimits | None) -> Checked:  # noqa: ARG001 - as the other kinds
    """Read every file, and compare the tables; an evaluation records no hashes of its files."""
    from pe_nnunet.evaluation.text_tables import read_cases

    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    found = [
        Finding("PE-VER-003", "error", f"{folder / name} is missing")
        for name in (TABLE, SUMMARY, PAGE)
        if not (folder / name).is_file()
    ]
    found += [finding for path in files for finding in whole_findings(path)]
    if found:
        return Checked(folder, KIND, len(files), found)
    try:
        cases, content = read_cases(folder), read_object(folder / SUMMARY)
        found += _number_findings(folder, [case.case_id for case in cases], cases, content)
        if content["froc"] and not (folder / "froc.csv").is_file():
            found.append(Finding("PE-VER-003", "error", f"{folder / 'froc.csv'} is missing"))
    except PEError as error:
        found.append(Finding.of(error))
    except MALFORMED as error:
        text = f"{folder / SUMMARY} is no evaluation: {why(error)}"
        found.append(Finding.of(InputError("PE-VER-008", text)))
    return Checked(folder, KIND, len(files), found)


def _number_findings(
    folder: Path, ids: Sequence[str], cases: Sequence[CaseScores], content: Mapping[str, Any]
) -> list[Finding]:
    cohort = content["cohort"]
    found = []
    if len(set(ids)) < len(ids):
        found.append(disagree(f"{folder / TABLE} has cases twice"))
    expected = {"scans": len(ids)} | {name: sum(case[name] or 0 for case in cases) for name in _SUMS}
    found += [
        disagree(f"{folder / SUMMARY} says {name} {cohort[name]}, and the cases of {TABLE} add up to {number}")
        for name, number in expected.items()
        if cohort[name] != number
    ]
    if content["failed"] != len(content["failures"]):
        found.append(
            disagree(f"{folder / SUMMARY} counts {content['failed']} failures, and lists {len(content['failures'])}")
        )
    labels = content.get("scored_labels")
    if labels is None:
        found.append(
            Finding("PE-VER-009", "warning", f"{folder / SUMMARY} does not record the labels that were scored")
        )
    elif set(labels) != set(ids):
        found.append(disagree(f"{folder / SUMMARY} and {TABLE} have other scored cases"))
    both = sorted({str(failure["case_id"]) for failure in content["failures"]} & set(ids))
    return found + [disagree(f"{folder}: {case} failed, and was scored") for case in both]
