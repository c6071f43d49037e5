"""`python -m pe_nnunet.cli.commands_page` prints the page `docs/commands.md` from what the commands declare."""

from __future__ import annotations

import argparse
from importlib import import_module

from pe_nnunet.cli import COMMANDS

HEAD = """# Commands and their options

`pe-nnunet COMMAND --help` says the same. `pe-nnunet predict-fused` is `pe-nnunet-predict-fused`, too. Every command has
`--debug`, which shows the traceback of an error. Exit codes: 0 done, 1 wrong usage, 2 nothing could be done, 3 some
cases failed.
"""

TAIL = """
This page is the output of `python -m pe_nnunet.cli.commands_page`.
"""


def page() -> str:
    """The page: a table of options for each command."""
    return HEAD + "".join(_section(name, text) for name, text in COMMANDS.items()) + TAIL


def _section(name: str, text: str) -> str:
    parser = argparse.ArgumentParser(add_help=False)
    import_module(f"pe_nnunet.cli.{name.replace('-', '_')}").configure(parser)
    rows = [f"| {_usage(action)} | {_meaning(parser, action)} |" for action in parser._actions]
    table = ["| option | meaning |", "| --- | --- |", *rows, ""] if rows else []
    return "\n".join(["", f"## {name}", "", f"{text[:1].upper()}{text[1:]}.", "", *table])


def _usage(action: argparse.Action) -> str:
    metavar = action.metavar if isinstance(action.metavar, str) else " ".join(action.metavar or ())
    value = metavar or ("|".join(map(str, action.choices)) if action.choices else action.dest.upper())
    if not action.option_strings:
        return f"`{value}`"
    shown = ", ".join(action.option_strings)
    if action.nargs == 0:
        return f"`{shown}`"
    return f"`{shown} {value}{' ...' if action.nargs == '+' else ''}`".replace("|", "\\|")


def _meaning(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    text = parser._get_formatter()._expand_help(action) if action.help else ""
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(page(), end="")
