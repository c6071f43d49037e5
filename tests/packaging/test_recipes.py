"""What stands in more than one place of the packaging stands there alike."""

from __future__ import annotations

import json
import re
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import pe_nnunet

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REPOSITORY = Path(__file__).parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OF_CONDA = {"torch": "pytorch", "matplotlib": "matplotlib-base", "isal": "python-isal"}
WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))


def text_of(*parts: str) -> str:
    return REPOSITORY.joinpath(*parts).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def recipe() -> dict[str, Any]:
    return dict(yaml.safe_load(text_of("packaging", "conda", "recipe.yaml")))


@pytest.fixture(scope="module")
def versions_script() -> ModuleType:
    spec = spec_from_file_location("versions", Path(__file__).with_name("versions.py"))
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["versions"] = module_from_spec(spec)  # its data classes look themselves up there
    spec.loader.exec_module(module)
    return module


def test_conda_asks_for_what_pip_asks_for(recipe: dict[str, Any]) -> None:
    asked: dict[str, SpecifierSet] = {}
    for requirement in map(Requirement, PROJECT["dependencies"]):
        if requirement.marker is None or requirement.marker.evaluate({"python_version": "3.11"}):
            name = canonicalize_name(requirement.name)
            asked[OF_CONDA.get(name, name)] = requirement.specifier
    asked["tomli"] = SpecifierSet(">=2.0")  # one package for all Pythons, so it is asked for in all of them
    python, *run = (line.replace("${{ python_min }}", "3.10") for line in recipe["requirements"]["run"])
    assert {name: SpecifierSet(bounds) for name, bounds in map(str.split, run)} == asked
    assert SpecifierSet(python.split()[1]) == SpecifierSet(PROJECT["requires-python"])


def test_conda_has_our_commands(recipe: dict[str, Any]) -> None:
    commands = {f"{name} = {target}" for name, target in PROJECT["scripts"].items()}
    assert set(recipe["build"]["python"]["entry_points"]) == commands


def test_the_version_is_the_same_everywhere(recipe: dict[str, Any]) -> None:
    citation = yaml.safe_load(text_of("CITATION.cff"))
    assert {recipe["context"]["version"], citation["version"]} == {pe_nnunet.__version__}
    assert citation["license"] == PROJECT["license"] == recipe["about"]["license"]


@pytest.mark.parametrize("name", ["Dockerfile", "apptainer.def"])
def test_containers_have_all_sources_and_the_lower_bounds(name: str) -> None:
    recipe = text_of("packaging", name)
    sources = recipe if name == "apptainer.def" else text_of("packaging", "Dockerfile.dockerignore")
    tables = tomllib.loads(text_of("pyproject.toml"))["tool"]["setuptools"]["package-dir"]
    for folder in {Path(path).parts[0] for path in tables.values()} | {"pyproject.toml", "README.md", "LICENSE"}:
        assert re.search(rf"^\W*{re.escape(folder)}\b", sources, re.MULTILINE), folder
    for requirement in map(Requirement, PROJECT["dependencies"]):
        if requirement.name in {"torch", "torchvision"}:
            assert f'"{requirement}"' in recipe
    assert "ultralytics" in recipe


def test_actions_are_pinned_and_jobs_get_no_rights_by_default() -> None:
    assert WORKFLOWS
    for path in WORKFLOWS:
        workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert workflow["permissions"] == {}, path.name
        steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
        assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", step["uses"]) for step in steps if "uses" in step), path.name


def test_workflows_test_every_python_and_make_what_there_is() -> None:
    named = {c.rsplit(" ", 1)[1] for c in PROJECT["classifiers"] if re.search(r"Python :: 3\.\d+$", c)}
    tests = yaml.safe_load(text_of(".github", "workflows", "tests.yml"))["jobs"]["tests"]
    assert set(tests["strategy"]["matrix"]["python"]) == named


def test_the_table_of_versions_is_that_of_the_last_run(versions_script: ModuleType) -> None:
    page = versions_script.PAGE.read_text(encoding="utf-8")
    results = json.loads(versions_script.RESULTS.read_text(encoding="utf-8"))
    assert versions_script.page(page, results) == page
    assert set(results) <= set(versions_script.COMBINATIONS)
    for test in versions_script.TESTS:
        file, _, function = test.partition("::")
        assert (REPOSITORY / file).exists(), file
        assert f"def {function}(" in text_of(file) if function else True, function
