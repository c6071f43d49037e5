"""What the table of a run, `summary.csv` or the index, says of its cases, and what their manifests say."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from pe_nnunet.cases.output_folder import OutputFolder
from pe_nnunet.errors import PEError
from pe_nnunet.files import csv_text
from pe_nnunet.outputs.cohort_files import SUMMARY, SUMMARY_COLUMNS, CaseSummary
from pe_nnunet.outputs.results_index import INDEX, ResultsIndex
from pe_nnunet.verification.findings import Finding, disagree
from pe_nnunet.verification.whole_files import read_table


def table_findings(
    output: OutputFolder, summaries: Mapping[str, CaseSummary], unread: Collection[str]
) -> list[Finding]:
    """Compare the table of a run with its manifests.

    Args:
        output: The folder.
        summaries: By case, as the manifests say.
        unread: Cases whose manifests cannot be read.
    """
    if not output.indexed:
        return _of_summary(output.root / SUMMARY, summaries, unread)
    try:
        rows = ResultsIndex(output).rows()
    except PEError as error:
        return [Finding.of(error)]
    written = {case: _as_read(row.summary) for case, row in rows.items()}
    return _compared(output.root / INDEX, written, summaries, unread)


def _of_summary(path: Path, summaries: Mapping[str, CaseSummary], unread: Collection[str]) -> list[Finding]:
    if not path.is_file():
        return [Finding("PE-VER-003", "error", f"{path} is missing")]
    try:
        rows = read_table(path)
    except PEError as error:
        return [Finding.of(error)]
    if not rows or tuple(rows[0]) != SUMMARY_COLUMNS:
        return [Finding("PE-VER-008", "error", f"{path} does not begin with {','.join(SUMMARY_COLUMNS)}")]
    written = {row[0]: row for row in rows[1:]}
    found = [disagree(f"{path} has {len(rows) - 1 - len(written)} cases twice")] if len(written) < len(rows) - 1 else []
    return found + _compared(path, written, summaries, unread)


def _as_read(summary: CaseSummary) -> list[str]:
    """A line of `summary.csv` as it is read."""
    _, row = csv.reader(io.StringIO(csv_text(SUMMARY_COLUMNS, [summary.cells])))
    return row


def _compared(
    path: Path, written: Mapping[str, Sequence[str]], summaries: Mapping[str, CaseSummary], unread: Collection[str]
) -> list[Finding]:
    """What a table has of each case, and its manifest."""
    rows = map(_as_read, summaries.values())
    expected = {row[0]: row for row in rows}
    found = [disagree(f"{path} lacks the case {case}") for case in sorted(expected.keys() - written.keys())]
    found += [
        disagree(f"{path} has the case {case}, and there is no manifest of it")
        for case in sorted(written.keys() - expected.keys() - set(unread))
    ]
    return found + [
        disagree(f"{path} and {case}.json have other {SUMMARY_COLUMNS[column]} of the case {case}")
        for case in sorted(expected.keys() & written.keys())
        for column, (one, other) in enumerate(zip(written[case], expected[case], strict=True))
        if one != other
    ]
