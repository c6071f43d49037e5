"""Writes the generated part of docs/architecture.md: the packages, what each holds, and whom it imports.

.venv/bin/python docs/architecture.py
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from graphlib import TopologicalSorter
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
START, END = "<!-- packages: generated -->", "<!-- packages: end -->"


def packages() -> dict[str, set[str]]:
    """Package or module right below `pe_nnunet` -> those that it imports, imports within functions included."""
    graph = grimp.build_graph("pe_nnunet")
    parts = sorted(name.removeprefix("pe_nnunet.") for name in graph.find_children("pe_nnunet"))
    found: dict[str, set[str]] = {part: set() for part in parts}
    for module in graph.modules - {"pe_nnunet"}:
        own = module.split(".")[1]
        for other in graph.find_modules_directly_imported_by(module) - {"pe_nnunet"}:
            found[own].add(other.split(".")[1])
    return {part: others - {part} for part, others in found.items()}


def generated() -> str:
    """Diagram and table as Markdown."""
    arrows = packages()
    order = [*TopologicalSorter({part: sorted(others) for part, others in arrows.items()}).static_order()][::-1]
    edges = [f"    {part} --> {other}" for part in order for other in sorted(_direct(part, arrows))]
    rows = [f"| `{part}` | {_says(part)} | {', '.join(sorted(arrows[part])) or '-'} |" for part in order]
    return "\n".join(
        [
            "```mermaid",
            "graph TD",
            *edges,
            "```",
            "",
            "An arrow that others imply is left out of the drawing; the table has all.",
            "",
            "| package | what it holds | imports |",
            "| --- | --- | --- |",
            *rows,
        ]
    )


def page(text: str) -> str:
    """The page's text with its generated part made anew."""
    before, _, rest = text.partition(START)
    return f"{before}{START}\n{generated()}\n{END}{rest.partition(END)[2]}"


def _direct(part: str, arrows: Mapping[str, set[str]]) -> set[str]:
    """What a package imports that none of its other imports leads to."""
    reached: set[str] = set()
    for other in arrows[part]:
        reached |= _reached(other, arrows)
    return arrows[part] - reached


def _reached(part: str, arrows: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(arrows[part])
    while waiting:
        other = waiting.pop()
        if other not in found:
            found.add(other)
            waiting += arrows[other]
    return found


def _says(part: str) -> str:
    """The first line of its docstring."""
    folder = ROOT / "pe_nnunet" / part
    file = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    return (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").splitlines()[0]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
