"""The tree, and what pyproject.toml says about it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Any

import pytest

import pe_nnunet
from pe_nnunet.registration import autoregister

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REPOSITORY = Path(__file__).parents[2]
OUTER = ("dataset_conversion", "networks", "planners", "trainers")
DATA = ("pe_nnunet.templates", "pe_nnunet.models.starter", "pe_nnunet.models.starter.fold_all")
"""Folders without modules: setuptools warns at length of data in a folder that is not listed."""


@pytest.fixture(scope="module")
def setuptools_table() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    return dict(table["tool"]["setuptools"])


def packages_under(folder: Path, name: str) -> Iterator[tuple[str, Path]]:
    """Dotted name and folder of every package below, links not followed."""
    if (folder / "__init__.py").is_file():
        yield name, folder
    for child in sorted(folder.iterdir()):
        if child.is_dir() and not child.is_symlink() and child.name.isidentifier() and child.name != "__pycache__":
            yield from packages_under(child, f"{name}.{child.name}")


def tree() -> dict[str, Path]:
    found = dict(packages_under(REPOSITORY / "pe_nnunet", "pe_nnunet"))
    for outer in OUTER:
        found |= packages_under(REPOSITORY / outer, f"pe_nnunet.{outer}")
    return found


def test_the_packages_list_is_the_tree(setuptools_table: dict[str, Any]) -> None:
    assert sorted(setuptools_table["packages"]) == sorted([*tree(), *DATA])


def test_every_module_lies_in_a_package() -> None:
    packages = set(tree().values())
    for outer in ("pe_nnunet", *OUTER):
        for folder, _, files in os.walk(REPOSITORY / outer):
            if any(file.endswith(".py") for file in files):
                assert Path(folder) in packages, f"{folder} has no __init__.py"


def test_package_dir_leads_every_package_to_its_folder(setuptools_table: dict[str, Any]) -> None:
    mapping = setuptools_table["package-dir"]
    for name, folder in tree().items():
        # as setuptools resolves it: the longest mapped ancestor, then the rest of the name
        parts = name.split(".")
        known = next(n for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in mapping)
        assert REPOSITORY.joinpath(mapping[".".join(parts[:known])], *parts[known:]) == folder


@pytest.mark.parametrize("outer", OUTER)
def test_the_outer_rooms_are_linked_for_tools_that_read_paths(outer: str) -> None:
    link = REPOSITORY / "pe_nnunet" / outer
    assert link.is_symlink()
    assert link.readlink() == Path("..", outer)


@pytest.mark.skipif(not (REPOSITORY / ".git").exists(), reason="not a git checkout")
@pytest.mark.parametrize("outer", OUTER)
def test_the_links_are_committed_as_links(outer: str) -> None:
    command = ["git", "ls-files", "--stage", f"pe_nnunet/{outer}"]
    listed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    assert listed.startswith("120000 ")


def test_the_entry_point_that_torch_calls() -> None:
    (ours,) = [e for e in entry_points(group="torch.backends") if e.name == "pe_nnunet"]
    assert ours.load() is autoregister


def test_the_version_has_one_source() -> None:
    assert version("pe-nnunet") == pe_nnunet.__version__


def test_the_bare_names_cannot_be_imported(fresh_python: Callable[..., Any]) -> None:
    code = f"from importlib.util import find_spec\nanswer = [name for name in {OUTER!r} if find_spec(name)]"
    assert fresh_python(code) == []
