"""The docstring of a command as its help shows it: paragraphs, and examples that can be typed as they stand.

A paragraph whose lines all begin with `pe-nnunet` is examples, one a line; what they are for may follow on the line
after two blanks or more.
"""

from __future__ import annotations

import re
import shlex
import textwrap
from typing import NamedTuple

_EXAMPLE = re.compile(r"(?P<command>pe-nnunet\S*( \S+)*)(\s{2,}(?P<purpose>.+))?")
INDENT = "  "


class Example(NamedTuple):
    """A command to type, and what it is for, which may be empty."""

    command: str
    purpose: str

    @property
    def arguments(self) -> list[str]:
        """Of the command, without the names of the program and of the command."""
        words = shlex.split(self.command)
        return words[1:] if words[0] == "pe-nnunet-predict-fused" else words[2:]


def parts(docstring: str) -> list[str | list[Example]]:
    r"""Paragraphs as one line each, and lists of examples, in their order.

    Example:
        >>> parts("Score\nboth.\n\npe-nnunet compare A B   by scan\n")
        ['Score both.', [Example(command='pe-nnunet compare A B', purpose='by scan')]]
    """
    return [_part(block.splitlines()) for block in re.split(r"\n\s*\n", docstring.strip())]


def examples(docstring: str) -> list[Example]:
    """The examples in a docstring."""
    return [example for part in parts(docstring) if isinstance(part, list) for example in part]


def as_help(docstring: str, width: int) -> str:
    """The docstring for a terminal.

    Args:
        docstring: Of a command's module.
        width: Columns.
    """
    return "\n\n".join(
        textwrap.fill(part, width, break_on_hyphens=False)
        if isinstance(part, str)
        else "\n".join(_example(example, width) for example in part)
        for part in parts(docstring)
    )


def _part(lines: list[str]) -> str | list[Example]:
    found = [_EXAMPLE.fullmatch(line.strip()) for line in lines]
    if all(found):
        return [Example(match["command"], match["purpose"] or "") for match in found if match]
    return " ".join(line.strip() for line in lines)


def _example(example: Example, width: int) -> str:
    """A command, broken as a shell takes it where it is long, and below it what it is for."""
    within = textwrap.wrap(
        example.command,
        width - len(INDENT) - 2,
        subsequent_indent=INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
    purpose = textwrap.fill(example.purpose, width, initial_indent=3 * INDENT, subsequent_indent=3 * INDENT)
    command = " \\\n".join(INDENT + line for line in within)
    return f"{command}\n{purpose}" if example.purpose else command
