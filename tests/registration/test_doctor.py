"""What `pe-nnunet doctor` says, in this environment and in broken ones."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from pe_nnunet import __version__
from pe_nnunet.cli import main
from pe_nnunet.networks import NETWORKS
from pe_nnunet.registration import doctor, hook, probe, requirements
from pe_nnunet.registration.names import PLANNERS, TRAINERS


def named(kind: str, name: str, found: str | None, problem: str | None) -> doctor.Name:
    return {"kind": kind, "name": name, "found": found, "problem": problem}


@pytest.fixture(autouse=True)
def no_switches(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (hook.SWITCH, doctor.TORCH_SWITCH, *doctor.FOLDER_VARIABLES, "nnUNet_extTrainer"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture(scope="module")
def healthy() -> doctor.Report:
    """A report of an environment where all is well."""
    names = [named("planner", name, f"{module}.{name}", None) for name, module in PLANNERS.items()]
    return doctor.Report(
        versions={"python": "3.12.1", "pe-nnunet": __version__, "torch": "2.9", "ultralytics": "8.4"},
        package_folder="/somewhere/pe_nnunet",
        entry_point="pe_nnunet.registration:autoregister",
        switches={hook.SWITCH: None, doctor.TORCH_SWITCH: None},
        registration_problem=None,
        folders=dict.fromkeys(doctor.FOLDER_VARIABLES),
        devices={"cpu": "2 threads, bfloat16 in hardware"},
        names=tuple(names),
        ext_trainer_folder="/somewhere/ext_trainer",
        requirements={},
        imported=False,
    )


@pytest.mark.parametrize("imports", [(), ("--imports",)])
def test_everything_is_found_here(imports: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json", *imports]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"]
    assert report["imported"] == bool(imports or report["requirements"])
    assert report["registration_problem"] is None
    assert report["versions"]["pe-nnunet"] == __version__
    assert report["devices"]["cpu"]
    found = {name["name"]: name["kind"] for name in report["names"] if name["found"]}
    assert {name for name, kind in found.items() if kind == "planner"} == set(PLANNERS)
    assert {name for name, kind in found.items() if kind == "trainer"} == set(TRAINERS)
    assert found["TARUNet"] == "network"


def test_switched_off(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    names = (
        named("planner", "P", None, "the look-up does not know the name"),
        named("network", "N", "n.N", None),
    )
    found = {"devices": {"cpu": "1 thread"}, "names": names, "hook_problem": None, "imported": True}
    monkeypatch.setattr(doctor, "_probe", lambda *, imports: found)
    monkeypatch.setenv(hook.SWITCH, "0")
    assert main(["doctor"]) == 2
    output = capsys.readouterr()
    assert "OFF: PE_NNUNET_REGISTER=0" in output.out
    assert "planner P  NOT FOUND: the look-up does not know the name" in output.out
    assert output.err.startswith("PE-ENV-007: nnU-Net does not find 1 of 2 names: P; ")
    assert len(output.err.splitlines()) == 1


def test_a_python_that_cannot_import_torch_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_PROBE", "raise RuntimeError('Failed to load the backend extension: other')")
    report = doctor.examine()
    assert not report.ok
    assert report.devices == {}
    assert {name["name"] for name in report.names} == {*PLANNERS, *TRAINERS}
    assert {name["problem"] for name in report.names} == {"RuntimeError: Failed to load the backend extension: other"}


@pytest.mark.parametrize(
    ("entry_point", "variables", "expected"),
    [
        ("pe_nnunet.registration:autoregister", {}, None),
        ("pe_nnunet.registration:autoregister", {hook.SWITCH: "1", doctor.TORCH_SWITCH: "1"}, None),
        ("pe_nnunet.registration:autoregister", {hook.SWITCH: "off"}, "PE_NNUNET_REGISTER=off"),
        ("pe_nnunet.registration:autoregister", {doctor.TORCH_SWITCH: "0"}, "TORCH_DEVICE_BACKEND_AUTOLOAD=0"),
        ("pe_nnunet.registration:autoregister", {doctor.TORCH_SWITCH: "true"}, "TORCH_DEVICE_BACKEND_AUTOLOAD=true"),
        (None, {}, "the entry point is not installed"),
    ],
)
def test_why_registration_is_off(
    monkeypatch: pytest.MonkeyPatch, entry_point: str | None, variables: dict[str, str], expected: str | None
) -> None:
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    switches = {variable: variables.get(variable) for variable in (hook.SWITCH, doctor.TORCH_SWITCH)}
    why = doctor._why_off(entry_point, switches)
    assert why == expected or (expected and why and why.startswith(expected))


def test_folders_of_nnunet(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert doctor.folder_problem(str(tmp_path)) is None
    assert doctor.folder_problem(None) == "not set"
    assert doctor.folder_problem("") == "not set"
    assert doctor.folder_problem(f"{tmp_path}/none") == f"{tmp_path}/none does not exist"
    assert doctor.folder_problem(str(file)) == f"{file} is not a folder"
    assert doctor.folder_problem(f"'{tmp_path}'") == f"set to '{tmp_path}', quotes included: take them out"
    assert doctor.folder_problem(f"{tmp_path} ") == "has blanks around the path"


def test_the_text_names_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], healthy: doctor.Report
) -> None:
    monkeypatch.setattr(doctor, "examine", lambda *, imports: healthy)
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "export nnUNet_extTrainer='/somewhere/ext_trainer'" in text
    assert "-device cpu" in text
    without = replace(healthy, versions=healthy.versions | {"ultralytics": None}, devices={"cuda:0": "H100"})
    monkeypatch.setattr(doctor, "examine", lambda *, imports: without)
    assert main(["doctor"]) == 0  # all but detection works without
    text = capsys.readouterr().out
    assert "ultralytics  not installed" in text
    assert "-device cpu" not in text


def test_the_probe_reports_a_broken_module_as_the_reason() -> None:
    def broken(name: str) -> None:
        raise ImportError(f"cannot import {name} from somewhere. Then a long story.")

    assert probe._look_up("planner", "P", broken) == {
        "kind": "planner",
        "name": "P",
        "found": None,
        "problem": "ImportError: cannot import P from somewhere",
    }
    assert probe._look_up("planner", "P", lambda _: None)["problem"] == "the look-up does not know the name"


def test_the_keys_of_json_are_those_that_the_docs_list(healthy: doctor.Report) -> None:
    text = (Path(__file__).parents[2] / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    table = text.split("| key | meaning |")[1].split("\n\n")[0]
    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE) == list(healthy.to_dict())


def test_a_quick_look_imports_nothing_of_nnunet(fresh_python: Callable[..., Any]) -> None:
    code = """
import sys
from pe_nnunet.registration import probe
names = probe.known_names()
answer = [all(name["found"] for name in names), len(names), "torch" in sys.modules, "nnunetv2" in sys.modules]
"""
    assert fresh_python(code) == [True, len(PLANNERS) + len(TRAINERS) + len(NETWORKS), False, False]


def test_requirements_that_are_not_met(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["numpy>=999", "no-such-package", "packaging", 'tomli>=9; extra == "x"', "ultralytics>=999"]
    monkeypatch.setattr(requirements, "requires", lambda package: lines if package == "nnunetv2" else [])
    found = requirements.unmet_requirements()
    assert found == {
        "numpy": f"{version('numpy')} is installed, >=999 expected, needed by nnunetv2",
        "no-such-package": "not installed, needed by nnunetv2",
    }
