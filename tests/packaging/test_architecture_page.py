"""docs/architecture.md: its generated part is up to date, and every name on it exists."""

from __future__ import annotations

import re
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "architecture.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = spec_from_file_location("architecture_page", DOCS / "architecture.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_packages_on_the_page_are_those_of_the_code(maker: ModuleType) -> None:
    assert maker.page(TEXT) == TEXT


def test_the_readme_names_every_package(maker: ModuleType) -> None:
    rows = [line for line in (DOCS.parent / "README.md").read_text(encoding="utf-8").splitlines() if line[:1] == "|"]
    named = set(re.findall(r"`(?:pe_nnunet/)?(\w+)/?`", " ".join(row.split("|")[1] for row in rows)))
    assert named == set(maker.packages())


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
