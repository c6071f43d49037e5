"""`<case>_report.html`: one file that shows a case in any browser, from disk, with nothing loaded from elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pe_nnunet import __version__
from pe_nnunet.cases import DISCLAIMER
from pe_nnunet.files import atomic_text
from pe_nnunet.fusion import Candidate
from pe_nnunet.outputs.artery import level_of
from pe_nnunet.outputs.burden_record import burden_lines, place_record
from pe_nnunet.outputs.case import CaseResult, notices_of
from pe_nnunet.outputs.report_slices import listed, page_data
from pe_nnunet.outputs.ventricles_picture import ventricles_address
from pe_nnunet.pages import render


def write_report(case: CaseResult, path: Path) -> None:
    """Write the page of a case.

    Args:
        case: The results, with artery diameters where they are known.
        path: The file.

    Raises:
        OutputError: PE-OUT-001 if it cannot be written.
    """
    atomic_text(path, report_html(case))


def report_html(case: CaseResult) -> str:
    """The page as text: slices of the region of interest with outlines, a table of findings, how it was made."""
    emboli, shown = case.emboli, listed(case)
    count = len(emboli.kept)
    verdict = f"{count} {'embolus' if count == 1 else 'emboli'}" if count else "no embolus found"
    facts = [
        verdict,
        f"PE score {emboli.pe_score:.2f}",
        f"{emboli.volume_mm3:,.0f} mm³ in all",
        f"threshold {emboli.settings.threshold:g}",
    ]
    return render(
        "case.html.j2",
        facts=" · ".join(facts),
        notice=DISCLAIMER,
        model_notices=notices_of(case.terms),
        caption=f"{verdict}, {len(emboli.candidates) - count} candidates not kept",
        rows=[_row(case, row) for row in shown],
        left_out=len(emboli.candidates) - len(shown),
        burden=[] if case.burden is None else burden_lines(case.burden),
        ventricles=ventricles_address(case),
        details=_details(case),
        data=page_data(case),
    )


def _row(case: CaseResult, row: Candidate) -> dict[str, Any]:
    k, j, i = row.voxel_zyx
    artery_mm = case.artery_mm.get(row.id)
    return {
        "id": row.id,
        "kept": row.kept,
        "level": "" if artery_mm is None else level_of(artery_mm),
        "artery_mm": "" if artery_mm is None else f"{artery_mm:.1f}",
        "place": place_record(case.burden, row.id),
        "score": f"{row.probability:.2f}",
        "volume_mm3": f"{row.volume_mm3:,.0f}",
        "position_mm": ", ".join(str(round(v)) for v in case.image.TransformIndexToPhysicalPoint((i, j, k))),
    }


def _details(case: CaseResult) -> list[tuple[str, str]]:
    size = " x ".join(map(str, case.image.GetSize()))
    spacing = " x ".join(f"{s:.3g}" for s in case.image.GetSpacing())
    return [
        ("Scan", f"{case.source or case.case_id}: {size} voxels of {spacing} mm"),
        *(("Network", f"{m.dataset} {m.model} fold {m.fold}, sha256 {m.sha256}") for m in case.models),
        *(("Model card", f"{name}/{c['file']}, sha256 {c['sha256']}") for name, c in case.model_cards.items()),
        *(line for terms in case.terms for line in terms.lines),
        ("Settings", json.dumps(dict(case.arguments), default=str, ensure_ascii=False)),
        ("Seconds", ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in case.timings_s.items())),
        *(("Note", str(note)) for note in case.notes),
        ("Software", f"pe-nnunet {__version__}"),
    ]
