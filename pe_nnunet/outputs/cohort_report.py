"""`report.html`: all scans of a run in one table that leads to the page of each."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from pe_nnunet.cases import DISCLAIMER, CaseFailure
from pe_nnunet.files import atomic_text
from pe_nnunet.outputs.report import flush, page
from pe_nnunet.outputs.run import CaseSummary
from pe_nnunet.outputs.write import FILES

COLUMNS = ("scan", "PE score", "emboli", "volume mm³", "seconds", "notes")


def write_cohort_report(written: Sequence[CaseSummary], failed: Sequence[CaseFailure], folder: Path) -> Path:
    """Write the page of a run; it links the pages and shows the pictures that lie beside it.

    Args:
        written: Scans with results, listed by falling score.
        failed: Scans without.
        folder: Where the run's files are.

    Returns:
        The file's path.

    Raises:
        OutputError: PE-OUT-001 if it cannot be written.
    """
    ranked = sorted(written, key=lambda row: (-row.pe_score, -row.volume_mm3, row.case_id))
    positive = sum(row.emboli > 0 for row in written)
    facts = f"{len(written)} scans, {positive} with emboli, {len(failed)} failed"
    heads = (f'<th scope="col"{flush(name)}><button type="button">{escape(name)}</button></th>' for name in COLUMNS)
    text = page(
        "cohort",
        title="Pulmonary emboli: all scans",
        facts=escape(facts),
        notice=escape(DISCLAIMER),
        caption="Press a heading to sort by it",
        head='<th scope="col" class="word">overview</th>' + "".join(heads),
        rows="\n".join(_row(row, folder) for row in ranked),
        failures=_failures(failed),
    )
    path = folder / "report.html"
    atomic_text(path, text)
    return path


def _row(row: CaseSummary, folder: Path) -> str:
    picture, report = (FILES[kind].format(row.case_id) for kind in ("picture", "report"))
    name = escape(row.case_id)
    if (folder / report).is_file():
        name = f'<a href="{quote(report)}">{name}</a>'
    shown = ""
    if (folder / picture).is_file():
        shown = f'<img src="{quote(picture)}" alt="Overview of {escape(row.case_id)}" loading="lazy">'
    numbers = (
        (row.pe_score, f"{row.pe_score:.2f}"),
        (row.emboli, str(row.emboli)),
        (row.volume_mm3, f"{row.volume_mm3:,.0f}"),
        (row.seconds, f"{row.seconds:.0f}"),
    )
    cells = "".join(f'<td data-value="{value}">{text}</td>' for value, text in numbers)
    notes = escape(" · ".join(row.notes))
    return f'<tr><td>{shown}</td><td class="word">{name}</td>{cells}<td class="word wrap">{notes}</td></tr>'


def _failures(failed: Sequence[CaseFailure]) -> str:
    if not failed:
        return ""
    items = "".join(f"<li>{escape(str(failure))}</li>" for failure in failed)
    return f'<section aria-label="Failed scans"><h2>Without result</h2><ul id="failed">{items}</ul></section>'
