"""The notebook runs from top to bottom, and is committed with what it shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebooks" / "phantom_to_report.ipynb"


@pytest.fixture(scope="module")
def committed() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def kinds(cell: Any) -> list[str]:
    """MIME types that a cell shows."""
    return sorted({kind for output in cell.outputs for kind in output.get("data", ())})


def test_it_is_committed_with_its_pictures_and_without_paths_of_a_machine(committed: Any) -> None:
    assert [cell.execution_count for cell in code_cells(committed)] == [*range(1, len(code_cells(committed)) + 1)]
    assert sum("image/png" in kinds(cell) for cell in code_cells(committed)) == 3
    assert "/tmp" not in NOTEBOOK.read_text(encoding="utf-8")  # noqa: S108
    assert NOTEBOOK.stat().st_size < 2_000_000


def test_it_runs_and_shows_what_it_showed(committed: Any, tmp_path: Path) -> None:
    fresh = nbformat.from_dict(committed)
    NotebookClient(fresh, timeout=600, startup_timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    before, now = code_cells(nbformat.read(NOTEBOOK, as_version=4)), code_cells(fresh)
    assert [kinds(cell) for cell in now] == [kinds(cell) for cell in before]
    assert [texts(cell) for cell in now] == [texts(cell) for cell in before]


def texts(cell: Any) -> list[str]:
    """The words that a cell prints; it may come in several pieces. A network's numbers differ between processors."""
    printed = "".join(out.text for out in cell.outputs if out.output_type == "stream" and out.name == "stdout")
    return re.findall(r"[A-Za-z]+", printed)
