"""`bad_inputs.csv`: every bad input has a test that knows its code, and the page of codes is made from it."""

from __future__ import annotations

import ast
import csv
import re
from functools import cache
from pathlib import Path

import pytest

from pe_nnunet.errors import CODES
from pe_nnunet.errors.__main__ import RESULTS, page
from pe_nnunet.errors.advice import ADVICE

TABLE = Path(__file__).with_name("bad_inputs.csv")
TESTS = Path(__file__).parents[1]
ROWS = list(csv.DictReader(TABLE.open(encoding="utf-8"), delimiter=";"))
NUMBERS = {*range(1, 41), *range(42, 49), 51, 52}


@cache
def texts_of(file: str) -> dict[str, str]:
    """The text of each test in a file, decorators included."""
    text = (TESTS / file).read_text(encoding="utf-8")
    found = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    lines = text.splitlines()
    first = {node.name: min([node.lineno, *(d.lineno for d in node.decorator_list)]) for node in found}
    return {node.name: "\n".join(lines[first[node.name] - 1 : node.end_lineno]) for node in found}


def names(text: str, code: str) -> bool:
    """Whether a test names a code, perhaps by an expression such as `PE-DCM-0(16|07)`."""
    return any(re.fullmatch(found, code) for found in re.findall(r"PE-[A-Z]+-[0-9()|\[\]]+", text))


def test_every_kind_of_bad_input_is_in_the_table() -> None:
    assert {int(row["number"]) for row in ROWS} == NUMBERS


@pytest.mark.parametrize("row", ROWS, ids=[f"{row['number']} {row['input'][:40]}" for row in ROWS])
def test_a_bad_input_has_tests_that_know_its_code(row: dict[str, str]) -> None:
    texts = [texts_of(file)[name] for file, name in (test.split("::") for test in row["tests"].split())]
    assert texts
    assert row["result"] in RESULTS
    assert bool(row["codes"]) or row["result"] == "-"
    for code in row["codes"].split():
        assert code in CODES
        assert any(names(text, code) for text in texts), f"no test of this row names {code}"


def test_advice_is_for_codes_that_exist() -> None:
    assert set(ADVICE) <= set(CODES)


def test_the_page_of_codes_is_current() -> None:
    documented = TESTS.parent / "docs" / "errors.md"
    made = page(TABLE.read_text(encoding="utf-8"))
    assert documented.read_text(encoding="utf-8") == made, "run: python -m pe_nnunet.errors TABLE > docs/errors.md"
