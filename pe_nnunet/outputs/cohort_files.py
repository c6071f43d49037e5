"""The files of a whole run: `summary.csv`, one line a case, and `report.html`, a table that leads to their pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pe_nnunet.cases import DISCLAIMER, CaseFailure
from pe_nnunet.cases.output_folder import OutputFolder
from pe_nnunet.errors import InputError
from pe_nnunet.errors.shown import shown
from pe_nnunet.files import atomic_csv, atomic_text
from pe_nnunet.files.json_reader import MALFORMED, read_object, require_types, why
from pe_nnunet.outputs.writers import WRITERS
from pe_nnunet.pages import render

if TYPE_CHECKING:
    from pe_nnunet.outputs.case import ModelTerms

SUMMARY, PAGE = "summary.csv", "report.html"
MOST_SHOWN = 2000  # scans on a page: a browser shows more slowly, and nobody looks through them
SUMMARY_COLUMNS = ("case", "pe_score", "emboli", "volume_mm3", "seconds", "notes")


@dataclass(frozen=True)
class CaseSummary:
    """One line of `summary.csv`.

    Attributes:
        case_id: The case.
        pe_score: The highest probability of any candidate.
        emboli: How many are kept.
        volume_mm3: Of all kept emboli.
        seconds: What the case took.
        notes: Repairs and warnings, as text.
    """

    case_id: str
    pe_score: float
    emboli: int
    volume_mm3: float
    seconds: float
    notes: tuple[str, ...] = ()

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any]) -> CaseSummary:
        """The line that belongs to a case's manifest."""
        summary = cls(
            case_id=manifest["case"],
            pe_score=manifest["pe_score"],
            emboli=manifest["emboli"],
            volume_mm3=manifest["volume_mm3"],
            seconds=manifest["seconds"],
            notes=tuple(shown(f"{n['code']} {n['kind']}: {n['message']}") for n in manifest["notes"]),
        )
        require_types(summary)
        return summary

    @property
    def cells(self) -> tuple[str, ...]:
        """The line in `summary.csv`, before what CSV asks for."""
        return (
            self.case_id,
            f"{self.pe_score:.6g}",
            str(self.emboli),
            f"{self.volume_mm3:.3f}",
            f"{self.seconds:.2f}",
            " | ".join(self.notes),
        )


def read_case_summary(path: Path) -> CaseSummary:
    """The summary of a case that an earlier run has written.

    Args:
        path: The case's JSON manifest, which is written last: where it is, the case is complete.

    Raises:
        InputError: PE-OUT-012 if it is not such a manifest.
    """
    try:
        return CaseSummary.from_manifest(read_object(path))
    except MALFORMED as error:
        raise InputError(
            "PE-OUT-012", f"{path} is no manifest of a case: {why(error)}", "remove it and predict again"
        ) from error


def write_summary(rows: Sequence[CaseSummary], folder: Path) -> Path:
    """Write `summary.csv`, one line a case in the order given.

    Returns:
        The file's path.

    Raises:
        OutputError: If it cannot be written.
    """
    path = folder / SUMMARY
    atomic_csv(path, SUMMARY_COLUMNS, [row.cells for row in rows])
    return path


def write_cohort_report(
    written: Sequence[CaseSummary],
    failed: Sequence[CaseFailure],
    output: OutputFolder,
    terms: Sequence[ModelTerms] = (),
) -> Path:
    """Write `report.html`; it links the pages and shows the pictures of the cases.

    Args:
        written: Scans with results, listed by falling score, the first 2,000 of them.
        failed: Scans without, likewise.
        output: Where the run's files are.
        terms: Of the models that came with a licence, a citation or a notice.

    Returns:
        The file's path.

    Raises:
        OutputError: PE-OUT-001 if it cannot be written.
    """
    from pe_nnunet.outputs.case import notices_of

    def link(row: CaseSummary, kind: str) -> str:
        name, below = f"{row.case_id}{WRITERS[kind].suffix}", output.below(row.case_id)
        return (f"{below}/{name}" if below else name) if output.has(row.case_id, name) else ""

    ranked = sorted(written, key=lambda row: (-row.pe_score, -row.volume_mm3, row.case_id))[:MOST_SHOWN]
    positive = sum(row.emboli > 0 for row in written)
    facts = f"{len(written)} scans, {positive} with emboli, {len(failed)} failed"
    if max(len(written), len(failed)) > MOST_SHOWN:
        facts += f"; {MOST_SHOWN} at most are listed, those of the highest score"
    text = render(
        "cohort.html.j2",
        facts=facts,
        notice=DISCLAIMER,
        model_notices=notices_of(terms),
        rows=[(row, link(row, "picture"), link(row, "report")) for row in ranked],
        failed=failed[:MOST_SHOWN],
        terms=[line for one in terms for line in one.lines],
    )
    path = output.root / PAGE
    atomic_text(path, text)
    output.publish(PAGE)
    return path
