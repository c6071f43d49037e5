"""docs/architecture.md: its generated part is up to date, and every name on it exists."""

from __future__ import annotations

import re
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "architecture.md").read_text(encoding="utf-8")


def test_the_packages_on_the_page_are_those_of_the_code() -> None:
    spec = spec_from_file_location("architecture_page", DOCS / "architecture.py")
    assert spec is not None
    assert spec.loader is not None
    maker = module_from_spec(spec)
    spec.loader.exec_module(maker)
    assert maker.page(TEXT) == TEXT


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(pe_nnunet(?:\.\w+)+)`", TEXT))))
def test_every_name_on_the_page_exists(name: str) -> None:
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found = import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            found = getattr(found, part)
        return
