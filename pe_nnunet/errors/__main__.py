"""`python -m pe_nnunet.errors tests/dataset_conversion/bad_inputs.csv` prints the page `docs/errors.md`."""

from __future__ import annotations

import csv
import sys
from itertools import groupby
from pathlib import Path

from pe_nnunet.errors.advice import advice
from pe_nnunet.errors.codes import CODES

HEAD = """# Errors and warnings

Whatever is wrong with an input or a setting is said in one line with a code: what, which case or file, what was
expected, what to do. The codes are stable: scripts may rely on them. An error of one case never stops the others. What
was repaired, and what deserves a look, stands as a note with its code in the record of the case.

    case_1: PE-DCM-001: case_1: about 1 slice(s) missing in 1 place(s), ...; export the whole series again
"""
INPUTS = """
## Bad inputs

A case is refused, or repaired and the repair noted, or goes on with a warning. Each line is a test.

| input | what happens | codes |
| --- | --- | --- |
"""
MEANINGS = """
## Codes

| code | meaning | what to do |
| --- | --- | --- |
"""
TAIL = """
This page is the output of `python -m pe_nnunet.errors tests/dataset_conversion/bad_inputs.csv`.
"""
RESULTS = {"E": "refused", "R": "repaired", "W": "warned of", "-": "taken"}


def page(table: str) -> str:
    """The page.

    Args:
        table: CSV with `;` between its columns, of which number, input, result, codes and what are taken.
    """
    rows = csv.DictReader(table.splitlines(), delimiter=";")
    inputs = [f"| {row['input']} | {_outcome(row)} | {_codes(row['codes'])} |" for row in rows]
    meanings = [f"| `{code}` | {_cell(CODES[code])} | {_cell(advice(code))} |" for code in _ordered()]
    return HEAD + INPUTS + "\n".join(inputs) + "\n" + MEANINGS + "\n".join(meanings) + "\n" + TAIL


def _outcome(row: dict[str, str]) -> str:
    return RESULTS[row["result"]] + (f": {row['what']}" if row["what"] else "")


def _ordered() -> list[str]:
    """Codes by topic, the topics in the order of their first codes."""
    topics = dict.fromkeys(code.split("-")[1] for code in CODES)
    by_topic = {topic: sorted(codes) for topic, codes in groupby(sorted(CODES), key=lambda code: code.split("-")[1])}
    return [code for topic in topics for code in by_topic[topic]]


def _codes(text: str) -> str:
    return ", ".join(f"`{code}`" for code in text.split())


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m pe_nnunet.errors TABLE.csv")
    print(page(Path(sys.argv[1]).read_text(encoding="utf-8")), end="")
