"""`<case>_report.html`: one file that shows a case in any browser, from disk, with nothing loaded from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from pe_nnunet import __version__
from pe_nnunet.cases import DISCLAIMER
from pe_nnunet.files import atomic_text
from pe_nnunet.fusion import Candidate
from pe_nnunet.outputs.case import CaseResult
from pe_nnunet.outputs.report_slices import listed, page_data

COLUMNS = ("finding", "level", "artery mm", "score", "volume mm³", "x, y, z mm")
WORDS = frozenset({"finding", "level", "scan", "notes"})  # columns that are read and not compared, flush left


def write_report(case: CaseResult, path: Path) -> None:
    """Write the page of a case.

    Args:
        case: The results, with levels where they are known.
        path: The file.

    Raises:
        OutputError: PE-OUT-001 if it cannot be written.
    """
    atomic_text(path, report_html(case))


def report_html(case: CaseResult) -> str:
    """The page as text: slices of the region of interest with outlines, a table of findings, how it was made."""
    data = page_data(case)
    emboli = case.emboli
    shown_rows = listed(case)
    count = len(emboli.kept)
    left_out = len(emboli.candidates) - len(shown_rows)
    shown, depth = len(data["slices"]), data["depth"]
    remarks = [
        "Level: by the width of the artery alone, geometry and no anatomy. Positions are LPS mm (x to the patient's "
        "left, y to the back, z to the head). Candidates are not kept: too weak, or too small.",
        *([f"{left_out} weaker findings are in {case.case_id}_emboli.csv alone."] if left_out else []),
        *([f"{shown} of the region's {depth} slices are shown."] if shown < depth else []),
    ]
    verdict = f"{count} {'embolus' if count == 1 else 'emboli'}" if count else "no embolus found"
    facts = [
        verdict,
        f"PE score {emboli.pe_score:.2f}",
        f"{emboli.volume_mm3:,.0f} mm³ in all",
        f"threshold {emboli.settings.threshold:g}",
    ]
    return page(
        "case",
        title=escape(f"Pulmonary emboli: {case.case_id}"),
        facts=escape(" · ".join(facts)),
        notice=escape(DISCLAIMER),
        windows="".join(_window_button(k, window) for k, window in enumerate(data["windows"], 1)),
        caption=escape(f"{verdict}, {len(emboli.candidates) - count} candidates not kept"),
        head="".join(f'<th scope="col"{flush(name)}>{escape(name)}</th>' for name in COLUMNS),
        rows="\n".join(_row(case, row) for row in shown_rows),
        remark=escape(" ".join(remarks)),
        details=_details(case),
        data=json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
    )


def page(name: str, **parts: str) -> str:
    """A page from its template, style and script; the page allows these very texts to run and nothing else.

    Args:
        name: Of the files in the folder `report-page`.
        **parts: Text for the template's other places, as HTML.
    """
    folder = files("pe_nnunet.outputs") / "report-page"
    style = (folder / "page.css").read_text(encoding="utf-8")
    script = (folder / f"{name}.js").read_text(encoding="utf-8")
    template = Template((folder / f"{name}.html").read_text(encoding="utf-8"))
    return template.substitute(parts, style=style, script=script, style_hash=_hash(style), script_hash=_hash(script))


def _hash(text: str) -> str:
    """As a content security policy names a text."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _window_button(number: int, window: dict[str, Any]) -> str:
    pressed = "true" if number == 1 else "false"
    words = f"{window['name']} {window['width']}/{window['level']}"
    return (
        f'<button type="button" data-window="{number}" aria-pressed="{pressed}">'
        f"{escape(words)} <kbd>{number}</kbd></button>"
    )


def _row(case: CaseResult, row: Candidate) -> str:
    k, j, i = row.voxel_zyx
    artery = case.levels.get(row.id)
    kind = "Embolus" if row.kept else "Candidate"
    cells: Sequence[str] = (
        f'<button type="button">{kind} {row.id}</button>',
        escape(artery.level) if artery else "",
        f"{artery.diameter_mm:.1f}" if artery else "",
        f"{row.probability:.2f}",
        f"{row.volume_mm3:,.0f}",
        ", ".join(str(round(v)) for v in case.image.TransformIndexToPhysicalPoint((i, j, k))),
    )
    attributes = f'data-finding="{row.id}"' + ("" if row.kept else ' class="candidate"')
    named = zip(COLUMNS, cells, strict=True)
    return f"<tr {attributes}>" + "".join(f"<td{flush(name)}>{cell}</td>" for name, cell in named) + "</tr>"


def flush(name: str) -> str:
    """The attribute that sets a column's heading and cells flush left, where it holds words."""
    return ' class="word"' if name in WORDS else ""


def _details(case: CaseResult) -> str:
    size = " x ".join(map(str, case.image.GetSize()))
    spacing = " x ".join(f"{s:.3g}" for s in case.image.GetSpacing())
    lines: Iterable[tuple[str, str]] = [
        ("Scan", f"{case.source or case.case_id}: {size} voxels of {spacing} mm"),
        *(("Network", f"{m.dataset} {m.model} fold {m.fold}, sha256 {m.sha256}") for m in case.models),
        ("Settings", json.dumps(dict(case.arguments), default=str, ensure_ascii=False)),
        ("Seconds", ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in case.timings_s.items())),
        *(("Note", str(note)) for note in case.notes),
        ("Software", f"pe-nnunet {__version__}"),
    ]
    return "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in lines)
