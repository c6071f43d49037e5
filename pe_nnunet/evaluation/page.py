"""The evaluation as one HTML page with its pictures beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from pe_nnunet.evaluation.folder import Evaluation
from pe_nnunet.evaluation.report import case_rows, cohort_lines
from pe_nnunet.metrics.bootstrap import Estimate
from pe_nnunet.metrics.definitions import SHOWN

STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:72em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse;margin:1em 0;display:block;overflow-x:auto}"
    "td,th{padding:.2em .7em;border-bottom:1px solid #ddd;text-align:right}"
    "td:first-child,th:first-child{text-align:left}img{max-width:30em;margin:.5em}pre{white-space:pre-wrap}"
)


def page(evaluation: Evaluation, pictures: Sequence[Path]) -> str:
    """HTML that needs nothing from elsewhere but its pictures, named by their file names.

    Args:
        evaluation: From `evaluate_folder`.
        pictures: From `write_plots`, to lie in the page's folder.
    """
    parts = ["<h1>Evaluation</h1>", f"<pre>{escape(cohort_lines(evaluation.cohort))}</pre>"]
    parts += [f'<img src="{escape(path.name)}" alt="{escape(path.stem)}">' for path in pictures]
    parts += ["<h2>With 95 % intervals</h2>", _table(("", "value"), _rows(evaluation.cohort.intervals))]
    for found in evaluation.detections:
        values = {f"sensitivity at {rate:g}": e for rate, e in found.sensitivity_at_fp.items()}
        curve = found.curve
        counts = f"{curve.true_positives} hit, {curve.false_negatives} missed, {curve.false_positives} false"
        parts.append(f"<h2>{found.protocol}, eps {found.eps_mm:g} mm</h2><p>{counts}</p>")
        parts.append(_table(("", "value"), _rows({**values, "score (their mean)": found.score})))
    for name, group in evaluation.groups.items():
        parts.append(f"<h2>Subgroup {escape(name)}: {group['scans']} scans</h2>")
        parts.append(_table(("", "value"), _rows(group.intervals)))
    if evaluation.cases:
        columns, *lines = case_rows(evaluation.cases, SHOWN, "scan", unit=", ")
        parts += ["<h2>Scans</h2>", _table(columns, lines)]
    if evaluation.failures:
        parts.append(
            "<h2>Not scored</h2>" + "".join(f"<p>{escape(str(failure))}</p>" for failure in evaluation.failures)
        )
    parts += [f"<p>{escape(str(note))}</p>" for note in evaluation.notes]
    head = f'<meta charset="utf-8"><title>Evaluation</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def _rows(values: dict[str, Estimate]) -> Iterable[tuple[str, str]]:
    return ((name.replace("_", " "), str(value)) for name, value in values.items())


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["".join(f"<th>{escape(cell)}</th>" for cell in head)]
    lines += ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows]
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"
