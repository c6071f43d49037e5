"""Modules and tests that the threat model names are there."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "threat_model.md").read_text(encoding="utf-8")


def test_every_module_and_test_that_it_names_is_there() -> None:
    modules = set(re.findall(r"`(pe_nnunet(?:\.\w+)+)`", PAGE))
    tests = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(modules) > 20
    assert len(tests) > 30
    assert [name for name in sorted(modules) if find_spec(name) is None] == []
    sources = "".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "tests").rglob("test_*.py"))
    assert [name for name in sorted(tests) if f"def {name}(" not in sources] == []


def test_options_of_trust_are_those_of_the_commands() -> None:
    """What a model may run is named by these options alone, and both pages say them."""
    from pe_nnunet.cli.commands_page import page

    shown = page()
    policy = (REPOSITORY / "SECURITY.md").read_text(encoding="utf-8")
    for option in set(re.findall(r"--trust-[a-z-]+", shown)):
        assert option in PAGE, option
        assert option in policy, option
    assert set(re.findall(r"--trust-[a-z-]+", PAGE + policy)) <= set(re.findall(r"--trust-[a-z-]+", shown))
